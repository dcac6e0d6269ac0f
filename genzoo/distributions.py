"""Likelihoods of single features, as `torch.distributions`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    Normal,
)

from genzoo import grid


class Mixture(MixtureSameFamily):
    """A mixture of K components, of single features; only the chosen component is sampled.

    Args:
        logits: of the components, ``(..., K)``.
        component: a `Logistics` of batch shape ``(..., K)``.
    """

    has_rsample = True

    def __init__(self, logits: Tensor, component: "Logistics"):
        self.logits = logits
        self.component = component
        choice = Categorical(logits=logits, validate_args=False)
        super().__init__(choice, component, validate_args=False)

    def sample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        choice = self.mixture_distribution.sample(sample_shape).unsqueeze(-1)
        chosen = []
        for parameter in self.component.shape_parameters():
            of_each = parameter.expand(*shape, -1)
            chosen.append(of_each.gather(-1, choice).squeeze(-1))
        x = self.component.draw(*chosen)
        return self.component.round(x)

    def rsample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        """A sample with the gradients of a soft choice of component, and of the unrounded value."""
        shape = self._extended_shape(sample_shape)
        onehot = straight_through_onehot(self.logits, shape)
        chosen = [(onehot * parameter).sum(-1) for parameter in self.component.shape_parameters()]
        x = self.component.draw(*chosen)
        rounding = self.component.round(x) - x
        return x + rounding.detach()


class Logistics(Distribution):
    """Components of a `Mixture`: distributions made from logistic noise."""

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012

    def shape_parameters(self) -> tuple[Tensor, ...]:
        """The arguments of `draw`, of each component ``(..., K)``."""
        raise NotImplementedError

    def draw(self, *chosen: Tensor) -> Tensor:
        """A sample of components with these parameters, differentiable in them."""
        raise NotImplementedError

    def round(self, x: Tensor) -> Tensor:
        """The value of the data that a sample is rounded to."""
        return x


class DiscretisedLogistic(Logistics):
    """Logistics, integrated over the bins of `genzoo.grid`; see `DiscretisedLogisticMixture`."""

    def __init__(self, loc: Tensor, log_scale: Tensor, levels: int):
        self.loc = loc
        self.log_scale = log_scale
        self.levels = levels
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        width = grid.bin_width(self.levels)
        inverse_scale = torch.exp(-self.log_scale)
        upper = (value + width / 2 - self.loc) * inverse_scale
        lower = (value - width / 2 - self.loc) * inverse_scale
        # as _log_sigmoid_difference, except for the two bins that extend to infinity
        below = F.logsigmoid(upper).masked_fill(value > 1 - width, 0.0)
        above = F.logsigmoid(-lower).masked_fill(value < width - 1, 0.0)
        inside = torch.log(-torch.expm1(-width * inverse_scale))
        inside = inside.masked_fill(value.abs() > 1 - width, 0.0)
        return below + above + inside - math.log(width)

    def shape_parameters(self) -> tuple[Tensor, ...]:
        """Location and scale of each component, ``(..., K)``."""
        return self.loc, self.log_scale.exp()

    def draw(self, *chosen: Tensor) -> Tensor:
        loc, scale = chosen
        u = torch.rand_like(loc).clamp(1e-6, 1 - 1e-6)
        return loc + scale * torch.logit(u)

    def round(self, x: Tensor) -> Tensor:
        return grid.quantise(x, self.levels)

    @property
    def mean(self) -> Tensor:
        """The location, clamped to [-1, 1]: the grey level of a decoder's image."""
        return self.loc.clamp(-1, 1)


class SmoothedBox(Logistics):
    """Uniform densities with soft edges; see `SmoothedBoxMixture`."""

    def __init__(self, loc: Tensor, log_scale: Tensor, log_width: Tensor):
        self.loc = loc
        self.log_scale = log_scale
        self.log_width = log_width
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        width = self.log_width.exp()
        inverse_scale = torch.exp(-self.log_scale)
        upper = (value - self.loc + width / 2) * inverse_scale
        lower = (value - self.loc - width / 2) * inverse_scale
        log_mass = _log_sigmoid_difference(upper, lower, width * inverse_scale)
        return log_mass - self.log_width

    def shape_parameters(self) -> tuple[Tensor, ...]:
        """Location, scale of the edges and width of each component, ``(..., K)``."""
        return self.loc, self.log_scale.exp(), self.log_width.exp()

    def draw(self, *chosen: Tensor) -> Tensor:
        loc, scale, width = chosen
        uniform = torch.rand(2, *loc.shape, dtype=loc.dtype, device=loc.device)
        u, v = uniform.clamp(1e-6, 1 - 1e-6)
        box = width * (u - 0.5)
        noise = scale * torch.logit(v)
        return loc + box + noise

    @property
    def mean(self) -> Tensor:
        return self.loc


