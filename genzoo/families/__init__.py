"""The six families of the lecture's taxonomy, one file each, readable top to bottom."""

from genzoo.families.autoregressive import Autoregressive
from genzoo.families.diffusion import Diffusion
from genzoo.families.energy import Energy
from genzoo.families.flow import Flow
from genzoo.families.gan import GAN
from genzoo.families.vae import VAE
from genzoo.model import GenerativeModel

# The registry: a family is one file and one entry here, and gets every check and every verb of the command line.
FAMILIES: tuple[type[GenerativeModel], ...] = (Autoregressive, Flow, VAE, Energy, Diffusion, GAN)

__all__ = ["FAMILIES", "GAN", "VAE", "Autoregressive", "Diffusion", "Energy", "Flow"]
