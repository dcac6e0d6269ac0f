"""Sample quality: how near samples come to held-out data, whether they look real, cover it, or copy what was trained on.

n samples are held against n *held-out* events (validation and test, of which none was trained on), and so are n training events:
they are the *floor*, what a perfect imitation of the training data would get at this n. Held against training data instead, the
best possible model would be a copier; here a copier gets the floor, and the column "copies" gives it away.

Where they are compared, and by which distances, is told in `genzoo.evaluation.spaces`.
"""

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.data.dataset import DataSet
from genzoo.evaluation import averages, distances, neighbours
from genzoo.evaluation.drawing import Samples, draw
from genzoo.evaluation.spaces import Space, space_of
from genzoo.progress import Report
from genzoo.store import whole

MOST = {"quick": 400, "full": 2000}  # samples, by the budget of the run: an energy model takes a minute for a thousand
LEAST = 20  # events to judge by: neighbours are sought among half of them
SAMPLES = "quality.npz"  # in a run's folder
COSTLY = 512  # features; with more, a Fréchet distance takes half a minute, and is not repeated for an error

Entry = dict[str, Any]


# --------------------------------------------------------------------------------------------- what to compare with


@dataclass(frozen=True, eq=False)
class Reference:
    """What samples of one data set are held against: everything about the data alone, computed once.

    ``events`` are the features ``(n, d)`` of held-out events, with their ``conditions``; ``train`` those of the training split;
    ``nearest`` is the distance of each held-out event to it, ``(n,)``; ``floor`` holds the figures of n training events.
    """

    space: Space
    n: int
    about: str
    conditions: Tensor | None
    events: Tensor
    train: Tensor
    nearest: Tensor
    floor: distances.Figures


def reference(data: DataSet, most: int = MOST["full"]) -> Reference:
    """At most ``most`` held-out events of ``data``, and as many training events for the floor, both drawn by a fixed seed."""
    return _reference(data, min(most, len(data.validation) + len(data.test), len(data.train)))


@lru_cache(maxsize=2)  # of data sets, which are compared by identity
def _reference(data: DataSet, n: int) -> Reference:
    space = space_of(data)
    held_out = data.held_out
    x, c = held_out.x, held_out.c
    rows, twins = (torch.randperm(m, generator=torch.Generator().manual_seed(0))[:n] for m in (len(x), len(data.train)))
    events, train = space.features(x[rows]), space.features(data.train.x)
    nearest, _ = neighbours.nearest(events, train)
    floor = _figures(space, events, train[twins]) | _copying(nearest, nearest) if n >= LEAST else {}
    about = f"{n:,} of {len(x):,} held-out events (validation and test)"
    return Reference(space, n, about, c if c is None else c[rows], events, train, nearest, floor)


def _figures(space: Space, events: Tensor, samples: Tensor) -> distances.Figures:
    """Distances and neighbours of two sets of features, with errors; repeatable."""

    def statistic(reference: Tensor, samples: Tensor) -> dict[str, float]:
        found = {name: distance(reference, samples) for name, distance in space.distances.items()}
        return found | neighbours.support(reference, samples)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        halves = distances.HALVES if events.shape[1] <= COSTLY else 0
        return distances.with_errors(statistic, events, samples, halves)


def _copying(samples: Tensor, held_out: Tensor) -> distances.Figures:
    """Shares, with the standard error of a share."""
    found = neighbours.copying(samples, held_out)
    return {name: averages.share_of(p, len(samples)) for name, p in found.items()}


# ---------------------------------------------------------------------------------------------------------- the entry


def judge(x: Tensor, data: DataSet, most: int = MOST["full"]) -> Entry:
    """What is to be said of samples ``x`` (n, *event_shape) of ``data``: the entry ``quality`` of a row.

    ``space``, ``about``; ``n`` and ``reference``; ``figures`` and ``floor``, both name -> {value, stderr}: the distances, then
    ``precision``, ``recall``, ``density``, ``coverage``, ``copies`` and ``nearer`` (see `genzoo.evaluation.neighbours`). Where
    samples are no finite numbers, or events are too few, there are no figures, and ``reason`` says so.

    Figures are held against a floor of the same n: of fewer samples than ``most``, fewer events are compared with; of more
    samples than there are events, the first.
    """
    against = reference(data, min(most, len(x)))
    x = x[: against.n]
    entry = {"space": against.space.name, "about": against.space.about, "n": len(x), "reference": against.about,
             "figures": {}, "floor": against.floor}  # fmt: skip
    if against.n < LEAST:
        return entry | {"reason": f"{against.n} samples or held-out events are too few to judge by: {LEAST} are needed"}
    if astray := int((~x.flatten(1).isfinite().all(1)).sum()):
        return entry | {"reason": f"{astray} of {len(x)} samples are not finite"}
    features = against.space.features(x)
    nearest, _ = neighbours.nearest(features, against.train)
    return entry | {"figures": _figures(against.space, against.events, features) | _copying(nearest, against.nearest)}


def samples_of(model: Samples, data: DataSet, most: int = MOST["full"], progress: Report | None = None) -> Tensor:
    """As many samples as there are events to hold them against, always the same ones.

    A conditional model is asked for the conditions of those events, so that both sets have the same.
    """
    against = reference(data, most)
    return draw(model, against.n, against.conditions if getattr(model, "condition", 0) else None, progress=progress)


def measure(model: Samples, data: DataSet, budget: str = "full", folder: Path | None = None,
            progress: Report | None = None) -> Entry:  # fmt: skip
    """The entry ``quality`` of a model; its samples are left in ``folder/quality.npz`` for whoever wants to see more."""
    started = time.perf_counter()
    x = samples_of(model, data, MOST[budget], progress)
    entry = judge(x, data, MOST[budget])
    if folder:
        with whole(folder / SAMPLES) as draft:
            np.savez_compressed(draft, x=x.numpy())
    return entry | {"seconds": round(time.perf_counter() - started, 1)}


def closest(x: Tensor, data: DataSet, n: int = 10, most: int = MOST["full"]) -> tuple[Tensor, Tensor]:
    """The ``n`` samples of ``x`` that lie nearest to training events, nearest first, and these events: copies, if any."""
    against = reference(data, most)
    apart, which = neighbours.nearest(against.space.features(x), against.train)
    first = apart.argsort()[:n]
    return x[first], data.train.x[which[first]]


def extrapolated(x: Tensor, data: DataSet, most: int = MOST["full"]) -> dict[str, float]:
    """Fréchet distances of samples ``x`` and of the floor at n = infinity, ``{"value", "floor"}``; {} where there is none."""
    against = reference(data, most)
    if distances.frechet not in against.space.distances.values():
        return {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        both = {"value": against.space.features(x), "floor": distances.some(against.train, against.n)}
        return {name: distances.extrapolated(against.events, features) for name, features in both.items()}
