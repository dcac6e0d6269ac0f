r"""Flow matching: learn the velocity of a stream that carries noise to data, by regression.

Noise :math:`x_0 \sim \mathcal N(0, I)` and an observation :math:`x_1` are joined by a straight
line, walked at even speed:

.. math::

    x_t = (1 - t)\, x_0 + t\, x_1, \qquad \dot x_t = x_1 - x_0, \qquad 0 \le t \le 1 .

Many such lines run through one place. A network that predicts the speed from nothing but place and
time learns their mean, and the stream with this mean velocity carries the *whole* of
the noise to the whole of the data:

.. math::

    \min_v \; E\, \|v(x_t, t) - (x_1 - x_0)\|^2, \qquad \dot x = v(x, t) .

So the model is a flow, like the coupling flow, but one that is continuous in time and whose network
is free of any constraint: its inverse is the same stream run backwards, and its density the
instantaneous change of variables

.. math::

    \log p(x_1) = \log \mathcal N(x_0; 0, I) - \int_0^1 \operatorname{tr} \frac{\partial v(x_t,
    t)}{\partial x_t} \, dt .

It is trained without either: the loss above is no likelihood, and bounds none. And the integrals
are a solver's work, whose errors (of the steps, and of the trace in many dimensions, which is
estimated by Hutchinson's :math:`E[e^\top J e]` with random signs e) have either sign: the claim is
an ESTIMATE, as for the probability flow of a diffusion model.

A solver of that stream takes many small steps. With ``jumps`` the network learns the *mean
velocity* of the stream over any stretch of time as well,

.. math::

    u(x_t, t, s) = \frac{1}{s - t} \int_t^s v(x_\tau, \tau) \, d\tau, \qquad
    x_s = x_t + (s - t)\, u(x_t, t, s) ,

by which one evaluation jumps from t to s, be it from noise to data. What holds u to that is that a
long jump and its two halves lead to the same place. With m = (t + s) / 2,

.. math::

    u(x_t, t, s) = \frac{1}{2} u(x_t, t, m) + \frac{1}{2} u(x_m, m, s), \qquad
    x_m = x_t + (m - t)\, u(x_t, t, m),

down to jumps over no time, where u is the velocity. A ready stream may teach its mean velocities
more exactly: `genzoo.training.distillation`.

The likelihood stays that of the stream of :math:`v(x, t) = u(x, t, t)`. Samples by jumps are those
of the stream as far as u is its mean velocity: where it is not, the likelihood does not notice.

References: Lipman et al. 2023, *Flow matching for generative modeling* (eq. 9, 20-23 with sigma_min
= 0); Liu et al. 2023, *Flow straight and fast: rectified flow* (eq. 1); Albergo & Vanden-Eijnden
2023, *Building normalizing flows with stochastic interpolants*; Chen et al. 2018, *Neural ordinary
differential equations* (theorem 1); Grathwohl et al. 2019, *FFJORD*; Geng et al. 2025, *Mean flows
for one-step generative modeling* (eq. 3, with noise at t = 0 and data at t = 1); Frans et al. 2025,
*One step diffusion via shortcut models* (a long step as two of half its length).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from genzoo import grid
from genzoo.families.diffusion import require_one_of, spread_times, stratified
from genzoo.model import DEEPEST, GenerativeModel, Latent, Likelihood, ProbabilityFlow, require
from genzoo.nets import (
    MOST_OCTAVES,
    Condition,
    Fourier,
    apply,
    event_network,
    expand_as,
    given_or,
    octaves,
)

EXACT_UP_TO = 16  # dimensions in which the trace is exact: one gradient for each

# Highest frequency at which a network is told the time, in radians per unit. A velocity is learned
# as well by either. Mean velocities are slow in time, and what waves faster spoils long jumps.
QUICK = 50.0
SLOW = 8.0

Velocity = Callable[[Tensor, Tensor], Tensor]  # (x, time of each row) -> dx/dt, of x's shape


class FlowMatching(GenerativeModel):
    """Continuous flow along straight lines: trained by regression, sampled by an ODE solver.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        width, depth, dropout: of the network that is the velocity, a `genzoo.nets.UNet` or `MLP`.
        fourier: number of frequencies 1, 2, 4, ... at which sines and cosines of x are fed in
            beside it.
        steps: of the solver of samples; of "runge-kutta" also from data back to noise.
        solver: of samples, "runge-kutta" (four network evaluations a step) or "adams" (one).
        jumps: 0, or evaluations of the network for a sample by mean velocities, which are then
            learned beside the velocity.
        patch: side of the squares of pixels that the network takes as one; 2 makes an image four
            times as cheap.
        network: in place of the default, see `genzoo.nets`.
    """

    likelihood = Likelihood.ESTIMATE
    latent = Latent.EXACT
    guidable = True
    # a likelihood would take hundreds of evaluations of the network for each observation
    monitor = "val_loss"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 2e-3,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        fourier: int = 3,
        steps: int = 12,
        jumps: int = 0,
        solver: str = "runge-kutta",
        patch: int = 1,
        network: nn.Module | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, width=width, steps=steps)
        require_one_of(SOLVERS, solver=solver)
        require(0, DEEPEST, depth=depth)
        require(0, MOST_OCTAVES, fourier=fourier)
        require(0, jumps=jumps)
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.fourier = fourier
        self.steps = steps
        self.jumps = jumps
        self.solver = solver
        self.patch = patch
        self.latent_shape = self.event_shape
        self.embed = Condition(condition, 2 * width)
        highest = SLOW if jumps else QUICK
        self.time = Fourier(2 * width, lowest=0.5, highest=highest)
        self.stretch = Fourier(2 * width, lowest=0.5, highest=highest) if jumps else None
        self.network = given_or(network, self.default_network)

    def default_network(self) -> nn.Module:
        return event_network(
            self.event_shape,
            2 * self.width,
            self.width,
            self.depth,
            self.dropout,
            octaves(self.fourier),
            patch=self.patch,
        )

    # ------------------------------------------------------------------------------------- velocity

    def v(self, x: Tensor, t: Tensor, c: Tensor | None = None) -> Tensor:
        """The velocity dx/dt, of x's shape.

        Args:
            x: places, ``(n, *event_shape)``.
            t: time of each, ``(n,)``.
            c: a condition for each.
        """
        return self.u(x, t, t, c)

    def u(self, x: Tensor, t: Tensor, s: Tensor, c: Tensor | None = None) -> Tensor:
        """The mean velocity from time t to s of a point that is at ``x`` at time t, of x's shape.

        At s = t it is the velocity itself; a model without `jumps` has no other.

        Args:
            x: places, ``(n, *event_shape)``.
            t: time at which each is there, ``(n,)``.
            s: end of the time over which the mean is taken, ``(n,)``.
            c: a condition for each.
        """
        condition = self.embed(c, len(x))
        embedding = condition + self.time(t)
        if self.stretch is not None:
            embedding = embedding + self.stretch(s - t)
        return apply(self.network, x, embedding, self.event_shape)

    def velocity(self, c: Tensor | None = None, guidance: float = 1.0) -> Velocity:
        """The velocity as a function of (x, t), all that a solver needs.

        ``guidance`` > 1 pushes away from the unconditional stream (classifier-free guidance, Ho &
        Salimans 2022).
        """

        def dx_dt(x: Tensor, t: Tensor) -> Tensor:
            v = self.v(x, t, c)
            if guidance == 1.0:
                return v
            unconditional = self.v(x, t, None)
            return torch.lerp(unconditional, v, guidance)

        return dx_dt

    # ----------------------------------------------------------------------------------------- loss

    def loss(self, x: Tensor, c: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """||v(x_t, t) - (x_1 - x_0)||^2 of each observation, ``(n,)`` (Lipman et al. 2023, eq. 23).

        One noise and one time are sampled, unless ``t``, the time of each observation, ``(n,)``, is
        given. With `jumps`, plus `jump_loss`.
        """
        self.require_events(x)
        x1 = grid.dequantise(x, self.levels)
        x0 = torch.randn_like(x1)
        if t is None:
            t = stratified(len(x), x)
        share = expand_as(t, x)
        x_t = (1 - share) * x0 + share * x1
        v = self.v(x_t, t, c)
        error = v - (x1 - x0)
        loss = error.square().flatten(1).sum(1)
        if self.jumps:
            loss = loss + self.jump_loss(x_t, t, c)
        return loss

    def jump_loss(self, x: Tensor, t: Tensor, c: Tensor | None = None) -> Tensor:
        """||u(x, t, s) - (u(x, t, m) + u(x_m, m, s)) / 2||^2, ``(n,)``, for one s after t.

        The place x_m half-way there is where the first half leads. The target of u is a constant to
        the optimiser.

        Args:
            x: places, ``(n, *event_shape)``.
            t: time of each, ``(n,)``.
            c: a condition for each.
        """
        ahead = (1 - t) * torch.rand_like(t)
        s = t + ahead
        with torch.no_grad():
            middle = t + ahead / 2
            first = self.u(x, t, middle, c)
            there = x + expand_as(ahead / 2, x) * first
            second = self.u(there, middle, s, c)
            target = (first + second) / 2
        error = self.u(x, t, s, c) - target
        return error.square().flatten(1).sum(1)

    def validation_loss(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """The loss itself, ``(n,)``, at ``k`` times: its minimum is the velocity that is sought."""
        losses = [self.loss(x, c, t) for t in spread_times(k, x)]
        return torch.stack(losses).mean(0)

    @property
    def validation_draws(self) -> int:
        return self.check_draws

    # ----------------------------------------------------------------------------------- likelihood

    def log_prob(self, x: Tensor, c: Tensor | None = None, steps: int | None = None) -> Tensor:
        """log p(x | c) of the stream, ``(n,)`` nats.

        It takes ``steps`` Runge-Kutta steps, by default twice as many as a sample.

        Discrete data is dequantised with one sample of noise. The trace is exact in few dimensions,
        one sample of Hutchinson's estimate in many. Not differentiable: as a VAE's prior, a stream
        is fitted in a second stage. `genzoo.evaluation.likelihood.ode` chooses its steps by their
        error instead.
        """
        self.require_events(x)
        with torch.inference_mode(False), torch.no_grad():
            x = grid.dequantise(x.clone(), self.levels)
            if c is not None:
                c = c.clone()
            signs = None
            if self.dims > EXACT_UP_TO:
                signs = torch.randint_like(x, 2) * 2 - 1
            velocity = self.velocity(c)

            def slope(state: tuple[Tensor, ...], t: Tensor) -> tuple[Tensor, ...]:
                x, _ = state
                return with_divergence(lambda y: velocity(y, t), x, signs)

            state = (x, x.new_zeros(len(x)))
            z, log_volume = rk4(slope, state, 1.0, 0.0, steps or 2 * self.steps)
            return Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1) + log_volume

    @property
    def unbiased(self) -> bool:
        """True only where nothing is random.

        Hutchinson's trace is right on average for log p, and so not for p.
        """
        return not self.levels and self.dims <= EXACT_UP_TO

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """Mean of ``k`` samples of `log_prob`, ``(n,)`` nats; of one where nothing is random."""
        samples = 1 if self.unbiased else k
        return super().bound(x, c, samples)

    def probability_flow(self, c: Tensor | None = None) -> ProbabilityFlow:
        """The stream itself, from data (t = 1) to noise; discrete data enters dequantised."""

        def enter(x: Tensor) -> tuple[Tensor, Tensor]:
            return grid.dequantise(x, self.levels), x.new_zeros(len(x))

        return ProbabilityFlow(self.velocity(c), data=1.0, noise=0.0, enter=enter)

    # ----------------------------------------------------------------------- samples and the latent

    @torch.no_grad()
    def sample(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float = 1.0,
        steps: int | None = None,
        jumps: int | None = None,
        solver: str | None = None,
    ) -> Tensor:
        """``(n, *event_shape)``: noise carried along from t = 0 to 1.

        Args:
            n, c: see `genzoo.model.GenerativeModel.sample`.
            guidance: see `velocity`; 1 for none.
            steps, solver: in place of the model's own.
            jumps: in place of the model's own; 0 for the solver.
        """
        z = self.latent_noise(n)
        jumps = self.jumps if jumps is None else jumps
        if jumps:
            return self.on_grid(self.jump(z, c, guidance, jumps))
        return self.on_grid(self.solve(z, c, guidance, solver, steps))

    def solve(
        self,
        z: Tensor,
        c: Tensor | None,
        guidance: float = 1.0,
        solver: str | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """The place to which a solver carries noise, from t = 0 to 1, of z's shape.

        Args:
            z: noise, ``(n, *event_shape)``.
            c, guidance, solver, steps: see `sample`.
        """
        solver = solver or self.solver
        require_one_of(SOLVERS, solver=solver)
        solution = SOLVERS[solver]
        return solution(self.velocity(c, guidance), z, 0.0, 1.0, steps or self.steps)

    @torch.no_grad()
    def jump(self, x: Tensor, c: Tensor | None, guidance: float, jumps: int) -> Tensor:
        """The end of equal jumps of noise from t = 0 to 1, of x's shape.

        Args:
            x: noise, ``(n, *event_shape)``.
            c: a condition for each.
            guidance: see `velocity`; 1 for none.
            jumps: their number.
        """
        if self.stretch is None:
            raise ValueError("This model has no mean velocities to jump by: give it jumps > 0.")
        times = torch.linspace(0, 1, jumps + 1).to(x)
        for now, then in pairwise(times):
            t = now.expand(len(x))
            s = then.expand(len(x))
            u = self.u(x, t, s, c)
            if guidance != 1.0:
                unconditional = self.u(x, t, s, None)
                u = torch.lerp(unconditional, u, guidance)
            x = x + (then - now) * u
        return x

    @property
    def evaluations_per_sample(self) -> int:
        """One for each jump; four for each step, or one by "adams"."""
        return self.jumps or EVALUATIONS[self.solver] * self.steps

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The noise ``(n, *event_shape)`` that the stream carries to ``x``.

        The same stream, run backwards.
        """
        self.require_events(x, decoded=True)
        return self.integrate(x, self.velocity(c), 1.0, 0.0)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The place ``(n, *event_shape)`` that noise ``z`` is carried to.

        It is not rounded to the data's levels.
        """
        return self.integrate(z, self.velocity(c), 0.0, 1.0)

    @torch.no_grad()
    def integrate(
        self,
        x: Tensor,
        velocity: Velocity,
        start: float,
        end: float,
        steps: int | None = None,
    ) -> Tensor:
        """The place to which Runge-Kutta steps carry each point, of x's shape.

        Args:
            x: places at time ``start``, ``(n, *event_shape)``.
            velocity: of the stream.
            start: time in [0, 1].
            end: time in [0, 1], before or after ``start``.
            steps: of the solver, in place of the model's own.
        """
        return runge_kutta(velocity, x, start, end, steps or self.steps)


# ------------------------------------------------------------------------- what every stream shares


def with_divergence(
    field: Callable[[Tensor], Tensor],
    x: Tensor,
    signs: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """``field(x)`` and the trace of its Jacobian, ``(n,)``.

    Args:
        field: maps ``(n, ...)`` to the same shape; each row depends on that row of x alone.
        x: places, ``(n, ...)``.
        signs: random signs e of x's shape, for Hutchinson's estimate e' J e; None: the trace is
            exact, by one gradient for each feature.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        y = field(x)
        if signs is not None:
            (product,) = torch.autograd.grad(y, x, signs)
            trace = (product * signs).flatten(1).sum(1)
        else:
            flat = y.flatten(1)
            diagonal = []
            for i in range(flat.shape[1]):
                (row,) = torch.autograd.grad(flat[:, i].sum(), x, retain_graph=True)
                diagonal.append(row.flatten(1)[:, i])
            trace = torch.stack(diagonal).sum(0)
    return y.detach(), trace.detach()


