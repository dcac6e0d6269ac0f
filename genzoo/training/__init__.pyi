from .callbacks import default_callbacks
from .distillation import distil
from .fitting import Fitted, fit
from .two_stage import fit_in_stages

__all__ = [
    "Fitted",
    "default_callbacks",
    "distil",
    "fit",
    "fit_in_stages",
]
