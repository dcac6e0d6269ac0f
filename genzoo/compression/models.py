"""The code of each family: its latent variable, and the probabilities that it gives.

================================  ====================  ======================  ===================
model                             z                     Q(z | x)                the file is
================================  ====================  ======================  ===================
`IndependentPixels`               none                                          exact
`Autoregressive`                  the reading order     the posterior           exact
`Energy`, log Z exact             its hidden units      the posterior           exact
`VAE`                             bins of its latent    the encoder's Gaussian  the bound, one draw
`VAE` with codes                  the code              certain                 the bound
================================  ====================  ======================  ===================
"""

import math
from functools import singledispatch
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, Normal

from genzoo import grid
from genzoo.compression.codes import BitsBack, Chain, Code, Fixed
from genzoo.compression.stack import PRECISION, Walk
from genzoo.errors import InputError
from genzoo.families import VAE, VAEGAN, Autoregressive, Energy
from genzoo.families.baselines import IndependentPixels
from genzoo.families.boltzmann import Boltzmann
from genzoo.families.energy import distinct
from genzoo.families.priors import PlainPrior, UniformCodes
from genzoo.model import GenerativeModel, Likelihood, Measurable

BINS = 2**11  # of each feature of a VAE's latent
REACH = 8  # standard deviations of the prior, on either side, that the bins cover


@singledispatch
def code_of(model: Measurable) -> Code:
    """The code for the events of ``model``, a model of the zoo or a baseline.

    Another family can be added by ``code_of.register``.

    Raises:
        InputError: there is none; the message says why.
    """
    require_levels(model)
    raise refusal(model, why_not(model))


@code_of.register
def _(model: IndependentPixels) -> Code:
    return Fixed(model.log_pmf.exp())


@code_of.register
def _(model: Autoregressive) -> Code:
    require_levels(model)
    return OfAutoregressive(model)


@code_of.register
def _(model: Energy) -> Code:
    require_levels(model)
    if not model.exact:
        raise refusal(model, why_not(model))
    machine: Any = model.network
    return OfBoltzmann(model, machine)


@code_of.register
def _(model: VAEGAN) -> Code:
    require_levels(model)
    return code_of(model.vae)


@code_of.register
def _(model: VAE) -> Code:
    require_levels(model)
    if model.codes:
        return OfCodes(model)
    return code_in_bins(model.prior, model)


@code_of.register
def _(model: UniformCodes) -> Code:
    return Fixed(torch.ones(model.dims, model.levels))


@singledispatch
def code_in_bins(prior: GenerativeModel, model: VAE) -> Code:
    """The code of a VAE with a real-valued latent, by bins of its prior."""
    raise refusal(
        model,
        f"its latent has a prior of its own, {type(prior).__name__}, and only bins of a "
        "Gaussian prior are built. A VAE without a prior model can, and so can one with codes.",
    )


@code_in_bins.register
def _(prior: PlainPrior, model: VAE) -> Code:
    return OfVAE(model, prior)


def require_levels(model: Measurable) -> None:
    """Raise `InputError` for a model of real numbers."""
    if not model.levels:
        name = type(model).__name__
        raise InputError(f"{name} of real numbers cannot write a file: expected data with levels.")


def why_not(model: Measurable) -> str:
    """The reason why a family has no code, by the claim of its likelihood."""
    if model.likelihood == Likelihood.NONE:
        return "it states no likelihood, so there are no probabilities to write by."
    if model.likelihood == Likelihood.ESTIMATE:
        return (
            "its figure is an estimate, of probabilities that need not add up to one. An energy "
            "model of few hidden units can."
        )
    return (
        "its bound counts noise or latents of as many numbers as an event has. Their bits could be "
        "recovered as those of a VAE are, which is not built."
    )


def refusal(model: Measurable, reason: str) -> InputError:
    """The error for a model that cannot write a file, with the reason."""
    return InputError(f"{type(model).__name__} cannot write a file: {reason}")


