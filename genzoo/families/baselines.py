"""Baselines: three models fitted in closed form, against which every family is compared.

They need no training loop, so they are plain classes, not Lightning modules. The interface is that
of every model: `log_prob` is in nats per observation, `likelihood` says what it claims, samples are
``(n, *event_shape)`` and lie on the grid of the data. A condition is accepted and ignored.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from genzoo import grid
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.model import Likelihood, Measurable

# of smoothing or shrinkage, tried on validation data
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class Baseline(Measurable):
    """A distribution p(x) over observations of one shape, fitted in closed form.

    Args:
        levels: of discrete data; 0: real-valued data.
    """

    likelihood: Likelihood = Likelihood.EXACT

    def __init__(self, levels: int = 0):
        self.levels = levels

    @abstractmethod
    def fit(self, x: Tensor, validation: Tensor | None = None) -> "Baseline":
        """Fit to training data ``x``, (n, *event_shape), and return the baseline itself.

        ``validation``, where there is any, chooses the strength of smoothing or shrinkage.
        """

    def weights(self) -> dict[str, Tensor]:
        """The tensors that `fit` has set."""
        tensors = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                tensors[name] = value
        return tensors

    @abstractmethod
    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Log-density of each observation, ``(n,)`` nats.

        For discrete data log(P(x) / bin volume).
        """


class Rectangle(Baseline):
    """Uniform distribution over the smallest axis-aligned box that holds all training data.

    The lecture's first model. The likelihood of n observations under a box that holds them is
    volume^-n, and 0 under a box that misses one: the smallest box is the maximum-likelihood
    estimate. For discrete data the box is made of whole bins, so it is an exact pmf.
    """

    def fit(self, x: Tensor, validation: Tensor | None = None) -> "Rectangle":
        self.event_shape = tuple(x.shape[1:])
        half_bin = grid.bin_width(self.levels) / 2 if self.levels else 0.0
        self.low = x.amin(0) - half_bin
        self.high = x.amax(0) + half_bin
        _require_spread(self.high - self.low)
        return self

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        inside = (x >= self.low) & (x <= self.high)
        inside = inside.flatten(1).all(1)
        sides = self.high - self.low
        log_volume = sides.log().sum()
        return torch.where(inside, -log_volume, -math.inf)

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        share = torch.rand(n, *self.event_shape).to(self.low)
        sides = self.high - self.low
        x = self.low + sides * share
        return grid.quantise(x, self.levels)


class IndependentPixels(Baseline):
    """One histogram per feature of discrete data, features independent: an exact pmf.

    ``alpha`` is added to every count, so that a level never seen in training keeps a small
    probability.
    """

    def __init__(self, levels: int, alpha: float = 0.3):
        super().__init__(levels)
        self.alpha = alpha

    def fit(self, x: Tensor, validation: Tensor | None = None) -> "IndependentPixels":
        self.event_shape = tuple(x.shape[1:])
        counts = _count(x, self.levels)
        if validation is not None:

            def score(alpha: float) -> float:
                smoothed = self._smooth(counts, alpha)
                return smoothed.log_prob(validation).mean().item()

            self.alpha = max(STRENGTHS, key=score)
        return self._smooth(counts, self.alpha)

    def _smooth(self, counts: Tensor, alpha: float) -> "IndependentPixels":
        smoothed = counts + alpha
        totals = smoothed.sum(1, keepdim=True)
        pmf = smoothed / totals
        self.log_pmf = pmf.log()  # (features, levels)
        return self

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        level = grid.to_level(x, self.levels).flatten(1)
        dims = level.shape[1]
        features = torch.arange(dims, device=x.device)
        log_pmf = self.log_pmf[features, level].sum(1)
        log_volume = dims * math.log(grid.bin_width(self.levels))
        log_density = log_pmf - log_volume
        outside = (x.abs() > 1).flatten(1).any(1)
        log_density = log_density.masked_fill(outside, -math.inf)
        return log_density.to(x.dtype)

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        pmf = self.log_pmf.exp()
        level = torch.multinomial(pmf, n, replacement=True).T
        x = grid.to_grid(level, self.levels)
        return x.view(n, *self.event_shape)


