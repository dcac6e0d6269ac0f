"""The likelihood of held-out events, with its error bar and with the kind of claim it is."""

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet, Split
from genzoo.model import Likelihood


class HasLikelihood(Protocol):
    """A model of the zoo, or a baseline beside it."""

    @property
    def likelihood(self) -> Likelihood: ...

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor: ...


@dataclass(frozen=True)
class Measured:
    """A figure, the claim it makes, and its uncertainty.

    ``value`` is the mean over events in ``unit`` (bits/dim, or nats per event for real-valued data; less is better) and
    ``stderr`` the standard error of that mean over events. A model without a likelihood has neither, and kind NONE.
    """

    value: float | None
    kind: Likelihood
    stderr: float | None
    unit: str
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.value is None:
            return Likelihood.NONE.symbol
        return f"{self.kind.symbol} {self.value:.3f} ± {self.stderr:.3f} {self.unit}"


def evaluate(
    model: HasLikelihood, data: DataSet, split: str = "test", *, k: int = 16, batch: int = 250, seed: int = 0
) -> Measured:
    """The likelihood of the events of one split of ``data``.

    Args:
        split: "train", "validation" or "test".
        k: draws for a bound that is random; an exact density ignores it. State it beside the figure.
        batch: events at a time.
        seed: of those draws; the caller's random state is left as it was.

    Returns:
        the figure in the data's unit; for a model that states no likelihood, value None, kind NONE and the reason.
    """
    events: Split = getattr(data, split)
    started = time.perf_counter()
    try:
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            figures = data.report(_bounds(model, events, k, batch)).double()
    except NotImplementedError as reason:
        return Measured(None, Likelihood.NONE, None, data.unit, {"reason": str(reason), "n": len(events)})
    details = {"k": k, "n": len(events), "split": split, "seconds": time.perf_counter() - started}
    stderr = (figures.std() / len(events) ** 0.5).item() if len(events) > 1 else 0.0
    return Measured(figures.mean().item(), model.likelihood, stderr, data.unit, details)


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
