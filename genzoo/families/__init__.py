"""The six families of the lecture's taxonomy and a seventh, one file each, readable top to bottom;
and a hybrid of two.
"""

from genzoo.families.autoregressive import Autoregressive
from genzoo.families.diffusion import Diffusion
from genzoo.families.energy import Energy
from genzoo.families.flow import Flow
from genzoo.families.flow_matching import FlowMatching
from genzoo.families.gan import GAN
from genzoo.families.vae import VAE
from genzoo.families.vae_gan import VAEGAN
from genzoo.model import GenerativeModel

# The lecture's six, which `genzoo compare` sets side by side unless it is told otherwise.
TAXONOMY: tuple[type[GenerativeModel], ...] = (Autoregressive, Flow, VAE, Energy, Diffusion, GAN)

# The registry: a family is one file and one entry here, and gets every check and every verb of the
# command line.
FAMILIES: tuple[type[GenerativeModel], ...] = (*TAXONOMY, FlowMatching)

# Two families in one class. A hybrid that is a VAE with another family for its prior needs none:
# see `genzoo.benchmark.hybrids`.
HYBRIDS: tuple[type[GenerativeModel], ...] = (VAEGAN,)

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
]
