"""Fidelity of samples to their condition: are they samples of p(x | c), and of all of it?

There are three scores, for a model that has memorised one perfect seven does well in the first.

*Accuracy* is the share of samples that a classifier assigns to the class that was their condition.
The classifier was fitted on training events and has never seen a sample. Where the data set knows a
network that names its classes (`genzoo.data.DataSet.read`), it is that; else it is a support vector
machine on its pixels. It makes errors of its own, so its accuracy on real test events stands beside
every figure: a model with a higher accuracy generates events that are more typical than real ones,
not better.

*Coverage* is the share of unseen real events of the class that have a sample of that class in their
neighbourhood (Naeem et al. 2020, *Reliable fidelity and diversity metrics*). Beside it stands the
value of as many training events of the class. The model was not trained on the unseen events, so
memorising gains nothing.

*CAS* exchanges the roles (Ravuri & Vinyals 2019, *Classification accuracy score*): a classifier
is fitted on samples alone, and tested on real events. It falls where samples are of the wrong class
and where they lack the variety of real events. Beside it stands the value of as many training
events.

For numbers no classifier is needed if the data set has an oracle that measures them in an event
(`genzoo.data.DataSet.read`), as tins and scenes have.

Each function returns plain dictionaries, entries of a row of the scorecard; figures are as
`Figure.to_json` gives them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure, mean, share, share_with
from genzoo.evaluation.samples.distances import HALVES, some
from genzoo.evaluation.samples.neighbours import NEAREST_COVERED, in_balls
from genzoo.evaluation.samples.quality import unseen
from genzoo.evaluation.samples.sampling import draw
from genzoo.families import FAMILIES
from genzoo.model import GenerativeModel, drawing_from

Entry = dict[str, Any]
GUIDANCE = 2.0  # of the scores beside those without guidance
MOST_NUMBERS = 4  # of a condition, whose errors are reported one by one
# events (n, *event_shape) -> labels (n,), -1 for an event that is not finite
Classifier = Callable[[Tensor], np.ndarray]
Pair = tuple[Tensor, Tensor]  # real events of a class, and samples of it


def condition_fidelity(
    model: GenerativeModel, data: DataSet, each: int = 50, seed: int = 0
) -> Entry | None:
    """Fidelity of samples to their condition: the row's entry ``condition``.

    Args:
        model: the model to sample from.
        data: the data set that it was trained on.
        each: number of samples of each class.
        seed: of their random numbers.

    Returns:
        `class_accuracy`, and ``guided``: its scores under a guidance of `GUIDANCE`, None if the
        model cannot be guided; or `condition_errors`, where the data set can measure the numbers of
        a condition in an event; None where neither can be measured.
    """
    if not model.condition:
        return None
    if data.classes:
        if len(known_classes(data)) < 2:
            return None
        return _of_classes(model, data, each, seed)
    if data.read is None:
        return None
    return condition_errors(model, data, seed=seed)


# ----------------------------------------------------------------------------------- the classifier


def fit_classifier(data: DataSet, most: int = 10_000) -> Classifier:
    """A classifier of ``data``, independent of any generative model.

    It is the data's own (`DataSet.read`), or is fitted on at most ``most`` events of the training
    split and on nothing else.

    Raises:
        InputError: the data has no classes, or events of one class only.
    """
    if data.train.c is None or len(known_classes(data)) < 2:
        raise InputError(f"{data.name} has no classes that a classifier could tell apart.")
    if data.read is not None:
        return _reading(data.read)
    train = data.train.some(most)
    assert train.c is not None  # as in the whole split
    return _classifier(train.x, train.c)


def _reading(read: Callable[[Tensor], Tensor]) -> Classifier:
    """A data set's own classifier, which need not name what is not finite."""

    def labels(x: Tensor) -> np.ndarray:
        x = x.cpu()
        finite = x.flatten(1).isfinite().all(1)
        return torch.where(finite, read(x.nan_to_num()), -1).numpy()

    return labels


