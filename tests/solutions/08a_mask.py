"""8a: the mask of a causal convolution."""

import torch
from torch import Tensor


def mask(size: int, see_self: bool) -> Tensor:
    middle = size // 2
    allowed = torch.zeros(size, size)
    allowed[:middle] = 1
    allowed[middle, :middle] = 1
    if see_self:
        allowed[middle, middle] = 1
    return allowed
