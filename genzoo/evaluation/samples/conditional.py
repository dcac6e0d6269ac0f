"""Does a model draw what it was asked for, p(x | c), and all of it?

Three questions, for a model that has learned one perfect seven by heart answers only the first.

*Accuracy* is the share of samples that a classifier takes for the class they were drawn for. It
has never seen a sample: it is a classifier of its own, fitted on the training split. It errs
itself, so its accuracy on real test events is stated beside every figure of its own making: a model
whose figure is higher draws more typical events than real ones are, not better ones.

*Coverage* is the share of unseen real events of the class in whose neighbourhood a sample of that
class lies (Naeem et al. 2020, *Reliable fidelity and diversity metrics*), beside what as many
training events of the class reach: nothing was trained on the events, so that learning by heart
wins nothing.

*CAS* turns the roles round (Ravuri & Vinyals 2019, *Classification accuracy score*): a classifier
is fitted on samples and nothing else, and tested on real events. It falls where samples are of the
wrong class and where they lack what real events have, beside as many training events in their
place.

Numbers need no classifier where the data set has an oracle that reads them off an event
(`genzoo.data.DataSet.read`), as it has of tins and of scenes.

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
GUIDANCE = 2.0  # of the figures beside those of the model as it was learned
MOST_NUMBERS = 4  # of a condition, whose errors are told one by one
# events (n, *event_shape) -> labels (n,), -1 for what is no event at all
Classifier = Callable[[Tensor], np.ndarray]
Pair = tuple[Tensor, Tensor]  # real events of a class, and those that are to cover them


def condition_fidelity(
    model: GenerativeModel, data: DataSet, each: int = 50, seed: int = 0
) -> Entry | None:
    """Whether samples are what was asked for: the row's entry ``condition``.

    Args:
        model: whose samples are looked at.
        data: what it was trained on.
        each: samples of each class.
        seed: of their random numbers.

    Returns:
        `class_accuracy`, and ``guided``: its scores under a guidance of `GUIDANCE`, None if the
        model cannot be guided; or `condition_errors`, where a condition is numbers that the data
        set can read off an event; None where neither can be told.
    """
    if not model.condition:
        return None
    if data.classes:
        return _of_classes(model, data, each, seed) if len(known_classes(data)) > 1 else None
    return condition_errors(model, data, seed=seed) if data.read is not None else None


# ----------------------------------------------------------------------------------- the classifier


def fit_classifier(data: DataSet, most: int = 10_000) -> Classifier:
    """A classifier of ``data`` that no generative model has a part in.

    It is fitted on at most ``most`` events of the training split and on nothing else.

    Raises:
        InputError: the data has no classes, or events of one class only.
    """
    if data.train.c is None or len(known_classes(data)) < 2:
        raise InputError(f"{data.name} has no classes that a classifier could tell apart.")
    train = data.train.some(most)
    assert train.c is not None  # as in the whole split
    return _classifier(train.x, train.c)


def _classifier(x: Tensor, c: Tensor) -> Classifier:
    """A support vector machine on the pixels of ``x`` (n, *event_shape), of classes ``c`` (n,).

    Its kernel is Gaussian, with scikit-learn's own width (one over the summed variance of the
    pixels).
    """
    from sklearn.svm import SVC

    machine = SVC(C=10.0).fit(x.flatten(1).numpy(), c.numpy())

    def labels(x: Tensor) -> np.ndarray:
        x = x.flatten(1).cpu()
        finite = x.isfinite().all(1)
        return np.where(finite, machine.predict(torch.where(finite[:, None], x, 0.0).numpy()), -1)

    return labels


def known_classes(data: DataSet) -> Tensor:
    """The labels that the training split has events of, ``(k,)`` in rising order.

    It is None where the data has no classes.
    """
    return (
        data.train.c.unique()
        if data.classes and data.train.c is not None
        else torch.zeros(0, dtype=torch.long)
    )


# ------------------------------------------------------------------------------------------ classes


def _of_classes(model: GenerativeModel, data: DataSet, each: int, seed: int) -> Entry:
    by = fit_classifier(data)
    guided = None
    if model.can_be_guided:
        samples = _as_asked(model, data, each, seed, guidance=GUIDANCE)
        guided = {"guidance": GUIDANCE, **_scores(*samples, data, by)}
    return {**class_accuracy(model, data, each, seed, by), "guided": guided}


def class_accuracy(
    model: GenerativeModel,
    data: DataSet,
    each: int = 50,
    seed: int = 0,
    by: Classifier | None = None,
    **options: Any,
) -> Entry:
    """How many samples of every class are of that class, and how much of it they cover.

    Every class means every one that training has seen.

    Args:
        by: the classifier; `fit_classifier` of the data by default.
        options: for the model's ``sample``, such as ``guidance=2.0``.

    Returns:
        ``accuracy``, ``per_class`` {class: share}; ``coverage`` and ``coverage_real``, the same of
        training events; ``cas`` and ``cas_real``, likewise; ``unconditional`` {class: share} of
        samples drawn with no condition, as judged; ``judge``, its accuracy on the test split.

    Raises:
        InputError: the model is unconditional, or the data has no two classes.
    """
    if not model.condition:
        raise InputError(
            f"This {type(model).__name__} is unconditional: train one with --conditional."
        )
    by, test = by or fit_classifier(data), data.test
    assert data.train.c is not None and test.c is not None  # or there would be no classifier
    drawn, asked = _as_asked(model, data, each, seed, **options)
    real, known = _of_every_class(data.train.x, data.train.c, each)
    unasked = by(draw(model, len(asked), None, seed, **options))
    return {
        **_scores(drawn, asked, data, by),
        "per_class": _by_class(by(drawn) == asked.numpy(), asked.numpy(), data.classes),
        "coverage_real": _plain(class_coverage(data, real, known)),
        "cas_real": _plain(classification_accuracy_score(data, real, known)),
        "unconditional": {
            name: share(unasked == label).to_json() for label, name in enumerate(data.classes)
        },
        "judge": share(by(test.x) == test.c.numpy()).to_json(),
        "each": each,
    }


def _as_asked(
    model: GenerativeModel, data: DataSet, each: int, seed: int, **options: Any
) -> tuple[Tensor, Tensor]:
    """``each`` samples of every class that training has seen, and their classes."""
    asked = known_classes(data).repeat_interleave(each)
    return draw(model, len(asked), asked, seed, **options), asked


def _of_every_class(x: Tensor, c: Tensor, each: int) -> tuple[Tensor, Tensor]:
    """The first ``each`` events of every class."""
    rows = torch.cat([(c == label).nonzero().flatten()[:each] for label in c.unique()])
    return x[rows], c[rows]


def _scores(drawn: Tensor, asked: Tensor, data: DataSet, by: Classifier) -> Entry:
    """``accuracy``, ``coverage`` and ``cas`` of what was drawn."""
    return {
        "accuracy": share(by(drawn) == asked.numpy()).to_json(),
        "coverage": _plain(class_coverage(data, drawn, asked)),
        "cas": _plain(classification_accuracy_score(data, drawn, asked)),
    }


def _plain(figure: Figure | None) -> Entry | None:
    return None if figure is None else figure.to_json()


def classification_accuracy_score(data: DataSet, x: Tensor, c: Tensor) -> Figure | None:
    """Accuracy on test events of a classifier that was fitted on samples alone.

    The samples are ``x`` (n, *event_shape), drawn for the classes ``c`` (n,).

    It grows with n, so compare like with like. None where fewer than two classes are left of finite
    events.
    """
    finite = x.flatten(1).isfinite().all(1)
    x, c = x[finite], c[finite]
    if len(c.unique()) < 2 or data.test.c is None:
        return None
    return share(_classifier(x, c)(data.test.x) == data.test.c.numpy())


def class_coverage(data: DataSet, x: Tensor, c: Tensor, each: int | None = None) -> Figure | None:
    """Share of unseen events in whose neighbourhood a sample of their own class lies.

    The samples are ``x`` (n, *event_shape), drawn for the classes ``c`` (n,).

    Unseen (`genzoo.evaluation.samples.quality.unseen`), because among training events a model that
    has learned them by heart would do better than new data does. A neighbourhood reaches as far as
    the fifth nearest unseen event of the same class, in pixels. At most ``each`` of every class
    count: the figure grows with their number, so compare like with like.

    Its error is that of events and samples, by random halves of both of every class, as in
    `distances.with_errors`. None if no class has two such events.
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
        halves = [_covered([_halved(*pair) for pair in pairs]) for _ in range(HALVES)]
    stderr = torch.tensor(halves, dtype=torch.float64).std().item()
    return share_with(_covered(pairs), stderr, sum(len(real) for real, _ in pairs))


