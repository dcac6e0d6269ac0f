"""11b: a Langevin step with a Metropolis test."""

import torch
from torch import Tensor


def log_ratio(x: Tensor, y: Tensor, energy, slope, h: float) -> Tensor:
    there = -(y - x + h**2 / 2 * slope(x)).square().sum(1) / (2 * h**2)
    back = -(x - y + h**2 / 2 * slope(y)).square().sum(1) / (2 * h**2)
    return energy(x) - energy(y) + back - there


def move(x: Tensor, energy, slope, h: float) -> Tensor:
    y = x - h**2 / 2 * slope(x) + h * torch.randn_like(x)
    taken = torch.rand(len(x)).log() < log_ratio(x, y, energy, slope, h)
    return torch.where(taken[:, None], y, x)
