r"""Lattices: couplings of histograms, whose density is a staircase with a step at each level.

References: Müller et al. 2019, *Neural importance sampling* (piecewise-linear couplings).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from genzoo import grid
from genzoo.nets import is_image

# mass of a bin of a histogram
LEAST = 1e-6

# (shape, outputs) -> network of a coupling
Networks = Callable[[tuple[int, ...], int], nn.Module]


class HistogramCoupling(nn.Module):
    """Nested couplings on [0, 1]^D: the odd features given the even ones, half of those given ...

    A coupling is a piecewise-linear distribution function with a knot at each edge of the levels'
    bins (Müller et al. 2019), that is a histogram of the odd features given the even ones. Images
    are cut along their longer side, columns or rows in turn; what cannot be cut so is taken as a
    line. After log2 D couplings one feature is left, which has a histogram of its own.

    Args:
        shape: of an observation.
        levels: of the data.
        network: makes the network of a coupling, see `genzoo.nets`.
    """

    def __init__(self, shape: tuple[int, ...], levels: int, network: Networks):
        super().__init__()
        self.shape = line(shape)
        self.levels = levels
        self.bins = bins_for(levels)
        wide = is_image(self.shape) and self.shape[1] > self.shape[2]
        self.axis = 2 if wide else len(self.shape)
        if torch.Size(self.shape).numel() == 1:
            self.inner = None
            self.logits = nn.Parameter(torch.zeros(self.bins))
            return
        even, odd = self.halves(torch.empty(1, *self.shape))
        even_shape = tuple(even.shape[1:])
        self.odd_shape = tuple(odd.shape[1:])
        # a histogram for each channel of a pixel, or for each odd feature of a line
        histograms = even_shape[0] if is_image(even_shape) else self.odd_shape[0]
        self.network = network(even_shape, self.bins * histograms)
        self.inner = HistogramCoupling(even_shape, levels, network)

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The even and the odd places along the axis that is cut."""
        places = torch.arange(x.shape[self.axis], device=x.device)
        even = x.index_select(self.axis, places[0::2])
        odd = x.index_select(self.axis, places[1::2])
        return even, odd

    def interleave(self, even: Tensor, odd: Tensor) -> Tensor:
        """The inverse of `halves`."""
        evens = even.shape[self.axis]
        odds = odd.shape[self.axis]
        places = torch.arange(evens + odds, device=even.device)
        is_odd = places % 2
        where = places // 2 + is_odd * evens
        joined = torch.cat([even, odd], self.axis)
        return joined.index_select(self.axis, where)

    def histograms(self, even: Tensor, e: Tensor) -> Tensor:
        """Log-masses of the odd features given the *levels* of the even ones, not normalised.

        They are ``(n, *odd_shape, bins)``. The noise of the even ones carries no information about
        the data: since the network does not see it, the bound of the couplings is tight.
        """
        quantised = grid.quantise(2 * even - 1, self.levels)
        raw = self.network(quantised, e)
        each = raw.unflatten(1, (self.bins, -1))
        each = each.movedim(1, -1)
        return each.reshape(len(even), *self.odd_shape, self.bins)

    def forward(self, inputs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        x = inputs.reshape(-1, *self.shape)
        if self.inner is None:
            logits = self.logits.expand(*x.shape, -1)
            y, log_slopes = piecewise_linear_cdf(x, logits)
            log_determinant = log_slopes.flatten(1).sum(1)
            return y.view_as(inputs), log_determinant
        even, odd = self.halves(x)
        logits = self.histograms(even, context)
        odd, log_slopes = piecewise_linear_cdf(odd, logits)
        even, log_determinant = self.inner(even, context)
        log_determinant = log_determinant + log_slopes.flatten(1).sum(1)
        y = self.interleave(even, odd)
        return y.view_as(inputs), log_determinant

    def inverse(self, inputs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        y = inputs.reshape(-1, *self.shape)
        if self.inner is None:
            logits = self.logits.expand(*y.shape, -1)
            x, log_slopes = piecewise_linear_cdf(y, logits, inverse=True)
            log_determinant = log_slopes.flatten(1).sum(1)
            return x.view_as(inputs), log_determinant
        even, odd = self.halves(y)
        even, log_determinant = self.inner.inverse(even, context)
        logits = self.histograms(even, context)
        odd, log_slopes = piecewise_linear_cdf(odd, logits, inverse=True)
        log_determinant = log_determinant + log_slopes.flatten(1).sum(1)
        x = self.interleave(even, odd)
        return x.view_as(inputs), log_determinant


def piecewise_linear_cdf(
    x: Tensor,
    logits: Tensor,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The distribution function of a histogram on [0, 1], or its inverse.

    Args:
        x: places (masses, for the inverse) in [0, 1], ``(...)``.
        logits: log-masses of the bins, ``(..., bins)``. No bin is emptier than `LEAST`, so that
            the inverse exists everywhere.
        inverse: whether the inverse is asked for.

    Returns:
        its values and its log-slopes, ``(...)`` each.
    """
    bins = logits.shape[-1]
    shared = 1 - bins * LEAST
    masses = shared * logits.softmax(-1) + LEAST
    upper = masses.cumsum(-1)
    if inverse:
        passed = x.unsqueeze(-1) >= upper[..., :-1]
        k = passed.sum(-1)
    else:
        k = (x * bins).long().clamp(0, bins - 1)

    def of_bin(values: Tensor) -> Tensor:
        chosen = values.gather(-1, k.unsqueeze(-1))
        return chosen.squeeze(-1)

    mass = of_bin(masses)
    below = of_bin(upper - masses)
    log_slope = torch.log(mass * bins)
    if inverse:
        place = (k + (x - below) / mass) / bins
        return place, -log_slope
    value = below + (x * bins - k) * mass
    return value, log_slope


def line(shape: tuple[int, ...]) -> tuple[int, ...]:
    """An image whose longer side is even stays one; any other shape becomes a line of features."""
    if is_image(shape):
        longer_side = max(shape[1:])
        if longer_side % 2 == 0:
            return shape
    return (torch.Size(shape).numel(),)


def bins_for(levels: int, most: int = 256) -> int:
    """As many bins as there are levels, or the largest divisor of that up to ``most``."""
    if levels <= most:
        return levels
    divisors = [bins for bins in range(1, most + 1) if levels % bins == 0]
    return max(divisors)
