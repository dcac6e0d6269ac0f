"""14b: an autoregressive model is a flow."""

import torch
from torch import Tensor


def to_noise(x: Tensor, conditional) -> tuple[Tensor, Tensor]:
    m, s = conditional(x)
    return (x - m) / s, -s.log().sum(1)


def to_data(z: Tensor, conditional) -> Tensor:
    x = torch.zeros_like(z)
    for i in range(z.shape[1]):
        m, s = conditional(x)
        x[:, i] = m[:, i] + s[:, i] * z[:, i]
    return x
