"""Two-stage training: first a VAE, then its prior on what the VAE's encoder makes of the data.

The second stage is ordinary training (`genzoo.fit`) on a data set of latents, which is a `map` of
the first: the prior need not know that its events were digits once. So every family serves, those
without a likelihood too.

Which prior is best for the bound? It contains the prior in one term, E_q[log p(z)], averaged over
data: largest for the p that is nearest to the *aggregate* of q(z | x) over all x. Hence the prior
is fitted to draws of q, not to its means.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet, Split
from genzoo.families.priors import PlainPrior
from genzoo.families.vae import VAE
from genzoo.model import GenerativeModel, Likelihood, device_of, evaluating
from genzoo.progress import Progress
from genzoo.training.fitting import Fitted, fit

DRAWS = 32  # latents of each training event
PRIOR = "prior"  # the folder, inside that of a run, of the prior's own stage

Stages = list[tuple[GenerativeModel, Tensor]]


def fit_in_stages(
    model: VAE,
    data: DataSet,
    folder: str | Path,
    *,
    train: Mapping[str, Any],
    prior: Mapping[str, Any],
    seed: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """Train ``model`` without its prior, and then the prior on the latents, in place.

    Args:
        model: with a prior; it is changed when both stages are done.
        data: of the VAE.
        folder: where checkpoints and logs go, those of the prior into ``folder/prior``; an
            interrupted run is resumed there.
        train, prior: settings of `genzoo.fit` for either stage.
        seed: of both stages and of the latents that are drawn between them.
        progress: as in `genzoo.fit`, told of one stage and then of the other.

    Returns:
        steps and seconds of both stages together; no validation figure, for neither stage's is that
        of the whole.
    """
    if isinstance(model.prior, PlainPrior):
        raise ValueError("This VAE has no prior to fit in a second stage.")
    alone = without_prior(model)
    first = fit(alone, data, folder, seed=seed, progress=progress, **train)
    latents = encoded(data, alone, seed=seed)
    marked = _of_prior(progress)
    second = fit(model.prior, latents, Path(folder) / PRIOR, seed=seed, progress=marked, **prior)
    model.load_state_dict(alone.state_dict(), strict=False)  # everything except the prior
    return Fitted(
        model=model.eval(),
        seconds=first.seconds + second.seconds,
        steps=first.steps + second.steps,
        planned=first.planned + second.planned,
        best_step=None,
        validation=None,
        precision=first.precision,
    )


def trained(model: GenerativeModel, x: Tensor, c: Tensor | None, folder: Path | None) -> Stages:
    """Parts of ``model`` that were trained, with their batch: all at once, or a part a stage.

    Args:
        model: that was trained.
        x, c: a batch of data.
        folder: of the run, which tells whether a prior that can be trained along had its own stage.

    Returns:
        the models that were trained, one after the other, each with its batch of events.
    """
    if not isinstance(model, VAE) or isinstance(model.prior, PlainPrior):
        return [(model, x)]
    prior = model.prior
    alone = folder is not None and (folder / PRIOR).is_dir()
    if prior.likelihood <= Likelihood.BOUND and not alone:
        return [(model, x)]
    first = without_prior(model)
    with torch.no_grad():
        latents = _draw(first, x, c if model.condition else None)
    return [(first, x), (prior, latents)]


def without_prior(model: VAE) -> VAE:
    """A copy of a VAE whose prior is a standard Gaussian, or with codes uniform over them."""
    alone = copy.deepcopy(model)
    alone.prior = alone.plain_prior()
    return alone


def encoded(data: DataSet, model: VAE, draws: int = DRAWS, seed: int = 0) -> DataSet:
    """``data`` as the encoder sees it: events are draws z ~ q(z | x, c).

    Held-out events are drawn once each. With codes, z is certain, and discrete: one draw is enough,
    and the data set has as many levels as there are codes.

    Args:
        data: that the VAE was trained on.
        model: a trained VAE.
        draws: of each training event.
        seed: of the draws.
    """
    with torch.random.fork_rng(), torch.no_grad(), evaluating(model):
        torch.manual_seed(seed)
        train = _latents(data.train, model, 1 if model.codes else draws)
        others = [_latents(split, model, 1) for split in (data.validation, data.test)]
    return replace(
        data,
        name=f"latents of {data.name}",
        train=train,
        validation=others[0],
        test=others[1],
        levels=model.codes,
        features=(),
        log_density=None,
        entropy=None,
        shift=None,
        scale=None,
        read=None,
        in_units=None,
        feature_space=None,
    )


def _latents(split: Split, model: VAE, draws: int) -> Split:
    given = split.c if model.condition else None
    z = torch.cat([_draw(model, split.x, given) for _ in range(draws)])
    if split.c is None:
        return Split(z)
    return Split(z, torch.cat([split.c] * draws))


def _draw(model: VAE, x: Tensor, c: Tensor | None, batch: int = 500) -> Tensor:
    """One sample of q(z | x, c) for each event, ``(n, *latent_shape)``, on the events' device."""
    device = device_of(model)
    parts = [x.new_zeros(0, *model.latent_shape)]
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        condition = None if c is None else c[rows].to(device)
        q = model.q(x[rows].to(device), condition)
        parts.append(q.sample().to(x))
    return torch.cat(parts)


def _of_prior(progress: Progress | None) -> Progress | None:
    """A callback that marks its messages as those of the prior's stage."""
    if progress is None:
        return None
    return lambda done, total, text: progress(done, total, f"prior: {text}")
