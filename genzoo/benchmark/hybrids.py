"""Names of families and of hybrids.

``vae+flow`` is a VAE whose prior is a flow, ``vaegan`` a class of its own,
``mypackage.mymodule:MyFamily`` a class outside the package.

Composition itself needs no code here. A VAE takes any model as its prior, the claim of its
likelihood follows from those of its parts, and `genzoo.training.two_stage` fits a prior in a second
stage where it is not trained together with the rest.

A hybrid's name is two families with a ``+`` between: the whole, then the part. ``ar`` is short
for ``autoregressive``.
"""

from typing import TYPE_CHECKING, NamedTuple

from genzoo.errors import InputError, nearest
from genzoo.families import names

if TYPE_CHECKING:
    from genzoo.model import GenerativeModel

SHORT = {"ar": "autoregressive"}
WHOLE = "vae"  # the family that takes another one as a part


class Parts(NamedTuple):
    """The family of the whole, and that of its prior, if the name contains one."""

    family: "type[GenerativeModel]"
    prior: "type[GenerativeModel] | None"

    @property
    def name(self) -> str:
        """As tables print it: "VAE+Flow"."""
        return "+".join(part.__name__ for part in self if part is not None)


def parts(name: str) -> Parts:
    """The classes of a family's or a hybrid's name, in upper or lower case.

    Raises:
        InputError: there is no such family or hybrid, with the nearest one.
    """
    from genzoo.families import registry

    if ":" in name:
        return Parts(registry.at(name), None)
    families = {family.__name__.lower(): family for family in registry.FAMILIES}
    others = {hybrid.__name__.lower(): hybrid for hybrid in registry.HYBRIDS}
    classes = families | others
    family, _, prior = full_name(name, [*families], [*others]).partition("+")
    return Parts(classes[family], classes[prior] if prior else None)


def full_name(name: str, families: list[str] | None = None, others: list[str] | None = None) -> str:
    """The full name, in lower case, of a family or of a hybrid.

    Args:
        name: as the user wrote it; an import path, with a ``:``, is left as it is.
        families: names of families, which may be parts of hybrids; by default all.
        others: other names; by default those of hybrids with a class of their own.

    Raises:
        InputError: it is not one of those, with the nearest one.
    """
    if ":" in name:
        return name
    families = names.names() if families is None else families
    others = [*names.HYBRIDS] if others is None else others
    full = "+".join(SHORT.get(part, part) for part in name.lower().split("+"))
    composed = [f"{WHOLE}+{family}" for family in families]
    if full in (*families, *others, *composed):
        return full
    hint = nearest(full, [*families, *others, *composed])
    if "+" in name:
        raise InputError(f"There is no hybrid {name!r}: write {WHOLE}+FAMILY. {hint}")
    raise InputError(f"There is no family {name!r}. {hint}")
