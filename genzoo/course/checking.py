"""Building blocks of checks, which compare an answer with the truth and explain the difference.

A check never says "wrong". It says what is too large, by how much, and, where the answer is that of
a known mistake, which mistake that is.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


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
        found = torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        if isinstance(value, int):
            raise NotYet(f"Your {name} is a whole number with too many digits.") from None
        kind = type(value).__name__
        raise NotYet(f"Your {name} is a {kind}: expected a tensor or a number.") from None
    if shape is not None and found.shape != torch.Size(shape):
        raise NotYet(f"Your {name} has shape {tuple(found.shape)}, expected {tuple(shape)}.")
    missing = int(found.isnan().sum())
    if missing:
        raise NotYet(f"Your {name} is NaN (not a number) in {missing} of {found.numel()} places.")
    return found


def pair(value: Any, name: str, *parts: str) -> tuple[Any, ...]:
    """The two (or more) parts that a function ``name`` returns together."""
    if value is None:
        raise NotYet(f"`{name}` returned None: is there a `return` on every path?")
    together = isinstance(value, tuple | list)
    if together and len(value) == len(parts):
        return tuple(value)
    returned = f"{len(value)} things" if together else f"one {type(value).__name__}"
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
        truth: what it should be.
        name: what it is, as in "log-determinant".
        mistakes: sentence -> the value that this mistake leads to. The first that fits is used.
        tolerance: absolute, and relative to the truth.
    """
    found = tensor(value, name)
    truth = torch.as_tensor(truth).detach().double()
    for sentence, wrong in (mistakes or {}).items():
        wrong = torch.as_tensor(wrong).detach().double()
        if _close(found, wrong, tolerance) and not _close(wrong, truth, tolerance):
            raise NotYet(f"Your {name} {_difference(found, truth)}: {sentence}")
    tensor(value, name, truth.shape)
    if not _close(found, truth, tolerance):
        raise NotYet(f"Your {name} {_difference(found, truth)}: {_largest(found, truth)}.")


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance)


def _difference(found: Tensor, truth: Tensor) -> str:
    """The difference in words: "is 0.31 too large on average"."""
    if found.shape != truth.shape:
        return f"has shape {tuple(found.shape)} where {tuple(truth.shape)} is expected"
    off = found - truth
    if not off.isfinite().all():
        return "is not finite where it should be"
    size = off.abs().mean().item()
    mean = off.mean().item()
    on_average = " on average" if found.numel() > 1 else ""
    if abs(mean) < 0.9 * size:
        return f"is off by {size:.2g}{on_average}"
    return f"is {size:.2g} too {'large' if mean > 0 else 'small'}{on_average}"


def _largest(found: Tensor, truth: Tensor) -> str:
    """The place where they differ most: "expected 1.2, got 1.5 at index 3 of 8"."""
    worst = int((found - truth).abs().nan_to_num(torch.inf).argmax())
    expected, got = truth.flatten()[worst].item(), found.flatten()[worst].item()
    place = f" at index {worst} of {found.numel()}" if found.numel() > 1 else ""
    return f"expected {expected:.4g}, got {got:.4g}{place}"


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
