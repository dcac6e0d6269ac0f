r"""The likelihood by an ODE, of a diffusion model or of flow matching: the deterministic path from
noise to data is a flow.

Of a diffusion model it is the *probability flow*. With v-prediction and the log-SNR :math:`\lambda`
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

A real-valued event enters as :math:`z_{\lambda_{max}} = \alpha_{max} x`: what is measured is the
density at x of events blurred by the last noise, :math:`e^{-\lambda_{max} / 2}`. Events on a grid
have no density of their own. At the clean end that of z is a comb, whose teeth are as narrow as the
last noise, a tenth of a bin: noise that fills the bin would fall between them. So a discrete event
is given the noise that the model itself puts there, and the levels are read off z by the same
Bayes' rule as in the bound (`Diffusion.log_likelihood`):

.. math::

    \log p(x) \ge E_{q(z | x)}\big[\log p_{ODE}(z) + \log p(x | z) - \log q(z | x)\big], \qquad
    q(z | x) = \mathcal N(\alpha_{max} x, \sigma_{max}^2 I) .

This is the likelihood of the *deterministic* sampler, a different model of the same weights than
the one the variational bound is about; it may be better or worse. The trace is exact in few
dimensions (one gradient for each); else it is Hutchinson's E[e' J e] with random signs e, unbiased
for log p. Of discrete data the figure would thus be a bound in expectation, by either trace, were
the path followed exactly. But a solver keeps to a tolerance and proves nothing, and its errors have
either sign: the claim is an ESTIMATE, of real-valued and of discrete data alike.

Flow matching has such a path by birth, with t from 1 (data) to 0 (noise) as time and the network
itself as velocity: the same integral, without the last noise.

The solver is scipy's adaptive Dormand-Prince 8(5,3) (`scipy.integrate.solve_ivp`), in float64:
maintained, and installed already because scikit-learn needs it. The network may run on any device;
only states travel.

References: Song et al. 2021, *Score-based generative modeling through SDEs* (eq. 39); Grathwohl et
al. 2019, *FFJORD*; Hutchinson 1990.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from genzoo import grid
from genzoo.evaluation.likelihood.annealing import standard_normal
from genzoo.evaluation.likelihood.stated import Stated
from genzoo.families.diffusion import Diffusion, alpha, sigma
from genzoo.families.flow_matching import EXACT_UP_TO, FlowMatching, with_divergence
from genzoo.model import Likelihood
from genzoo.progress import Report

TOGETHER = 50  # events in one system of equations: the steps fit the stiffest of them

SIDE_OF_REAL = "to no known side: the solver's and the trace's errors have either sign"
SIDE_OF_DISCRETE = (
    "on average so that it does not flatter, but for the solver's error, which has either sign"
)


class OdeLikelihood(NamedTuple):
    """log p(x) of each event ``(n,)`` in float64 nats, the standard error that the random draws
    leave, and the network evaluations that the solver took.
    """

    value: Tensor
    stderr: Tensor
    evaluations: int


class Path(NamedTuple):
    """Where the deterministic path leads: from ``scale * x`` at time ``data`` to standard Gaussian
    noise at time ``noise``.
    """

    data: float
    noise: float
    scale: float


def path(model: Diffusion | FlowMatching) -> Path:
    """The path of a diffusion, in log-SNR and from the event at its cleanest; or that of a stream,
    in t from 1 to 0.
    """
    if isinstance(model, FlowMatching):
        return Path(1.0, 0.0, 1.0)
    low, high = model.log_snr_min, model.log_snr_max
    return Path(
        high,
        low,
        alpha(torch.tensor([high], dtype=torch.float64), torch.ones(1, dtype=torch.float64)).item(),
    )


def velocity(model: Diffusion | FlowMatching, z: Tensor, t: Tensor, c: Tensor | None) -> Tensor:
    """dz/dt along the path of ``model``, of z's shape; ``t`` is the time of each row (a diffusion's
    is log-SNR), ``(n,)``.
    """
    if isinstance(model, FlowMatching):
        return model.v(z, t, c)
    return -0.5 * alpha(t, z) * sigma(t, z) * model.v(z, t, c)


def ode_log_likelihood(
    model: Diffusion | FlowMatching,
    x: Tensor,
    c: Tensor | None = None,
    *,
    tolerance: float = 1e-5,
    draws: int = 1,
    exact: bool | None = None,
) -> OdeLikelihood:
    """log p(x | c) under the probability flow of a diffusion model, or under a stream, ``(n,)``
    nats.

    Args:
        tolerance: of the solver, absolute and relative, on each event's state and log-density.
        draws: solutions with fresh randomness (noise of discrete data, signs of the trace), which
            are averaged; one is enough, and all are alike, where nothing is random.
        exact: whether the trace is exact; None: in at most 16 dimensions.
    """
    exact = model.dims <= EXACT_UP_TO if exact is None else exact
    with torch.inference_mode(False), torch.no_grad():
        x, c = x.clone(), None if c is None else c.clone()
        solutions = [_solution(model, x, c, tolerance, exact) for _ in range(draws)]
    values = torch.stack([value for value, _ in solutions])
    stderr = values.std(0) / draws**0.5 if draws > 1 else torch.full_like(values[0], math.nan)
    return OdeLikelihood(values.mean(0), stderr, sum(count for _, count in solutions))


def follow_flow(
    model: Diffusion | FlowMatching,
    x: Tensor,
    c: Tensor | None,
    *,
    draws: int,
    batch: int,
    tolerance: float,
    progress: Report | None = None,
) -> Stated:
    """log p(x | c) of events under the probability flow, with tolerance, trace and evaluations in
    the details.
    """
    values, stderrs, evaluations = [], [], 0
    for rows in torch.arange(len(x)).split(min(batch, TOGETHER)):
        found = ode_log_likelihood(
            model, x[rows], None if c is None else c[rows], tolerance=tolerance, draws=draws
        )
        values.append(found.value)
        stderrs.append(found.stderr)
        evaluations += found.evaluations
        if progress:
            done = int(rows[-1]) + 1
            progress(
                done,
                len(x),
                f"log-density {torch.cat(values).mean():.2f} nats after {evaluations} evaluations",
            )
    trace = "exact" if model.dims <= EXACT_UP_TO else "Hutchinson, random signs"
    batches = len(values)
    return Stated(
        torch.cat(values),
        Likelihood.ESTIMATE,
        SIDE_OF_DISCRETE if model.levels else SIDE_OF_REAL,
        details={
            "k": draws,
            "ode_tolerance": tolerance,
            "ode_trace": trace,
            "ode_evaluations": round(evaluations / batches / draws),
            "ode_stderr": torch.cat(stderrs).mean().item() if draws > 1 else None,
        },
    )


def _solution(
    model: Diffusion | FlowMatching, x: Tensor, c: Tensor | None, tolerance: float, exact: bool
) -> tuple[Tensor, int]:
    """One draw of log p(x | c) ``(n,)``, and the evaluations of the network that it took."""
    if isinstance(model, Diffusion) and model.levels:
        return _of_discrete(model, x, c, tolerance, exact)
    scale = path(model).scale
    z = scale * grid.dequantise(x, model.levels)
    log_density, evaluations = _solve(model, z, c, tolerance, exact)
    return model.dims * math.log(scale) + log_density, evaluations


def _of_discrete(
    model: Diffusion, x: Tensor, c: Tensor | None, tolerance: float, exact: bool
) -> tuple[Tensor, int]:
    """log p_ode(z) + log p(x | z) - log q(z | x) for one z ~ q, the model's last noise about x."""
    clean = x.new_full((len(x),), model.log_snr_max)
    q = Normal(alpha(clean, x) * x, sigma(clean, x))
    z = q.sample()
    log_density, evaluations = _solve(model, z, c, tolerance, exact)
    log_likelihood = model.log_likelihood(x, z) - q.log_prob(z).flatten(1).sum(1)
    return log_density + log_likelihood.double().cpu(), evaluations


