r"""Annealed importance sampling: weigh a distribution that can only be evaluated, by walking to it from one that is known.

Between a normalised base f_0 and a target f_1 with unknown :math:`Z = \int f_1` lies a path of temperatures

.. math::

    \log f_\beta = (1 - \beta) \log f_0 + \beta \log f_1, \qquad 0 = \beta_0 < \beta_1 < \dots < \beta_T = 1 .

A chain starts at an exact draw of f_0; at every level it is weighed, then moved by a kernel that leaves :math:`f_{\beta_t}`
alone, here Hamiltonian Monte Carlo:

.. math::

    \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \, [\log f_1(x_{t-1}) - \log f_0(x_{t-1})], \qquad E[w] = Z .

E[w] is unbiased, so by Jensen's inequality E[log mean w] <= log Z: the forward run is a *stochastic lower bound*. Swap base
and target and start from exact draws of the target, and the same code estimates 1/Z: minus its logarithm is a *stochastic
upper bound*. Between the two lies the truth (bidirectional Monte Carlo). Where no exact draw of the target is to be had, as
with an energy model, long-run chains stand in, and the upper end is a *heuristic*: it fails if they have missed a mode.

**Step sizes.** HMC's step is adapted to 65 % acceptance from each temperature to the next. A chain whose kernel depended on
its own past would be weighed wrongly, so the step is set by *scouts*: further chains that run along, are never weighed, and
never look at those that are. Given the scouts, the kernels of the weighed chains are fixed in advance, and E[w] = Z holds.

References: Neal 2001, *Annealed importance sampling*; Grosse et al. 2015, *Sandwiching the marginal likelihood using
bidirectional Monte Carlo*; Wu et al. 2017, *On the quantitative analysis of decoder-based generative models*; Neal 2011, *MCMC
using Hamiltonian dynamics*.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genzoo.progress import Report

LogDensity = Callable[[Tensor], Tensor]  # events (rows, ...) to unnormalised log-densities (rows,)
FAR = 1e6  # a trajectory that strays farther has flown off and is refused


class Estimate(NamedTuple):
    """log of a mean of weights, for each problem ``(n,)``, with its standard error and the effective number of weights.

    The error is taken from the weights seen and never exceeds one nat: where ``ess`` is near 1 it understates.
    """

    value: Tensor
    stderr: Tensor
    ess: Tensor


class Bracket(NamedTuple):
    """Stochastic lower and upper bound of log Z for each problem, ``(n,)`` nats; the larger error, the smaller ``ess``."""

    lower: Tensor
    upper: Tensor
    stderr: Tensor
    ess: Tensor

    @property
    def gap(self) -> Tensor:
        """Upper minus lower, ``(n,)``: the sum of both ends' errors in expectation."""
        return self.upper - self.lower


class Annealed(NamedTuple):
    """What a run of `anneal` leaves: log-weights ``(chains, n)`` in float64 of the weighed chains; the last places of all
    chains, scouts first, ``((scouts + chains) * n, ...)``; mean acceptance and mean step at each level, ``(levels,)``."""

    log_weights: Tensor
    x: Tensor
    acceptance: Tensor
    step: Tensor


# ------------------------------------------------------------------------------------------------------------ the method


