"""11b: add the Metropolis test to a Langevin step.

x and y are (n, d); energy(x) is (n,), slope(x) is its gradient, (n, d); h is the step size.
"""

import torch
from torch import Tensor


def log_ratio(x: Tensor, y: Tensor, energy, slope, h: float) -> Tensor:
    """log r, (n,), of the move from x to y."""
    # TODO: energies, and the densities to propose the way back and the way there
    raise NotImplementedError("return log r of each row.")


def move(x: Tensor, energy, slope, h: float) -> Tensor:
    """One step of each chain, tested."""
    y = x - h**2 / 2 * slope(x) + h * torch.randn_like(x)
    # TODO: take y with probability min(1, r), and stay at x otherwise
    raise NotImplementedError("return y or x, row by row.")
