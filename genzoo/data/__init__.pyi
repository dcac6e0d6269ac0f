from .dataset import Data, DataSet, Split
from .loading import load

__all__ = [
    "Data",
    "DataSet",
    "Split",
    "load",
]