def anneal(
    log_base: LogDensity,
    log_target: LogDensity,
    start: Tensor,
    *,
    problems: int = 1,
    scouts: int = 4,
    levels: int = 1000,
    leapfrogs: int = 10,
    schedule: str = "sigmoid",
    acceptance: float = 0.65,
    step: float = 0.5,
    progress: Report | None = None,
) -> Annealed:
    """Walk chains from ``log_base`` to ``log_target`` and weigh them.

    Args:
        log_base, log_target: log-densities of rows, of any event shape; differentiable.
        start: exact draws of the base, ``((scouts + chains) * problems, ...)``: row r belongs to problem ``r % problems``.
        problems: how many different targets the rows have, each with a step size of its own.
        scouts: chains of each problem that set its step and are not weighed; 0 keeps ``step`` as it is.
        levels: T, moves of each chain; leapfrogs: gradients in each move.
        schedule: "sigmoid", slow at both ends, or "linear".
        acceptance: wanted; step: where its adaptation starts.
        progress: told now and then.

    Works under ``no_grad`` and under inference mode, which it leaves for its own gradients; what ``log_base`` and
    ``log_target`` close over must have been made, or cloned, outside of inference mode.
    """
    with torch.inference_mode(False), torch.no_grad():
        at = _look(log_base, log_target, start.clone())
        betas = SCHEDULES[schedule](levels)
        log_weights = torch.zeros(len(start), dtype=torch.float64, device=start.device)
        log_step = torch.full((problems,), math.log(step), dtype=torch.float64, device=start.device)
        history = torch.zeros(2, levels, dtype=torch.float64)
        for t in range(1, levels + 1):
            log_weights += (betas[t] - betas[t - 1]) * (at.log_f1 - at.log_f0)
            at, accepted = _hmc(
                log_base, log_target, at, betas[t], log_step.exp().repeat(len(start) // problems), leapfrogs
            )
            accepted = accepted.view(-1, problems)
            history[:, t - 1] = torch.stack([accepted.mean(), log_step.exp().mean()]).cpu()
            if scouts:
                log_step += 0.2 * (accepted[:scouts].mean(0) - acceptance)
            if progress and (t % max(1, levels // 100) == 0 or t == levels):
                progress(t, levels, _remark(log_weights.view(-1, problems)[scouts:]))
        return Annealed(log_weights.view(-1, problems)[scouts:], at.x, *history)


def _remark(log_weights: Tensor) -> str:
    if not len(log_weights):
        return "walking"
    now = log_mean_exp(log_weights)
    return f"log-weight {now.value.mean():.2f} ± {now.stderr.mean():.2f} nats"


def share(progress: Report | None, i: int, of: int) -> Report | None:
    """``progress`` as told by the i-th of several runs of equal length."""
    return progress and (lambda level, levels, text: progress(i * levels + level, of * levels, text))


def log_mean_exp(log_weights: Tensor) -> Estimate:
    """log of the mean weight over the chains (first dimension), its standard error and Kish's effective sample size.

    stderr² = Var(w) / (n w̄²) = (n / ess - 1) / (n - 1), by the delta method. A problem whose weights are all zero has
    value -inf and ess 0.
    """
    n = len(log_weights)
    total = torch.logsumexp(log_weights, 0)
    ess = torch.exp(2 * total - torch.logsumexp(2 * log_weights, 0)).nan_to_num(nan=0.0)
    variance = (n / ess.clamp(min=1.0) - 1) / max(1, n - 1)
    return Estimate(total - math.log(n), variance.clamp(min=0.0).sqrt(), ess)


def bracket(log_base: LogDensity, log_target: LogDensity, base: Tensor, target: Tensor, *,
            progress: Report | None = None, **settings: Any) -> Bracket:  # fmt: skip
    """log Z of the target from both ends: ``base`` and ``target`` are draws of either, as `anneal` wants its ``start``."""
    forward = anneal(log_base, log_target, base, progress=share(progress, 0, 2), **settings)
    reverse = anneal(log_target, log_base, target, progress=share(progress, 1, 2), **settings)
    low, high = log_mean_exp(forward.log_weights), log_mean_exp(reverse.log_weights)
    return Bracket(low.value, -high.value, torch.maximum(low.stderr, high.stderr), torch.minimum(low.ess, high.ess))


def walk(log_density: LogDensity, start: Tensor, moves: int, *, problems: int = 1, **settings: Any) -> Tensor:
    """Plain Hamiltonian Monte Carlo: annealing from a target to itself weighs nothing and only moves the chains, all scouts.

    Here no chain is weighed, so each may help to set the step. Returns the last places, of ``start``'s shape.
    """
    settings.pop("scouts", None)
    scouts = len(start) // problems
    return anneal(log_density, log_density, start, problems=problems, scouts=scouts, levels=moves, **settings).x


def standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I), ``(rows,)``."""
    z = z.flatten(1)
    return -0.5 * (z.square().sum(1) + z.shape[1] * math.log(2 * math.pi))


# ------------------------------------------------------------------------------------------------- schedules and moves


def sigmoid(levels: int, sharpness: float = 4.0) -> list[float]:
    """beta_t ~ sigmoid(4 (2 t / T - 1)), rescaled to run from 0 to 1: small steps at both ends (Grosse et al. 2015)."""
    raw = torch.sigmoid(sharpness * torch.linspace(-1, 1, levels + 1, dtype=torch.float64))
    return ((raw - raw[0]) / (raw[-1] - raw[0])).tolist()


def linear(levels: int) -> list[float]:
    """beta_t = t / T."""
    return torch.linspace(0, 1, levels + 1, dtype=torch.float64).tolist()


SCHEDULES = {"sigmoid": sigmoid, "linear": linear}


class _Point(NamedTuple):
    """A place and what is known there: both log-densities (float64) and their gradients."""

    x: Tensor
    log_f0: Tensor
    log_f1: Tensor
    grad_0: Tensor
    grad_1: Tensor

    def log_f(self, beta: float) -> Tensor:
        return (1 - beta) * self.log_f0 + beta * self.log_f1

    def grad(self, beta: float) -> Tensor:
        return (1 - beta) * self.grad_0 + beta * self.grad_1


def _look(log_base: LogDensity, log_target: LogDensity, x: Tensor) -> _Point:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        densities = [log_base] if log_base is log_target else [log_base, log_target]
        values = [log_density(x) for log_density in densities]
        gradients = [torch.autograd.grad(value.sum(), x)[0] for value in values]
    values = [value.detach().double() for value in values]
    return _Point(x.detach(), values[0], values[-1], gradients[0], gradients[-1])


def _hmc(log_base: LogDensity, log_target: LogDensity, at: _Point, beta: float, step: Tensor, leapfrogs: int):
    """One Hamiltonian move of every row at temperature beta; returns where they are and with what chance they moved.

    The step is jittered by a fifth, independently of the state: a fixed one could walk around a Gaussian in full circles.
    """
    shape = (-1, *[1] * (at.x.dim() - 1))
    h = (step * (0.8 + 0.4 * torch.rand_like(step))).to(at.x).view(shape)
    momentum = torch.randn_like(at.x)
    to, p = at, momentum + 0.5 * h * at.grad(beta)
    lost = torch.zeros(len(at.x), dtype=torch.bool, device=at.x.device)
    for i in range(leapfrogs):
        x = to.x + h * p
        lost |= ~(x.flatten(1).abs().amax(1) < FAR)  # not a number as well
        to = _look(log_base, log_target, torch.where(lost.view(shape), at.x, x))
        p = p + (h if i < leapfrogs - 1 else 0.5 * h) * to.grad(beta)
    kinetic = 0.5 * (momentum.double().square() - p.double().square()).flatten(1).sum(1)
    chance = (to.log_f(beta) - at.log_f(beta) + kinetic).clamp(max=0.0).exp().nan_to_num(nan=0.0).masked_fill(lost, 0.0)
    moved = torch.rand_like(chance) < chance
    return _Point(
        *(torch.where(moved.view(-1, *[1] * (b.dim() - 1)), b, a) for a, b in zip(at, to, strict=True))
    ), chance
