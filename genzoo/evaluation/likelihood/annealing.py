r"""Annealed importance sampling.

It finds the normaliser of a density by walking to it from a density whose normaliser is known.

Between a normalised base f_0 and a target f_1 with unknown :math:`Z = \int f_1` lies a path of
distributions f_beta, each known up to its own constant, 0 = beta_0 < beta_1 < ... < beta_T = 1.
A chain starts at an exact draw of f_0. At every level it is weighed, then moved by a kernel that
leaves f at that level alone:

.. math::

    \log w = \sum_{t=1}^T \log f_{\beta_t}(x_{t-1}) - \log f_{\beta_{t-1}}(x_{t-1}),
    \qquad E[w] = Z .

`follow` does this along any `Path`. The path of real-valued data is `Geometric`,
:math:`\log f_\beta = (1 - \beta) \log f_0 + \beta \log f_1`, walked by Hamiltonian Monte Carlo;
those of discrete data stand with the energy model (`genzoo.families.energy`).

E[w] is unbiased, so by Jensen's inequality E[log mean w] <= log Z: the forward run is a
*stochastic lower bound*. Follow the path backwards from exact draws of the target, and the same
code estimates 1/Z: minus its logarithm is a *stochastic upper bound*. Between the two lies the
truth (bidirectional Monte Carlo). Where no exact draw of the target is to be had, as with an
energy model, long-run chains stand in, and the upper end is a *heuristic*: it fails if they have
missed a mode.

**Step sizes.** A kernel with a step adapts it to the acceptance that it wants, from each
temperature to the next. A chain whose kernel depended on its own past would be weighed wrongly, so
the step is set by *scouts*: further chains that run along, are never weighed, and never look at
those that are. Given the scouts, the kernels of the weighed chains are fixed in advance, and
E[w] = Z holds.

References: Neal 2001, *Annealed importance sampling*; Grosse et al. 2015, *Sandwiching the
marginal likelihood using bidirectional Monte Carlo*; Wu et al. 2017, *On the quantitative analysis
of decoder-based generative models*; Neal 2011, *MCMC using Hamiltonian dynamics*.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from genzoo.progress import Progress

LogDensity = Callable[[Tensor], Tensor]  # events (rows, ...) to unnormalised log-densities (rows,)
FAR = 1e6  # a trajectory that strays farther has flown off and is refused
BLOCKS = 4  # of chains, whose spread is a second opinion on the error


class Estimate(NamedTuple):
    """log of a mean of weights, for each problem ``(n,)``.

    With its standard error and the effective number of weights.
    """

    value: Tensor
    stderr: Tensor
    ess: Tensor


class Bracket(NamedTuple):
    """Stochastic lower and upper bound of log Z for each problem, ``(n,)`` nats.

    With the larger error and the smaller ``ess``.
    """

    lower: Tensor
    upper: Tensor
    stderr: Tensor
    ess: Tensor

    @property
    def gap(self) -> Tensor:
        """Upper minus lower, ``(n,)``: the sum of both ends' errors in expectation."""
        return self.upper - self.lower


class Annealed(NamedTuple):
    """What a run of `follow` leaves.

    ``log_weights`` ``(chains, n)`` of the weighed chains, float64; ``x``, the last places of all
    chains, scouts first, ``((scouts + chains) * n, ...)``; mean acceptance and mean step at each
    level, ``(levels,)``.
    """

    log_weights: Tensor
    x: Tensor
    acceptance: Tensor
    step: Tensor


class Path(Protocol):
    """A road from a base (beta = 0) to a target (beta = 1), and how to walk at each place along it.

    A *place* is whatever the path needs to know of its chains, one row each; ``place.x`` is where
    they are. ``wanted`` is the acceptance that a step adapts to; a kernel without a step ignores
    it.
    """

    wanted: float

    def look(self, x: Tensor) -> Any:
        """The place of chains that stand at ``x``."""
        ...

    def log_ratio(self, at: Any, here: float, there: float) -> Tensor:
        """log f_there - log f_here of each row, float64: the weight of a step from here."""
        ...

    def move(self, at: Any, beta: float, step: Tensor) -> tuple[Any, Tensor]:
        """One move that leaves f_beta alone, and the chance of each row's to be accepted."""
        ...


# --------------------------------------------------------------------------------------- the method


