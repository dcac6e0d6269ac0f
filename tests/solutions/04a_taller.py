"""4a: one step in latent space makes a tin taller."""

import torch
from torch import Tensor


def find_step(z: Tensor, sizes: Tensor) -> Tensor:
    ones = torch.ones(len(sizes), 1)
    per_height, _per_width, _shift = torch.linalg.lstsq(torch.cat([sizes, ones], 1), z).solution
    return per_height


def make_taller(x: Tensor, encode, decode, step: Tensor, pixels: float) -> Tensor:
    return decode(encode(x) + pixels * step)
