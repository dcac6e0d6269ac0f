"""The grid of discrete data, and the only place that defines its bin width.

Data with ``L`` levels (digits: 17, 8-bit images: 256) is stored as real tensors. The interval [-1,
1] is cut into ``L`` bins of equal width and level ``k`` sits at the centre of its bin::

    x = (2k + 1) / L - 1,        k = 0, ..., L - 1,        bin width 2 / L

so that uniform dequantisation of the data fills exactly [-1, 1]. A pmf ``P`` on levels is then
equivalent to the piecewise-constant density ``P / width`` on [-1, 1], and every likelihood of the
zoo can be a density in nats per event.
"""

import math

import torch
from torch import Tensor


def bin_width(levels: int) -> float:
    """Width of one bin of a grid of ``levels`` levels on [-1, 1].

    1 for real-valued data (``levels == 0``).
    """
    if not levels:
        return 1.0
    return 2 / levels


def to_grid(k: Tensor, levels: int) -> Tensor:
    """Levels 0 ... L-1 (any shape) to bin centres in (-1, 1)."""
    return (2 * k.float() + 1) / levels - 1


def to_grid_in_parts(k: Tensor, levels: int) -> Tensor:
    """`to_grid` of levels ``(n, ...)`` in float32, a thousand events at a time.

    So that only the result has its full size, and no intermediate number.
    """
    x = torch.empty(k.shape)
    for target, part in zip(x.split(1000), k.split(1000), strict=True):
        target.copy_(to_grid(part, levels))
    return x


def to_level(x: Tensor, levels: int) -> Tensor:
    """The level (int64) of the bin that contains ``x``; of a value outside, the nearest bin's."""
    level = ((x + 1) * levels / 2).floor().long()
    return level.clamp(0, levels - 1)


def quantise(x: Tensor, levels: int) -> Tensor:
    """The nearest grid point; real-valued data (``levels == 0``) passes unchanged."""
    if not levels:
        return x
    level = to_level(x, levels)
    return to_grid(level, levels).to(x)


def is_between(x: Tensor, levels: int) -> Tensor:
    """True where ``x`` is not on the grid, booleans of x's shape; NaN counts as on it.

    The tolerance is a hundredth of a bin and the rounding error of x's precision.
    """
    tolerance = bin_width(levels) / 100 + torch.finfo(x.dtype).eps
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    distance = (wide - quantise(wide, levels)).abs()
    return distance > tolerance


def dequantise(x: Tensor, levels: int) -> Tensor:
    """Add uniform noise over the bin of each grid point; real-valued data passes unchanged.

    For a density p on [-1, 1]^D, Jensen's inequality gives E_u[log p(x + u)] <= log(P(x) /
    width^D). This turns an exact density into a *bound* for the discrete data (Theis et al.
    2016, eq. 1).
    """
    if not levels:
        return x
    noise = (torch.rand_like(x) - 0.5) * bin_width(levels)
    return x + noise


def bits_per_dim(log_prob: Tensor, dims: int, levels: int) -> Tensor:
    """Bits per dimension of discrete data, -(log p + D log width) / (D log 2).

    Args:
        log_prob: log p as a density, in nats per event, ``(n,)``.
        dims: number of features of an event, D.
        levels: of the grid.
    """
    log_width = math.log(bin_width(levels))
    nats_per_dim = -(log_prob / dims + log_width)
    return nats_per_dim / math.log(2)