def _classifier(x: Tensor, c: Tensor) -> Classifier:
    """A support vector machine on the pixels of ``x`` (n, *event_shape), of classes ``c`` (n,).

    Its kernel is Gaussian, with scikit-learn's own width (one over the summed variance of the
    pixels).
    """
    from sklearn.svm import SVC

    machine = SVC(C=10.0)
    machine.fit(x.flatten(1).numpy(), c.numpy())

    def labels(x: Tensor) -> np.ndarray:
        x = x.flatten(1).cpu()
        finite = x.isfinite().all(1)
        finite_x = torch.where(finite[:, None], x, 0.0)
        predicted = machine.predict(finite_x.numpy())
        return np.where(finite, predicted, -1)

    return labels


def known_classes(data: DataSet) -> Tensor:
    """The labels of which the training split has events, ``(k,)`` in rising order.

    It is empty where the data has no classes.
    """
    if not data.classes or data.train.c is None:
        return torch.zeros(0, dtype=torch.long)
    return data.train.c.unique()


# ------------------------------------------------------------------------------------------ classes


def _of_classes(model: GenerativeModel, data: DataSet, each: int, seed: int) -> Entry:
    classifier = fit_classifier(data)
    guided = None
    if model.can_be_guided:
        x, c = _samples_of_classes(model, data, each, seed, guidance=GUIDANCE)
        guided = {"guidance": GUIDANCE, **_scores(x, c, data, classifier)}
    entry = class_accuracy(model, data, each, seed, classifier)
    return entry | {"guided": guided}


def class_accuracy(
    model: GenerativeModel,
    data: DataSet,
    each: int = 50,
    seed: int = 0,
    by: Classifier | None = None,
    **options: Any,
) -> Entry:
    """Accuracy, coverage and CAS of samples of every class that the training split has.

    Args:
        model: a conditional model.
        data: the data set that it was trained on.
        each: number of samples of each class.
        seed: of their random numbers.
        by: the classifier; by default `fit_classifier` of the data.
        options: for the model's ``sample``, such as ``guidance=2.0``.

    Returns:
        ``accuracy``, ``per_class`` {class: share}; ``coverage`` and ``coverage_real``, the same of
        training events; ``cas`` and ``cas_real``, likewise; ``unconditional`` {class: share} of
        samples without a condition, by the classifier; ``judge``, the classifier's accuracy on the
        test split.

    Raises:
        InputError: the model is unconditional, or the data has no two classes.
    """
    if not model.condition:
        raise InputError(
            f"This {type(model).__name__} is unconditional: train one with --conditional."
        )
    classifier = by or fit_classifier(data)
    train = data.train
    test = data.test
    assert train.c is not None and test.c is not None  # or there would be no classifier
    x, c = _samples_of_classes(model, data, each, seed, **options)
    labels = c.numpy()
    hits = classifier(x) == labels
    real_x, real_c = _of_every_class(train.x, train.c, each)
    without_condition = classifier(draw(model, len(c), None, seed, **options))
    unconditional = {
        name: share(without_condition == label).to_json() for label, name in enumerate(data.classes)
    }
    on_test_events = classifier(test.x) == test.c.numpy()
    return {
        **_scores(x, c, data, classifier),
        "per_class": _by_class(hits, labels, data.classes),
        "coverage_real": _plain(class_coverage(data, real_x, real_c)),
        "cas_real": _plain(classification_accuracy_score(data, real_x, real_c)),
        "unconditional": unconditional,
        "judge": share(on_test_events).to_json(),
        "each": each,
    }


def _samples_of_classes(
    model: GenerativeModel, data: DataSet, each: int, seed: int, **options: Any
) -> tuple[Tensor, Tensor]:
    """``each`` samples of every class that the training split has, and their labels."""
    c = known_classes(data).repeat_interleave(each)
    return draw(model, len(c), c, seed, **options), c


