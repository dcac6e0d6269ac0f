"""8c: draw one feature after the other."""

import torch
from torch import Tensor


def sample(conditional, n: int, d: int) -> Tensor:
    x = torch.zeros(n, d, dtype=torch.long)
    for i in range(d):
        chances = conditional(x, i)
        x[:, i] = torch.multinomial(chances, 1).squeeze(1)
    return x
