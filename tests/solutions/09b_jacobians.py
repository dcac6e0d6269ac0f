"""9b: five honest layers."""

import math

import torch
from torch import Tensor


def stretch(x: Tensor) -> tuple[Tensor, Tensor]:
    return 3 * x, torch.full((len(x),), 2 * math.log(3))


def rotate(x: Tensor) -> tuple[Tensor, Tensor]:
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]]).to(x)
    return x @ turn, x.new_zeros(len(x))


def shear(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.stack([x[:, 0], x[:, 1] + x[:, 0] ** 2], 1), x.new_zeros(len(x))


def squash(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.asinh(x), -(1 + x**2).log().sum(1) / 2


def swap(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.flip(1), x.new_zeros(len(x))


LAYERS = [stretch, rotate, shear, squash, swap]
