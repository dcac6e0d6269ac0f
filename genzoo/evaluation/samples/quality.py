"""Sample quality: distances of samples to unseen data, precision, recall, coverage and copies.

n samples are compared with n *test* events, and so are n training events: these give the *floor*,
the value of a perfect imitation of the training data at this n. In a comparison with training data
the best possible model would be one that copies; here such a model gets the floor, and the column
"copies" reveals it. Validation events have chosen the weights of a model, so they are not used,
unless there are too few test events.

The spaces in which they are compared, and the distances, are described in
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

# samples, by the budget of the run
MOST = {"quick": 400, "full": 2000, "cpu": 2000, "gpu": 10_000}
LEAST = 20  # events for a comparison: neighbours are searched for among half of them
ENOUGH = 300  # test events; where there are fewer, validation events join them
UNTRAINED = 1000  # held-out events at least, if there are as many, to compare copies with
SAMPLES = "quality.npz"  # in a run's folder
COSTLY = 512  # features; with more, a Fréchet distance takes half a minute and has no error

Entry = dict[str, Any]


# -------------------------------------------------------------------------- samples and real events


def unseen(data: DataSet) -> tuple[Split, str]:
    """The events that samples are compared with, and a description of them.

    They are the test split, for validation events have chosen weights; both splits, where there are
    few test events.
    """
    if len(data.test) >= ENOUGH:
        return data.test, "test events"
    return data.held_out, "held-out events (validation and test)"


@dataclass(frozen=True, eq=False)
class Reference:
    """The real events that samples of one data set are compared with, computed once.

    Args:
        space: the space in which both are compared.
        of_copies: the features in which copies are searched for.
        n: number of events, and of samples.
        about: description of the events, for the table.
        conditions: of the events, ``(n, ...)``; None for unconditional data.
        events: their features, ``(n, d)``.
        train: features ``of_copies`` of the training split, ``(m, d')``.
        apart: distances of held-out events, validation included, to the nearest training event.
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

    Both are chosen by a fixed seed, so that all models are compared with the same.
    """
    events, _ = unseen(data)
    n = min(most, len(events), len(data.train))
    return _reference(data, n)


@lru_cache(maxsize=2)  # data sets are compared by identity
def _reference(data: DataSet, n: int) -> Reference:
    space = space_of(data)
    pool, called = unseen(data)
    chosen = _some_of(pool, n)
    twins = _some_of(data.train, n)
    events = space.features(pool.x[chosen])

    of_copies = features_of_copies(data, space)
    train = of_copies(data.train.x)
    rows = _some_of(data.held_out, max(n, UNTRAINED))
    untrained = of_copies(data.held_out.x[rows])
    apart, _ = neighbours.nearest(untrained, train)

    floor = {}
    if n >= LEAST:
        among_themselves, _ = neighbours.nearest(train[twins], train, own=twins)
        floor = _figures(space, events, space.features(data.train.x[twins]))
        floor |= neighbours.copying(among_themselves, apart)
    about = f"{n:,} of {len(pool):,} {called}"
    conditions = None if pool.c is None else pool.c[chosen]
    return Reference(space, of_copies, n, about, conditions, events, train, apart, floor)


def _some_of(events: Split | Tensor, n: int) -> Tensor:
    """Indices of ``n`` of the events, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(events), generator=generator)
    return order[:n]


def _figures(space: FeatureSpace, events: Tensor, samples: Tensor) -> dict[str, Figure]:
    """Distances and neighbours of two sets of features, with errors; the same at every call."""

    def distances_of(reference: Tensor, samples: Tensor) -> dict[str, float]:
        return {name: distance(reference, samples) for name, distance in space.distances.items()}

    halves = distances.HALVES if events.shape[1] <= COSTLY else 0
    with drawing_from(0, events.device):
        figures = distances.with_errors(distances_of, events, samples, halves)
        support = distances.with_errors(neighbours.support, events, samples)
    for name, has in space.shares.items():
        figures[name] = share(has(samples))
    for name, figure in support.items():
        figures[name] = _as_share(name, figure, len(samples))
    return figures


