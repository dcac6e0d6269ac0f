"""Likelihoods of single features, as `torch.distributions`: what autoregressive models and VAE decoders end in."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from genzoo import grid


class DiscretisedLogisticMixture(Distribution):
    """A mixture of K logistics, integrated over the L bins of `genzoo.grid`: a pmf for *ordered* levels.

    The first and last bins extend to infinity, so the pmf sums to one exactly. `log_prob` is the pmf divided by the bin
    width: a piecewise-constant density, in nats (Salimans et al. 2017, PixelCNN++, eq. 2).

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
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), stable wherever the bin lies
        below = F.logsigmoid(upper).masked_fill(x > 1 - width, 0.0)
        above = F.logsigmoid(-lower).masked_fill(x < width - 1, 0.0)
        inside = torch.log(-torch.expm1(-width * inverse_scale)).masked_fill(x.abs() > 1 - width, 0.0)
        log_pmf = torch.logsumexp(self.logits.log_softmax(-1) + below + above + inside, -1)
        return log_pmf - math.log(width)

    def sample(self, sample_shape=torch.Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        pick = Categorical(logits=self.logits).sample(sample_shape).unsqueeze(-1)
        loc = self.loc.expand(*shape, -1).gather(-1, pick).squeeze(-1)
        scale = self.log_scale.expand(*shape, -1).gather(-1, pick).squeeze(-1).exp()
        u = torch.rand(shape, dtype=loc.dtype, device=loc.device).clamp(1e-6, 1 - 1e-6)
        return grid.quantise(loc + scale * torch.logit(u), self.levels)

    @property
    def mean(self) -> Tensor:
        """Mean of the components, each held to [-1, 1], ``(...)``: the grey image that a decoder stands for."""
        return (self.logits.softmax(-1) * self.loc.clamp(-1, 1)).sum(-1)


def feature_mixture(raw: Tensor, levels: int) -> Distribution:
    """The distribution of single features whose raw parameters a network gives.

    Args:
        raw: ``(..., 3 K)``: logits, means and log-scales of K components.
        levels: grey levels of the data; 0 for real-valued data, modelled by a mixture of K Gaussians.

    Returns:
        a distribution with batch shape ``(...)``.
    """
    logits, loc, log_scale = raw.chunk(3, -1)
    log_scale = (log_scale - 2).clamp(-7, 3)
    if levels:
        return DiscretisedLogisticMixture(logits, loc, log_scale, levels)
    return MixtureSameFamily(Categorical(logits=logits), Normal(loc, log_scale.exp()), validate_args=False)


def diagonal_normal(raw: Tensor, event_shape: tuple[int, ...]) -> Independent:
    """A Gaussian with independent components, ``(n, 2 D)`` raw means and log-scales to events ``(n, *event_shape)``."""
    mean, log_scale = raw.unflatten(1, (2, *event_shape)).unbind(1)
    return Independent(Normal(mean, log_scale.clamp(-7, 3).exp()), len(event_shape))
