"""Registry of families: a family entered here is part of every test and command.

A family outside the package enters by an entry point (`genzoo.families.names`), or as a class that
`genzoo.compare` is given.
"""

import sys
import warnings
from importlib import import_module

from genzoo.errors import InputError
from genzoo.families.autoregressive import Autoregressive
from genzoo.families.diffusion import Diffusion
from genzoo.families.energy import Energy
from genzoo.families.flow import Flow
from genzoo.families.flow_matching import FlowMatching
from genzoo.families.gan import GAN
from genzoo.families.names import plugins
from genzoo.families.vae import VAE
from genzoo.families.vae_gan import VAEGAN
from genzoo.model import GenerativeModel

Family = type[GenerativeModel]


def _of_other_distributions() -> tuple[Family, ...]:
    """The classes behind the entry points.

    One that cannot be imported is left out, with a warning.
    """
    found = []
    for plugin in plugins():
        try:
            family = plugin.load()
        except Exception as error:  # an error in one must not make the others unusable
            warnings.warn(f"The family {plugin.value} cannot be imported: {error}", stacklevel=2)
            continue
        if not (isinstance(family, type) and issubclass(family, GenerativeModel)):
            warnings.warn(f"{plugin.value} is not a genzoo.GenerativeModel", stacklevel=2)
            continue
        found.append(family)
    return tuple(found)


# The lecture's six, which `genzoo compare` compares by default.
TAXONOMY: tuple[Family, ...] = (Autoregressive, Flow, VAE, Energy, Diffusion, GAN)

FAMILIES: tuple[Family, ...] = (*TAXONOMY, FlowMatching, *_of_other_distributions())

# Two families in one class. A hybrid that is a VAE with another family for its prior needs none:
# see `genzoo.benchmark.hybrids`.
HYBRIDS: tuple[Family, ...] = (VAEGAN,)

_given: dict[str, Family] = {}  # classes that this process was given, by their import path


def is_registered(family: Family) -> bool:
    """True if a class is a family or a hybrid of the registry."""
    return family in (*FAMILIES, *HYBRIDS)


def admit(family: Family) -> str:
    """Register a class of the user's for this process; return its import path, "module:Class".

    Raises:
        InputError: it is not a `GenerativeModel`, or has the name of another family.
    """
    if not (isinstance(family, type) and issubclass(family, GenerativeModel)):
        raise InputError(
            f"{family!r} is not a family: expected a name or a genzoo.GenerativeModel."
        )
    for known in (*FAMILIES, *HYBRIDS):
        if known.__name__.lower() == family.__name__.lower():
            raise InputError(
                f"There is already a family {known.__name__}: give yours another name."
            )
    path = f"{family.__module__}:{family.__qualname__}"
    _given[path] = family
    return path


def at(path: str) -> Family:
    """The class at an import path, "module:Class", whether it was given or is imported now.

    Raises:
        InputError: there is no such class.
    """
    if path in _given:
        return _given[path]
    module, _, name = path.partition(":")
    try:
        family = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"The family {path} cannot be imported: {error}.") from error
    if not (isinstance(family, type) and issubclass(family, GenerativeModel)):
        raise InputError(f"{path} is no family: expected a genzoo.GenerativeModel.")
    _given[path] = family
    return family


def is_known(path: str) -> bool:
    """True if an import path, "module:Class", was given to this process or its module is loaded.

    Anything else would have to be imported, and that runs code.
    """
    return path in _given or path.partition(":")[0] in sys.modules


def importable(family: Family) -> bool:
    """True if another process can import a class: not one of a notebook or of a function."""
    if family.__module__ == "__main__" or "<locals>" in family.__qualname__:
        return False
    try:
        module = import_module(family.__module__)
    except ImportError:
        return False
    return getattr(module, family.__qualname__, None) is family