class OfAutoregressive(BitsBack):
    """An autoregressive model, with the reading order r as latent variable.

    P(x) is the mean of P_r(x) over orders. Each order predicts another pixel next, so the mixture
    has no conditionals to write with; given r there are. Writer and reader take the same steps as
    `Autoregressive.sample`, one for each feature.
    """

    def __init__(self, model: Autoregressive):
        self.model = model
        self.dims = model.dims
        self.prior = Fixed(torch.ones(1, model.orders))
        self.borrowed = PRECISION + math.log2(model.orders) if model.orders > 1 else 0.0

    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        """P(r | x), in proportion to P_r(x)."""
        model = self.model
        if model.orders == 1:
            yield torch.ones(len(level), 1, 1)
            return
        x = _events(level, model)
        orders = torch.arange(model.orders)
        condition = _condition(model, c)
        log_joint = [model.log_prob_in_order(x, condition, r.expand(len(x))) for r in orders]
        pmf = torch.stack(log_joint, 1).softmax(1)
        yield pmf.unsqueeze(1)

    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        model = self.model
        embedding = model.embedding(_condition(model, c), z[:, 0])
        predict = model.predictor(embedding)
        features = embedding.new_zeros(len(z), model.dims)
        for i in range(model.dims):
            conditional = model.conditional(predict(i, features))
            level = yield _pmf(conditional, model.levels)
            features[:, i] = grid.to_grid(level[:, 0], model.levels)

    def order(self, z: Tensor) -> Tensor:
        return self.model.order[z[:, 0]]


class OfBoltzmann(BitsBack):
    """An energy model with so few hidden units that log Z is a sum over their states.

    The units are independent given x, and the features given the units; both distributions follow
    from the weights. P(h) is the share of a state in that sum.
    """

    def __init__(self, model: Energy, machine: Boltzmann):
        self.model = model
        self.machine = machine
        self.dims = model.dims
        self.prior = OfStates(model, machine)
        self.borrowed = PRECISION + machine.hidden

    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        embedding = self.model.embed(_condition(self.model, c), len(level))
        on = self.machine.features(_events(level, self.model), embedding)
        yield torch.stack([1 - on, on], -1)

    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        embedding = self.model.embed(_condition(self.model, c), len(z))
        _, biases = self.machine.split(embedding)
        base = self.model.histogram + self.model.bias
        field = biases + z.double() @ self.machine.weight
        yield (base + self.machine.weigh(field)).softmax(-1)


class OfStates(Chain):
    """The hidden units of a Boltzmann machine by the chain rule, each given those before it."""

    def __init__(self, model: Energy, machine: Boltzmann):
        self.model = model
        self.machine = machine
        self.known: dict[bytes, Tensor] = {}

    def walk(self, n: int, c: Tensor | None) -> Walk:
        conditions, rows = distinct(_condition(self.model, c), n)
        log_share = self.log_shares(conditions)
        before = torch.zeros(n, dtype=torch.long)  # the units so far, as a binary number
        for j in range(self.machine.hidden):
            log_joint = log_share.view(len(log_share), -1, 2, 2**j).logsumexp(1)
            pmf = log_joint[rows, :, before].softmax(-1)
            unit = yield pmf.unsqueeze(1)
            before = before + unit[:, 0] * 2**j

    def log_shares(self, conditions: Tensor | None) -> Tensor:
        """log P(h | c) up to a constant, of all states, ``(conditions, 2^H)``; computed once."""
        if conditions is None:
            return self.log_share(None)
        return torch.cat([self.log_share(c) for c in conditions.split(1)])

    def log_share(self, c: Tensor | None) -> Tensor:
        """log P(h | c) up to a constant, of all states under one condition, ``(1, 2^H)``."""
        name = b"" if c is None else c.numpy().tobytes()
        if name not in self.known:
            base = self.model.histogram + self.model.bias
            self.known[name] = self.machine.log_states(base, self.model.embed(c, 1))
        return self.known[name]


