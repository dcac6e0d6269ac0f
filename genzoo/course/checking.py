"""What checks are written with: they ask something of an answer, and say in a sentence what is off.

A check never says "wrong". It says what is too large, by how much, and, where the answer is that of
a known mistake, which mistake that is.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

NO_TENSOR = (TypeError, ValueError, RuntimeError, OverflowError)  # raised by `torch.as_tensor`


class NotYet(Exception):
    """The sentence that the reader is to read."""


class Answer:
    """The reader's file. What it does not define is asked for in a sentence."""

    def __init__(self, module: ModuleType):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._module, name):
            raise NotYet(f"Your file has no `{name}` any more: keep the names of the stub.")
        value = getattr(self._module, name)
        return _called(name, value) if callable(value) else value


def _called(name: str, function: Any) -> Any:
    """The function, given copies, so that it may change its arguments in place."""

    def call(*arguments: Any) -> Any:
        copies = [each.clone() if isinstance(each, Tensor) else each for each in arguments]
        try:
            return function(*copies)
        except TypeError as error:
            begun = error.__traceback__ is not None and error.__traceback__.tb_next is not None
            if begun:
                raise
            raise NotYet(
                f"`{name}` cannot be called with its {len(copies)} arguments any more: {error}. "
                "Keep the arguments of the stub."
            ) from None

    return call


def require(holds: Any, sentence: str) -> None:
    """Raise `NotYet` unless it holds."""
    if not bool(holds):
        raise NotYet(sentence)


def tensor(value: Any, name: str, shape: Sequence[int] | None = None) -> Tensor:
    """What the answer calls ``name``, as a finite tensor of that shape in float64."""
    if value is None or value is ...:
        raise NotYet(f"{_subject(name)} is {value}: is there a `return` on every path?")
    try:
        found = torch.as_tensor(value).detach()
    except NO_TENSOR:
        kind = (
            "whole number with too many digits" if isinstance(value, int) else type(value).__name__
        )
        raise NotYet(f"{_subject(name)} is a {kind}: expected a tensor or a number.") from None
    if shape is not None and found.shape != torch.Size(shape):
        raise NotYet(f"{_subject(name)} has shape {_shape(found)}, expected {tuple(shape)}.")
    found = found if found.is_complex() else found.double()
    if found.isnan().any():
        raise NotYet(f"{_subject(name)} is NaN (not a number) in {_where(found.isnan())}.")
    return found


def pair(value: Any, name: str, *names: str) -> tuple[Any, ...]:
    """The two (or more) things that a function ``name`` returns together."""
    if isinstance(value, tuple | list) and len(value) == len(names):
        return tuple(value)
    if value is None:
        raise NotYet(f"`{name}` returned None: is there a `return` on every path?")
    listed = " and ".join(names)
    raise NotYet(f"`{name}` returned one {type(value).__name__}, expected a pair: {listed}.")


def agree(
    found: Any,
    truth: Any,
    name: str,
    mistakes: Mapping[str, Any] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Raise `NotYet` unless what was found is the truth.

    Args:
        found: the answer's number or tensor.
        truth: what it should be.
        name: what it is, as in "log-determinant".
        mistakes: sentence -> what who makes that mistake finds. The first that fits is said.
        tolerance: absolute, and relative to the truth.
    """
    truth = torch.as_tensor(truth).detach().double()
    shape = _shape_of(found)
    for sentence, wrong in (mistakes or {}).items():
        wrong = torch.as_tensor(wrong).detach().double()
        apart = wrong.shape != truth.shape or not _close(wrong, truth, tolerance)
        if apart and shape == wrong.shape and _close(tensor(found, name), wrong, tolerance):
            raise NotYet(f"{_difference(tensor(found, name), truth, name)}: {sentence}")
    number = tensor(found, name, truth.shape)
    if not _close(number, truth, tolerance):
        _refuse(number, truth, name)


def _refuse(found: Tensor, truth: Tensor, name: str) -> NoReturn:
    worst = int((found - truth).abs().nan_to_num(torch.inf).argmax())
    got, expected = found.flatten()[worst].item(), truth.flatten()[worst].item()
    place = f" where it differs most (place {worst} of {found.numel()})" * (found.numel() > 1)
    difference = _difference(found, truth, name)
    raise NotYet(f"{difference}: expected {expected:.4g}, got {got:.4g}{place}.")


def _difference(found: Tensor, truth: Tensor, name: str) -> str:
    """How far off it is: "Your log-determinant is 0.31 too large on average"."""
    if found.shape != truth.shape:
        return f"{_subject(name)} has shape {_shape(found)} where {_shape(truth)} is expected"
    off = found - truth
    if not off.isfinite().all():
        return f"{_subject(name)} is not finite where it should be"
    size, mean = off.abs().mean().item(), off.mean().item()
    on_average = " on average" * (found.numel() > 1)
    if abs(mean) > 0.9 * size:
        return f"{_subject(name)} is {size:.2g} too {'large' if mean > 0 else 'small'}{on_average}"
    return f"{_subject(name)} is off by {size:.2g}{on_average}"


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def _subject(name: str) -> str:
    return f"Your {name}"


def _shape(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape)


def _shape_of(value: Any) -> torch.Size | None:
    try:
        return torch.as_tensor(value).shape
    except NO_TENSOR:
        return None


def _where(which: Tensor) -> str:
    if which.numel() == 1:
        return "its one number"
    return f"{int(which.sum())} of its {which.numel()} numbers"


def choices(
    answers: Any, right: Mapping[str, str], reasons: Mapping[str, Mapping[str, str]]
) -> None:
    """Raise `NotYet` unless every question of a quiz has its right answer.

    Args:
        answers: question -> the answer given.
        right: question -> the right answer.
        reasons: question -> wrong answer -> why it is wrong.
    """
    require(isinstance(answers, dict), "`answers` should stay a dictionary: question -> answer.")
    open_questions = [question for question in right if answers.get(question, ...) is ...]
    listed = ", ".join(open_questions)
    require(not open_questions, f"Some questions are still without an answer: {listed}.")
    for question, expected in right.items():
        given = str(answers[question]).strip().lower()
        possible = sorted({expected, *reasons[question]})
        require(
            given in possible,
            f"{question}: {answers[question]!r} is no answer; choose one of {', '.join(possible)}.",
        )
        require(given == expected, f"{question}: {reasons[question].get(given, '')}")
