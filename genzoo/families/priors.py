"""Plain priors of a `genzoo.families.vae.VAE`: small models of its latent, in closed form.

A VAE always has a prior, and uses it as any model. These are never trained on their own.

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
    """Base class of priors whose features are independent, given by `distribution`.

    Args:
        event_shape, condition, levels: see `genzoo.model.GenerativeModel`.
    """

    origin: Tensor

    def __init__(self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0):
        super().__init__(event_shape, condition, levels)
        # its device and precision are those of the model that this prior is part of
        self.register_buffer("origin", torch.zeros(self.event_shape), persistent=False)

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        """The distribution of each feature, of batch shape ``(n, *event_shape)``."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Exact log p(x | c), ``(n,)`` nats."""
        distribution = self.distribution(len(x), c)
        log_density = distribution.log_prob(x)
        return log_density.flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """``(n, *event_shape)``, on the grid of the levels."""
        x = self.distribution(n, c).sample()
        return grid.quantise(x, self.levels)

    @property
    def evaluations_per_sample(self) -> int:
        """0: there is no network."""
        return 0

    def zeros(self, n: int) -> Tensor:
        """``(n, *event_shape)``, on the device and in the precision of the model."""
        return self.origin.expand(n, *self.event_shape)


class StandardNormal(PlainPrior):
    """N(0, I)."""

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        return Normal(self.zeros(n), 1.0)


class UniformCodes(PlainPrior):
    """Uniform distribution over codes: the uniform density over the grid of ``levels``."""

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        zeros = self.zeros(n)
        return Uniform(zeros - 1, zeros + 1, validate_args=False)


class ConditionalNormal(PlainPrior):
    """A Gaussian of learned mean and scale for each condition, which starts as N(0, I).

    With a single prior for all labels the encoder must remove label information from z. It learns
    that slowly, and meanwhile the decoder reads the label off z and ignores c.

    Args:
        event_shape, condition: see `genzoo.model.GenerativeModel`.
    """

    guidable = True

    def __init__(self, event_shape: tuple[int, ...], condition: int = 0):
        super().__init__(event_shape, condition)
        latents = math.prod(event_shape)
        self.embed = Condition(condition, 2 * latents)
        linear = self.embed.embed
        if linear is not None:
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def distribution(self, n: int, c: Tensor | None = None) -> Distribution:
        mean_and_scale = self.embed(c, n)
        return diagonal_normal(mean_and_scale, self.event_shape).base_dist

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """``(n, *event_shape)``; of p(x | c)^w p(x)^(1 - w) for a ``guidance`` w, see `guided`."""
        given = self.distribution(n, c)
        if guidance == 1.0:
            return given.sample()
        free = self.distribution(n)
        return guided(given, free, guidance).sample()


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