def _of_every_class(x: Tensor, c: Tensor, each: int) -> tuple[Tensor, Tensor]:
    """The first ``each`` events of every class."""
    rows_of_classes = []
    for label in c.unique():
        rows = (c == label).nonzero().flatten()
        rows_of_classes.append(rows[:each])
    chosen = torch.cat(rows_of_classes)
    return x[chosen], c[chosen]


def _scores(x: Tensor, c: Tensor, data: DataSet, classifier: Classifier) -> Entry:
    """``accuracy``, ``coverage`` and ``cas`` of samples ``x`` whose conditions were ``c`` (n,)."""
    hits = classifier(x) == c.numpy()
    return {
        "accuracy": share(hits).to_json(),
        "coverage": _plain(class_coverage(data, x, c)),
        "cas": _plain(classification_accuracy_score(data, x, c)),
    }


def _plain(figure: Figure | None) -> Entry | None:
    return None if figure is None else figure.to_json()


def classification_accuracy_score(data: DataSet, x: Tensor, c: Tensor) -> Figure | None:
    """Accuracy on test events of a classifier that was fitted on samples alone.

    It grows with n, so compare figures of the same n.

    Args:
        data: the data set that the test events are from.
        x: samples, ``(n, *event_shape)``.
        c: labels that were their conditions, ``(n,)``.

    Returns:
        the accuracy; None where the finite samples are of fewer than two classes.
    """
    finite = x.flatten(1).isfinite().all(1)
    x = x[finite]
    c = c[finite]
    if len(c.unique()) < 2 or data.test.c is None:
        return None
    classifier = _classifier(x, c)
    return share(classifier(data.test.x) == data.test.c.numpy())


def class_coverage(data: DataSet, x: Tensor, c: Tensor, each: int | None = None) -> Figure | None:
    """Share of unseen events in whose neighbourhood a sample of their own class lies.

    The events are unseen (`genzoo.evaluation.samples.quality.unseen`), because among training
    events a model that has memorised them would do better than new data does. A neighbourhood
    reaches as far as the fifth nearest unseen event of the same class, in pixels. The error is that
    of events and samples, by random halves of both of every class, as in `distances.with_errors`.

    Args:
        data: the data set that the events are from.
        x: samples, ``(n, *event_shape)``.
        c: labels that were their conditions, ``(n,)``.
        each: largest number of samples of each class; the figure grows with it, so compare figures
            of the same number. None: all.

    Returns:
        the share; None if no class has two unseen events.
    """
    events, _ = unseen(data)
    pairs = []
    for label in known_classes(data):
        real = events.x[events.c == label][:1000].flatten(1)
        if len(real) > 1:
            pairs.append((real, x[c == label].flatten(1)[:each]))
    if not pairs:
        return None
    with drawing_from(0, x.device):
        shares = []
        for _ in range(HALVES):
            halves = [_halved(real, samples) for real, samples in pairs]
            shares.append(_covered(halves))
    stderr = torch.tensor(shares, dtype=torch.float64).std().item()
    n = sum(len(real) for real, _ in pairs)
    return share_with(_covered(pairs), stderr, n)


def _covered(pairs: Sequence[Pair]) -> float:
    """Share of real events that a sample of their class covers, over the pairs of all classes."""
    covered = []
    for real, samples in pairs:
        k = min(NEAREST_COVERED, len(real) - 1)
        covered.append(in_balls(real, samples, k).any(1))
    return torch.cat(covered).double().mean().item()


