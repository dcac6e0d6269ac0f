"""Likelihoods of single features, as `torch.distributions`: what autoregressive models and VAE
decoders end in.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal

from genzoo import grid


class DiscretisedLogisticMixture(Distribution):
    """A mixture of K logistics, integrated over the L bins of `genzoo.grid`: a pmf for *ordered*
    levels.

    The first and last bins extend to infinity, so the pmf sums to one exactly. `log_prob` is the
    pmf divided by the bin width: a piecewise-constant density, in nats (Salimans et al. 2017,
    PixelCNN++, eq. 2).

    Args:
        logits, loc, log_scale: ``(..., K)``.
        levels: L >= 2.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, levels: int):
        self.logits, self.loc, self.log_scale, self.levels = logits, loc, log_scale, levels
        super().__init__(logits.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        x, width = value.unsqueeze(-1), grid.bin_width(self.levels)
        inverse_scale = torch.exp(-self.log_scale)
        upper = (x + width / 2 - self.loc) * inverse_scale
        lower = (x - width / 2 - self.loc) * inverse_scale
        # as _log_sigmoid_difference, but for the two bins that reach to infinity
        below = F.logsigmoid(upper).masked_fill(x > 1 - width, 0.0)
        above = F.logsigmoid(-lower).masked_fill(x < width - 1, 0.0)
        inside = torch.log(-torch.expm1(-width * inverse_scale)).masked_fill(
            x.abs() > 1 - width, 0.0
        )
        log_pmf = torch.logsumexp(self.logits.log_softmax(-1) + below + above + inside, -1)
        return log_pmf - math.log(width)

    def sample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        pick = Categorical(logits=self.logits).sample(sample_shape).unsqueeze(-1)
        loc = self.loc.expand(*shape, -1).gather(-1, pick).squeeze(-1)
        scale = self.log_scale.expand(*shape, -1).gather(-1, pick).squeeze(-1).exp()
        u = torch.rand(shape, dtype=loc.dtype, device=loc.device).clamp(1e-6, 1 - 1e-6)
        return grid.quantise(loc + scale * torch.logit(u), self.levels)

    def rsample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        """A draw with gradients: those of a soft choice of component, and of the value before it is
        rounded.
        """
        pick = straight_through_onehot(self.logits, self._extended_shape(sample_shape))
        loc, scale = ((pick * parameter).sum(-1) for parameter in (self.loc, self.log_scale.exp()))
        x = loc + scale * torch.logit(torch.rand_like(loc).clamp(1e-6, 1 - 1e-6))
        return x + (grid.quantise(x, self.levels) - x).detach()

    @property
    def mean(self) -> Tensor:
        """Mean of the components, each held to [-1, 1], ``(...)``: the grey image that a decoder
        stands for.
        """
        return (self.logits.softmax(-1) * self.loc.clamp(-1, 1)).sum(-1)


class LevelCategorical(Distribution):
    """A categorical over the L bins of `genzoo.grid`: a pmf for levels *without* an order, such as
    words.

    `log_prob` is the pmf divided by the bin width, as it is for `DiscretisedLogisticMixture`.

    Args:
        logits: ``(..., L)``.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, logits: Tensor):
        self.logits, self.levels = logits, logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        log_pmf, level = self.logits.log_softmax(-1), grid.to_level(value, self.levels)
        log_pmf = log_pmf.expand(*level.shape, -1).gather(-1, level.unsqueeze(-1)).squeeze(-1)
        return log_pmf - math.log(grid.bin_width(self.levels))

    def sample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        return grid.to_grid(Categorical(logits=self.logits).sample(sample_shape), self.levels).to(
            self.logits
        )


class SmoothedBoxMixture(Distribution):
    r"""A mixture of K uniform densities with soft edges: of *real* values, from a bell to a plateau
    with steep sides.

    A component is uniform on [m - w/2, m + w/2] plus logistic noise of scale s,

    .. math::

        p(x) = \frac{1}{w} \Big( \operatorname{sigmoid}\frac{x - m + w/2}{s} -
        \operatorname{sigmoid}\frac{x - m - w/2}{s} \Big) ,

    which integrates to one for all w, s > 0, is a logistic for w << s and a box for w >> s. It is
    the density that `DiscretisedLogisticMixture` takes at bin centres, with a width that is
    learned.

    Args:
        logits, loc, log_scale, log_width: ``(..., K)``; log s and log w.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, log_width: Tensor):
        self.logits, self.loc, self.log_scale, self.log_width = logits, loc, log_scale, log_width
        super().__init__(logits.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        width, inverse_scale = self.log_width.exp(), torch.exp(-self.log_scale)
        upper = (value.unsqueeze(-1) - self.loc + width / 2) * inverse_scale
        lower = (value.unsqueeze(-1) - self.loc - width / 2) * inverse_scale
        log_box = _log_sigmoid_difference(upper, lower, width * inverse_scale) - self.log_width
        return torch.logsumexp(self.logits.log_softmax(-1) + log_box, -1)

    def sample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        pick = Categorical(logits=self.logits).sample(sample_shape).unsqueeze(-1)
        loc, scale, width = (
            parameter.expand(*shape, -1).gather(-1, pick).squeeze(-1)
            for parameter in (self.loc, self.log_scale.exp(), self.log_width.exp())
        )
        u, v = torch.rand(2, *shape, dtype=loc.dtype, device=loc.device).clamp(1e-6, 1 - 1e-6)
        return loc + width * (u - 0.5) + scale * torch.logit(v)

    def rsample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        """A draw with gradients: those of a soft choice of component."""
        pick = straight_through_onehot(self.logits, self._extended_shape(sample_shape))
        loc, scale, width = (
            (pick * parameter).sum(-1)
            for parameter in (self.loc, self.log_scale.exp(), self.log_width.exp())
        )
        u, v = torch.rand(2, *loc.shape, dtype=loc.dtype, device=loc.device).clamp(1e-6, 1 - 1e-6)
        return loc + width * (u - 0.5) + scale * torch.logit(v)

    @property
    def mean(self) -> Tensor:
        """Mean of each mixture, ``(...)``."""
        return (self.logits.softmax(-1) * self.loc).sum(-1)


def straight_through_onehot(logits: Tensor, shape: torch.Size) -> Tensor:
    """One-hot draws ``(*shape, K)`` of a categorical, with the gradient of a soft one (Jang et al.
    2017, straight-through).
    """
    return F.gumbel_softmax(logits.expand(*shape, -1), hard=True)


def importance_resample(log_given: Tensor, log_free: Tensor, w: float) -> Tensor:
    """Which of k candidates to take, ``(n,)``, to draw from p(x | c)^w p(x)^(1 - w): half were
    drawn from each density.

    Their log-densities ``(k, n)`` under both say how much each candidate weighs. Sampling
    importance resampling (Rubin 1987): the draws are right in the limit of many candidates.
    """
    log_weight = torch.lerp(log_free, log_given, w) - torch.logaddexp(log_given, log_free)
    return Categorical(logits=log_weight.mT).sample()


def _log_sigmoid_difference(upper: Tensor, lower: Tensor, between: Tensor) -> Tensor:
    """log(sigmoid(upper) - sigmoid(lower)), ``between`` = upper - lower > 0; stable wherever the
    two lie.

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)).
    """
    return F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-between))


