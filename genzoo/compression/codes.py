r"""How each family's events are written in as many bits as it says they hold.

A model without a latent variable is written by the chain rule: feature after feature, each by its probability given those
before it. What sums over a latent variable z, :math:`P(x) = \sum_z P(z)\, P(x \mid z)`, has no such probabilities at hand.
It is written by *bits back*: z is **popped**, drawn by :math:`Q(z \mid x)` with bits that other events have left on the
stack; then x is pushed by :math:`P(x \mid z)`, and z by :math:`P(z)`. The stack has grown by

.. math::

    -\log_2 P(z) - \log_2 P(x \mid z) + \log_2 Q(z \mid x)

bits, one draw of minus the ELBO; and by :math:`-\log_2 P(x)` exactly where Q is the posterior itself. Three families come
down to this:

================================  ========================  ==========================  =================================
model                             z                         Q                           so the file is
================================  ========================  ==========================  =================================
`Autoregressive`, mixed orders    the reading order         the posterior, R terms      exact
`Energy`, an RBM of known Z       its hidden units          the posterior, factorised   exact
`VAE`                             bins of the latent        the encoder's Gaussian      the bound, of one draw of z
================================  ========================  ==========================  =================================

References: Hinton & van Camp 1993, *Keeping neural networks simple* (bits back); Townsend et al. 2019, *Practical lossless
compression with latent variables using bits back coding* (with a stack, section 2.3; bins of equal mass, section 2.5.1).
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, Normal

from genzoo import grid
from genzoo.baselines import IndependentPixels
from genzoo.compression.stack import PRECISION, Stack, Walk
from genzoo.errors import InputError
from genzoo.families import VAE, VAEGAN, Autoregressive
from genzoo.model import Likelihood

BINS = 2**12  # of each feature of a VAE's latent: narrower than what its encoder can tell apart


class Code(ABC):
    """How events, as levels ``(n, D)``, go on a stack and come off it.

    ``borrowed`` is how many bits should lie on the stack before an event is pushed, for it to draw from: those that it may
    take, and those by which the coder draws one symbol.
    """

    borrowed: float = 0.0

    @abstractmethod
    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        """Put events on the stack."""

    @abstractmethod
    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        """Take ``n`` events off the stack; undoes `push` exactly."""

    def batches(self, n: int, most: int) -> list[int]:
        """Sizes of the batches in which ``n`` events are pushed: each borrows only what those before it have left."""
        sizes: list[int] = []
        while sum(sizes) < n:
            done = sum(sizes)
            can_lend = max(1, done) if self.borrowed else most
            sizes.append(min(can_lend, most, n - done))
        return sizes


class Chain(Code):
    """The chain rule: no latent variable, nothing borrowed."""

    @abstractmethod
    def walk(self, n: int, c: Tensor | None) -> Walk:
        """The conditionals of ``n`` events, feature by feature."""

    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        stack.push_along(self.walk(len(level), c), level)

    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        return stack.pop_along(self.walk(n, c))


class BitsBack(Code):
    """A latent variable z, as whole numbers ``(n, M)``, with a ``prior`` that is a code of its own."""

    prior: Code
    dims: int

    @abstractmethod
    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        """Q(z | x), to draw from."""

    @abstractmethod
    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        """P(x | z), the features in the order of `order`."""

    def order(self, z: Tensor) -> Tensor:
        """The features in the order in which `likelihood` asks for them, ``(n, D)``."""
        return torch.arange(self.dims).expand(len(z), -1)

    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        z = stack.pop_along(self.posterior(level, c))
        stack.push_along(self.likelihood(z, c), level.gather(1, self.order(z)))
        self.prior.push(stack, z, c)

    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        z = self.prior.pop(stack, n, c)
        read = stack.pop_along(self.likelihood(z, c))
        level = torch.empty_like(read).scatter_(1, self.order(z), read)
        stack.push_along(self.posterior(level, c), z)
        return level


# ------------------------------------------------------------------------------------------------------- the families


class OfPixels(Chain):
    """Independent pixels: a table of probabilities, ``(D, L)``."""

    def __init__(self, model: IndependentPixels):
        self.pmf = model.log_pmf.double().exp()

    def walk(self, n: int, c: Tensor | None) -> Walk:
        yield self.pmf.expand(n, -1, -1)


class Alike(Chain):
    """Symbols ``(n, M)`` that are each one of K, all alike."""

    def __init__(self, symbols: int, choices: int):
        self.pmf = torch.full((symbols, choices), 1 / choices, dtype=torch.float64)

    def walk(self, n: int, c: Tensor | None) -> Walk:
        yield self.pmf.expand(n, -1, -1)


class OfAutoregressive(BitsBack):
    """The latent variable is the reading order r: P(x) is the mean of the orders' P_r(x).

    Each order predicts another pixel next, so the mixture has no conditionals of its own to write by. Given r there are
    some: the walk is the one of `Autoregressive.sample`, feature by feature from a cache, for the writer as for the reader.
    """

    def __init__(self, model: Autoregressive):
        self.model, self.dims = model, model.dims
        self.prior = Alike(1, model.orders)
        self.borrowed = math.log2(model.orders) + PRECISION if model.orders > 1 else 0.0

    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        """P(r | x), proportional to P_r(x)."""
        if self.model.orders == 1:
            yield torch.ones(len(level), 1, 1)
            return
        x = _events(level, self.model)
        orders = torch.arange(self.model.orders)
        each = [self.model.log_prob_in_order(x, c, r.expand(len(x))) for r in orders]
        yield torch.stack(each, 1).softmax(1).unsqueeze(1)

    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        model, n = self.model, len(z)
        embedding = model.embedding(c, z[:, 0])
        caches = [layer.empty(n, model.grid) for layer in (model.first, *model.layers)]  # type: ignore[operator]
        features = model.position.new_zeros(n, model.dims)
        for i in range(model.dims):
            law = model.law(model.step(i, features, caches, embedding))
            level = yield _pmf(law, model.levels)
            features[:, i] = grid.to_grid(level[:, 0], model.levels)

    def order(self, z: Tensor) -> Tensor:
        return self.model.order[z[:, 0]]


class OfVAE(BitsBack):
    """A Gaussian latent, each of its features in bins of equal mass under the prior, so that all bins cost the same.

    The decoder network is told the middle of the bin. How many bins there are cancels: what a finer bin costs more in the
    prior, it has lent more in the posterior. Only the first event has nobody to borrow from.
    """

    def __init__(self, model: VAE):
        self.model, self.dims = model, model.dims
        self.prior = Alike(math.prod(model.latent_shape), BINS)
        self.borrowed = math.prod(model.latent_shape) * math.log2(BINS) + PRECISION
        halves = torch.arange(2 * BINS + 1, dtype=torch.float64) / (2 * BINS)
        quantiles = Normal(0.0, 1.0).icdf(halves)  # edge, middle, edge, middle, ..., edge
        self.edges, self.middles = quantiles[::2], quantiles[1::2]

    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        """The mass of the encoder's Gaussian in each bin."""
        q = _each(self.model.q(_events(level, self.model), c))
        prior = self.model.own_prior(len(level), c)
        edges = self.edges.view(-1, *[1] * len(q.batch_shape))
        yield q.cdf(prior.mean + prior.stddev * edges).diff(dim=0).flatten(2).movedim(0, -1)

    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        prior = self.model.own_prior(len(z), c)
        middles = self.middles[z].view(-1, *self.model.latent_shape)
        law = self.model.p(prior.mean + prior.stddev * middles, c)
        yield _pmf(_each(law), self.model.levels)

    def batches(self, n: int, most: int) -> list[int]:
        """One by one: an event may borrow more bits than it adds."""
        return [1] * n


