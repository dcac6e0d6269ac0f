"""The numbers that a setting may be: one range for the command line, recipes and Python.

That a value is of the right type is told by a signature: `genzoo.config` reads it for models,
jsonargparse for the command line, `genzoo.benchmark.codec` for what is stored.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genzoo.errors import InputError
from genzoo.gate.limits import DIGITS

LARGEST = 3.4028234663852886e38  # number of single precision, in which models calculate
SMALLEST = 1.1754943508222875e-38  # above zero


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may be.

    Args:
        least, most: both are allowed, but for ``least`` if ``above``.
        whole: whether only whole numbers are.
        above: whether ``least`` itself is too little.
    """

    least: float
    most: float = math.inf
    whole: bool = False
    above: bool = False

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        if self.above and value == self.least:
            return False
        return self.least <= value <= self.most and value < math.inf

    def __str__(self) -> str:
        if self.whole and self.most < math.inf:
            return f"a whole number from {self.least:,} to {self.most:,}"
        if self.whole:
            return f"a whole number of at least {self.least}"
        if self.above:
            return f"a number above {self.least:g}"
        if self.most < math.inf:
            return f"between {self.least:g} and {self.most:g}"
        return f"at least {self.least:g}"


SEED = Range(0, 2**32 - 1, whole=True)


def check(ranges: Mapping[str, Range], **settings: Any) -> None:
    """Raise `InputError` for the first setting that is not in its range."""
    for name, value in settings.items():
        if name in ranges and value not in ranges[name]:
            raise InputError(f"{name} must be {ranges[name]}, got {value!r}.")


def misfit(value: Any) -> str:
    """The expectation, in words, that a number which no machine holds fails; else "".

    Args:
        value: a number, or a list of numbers, or something else.
    """
    if isinstance(value, list | tuple):
        return next(filter(None, map(misfit, value)), "")
    if isinstance(value, float) and math.isnan(value):
        return "a finite number"
    if isinstance(value, float) and not abs(value) <= LARGEST:
        return f"a number of at most {LARGEST:.4g}"
    if isinstance(value, float) and 0 < abs(value) < SMALLEST:
        return f"0 or a number of at least {SMALLEST:.4g}"
    if isinstance(value, int) and abs(value) >= 10**DIGITS.most:
        return f"a whole number of at most {DIGITS}"
    return ""


def short(value: Any, longest: int = 60) -> str:
    """A value as a sentence quotes it: what is long loses its end."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no number of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= longest else f"{text[:longest]}…"