def rk4(
    slope: Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]],
    state: tuple[Tensor, ...],
    start: float,
    end: float,
    steps: int,
) -> tuple[Tensor, ...]:
    """The classical Runge-Kutta method of fourth order, in either direction of time.

    Args:
        slope: (state, time of each row ``(n,)``) -> time derivative of each part of the state.
        state: tensors ``(n, ...)``.
        start, end: times.
        steps: number of equal steps between them.

    Returns:
        the state at ``end``.
    """
    h = (end - start) / steps
    n = len(state[0])

    def moved(by: float, along: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        parts = zip(state, along, strict=True)
        return tuple(part + by * k for part, k in parts)

    def time(step: float) -> Tensor:
        return state[0].new_full((n,), start + step * h)

    for i in range(steps):
        middle = time(i + 0.5)
        k1 = slope(state, time(i))
        k2 = slope(moved(h / 2, k1), middle)
        k3 = slope(moved(h / 2, k2), middle)
        k4 = slope(moved(h, k3), time(i + 1))
        slopes = zip(k1, k2, k3, k4, strict=True)
        total = tuple(a + 2 * b + 2 * c + d for a, b, c, d in slopes)
        state = moved(h / 6, total)
    return state


# -------------------------------------------------------------------------------------- the solvers


def runge_kutta(velocity: Velocity, x: Tensor, start: float, end: float, steps: int) -> Tensor:
    """The place to which equal steps of `rk4` carry each point, of x's shape.

    Args:
        velocity: evaluated four times in a step.
        x: places at time ``start``, ``(n, ...)``.
        start, end: times.
        steps: number of steps between them.
    """

    def slope(state: tuple[Tensor, ...], t: Tensor) -> tuple[Tensor, ...]:
        (x,) = state
        return (velocity(x, t),)

    (x,) = rk4(slope, (x,), start, end, steps)
    return x


def adams(velocity: Velocity, x: Tensor, start: float, end: float, steps: int) -> Tensor:
    """The place to which equal steps of `adams_path` carry each point, of x's shape.

    Args:
        velocity: evaluated once in a step.
        x: places at time ``start``, ``(n, ...)``.
        start, end: times.
        steps: number of steps between them.
    """
    times = torch.linspace(start, end, steps + 1).tolist()
    *_, last = adams_path(velocity, x, times)
    return last


def adams_path(velocity: Velocity, x: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
    """The places of each point on its way, by the method of Adams and Bashforth.

    A step extends the change of the velocity since the step before, which makes it of second order
    for one evaluation (Hairer, Norsett & Wanner 1993, sections III.1 and III.5). With steps of
    lengths h and h':

        x' = x + h (v + h / 2h' (v - v_before))

    The first has nothing before it, and is of first order.

    Args:
        velocity: evaluated once in a step.
        x: places at the first of the times, ``(n, ...)``.
        times: ends of the steps.

    Yields:
        the places at each later time, of x's shape.
    """
    v_before = None
    h_before = None
    for now, then in pairwise(times):
        h = then - now
        v = velocity(x, x.new_full((len(x),), now))
        middle = v
        if v_before is not None and h_before is not None:
            middle = v + (v - v_before) * (h / (2 * h_before))
        x = x + h * middle
        yield x
        v_before = v
        h_before = h


Solver = Callable[[Velocity, Tensor, float, float, int], Tensor]
SOLVERS: dict[str, Solver] = {"runge-kutta": runge_kutta, "adams": adams}
EVALUATIONS = {"runge-kutta": 4, "adams": 1}  # of the velocity in a step
