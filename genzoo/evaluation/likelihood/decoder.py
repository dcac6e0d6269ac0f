r"""The likelihood of a decoder: of a GAN, a VAE, or any model that turns a latent z into an event.

A GAN has no density: its samples lie on a thin sheet. With a spherical Gaussian of variance s²
around every G(z) it has one,

.. math::

    p(x) = \int \mathcal N(z; 0, I) \; \mathcal N(x; G(z), s^2 I) \, dz ,

and the integral is a normaliser: that of p(z) p(x | z) as a function of z. It is estimated for each
event by annealed importance sampling (`genzoo.evaluation.likelihood.annealing`) along
p(z) p(x | z)^beta. The row of the table is that of "GAN + noise s": of the generator with this
noise, not of the generator alone.

**The sign is ≤.** The weights of such chains are unbiased, E[w] = p(x). So by Jensen's inequality
E[-log mean w] is at least -log p(x), at any number of levels and chains, just as for the
importance weights of a VAE's encoder (Burda et al. 2016): a bound in expectation on what the
model *with its noise* costs. Few levels make it loose, not wrong. Everything that is chosen, s
and the number of levels, is therefore chosen on validation events: doubling the levels until a test
event's own weights look good would bias them.

**The gap.** If the model itself generated the event, its z is an exact sample of p(z | x). The
other bound can then be computed as well, and the gap between the two tells how far such runs are
from the true value. This holds for simulated events only: a real one may lie where no z leads, and
be harder.

s is not a part of the GAN, yet caps its score at -(D/2) log(2 pi s²): it is chosen on validation
data, by the same annealing with as many levels, never by kernel density estimates, which rank
models wrongly. (Few levels rank wrongly, too: they lose most where s is small.) Discrete data is
modelled as G(z) + s epsilon *rounded to the grid*, tails included: p(x | z) is then the Gaussian's
mass in x's bin, a pmf that sums to one, and needs no dequantisation.

References: Wu et al. 2017, *On the quantitative analysis of decoder-based generative models*;
Grosse et al. 2015; Burda et al. 2016, *Importance weighted autoencoders*.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.distributions import standard_normal
from genzoo.evaluation.batches import on_device_of
from genzoo.evaluation.likelihood.annealing import (
    Bracket,
    Estimate,
    anneal,
    bracket,
    log_mean_exp,
    share,
)
from genzoo.evaluation.likelihood.estimate import LogProbEstimate
from genzoo.evaluation.likelihood.subset import choose
from genzoo.model import GenerativeModel, LatentJoint, Likelihood, drawing_from
from genzoo.progress import Progress

ROWS = {"cpu": 500, "cuda": 10_000}  # chains moved at once: as many as a processor's cache holds
ENOUGH = 3.0  # effective chains, on average over events: below, the levels are doubled
LEAPFROGS = 2  # of each move: at equal cost, many levels with short moves lose least
TUNED_ON = 20  # validation events on which the noise and the levels are chosen
SIMULATED = 16  # events that the model generates, for the gap


def decoder_log_likelihood(
    model: GenerativeModel,
    x: Tensor,
    sigma: float | None = None,
    c: Tensor | None = None,
    *,
    chains: int = 16,
    scouts: int = 4,
    progress: Progress | None = None,
    **settings: Any,
) -> Estimate:
    """Lower bound in expectation on log p(x | c) of each event, ``(n,)`` nats, with error and ESS.

    Args:
        model: one that declares a `genzoo.model.Measurable.latent_joint`. Put it into eval mode
            first: dropout would change the target at every evaluation.
        x: events, ``(n, *event_shape)``.
        sigma: standard deviation of the observation; None: the model's own p(x | z).
        c: their conditions, ``(n, ...)``.
        chains: weighed chains of each event.
        scouts: further chains of each event, which set the step size.
        progress: as of `genzoo.evaluation.likelihood.annealing.follow`.
        settings: of `genzoo.evaluation.likelihood.annealing.anneal`.
    """
    chains_of_event = chains + scouts
    at_once = ROWS.get(x.device.type, ROWS["cuda"])
    events_at_once = max(1, at_once // chains_of_event)
    parts = torch.arange(len(x), device=x.device).split(events_at_once)
    estimates = []
    with torch.inference_mode(False), torch.no_grad():
        for i, rows in enumerate(parts):
            conditions = None if c is None else c[rows].clone()
            log_joint = _log_joint(model, x[rows].clone(), sigma, conditions, chains_of_event)
            run = anneal(
                standard_normal,
                log_joint,
                _latents(model, chains_of_event * len(rows)),
                problems=len(rows),
                scouts=scouts,
                progress=share(progress, i, len(parts)),
                **settings,
            )
            estimates.append(log_mean_exp(run.log_weights))
    return Estimate(
        value=torch.cat([estimate.value for estimate in estimates]),
        stderr=torch.cat([estimate.stderr for estimate in estimates]),
        ess=torch.cat([estimate.ess for estimate in estimates]),
    )


def simulated_bracket(
    model: GenerativeModel,
    n: int = SIMULATED,
    sigma: float | None = None,
    c: Tensor | None = None,
    *,
    chains: int = 16,
    scouts: int = 4,
    **settings: Any,
) -> Bracket:
    """log p(x | c) of simulated events between two bounds, by bidirectional Monte Carlo.

    Wu et al. report gaps of 0.6 to 10 nats.

    Args:
        model: as of `decoder_log_likelihood`; it generates the events.
        n: number of events.
        sigma: as of `decoder_log_likelihood`.
        c: their conditions, ``(n, ...)``.
        chains: as of `decoder_log_likelihood`.
        scouts: likewise.
        settings: of `genzoo.evaluation.likelihood.annealing.bracket`.
    """
    with torch.inference_mode(False), torch.no_grad():
        c = None if c is None else c.clone()
        joint = _joint_of(model, c)
        z = joint.draw(n)
        if sigma is None:
            x = _observation_of(model, joint)(z).sample()
        else:
            x = joint.decode(z)
            x = model.on_grid(x + sigma * torch.randn_like(x))
        chains_of_event = chains + scouts
        log_joint = _log_joint(model, x, sigma, c, chains_of_event)
        posterior = z.repeat(chains_of_event, *[1] * (z.dim() - 1))
        prior = _latents(model, len(posterior))
        settings |= {"problems": n, "scouts": scouts}
        return bracket(standard_normal, log_joint, prior, posterior, **settings)


def tune_sigma(
    model: GenerativeModel,
    x: Tensor,
    c: Tensor | None = None,
    *,
    among: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
    refine: int = 2,
    progress: Progress | None = None,
    **settings: Any,
) -> tuple[float, dict[float, float]]:
    """The observation's standard deviation under which validation events ``x`` are likeliest.

    Every value in ``among`` is tried. From the best one the search climbs by the same ratio until
    both neighbours are worse, and again by its square root, ``refine`` times.

    Args:
        model: as of `decoder_log_likelihood`.
        x: validation events, ``(n, *event_shape)``.
        c: their conditions.
        among: values to begin with, at equal ratios.
        refine: number of times that the ratio is refined.
        progress: as of `decoder_log_likelihood`, for each value.
        settings: of `decoder_log_likelihood`. With few levels large values score too well;
            `settle_sigma` corrects that.

    Returns:
        sigma, and the mean log-likelihood (nats per event) of every sigma tried.
    """
    ratio = 2.0
    if len(among) > 1:
        ratio = (max(among) / min(among)) ** (1 / (len(among) - 1))
    stride = 2**refine
    score = _Scores(model, x, c, min(among), ratio ** (1 / stride), progress, settings)
    best = max(range(0, len(among) * stride, stride), key=score)
    while stride >= 1:
        best = _climb(score, best, stride)
        stride //= 2
    return score.sigma(best), score.tried


def settle_sigma(
    model: GenerativeModel,
    x: Tensor,
    sigma: float,
    c: Tensor | None = None,
    *,
    ratio: float = 2**0.25,
    progress: Progress | None = None,
    **settings: Any,
) -> tuple[float, dict[float, float]]:
    """A ``sigma`` that was tuned with few levels, corrected with as many as the figure has.

    The search climbs by ``ratio`` until both neighbours are worse.

    Args:
        model: as of `decoder_log_likelihood`.
        x: validation events, ``(n, *event_shape)``.
        sigma: the value to start from.
        c: their conditions.
        ratio: of neighbouring values.
        progress: as of `tune_sigma`.
        settings: of `decoder_log_likelihood`.

    Returns:
        sigma, and the mean log-likelihood (nats per event) of every sigma tried.
    """
    score = _Scores(model, x, c, sigma, ratio, progress, settings)
    return score.sigma(_climb(score, 0, 1)), score.tried


def enough_levels(
    model: GenerativeModel,
    x: Tensor,
    sigma: float | None = None,
    c: Tensor | None = None,
    *,
    levels: int,
    most: int,
    **settings: Any,
) -> int:
    """The number of levels at which `ENOUGH` chains are effective, on average over events.

    Args:
        model: as of `decoder_log_likelihood`.
        x: validation events, ``(n, *event_shape)``.
        sigma: as of `decoder_log_likelihood`.
        c: their conditions.
        levels: the number to start from; it is doubled until it is enough.
        most: the largest number to try.
        settings: of `decoder_log_likelihood`.
    """
    while 2 * levels <= most:
        estimate = decoder_log_likelihood(model, x, sigma, c, levels=levels, **settings)
        if estimate.ess.mean() >= ENOUGH:
            break
        levels *= 2
    return levels


def anneal_decoder(
    model: Any,
    data: DataSet,
    events: Split,
    *,
    levels: int,
    chains: int,
    most_levels: int | None = None,
    progress: Progress | None = None,
) -> LogProbEstimate:
    """log p(x | c) of events under a decoder, to which noise is added if it has no p(x | z).

    Args:
        model: as of `decoder_log_likelihood`.
        data: the data set; the noise and the number of levels are chosen on its validation events.
        events: those to be measured.
        levels: number of temperatures, which `enough_levels` doubles where it is too small.
        chains: weighed chains of each event.
        most_levels: the largest number of levels; None: four times ``levels``.
        progress: as of `decoder_log_likelihood`.

    Returns:
        a bound; the gap of bidirectional Monte Carlo on simulated events is in its details.
    """
    settings: dict[str, Any] = {
        "chains": chains,
        "scouts": max(2, chains // 4),
        "leapfrogs": LEAPFROGS,
        "progress": progress,
    }
    chosen = choose(data, "validation", TUNED_ON).chosen.to(data.validation.x.device)
    tuned_on = Split(*data.validation[chosen])
    held_out_x, held_out_c = on_device_of(model, tuned_on)
    x, c = on_device_of(model, events)
    sigma = None
    tried = {}
    if _joint_of(model, None).observation is None:  # the decoder needs noise
        rough: dict[str, Any] = {
            **settings,
            "chains": min(4, chains),
            "scouts": 2,
            "levels": max(10, levels // 5),
        }
        sigma, _ = tune_sigma(model, held_out_x, held_out_c, **rough)
    most = most_levels or 4 * levels
    levels = enough_levels(
        model, held_out_x, sigma, held_out_c, levels=levels, most=most, **settings
    )
    settings["levels"] = levels
    if sigma is not None:
        sigma, tried = settle_sigma(model, held_out_x, sigma, held_out_c, **settings)
    gap = _simulated_gap(model, min(SIMULATED, len(x)), sigma, c, **settings)
    estimate = decoder_log_likelihood(model, x, sigma, c, **settings)
    details = {
        "ais_levels": levels,
        "ais_chains": chains,
        "sigma": sigma,
        "sigmas": {f"{value:.4g}": nats for value, nats in tried.items()},
        **gap,
        "ais_stderr": estimate.stderr.mean().item(),
        "ess": estimate.ess.mean().item(),
    }
    direction = "never flatters: in expectation the true figure is at most this"
    if sigma is not None:
        details["observation"] = f"noise {sigma:.2g}"
        direction += f", that of the generator with noise of {sigma:.2g} around what it makes"
    return LogProbEstimate(estimate.value, Likelihood.BOUND, direction, details=details)


def _simulated_gap(
    model: GenerativeModel, n: int, sigma: float | None, c: Tensor | None, **settings: Any
) -> dict[str, Any]:
    """Mean gap between the two bounds in nats, on ``n`` events that the model generates."""
    if c is not None:  # events come class by class: take conditions from all of them
        evenly = torch.linspace(0, len(c) - 1, n, device=c.device)
        c = c[evenly.long()]
    gap = simulated_bracket(model, n, sigma, c, **settings).gap
    stderr = None
    if n > 1:
        stderr = (gap.std() / n**0.5).item()
    return {
        "simulated_gap": gap.mean().item(),
        "simulated_gap_stderr": stderr,
        "simulated_events": n,
    }


# ----------------------------------------------------------------------------------- the parts


def observation(x: Tensor, centre: Tensor, sigma: float, levels: int) -> Tensor:
    """log N(x; centre, sigma² I), ``(n,)`` nats; on a grid, of its mass in x's bin over the width.

    The first and the last bin reach to infinity. So the masses sum to one, and they are those of
    samples of N(centre, sigma²) that are rounded to the grid.

    Args:
        x: events, ``(n, *event_shape)``.
        centre: mean of each, of the same shape.
        sigma: standard deviation of every feature.
        levels: of the grid; 0 for real-valued data.
    """
    if not levels:
        return Normal(centre, sigma).log_prob(x).flatten(1).sum(1)
    width = grid.bin_width(levels)
    low = (x - width / 2 - centre) / sigma
    low = low.masked_fill(x < width - 1, -math.inf)
    high = (x + width / 2 - centre) / sigma
    high = high.masked_fill(x > 1 - width, math.inf)
    # a difference of two values near one would lose the upper tail: mirror it to the lower
    mirrored = low + high > 0
    left = torch.where(mirrored, -high, low)
    right = torch.where(mirrored, -low, high)
    upper = torch.special.log_ndtr(right)
    lower = torch.special.log_ndtr(left.clamp(min=-1e4))
    log_mass = upper + torch.log(-torch.expm1(lower - upper))
    log_density = log_mass - math.log(width)
    return log_density.flatten(1).sum(1)


def _log_joint(
    model: GenerativeModel, x: Tensor, sigma: float | None, c: Tensor | None, chains: int
) -> Callable[[Tensor], Tensor]:
    """log p(z) + log p(x | z) as a function of z, of ``chains`` for each event.

    Row r belongs to event ``r % n``.
    """
    rows = x.repeat(chains, *[1] * (x.dim() - 1))
    conditions = None if c is None else c.repeat(chains, *[1] * (c.dim() - 1))
    joint = _joint_of(model, conditions)
    if sigma is None:
        p = _observation_of(model, joint)
        return lambda z: joint.log_prior(z) + p(z).log_prob(rows)
    return lambda z: joint.log_prior(z) + observation(rows, joint.decode(z), sigma, model.levels)


def _joint_of(model: GenerativeModel, c: Tensor | None) -> LatentJoint:
    """The joint density of latents and events; NotImplementedError if it cannot be annealed."""
    joint = model.latent_joint(c)
    if joint is None:
        raise NotImplementedError(f"{type(model).__name__} has no latent to anneal over.")
    if joint.obstacle:
        raise NotImplementedError(joint.obstacle)
    return joint


def _observation_of(model: GenerativeModel, joint: LatentJoint) -> Callable[[Tensor], Distribution]:
    """The model's own p(x | z)."""
    if joint.observation is None:
        name = type(model).__name__
        raise ValueError(f"{name} has no p(x | z) of its own: give the observation's sigma.")
    return joint.observation


