"""Data sets, each stating its shape, levels, classes and, where it is known, its true density.

Names are imported on first use (PEP 562): reading `genzoo.data.names` must not cost the import of
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genzoo.data.dataset import Data, DataSet, Split
    from genzoo.data.loading import load

__all__ = ["Data", "DataSet", "Split", "load"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("genzoo.data.loading"), name)
