r"""The likelihood of a diffusion model, or of flow matching, by an ODE.

The deterministic path from noise to data is a continuous normalising flow. For a diffusion model it
is the *probability flow*. With v-prediction and the log-SNR :math:`\lambda`
as time, the path that has the same marginals as the noising process is

.. math::

    \frac{dz}{d\lambda} = -\tfrac12\, \alpha_\lambda \sigma_\lambda\, v(z, \lambda), \qquad
    \frac{d \log p(z)}{d\lambda} = -\operatorname{tr} \frac{\partial}{\partial z}
    \frac{dz}{d\lambda} ,

so that one integration from the event to the noise gives an instantaneous change of variables:

.. math::

    \log p(x) = D \log \alpha_{max} + \log \mathcal N(z_{\lambda_{min}}; 0, I)
        - \int_{\lambda_{min}}^{\lambda_{max}} \operatorname{tr} \frac{\partial}{\partial z}
        \frac{dz}{d\lambda}\, d\lambda .

A real-valued event enters as :math:`z_{\lambda_{max}} = \alpha_{max} x`: this measures the density
at x of events blurred by the last noise, :math:`e^{-\lambda_{max} / 2}`. Events on a grid have no
density of their own. At the clean end the density of z is a comb, whose teeth are as narrow as the
last noise, a tenth of a bin: dequantisation noise, which fills the bin, would fall between them. So
a discrete event gets the noise of the model's own last step, and the levels follow from z by the
same Bayes' rule as in the bound (`Diffusion.log_likelihood`):

.. math::

    \log p(x) \ge E_{q(z | x)}\big[\log p_{ODE}(z) + \log p(x | z) - \log q(z | x)\big], \qquad
    q(z | x) = \mathcal N(\alpha_{max} x, \sigma_{max}^2 I) .

This is the likelihood of the *deterministic* sampler: a different model with the same weights than
the one that the variational bound is for; it may be better or worse. The trace is exact in few
dimensions (one gradient for each); else it is Hutchinson's E[e' J e] with random signs e, unbiased
for log p. With either trace the figure of discrete data would be a bound in expectation if the path
were followed exactly. But a solver keeps to a tolerance and proves nothing, and its errors have
either sign: the claim is an ESTIMATE, for real-valued and for discrete data alike.

Flow matching is such a path by construction, with t from 1 (data) to 0 (noise) as time and the
network itself as velocity: the same integral, without the last noise.

The solver is scipy's adaptive Dormand-Prince 8(5,3) (`scipy.integrate.solve_ivp`), in float64:
maintained, and installed already because scikit-learn needs it. The network may run on any device;
only states are copied to the CPU and back.

References: Song et al. 2021, *Score-based generative modeling through SDEs* (eq. 39); Grathwohl et
al. 2019, *FFJORD*; Hutchinson 1990.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genzoo.data.dataset import Split
from genzoo.distributions import standard_normal
from genzoo.errors import InputError
from genzoo.evaluation.batches import on_device_of
from genzoo.evaluation.likelihood.estimate import LogProbEstimate
from genzoo.families.flow_matching import EXACT_UP_TO, with_divergence
from genzoo.model import Likelihood, Measurable, ProbabilityFlow
from genzoo.progress import Progress

TOGETHER = 50  # events in one system of equations, whose steps suit the stiffest event

SIDE_OF_REAL = "to no known side: the solver's and the trace's errors have either sign"
SIDE_OF_DISCRETE = (
    "on average so that it does not flatter, but for the solver's error, which has either sign"
)


class OdeLikelihood(NamedTuple):
    """log p(x) of each event, and what it took to compute it."""

    value: Tensor
    """``(n,)`` float64, in nats."""

    stderr: Tensor
    """Standard error over solutions with fresh randomness, ``(n,)``; NaN of a single solution."""

    evaluations: int
    """Network evaluations of the solver."""


def ode_log_likelihood(
    model: Measurable,
    x: Tensor,
    c: Tensor | None = None,
    *,
    tolerance: float = 1e-5,
    draws: int = 1,
    exact: bool | None = None,
) -> OdeLikelihood:
    """log p(x | c) along the probability flow of a model, ``(n,)`` nats.

    Args:
        model: one that declares a `genzoo.model.Measurable.probability_flow`.
        x: events ``(n, *event_shape)``.
        c: their conditions.
        tolerance: of the solver, absolute and relative, on each event's state and log-density.
        draws: number of solutions with fresh randomness (noise of discrete data, signs of the
            trace) that are averaged. Where nothing is random all are the same, and one is enough.
        exact: whether the trace is exact; None: in at most 16 dimensions.

    Raises:
        InputError: the model has no such flow.
    """
    if exact is None:
        exact = _is_exact(x)
    with torch.inference_mode(False), torch.no_grad():
        x = x.clone()
        c = None if c is None else c.clone()
        flow = model.probability_flow(c)
        if flow is None:
            raise InputError(f"{type(model).__name__} has no probability flow to follow.")
        solutions = [_solution(flow, x, tolerance, exact) for _ in range(draws)]
    values = torch.stack([value for value, _ in solutions])
    stderr = torch.full_like(values[0], math.nan)
    if draws > 1:
        stderr = values.std(0) / draws**0.5
    evaluations = sum(count for _, count in solutions)
    return OdeLikelihood(values.mean(0), stderr, evaluations)


def follow_flow(
    model: Measurable,
    events: Split,
    *,
    draws: int,
    batch: int,
    tolerance: float,
    progress: Progress | None = None,
) -> LogProbEstimate:
    """log p(x | c) of events along the probability flow.

    Args:
        model: as of `ode_log_likelihood`.
        events: those to be measured.
        draws: as of `ode_log_likelihood`.
        batch: events in one system of equations, at most `TOGETHER`.
        tolerance: as of `ode_log_likelihood`.
        progress: called with (events done, events, log-density so far) after each batch.

    Returns:
        an estimate, with tolerance, trace and evaluations in its details.
    """
    x, c = on_device_of(model, events)
    parts: list[OdeLikelihood] = []
    for rows in torch.arange(len(x)).split(min(batch, TOGETHER)):
        conditions = None if c is None else c[rows]
        part = ode_log_likelihood(model, x[rows], conditions, tolerance=tolerance, draws=draws)
        parts.append(part)
        if progress:
            mean = torch.cat([part.value for part in parts]).mean()
            evaluations = sum(part.evaluations for part in parts)
            text = f"log-density {mean:.2f} nats after {evaluations} evaluations"
            progress(int(rows[-1]) + 1, len(x), text)
    log_prob = torch.cat([part.value for part in parts])
    stderr = None
    if draws > 1:
        stderr = torch.cat([part.stderr for part in parts]).mean().item()
    evaluations = sum(part.evaluations for part in parts)
    of_each_solution = evaluations / len(parts) / draws
    return LogProbEstimate(
        log_prob,
        Likelihood.ESTIMATE,
        SIDE_OF_DISCRETE if model.levels else SIDE_OF_REAL,
        details={
            "k": draws,
            "ode_tolerance": tolerance,
            "ode_trace": "exact" if _is_exact(x) else "Hutchinson, random signs",
            "ode_evaluations": round(of_each_solution),
            "ode_stderr": stderr,
        },
    )


def _is_exact(x: Tensor) -> bool:
    """True of events with so few dimensions that the trace is computed, not estimated."""
    return x[0].numel() <= EXACT_UP_TO


def _solution(
    flow: ProbabilityFlow, x: Tensor, tolerance: float, exact: bool
) -> tuple[Tensor, int]:
    """One sample of log p(x | c) ``(n,)``, and the number of network evaluations."""
    z, log_weight = flow.enter(x)
    log_density, evaluations = _solve(flow, z, tolerance, exact)
    return log_density + log_weight.double().cpu(), evaluations


def _solve(flow: ProbabilityFlow, z: Tensor, tolerance: float, exact: bool) -> tuple[Tensor, int]:
    """The flow's log-density at the data's end ``(n,)`` nats, and the network evaluations."""
    from scipy.integrate import solve_ivp

    n = len(z)
    signs = torch.randint_like(z, 2) * 2 - 1  # drawn in any case: later random numbers are the same
    probes = None if exact else signs

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        position = torch.from_numpy(state[: z.numel()])
        position = position.to(z).view(z.shape)
        times = z.new_full((n,), t)
        dz, trace = with_divergence(lambda y: flow.velocity(y, times), position, probes)
        change = torch.cat([dz.flatten(), -trace])
        return change.double().cpu().numpy()

    start = torch.cat([z.flatten(), z.new_zeros(n)]).double().cpu().numpy()
    span = (flow.data, flow.noise)
    solution = solve_ivp(slope, span, start, method="DOP853", rtol=tolerance, atol=tolerance)
    if not solution.success:
        raise RuntimeError(f"The probability-flow ODE could not be solved: {solution.message}")
    end = torch.from_numpy(solution.y[:, -1])
    noise = end[: z.numel()].view(n, -1)
    gained = end[z.numel() :]
    return standard_normal(noise) - gained, solution.nfev