class OfVAE(BitsBack):
    """A VAE with a Gaussian latent, each of whose features is in one of many narrow bins.

    The decoder takes the middle of the bin. The width of the bins cancels: narrower ones cost more
    bits by the prior, and as many more are borrowed by the posterior. Only the first event has no
    event before it to borrow from.
    """

    def __init__(self, model: VAE, prior: PlainPrior):
        self.model = model
        self.dims = model.dims
        self.gaussian = prior
        width = 2 * REACH / BINS
        bins = torch.arange(BINS + 1, dtype=torch.float64)
        self.middles = (bins[:-1] + 0.5) * width - REACH
        self.edges = bins * width - REACH
        self.edges[0] = -math.inf
        self.edges[-1] = math.inf
        latents = math.prod(model.latent_shape)
        mass = Normal(0.0, 1.0).cdf(self.edges).diff()
        self.prior = Fixed(mass.expand(latents, -1))
        entropy = math.log2(math.sqrt(2 * math.pi * math.e) / width)  # of the prior, in bits
        self.borrowed = PRECISION + latents * entropy

    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        """The mass of the encoder's Gaussian in each bin."""
        q = _each(self.model.q(_events(level, self.model), c))
        prior = self.gaussian.distribution(len(level), c)
        edges = self.edges.view(-1, *[1] * len(q.batch_shape))
        cumulative = q.cdf(prior.mean + prior.stddev * edges)
        mass = cumulative.diff(dim=0)
        yield mass.flatten(2).movedim(0, -1)

    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        prior = self.gaussian.distribution(len(z), c)
        middles = self.middles[z].view(-1, *self.model.latent_shape)
        latent = prior.mean + prior.stddev * middles
        p = self.model.p(latent, c)
        yield _pmf(_each(p), self.model.levels)

    def batches(self, n: int, most: int) -> list[int]:
        """One by one: an event may borrow more bits than it adds."""
        return [1] * n


class OfCodes(BitsBack):
    """A VAE with ``codes``: x determines z, so only the prior's own code borrows bits."""

    def __init__(self, model: VAE):
        self.model = model
        self.dims = model.dims
        self.prior = code_of(model.prior)
        self.borrowed = max(PRECISION, self.prior.borrowed)

    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        code = self.model.encode(_events(level, self.model), c)
        z = grid.to_level(code, self.model.codes).flatten(1)
        yield F.one_hot(z, self.model.codes).double()

    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        code = grid.to_grid(z, self.model.codes).double()
        p = self.model.p(code.view(-1, *self.model.latent_shape), c)
        yield _pmf(_each(p), self.model.levels)


def _events(level: Tensor, model: Any) -> Tensor:
    """Levels ``(n, D)`` as events ``(n, *event_shape)`` on the grid."""
    x = grid.to_grid(level, model.levels).double()
    return x.view(-1, *model.event_shape)


def _condition(model: Any, c: Tensor | None) -> Tensor | None:
    """The condition, or None for a model without; the prior of a conditional model may be one."""
    if not model.condition:
        return None
    return c


def _pmf(features: Distribution, levels: int) -> Tensor:
    """Probabilities of all levels, ``(n, D, L)``, under distributions of features ``(n, ...)``."""
    shape = features.batch_shape
    values = grid.to_grid(torch.arange(levels), levels).double()
    everywhere = values.view(-1, *[1] * len(shape)).expand(-1, *shape)
    log_mass = features.log_prob(everywhere) + math.log(grid.bin_width(levels))
    mass = log_mass.exp().view(levels, shape[0], -1)
    return mass.movedim(0, -1)


def _each(distribution: Distribution) -> Distribution:
    """The distributions of single features in an independent one."""
    return distribution.base_dist  # type: ignore[attr-defined]
