"""The likelihood of held-out events, with its error bar and with the kind of claim it is."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation.annealing import Progress
from genzoo.evaluation.stated import DIRECTION, Stated
from genzoo.model import Likelihood


class HasLikelihood(Protocol):
    """A model of the zoo, or a baseline beside it."""

    @property
    def likelihood(self) -> Likelihood: ...

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor: ...


@dataclass(frozen=True)
class Measured:
    """A figure, the claim it makes, the side on which it errs, and its uncertainty.

    ``value`` is the mean over events in ``unit`` (bits/dim, or nats per event for real-valued data; less is better) and
    ``stderr`` the standard error of that mean over events. A model without a likelihood has neither, and kind NONE.

    ``gap`` is how much the truth is better, KL(p_data || p_model) in the same unit, with its own ``gap_stderr``: on data
    whose density is known, for an unconditional model. It inherits the claim of the figure: a bound on one is a bound on both.
    """

    value: float | None
    kind: Likelihood
    stderr: float | None
    unit: str
    details: dict[str, Any] = field(default_factory=dict)
    direction: str = ""
    gap: float | None = None
    gap_stderr: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return Likelihood.NONE.symbol
        return f"{self.kind.symbol} {self.value:.3f} ± {self.stderr:.3f} {self.unit}"


def evaluate(
    model: HasLikelihood,
    data: DataSet,
    split: str = "test",
    *,
    k: int = 16,
    batch: int = 250,
    seed: int = 0,
    ais_levels: int = 0,
    ais_chains: int = 0,
    ais_events: int = 100,
    progress: Progress | None = None,
) -> Measured:
    """The likelihood of the events of one split of ``data``.

    Args:
        split: "train", "validation" or "test".
        k: draws for a bound that is random; an exact density ignores it. State it beside the figure.
        batch: events at a time.
        seed: of those draws; the caller's random state is left as it was.
        ais_levels: temperatures of annealed importance sampling, by which an energy model, a GAN and, where asked for, a
            VAE get a figure; 0 leaves it out. It takes minutes.
        ais_chains: chains of each normaliser (energy) or of each event (GAN, VAE); 0: 64 of the former, 4 of the latter.
        ais_events: how many events, drawn at random, a GAN's or a VAE's figure is annealed for.
        progress: told of (level, levels, log-weight and error) as the annealing goes.

    Returns:
        the figure in the data's unit; for a model that states no likelihood, value None, kind NONE and the reason.
    """
    events: Split = getattr(data, split)
    started = time.perf_counter()
    with torch.random.fork_rng(), torch.inference_mode(), evaluating(model):
        torch.manual_seed(seed)
        annealed = _annealed_by(model) if ais_levels else None
        if annealed == "decoder" and ais_events < len(events):
            events = Split(*events[torch.randperm(len(events))[:ais_events].to(events.x.device)])
        try:
            if annealed:
                stated = _anneal(model, annealed, data, events, k, ais_levels, ais_chains, progress)
            else:
                draws = {"k": k}
                stated = Stated(
                    _bounds(model, events, k, batch), model.likelihood, DIRECTION[model.likelihood], 0.0, draws
                )
        except NotImplementedError as reason:
            return Measured(None, Likelihood.NONE, None, data.unit, {"reason": str(reason), "n": len(events)})
        return _measured(model, data, events, stated, {"split": split, "seconds": time.perf_counter() - started})


def _measured(model: HasLikelihood, data: DataSet, events: Split, stated: Stated, details: dict[str, Any]) -> Measured:
    """The mean over events, and the gap to the truth where that is known."""
    n = len(events)
    figures = data.report(stated.log_prob.cpu()).double()
    unit = (data.report(torch.zeros(())) - data.report(torch.ones(()))).item()  # what a nat is worth
    gap = None
    if data.log_density is not None and not getattr(model, "condition", 0):
        gap = figures - data.report(data.log_density(events.x).cpu()).double()
    return Measured(
        figures.mean().item(),
        stated.kind,
        _error(figures, unit * stated.extra_stderr),
        data.unit,
        {**stated.details, "n": n, **details},
        stated.direction,
        None if gap is None else gap.mean().item(),
        None if gap is None else _error(gap, unit * stated.extra_stderr),
    )


def _error(figures: Tensor, shared: float) -> float:
    """Standard error of the mean over events, with the error that is common to all of them added in quadrature."""
    spread = (figures.std() / len(figures) ** 0.5).item() if len(figures) > 1 else 0.0
    return math.hypot(spread, shared)


def _annealed_by(model: object) -> str | None:
    """Which annealing gives a model its likelihood: of its energy, of its decoder, or none because it needs none."""
    if hasattr(model, "energy"):
        return "energy"
    states_none = getattr(model, "likelihood", None) == Likelihood.NONE and hasattr(model, "decode")
    return "decoder" if states_none or hasattr(model, "log_prior") else None


def _anneal(model: Any, how: str, data: DataSet, events: Split, k: int, levels: int, chains: int,
            progress: Progress | None) -> Stated:  # fmt: skip
    from genzoo.evaluation.decoder import anneal_decoder
    from genzoo.evaluation.partition import anneal_energy

    with torch.inference_mode(False), torch.no_grad():
        x, c = Split(events.x.clone(), None if events.c is None else events.c.clone()).to(device_of(model))[:]
        c = c if model.condition else None
        if how == "energy":
            return anneal_energy(model, data, x, c, k=k, levels=levels, chains=chains or 64, progress=progress)
        return anneal_decoder(model, data, x, c, levels=levels, chains=chains or 4, progress=progress)


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Without dropout inside, and as before outside."""
    training = isinstance(model, torch.nn.Module) and model.training
    if isinstance(model, torch.nn.Module):
        model.eval()
    try:
        yield
    finally:
        if isinstance(model, torch.nn.Module):
            model.train(training)


def _bounds(model: HasLikelihood, events: Split, k: int, batch: int) -> Tensor:
    """The model's best statement about each event, ``(n,)`` nats, on the CPU."""
    if model.likelihood == Likelihood.NONE:
        raise NotImplementedError(f"{type(model).__name__} states no likelihood: it has samples, but no log p(x).")
    device = device_of(model)
    conditional = getattr(model, "condition", 0)
    parts = []
    for rows in torch.arange(len(events)).split(batch):
        x, c = Split(*events[rows.to(events.x.device)]).to(device)[:]
        parts.append(model.bound(x, c if conditional else None, k).cpu())
    return torch.cat(parts)


def device_of(model: object) -> torch.device:
    """Where a model's parameters are; a baseline has none and works on the CPU."""
    return (
        next((p.device for p in model.parameters()), torch.device("cpu"))
        if isinstance(model, torch.nn.Module)
        else torch.device("cpu")
    )
