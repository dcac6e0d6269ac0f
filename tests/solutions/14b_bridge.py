"""14b: an autoregressive model is a flow."""

import torch
from torch import Tensor


def to_noise(x: Tensor, conditional) -> tuple[Tensor, Tensor]:
    mean, std = conditional(x)
    return (x - mean) / std, -std.log().sum(1)


def to_data(z: Tensor, conditional) -> Tensor:
    x = torch.zeros_like(z)
    for i in range(z.shape[1]):
        mean, std = conditional(x)
        x[:, i] = mean[:, i] + std[:, i] * z[:, i]
    return x
