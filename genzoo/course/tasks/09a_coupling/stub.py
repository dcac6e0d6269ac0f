"""9a: an affine coupling layer.    x_a = a,    x_b = mean(a) + exp(log_scale(a)) b

a and b are the halves of z, (n, d/2) each; mean, log_scale = network(a), likewise.
"""

import torch
from torch import Tensor


def forward(z: Tensor, network) -> tuple[Tensor, Tensor]:
    """x, (n, d), and log |det J| of each row, (n,)."""
    a, b = z.chunk(2, dim=1)
    # TODO: ask the network about a, then move b
    raise NotImplementedError("return x and log |det J| of each row.")


def inverse(x: Tensor, network) -> Tensor:
    """The z, (n, d), that `forward` maps to x."""
    # TODO: which half of z do you know already?
    raise NotImplementedError("undo the shift and the scale, and return z.")
