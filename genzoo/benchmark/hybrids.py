"""Hybrids, and how they are named: ``vae+flow`` is a VAE whose prior is a flow, ``vaegan`` a class
of its own.

Composition itself takes no code here. A VAE takes any model for its prior, its likelihood's claim
is computed from that of its parts, and `genzoo.training.two_stage` fits a prior in a second stage
where it is not trained along.

A name is two families with a ``+`` between: the whole, then the part it is given. ``ar`` is short
for ``autoregressive``.
"""

from typing import TYPE_CHECKING, NamedTuple

from genzoo.errors import InputError, nearest

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
    from genzoo import families
    from genzoo.serialization import named

    registered = [family.__name__.lower() for family in families.FAMILIES]
    others = [family.__name__.lower() for family in families.HYBRIDS]
    family, _, prior = known(name, registered, others).partition("+")
    return Parts(named(family), named(prior) if prior else None)


def known(name: str, families: list[str], others: list[str]) -> str:
    """``name`` in lower case and in full, if it is one of ``families``, of ``others``, or a hybrid
    by composition.

    Raises:
        InputError: it is none of those, with the nearest one.
    """
    full = "+".join(SHORT.get(part, part) for part in name.lower().split("+"))
    composed = [f"{WHOLE}+{family}" for family in families]
    if full in (*families, *others, *composed):
        return full
    hint = nearest(full, [*families, *others, *composed])
    if "+" in name:
        raise InputError(f"There is no hybrid {name!r}: write {WHOLE}+FAMILY. {hint}")
    raise InputError(f"There is no family {name!r}. {hint}")