def _covered(pairs: Sequence[Pair]) -> float:
    """Share of real events near one of those that are to cover them, each class apart."""
    near = [
        in_balls(real, mine, min(NEAREST_COVERED, len(real) - 1)).any(1) for real, mine in pairs
    ]
    return torch.cat(near).double().mean().item()


def _halved(real: Tensor, mine: Tensor) -> Pair:
    return some(real, max(2, len(real) // 2)), some(mine, (len(mine) + 1) // 2)


def _by_class(hits: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, Entry]:
    """Class -> share of ``hits`` (n,) among the events that were asked to be of it, ``labels``."""
    return {
        classes[int(label)]: share(hits[labels == label]).to_json() for label in np.unique(labels)
    }


# ------------------------------------------------------------------------------------------ numbers


def condition_errors(model: GenerativeModel, data: DataSet, n: int = 200, seed: int = 0) -> Entry:
    """How far samples are from the numbers that were asked for, as `DataSet.read` reads them.

    Args:
        model: whose samples are looked at.
        data: with an oracle that reads conditions off events.
        n: test conditions that are asked for.
        seed: of the samples' random numbers.

    Returns:
        the mean absolute error of each number, by its name and in its unit, or, of more than four
        numbers, of all of them as ``error``; ``exact``, the share of samples on which each number
        is less than half a unit off; ``judge``, that share of real test events.

    Raises:
        InputError: no oracle reads the conditions of this data.
    """
    if data.read is None or data.classes or data.test.c is None:
        raise InputError(
            f"{data.name} has no numbers that could be read off a sample: use biscuits."
        )
    asked = data.test.c[:n]
    drawn = _off(draw(model, len(asked), asked, seed), asked, data)
    real = _off(data.test.x[:n], asked, data)
    errors = dict(zip(data.features, drawn.double().unbind(1), strict=True))
    if len(errors) > MOST_NUMBERS:
        errors = {"error": drawn.double().mean(1)}
    return {
        **{name: mean(error).to_json() for name, error in errors.items()},
        "exact": share((drawn < 0.5).all(1)).to_json(),
        "judge": share((real < 0.5).all(1)).to_json(),
    }


def _off(x: Tensor, asked: Tensor, data: DataSet) -> Tensor:
    """Absolute difference of what events show and what was ``asked``, in its units: ``(n, k)``."""
    assert data.read is not None
    read = data.read(x)
    if data.in_units is not None:
        read, asked = data.in_units(read), data.in_units(asked)
    return (read - asked).abs()


# ----------------------------------------------------------------------------------------- guidance


def guidance_sweep(
    model: GenerativeModel,
    data: DataSet,
    strengths: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0),
    each: int = 30,
    seed: int = 0,
) -> list[Entry]:
    """Accuracy against diversity as guidance grows (Ho & Salimans 2022).

    A guidance of 0 ignores the condition, 1 is the model itself.

    Returns:
        for each strength ``{guidance, accuracy, coverage, cas, spread}``: as `class_accuracy` gives
        them, and the mean
        distance between two samples of one class as a share of that between two real ones.

    Raises:
        InputError: the family's ``sample`` knows no guidance.
    """
    check_guidance(model)
    by, real = fit_classifier(data), _spread(data.test.x, data.test.c)  # type: ignore[arg-type]
    rows = []
    for strength in strengths:
        x, asked = _as_asked(model, data, each, seed, guidance=strength)
        rows.append(
            {
                "guidance": strength,
                **_scores(x, asked, data, by),
                "spread": _spread(x, asked) / real,
            }
        )
    return rows


def _spread(x: Tensor, c: Tensor) -> float:
    """Mean distance between two events of one class, averaged over the classes that have two."""
    return (
        torch.stack([torch.pdist(x[c == label].flatten(1)).mean() for label in c.unique()])
        .nanmean()
        .item()
    )


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
