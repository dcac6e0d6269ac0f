"""Does a model draw what it was asked for, p(x | c), and all of it?

Two questions, for a model that has learned one perfect seven by heart answers only the first. *Accuracy* is the share of samples
that a judge takes for the class they were drawn for. The judge has never seen a sample: it is a classifier of its own,
fitted on the training split, and its accuracy on real test events is stated beside every figure of its own making (Ravuri &
Vinyals 2019, *Classification accuracy score*, turn the roles round). *Coverage* is the share of real events of the class in whose
neighbourhood a sample of that class lies (Naeem et al. 2020, *Reliable fidelity and diversity metrics*), beside what
as many training events of the class reach: the events are held out, so that learning by heart wins nothing.

Tins of biscuits need no judge that learns: height and width are measured.

Each function returns plain dictionaries, entries of a row of the scorecard.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.data import biscuits
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation import averages
from genzoo.evaluation.drawing import draw
from genzoo.evaluation.neighbours import NEAREST_COVERED, in_balls
from genzoo.families import FAMILIES
from genzoo.model import GenerativeModel

Entry = dict[str, Any]
GUIDANCE = 2.0  # of the figures beside those of the model as it was learned
Judge = Callable[[Tensor], np.ndarray]  # events (n, *event_shape) -> labels (n,), -1 for what is no event at all


def conditional(model: GenerativeModel, data: DataSet, each: int = 50, seed: int = 0) -> Entry | None:
    """The row's entry ``condition``: `judged` for classes, `tin_errors` for tins, None where neither can be told."""
    if not model.condition:
        return None
    if data.classes:
        return judged(model, data, each, seed) if len(known_classes(data)) > 1 else None
    return tin_errors(model, data, seed=seed) if data.features == ("height", "width") else None


# ----------------------------------------------------------------------------------------------------------- the judge


def judge(data: DataSet, most: int = 10_000) -> Judge:
    """A classifier of ``data`` that no generative model has a part in: a support vector machine on the pixels.

    Its kernel is Gaussian, with scikit-learn's own width (one over the summed variance of the pixels). It is fitted on at most
    ``most`` events of the training split and on nothing else.

    Raises:
        InputError: the data has no classes, or events of one class only.
    """
    from sklearn.svm import SVC

    if data.train.c is None or len(known_classes(data)) < 2:
        raise InputError(f"{data.name} has no classes that a judge could tell apart.")
    train = data.train.some(most)
    machine = SVC(C=10.0).fit(train.x.flatten(1).numpy(), train.c.numpy())  # type: ignore[union-attr]

    def labels(x: Tensor) -> np.ndarray:
        x = x.flatten(1).cpu()
        finite = x.isfinite().all(1)
        return np.where(finite, machine.predict(torch.where(finite[:, None], x, 0.0).numpy()), -1)

    return labels


def known_classes(data: DataSet) -> Tensor:
    """The labels that the training split has events of, ``(k,)`` in rising order; none where the data has no classes."""
    return data.train.c.unique() if data.classes and data.train.c is not None else torch.zeros(0, dtype=torch.long)


# ------------------------------------------------------------------------------------------------------------- classes


def judged(model: GenerativeModel, data: DataSet, each: int, seed: int) -> Entry:
    """`class_accuracy`, and ``guided``: its accuracy and coverage under a guidance of `GUIDANCE`, None for who knows none."""
    by, guided = judge(data), None
    if model.can_be_guided:
        guided = {"guidance": GUIDANCE, **_scores(*_as_asked(model, data, each, seed, guidance=GUIDANCE), data, by)}
    return {**class_accuracy(model, data, each, seed, by), "guided": guided}


def class_accuracy(
    model: GenerativeModel, data: DataSet, each: int = 50, seed: int = 0, by: Judge | None = None, **options: Any
) -> Entry:
    """How many of ``each`` samples of every class are of that class, how much of it they cover, and what comes unasked.

    Every class means every one that training has seen.

    Args:
        by: the judge; `judge` of the data by default.
        options: for the model's ``sample``, such as ``guidance=2.0``.

    Returns:
        ``accuracy`` {value, stderr}, ``per_class`` {class: share}; ``coverage`` {value, stderr} and ``coverage_real``, the same
        of training events; ``unconditional`` {class: share} of samples drawn with no condition, as judged; ``judge``, its
        accuracy on the test split.

    Raises:
        InputError: the model is unconditional, or the data has no two classes.
    """
    if not model.condition:
        raise InputError(f"This {type(model).__name__} is unconditional: train one with --conditional.")
    by, test = by or judge(data), data.test
    drawn, asked = _as_asked(model, data, each, seed, **options)
    return {
        **_scores(drawn, asked, data, by),
        "per_class": _by_class(by(drawn) == asked.numpy(), asked.numpy(), data.classes),
        "coverage_real": class_coverage(data, data.train.x, data.train.c, each),  # type: ignore[arg-type]
        "unconditional": _shares(by(draw(model, len(asked), None, seed, **options)), data.classes),
        "judge": averages.share(by(test.x) == test.c.numpy()),  # type: ignore[union-attr]
        "each": each,
    }


