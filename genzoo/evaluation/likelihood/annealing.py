r"""Annealed importance sampling.

It estimates the normaliser of a density by moving chains to it from a density whose normaliser is
known.

Between a normalised base f_0 and a target f_1 with unknown :math:`Z = \int f_1` lies a path of
distributions f_beta, each known up to its own constant, 0 = beta_0 < beta_1 < ... < beta_T = 1.
A chain starts at an exact sample of f_0. At every level it is weighed, then moved by a kernel that
leaves f at that level invariant:

.. math::

    \log w = \sum_{t=1}^T \log f_{\beta_t}(x_{t-1}) - \log f_{\beta_{t-1}}(x_{t-1}),
    \qquad E[w] = Z .

`follow` does this along any `Path`. The path of real-valued data is `Geometric`,
:math:`\log f_\beta = (1 - \beta) \log f_0 + \beta \log f_1`, walked by Hamiltonian Monte Carlo;
those of discrete data stand with the energy model (`genzoo.families.energy`).

E[w] is unbiased, so by Jensen's inequality E[log mean w] <= log Z: the forward run is a
*stochastic lower bound*. Follow the path backwards from exact samples of the target, and the same
code estimates 1/Z: minus its logarithm is a *stochastic upper bound*. The true log Z lies between
the two (bidirectional Monte Carlo). Where the target cannot be sampled exactly, as with an energy
model, long-run chains are used instead, and the upper end is a *heuristic*: it fails if they have
missed a mode.

**Step sizes.** A kernel with a step size adapts it to a target acceptance, from each temperature to
the next. A chain whose kernel depended on its own past would be weighed wrongly, so the step is set
by *scouts*: further chains that are moved along but never weighed, and that do not depend on the
weighed ones. Given the scouts, the kernels of the weighed chains are fixed in advance, and E[w] = Z
holds.

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
FAR = 1e6  # a trajectory that reaches farther has diverged and is rejected
BLOCKS = 4  # of chains, whose spread is a second opinion on the error


class Estimate(NamedTuple):
    """log of a mean of weights, with its standard error and effective sample size.

    Each is ``(n,)``, one entry per problem.
    """

    value: Tensor
    stderr: Tensor
    ess: Tensor


class Bracket(NamedTuple):
    """Stochastic lower and upper bound of log Z for each problem, ``(n,)`` nats.

    The standard error is the larger one of the two, the effective sample size the smaller.
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
    """The result of `follow`."""

    log_weights: Tensor
    """Of the weighed chains, ``(chains, n)`` float64."""

    x: Tensor
    """Last positions of all chains, scouts first, ``((scouts + chains) * n, ...)``."""

    acceptance: Tensor
    """Mean acceptance at each level, ``(levels,)``."""

    step: Tensor
    """Mean step size at each level, ``(levels,)``."""