class OfCodes(BitsBack):
    """A VAE with ``codes``: Q is certain of z, so nothing is borrowed but what the prior's own code borrows."""

    def __init__(self, model: VAE):
        self.model, self.dims = model, model.dims
        latents = math.prod(model.latent_shape)
        self.prior = Alike(latents, model.codes) if model.prior is None else code_of(model.prior)
        self.borrowed = max(self.prior.borrowed, PRECISION)

    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        z = grid.to_level(self.model.encode(_events(level, self.model), c), self.model.codes)
        yield F.one_hot(z.flatten(1), self.model.codes).double()

    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        code = grid.to_grid(z, self.model.codes).double().view(-1, *self.model.latent_shape)
        yield _pmf(_each(self.model.p(code, c)), self.model.levels)


def code_of(model: Any) -> Code:
    """The code that writes the events of ``model``, a model of the zoo or a baseline.

    Raises:
        InputError: there is none, and why.
    """
    name = type(model).__name__
    if not model.levels:
        raise InputError(f"This {name} models real numbers, which no file holds exactly: expected data with levels.")
    if isinstance(model, IndependentPixels):
        return OfPixels(model)
    if isinstance(model, Autoregressive):
        return OfAutoregressive(model)
    if isinstance(model, VAEGAN):
        return code_of(model.vae)
    if isinstance(model, VAE) and model.codes:
        return OfCodes(model)
    if isinstance(model, VAE) and model.prior is None:
        return OfVAE(model)
    raise InputError(f"{name} cannot write a file: {_why_not(model)}")


def _why_not(model: Any) -> str:
    if isinstance(model, VAE):
        return (
            f"its latent has a prior of its own, {type(model.prior).__name__}, and only bins of a Gaussian prior are "
            "built. A VAE without a prior model can, and so can one with codes."
        )
    if model.likelihood == Likelihood.NONE:
        return "it states no likelihood, so there are no probabilities to write by."
    if model.likelihood == Likelihood.ESTIMATE:
        return "its figure is an estimate: by probabilities that add up to one only nearly, nothing can be read back."
    return (
        "its bound counts noise or latents of as many numbers as an event has. Their bits could be had back as those of a "
        "VAE are, which is not built."
    )


def _events(level: Tensor, model: Any) -> Tensor:
    """Levels ``(n, D)`` as events ``(n, *event_shape)``, the very numbers that the data holds, in double precision."""
    return grid.to_grid(level, model.levels).double().view(-1, *model.event_shape)


def _pmf(law: Distribution, levels: int) -> Tensor:
    """The probability of each level ``(n, D, L)`` under laws of single features, of batch shape ``(n, ...)``."""
    shape = law.batch_shape
    level = grid.to_grid(torch.arange(levels), levels).double()
    log_density = law.log_prob(level.view(-1, *[1] * len(shape)).expand(-1, *shape))
    log_mass = log_density + math.log(grid.bin_width(levels))
    return log_mass.exp().view(levels, shape[0], -1).movedim(0, -1)


def _each(law: Distribution) -> Distribution:
    """The laws of single features that an independent law is made of."""
    return law.base_dist  # type: ignore[attr-defined]
