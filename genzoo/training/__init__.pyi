from .fitting import Fitted, fit
from .two_stage import fit_in_stages

__all__ = [
    "Fitted",
    "fit",
    "fit_in_stages",
]