def _halved(real: Tensor, samples: Tensor) -> Pair:
    """Random halves of both, of two real events and one sample at least."""
    half_of_real = some(real, max(2, len(real) // 2))
    half_of_samples = some(samples, (len(samples) + 1) // 2)
    return half_of_real, half_of_samples


def _by_class(hits: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Entry]:
    """Share of ``hits`` (n,) among the samples of each class, by its name; of ``labels`` (n,)."""
    shares = {}
    for label in np.unique(labels):
        of_class = hits[labels == label]
        shares[classes[int(label)]] = share(of_class).to_json()
    return shares


# ------------------------------------------------------------------------------------------ numbers


def condition_errors(model: GenerativeModel, data: DataSet, n: int = 200, seed: int = 0) -> Entry:
    """Distance of samples from the numbers that were their conditions, by `DataSet.read`.

    Args:
        model: a conditional model.
        data: a data set with an oracle that measures conditions in events.
        n: number of test conditions to sample for.
        seed: of the samples' random numbers.

    Returns:
        the mean absolute error of each number, by its name and in its unit, or, of more than four
        numbers, of all of them as ``error``; ``exact``, the share of samples on which each number
        is less than half a unit off; ``judge``, that share of real test events.

    Raises:
        InputError: this data has no such oracle.
    """
    if data.read is None or data.classes or data.test.c is None:
        raise InputError(
            f"{data.name} has no numbers that could be read off a sample: use biscuits."
        )
    c = data.test.c[:n]
    samples = draw(model, len(c), c, seed)
    errors = _errors(samples, c, data)
    real_errors = _errors(data.test.x[:n], c, data)
    by_name = dict(zip(data.features, errors.double().unbind(1), strict=True))
    if len(by_name) > MOST_NUMBERS:
        by_name = {"error": errors.double().mean(1)}
    exact = (errors < 0.5).all(1)
    exact_real = (real_errors < 0.5).all(1)
    return {
        **{name: mean(error).to_json() for name, error in by_name.items()},
        "exact": share(exact).to_json(),
        "judge": share(exact_real).to_json(),
    }


def _errors(x: Tensor, c: Tensor, data: DataSet) -> Tensor:
    """Absolute errors of the numbers that events show, given their conditions: ``(n, k)``."""
    assert data.read is not None
    measured = data.read(x)
    if data.in_units is not None:
        measured = data.in_units(measured)
        c = data.in_units(c)
    return (measured - c).abs()


# ----------------------------------------------------------------------------------------- guidance


def guidance_sweep(
    model: GenerativeModel,
    data: DataSet,
    strengths: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0),
    each: int = 30,
    seed: int = 0,
) -> list[Entry]:
    """Accuracy against diversity as guidance grows (Ho & Salimans 2022).

    Args:
        model: a model that can be guided.
        data: the data set that it was trained on.
        strengths: of guidance; 0 ignores the condition, 1 is the model itself.
        each: number of samples of each class.
        seed: of their random numbers.

    Returns:
        for each strength ``{guidance, accuracy, coverage, cas, spread}``: scores as of
        `class_accuracy`, and the mean distance between two samples of one class as a share of that
        between two real events.

    Raises:
        InputError: the family's ``sample`` knows no guidance.
    """
    check_guidance(model)
    classifier = fit_classifier(data)
    real_spread = _spread(data.test.x, data.test.c)  # type: ignore[arg-type]
    rows = []
    for strength in strengths:
        x, c = _samples_of_classes(model, data, each, seed, guidance=strength)
        row = {"guidance": strength, **_scores(x, c, data, classifier)}
        row["spread"] = _spread(x, c) / real_spread
        rows.append(row)
    return rows


def _spread(x: Tensor, c: Tensor) -> float:
    """Mean distance between two events of one class, averaged over the classes that have two."""
    distances = []
    for label in c.unique():
        of_class = x[c == label].flatten(1)
        distances.append(torch.pdist(of_class).mean())
    return torch.stack(distances).nanmean().item()


def check_guidance(model: GenerativeModel) -> None:
    """Raise `InputError` unless samples can be guided, and there is a condition to guide to."""
    if model.can_be_guided:
        return
    if not model.guidable:
        able = ", ".join(family.__name__ for family in FAMILIES if family.guidable)
        raise InputError(
            f"Samples of {type(model).__name__} cannot be guided: those of {able} can."
        )
    if not model.condition:
        raise InputError(f"This {type(model).__name__} is unconditional, so nothing can guide it.")
    raise InputError(
        f"The prior of this {type(model).__name__} cannot be guided: a Gaussian, which is the "
        "default, can."
    )
