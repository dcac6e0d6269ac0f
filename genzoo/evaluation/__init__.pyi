from .cost import parameters, peak_memory, samples_per_second
from .figures import Figure, combine
from .likelihood.annealing import Bracket, Estimate, anneal, bracket, log_mean_exp
from .likelihood.decoder import decoder_log_likelihood, simulated_bracket, tune_sigma
from .likelihood.estimators import AIS, ODE, Own, estimator
from .likelihood.evaluate import Measured, evaluate
from .likelihood.ode import ode_log_likelihood
from .likelihood.partition import log_partition
from .likelihood.parzen import parzen_log_density
from .representation import linear_probe, round_trip
from .samples.conditional import class_accuracy, condition_errors, guidance_sweep
from .samples.quality import score_samples

__all__ = [
    "AIS",
    "ODE",
    "Bracket",
    "Estimate",
    "Figure",
    "Measured",
    "Own",
    "anneal",
    "bracket",
    "class_accuracy",
    "combine",
    "condition_errors",
    "decoder_log_likelihood",
    "estimator",
    "evaluate",
    "guidance_sweep",
    "linear_probe",
    "log_mean_exp",
    "log_partition",
    "ode_log_likelihood",
    "parameters",
    "parzen_log_density",
    "peak_memory",
    "round_trip",
    "samples_per_second",
    "score_samples",
    "simulated_bracket",
    "tune_sigma",
]