class Gaussian(Baseline):
    """A Gaussian with full covariance, shrunk towards its diagonal by ``shrinkage`` in [0, 1].

    For discrete data it models the dequantised data, x + u, and `log_prob` is the bound E_u[log p(x
    + u)]. With u uniform over a bin of width w it is known in closed form: noise adds w²/12 to
    every variance, and the expectation of the quadratic form grows by the trace of the precision
    times w²/12.
    """

    def __init__(self, levels: int = 0, shrinkage: float = 0.03):
        super().__init__(levels)
        self.shrinkage = shrinkage
        # variance of the dequantisation
        self.noise = 0.0
        if levels:
            self.noise = grid.bin_width(levels) ** 2 / 12

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        return Likelihood.BOUND if self.levels else Likelihood.EXACT

    def fit(self, x: Tensor, validation: Tensor | None = None) -> "Gaussian":
        self.event_shape = tuple(x.shape[1:])
        # in single precision a nearly singular covariance would not factorise
        flat = x.flatten(1).double()
        mean = flat.mean(0)
        centred = flat - mean
        covariance = centred.T @ centred / len(x)
        covariance.diagonal().add_(self.noise)
        _require_spread(covariance.diagonal())
        if validation is not None:

            def score(shrinkage: float) -> float:
                shrunk = self._shrink(mean, covariance, shrinkage)
                return shrunk.log_prob(validation).mean().item()

            self.shrinkage = max(STRENGTHS, key=score)
        return self._shrink(mean, covariance, self.shrinkage)

    def _shrink(self, mean: Tensor, covariance: Tensor, shrinkage: float) -> "Gaussian":
        diagonal = covariance.diagonal().diag()
        shrunk = (1 - shrinkage) * covariance + shrinkage * diagonal
        root = torch.linalg.cholesky(shrunk)
        self.normal = MultivariateNormal(mean, scale_tril=root)
        return self

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        flat = x.flatten(1).double()
        log_prob = self.normal.log_prob(flat)
        if self.levels:
            trace = self.normal.precision_matrix.trace()
            log_prob -= trace * self.noise / 2
        return log_prob.to(x.dtype)

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        flat = self.normal.sample((n,)).float()
        x = flat.view(n, *self.event_shape)
        return grid.quantise(x, self.levels)


def fitted(dataset: DataSet) -> tuple[Baseline, ...]:
    """Every baseline that applies to a data set, fitted and tuned.

    They are fitted on its training split and tuned on its validation split.

    The rectangle is for points: of a thousand images some always leave the box of the others.
    """
    levels = dataset.levels
    models: list[Baseline] = []
    if dataset.event_shape == (2,):
        models.append(Rectangle(levels))
    if levels:
        models.append(IndependentPixels(levels))
    models.append(Gaussian(levels))
    x = dataset.train.x
    validation = dataset.validation.x
    return tuple(model.fit(x, validation) for model in models)


def _count(x: Tensor, levels: int) -> Tensor:
    """Number of times that each feature takes each level, ``(features, levels)`` float64.

    Counted a thousand observations at a time.
    """
    features = x[0].numel()
    counts = torch.zeros(features * levels, dtype=torch.int64, device=x.device)
    row = levels * torch.arange(features, device=x.device)
    for part in x.split(1000):
        level = grid.to_level(part, levels).flatten(1)
        places = (row + level).flatten()
        counts += torch.bincount(places, minlength=len(counts))
    return counts.view(features, levels).double()


def _require_spread(spread: Tensor) -> None:
    constant = (spread.flatten() <= 0).sum().item()
    if constant:
        raise InputError(
            f"{constant} of {spread.numel()} features are constant: "
            "a real-valued model needs spread in each."
        )
