"""The content of a model's representation: linear probes, round trips, and steps of the latent.

A probe is linear on purpose. A network that is deep enough can predict nearly everything from the
pixels; if a *linear* map can, the representation has made it explicit (Alain & Bengio 2017,
*Understanding intermediate layers using linear classifier probes*). Probes are fitted on the
training split, scored on the test split, and compared with the same probe of raw pixels, without
which the figure means nothing.

Each function returns a plain dictionary, an entry of a row of the scorecard; figures are as
`Figure.to_json` gives them. Their errors are those of the test events, for a fixed model and a
fixed probe.
"""

from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.data.dataset import DataSet, Split
from genzoo.errors import InputError, nearest
from genzoo.evaluation.batches import batched
from genzoo.evaluation.figures import Figure, mean, root, share
from genzoo.evaluation.pca import principal_axes
from genzoo.model import GenerativeModel, Latent, device_of

SOURCES = ("features", "latent", "pixels")  # the inputs that a probe can have

Entry = dict[str, Any]
Pairs = tuple[np.ndarray, np.ndarray]  # inputs and targets of a probe


def representation(model: GenerativeModel, data: DataSet, most: int = 1000, seed: int = 0) -> Entry:
    """The representation of a data set in a model: the row's entry ``representation``.

    A latent that is found by optimisation (`Latent.OPTIMISED`) is not probed: a thousand searches
    take an hour.

    Args:
        model: the model whose latent and features are probed.
        data: the data set whose labels or descriptions the probes predict.
        most: largest number of events of each split.
        seed: of random numbers.

    Returns:
        ``latent`` (its kind), ``round_trip``, and the probes ``features``, ``encoded`` (of the
        latent) and ``pixels``, each as `linear_probe` gives it; None where one cannot be measured.
    """
    entry: Entry = {
        "latent": str(model.latent),
        "round_trip": None,
        "features": None,
        "encoded": None,
        "pixels": None,
    }
    if model.latent != Latent.NONE:
        entry["round_trip"] = round_trip(model, data, seed=seed)
    if not readable(data, most):
        return entry

    with suppress(NotImplementedError):  # a family may have no features
        entry["features"] = linear_probe(model, data, "features", most, seed)
    if encodes(model):
        entry["encoded"] = linear_probe(model, data, "latent", most, seed)
    entry["pixels"] = linear_probe(model, data, "pixels", most, seed)
    return entry


def encodes(model: GenerativeModel) -> bool:
    """True if the latent is computed from an event, and not found by optimisation."""
    return model.latent in (Latent.EXACT, Latent.APPROXIMATE)


# ----------------------------------------------------------------------------------- the round trip


def round_trip(model: GenerativeModel, data: DataSet, n: int = 64, seed: int = 0) -> Entry:
    """Error of `GenerativeModel.reconstruct` on test events.

    Args:
        model: a model with a latent.
        data: the data set.
        n: number of test events.
        seed: of random numbers.

    Returns:
        a figure, and ``kind``, the latent's. The figure is the root of the mean squared error of a
        feature, as a share of the data's own spread around its mean: 0 is a perfect round trip, and
        1 the error of the mean event.

    Raises:
        InputError: the family has no latent.
    """
    if model.latent == Latent.NONE:
        raise InputError(
            f"{type(model).__name__} has no latent, so there is no round trip to measure."
        )
    x = data.test.x[:n]
    back = through(model.reconstruct, x, model, seed)
    from_mean = data.train.x - data.train.x.mean(0)
    spread = from_mean.square().mean().item()
    squared_error = (back - x).square().flatten(1).mean(1)
    figure = root(mean(squared_error / spread))
    return figure.to_json() | {"kind": str(model.latent)}


# --------------------------------------------------------------------------------------- the probes


