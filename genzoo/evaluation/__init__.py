"""What a model is worth: its likelihood and the kind of claim that is, its cost, and a scorecard that mixes no kinds.

Names are imported on first use, so that reading a scorecard draws no pictures.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genzoo.evaluation.annealing import Bracket, Estimate, anneal, bracket, log_mean_exp
    from genzoo.evaluation.cost import parameters, samples_per_second
    from genzoo.evaluation.decoder import decoder_log_likelihood, simulated_bracket, tune_sigma
    from genzoo.evaluation.likelihood import Measured, evaluate
    from genzoo.evaluation.ode import ode_log_likelihood
    from genzoo.evaluation.partition import log_partition
    from genzoo.evaluation.parzen import parzen_log_density
    from genzoo.evaluation.pictures import picture
    from genzoo.evaluation.quality import judge
    from genzoo.evaluation.report import write_report
    from genzoo.evaluation.scorecard import markdown, read, summarise, write

_HOME = {
    "annealing": ("Bracket", "Estimate", "anneal", "bracket", "log_mean_exp"),
    "cost": ("parameters", "samples_per_second"),
    "decoder": ("decoder_log_likelihood", "simulated_bracket", "tune_sigma"),
    "likelihood": ("Measured", "evaluate"),
    "ode": ("ode_log_likelihood",),
    "partition": ("log_partition",),
    "parzen": ("parzen_log_density",),
    "pictures": ("picture",),
    "quality": ("judge",),
    "report": ("write_report",),
    "scorecard": ("markdown", "read", "summarise", "write"),
}

__all__ = [
    "Bracket", "Estimate", "Measured", "anneal", "bracket", "decoder_log_likelihood", "evaluate", "judge",
    "log_mean_exp", "log_partition", "markdown", "ode_log_likelihood", "parameters", "parzen_log_density", "picture", "read",
    "samples_per_second", "simulated_bracket", "summarise", "tune_sigma", "write", "write_report",
]  # fmt: skip


def __getattr__(name: str):
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"genzoo.evaluation.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
