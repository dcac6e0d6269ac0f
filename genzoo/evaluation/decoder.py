r"""The likelihood of a decoder: a GAN's generator, a VAE's, anything that turns a latent z into an event.

A GAN states no density: its samples lie on a thin sheet. With a spherical Gaussian of variance s² around every G(z) it has one,

.. math::

    p(x) = \int \mathcal N(z; 0, I) \; \mathcal N(x; G(z), s^2 I) \, dz ,

and the integral is a normaliser: that of p(z) p(x | z) as a function of z, found for each event by annealed importance
sampling (`genzoo.evaluation.annealing`) along p(z) p(x | z)^beta. The result is a stochastic *lower* bound on log p(x): its
error never flatters. For data that the model itself made, the z behind it is an exact draw of p(z | x), so there the upper
bound is to be had as well, and the gap between the two says how far such runs are from the truth.

s is no part of the GAN, yet caps its score at -(D/2) log(2 pi s²): it is chosen on validation data, by the same annealing,
never by kernel density estimates, which rank models wrongly. Discrete data is taken as G(z) + s epsilon *rounded to the
grid*, tails and all: p(x | z) is then the Gaussian's mass in x's bin, a pmf that sums to one, and needs no dequantisation.

References: Wu et al. 2017, *On the quantitative analysis of decoder-based generative models*; Grosse et al. 2015.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation.annealing import (
    Bracket,
    Estimate,
    anneal,
    bracket,
    log_mean_exp,
    share,
    standard_normal,
)
from genzoo.evaluation.stated import Stated
from genzoo.model import GenerativeModel, Likelihood
from genzoo.progress import Report

ROWS = 2000  # chains that are moved at once; more would only cost memory


def decoder_log_likelihood(model: GenerativeModel, x: Tensor, sigma: float | None = None, c: Tensor | None = None, *,
                           chains: int = 16, scouts: int = 4, **settings: Any) -> Estimate:  # fmt: skip
    """Stochastic lower bound on log p(x | c) of each event, ``(n,)`` nats, with its standard error and effective sample size.

    Args:
        model: anything with a ``latent_shape`` and a differentiable ``decode``; its latent's law is a standard Gaussian, or
            ``model.log_prior`` where there is one. Put it into eval mode first: dropout would change the target at every look.
        sigma: standard deviation of the observation; None takes the model's own p(x | z), as of a VAE.
        chains, scouts: of each event: weighed chains, and those that set their step.
        settings: of `genzoo.evaluation.annealing.anneal`.
    """
    with torch.inference_mode(False), torch.no_grad():
        log_joint = _joint(model, x.clone(), sigma, None if c is None else c.clone(), chains + scouts)
        start = _latents(model, (chains + scouts) * len(x))
        return log_mean_exp(
            anneal(standard_normal, log_joint, start, problems=len(x), scouts=scouts, **settings).log_weights
        )


def simulated_bracket(model: GenerativeModel, n: int = 16, sigma: float | None = None, c: Tensor | None = None, *,
                      chains: int = 16, scouts: int = 4, **settings: Any) -> Bracket:  # fmt: skip
    """Bidirectional Monte Carlo: log p(x | c) of ``n`` events that the model made, between two stochastic bounds, ``(n,)``.

    Arguments as of `decoder_log_likelihood`, with ``n`` conditions. Wu et al. report gaps of 0.6 to 10 nats.
    """
    with torch.inference_mode(False), torch.no_grad():
        c = None if c is None else c.clone()
        z = _own(model).draw_latents(n, c) if hasattr(model, "draw_latents") else _latents(model, n)
        if sigma is None:
            x = _own(model).p(z, c).sample()
        else:
            x = model.decode(z, c)
            x = model.on_grid(x + sigma * torch.randn_like(x))
        log_joint = _joint(model, x, sigma, c, chains + scouts)
        behind = z.repeat(chains + scouts, *[1] * (z.dim() - 1))
        return bracket(
            standard_normal, log_joint, _latents(model, len(behind)), behind, problems=n, scouts=scouts, **settings
        )


def tune_sigma(model: GenerativeModel, x: Tensor, c: Tensor | None = None, *, among: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
               refine: int = 2, progress: Report | None = None,
               **settings: Any) -> tuple[float, dict[float, float]]:  # fmt: skip
    """The observation's standard deviation under which validation events ``x`` are likeliest, and what was tried.

    Every value in ``among`` is tried; while the best one is at an end, the range is continued by the same factor; then the
    neighbours of the best are tried ``refine`` times, the factor's logarithm halved each time. ``progress`` is told of each.

    Returns:
        sigma, and the mean log-likelihood (nats per event) of every sigma tried.
    """
    tried: dict[float, float] = {}

    def score(sigma: float) -> float:
        if sigma not in tried:

            def tell(level: int, levels: int, text: str) -> None:
                if progress is not None:
                    progress(level, levels, f"sigma {sigma:.3g} on validation: {text}")

            tried[sigma] = decoder_log_likelihood(model, x, sigma, c, progress=tell, **settings).value.mean().item()
        return tried[sigma]

    factor = (max(among) / min(among)) ** (1 / max(1, len(among) - 1)) if len(among) > 1 else 2.0
    best = max(among, key=score)
    while best in (min(tried), max(tried)) and 1e-4 < best < 1e4:
        best = max((best / factor, best, best * factor), key=score)
    for _ in range(refine):
        factor **= 0.5
        best = max((best / factor, best, best * factor), key=score)
    return best, dict(sorted(tried.items()))


def anneal_decoder(model: Any, data: DataSet, x: Tensor, c: Tensor | None, *, levels: int, chains: int,
                   progress: Report | None = None) -> Stated:  # fmt: skip
    """log p(x | c) of events under a decoder; without a p(x | z) of its own, sigma is tuned on validation events first.

    The gap of bidirectional Monte Carlo on events that the model made is in the details: how far such runs are from the truth.
    """
    own, settings = hasattr(model, "p"), dict[str, Any](chains=chains, scouts=max(2, chains // 4))
    conditional = c is not None
    sigma, tried = None, {}
    if not own:
        rows = torch.randperm(len(data.validation))[: min(32, len(x))]
        held_out, given = Split(*data.validation[rows.to(data.validation.x.device)]).to(x.device)[:]
        given = given if conditional else None
        # only the ranking of sigmas matters here: fewer levels and half of the leapfrogs do
        sigma, tried = tune_sigma(model, held_out, given, levels=max(20, levels // 5), leapfrogs=5,
                                  progress=progress, **settings)  # fmt: skip
    n = min(16, len(x))
    gap = simulated_bracket(model, n, sigma, c[:n] if conditional else None, levels=levels, progress=progress,
                            **settings).gap  # fmt: skip
    parts, size = [], max(1, ROWS // (chains + settings["scouts"]))
    for i in range(0, len(x), size):
        told = share(progress, i // size, -(-len(x) // size))
        given = c[i : i + size] if conditional else None
        parts.append(
            decoder_log_likelihood(model, x[i : i + size], sigma, given, levels=levels, progress=told, **settings)
        )
    value, stderr, ess = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return Stated(
        value,
        Likelihood.ESTIMATE,
        "annealing under-estimates log p, which does not flatter",
        details={
            "ais_levels": levels, "ais_chains": chains, "sigma": sigma,
            "sigmas": {f"{tried_sigma:.4g}": nats for tried_sigma, nats in tried.items()},
            "simulated_gap": gap.mean().item(), "simulated_gap_stderr": (gap.std() / n**0.5).item() if n > 1 else None,
            "ais_stderr": stderr.mean().item(), "ess": ess.mean().item(),
        },
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- the parts


def observation(x: Tensor, centre: Tensor, sigma: float, levels: int) -> Tensor:
    """log N(x; centre, sigma² I), ``(n,)`` nats; on a grid of levels, log of the Gaussian's mass in x's bin over its width.

    The first and the last bin reach to infinity, so the masses sum to one, and rounding N(centre, sigma²) to the grid draws
    from them exactly.
    """
    if not levels:
        return Normal(centre, sigma).log_prob(x).flatten(1).sum(1)
    width = grid.bin_width(levels)
    low = ((x - width / 2 - centre) / sigma).masked_fill(x < width - 1, -math.inf)
    high = ((x + width / 2 - centre) / sigma).masked_fill(x > 1 - width, math.inf)
    # a difference of two values near one would lose the upper tail: mirror it to the lower
    mirrored = low + high > 0
    low, high = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    upper, lower = torch.special.log_ndtr(high), torch.special.log_ndtr(low.clamp(min=-1e4))
    return (upper + torch.log(-torch.expm1(lower - upper)) - math.log(width)).flatten(1).sum(1)


def _joint(
    model: GenerativeModel, x: Tensor, sigma: float | None, c: Tensor | None, each: int
) -> Callable[[Tensor], Tensor]:
    """log p(z) + log p(x | z) as a function of z: rows of ``each`` chains, event after event."""
    rows = x.repeat(each, *[1] * (x.dim() - 1))
    given = None if c is None else c.repeat(each, *[1] * (c.dim() - 1))
    if getattr(model, "codes", 0):
        raise NotImplementedError("This model's latent is discrete: between codes there is nothing to anneal through.")
    prior = getattr(model, "prior", None)
    if prior is not None and prior.likelihood != Likelihood.EXACT:
        raise NotImplementedError(
            f"The prior's log-density must be exact to be annealed; {type(prior).__name__}'s is not."
        )

    def log_joint(z: Tensor) -> Tensor:
        log_prior = _own(model).log_prior(z, given) if hasattr(model, "log_prior") else standard_normal(z)
        if sigma is None:
            return log_prior + _own(model).p(z, given).log_prob(rows)
        return log_prior + observation(rows, model.decode(z, given), sigma, model.levels)

    return log_joint


def _own(model: GenerativeModel) -> Any:
    """The model as one that has p(x | z) of its own."""
    if not hasattr(model, "p"):
        raise ValueError(f"{type(model).__name__} has no p(x | z) of its own: give the observation's sigma.")
    return model


def _latents(model: GenerativeModel, n: int) -> Tensor:
    if model.latent_shape is None:
        raise NotImplementedError(f"{type(model).__name__} has no latent to anneal over.")
    like = next(model.parameters())
    return torch.randn(n, *model.latent_shape, dtype=like.dtype, device=like.device)