def linear_probe(
    model: GenerativeModel, data: DataSet, source: str = "features", most: int = 5000, seed: int = 0
) -> Entry:
    """Scores of a linear probe that predicts classes or numbers from a model's representation.

    Classes are predicted by logistic regression, whose penalty is chosen on the validation split;
    numbers by ridge regression, whose penalty is chosen by leave-one-out error on the training
    split. Features are standardised first.

    Args:
        model: the model.
        data: the data set whose labels or descriptions are predicted.
        source: the probe's input: "features" (`GenerativeModel.features`), "latent"
            (`GenerativeModel.encode`) or "pixels" (the event itself).
        most: largest number of events of each split.
        seed: of random numbers.

    Returns:
        ``{accuracy, width}`` for classes, ``{r2: {name: figure}, width}`` for those numbers that
        vary over the test events; ``width`` is the number of features that the probe takes.

    Raises:
        InputError: an unknown source, or data without classes and descriptions that differ from
            event to event.
        NotImplementedError: the family does not have this source.
    """
    if source not in SOURCES:
        raise InputError(f"A probe cannot read {source!r}. {nearest(source, SOURCES)}")
    if not readable(data, most):
        raise InputError(
            f"{data.name} has no labels or descriptions that differ: there is nothing for a probe "
            "to read."
        )
    sources = {"features": model.features, "latent": model.encode, "pixels": lambda x: x}

    def read(split: Split) -> Pairs:
        events = split.some(most)
        z = flat(sources[source], events.x, model, seed)
        return z, described(events)

    train = read(data.train)
    validation = read(data.validation)
    test = read(data.test)
    z, c = test
    width = z.shape[1]
    if data.classes:
        return {"accuracy": _classify(train, validation, test), "width": width}
    predicted = _ridge(*train).predict(z)
    return {"r2": _explained_by_name(predicted, c, data), "width": width}


def readable(data: DataSet, most: int) -> bool:
    """True if a probe has something to predict: training events differ in label or description."""
    c = data.train.some(most).c
    if c is None or not data.condition:
        return False
    return bool((c != c[:1]).any())


def _classify(train: Pairs, validation: Pairs, test: Pairs) -> Entry:
    """The accuracy of a logistic regression on test events.

    Of four penalties the one with the best accuracy on the validation split is used.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probes = []
    for strength in (1e-3, 1e-2, 1e-1, 1.0):  # of which the penalty is the inverse
        regression = LogisticRegression(C=strength, max_iter=5000)
        probe = make_pipeline(StandardScaler(), regression)
        probes.append(probe.fit(*train))
    best = max(probes, key=lambda probe: probe.score(*validation))
    z, labels = test
    right = best.predict(z) == labels
    return share(right).to_json()


def _ridge(z: np.ndarray, c: np.ndarray):
    """A fitted ridge regression of ``c`` (n, k) on ``z`` (n, d), which is standardised first."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = RidgeCV(np.logspace(-2, 5, 15))
    probe = make_pipeline(StandardScaler(), regression)
    return probe.fit(z, c)


def best_pair(model: GenerativeModel, data: DataSet, most: int = 5000, seed: int = 0) -> Entry:
    """The two dimensions of the latent that describe an event best, by least squares.

    The pair is chosen on the training split by the mean R^2 over the numbers that describe an
    event, and scored on the test split.

    Args:
        model: a model with a latent.
        data: the data set, with vectors that describe its events.
        most: largest number of events of each split.
        seed: of random numbers.

    Returns:
        ``{dimensions: [i, j], r2: {name: figure}}``.
    """
    train = data.train.some(most)
    test = data.test.some(most)
    z = flat(model.encode, train.x, model, seed)
    c = described(train)
    c_test = described(test)
    if c.ndim != 2 or z.shape[1] < 2:
        raise InputError(
            "Pairs of dimensions need a latent of at least two and vectors that describe "
            f"{data.name}."
        )
    pairs = combinations(range(z.shape[1]), 2)
    best = max(pairs, key=lambda pair: _explained(z[:, pair], c))
    z_test = flat(model.encode, test.x, model, seed)
    predicted = _ridge(z[:, best], c).predict(z_test[:, best])
    return {"dimensions": list(best), "r2": _explained_by_name(predicted, c_test, data)}


def _explained(z: np.ndarray, c: np.ndarray) -> float:
    """Mean R^2 of the least-squares prediction of ``c`` (n, k) by ``z`` (n, d), on these rows."""
    z = z - z.mean(0)
    middle = c.mean(0)
    weights, *_ = np.linalg.lstsq(z, c - middle, rcond=None)
    predicted = z @ weights + middle
    return float(np.nanmean(r_squared(predicted, c)))


