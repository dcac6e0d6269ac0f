"""6a: four evaluators, repaired."""

import math

import torch
from torch import Tensor


def nats(log_prob: Tensor) -> Tensor:
    return -log_prob.mean()


def joint(log_pixels: Tensor) -> Tensor:
    return log_pixels.sum(1)


def dequantise(x: Tensor, levels: int) -> Tensor:
    return x + (torch.rand_like(x) - 0.5) * 2 / levels


def unscaled(log_density, x: Tensor, a: float) -> Tensor:
    return log_density(a * x) + x.shape[1] * math.log(abs(a))
