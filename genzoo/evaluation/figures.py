r"""One measured number: a value with its error, an interval, or a dash with its reason.

Every number that genzoo prints is a `Figure`, in one of four forms:

* **value ± stderr**: a mean over test events, with the standard error of that mean.
* **low … high** (``value`` is None): the number is only known to lie between two ends, as the
  likelihood under an annealed log Z. The standard error, where there is one, is that of the test
  events and comes on top.
* **value [low–high]**: a value with an asymmetric error, such as a share near 100 %: the ends of
  its 95 % interval.
* **—**: there is no number, and ``reason`` says why.

**Several runs** become one figure by `combine`. Runs of different seeds share their test events, so
two errors add up: that of the seeds, which shrinks with their number m, and that of a run, of test
events and Monte Carlo samples, which does not:

.. math::

    (1.96 \, \mathrm{stderr})^2 = \Big(t_{m-1} \frac{s}{\sqrt m}\Big)^2 + \frac1m \sum_{i=1}^m (1.96
    \, \mathrm{stderr}_i)^2 .

s is the standard deviation over seeds. Of two or three numbers it is itself uncertain, and
Student's t (12.7 for two seeds, 4.3 for three) in place of 1.96 takes that into account. So an
interval of 1.96 printed errors contains the truth in 95 % of cases, or in a few more where seeds
and events matter equally (``tests/test_figures.py`` counts them).

References: Wilson 1927, *Probable inference, the law of succession, and statistical inference*
(intervals of shares); Student 1908, *The probable error of a mean*.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.special import stdtrit
from torch import Tensor

from genzoo.model import Likelihood

Z95 = 1.96  # standard deviations on either side that contain 95 % of a Gaussian

NUMBERS = ("value", "stderr", "low", "high")  # the fields of a figure that have its unit


@dataclass(frozen=True)
class Figure:
    """A measured number with its uncertainty.

    Args:
        value: the number; None where only an interval is known, or nothing.
        stderr: standard error of the value over test events, Monte Carlo samples and, once
            combined, seeds.
        low: lower end of an interval. Beside a ``value`` it is one of 95 %; without one the number
            is anywhere between ``low`` and ``high``.
        high: upper end, present if ``low`` is.
        kind: the claim of a likelihood; None for a plain statistic.
        n: number of events it was measured on.
        reason: why there is no number.

    JSON has no infinity, so a figure has none either: a likelihood that a ruled-out event makes
    infinite has a kind and neither value nor interval.
    """

    value: float | None = None
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    kind: Likelihood | None = None
    n: int | None = None
    reason: str = ""

    def __post_init__(self):
        for name in NUMBERS:
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                object.__setattr__(self, name, None)

    @classmethod
    def dash(cls, reason: str, n: int | None = None) -> "Figure":
        """A figure without a number, with the reason."""
        return cls(kind=Likelihood.NONE, n=n, reason=reason)

    @property
    def is_interval(self) -> bool:
        """True if only two ends are known."""
        return self.value is None and self.low is not None and self.high is not None

    @property
    def is_known(self) -> bool:
        """True if there is a number or an interval."""
        return self.middle is not None

    @property
    def middle(self) -> float | None:
        """The value, or the middle of the interval: where a chart puts its mark."""
        if self.value is not None:
            return self.value
        if self.low is None or self.high is None:
            return None
        return (self.low + self.high) / 2

    @property
    def symbol(self) -> str:
        """=, ≤, ≈ or —; empty for a plain statistic."""
        if self.kind is None:
            return ""
        return self.kind.symbol

    def scaled(self, factor: float) -> "Figure":
        """The same figure in another unit: everything times ``factor``, which is positive."""
        scaled = {}
        for name in NUMBERS:
            number = getattr(self, name)
            if number is not None:
                scaled[name] = number * factor
        return replace(self, **scaled)

    def text(self, digits: int = 3) -> str:
        """The number as it is printed, with its symbol and without its error.

        ``= 1.729``, ``≈ 1.948 … 1.953``, ``—``.
        """
        if self.kind == Likelihood.NONE:
            return Likelihood.NONE.symbol
        if self.is_interval:
            number = f"{self.low:.{digits}f} … {self.high:.{digits}f}"
        elif self.value is None:
            number = "∞" if self.kind is not None else "—"
        else:
            number = f"{self.value:.{digits}f}"
        return f"{self.symbol} {number}".strip()

    def __str__(self) -> str:
        if self.stderr is None or not self.is_known:
            return self.text()
        return f"{self.text()} ± {self.stderr:.3f}"

    def to_json(self) -> dict[str, Any]:
        """Plain values: ``value`` and ``stderr`` always, the others where they are known."""
        entry: dict[str, Any] = {"value": self.value, "stderr": self.stderr}
        if self.low is not None:
            entry["low"] = self.low
        if self.high is not None:
            entry["high"] = self.high
        if self.kind is not None:
            entry["kind"] = self.kind.name.lower()
        if self.n is not None:
            entry["n"] = self.n
        if self.reason:
            entry["reason"] = self.reason
        return entry

    @classmethod
    def from_json(cls, entry: Mapping[str, Any] | None) -> "Figure":
        """The figure that `to_json` wrote; an empty one where there is no entry."""
        if entry is None:
            return cls()
        arguments = {field.name: entry[field.name] for field in fields(cls) if field.name in entry}
        kinds = {kind.name.lower(): kind for kind in Likelihood}
        arguments["kind"] = kinds.get(arguments.get("kind", ""))
        return cls(**arguments)


# --------------------------------------------------------------------------- figures of many events


def mean(values: Tensor, kind: Likelihood | None = None) -> Figure:
    """The mean of ``values`` (n,) with its standard error, which a single value does not have."""
    n = len(values)
    values = values.double()
    stderr = None
    if n > 1:
        stderr = values.std().item() / n**0.5
    return Figure(values.mean().item(), stderr, kind=kind, n=n)


def root(square: Figure) -> Figure:
    """The root of a mean square; its error is that of the mean over twice the root."""
    if square.value is None:
        return square  # a mean that is not known has no root that is
    value = math.sqrt(square.value)
    stderr = None
    if square.stderr is not None:
        stderr = square.stderr / max(2 * value, 1e-12)
    return Figure(value, stderr, n=square.n)


def share(hits: np.ndarray | Tensor) -> Figure:
    """The share of ``hits`` (n,) that are true, with the 95 % interval of `wilson`."""
    p = float(np.asarray(hits, dtype=float).mean())
    return share_of(p, len(hits))


def share_of(p: float, n: int) -> Figure:
    """A share ``p`` of ``n`` independent events, with the 95 % interval of `wilson`."""
    stderr = (p * (1 - p) / n) ** 0.5
    low, high = wilson(p, n)
    return Figure(p, stderr, low, high, n=n)


def share_with(p: float, stderr: float | None, n: int) -> Figure:
    """A share with a given standard error, and an interval that fits it.

    It is for events that are not independent, whose error is not the binomial one. The interval is
    Wilson's of as many independent events as would have that error, and of n at most (Korn &
    Graubard 1998, *Confidence intervals for proportions*: the effective sample size). Their number
    follows from the share moved away from 0 and 1 as by four more events, two of either kind
    (Agresti & Coull 1998), so that even a share of 1 has an interval of a width that fits its
    error.

    Args:
        p: the share.
        stderr: its standard error; None or 0: that of independent events.
        n: number of events.
    """
    effective = float(n)
    if stderr:
        moved = (p * n + 2) / (n + 4)
        effective = min(effective, moved * (1 - moved) / stderr**2)
    low, high = wilson(p, effective)
    return Figure(p, stderr, low, high, n=n)


def wilson(p: float, n: float) -> tuple[float, float]:
    """95 % interval of a share ``p`` of ``n`` events (Wilson 1927).

    It consists of the true shares from which p is less than 1.96 of their errors away. Unlike
    p ± 1.96 sqrt(p (1 - p) / n) it has a width where p is 0 or 1.
    """
    centre = p + Z95**2 / (2 * n)
    variance = p * (1 - p) / n + Z95**2 / (4 * n**2)
    reach = Z95 * math.sqrt(variance)
    scale = 1 + Z95**2 / n
    low = (centre - reach) / scale
    high = (centre + reach) / scale
    return max(0.0, low), min(1.0, high)


# ---------------------------------------------------------------------------------------- many runs


def combine(figures: Sequence[Figure], shared: bool = True) -> Figure:
    """The mean over several runs that differ by their seeds, with all errors (see the module).

    Args:
        figures: one of each run. If one is a dash, so is the result, for a mean of some of the runs
            would be a choice. If one is an interval, so is the result, from the mean of the lower
            ends to the mean of the upper ones.
        shared: whether the runs' own errors are those of the same test events. Errors of samples,
            which differ from run to run, are not: the spread over seeds includes them already.

    Returns:
        a figure of the weakest kind among them.
    """
    if len(figures) == 1:
        return figures[0]
    kind = _weakest(figures)
    middles = [figure.middle for figure in figures if figure.middle is not None]
    if kind == Likelihood.NONE or len(middles) < len(figures):
        return _missing(figures, kind)

    counts = [figure.n for figure in figures if figure.n is not None]
    n = min(counts, default=None)
    stderr = joint_error(middles, [figure.stderr for figure in figures], shared)
    lows, highs = _ends(figures)
    if any(figure.is_interval for figure in figures):
        low = float(np.mean(lows))
        high = float(np.mean(highs))
        return Figure(None, stderr, low, high, kind, n)

    centre = float(np.mean(middles))
    if any(figure.low is None for figure in figures):
        return Figure(centre, stderr, kind=kind, n=n)

    # an asymmetric error: each side is combined as an error of its own
    errors_below = np.subtract(middles, lows) / Z95
    errors_above = np.subtract(highs, middles) / Z95
    below = joint_error(middles, errors_below.tolist(), shared)
    above = joint_error(middles, errors_above.tolist(), shared)
    assert below is not None and above is not None  # every figure has both ends
    return Figure(centre, stderr, centre - Z95 * below, centre + Z95 * above, kind, n)


def joint_error(
    values: Sequence[float], errors: Sequence[float | None], shared: bool = True
) -> float | None:
    """Standard error of a mean over seeds, of which 1.96 make a 95 % interval.

    Args:
        values: one for each seed.
        errors: standard error of each.
        shared: whether these errors are those of the same events. If not, the spread of the values
            contains them already, and they only keep the result from being small by chance.

    Returns:
        the error; None if there is a single value without an error.
    """
    m = len(values)
    own_errors = [error for error in errors if error is not None]
    own = None
    if own_errors:
        own = math.sqrt(float(np.mean(np.square(own_errors))))
    if m < 2:
        return own

    student = float(stdtrit(m - 1, 0.975))
    spread = float(np.std(values, ddof=1))
    of_seeds = student / Z95 * spread / math.sqrt(m)
    if own is None:
        return of_seeds
    if shared:
        return math.hypot(of_seeds, own)
    return max(of_seeds, own / math.sqrt(m))


def _ends(figures: Sequence[Figure]) -> tuple[list[float], list[float]]:
    """Lower and upper ends; both are the value where there is no interval."""
    lows = []
    highs = []
    for figure in figures:
        assert figure.middle is not None  # `combine` has excluded dashes
        lows.append(figure.middle if figure.low is None else figure.low)
        highs.append(figure.middle if figure.high is None else figure.high)
    return lows, highs


def _weakest(figures: Sequence[Figure]) -> Likelihood | None:
    """The kind with the weakest claim; None where all are plain statistics."""
    kinds = [figure.kind for figure in figures if figure.kind is not None]
    return max(kinds, default=None)


def _missing(figures: Sequence[Figure], kind: Likelihood | None) -> Figure:
    """The figure of several runs of which some have no number: a dash, and their share.

    Where one is infinite it is infinite.
    """
    reasons = dict.fromkeys(figure.reason for figure in figures if figure.reason)
    if not reasons and kind not in (None, Likelihood.NONE):
        return Figure(None, kind=kind)

    reason = "; ".join(reasons)
    lacking = sum(not figure.is_known for figure in figures)
    if lacking < len(figures):
        reason = f"{lacking} of {len(figures)} runs: {reason}"
    return Figure.dash(reason)