def parameters_of(components: int, levels: int, ordered: bool = True) -> int:
    """How many raw numbers `feature_mixture` reads for a feature."""
    if levels and not ordered:
        return levels
    return (3 if levels else 4) * components


def quantile_boxes(components: int) -> tuple[Tensor, Tensor]:
    """Centres and widths ``(K,)`` of boxes side by side, each over a K-th of the mass of N(0, 1)."""
    edges = Normal(0.0, 1.0).icdf(torch.linspace(0, 1, components + 1)).clamp(-3.5, 3.5)
    return (edges[1:] + edges[:-1]) / 2, edges.diff()


def feature_mixture(
    raw: Tensor, levels: int, ordered: bool = True, tiled: bool = False
) -> Distribution:
    """The distribution of single features whose raw parameters a network gives.

    Args:
        raw: ``(..., P K)``: logits, means, log-scales, and for real-valued data log-widths, of K
            components.
        levels: grey levels of the data; 0 for real-valued data, modelled by a mixture of K smoothed
            boxes.
        ordered: whether levels have an order; if not, raw numbers are the logits of a categorical
            over them.
        tiled: whether raw numbers tell how each smoothed box differs from one of `quantile_boxes`:
            its shift in units of that box's width, and factors of width and softness. For mixtures
            of many: boxes that lie where data may be need only more weight or less, and a step of
            the optimiser that moved each by an absolute length would throw it past its neighbours.

    Returns:
        a distribution with batch shape ``(...)``.
    """
    if levels and not ordered:
        return LevelCategorical(raw)
    if levels:
        logits, loc, log_scale = raw.chunk(3, -1)
        return DiscretisedLogisticMixture(logits, loc, (log_scale - 2).clamp(-7, 3), levels)
    logits, loc, log_scale, log_width = raw.chunk(4, -1)
    if tiled:
        centre, width = (tile.to(raw) for tile in quantile_boxes(logits.shape[-1]))
        loc, log_scale, log_width = (
            centre + width * loc,
            (width / 8).log() + log_scale,
            width.log() + log_width,
        )
    else:
        log_scale, log_width = log_scale - 2, log_width - 2
    return SmoothedBoxMixture(logits, loc, log_scale.clamp(-7, 3), log_width.clamp(-7, 3))


