from . import names, registry
from .autoregressive import Autoregressive
from .diffusion import Diffusion
from .energy import Energy
from .flow import Flow
from .flow_matching import FlowMatching
from .gan import GAN
from .registry import FAMILIES, HYBRIDS, TAXONOMY
from .vae import VAE
from .vae_gan import VAEGAN

__all__ = [
    "FAMILIES",
    "GAN",
    "HYBRIDS",
    "TAXONOMY",
    "VAE",
    "VAEGAN",
    "Autoregressive",
    "Diffusion",
    "Energy",
    "Flow",
    "FlowMatching",
    "names",
    "registry",
]