def r_squared(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """1 - (mean squared error / variance) of each column of ``true`` (n, k).

    1 is perfect, 0 not better than the mean, and NaN that of a column that does not vary, up to
    rounding.
    """
    mean_squared_error = np.square(predicted - true).mean(0)
    return 1 - mean_squared_error / _variance(true)


def r_squared_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Standard error of `r_squared` over events, for each column.

    It is that of a ratio of two means, by the delta method. With e the squared error and d the
    squared distance from the mean, an event moves R^2 by (u d - e) / mean(d), where
    u = mean(e) / mean(d) is the unexplained share.
    """
    variance = _variance(true)
    errors = np.square(predicted - true)
    distances = np.square(true - true.mean(0))
    unexplained = errors.mean(0) / variance
    moved = (unexplained * distances - errors) / variance
    return moved.std(0) / len(true) ** 0.5


def _variance(true: np.ndarray) -> np.ndarray:
    """The variance of each column; NaN where a column does not vary, up to rounding."""
    variance = true.var(0)
    rounding = 1e-12 * np.square(true).mean(0)
    return np.where(variance > rounding, variance, np.nan)


# ----------------------------------------------------------------------- a step with a known effect


def latent_step(z: np.ndarray, c: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The least unusual step of the latent after which a linear probe predicts ``change``.

    With W the probe's weights and S the covariance of the latents, it is the step d with W d =
    change of least :math:`d^T S^{-1} d`, that is :math:`S W^T (W S W^T)^{-1}` change. Weights
    themselves would be the wrong direction: they serve to *predict* a quantity, and are tilted away
    from everything that varies with it (Haufe et al. 2014, *On the interpretation of weight vectors
    of linear models*).

    Args:
        z: latents, ``(n, d)``.
        c: numbers that describe their events, ``(n, k)``.
        change: of these numbers, that the step should make, ``(k,)``, in the units of ``c``.

    Returns:
        the step, ``(d,)``.
    """
    probe = _ridge(z, c)
    (_, scaler), (_, regression) = probe.steps
    weights = np.atleast_2d(regression.coef_) / scaler.scale_  # W, (k, d)
    covariance = np.atleast_2d(np.cov(z, rowvar=False))  # S, (d, d)
    towards = covariance @ weights.T
    return towards @ np.linalg.solve(weights @ towards, change)


# ------------------------------------------------------------------------------------------ the map


def latent_map(
    model: GenerativeModel, data: DataSet, n: int = 1000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Latents of test events, projected on the plane in which they vary most.

    Args:
        model: a model with a latent.
        data: the data set.
        n: largest number of events.
        seed: of random numbers.

    Returns:
        positions ``(n, 2)``, the second coordinate 0 where there is one direction only, and labels
        ``(n,)`` or descriptions ``(n, k)``.
    """
    test = data.test.some(n)
    z = flat(model.encode, test.x, model, seed)
    z = z - z.mean(0)
    axes = principal_axes(torch.from_numpy(z), 2).numpy()
    positions = z @ axes.T
    missing = 2 - len(axes)  # a latent of one dimension has one direction
    positions = np.pad(positions, ((0, 0), (0, missing)))
    return positions, described(test)


# ------------------------------------------------------------------------------------------ helpers


def through(
    function: Callable[[Tensor], Tensor], x: Tensor, model: GenerativeModel, seed: int = 0
) -> Tensor:
    """`batched` on the model's device, with a seed of its own.

    Args:
        function: of a batch of events, a method of the model.
        x: events, ``(n, *event_shape)``.
        model: the model.
        seed: of random numbers.
    """
    return batched(function, x, device=device_of(model), seed=seed)


def flat(
    function: Callable[[Tensor], Tensor], x: Tensor, model: GenerativeModel, seed: int = 0
) -> np.ndarray:
    """`through`, with rows flattened: ``(n, width)`` float64.

    Args:
        function: as of `through`.
        x: likewise.
        model: likewise.
        seed: likewise.
    """
    return through(function, x, model, seed).flatten(1).double().numpy()


def described(split: Split) -> np.ndarray:
    """Labels ``(n,)`` or descriptions ``(n, k)`` of a split's events."""
    if split.c is None:
        raise InputError("These events have no labels or descriptions that a probe could read.")
    return split.c.numpy()


def _explained_by_name(predicted: np.ndarray, true: np.ndarray, data: DataSet) -> dict[str, Entry]:
    """R^2 of each column of ``true`` (n, k) that varies, by its name."""
    n, columns = true.shape
    names = data.features or tuple(f"c{i}" for i in range(columns))
    explained = r_squared(predicted, true)
    errors = r_squared_error(predicted, true)
    figures = {}
    for name, value, error in zip(names, explained, errors, strict=True):
        if not np.isnan(value):
            figures[name] = Figure(float(value), float(error), n=n).to_json()
    return figures
