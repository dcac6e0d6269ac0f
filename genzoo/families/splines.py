r"""Monotone splines of rational quadratics, their slopes and their inverses.

A spline of K bins maps an interval onto an interval. In bin k, of width w and height h, it rises
with slope :math:`\delta_0` on the left and :math:`\delta_1` on the right. With :math:`s = h / w`
and the place :math:`\theta = (x - x_k) / w` in the bin,

.. math::

    y = y_k + h\, \frac{s \theta^2 + \delta_0 \theta (1 - \theta)}
                       {s + (\delta_0 + \delta_1 - 2 s)\, \theta (1 - \theta)}

which rises everywhere and is smooth at the knots. The inverse is the root of a quadratic.

The functions are those of nflows (and tested against it). They are here because most of a bin is
never asked for: nflows computes every knot and every slope of every spline, with gradients, for the
one bin in which x lies. Here a search without gradients finds that bin, and gradients flow through
what belongs to it.

References: Gregory & Delbourgo 1982; Durkan et al. 2019, *Neural spline flows* (eq. 4, 5 and 6-8).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Least(NamedTuple):
    """Lower limits of a bin.

    Args:
        mass: width and height, as shares of the interval.
        slope: at a knot.
    """

    mass: float = 1e-3
    slope: float = 1e-3


class Bin(NamedTuple):
    """The bin in which each argument of a spline lies; fields have the arguments' shape."""

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    first_slope: Tensor
    last_slope: Tensor


def rise(x: Tensor, at: Bin) -> tuple[Tensor, Tensor]:
    """The spline's value and log-slope at ``x``."""
    place = (x - at.left) / at.width
    share, log_slope = _within(place, at)
    return at.bottom + at.height * share, log_slope


def fall(y: Tensor, at: Bin) -> tuple[Tensor, Tensor]:
    """Inverse of the spline: the place with the value ``y``, and minus the log-slope there."""
    mean = at.height / at.width
    bend = at.first_slope + at.last_slope - 2 * mean
    above = y - at.bottom
    # of the quadratic a place^2 + b place + c = 0
    bent = above * bend
    a = at.height * (mean - at.first_slope) + bent
    b = at.height * at.first_slope - bent
    c = -mean * above
    discriminant = b.square() - 4 * a * c
    root = discriminant.clamp(min=0).sqrt()  # it is negative by rounding alone
    place = -2 * c / (b + root)
    _, log_slope = _within(place, at)
    return at.left + at.width * place, -log_slope


def _within(place: Tensor, at: Bin) -> tuple[Tensor, Tensor]:
    """Share of a bin's height that is reached at ``place`` in [0, 1] of its width; log-slope."""
    rest = 1 - place
    both = place * rest
    mean = at.height / at.width
    bend = at.first_slope + at.last_slope - 2 * mean

    above = mean * place.square() + at.first_slope * both
    below = mean + bend * both
    share = above / below

    at_right = at.last_slope * place.square()
    at_left = at.first_slope * rest.square()
    slopes = at_right + 2 * mean * both + at_left
    log_slope = slopes.log() + 2 * (mean / below).log()
    return share, log_slope