def _as_share(name: str, figure: Figure, n: int) -> Figure:
    """The figure with the interval of a share, unless it is density, which may exceed 1."""
    if name == "density" or figure.value is None:
        return figure
    return share_with(figure.value, figure.stderr, n)


# -------------------------------------------------------------------------------------- the entry


def score_samples(x: Tensor, data: DataSet, most: int = MOST["full"]) -> Entry:
    """Quality of samples: the entry ``quality`` of a row.

    As many samples as events are compared, and so are those of the floor: fewer samples than
    ``most`` with as many events; of more samples than there are events, the first ones. The samples
    must be independent of each other, or the errors are too small.

    Args:
        x: samples, ``(n, *event_shape)``.
        data: the data set that they imitate.
        most: largest number of events to compare with.

    Returns:
        ``space``, ``about``; ``n`` and ``reference``; ``figures`` and ``floor``, both by name as
        `Figure.to_json` gives them: distances and shares of the space, then ``precision``,
        ``recall``, ``density``, ``coverage``, ``copies`` and ``nearer``
        (`genzoo.evaluation.samples.neighbours`). Where samples are not finite, or events are too
        few, there are no figures, and ``reason`` says so.
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
        reason = f"{against.n} samples or unseen events are too few to judge by: {LEAST} are needed"
        return entry | {"reason": reason}
    finite = x.flatten(1).isfinite().all(1)
    if not finite.all():
        not_finite = int((~finite).sum())
        return entry | {"reason": f"{not_finite} of {len(x)} samples are not finite"}
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
    """As many samples as there are events to compare them with, the same ones for the same seed.

    Samples of a conditional model have the conditions of those events.

    Args:
        model: the model.
        data: the data set.
        most: largest number of samples.
        progress: called with (samples, all, a few words) after each batch.
        seed: of the random numbers.

    Returns:
        samples, ``(n, *event_shape)``.
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
    """Quality of a model's samples: the entry ``quality`` of a row.

    Args:
        model: the model.
        data: the data set.
        most: largest number of samples.
        folder: where the samples are stored as ``quality.npz``; None: they are not.
        progress: as of `samples_of`.
        seed: of the random numbers.

    Returns:
        as of `score_samples`, with the ``seconds`` that it took.
    """
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
    """The samples that are nearest to training events, nearest first, and these events.

    Args:
        x: samples, ``(m, *event_shape)``.
        data: the data set.
        n: number of pairs.
        most: as of `reference`.

    Returns:
        samples and training events, ``(n, *event_shape)`` each.
    """
    against = reference(data, most)
    distance, rows = neighbours.nearest(against.of_copies(x), against.train)
    first = distance.argsort()[:n]
    return x[first], data.train.x[rows[first]]


def extrapolated(x: Tensor, data: DataSet, most: int = MOST["full"]) -> dict[str, Figure]:
    """Fréchet distances at n = infinity of samples and of the floor, with errors.

    Args:
        x: samples, ``(n, *event_shape)``.
        data: the data set.
        most: as of `reference`.

    Returns:
        ``{"value", "floor"}``; {} where the space has no Fréchet distance.
    """
    against = reference(data, most)
    if distances.frechet not in against.space.distances.values():
        return {}

    def at_infinity(reference: Tensor, samples: Tensor) -> dict[str, float]:
        return {"": distances.extrapolated(reference, samples)}

    rows = _some_of(data.train, against.n)
    twins = against.space.features(data.train.x[rows])
    sets = {"value": against.space.features(x), "floor": twins}
    halves = distances.HALVES // 2 if twins.shape[1] <= COSTLY else 0
    with drawing_from(0, x.device):
        return {
            name: distances.with_errors(at_infinity, against.events, features, halves)[""]
            for name, features in sets.items()
        }
