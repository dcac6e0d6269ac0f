"""Building blocks of checks, which compare an answer with the truth and explain the difference.

A check never says "wrong". It names what is too large and by how much, and recognises the results
of known mistakes.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


class NotYet(Exception):
    """An answer that is not right yet, with a sentence for the reader."""


class Answer:
    """The reader's file, whose functions are called with copies of their arguments.

    A name that it does not define raises `NotYet`.
    """

    def __init__(self, module: ModuleType):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._module, name):
            raise NotYet(f"Your file has no `{name}` any more: keep the names of the stub.")
        value = getattr(self._module, name)
        return _called(name, value) if callable(value) else value


def _called(name: str, function: Any) -> Any:
    """The function with copies of its arguments, which it may therefore change in place."""

    def call(*arguments: Any) -> Any:
        copies = [each.clone() if isinstance(each, Tensor) else each for each in arguments]
        try:
            return function(*copies)
        except TypeError as error:
            traceback = error.__traceback__
            is_from_inside = traceback is not None and traceback.tb_next is not None
            if is_from_inside:
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
    """A value of the answer as a float64 tensor.

    Args:
        value: which the answer returned.
        name: of the value, for the sentence if it is not right.
        shape: that it must have; None for any.

    Raises:
        NotYet: it is no tensor or number, has another shape, or contains NaN.
    """
    if value is None or value is ...:
        raise NotYet(f"Your {name} is {value}: is there a `return` on every path?")
    try:
        given = torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        if isinstance(value, int):
            raise NotYet(f"Your {name} is a whole number with too many digits.") from None
        kind = type(value).__name__
        raise NotYet(f"Your {name} is a {kind}: expected a tensor or a number.") from None
    if shape is not None and given.shape != torch.Size(shape):
        raise NotYet(f"Your {name} has shape {tuple(given.shape)}, expected {tuple(shape)}.")
    missing = int(given.isnan().sum())
    if missing:
        raise NotYet(f"Your {name} is NaN (not a number) in {missing} of {given.numel()} places.")
    return given


def pair(value: Any, name: str, *parts: str) -> tuple[Any, ...]:
    """The two (or more) parts that a function ``name`` returns together."""
    if value is None:
        raise NotYet(f"`{name}` returned None: is there a `return` on every path?")
    returned = f"one {type(value).__name__}"
    if isinstance(value, tuple | list):
        if len(value) == len(parts):
            return tuple(value)
        returned = f"{len(value)} things"
    raise NotYet(f"`{name}` returned {returned}, expected ({', '.join(parts)}).")


def agree(
    value: Any,
    truth: Any,
    name: str,
    mistakes: Mapping[str, Any] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Raise `NotYet` unless the answer's value is the truth.

    Args:
        value: a number or a tensor.
        truth: the right value.
        name: of the value, such as "log-determinant".
        mistakes: sentence -> the value that this mistake leads to. The first that fits is used.
        tolerance: absolute, and relative to the truth.
    """
    given = tensor(value, name)
    truth = torch.as_tensor(truth).detach().double()
    for sentence, wrong in (mistakes or {}).items():
        wrong = torch.as_tensor(wrong).detach().double()
        is_a_mistake = not _close(wrong, truth, tolerance)
        if is_a_mistake and _close(given, wrong, tolerance):
            raise NotYet(f"Your {name} {_difference(given, truth)}: {sentence}")
    tensor(value, name, truth.shape)
    if not _close(given, truth, tolerance):
        raise NotYet(f"Your {name} {_difference(given, truth)}: {_largest(given, truth)}.")


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    if a.shape != b.shape:
        return False
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def _difference(given: Tensor, truth: Tensor) -> str:
    """The difference in words: "is 0.31 too large on average"."""
    if given.shape != truth.shape:
        return f"has shape {tuple(given.shape)} where {tuple(truth.shape)} is expected"
    error = given - truth
    if not error.isfinite().all():
        return "is not finite where it should be"
    size = error.abs().mean().item()
    mean = error.mean().item()
    on_average = " on average" if given.numel() > 1 else ""
    if abs(mean) < 0.9 * size:  # of either sign
        return f"is off by {size:.2g}{on_average}"
    too = "too large" if mean > 0 else "too small"
    return f"is {size:.2g} {too}{on_average}"


def _largest(given: Tensor, truth: Tensor) -> str:
    """The place where they differ most: "expected 1.2, got 1.5 at index 3 of 8"."""
    error = (given - truth).abs().nan_to_num(torch.inf)
    worst = int(error.argmax())
    expected = truth.flatten()[worst].item()
    got = given.flatten()[worst].item()
    sentence = f"expected {expected:.4g}, got {got:.4g}"
    if given.numel() == 1:
        return sentence
    return f"{sentence} at index {worst} of {given.numel()}"


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
        answer = answers[question]
        given = str(answer).strip().lower()
        possible = sorted({expected, *reasons[question]})
        listed = ", ".join(possible)
        require(given in possible, f"{question}: {answer!r} is no answer; choose one of {listed}.")
        require(given == expected, f"{question}: {reasons[question].get(given, '')}")