class FiniteScalarQuantized(Distribution):
    """A point mass on the grid point nearest to ``centre``, written as a density: one over the
    bin's width, on its bin.

    So it meets the density of a model of discrete data (its pmf over the bins' volume) in one unit,
    and the widths cancel in the difference of their logarithms. `rsample` gives the point with the
    gradient of ``centre``, the *straight-through* estimator (Bengio et al. 2013).
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012
    has_rsample = True

    def __init__(self, centre: Tensor, levels: int):
        self.centre, self.levels = centre, levels
        super().__init__(centre.shape, validate_args=False)

    def rsample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        point = self.centre + (self.mean - self.centre).detach()
        return point.expand(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        same = grid.to_level(value, self.levels) == grid.to_level(self.centre, self.levels)
        return torch.zeros_like(self.centre).masked_fill(~same, -math.inf) - math.log(
            grid.bin_width(self.levels)
        )

    @property
    def mean(self) -> Tensor:
        return grid.quantise(self.centre, self.levels)


def quantized(raw: Tensor, event_shape: tuple[int, ...], levels: int) -> Independent:
    """Raw numbers ``(n, D)`` to codes ``(n, *event_shape)``: each is squeezed into [-1, 1] and
    rounded to one of ``levels``.
    """
    centre = raw.tanh().view(-1, *event_shape)
    return Independent(FiniteScalarQuantized(centre, levels), len(event_shape), validate_args=False)


def diagonal_normal(raw: Tensor, event_shape: tuple[int, ...]) -> Independent:
    """A Gaussian with independent components, ``(n, 2 D)`` raw means and log-scales to events ``(n,
    *event_shape)``.
    """
    mean, log_scale = raw.unflatten(1, (2, *event_shape)).unbind(1)
    return Independent(Normal(mean, log_scale.clamp(-7, 3).exp()), len(event_shape))


def standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I) of each row, ``(n,)`` nats."""
    z = z.flatten(1)
    return -0.5 * (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi))