def between_tails(
    x: Tensor,
    raw: Tensor,
    bound: float,
    least: Least,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Splines on [-bound, bound], each of its own shape, that are the identity outside.

    Args:
        x: arguments (values, for the inverse), ``(n, c, ...)``.
        raw: for each argument log-widths, log-heights (neither normalised) and K - 1 raw slopes,
            ``(n, c, 3 K - 1, ...)``; at both ends the slope is 1.
        bound: half the interval's length.
        least: see `Least`.
        inverse: whether the inverse is asked for.

    Returns:
        values and log-slopes, of the shape of ``x``.
    """
    inside = x.abs() <= bound
    kept = torch.where(inside, x, 0.0)  # any place will do for the others
    at = _bin_between_tails(kept, raw, bound, least, inverse)
    y, log_slope = fall(kept, at) if inverse else rise(kept, at)
    return torch.where(inside, y, x), torch.where(inside, log_slope, 0.0)


def _bin_between_tails(x: Tensor, raw: Tensor, bound: float, least: Least, inverse: bool) -> Bin:
    """The bins in which ``x`` lies; the arguments are those of `between_tails`."""
    bins = (raw.shape[2] + 1) // 3
    raw_sizes = raw[:, :, : 2 * bins]
    raw_slopes = raw[:, :, 2 * bins :]
    shares = raw_sizes.unflatten(2, (2, bins)).softmax(3)  # of widths, and of heights
    rest = 1 - bins * least.mass

    with torch.no_grad():
        searched = shares[:, :, int(inverse)]
        number = torch.arange(bins, dtype=x.dtype, device=x.device)
        number = number.view(-1, *[1] * (x.dim() - 2))
        knots = least.mass * (number + 1) + rest * searched.cumsum(2)
        inner_knots = knots[:, :, :-1]
        place = (x.unsqueeze(2) + bound) / (2 * bound)
        k = (place >= inner_knots).sum(2, keepdim=True)
        count = k.to(x.dtype)
        is_before = (number < count).to(x.dtype)

    shares_before = shares * is_before.unsqueeze(2)
    begin = least.mass * count + rest * shares_before.sum(3)
    left, bottom = (bound * (2 * begin - 1)).unbind(2)

    k_of_both = k.unsqueeze(2).expand(-1, -1, 2, *k.shape[2:])
    own_share = shares.gather(3, k_of_both).squeeze(3)
    size = least.mass + rest * own_share
    width, height = (2 * bound * size).unbind(2)

    first, last = _slopes_of_bin(raw_slopes, k, least)
    return Bin(left, width, bottom, height, first, last)


def _slopes_of_bin(raw: Tensor, k: Tensor, least: Least) -> tuple[Tensor, Tensor]:
    """Slopes at the two ends of bin ``k`` (n, c, 1, ...), of K - 1 inner ones and two of 1."""
    one = math.log(math.expm1(1 - least.slope))  # of which `_positive` makes 1
    sides = [0, 0] * (raw.dim() - 3)
    padded = F.pad(raw, [*sides, 1, 1], value=one)
    ends = padded.gather(2, torch.cat([k, k + 1], 2))
    first, last = _positive(ends, least).unbind(2)
    return first, last


def of_features(
    x: Tensor,
    widths: Tensor,
    heights: Tensor,
    slopes: Tensor,
    least: Least,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Splines from [0, 1] onto [0, 1], one for each feature, the same for all events.

    Args:
        x: arguments (values, for the inverse) in [0, 1], ``(n, *shape)``.
        widths, heights: their logarithms, not normalised, ``(*shape, K)``.
        slopes: raw, at all knots, ``(*shape, K + 1)``.
        least: see `Least`.
        inverse: whether the inverse is asked for.

    Returns:
        values and log-slopes, of the shape of ``x``.
    """
    columns = x.flatten(1).T.contiguous()  # a row for each feature, as `searchsorted` wants it
    across = _knots(widths.flatten(0, -2), least)
    up = _knots(heights.flatten(0, -2), least)
    searched = up if inverse else across
    inner_knots = searched[:, 1:-1].detach().contiguous()
    k = torch.searchsorted(inner_knots, columns.detach(), right=True)

    positive = _positive(slopes.flatten(0, -2), least)
    left = across.gather(1, k)
    right = across.gather(1, k + 1)
    bottom = up.gather(1, k)
    top = up.gather(1, k + 1)
    first = positive.gather(1, k)
    last = positive.gather(1, k + 1)
    at = Bin(left, right - left, bottom, top - bottom, first, last)

    y, log_slope = fall(columns, at) if inverse else rise(columns, at)
    return y.T.reshape(x.shape), log_slope.T.reshape(x.shape)


def _knots(raw: Tensor, least: Least) -> Tensor:
    """The edges of bins on [0, 1], of their log-sizes ``(features, K)``: ``(features, K + 1)``."""
    bins = raw.shape[1]
    sizes = least.mass + (1 - bins * least.mass) * raw.softmax(1)
    inner = sizes.cumsum(1)[:, :-1]
    ends = sizes.new_tensor([0.0, 1.0]).expand(len(sizes), 2)
    return torch.cat([ends[:, :1], inner, ends[:, 1:]], 1)


def _positive(raw: Tensor, least: Least) -> Tensor:
    """Slopes, none less than the least."""
    return least.slope + F.softplus(raw)
