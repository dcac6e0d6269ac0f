"""The plain priors of a `genzoo.families.vae.VAE`: small models of its latent, in closed form.

A VAE always has a prior, and asks it what it asks any model. None of these is trained alone.

References: Kingma & Welling 2014, *Auto-encoding variational Bayes* (standard Gaussian); Sohn et
al. 2015, *Learning structured output representation using deep conditional generative models* (a
Gaussian for each condition).
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, Uniform

from genzoo import grid
from genzoo.distributions import diagonal_normal
from genzoo.model import GenerativeModel
from genzoo.nets import Condition


class PlainPrior(GenerativeModel):
    """Independent features, whose `distribution` says all.

    Args:
        event_shape, condition, levels: see `genzoo.model.GenerativeModel`.
    """

    origin: Tensor

    def __init__(self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0):
        super().__init__(event_shape, condition, levels)
        # its device and precision are those of the model that this prior is part of
        self.register_buffer("origin", torch.zeros(self.event_shape), persistent=False)

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        """The law of each feature, of batch shape ``(n, *event_shape)``."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Exact log p(x | c), ``(n,)`` nats."""
        return self.distribution(len(x), c).log_prob(x).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return grid.quantise(self.distribution(n, c).sample(), self.levels)

    @property
    def evaluations_per_sample(self) -> int:
        """None: there is no network."""
        return 0

    def zeros(self, n: int) -> Tensor:
        return self.origin.expand(n, *self.event_shape)


class StandardNormal(PlainPrior):
    """N(0, I)."""

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        return Normal(self.zeros(n), 1.0)


class UniformCodes(PlainPrior):
    """All codes alike: the uniform density over the grid of ``levels``."""

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        return Uniform(self.zeros(n) - 1, self.zeros(n) + 1, validate_args=False)


class ConditionalNormal(PlainPrior):
    """A Gaussian of learned mean and scale for each condition, which starts as N(0, I).

    A single prior for all labels asks the encoder to remove from z what the label says. It learns
    that slowly, and meanwhile the decoder reads the label off z and ignores c.

    Args:
        event_shape, condition: see `genzoo.model.GenerativeModel`.
    """

    guidable = True

    def __init__(self, event_shape: tuple[int, ...], condition: int = 0):
        super().__init__(event_shape, condition)
        self.embed = Condition(condition, 2 * math.prod(event_shape))
        if self.embed.embed is not None:
            nn.init.zeros_(self.embed.embed.weight)
            nn.init.zeros_(self.embed.embed.bias)

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        return diagonal_normal(self.embed(c, n), self.event_shape).base_dist

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """``(n, *event_shape)``; of p(x | c)^w p(x)^(1 - w) for a ``guidance`` w, see `guided`."""
        if guidance == 1.0:
            return self.distribution(n, c).sample()
        return guided(self.distribution(n, c), self.distribution(n), guidance).sample()


def guided(given: Distribution, free: Distribution, w: float) -> Normal:
    """The Gaussian p(z | c)^w p(z)^(1 - w), normalised: precisions and weighted means mix.

    For w > 1 a ``free`` Gaussian narrower than the ``given`` one may leave nothing to normalise.
    Its width is raised to that one's, so that such guidance moves the mean and never widens.

    Args:
        given, free: the Gaussians p(z | c) and p(z).
        w: how strongly to keep to c; 1 is p(z | c), 0 is p(z).
    """
    precision = given.variance.reciprocal()
    free_precision = free.variance.reciprocal()
    if w > 1:
        free_precision = free_precision.minimum(precision)
    mixed = torch.lerp(free_precision, precision, w)
    mean = torch.lerp(free_precision * free.mean, precision * given.mean, w) / mixed
    return Normal(mean, mixed.rsqrt())


PRIORS = (StandardNormal, ConditionalNormal, UniformCodes)