def follow(
    path: Path,
    start: Tensor,
    betas: Sequence[float],
    *,
    problems: int = 1,
    scouts: int = 4,
    step: float = 0.5,
    progress: Progress | None = None,
) -> Annealed:
    """Walk chains along ``betas`` and weigh them.

    Args:
        path: what is between base and target.
        start: exact draws at ``betas[0]``, ``((scouts + chains) * problems, ...)``: row r belongs
            to problem ``r % problems``.
        betas: temperatures, from 0 to 1 to estimate Z and from 1 to 0 to estimate 1/Z.
        problems: how many different targets the rows have, each with a step size of its own.
        scouts: chains of each problem that set its step and are not weighed; 0 keeps ``step``.
        step: where its adaptation starts.
        progress: told now and then.

    Works under ``no_grad`` and under inference mode, which it leaves for its own gradients; what
    the path closes over must have been made, or cloned, outside of inference mode.
    """
    levels, rows = len(betas) - 1, len(start)
    with torch.inference_mode(False), torch.no_grad():
        at = path.look(start.clone())
        log_weights = torch.zeros(rows, dtype=torch.float64, device=start.device)
        log_step = torch.full_like(log_weights[:problems], math.log(step))
        history = torch.zeros(2, levels, dtype=torch.float64)
        for t in range(1, levels + 1):
            log_weights += path.log_ratio(at, betas[t - 1], betas[t])
            at, accepted = path.move(at, betas[t], log_step.exp().repeat(rows // problems))
            accepted = accepted.view(-1, problems)
            history[:, t - 1] = torch.stack([accepted.mean(), log_step.exp().mean()]).cpu()
            if scouts:
                log_step += 0.2 * (accepted[:scouts].mean(0) - path.wanted)
            if progress and (t % max(1, levels // 100) == 0 or t == levels):
                progress(t, levels, _remark(log_weights.view(-1, problems)[scouts:]))
        return Annealed(log_weights.view(-1, problems)[scouts:], at.x, *history)


def anneal(
    log_base: LogDensity,
    log_target: LogDensity,
    start: Tensor,
    *,
    levels: int = 1000,
    leapfrogs: int = 10,
    schedule: str = "sigmoid",
    acceptance: float = 0.65,
    **settings: Any,
) -> Annealed:
    """Walk chains of real-valued events from ``log_base`` to ``log_target`` and weigh them.

    Args:
        log_base, log_target: log-densities of rows, of any event shape; differentiable.
        start: exact draws of the base, ``((scouts + chains) * problems, ...)``.
        levels: T, moves of each chain; leapfrogs: gradients in each move.
        schedule: "sigmoid", slow at both ends, or "linear".
        acceptance: wanted of each Hamiltonian move.
        settings: of `follow`.
    """
    path = Geometric(log_base, log_target, leapfrogs, acceptance)
    return follow(path, start, SCHEDULES[schedule](levels), **settings)


def _remark(log_weights: Tensor) -> str:
    if not len(log_weights):
        return "walking"
    now = log_mean_exp(log_weights)
    return f"log-weight {now.value.mean():.2f} ± {now.stderr.mean():.2f} nats"


def share(progress: Progress | None, i: int, of: int) -> Progress | None:
    """``progress`` as told by the i-th of several runs of equal length."""
    return progress and (
        lambda level, levels, text: progress(i * levels + level, of * levels, text)
    )


def log_mean_exp(log_weights: Tensor) -> Estimate:
    """log of the mean weight over the chains, the first dimension.

    With its standard error and Kish's effective sample size.

    stderr² = Var(w) / (n w̄²) = (n / ess - 1) / (n - 1), by the delta method. It never exceeds one
    nat and so understates where ``ess`` is near 1: see `in_blocks`. A problem whose weights are all
    zero has value -inf and ess 0.
    """
    n = len(log_weights)
    total = torch.logsumexp(log_weights, 0)
    ess = torch.exp(2 * total - torch.logsumexp(2 * log_weights, 0)).nan_to_num(nan=0.0)
    variance = (n / ess.clamp(min=1.0) - 1) / max(1, n - 1)
    return Estimate(total - math.log(n), variance.clamp(min=0.0).sqrt(), ess)


def in_blocks(log_weights: Tensor) -> Estimate:
    """As `log_mean_exp`, with the larger of two errors.

    These are the delta method's, and the spread of 4 independent blocks of chains.

    Where one chain outweighs all others, the blocks without it disagree by as much as it weighs.
    """
    found = log_mean_exp(log_weights)
    if len(log_weights) < 2 * BLOCKS:
        return found
    blocks = torch.stack([log_mean_exp(block).value for block in log_weights.chunk(BLOCKS)])
    spread = blocks.std(0).nan_to_num(nan=math.inf) / len(blocks) ** 0.5
    return found._replace(stderr=torch.maximum(found.stderr, spread))


def bracket(
    log_base: LogDensity,
    log_target: LogDensity,
    base: Tensor,
    target: Tensor,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Bracket:
    """log Z of the target from both ends.

    ``base`` and ``target`` are draws of either, as `anneal` wants its ``start``.
    """
    forward = anneal(log_base, log_target, base, progress=share(progress, 0, 2), **settings)
    reverse = anneal(log_target, log_base, target, progress=share(progress, 1, 2), **settings)
    low, high = log_mean_exp(forward.log_weights), log_mean_exp(reverse.log_weights)
    return Bracket(
        low.value,
        -high.value,
        torch.maximum(low.stderr, high.stderr),
        torch.minimum(low.ess, high.ess),
    )


def walk(
    log_density: LogDensity, start: Tensor, moves: int, *, problems: int = 1, **settings: Any
) -> Tensor:
    """Plain Hamiltonian Monte Carlo.

    Annealing from a target to itself weighs nothing and only moves the chains, all scouts.

    Here no chain is weighed, so each may help to set the step. Returns the last places, of
    ``start``'s shape.
    """
    settings.pop("scouts", None)
    scouts = len(start) // problems
    return anneal(
        log_density, log_density, start, problems=problems, scouts=scouts, levels=moves, **settings
    ).x


# ---------------------------------------------------------------------------------------- schedules


def sigmoid(levels: int, sharpness: float = 4.0) -> list[float]:
    """beta_t ~ sigmoid(4 (2 t / T - 1)), rescaled to run from 0 to 1.

    Small steps at both ends (Grosse et al. 2015).
    """
    raw = torch.sigmoid(sharpness * torch.linspace(-1, 1, levels + 1, dtype=torch.float64))
    return ((raw - raw[0]) / (raw[-1] - raw[0])).tolist()


def linear(levels: int) -> list[float]:
    """beta_t = t / T."""
    return torch.linspace(0, 1, levels + 1, dtype=torch.float64).tolist()


SCHEDULES = {"sigmoid": sigmoid, "linear": linear}


# -------------------------------------------------------------------------------- Hamiltonian moves


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


class Geometric:
    """f_beta = f_0^(1 - beta) f_1^beta over real-valued events, for Hamiltonian Monte Carlo."""

    def __init__(
        self,
        log_base: LogDensity,
        log_target: LogDensity,
        leapfrogs: int = 10,
        wanted: float = 0.65,
    ):
        self.log_base = log_base
        self.log_target = log_target
        self.leapfrogs = leapfrogs
        self.wanted = wanted

    def look(self, x: Tensor) -> _Point:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            same = self.log_base is self.log_target
            densities = [self.log_base] if same else [self.log_base, self.log_target]
            values = [log_density(x) for log_density in densities]
            gradients = [torch.autograd.grad(value.sum(), x)[0] for value in values]
        values = [value.detach().double() for value in values]
        return _Point(x.detach(), values[0], values[-1], gradients[0], gradients[-1])

    def log_ratio(self, at: _Point, here: float, there: float) -> Tensor:
        return (there - here) * (at.log_f1 - at.log_f0)

    def move(self, at: _Point, beta: float, step: Tensor) -> tuple[_Point, Tensor]:
        """One trajectory of every row.

        The step is jittered by a fifth, independently of the state: a fixed one could walk around a
        Gaussian in full circles.
        """
        shape = (-1, *[1] * (at.x.dim() - 1))
        h = (step * (0.8 + 0.4 * torch.rand_like(step))).to(at.x).view(shape)
        momentum = torch.randn_like(at.x)
        to, p = at, momentum + 0.5 * h * at.grad(beta)
        lost = torch.zeros(len(at.x), dtype=torch.bool, device=at.x.device)
        for i in range(self.leapfrogs):
            x = to.x + h * p
            lost |= ~(x.flatten(1).abs().amax(1) < FAR)  # not a number as well
            to = self.look(torch.where(lost.view(shape), at.x, x))
            last = i == self.leapfrogs - 1
            p = p + (0.5 * h if last else h) * to.grad(beta)
        kinetic = 0.5 * (momentum.double().square() - p.double().square()).flatten(1).sum(1)
        log_chance = to.log_f(beta) - at.log_f(beta) + kinetic
        chance = log_chance.clamp(max=0.0).exp().nan_to_num(nan=0.0).masked_fill(lost, 0.0)
        return _Point(*taken(torch.rand_like(chance) < chance, to, at)), chance


def taken(moved: Tensor, to: Sequence[Tensor], at: Sequence[Tensor]) -> list[Tensor]:
    """Row by row what is known of ``to`` where the chain has ``moved``, else of ``at``."""
    return [
        torch.where(moved.view(-1, *[1] * (b.dim() - 1)), b, a) for b, a in zip(to, at, strict=True)
    ]
