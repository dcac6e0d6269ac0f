"""11a: the gradient that needs no normaliser.    p(x) = exp(-E(x)) / Z

energy(x) is the energy of each row of x, (n,). Both losses are one number.
"""

import torch
from torch import Tensor


def exact_loss(energy, data: Tensor, worlds: Tensor) -> Tensor:
    """Mean of -log p over data, with Z a sum over all worlds."""
    raise NotImplementedError("return the mean energy of data plus log Z.")


def contrastive_loss(energy, data: Tensor, samples: Tensor) -> Tensor:
    """Has the gradient of `exact_loss`, if samples are draws of the model. Uses no Z."""
    raise NotImplementedError("return a difference of two means.")
