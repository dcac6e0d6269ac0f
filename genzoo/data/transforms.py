"""A transform for torchvision's data sets: images onto the grid of discrete data."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo import grid


class ToGrid:
    """Maps an image to the grid of `genzoo.grid`, as ``(c, h, w)`` in (-1, 1)::

        MNIST("data", transform=ToGrid(256))

    It takes the types that torchvision has: PIL images and arrays or tensors of bytes, ``(h, w)``
    or ``(h, w, c)``, and tensors of floats in [0, 1], ``(c, h, w)``, such as `ToTensor` makes.

    Args:
        levels: number of values of a feature, at most 256 for bytes.
    """

    def __init__(self, levels: int = 256):
        self.levels = levels

    def __call__(self, image: Any) -> Tensor:
        if isinstance(image, Tensor) and image.is_floating_point():
            levels = (image * self.levels).floor().clamp(0, self.levels - 1)
            return grid.to_grid(levels, self.levels)
        if not isinstance(image, Tensor):
            image = torch.as_tensor(np.array(image))
        if image.dim() == 2:
            image = image.unsqueeze(-1)
        pixels = image.movedim(-1, 0).long()
        levels = pixels * self.levels // 256
        return grid.to_grid(levels, self.levels)

    def __repr__(self) -> str:
        return f"ToGrid({self.levels})"