def _as_asked(model: GenerativeModel, data: DataSet, each: int, seed: int, **options: Any) -> tuple[Tensor, Tensor]:
    """``each`` samples of every class that training has seen, ``(n, *event_shape)``, and their classes ``(n,)``."""
    asked = known_classes(data).repeat_interleave(each)
    return draw(model, len(asked), asked, seed, **options), asked


def _scores(drawn: Tensor, asked: Tensor, data: DataSet, by: Judge) -> Entry:
    """``accuracy`` and ``coverage`` of what was drawn."""
    return {"accuracy": averages.share(by(drawn) == asked.numpy()), "coverage": class_coverage(data, drawn, asked)}


def class_coverage(data: DataSet, x: Tensor, c: Tensor, each: int | None = None) -> averages.Average | None:
    """Share of the held-out events in whose neighbourhood an event of ``x`` (n, ...) of their own class ``c`` (n,) lies.

    Held out, because among training events a model that has learned them by heart would do better than new data does. A
    neighbourhood reaches as far as the fifth nearest held-out event of the same class, in pixels. At most ``each`` of every class
    count: the figure grows with their number, so compare like with like. None if no class has two held-out events.
    """
    events, found = data.held_out, []
    for label in known_classes(data):
        real, mine = events.x[events.c == label][:1000].flatten(1), x[c == label].flatten(1)
        if len(real) > 1:
            found.append(in_balls(real, mine[:each], min(NEAREST_COVERED, len(real) - 1)).any(1))
    return averages.share(torch.cat(found)) if found else None


def _by_class(hits: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Class -> share of ``hits`` (n,) among the events that were asked to be of it, ``labels`` (n,)."""
    return {classes[int(label)]: float(hits[labels == label].mean()) for label in np.unique(labels)}


def _shares(labels: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Class -> its share among ``labels`` (n,)."""
    return {name: float((labels == label).mean()) for label, name in enumerate(classes)}


# ---------------------------------------------------------------------------------------------------------------- tins


def tin_errors(model: GenerativeModel, data: DataSet, n: int = 200, seed: int = 0) -> Entry:
    """How far the tins that a model draws are from the height and width that were asked for, in pixels.

    Returns:
        ``height`` and ``width``, mean absolute errors {value, stderr}; ``exact``, the share of tins right in both; ``judge``,
        that share of real test tins.
    """
    if data.features != ("height", "width") or data.test.c is None:
        raise InputError(f"Only tins can be measured, and {data.name} has none: use biscuits.")
    asked = data.test.c[:n]
    real, drawn = data.test.x[:n], draw(model, len(asked), asked, seed)
    off = biscuits.sizes(asked) - torch.stack(biscuits.measure(drawn), 1)
    off_real = biscuits.sizes(asked) - torch.stack(biscuits.measure(real), 1)
    height, width = off.abs().double().unbind(1)
    return {
        "height": averages.mean(height),
        "width": averages.mean(width),
        "exact": averages.share((off == 0).all(1)),
        "judge": averages.share((off_real == 0).all(1)),
    }


# ------------------------------------------------------------------------------------------------------------- guidance


def guidance_sweep(
    model: GenerativeModel,
    data: DataSet,
    strengths: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0),
    each: int = 30,
    seed: int = 0,
) -> list[Entry]:
    """Accuracy against diversity as guidance grows (Ho & Salimans 2022): 0 ignores the condition, 1 is the model itself.

    Returns:
        for each strength ``{guidance, accuracy, coverage, spread}``: as `class_accuracy` gives them, and the mean
        distance between two samples of one class as a share of that between two real ones.

    Raises:
        InputError: the family's ``sample`` knows no guidance.
    """
    check_guidance(model)
    by, real = judge(data), _spread(data.test.x, data.test.c)  # type: ignore[arg-type]
    rows = []
    for strength in strengths:
        x, asked = _as_asked(model, data, each, seed, guidance=strength)
        rows.append({"guidance": strength, **_scores(x, asked, data, by), "spread": _spread(x, asked) / real})
    return rows


def _spread(x: Tensor, c: Tensor) -> float:
    """Mean distance between two events of one class, averaged over the classes that have two."""
    return torch.stack([torch.pdist(x[c == label].flatten(1)).mean() for label in c.unique()]).nanmean().item()


def check_guidance(model: GenerativeModel) -> None:
    """Raise `InputError` unless the model's ``sample`` can be guided, and there is a condition to guide it to."""
    if model.can_be_guided:
        return
    if "guidance" not in options_of(model):
        able = ", ".join(f.__name__ for f in FAMILIES if "guidance" in inspect.signature(f.sample).parameters)
        raise InputError(f"Samples of {type(model).__name__} cannot be guided: those of {able} can.")
    if not model.condition:
        raise InputError(f"This {type(model).__name__} is unconditional, so nothing can guide it.")
    raise InputError(
        f"The prior of this {type(model).__name__} cannot be guided: a Gaussian, which is the default, can."
    )


# --------------------------------------------------------------------------------------------------------- what is shared


def options_of(model: GenerativeModel) -> Mapping[str, Any]:
    """What the family's ``sample`` can be told beside how many and for what: names and defaults."""
    parameters = inspect.signature(model.sample).parameters
    return {name: p.default for name, p in parameters.items() if name not in ("n", "c")}