def _solve(
    model: Diffusion | FlowMatching, z: Tensor, c: Tensor | None, tolerance: float, exact: bool
) -> tuple[Tensor, int]:
    """The flow's log-density at the data's end, ``(n,)`` nats, and evaluations of the network."""
    from scipy.integrate import solve_ivp

    n, along = len(z), path(model)
    signs = torch.randint_like(z, 2) * 2 - 1

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        now = torch.from_numpy(state[: z.numel()]).to(z).view(z.shape)
        dz, trace = velocity_and_trace(model, now, z.new_full((n,), t), c, None if exact else signs)
        return torch.cat([dz.flatten(), -trace]).double().cpu().numpy()

    start = torch.cat([z.flatten(), z.new_zeros(n)]).double().cpu().numpy()
    times = (along.data, along.noise)
    solution = solve_ivp(slope, times, start, method="DOP853", rtol=tolerance, atol=tolerance)
    if not solution.success:
        raise RuntimeError(f"The probability-flow ODE could not be solved: {solution.message}")
    end = torch.from_numpy(solution.y[:, -1])
    noise, gained = end[: z.numel()].view(n, -1), end[z.numel() :]
    return standard_normal(noise) - gained, solution.nfev


def velocity_and_trace(
    model: Diffusion | FlowMatching,
    z: Tensor,
    t: Tensor,
    c: Tensor | None,
    signs: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """dz/dt of z's shape, and the trace of its Jacobian ``(n,)``: exact, or e' J e with the signs e
    that are given.
    """
    return with_divergence(lambda y: velocity(model, y, t, c), z, signs)
