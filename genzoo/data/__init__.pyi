from .dataset import Data, DataSet, FeatureSpace, Split
from .loading import load

__all__ = [
    "Data",
    "DataSet",
    "FeatureSpace",
    "Split",
    "load",
]
