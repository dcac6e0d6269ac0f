"""Sample quality: how near samples come to unseen data, whether they look real, cover it, or copy.

n samples are held against n *test* events, and so are n training events: they are the *floor*, what
a perfect imitation of the training data would get at this n. Held against training data instead,
the best possible model would be a copier; here a copier gets the floor, and the column "copies"
gives it away. Validation events have chosen the weights of a model, so they take no part, unless
the test events are too few to judge by.

Where they are compared, and by which distances, is told in
`genzoo.evaluation.samples.feature_spaces`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.data.dataset import DataSet, FeatureSpace, Split
from genzoo.evaluation.figures import Figure, share, share_with
from genzoo.evaluation.samples import distances, neighbours
from genzoo.evaluation.samples.feature_spaces import Features, features_of_copies, space_of
from genzoo.evaluation.samples.sampling import draw
from genzoo.files import whole
from genzoo.model import Measurable, drawing_from
from genzoo.progress import Progress

MOST = {"quick": 400, "full": 2000}  # samples, by the budget of the run
LEAST = 20  # events to judge by: neighbours are sought among half of them
ENOUGH = 300  # test events; where there are fewer, validation events join them
TOLD = 1000  # events at least, if there are any, by which copies are told
SAMPLES = "quality.npz"  # in a run's folder
COSTLY = 512  # features; with more, a Fréchet distance takes half a minute and gets no error

Entry = dict[str, Any]


# --------------------------------------------------------------------------- what to compare with


def unseen(data: DataSet) -> tuple[Split, str]:
    """The events that samples are held against, and what these are called.

    The test split, for validation events have chosen weights; both, where test events are few.
    """
    if len(data.test) >= ENOUGH:
        return data.test, "test events"
    return data.held_out, "held-out events (validation and test)"


@dataclass(frozen=True, eq=False)
class Reference:
    """What samples of one data set are held against: all about the data alone, computed once.

    Args:
        space: where both are compared.
        of_copies: the features by which copies are told.
        n: how many of each.
        about: what the events are, for the table.
        conditions: of the events, ``(n, ...)``; None for unconditional data.
        events: their features, ``(n, d)``.
        train: the training split, in the features by which copies are told, ``(m, d')``.
        apart: distances of events that nothing was trained on, validation included, to the nearest
            training event.
        floor: figures of n training events in place of samples.
    """

    space: FeatureSpace
    of_copies: Features
    n: int
    about: str
    conditions: Tensor | None
    events: Tensor
    train: Tensor
    apart: Tensor
    floor: dict[str, Figure]


def reference(data: DataSet, most: int = MOST["full"]) -> Reference:
    """At most ``most`` unseen events, and as many training events for the floor.

    Both are drawn by a fixed seed, so that all models are held against the same.
    """
    return _reference(data, min(most, len(unseen(data)[0]), len(data.train)))


@lru_cache(maxsize=2)  # of data sets, which are compared by identity
def _reference(data: DataSet, n: int) -> Reference:
    space = space_of(data)
    pool, called = unseen(data)
    chosen, twins = _some_of(pool, n), _some_of(data.train, n)
    events = space.features(pool.x[chosen])

    of_copies = features_of_copies(data, space)
    train = of_copies(data.train.x)
    untrained = data.held_out.x[_some_of(data.held_out, max(n, TOLD))]
    apart, _ = neighbours.nearest(of_copies(untrained), train)

    floor = {}
    if n >= LEAST:
        among_themselves, _ = neighbours.nearest(train[twins], train, own=twins)
        floor = _figures(space, events, space.features(data.train.x[twins]))
        floor |= neighbours.copying(among_themselves, apart)
    about = f"{n:,} of {len(pool):,} {called}"
    conditions = None if pool.c is None else pool.c[chosen]
    return Reference(space, of_copies, n, about, conditions, events, train, apart, floor)


def _some_of(events: Split | Tensor, n: int) -> Tensor:
    """The places of ``n`` of the events, always the same ones."""
    return torch.randperm(len(events), generator=torch.Generator().manual_seed(0))[:n]


def _figures(space: FeatureSpace, events: Tensor, samples: Tensor) -> dict[str, Figure]:
    """Distances and neighbours of two sets of features, with errors; repeatable."""

    def distances_of(reference: Tensor, samples: Tensor) -> dict[str, float]:
        return {name: distance(reference, samples) for name, distance in space.distances.items()}

    halves = distances.HALVES if events.shape[1] <= COSTLY else 0
    with drawing_from(0, events.device):
        found = distances.with_errors(distances_of, events, samples, halves)
        near = distances.with_errors(neighbours.support, events, samples)
    found |= {name: share(has(samples)) for name, has in space.shares.items()}
    return found | {name: _as_share(name, figure, len(samples)) for name, figure in near.items()}


def _as_share(name: str, figure: Figure, n: int) -> Figure:
    """With the interval of a share; density, which may exceed 1, is none."""
    if name == "density" or figure.value is None:
        return figure
    return share_with(figure.value, figure.stderr, n)


# -------------------------------------------------------------------------------------- the entry


def score_samples(x: Tensor, data: DataSet, most: int = MOST["full"]) -> Entry:
    """What is to be said of samples of ``data``: the entry ``quality`` of a row.

    Figures are held against a floor of the same n: of fewer samples than ``most``, fewer events are
    compared with; of more samples than there are events, the first. The samples must be independent
    of each other, or the errors are too small.

    Args:
        x: samples, ``(n, *event_shape)``.
        data: what they are samples of.
        most: events to compare with.

    Returns:
        ``space``, ``about``; ``n`` and ``reference``; ``figures`` and ``floor``, both name -> what
        `Figure.to_json` gives: distances and shares of the space, then ``precision``, ``recall``,
        ``density``, ``coverage``, ``copies`` and ``nearer``
        (`genzoo.evaluation.samples.neighbours`). Where
        samples are no finite numbers, or events are too few, there are no figures, and ``reason``
        says so.
    """
    against = reference(data, min(most, len(x)))
    x = x[: against.n]
    entry = {
        "space": against.space.name,
        "about": against.space.about,
        "n": len(x),
        "reference": against.about,
        "figures": {},
        "floor": _plain(against.floor),
    }
    if against.n < LEAST:
        told = f"{against.n} samples or unseen events are too few to judge by: {LEAST} are needed"
        return entry | {"reason": told}
    if astray := int((~x.flatten(1).isfinite().all(1)).sum()):
        return entry | {"reason": f"{astray} of {len(x)} samples are not finite"}
    figures = _figures(against.space, against.events, against.space.features(x))
    nearest, _ = neighbours.nearest(against.of_copies(x), against.train)
    figures |= neighbours.copying(nearest, against.apart)
    return entry | {"figures": _plain(figures)}


def _plain(figures: Mapping[str, Figure]) -> dict[str, Entry]:
    return {name: figure.to_json() for name, figure in figures.items()}


def samples_of(
    model: Measurable,
    data: DataSet,
    most: int = MOST["full"],
    progress: Progress | None = None,
    seed: int = 0,
) -> Tensor:
    """As many samples as there are events to hold them against, always the same ones for a seed.

    A conditional model is asked for the conditions of those events, so both sets have the same.
    """
    against = reference(data, most)
    c = against.conditions if model.condition else None
    return draw(model, against.n, c, seed, progress=progress)


def measure(
    model: Measurable,
    data: DataSet,
    most: int = MOST["full"],
    folder: Path | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Entry:
    """The entry ``quality`` of a model; its samples are left in ``folder/quality.npz``."""
    started = time.perf_counter()
    x = samples_of(model, data, most, progress, seed)
    entry = score_samples(x, data, most)
    if folder:
        with whole(folder / SAMPLES) as draft:
            np.savez_compressed(draft, x=x.numpy())
    return entry | {"seconds": round(time.perf_counter() - started, 1)}


def closest(
    x: Tensor, data: DataSet, n: int = 10, most: int = MOST["full"]
) -> tuple[Tensor, Tensor]:
    """The ``n`` samples of ``x`` nearest to training events, nearest first, and these events."""
    against = reference(data, most)
    apart, which = neighbours.nearest(against.of_copies(x), against.train)
    first = apart.argsort()[:n]
    return x[first], data.train.x[which[first]]


def extrapolated(x: Tensor, data: DataSet, most: int = MOST["full"]) -> dict[str, Figure]:
    """Fréchet distances at n = infinity of samples ``x`` and of the floor, with errors.

    Returns:
        ``{"value", "floor"}``; {} where the space has no Fréchet distance.
    """
    against = reference(data, most)
    if distances.frechet not in against.space.distances.values():
        return {}

    def at_infinity(reference: Tensor, samples: Tensor) -> dict[str, float]:
        return {"": distances.extrapolated(reference, samples)}

    twins = against.space.features(data.train.x[_some_of(data.train, against.n)])
    sets = {"value": against.space.features(x), "floor": twins}
    halves = distances.HALVES // 2 if twins.shape[1] <= COSTLY else 0
    with drawing_from(0, x.device):
        return {
            name: distances.with_errors(at_infinity, against.events, features, halves)[""]
            for name, features in sets.items()
        }
