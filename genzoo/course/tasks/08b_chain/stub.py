"""8b: the chain rule on three pixels.    p(x) = p(x1) p(x2 | x1) p(x3 | x1, x2)

first is p(x1 = 1); second[x1] is p(x2 = 1 | x1), (2,); third[x1, x2] is p(x3 = 1 | x1, x2), (2, 2).
"""

import torch
from torch import Tensor


def log_prob(x: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """log p(x) of pictures x, (n, 3) whole numbers 0 or 1: (n,)."""
    raise NotImplementedError("return the sum of three logarithms.")


def conditionals(joint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """first, second and third, of the table joint[x1, x2, x3] of all eight probabilities."""
    raise NotImplementedError("return first, second, third.")
