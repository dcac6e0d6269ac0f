"""Names of families and of hybrids.

``vae+flow`` is a VAE whose prior is a flow, ``vaegan`` a class of its own,
``mypackage.mymodule:MyFamily`` a class outside the package.

Composition itself takes no code here. A VAE takes any model for its prior, its likelihood's claim
is computed from that of its parts, and `genzoo.training.two_stage` fits a prior in a second stage
where it is not trained along.

A name is two families with a ``+`` between: the whole, then the part it is given. ``ar`` is short
for ``autoregressive``.
"""

from typing import TYPE_CHECKING, NamedTuple

from genzoo.errors import InputError, nearest
from genzoo.families import names

if TYPE_CHECKING:
    from genzoo.model import GenerativeModel

SHORT = {"ar": "autoregressive"}
WHOLE = "vae"  # the family that takes others for a part


class Parts(NamedTuple):
    """The family of the whole, and that of its prior, if the name says one."""

    family: "type[GenerativeModel]"
    prior: "type[GenerativeModel] | None"

    @property
    def name(self) -> str:
        """As tables print it: "VAE+Flow"."""
        return "+".join(part.__name__ for part in self if part is not None)


def parts(name: str) -> Parts:
    """The classes that a family's or a hybrid's name stands for, in whatever case it is written.

    Raises:
        InputError: there is no such family or hybrid, with the nearest one.
    """
    from genzoo.families import registry

    if ":" in name:
        return Parts(registry.at(name), None)
    classes = {each.__name__.lower(): each for each in (*registry.FAMILIES, *registry.HYBRIDS)}
    families = [each.__name__.lower() for each in registry.FAMILIES]
    others = [each.__name__.lower() for each in registry.HYBRIDS]
    family, _, prior = full_name(name, families, others).partition("+")
    return Parts(classes[family], classes[prior] if prior else None)


def full_name(name: str, families: list[str] | None = None, others: list[str] | None = None) -> str:
    """``name`` in lower case and in full, if it is that of a family or of a hybrid.

    Args:
        name: as the user wrote it; an import path, with a ``:``, is left as it is.
        families: which may be parts of hybrids; by default all there are.
        others: names beside them; by default those of hybrids with a class of their own.

    Raises:
        InputError: it is none of those, with the nearest one.
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
