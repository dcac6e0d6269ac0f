from . import (
    benchmark,
    compression,
    course,
    data,
    distributions,
    evaluation,
    families,
    grid,
    model,
    nets,
    pretrained,
    serialization,
    training,
    unclip,
)
from .benchmark.comparison import compare
from .benchmark.scorecard import Scorecard
from .families import (
    FAMILIES,
    GAN,
    VAE,
    VAEGAN,
    Autoregressive,
    Diffusion,
    Energy,
    Flow,
    FlowMatching,
)
from .model import GenerativeModel, Latent, Likelihood
from .pretrained.hub import push_to_hub
from .serialization import load, save
from .training.fitting import fit

__version__: str

__all__ = [
    "FAMILIES",
    "GAN",
    "VAE",
    "VAEGAN",
    "Autoregressive",
    "Diffusion",
    "Energy",
    "Flow",
    "FlowMatching",
    "GenerativeModel",
    "Latent",
    "Likelihood",
    "Scorecard",
    "benchmark",
    "compare",
    "compression",
    "course",
    "data",
    "distributions",
    "evaluation",
    "families",
    "fit",
    "grid",
    "load",
    "model",
    "nets",
    "pretrained",
    "push_to_hub",
    "save",
    "serialization",
    "training",
    "unclip",
]