class DiscretisedLogisticMixture(Mixture):
    """A mixture of K logistics, integrated over L bins: a pmf for *ordered* levels.

    The bins are those of `genzoo.grid`. The first and the last extend to infinity, so the pmf sums
    to one exactly. `log_prob` is the pmf divided by the bin width: a piecewise-constant density, in
    nats (Salimans et al. 2017, PixelCNN++, eq. 2).

    Args:
        logits: of the components, ``(..., K)``.
        loc: location of each, ``(..., K)``.
        log_scale: log of the scale of each, ``(..., K)``.
        levels: L >= 2.
    """

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, levels: int):
        self.loc = loc
        self.log_scale = log_scale
        self.levels = levels
        super().__init__(logits, DiscretisedLogistic(loc, log_scale, levels))


class SmoothedBoxMixture(Mixture):
    r"""A mixture of K uniform densities with soft edges, of *real* values.

    A component has the shape of a bell, of a plateau with steep sides, or one in between: it is
    uniform on [m - w/2, m + w/2] plus logistic noise of scale s,

    .. math::

        p(x) = \frac{1}{w} \Big( \operatorname{sigmoid}\frac{x - m + w/2}{s} -
        \operatorname{sigmoid}\frac{x - m - w/2}{s} \Big) ,

    which integrates to one for all w, s > 0, is a logistic for w << s and a box for w >> s. It is
    the density of `DiscretisedLogisticMixture` at bin centres, with a learned width.

    Args:
        logits: of the components, ``(..., K)``.
        loc: m of each, ``(..., K)``.
        log_scale: log s of each, ``(..., K)``.
        log_width: log w of each, ``(..., K)``.
    """

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, log_width: Tensor):
        self.loc = loc
        self.log_scale = log_scale
        self.log_width = log_width
        super().__init__(logits, SmoothedBox(loc, log_scale, log_width))


class LevelCategorical(Distribution):
    """A categorical over the L bins of `genzoo.grid`, for levels *without* an order, such as words.

    `log_prob` is the pmf divided by the bin width, as it is for `DiscretisedLogisticMixture`.

    Args:
        logits: ``(..., L)``.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, logits: Tensor):
        self.logits = logits
        self.levels = logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        level = grid.to_level(value, self.levels)
        log_pmf = self.logits.log_softmax(-1)
        of_each = log_pmf.expand(*level.shape, -1)
        chosen = of_each.gather(-1, level.unsqueeze(-1)).squeeze(-1)
        log_width = math.log(grid.bin_width(self.levels))
        return chosen - log_width

    @property
    def mean(self) -> Tensor:
        """The mean level, a number in [-1, 1] between the points of the grid."""
        k = torch.arange(self.levels, device=self.logits.device)
        values = grid.to_grid(k, self.levels).to(self.logits)
        return self.logits.softmax(-1) @ values

    def sample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        """Samples by the inverse of the cumulative pmf, of one uniform number for each feature."""
        cumulative = self.logits.softmax(-1).cumsum(-1)
        total = cumulative[..., -1:]  # 1 up to rounding
        shape = self._extended_shape(sample_shape)
        u = torch.rand(shape, dtype=cumulative.dtype, device=cumulative.device)
        below = cumulative <= u.unsqueeze(-1) * total
        level = below.sum(-1).clamp(max=self.levels - 1)
        return grid.to_grid(level, self.levels).to(self.logits)


def straight_through_onehot(logits: Tensor, shape: torch.Size) -> Tensor:
    """One-hot samples ``(*shape, K)`` of a categorical, with the gradient of soft ones.

    It is the straight-through estimator (Jang et al. 2017).
    """
    return F.gumbel_softmax(logits.expand(*shape, -1), hard=True)


def importance_resample(log_given: Tensor, log_free: Tensor, w: float) -> Tensor:
    """Choose one of k candidates so that it is a sample of p(x | c)^w p(x)^(1 - w).

    It is sampling importance resampling (Rubin 1987), which is exact in the limit of many
    candidates.

    Args:
        log_given: log p(x | c) of the candidates, ``(k, n)``. Half of them are samples of it.
        log_free: log p(x) of the same; the other half are samples of it.
        w: strength of guidance.

    Returns:
        index of the chosen candidate, ``(n,)``.
    """
    log_target = torch.lerp(log_free, log_given, w)
    log_proposal = torch.logaddexp(log_given, log_free)  # of the candidates, up to a constant
    log_weight = log_target - log_proposal
    return Categorical(logits=log_weight.mT).sample()


def _log_sigmoid_difference(upper: Tensor, lower: Tensor, between: Tensor) -> Tensor:
    """log(sigmoid(upper) - sigmoid(lower)), given ``between`` = upper - lower > 0.

    It is stable for all values: sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)).
    """
    log_above_lower = F.logsigmoid(-lower)
    log_below_upper = F.logsigmoid(upper)
    return log_below_upper + log_above_lower + torch.log(-torch.expm1(-between))


def parameters_of(components: int, levels: int, ordered: bool = True) -> int:
    """Number of raw parameters that `feature_mixture` takes for a feature.

    Args:
        components: K of the mixture.
        levels: of the data; 0 for real-valued data.
        ordered: whether the levels have an order.
    """
    if levels and not ordered:
        return levels
    of_a_component = 3 if levels else 4
    return of_a_component * components


def quantile_boxes(components: int) -> tuple[Tensor, Tensor]:
    """Centres and widths ``(K,)`` of boxes side by side, each over a K-th of N(0, 1)."""
    quantiles = torch.linspace(0, 1, components + 1)
    edges = Normal(0.0, 1.0).icdf(quantiles).clamp(-3.5, 3.5)
    centres = (edges[1:] + edges[:-1]) / 2
    return centres, edges.diff()


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
        tiled: parametrise each smoothed box relative to one of `quantile_boxes`: its shift in units
            of that box's width, and factors of width and softness. This is for mixtures of many
            boxes. They already cover the data and need mainly other weights, while an optimiser
            step by an absolute length would move a box beyond its neighbours.

    Returns:
        a distribution with batch shape ``(...)``.
    """
    if levels and not ordered:
        return LevelCategorical(raw)
    if levels:
        logits, loc, log_scale = raw.chunk(3, -1)
        log_scale = (log_scale - 2).clamp(-7, 3)
        return DiscretisedLogisticMixture(logits, loc, log_scale, levels)
    logits, loc, log_scale, log_width = raw.chunk(4, -1)
    if tiled:
        centres, widths = quantile_boxes(logits.shape[-1])
        centres = centres.to(raw)
        widths = widths.to(raw)
        loc = centres + widths * loc
        log_scale = (widths / 8).log() + log_scale
        log_width = widths.log() + log_width
    else:
        log_scale = log_scale - 2
        log_width = log_width - 2
    log_scale = log_scale.clamp(-7, 3)
    log_width = log_width.clamp(-7, 3)
    return SmoothedBoxMixture(logits, loc, log_scale, log_width)