def _latents(model: GenerativeModel, n: int) -> Tensor:
    """Samples of the standard Gaussian prior, ``(n, *latent_shape)``."""
    assert model.latent_shape is not None
    like = next(model.parameters())
    return torch.randn(n, *model.latent_shape, dtype=like.dtype, device=like.device)


class _Scores:
    """Mean log-likelihood of ``x`` with noise of ``least * ratio**k``, as a function of k.

    Every sigma is scored with the same random numbers, so that scores differ by sigma alone.

    Args:
        model: as of `decoder_log_likelihood`.
        x: validation events, ``(n, *event_shape)``.
        c: their conditions.
        least: sigma at k = 0.
        ratio: of neighbouring values.
        progress: as of `tune_sigma`.
        settings: of `decoder_log_likelihood`.
    """

    def __init__(
        self,
        model: GenerativeModel,
        x: Tensor,
        c: Tensor | None,
        least: float,
        ratio: float,
        progress: Progress | None,
        settings: dict[str, Any],
    ):
        self.model = model
        self.x = x
        self.c = c
        self.least = least
        self.ratio = ratio
        self.progress = progress
        self.settings = settings
        self.seed = int(torch.randint(2**31, ()))
        self.known: dict[int, float] = {}

    def sigma(self, k: int) -> float:
        return self.least * self.ratio**k

    @property
    def tried(self) -> dict[float, float]:
        """The score of every sigma that was tried."""
        return {self.sigma(k): self.known[k] for k in sorted(self.known)}

    def __call__(self, k: int) -> float:
        if k not in self.known:
            with drawing_from(self.seed, self.x.device):
                self.known[k] = self.measured(self.sigma(k))
        return self.known[k]

    def measured(self, sigma: float) -> float:
        """Mean log-likelihood of x in nats per event."""

        def progress(level: int, levels: int, text: str) -> None:
            if self.progress is not None:
                self.progress(level, levels, f"sigma {sigma:.3g} on validation: {text}")

        settings: dict[str, Any] = {**self.settings, "progress": progress}
        estimate = decoder_log_likelihood(self.model, self.x, sigma, self.c, **settings)
        return estimate.value.mean().item()


def _climb(score: _Scores, best: int, stride: int) -> int:
    """The k from which both neighbours, ``stride`` away, score worse; uphill from ``best``."""
    while 1e-4 < score.sigma(best) < 1e4:
        candidates = (best, best - stride, best + stride)
        better = max(candidates, key=score)
        if better == best:
            break
        best = better
    return best
