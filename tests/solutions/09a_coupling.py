"""9a: an affine coupling layer."""

import torch
from torch import Tensor


def forward(z: Tensor, network) -> tuple[Tensor, Tensor]:
    a, b = z.chunk(2, dim=1)
    mean, log_scale = network(a)
    x = torch.cat([a, mean + log_scale.exp() * b], dim=1)
    return x, log_scale.sum(1)


def inverse(x: Tensor, network) -> Tensor:
    a, moved = x.chunk(2, dim=1)
    mean, log_scale = network(a)
    b = (moved - mean) * (-log_scale).exp()
    return torch.cat([a, b], dim=1)
