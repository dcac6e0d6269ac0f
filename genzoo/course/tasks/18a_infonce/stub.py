"""18a: the loss that ties captions to pictures. images and captions are (n, k)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(images: Tensor, captions: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of 'which caption?' and 'which picture?': one number."""
    # TODO: unit length, all cosines over the temperature, two cross-entropies
    raise NotImplementedError("return the loss.")
