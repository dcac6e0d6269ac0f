from .dataset import Data, DataSet, FeatureSpace, Split
from .loading import load
from .transforms import ToGrid

__all__ = [
    "Data",
    "DataSet",
    "FeatureSpace",
    "Split",
    "ToGrid",
    "load",
]