class Path(Protocol):
    """Distributions f_beta between a base (beta = 0) and a target (beta = 1), and their kernels.

    A *state* of the chains is whatever the path has computed about them, one row a chain;
    ``state.x`` are their positions. ``wanted`` is the acceptance that a step size adapts to; a
    kernel without a step size ignores it.
    """

    wanted: float

    def look(self, x: Tensor) -> Any:
        """The state of chains at the positions ``x``."""
        ...

    def log_ratio(self, at: Any, here: float, there: float) -> Tensor:
        """log f_there - log f_here of each chain, float64: the log-weight of this change of beta.

        Args:
            at: state of the chains.
            here: beta of the denominator.
            there: beta of the numerator.
        """
        ...

    def move(self, at: Any, beta: float, step: Tensor) -> tuple[Any, Tensor]:
        """Move every chain once, leaving f_beta invariant.

        Args:
            at: state of the chains.
            beta: temperature.
            step: step size of each chain, ``(rows,)``.

        Returns:
            the new state, and the probability with which each move was accepted, ``(rows,)``.
        """
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
    """Move chains along ``betas`` and weigh them.

    It works under ``no_grad`` and under inference mode, which it leaves for its own gradients;
    tensors that the path refers to must have been made, or cloned, outside of inference mode.

    Args:
        path: the distributions between base and target, and their kernels.
        start: exact samples at ``betas[0]``, ``((scouts + chains) * problems, ...)``: row r belongs
            to problem ``r % problems``.
        betas: temperatures, from 0 to 1 to estimate Z and from 1 to 0 to estimate 1/Z.
        problems: number of different targets, n, each with a step size of its own.
        scouts: chains of each problem that set its step and are not weighed; 0 keeps ``step``.
        step: initial step size.
        progress: called about a hundred times with (level, levels, log-weight and error).
    """
    levels = len(betas) - 1
    chains = len(start) // problems  # of each problem, scouts included
    every = max(1, levels // 100)
    with torch.inference_mode(False), torch.no_grad():
        at = path.look(start.clone())
        log_weights = torch.zeros(len(start), dtype=torch.float64, device=start.device)
        by_problem = log_weights.view(-1, problems)  # a view: it changes with the weights
        log_step = torch.full_like(log_weights[:problems], math.log(step))
        history = torch.zeros(2, levels, dtype=torch.float64)
        for t in range(1, levels + 1):
            log_weights += path.log_ratio(at, betas[t - 1], betas[t])
            steps = log_step.exp()
            at, accepted = path.move(at, betas[t], steps.repeat(chains))
            accepted = accepted.view(-1, problems)
            history[:, t - 1] = torch.stack([accepted.mean(), steps.mean()]).cpu()
            if scouts:
                log_step += 0.2 * (accepted[:scouts].mean(0) - path.wanted)
            if progress and (t % every == 0 or t == levels):
                progress(t, levels, _remark(by_problem[scouts:]))
        acceptance, mean_step = history
        return Annealed(by_problem[scouts:], at.x, acceptance, mean_step)


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
    """Move chains of real-valued events from ``log_base`` to ``log_target`` and weigh them.

    Args:
        log_base: log-density of events, ``(rows, ...)`` to ``(rows,)``; differentiable.
        log_target: the same of the target, up to a constant.
        start: exact samples of the base, ``((scouts + chains) * problems, ...)``.
        levels: T, moves of each chain.
        leapfrogs: gradients in each move.
        schedule: "sigmoid", slow at both ends, or "linear".
        acceptance: mean acceptance that the step size of the Hamiltonian moves adapts to.
        settings: of `follow`.
    """
    path = Geometric(log_base, log_target, leapfrogs, acceptance)
    return follow(path, start, SCHEDULES[schedule](levels), **settings)


def _remark(log_weights: Tensor) -> str:
    """The words of a progress message: the present estimate, if any chain is weighed."""
    if not len(log_weights):
        return "walking"
    estimate = log_mean_exp(log_weights)
    return f"log-weight {estimate.value.mean():.2f} ± {estimate.stderr.mean():.2f} nats"


def share(progress: Progress | None, i: int, of: int) -> Progress | None:
    """A callback for one of several runs of equal length that together report to ``progress``.

    Args:
        progress: called with the levels done of all runs; None: so is the result.
        i: index of the run, from 0.
        of: number of runs.
    """
    if progress is None:
        return None

    def part(level: int, levels: int, text: str) -> None:
        progress(i * levels + level, of * levels, text)

    return part


def log_mean_exp(log_weights: Tensor) -> Estimate:
    """log of the mean weight over the chains, with its standard error and Kish's sample size.

    stderr² = Var(w) / (n w̄²) = (n / ess - 1) / (n - 1), by the delta method. It never exceeds one
    nat and so is too small where ``ess`` is near 1: see `in_blocks`. A problem whose weights are
    all zero has value -inf and ess 0. The chains are the first dimension of ``log_weights``.
    """
    n = len(log_weights)
    log_sum = torch.logsumexp(log_weights, 0)
    log_sum_squares = torch.logsumexp(2 * log_weights, 0)
    ess = torch.exp(2 * log_sum - log_sum_squares).nan_to_num(nan=0.0)
    variance = (n / ess.clamp(min=1.0) - 1) / max(1, n - 1)
    stderr = variance.clamp(min=0.0).sqrt()
    return Estimate(log_sum - math.log(n), stderr, ess)


def in_blocks(log_weights: Tensor) -> Estimate:
    """`log_mean_exp` with the larger of two errors: its own, and one from 4 blocks of chains.

    Where one chain outweighs all others, the blocks without it disagree by as much as it weighs.
    """
    estimate = log_mean_exp(log_weights)
    if len(log_weights) < 2 * BLOCKS:
        return estimate
    values = torch.stack([log_mean_exp(block).value for block in log_weights.chunk(BLOCKS)])
    deviation = values.std(0).nan_to_num(nan=math.inf)
    of_blocks = deviation / len(values) ** 0.5
    return estimate._replace(stderr=torch.maximum(estimate.stderr, of_blocks))


def bracket(
    log_base: LogDensity,
    log_target: LogDensity,
    base: Tensor,
    target: Tensor,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Bracket:
    """log Z of the target between a stochastic lower and a stochastic upper bound.

    Args:
        log_base: as of `anneal`.
        log_target: likewise.
        base: exact samples of the base, shaped as `anneal` takes its ``start``.
        target: exact samples of the target, of the same shape.
        progress: as of `follow`.
        settings: of `anneal`, the same for both directions.
    """
    forward = anneal(log_base, log_target, base, progress=share(progress, 0, 2), **settings)
    reverse = anneal(log_target, log_base, target, progress=share(progress, 1, 2), **settings)
    low = log_mean_exp(forward.log_weights)
    high = log_mean_exp(reverse.log_weights)
    return Bracket(
        lower=low.value,
        upper=-high.value,
        stderr=torch.maximum(low.stderr, high.stderr),
        ess=torch.minimum(low.ess, high.ess),
    )


def walk(
    log_density: LogDensity, start: Tensor, moves: int, *, problems: int = 1, **settings: Any
) -> Tensor:
    """Plain Hamiltonian Monte Carlo: annealing from a density to itself, which only moves chains.

    No chain is weighed, so all are scouts and help to set the step size.

    Args:
        log_density: of events, up to a constant; differentiable.
        start: positions of the chains, ``(chains * problems, ...)``.
        moves: number of Hamiltonian moves.
        problems: number of different targets, as of `follow`.
        settings: of `anneal`; ``scouts`` is ignored.

    Returns:
        the last positions, of ``start``'s shape.
    """
    settings.pop("scouts", None)
    run = anneal(
        log_density,
        log_density,
        start,
        problems=problems,
        scouts=len(start) // problems,
        levels=moves,
        **settings,
    )
    return run.x


# ---------------------------------------------------------------------------------------- schedules


def sigmoid(levels: int, sharpness: float = 4.0) -> list[float]:
    """beta_t ~ sigmoid(4 (2 t / T - 1)), rescaled to run from 0 to 1.

    Small steps at both ends (Grosse et al. 2015).
    """
    evenly = torch.linspace(-1, 1, levels + 1, dtype=torch.float64)
    raw = torch.sigmoid(sharpness * evenly)
    rescaled = (raw - raw[0]) / (raw[-1] - raw[0])
    return rescaled.tolist()


def linear(levels: int) -> list[float]:
    """beta_t = t / T."""
    return torch.linspace(0, 1, levels + 1, dtype=torch.float64).tolist()


SCHEDULES = {"sigmoid": sigmoid, "linear": linear}


# -------------------------------------------------------------------------------- Hamiltonian moves


class _Point(NamedTuple):
    """State of chains: positions, both log-densities there (float64), and their gradients."""

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
    """f_beta = f_0^(1 - beta) f_1^beta over real-valued events, moved by Hamiltonian Monte Carlo.

    Args:
        log_base: log f_0 of events, ``(rows, ...)`` to ``(rows,)``; differentiable.
        log_target: log f_1, likewise.
        leapfrogs: gradients in each move.
        wanted: mean acceptance that the step size adapts to.
    """

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
            densities = [self.log_base]
            if self.log_target is not self.log_base:
                densities.append(self.log_target)
            values = [log_density(x) for log_density in densities]
            gradients = [torch.autograd.grad(value.sum(), x)[0] for value in values]
        values = [value.detach().double() for value in values]
        return _Point(x.detach(), values[0], values[-1], gradients[0], gradients[-1])

    def log_ratio(self, at: _Point, here: float, there: float) -> Tensor:
        return (there - here) * (at.log_f1 - at.log_f0)

    def move(self, at: _Point, beta: float, step: Tensor) -> tuple[_Point, Tensor]:
        """One Hamiltonian trajectory of every row.

        The step is jittered by a fifth, independently of the state: with a fixed one trajectories
        in a Gaussian could return to where they started.
        """
        shape = (-1, *[1] * (at.x.dim() - 1))
        jitter = 0.8 + 0.4 * torch.rand_like(step)
        h = (step * jitter).to(at.x).view(shape)
        momentum = torch.randn_like(at.x)

        # the leapfrog integrator, from (at, momentum) to (to, p)
        to = at
        p = momentum + 0.5 * h * at.grad(beta)
        lost = torch.zeros(len(at.x), dtype=torch.bool, device=at.x.device)
        for i in range(self.leapfrogs):
            x = to.x + h * p
            lost |= ~(x.flatten(1).abs().amax(1) < FAR)  # true of NaN as well
            to = self.look(torch.where(lost.view(shape), at.x, x))
            last = i == self.leapfrogs - 1
            length = 0.5 * h if last else h
            p = p + length * to.grad(beta)

        # the Metropolis test
        lost_kinetic = 0.5 * (momentum.double().square() - p.double().square())
        log_chance = to.log_f(beta) - at.log_f(beta) + lost_kinetic.flatten(1).sum(1)
        chance = log_chance.clamp(max=0.0).exp()
        chance = chance.nan_to_num(nan=0.0).masked_fill(lost, 0.0)
        moved = torch.rand_like(chance) < chance
        return _Point(*taken(moved, to, at)), chance


def taken(moved: Tensor, to: Sequence[Tensor], at: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor of a state after a Metropolis test.

    Args:
        moved: whether each chain's proposal was accepted, ``(rows,)``.
        to: tensors of the proposed state, ``(rows, ...)``.
        at: tensors of the present state, of the same shapes.

    Returns:
        rows of ``to`` where the chain has moved, else of ``at``.
    """
    chosen = []
    for proposed, present in zip(to, at, strict=True):
        shape = (-1, *[1] * (proposed.dim() - 1))
        chosen.append(torch.where(moved.view(shape), proposed, present))
    return chosen