class FiniteScalarQuantized(Distribution):
    """A point mass on the grid point nearest to ``centre``, as a density: 1 / width on its bin.

    So it has the same unit as the density of a model of discrete data (its pmf over the bins'
    volume), and the widths cancel in the difference of their logarithms. `rsample` gives the point
    with the gradient of ``centre``, the *straight-through* estimator (Bengio et al. 2013).
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012
    has_rsample = True

    def __init__(self, centre: Tensor, levels: int):
        self.centre = centre
        self.levels = levels
        super().__init__(centre.shape, validate_args=False)

    def rsample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        rounding = self.mean - self.centre
        point = self.centre + rounding.detach()
        return point.expand(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        level = grid.to_level(value, self.levels)
        own_level = grid.to_level(self.centre, self.levels)
        log_pmf = torch.zeros_like(self.centre)
        log_pmf = log_pmf.masked_fill(level != own_level, -math.inf)
        log_width = math.log(grid.bin_width(self.levels))
        return log_pmf - log_width

    @property
    def mean(self) -> Tensor:
        """The point itself."""
        return grid.quantise(self.centre, self.levels)


def quantized(raw: Tensor, event_shape: tuple[int, ...], levels: int) -> Independent:
    """A distribution of codes: raw numbers mapped into [-1, 1] by tanh and rounded to the grid.

    Args:
        raw: ``(n, D)``.
        event_shape: shape of a code, of D numbers.
        levels: of the grid.
    """
    centre = raw.tanh().view(-1, *event_shape)
    codes = FiniteScalarQuantized(centre, levels)
    return Independent(codes, len(event_shape), validate_args=False)


def diagonal_normal(raw: Tensor, event_shape: tuple[int, ...]) -> Independent:
    """A Gaussian with independent components, over events ``(n, *event_shape)``.

    Raw means and log-scales are ``(n, 2 D)``.
    """
    mean, log_scale = raw.unflatten(1, (2, *event_shape)).unbind(1)
    scale = log_scale.clamp(-7, 3).exp()
    return Independent(Normal(mean, scale), len(event_shape))


def standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I) of each row, ``(n,)`` nats."""
    z = z.flatten(1)
    dims = z.shape[1]
    squares = z.square().sum(1)
    return -0.5 * (squares + dims * math.log(2 * math.pi))
