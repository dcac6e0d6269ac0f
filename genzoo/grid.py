"""The grid that discrete data lives on, and the one place where its bin width is written.

Data with ``L`` levels (digits: 17, 8-bit images: 256) is stored as real tensors. The interval [-1,
1] is cut into ``L`` bins of equal width and level ``k`` sits at the centre of its bin::

    x = (2k + 1) / L - 1,        k = 0, ..., L - 1,        bin width 2 / L

so that uniform dequantisation of the data fills exactly [-1, 1]. A pmf ``P`` on levels and the
piecewise-constant density ``P / width`` on [-1, 1] are then the same statement, and every
likelihood of the zoo can be a density in nats per event.
"""

import math

import torch
from torch import Tensor


def bin_width(levels: int) -> float:
    """Width of one bin of a grid of ``levels`` levels on [-1, 1].

    1 for real-valued data (``levels == 0``).
    """
    return 2 / levels if levels else 1.0


def to_grid(k: Tensor, levels: int) -> Tensor:
    """Levels 0 ... L-1 (any shape) to bin centres in (-1, 1)."""
    return (2 * k.float() + 1) / levels - 1


def to_level(x: Tensor, levels: int) -> Tensor:
    """The level (int64) of the bin that holds ``x``; what is outside goes to the nearest bin."""
    return ((x + 1) * levels / 2).floor().long().clamp(0, levels - 1)


def quantise(x: Tensor, levels: int) -> Tensor:
    """The nearest grid point; real-valued data (``levels == 0``) passes unchanged."""
    return to_grid(to_level(x, levels), levels).to(x) if levels else x


def is_between(x: Tensor, levels: int) -> Tensor:
    """Where ``x`` is not on the grid, booleans of x's shape; NaN counts as on it.

    What rounding in x's own precision, or a hundredth of a bin, explains is on it.
    """
    tolerance = bin_width(levels) / 100 + torch.finfo(x.dtype).eps
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide - quantise(wide, levels)).abs() > tolerance


def dequantise(x: Tensor, levels: int) -> Tensor:
    """Add uniform noise over the bin of each grid point; real-valued data passes unchanged.

    For a density p on [-1, 1]^D, Jensen's inequality gives E_u[log p(x + u)] <= log(P(x) /
    width^D): this is what turns an exact density into a *bound* for the discrete data (Theis et al.
    2016, eq. 1).
    """
    return x + (torch.rand_like(x) - 0.5) * bin_width(levels) if levels else x


def bits_per_dim(log_prob: Tensor, dims: int, levels: int) -> Tensor:
    """Bits per dimension of the discrete data from a density in nats per event.

    -(log p + D log width) / (D log 2).
    """
    return -(log_prob / dims + math.log(bin_width(levels))) / math.log(2)
