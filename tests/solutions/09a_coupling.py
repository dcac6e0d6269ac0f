"""9a: an affine coupling layer."""

import torch
from torch import Tensor


def forward(x: Tensor, network) -> tuple[Tensor, Tensor]:
    a, b = x.chunk(2, dim=1)
    mean, log_scale = network(a)
    y = torch.cat([a, mean + log_scale.exp() * b], dim=1)
    return y, log_scale.sum(1)


def inverse(y: Tensor, network) -> Tensor:
    a, moved = y.chunk(2, dim=1)
    mean, log_scale = network(a)
    b = (moved - mean) * (-log_scale).exp()
    return torch.cat([a, b], dim=1)
