"""8c: draw one feature after the other."""

import torch
from torch import Tensor


def sample(conditional, n: int, d: int) -> Tensor:
    x = torch.zeros(n, d, dtype=torch.long)
    for i in range(d):
        probs = conditional(x, i)
        x[:, i] = torch.multinomial(probs, 1).squeeze(1)
    return x
