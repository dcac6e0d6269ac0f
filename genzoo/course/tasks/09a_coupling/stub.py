"""9a: an affine coupling layer.    y_a = a,    y_b = mean(a) + exp(log_scale(a)) b

a and b are the halves of x, (n, d/2) each; mean, log_scale = network(a), likewise.
"""

import torch
from torch import Tensor


def forward(x: Tensor, network) -> tuple[Tensor, Tensor]:
    """y, (n, d), and log |det J| of each row, (n,)."""
    a, b = x.chunk(2, dim=1)
    # TODO: ask the network about a, then move b
    raise NotImplementedError("return y and log |det J| of each row.")


def inverse(y: Tensor, network) -> Tensor:
    """The x, (n, d), that `forward` maps to y."""
    # TODO: which half of x do you know already?
    raise NotImplementedError("undo the shift and the scale, and return x.")
