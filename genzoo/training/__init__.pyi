from .callbacks import default_callbacks
from .fitting import Fitted, fit
from .two_stage import fit_in_stages

__all__ = [
    "Fitted",
    "default_callbacks",
    "fit",
    "fit_in_stages",
]
