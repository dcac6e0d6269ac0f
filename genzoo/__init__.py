"""genzoo: six families of generative models behind one interface, compared honestly.

    >>> import genzoo
    >>> data = genzoo.data.load("digits")
    >>> model = genzoo.VAE(data.event_shape, levels=data.levels)
    >>> model.sample(3).shape
    torch.Size([3, 1, 8, 8])

Public names load on first use, so that ``import genzoo`` and ``genzoo --help`` cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genzoo import compression, data, evaluation
    from genzoo.families import (
        FAMILIES,
        GAN,
        VAE,
        VAEGAN,
        Autoregressive,
        Diffusion,
        Energy,
        Flow,
        FlowMatching,
    )
    from genzoo.model import GenerativeModel, Latent, Likelihood
    from genzoo.serialization import load, save
    from genzoo.training.fitting import fit

_HOME = {
    "genzoo.families": (
        "FAMILIES",
        "Autoregressive",
        "Flow",
        "VAE",
        "Energy",
        "Diffusion",
        "GAN",
        "FlowMatching",
        "VAEGAN",
    ),
    "genzoo.model": ("GenerativeModel", "Latent", "Likelihood"),
    "genzoo.serialization": ("load", "save"),
    "genzoo.training.fitting": ("fit",),
}

__all__ = [
    "FAMILIES",
    "GAN",
    "VAE",
    "VAEGAN",
    "Autoregressive",
    "Diffusion",
    "Energy",
    "Flow",
    "FlowMatching",
    "GenerativeModel",
    "Latent",
    "Likelihood",
    "compression",
    "data",
    "evaluation",
    "fit",
    "load",
    "save",
]


def __getattr__(name: str):
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(module), name)
    if name in ("compression", "data", "evaluation"):
        return import_module(f"genzoo.{name}")
    raise AttributeError(f"module 'genzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
