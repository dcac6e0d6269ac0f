"""What a model is worth: its likelihood and the kind of claim that is, its cost, and a scorecard
that mixes no kinds.

Names are imported on first use, so that reading a scorecard draws no pictures.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genzoo.benchmark.report.page import write_report
    from genzoo.benchmark.report.pictures import picture
    from genzoo.benchmark.scorecard import markdown, read, summarise, write
    from genzoo.evaluation.cost import parameters, peak_memory, samples_per_second
    from genzoo.evaluation.figures import Figure, combine
    from genzoo.evaluation.likelihood.annealing import (
        Bracket,
        Estimate,
        anneal,
        bracket,
        log_mean_exp,
    )
    from genzoo.evaluation.likelihood.decoder import (
        decoder_log_likelihood,
        simulated_bracket,
        tune_sigma,
    )
    from genzoo.evaluation.likelihood.evaluate import Measured, evaluate
    from genzoo.evaluation.likelihood.ode import ode_log_likelihood
    from genzoo.evaluation.likelihood.partition import log_partition
    from genzoo.evaluation.likelihood.parzen import parzen_log_density
    from genzoo.evaluation.representation import best_pair, linear_probe, round_trip, taller
    from genzoo.evaluation.samples.conditional import class_accuracy, guidance_sweep, tin_errors
    from genzoo.evaluation.samples.quality import judge

_HOME = {
    "annealing": ("Bracket", "Estimate", "anneal", "bracket", "log_mean_exp"),
    "conditional": ("class_accuracy", "guidance_sweep", "tin_errors"),
    "cost": ("parameters", "peak_memory", "samples_per_second"),
    "decoder": ("decoder_log_likelihood", "simulated_bracket", "tune_sigma"),
    "figures": ("Figure", "combine"),
    "likelihood": ("Measured", "evaluate"),
    "ode": ("ode_log_likelihood",),
    "partition": ("log_partition",),
    "parzen": ("parzen_log_density",),
    "pictures": ("picture",),
    "quality": ("judge",),
    "report": ("write_report",),
    "representation": ("best_pair", "linear_probe", "round_trip", "taller"),
    "scorecard": ("markdown", "read", "summarise", "write"),
}

__all__ = [
    "Bracket",
    "Estimate",
    "Figure",
    "Measured",
    "anneal",
    "best_pair",
    "bracket",
    "class_accuracy",
    "combine",
    "decoder_log_likelihood",
    "evaluate",
    "guidance_sweep",
    "judge",
    "linear_probe",
    "log_mean_exp",
    "log_partition",
    "markdown",
    "ode_log_likelihood",
    "parameters",
    "parzen_log_density",
    "peak_memory",
    "picture",
    "read",
    "round_trip",
    "samples_per_second",
    "simulated_bracket",
    "summarise",
    "taller",
    "tin_errors",
    "tune_sigma",
    "write",
    "write_report",
]


def __getattr__(name: str):
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"genzoo.evaluation.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
