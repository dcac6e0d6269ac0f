r"""Restricted Boltzmann machine: the default network f of an energy model of data with levels.

Its *hidden units* h, each 0 or 1, are summed out, which leaves a function of the observation x:

.. math::

    f(x) = -v \cdot \varphi(x) - \sum_j \log(1 + e^{a_j(x)}), \qquad
    a(x) = W (\varphi(x) - \mu) + d

:math:`\varphi(v) = (v, v^2, [v = \text{lowest}], [v = \text{highest}])` of each feature. Given x
the units are independent, and given h the features are. Two things follow:

* `Gibbs`: *block Gibbs sampling* samples all units given the features, then all features given the
  units, and has no step size to choose.
* `Boltzmann.log_states`: with few units the normaliser is a sum over all their states that can be
  carried out exactly.

References: Hinton 2002, *Training products of experts by minimizing contrastive divergence*;
Salakhutdinov & Murray 2008, *On the quantitative analysis of deep belief networks* (annealing a
Boltzmann machine).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genzoo import grid
from genzoo.nets import Condition

# numbers that the cache of a core holds
IN_CACHE = 2**18


class Boltzmann(nn.Module):
    r"""Free energy of a restricted Boltzmann machine over levels, its hidden units summed out.

    .. math::

        f(x, e) = -v \cdot \varphi(x) - \sum_j \log(1 + e^{a_j(x)}), \quad
        a(x) = W (\varphi(x) - \mu) + d

    The biases d of the units and v of the features are the embedding e of the condition. phi is up
    to four numbers of each feature, standardised over all features of the data, and mu their means.

    Args:
        dims: number of features, D.
        levels: values that each takes, L.
        hidden: number of hidden units.
    """

    table: Tensor
    centre: Tensor

    def __init__(self, dims: int, levels: int, hidden: int):
        super().__init__()
        self.dims = dims
        self.levels = levels
        self.hidden = hidden
        # phi of each level, (L, m), and mu
        self.register_buffer("table", ordinal(levels))
        numbers = dims * self.table.shape[1]
        self.register_buffer("centre", torch.zeros(numbers))
        self.weight = nn.Parameter(0.01 * torch.randn(hidden, numbers))

    def biases(self, condition: int) -> Condition:
        """The embedding of a condition that `forward` takes, ``(n, hidden + D m)``.

        At first all units are rarely on, and all other biases are zero.
        """
        embedding = Condition(condition, self.hidden + len(self.centre))
        biases = [embedding.null]
        with torch.no_grad():
            if embedding.embed is not None:
                biases.append(embedding.embed.bias)
                embedding.embed.weight.mul_(0.01)
            for bias in biases:
                bias.zero_()
                bias[: self.hidden] = -1.0
        return embedding

    def standardise(self, pmf: Tensor) -> None:
        """Give phi mean 0 and standard deviation 1, and set mu.

        Both are taken over features whose histograms are ``pmf``, (D, L).
        """
        pooled = pmf.mean(0)
        phi = ordinal(self.levels).to(pmf)
        mean = pooled @ phi
        centred = phi - mean
        variance = pooled @ centred.square()
        std = variance.sqrt().clamp(min=0.05)
        self.table.copy_(centred / std)
        means = pmf @ self.table.to(pmf)
        self.centre.copy_(means.flatten())

    def phi(self, k: Tensor) -> Tensor:
        """phi of levels (n, D), ``(n, D m)``."""
        of_each = F.embedding(k, self.table)
        return of_each.flatten(1)

    def pull(self, k: Tensor) -> Tensor:
        """W (phi(x) - mu) of levels (n, D), ``(n, hidden)``.

        The features add it to the biases of the units.
        """
        centred = self.phi(k) - self.centre
        return F.linear(centred, self.weight)

    def weigh(self, field: Tensor) -> Tensor:
        """field . phi of each level of each feature, ``(n, D, L)`` of ``(n, D m)``."""
        of_each = field.view(len(field), self.dims, -1)
        return of_each @ self.table.T

    def split(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """The biases d of the units and v of the features."""
        d = e[:, : self.hidden]
        v = e[:, self.hidden :]
        return d, v

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """p(h_j = 1 | x), ``(n, hidden)``."""
        k = levels_of(x, self.levels)
        d, _ = self.split(e)
        log_odds = d + self.pull(k)
        return log_odds.sigmoid()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """f of each observation, ``(n, 1)``."""
        k = levels_of(x, self.levels)
        d, v = self.split(e)
        linear = (self.phi(k) * v).sum(1)
        log_odds = d + self.pull(k)
        units = F.softplus(log_odds).sum(1)
        f = -(linear + units)
        return f.unsqueeze(1)

    def slopes(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """f of each observation, ``(n,)``, and its slope at each level, ``(n, D, L)``."""
        f = self(x, e).squeeze(1)
        _, v = self.split(e)
        units = self.features(x, e)
        field = v + units @ self.weight
        return f, -self.weigh(field)

    # ---------------------------------------------------------------- the sum over all hidden units

    def log_partition(self, bias: Tensor, e: Tensor) -> Tensor:
        """log sum over x of exp(b(x) - f(x, e)), ``(n,)``, exactly."""
        log_states = self.log_states(bias, e)
        return log_states.logsumexp(1).to(bias)

    def log_states(self, bias: Tensor, e: Tensor, numbers: int = 2**22) -> Tensor:
        r"""Log of what each state of the units adds to that sum, ``(n, 2^hidden)`` float64.

        Unit j is on in state s if s has the bit 2^j.

        Half of the units, in state s, and the others, in state t, each give a level v of a feature
        a weight, and what both give it is the product. So the features' sums over levels,
        :math:`\sum_v A_{sv} B_{tv}`, are products of two small matrices.

        Args:
            bias: b_i(v), ``(D, L)``.
            e: as in `forward`.
            numbers: held in memory at a time.
        """
        half = self.hidden // 2
        first = self.states(half).to(bias)
        second = self.states(self.hidden - half).to(bias)
        weight_first = self.weight[:half]
        weight_second = self.weight[half:]
        features = max(1, numbers // 2**self.hidden)

        all_log_states = []
        for d, v in zip(*self.split(e), strict=True):
            d = d - self.weight @ self.centre
            of_first = (first @ d[:half]).double()
            of_second = (second @ d[half:]).double()
            log_states = of_second[:, None] + of_first

            # log A and log B, (D, states, L)
            a = bias + self.weigh(second @ weight_second + v)
            b = self.weigh(first @ weight_first)
            a = a.double().transpose(0, 1)
            b = b.double().transpose(0, 1)
            parts_a = a.split(features)
            parts_b = b.split(features)
            for part_a, part_b in zip(parts_a, parts_b, strict=True):
                log_states = log_states + log_sums(part_a, part_b).sum(0)
            all_log_states.append(log_states.flatten())
        return torch.stack(all_log_states)

    def states(self, units: int) -> Tensor:
        """All states of so many units, ``(2^units, units)`` of True and False."""
        numbers = torch.arange(2**units, device=self.weight.device)
        return bits(numbers, units)

    def draw_units(self, log_states: Tensor, n: int) -> Tensor:
        """n samples of the units, given the log-weights ``(2^hidden,)`` of their states.

        Returns:
            zeros and ones, ``(n, hidden)``.
        """
        weights = (log_states - log_states.max()).exp()
        sums = weights.cumsum(0)
        total = sums[-1]
        point = torch.rand(n, dtype=sums.dtype, device=sums.device) * total
        states = torch.searchsorted(sums, point, right=True)
        states = states.clamp(max=len(sums) - 1)
        return bits(states, self.hidden).to(self.weight)


def log_sums(a: Tensor, b: Tensor) -> Tensor:
    """log sum_v exp(a[f, s, v] + b[f, t, v]), ``(F, S, T)`` of (F, S, L) and (F, T, L)."""
    most_a = a.amax(2, keepdim=True).detach()
    most_b = b.amax(2, keepdim=True).detach()
    scaled_a = (a - most_a).exp()
    scaled_b = (b - most_b).exp()
    log_products = (scaled_a @ scaled_b.mT).log()
    result = log_products + most_a + most_b.mT
    if not result.isinf().any():
        return result
    # a and b favour such different levels that every product underflows: the slow, safe way
    of_features = []
    for of_a, of_b in zip(a, b, strict=True):
        log_terms = of_a[:, None] + of_b
        of_features.append(log_terms.logsumexp(2))
    return torch.stack(of_features)


def bits(numbers: Tensor, count: int) -> Tensor:
    """The lowest bits of each number, ``(n, count)`` of True and False."""
    places = 2 ** torch.arange(count, device=numbers.device)
    return (numbers[:, None] & places).ne(0)


# ---------------------------------------------------------------------------- features with levels


def levels_of(x: Tensor, levels: int) -> Tensor:
    """The level of each feature of observations x, ``(n, D)``."""
    k = grid.to_level(x, levels)
    return k.flatten(1)


def ordinal(levels: int) -> Tensor:
    """phi of each level, ``(L, m)``.

    Its value and its square, and whether it is the lowest or the highest; of two levels, the value.
    """
    v = grid.to_grid(torch.arange(levels), levels)
    if levels == 2:
        return v[:, None]
    lowest_and_highest = torch.tensor([0, levels - 1])
    ends = F.one_hot(lowest_and_highest, levels).float()
    return torch.stack([v, v.square(), *ends], 1)


def softened(log_pmf: Tensor, share: float) -> Tensor:
    """log of a mixture of the pmf in the last dimension with a ``share`` of the uniform one."""
    if not share:
        return log_pmf
    levels = log_pmf.shape[-1]
    uniform = torch.full_like(log_pmf, 1 / levels)
    mixture = torch.lerp(log_pmf.exp(), uniform, share)
    return mixture.log()


def soften_odds(log_odds: Tensor, share: float) -> Tensor:
    """Log-odds of binary variables, mixed with a ``share`` of a fair coin."""
    log_on = F.logsigmoid(log_odds)
    log_off = F.logsigmoid(-log_odds)
    log_pmf = torch.stack([log_on, log_off], -1)
    log_on, log_off = softened(log_pmf, share).unbind(-1)
    return log_on - log_off


def look_up(table: Tensor, k: Tensor) -> Tensor:
    """sum_i table[i, k_i] of a table (D, L) and levels (n, D), ``(n,)``."""
    of_features = table.gather(1, k.T)
    return of_features.sum(0)


def draw_levels(logits: Tensor) -> Tensor:
    """Sample a level of each feature in proportion to exp(logits), ``(n, D)`` of (n, D, L)."""
    levels = logits.shape[-1]
    if levels == 2:
        log_odds = logits[..., 1] - logits[..., 0]
        chance = log_odds.sigmoid()
        return (torch.rand_like(chance) < chance).long()
    sums = _running_sums(logits)
    total = sums[..., -1:]
    point = torch.rand_like(total) * total
    k = torch.searchsorted(sums, point)
    return k.squeeze(-1).clamp(max=levels - 1)


def draw_of_table(logits: Tensor, n: int) -> Tensor:
    """n samples of each feature's level in proportion to exp(logits), ``(n, D)`` of (D, L).

    The same as `draw_levels` of n copies of the table, which large images would fill the memory
    with.
    """
    dims, levels = logits.shape
    share = torch.rand(n, dims, device=logits.device, dtype=logits.dtype)
    if levels == 2:
        log_odds = logits[:, 1] - logits[:, 0]
        return (share < log_odds.sigmoid()).long()
    sums = _running_sums(logits)
    point = share * sums[:, -1]
    k = torch.searchsorted(sums, point.T.contiguous())
    return k.T.clamp(max=levels - 1)


def _running_sums(logits: Tensor) -> Tensor:
    """Sums of exp(logits) over the first levels, up to a factor of each feature."""
    weights = (logits - logits.amax(-1, keepdim=True)).exp()
    return weights.cumsum(-1)


# ----------------------------------------------------------------------------- block Gibbs sampling


class Spins(NamedTuple):
    """Chains of block Gibbs sampling."""

    k: Tensor
    """Levels of the observations, ``(n, D)``."""

    pull: Tensor
    """Their pull on the units, ``(n, hidden)``."""

    levels: int
    event_shape: tuple[int, ...]

    @property
    def x(self) -> Tensor:
        """The observations, ``(n, *event_shape)``."""
        values = grid.to_grid(self.k, self.levels)
        return values.view(-1, *self.event_shape)


class Gibbs:
    r"""Block Gibbs sampling of a Boltzmann machine, at each temperature of an annealing.

    On the way from independent features and units to the machine the joint density is

    .. math::

        \log f_\beta(x, h) = (1 - \beta) \, [\log q_0(x) + h \cdot d_0] + \beta \, [b(x) + h \cdot
        d] + v \cdot \varphi(x) + \beta \, h \cdot W (\varphi(x) - \mu)

    with h summed out where a chain is weighed. At the start features and units have their biases
    and nothing couples them, so Z is known.

    Args:
        machine: the Boltzmann machine.
        base: log q_0, normalised, ``(D, L)``.
        bias: b - log q_0, ``(D, L)``.
        e: embedding of each chain's condition, ``(n, hidden + D m)``.
        event_shape: of x.
        soften: share of a fair coin in the distribution of each unit at the start. Without it
            d_0 = d.
    """

    # the mean acceptance that a step size would adapt to; every move is accepted
    wanted = 1.0

    def __init__(
        self,
        machine: Boltzmann,
        base: Tensor,
        bias: Tensor,
        e: Tensor,
        event_shape: tuple[int, ...],
        soften: float = 0.0,
    ):
        self.machine = machine
        self.base = base
        self.bias = bias
        self.d, self.v = machine.split(e)
        self.d0 = self.d
        if soften:
            self.d0 = soften_odds(self.d, soften)
        self.event_shape = event_shape

    @property
    def log_z0(self) -> Tensor:
        """log of the sum over all states at the start of the path, per chain, ``(n,)`` float64."""
        of_each = self.logits(0.0).logsumexp(2)
        features = of_each.sum(1, dtype=torch.float64)
        units = F.softplus(self.d0).sum(1, dtype=torch.float64)
        return features + units

    def draw(self, n: int) -> Tensor:
        """Exact samples at the start of the path, ``(n, *event_shape)``, one for each chain."""
        k = draw_levels(self.logits(0.0))
        return self.at(k).x

    def look(self, x: Tensor) -> Spins:
        """The state of chains that stand at x."""
        return self.at(levels_of(x, self.machine.levels))

    def at(self, k: Tensor) -> Spins:
        """The state of chains whose features have the levels ``k``, (n, D)."""
        pull = self.machine.pull(k)
        return Spins(k, pull, self.machine.levels, self.event_shape)

    def log_ratio(self, at: Spins, here: float, there: float) -> Tensor:
        """log f_there - log f_here of each chain, ``(n,)`` float64."""
        features = look_up(self.bias, at.k).double()
        units_there = F.softplus(self.log_odds(at, there))
        units_here = F.softplus(self.log_odds(at, here))
        units = units_there - units_here
        return (there - here) * features + units.sum(1, dtype=torch.float64)

    def move(self, at: Spins, beta: float, step: Tensor) -> tuple[Spins, Tensor]:
        """Sample all units given the features, then all features given the units."""
        chance = self.log_odds(at, beta).sigmoid()
        h = (torch.rand_like(chance) < chance).to(chance)
        k = self.draw_features(beta, h)
        accepted = torch.ones_like(step)
        return self.at(k), accepted

    def draw_features(self, beta: float, h: Tensor) -> Tensor:
        """Levels of all features given the units ``(n, hidden)``, ``(n, D)``.

        On a CPU a few chains at a time, so that the weights of all their levels stay in its cache:
        with 256 levels of 784 features that is four times as fast.
        """
        field = self.v + beta * (h @ self.machine.weight)
        bias = self.base + beta * self.bias
        at_once = len(field)
        if field.device.type == "cpu":
            at_once = max(1, IN_CACHE // bias.numel())
        parts = [draw_levels(bias + self.machine.weigh(part)) for part in field.split(at_once)]
        return torch.cat(parts)

    def log_odds(self, at: Spins, beta: float) -> Tensor:
        """Log-odds of each unit being 1 given the features, ``(n, hidden)``."""
        d = torch.lerp(self.d0, self.d, beta)
        return d + beta * at.pull

    def logits(self, beta: float, h: Tensor | None = None) -> Tensor:
        """Log-weights of the levels of each feature given the units, ``(n, D, L)``.

        Without units they are those at the start.
        """
        field = self.v
        if h is not None:
            field = field + beta * (h @ self.machine.weight)
        bias = self.base + beta * self.bias
        return bias + self.machine.weigh(field)
