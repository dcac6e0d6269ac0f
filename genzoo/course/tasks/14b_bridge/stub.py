"""14b: an autoregressive model is a flow.    z_i = (x_i - mean_i) / std_i

conditional(x) returns mean and std, (n, d) each; their column i looks at the columns of x before i.
"""

import torch
from torch import Tensor


def to_noise(x: Tensor, conditional) -> tuple[Tensor, Tensor]:
    """z, (n, d), and log |det dz/dx| of each row, (n,): one pass."""
    raise NotImplementedError("return z and log |det J|.")


def to_data(z: Tensor, conditional) -> Tensor:
    """The x, (n, d), that `to_noise` maps to z: feature by feature."""
    # TODO: a loop over features
    raise NotImplementedError("return x, found one column at a time.")
