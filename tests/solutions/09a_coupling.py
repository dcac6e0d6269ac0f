"""9a: an affine coupling layer."""

import torch
from torch import Tensor


def forward(x: Tensor, network) -> tuple[Tensor, Tensor]:
    a, b = x.chunk(2, dim=1)
    r, t = network(a)
    y = torch.cat([a, b * r.exp() + t], dim=1)
    return y, r.sum(1)


def inverse(y: Tensor, network) -> Tensor:
    a, moved = y.chunk(2, dim=1)
    r, t = network(a)
    b = (moved - t) * (-r).exp()
    return torch.cat([a, b], dim=1)
