"""8a: the mask of a causal convolution. Pixels are read row by row, from left to right."""

import torch
from torch import Tensor


def mask(size: int, see_self: bool) -> Tensor:
    """Ones where a kernel may look, (size, size), size odd. Its middle is the pixel itself."""
    middle = size // 2
    allowed = torch.zeros(size, size)
    # TODO: which entries were read before the middle one?
    raise NotImplementedError("return the mask of ones and zeros.")
