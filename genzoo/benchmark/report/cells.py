"""How figures are printed in the cells of tables: ``54 % [50–58]``, ``10.1 ± 2.2``, or ``—``.

A figure with both ends of an interval is a share; any other has a standard error on either side.
Old records hold shares without their ends: `share_in` gives them those.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from genzoo.benchmark.report.tables import Line
from genzoo.evaluation.figures import Figure, share_of, share_with

NOTHING = "—"


def cell(figure: Figure, digits: int = 3) -> str:
    """A share as `percent`, any other figure as `number`."""
    is_share = figure.low is not None and figure.value is not None
    return percent(figure) if is_share else number(figure, digits)


def percent(figure: Figure) -> str:
    """``54 % [50–58]``: a share and the ends of its interval, where these are known.

    A decimal is given where the ends are less than two hundredths apart.
    """
    if figure.value is None:
        return NOTHING
    if figure.low is None or figure.high is None:
        return f"{figure.value:.0%}".replace("%", " %")
    low, high = max(0.0, figure.low), min(1.0, figure.high)  # several seeds may reach beyond
    digits = 0 if high - low >= 0.02 else 1
    value, low, high = (f"{100 * share:.{digits}f}" for share in (figure.value, low, high))
    return f"{value} % [{low}–{high}]"


def number(figure: Figure, digits: int = 3, signed: bool = False) -> str:
    """``10.1 ± 2.2``: a value with its standard error, where it has one."""
    if figure.value is None:
        return NOTHING
    value = round(figure.value, digits) + 0.0  # no minus in front of zero
    sign = "+" if signed else ""
    error = "" if figure.stderr is None else f" ± {figure.stderr:.{digits}f}"
    return f"{value:{sign}.{digits}f}{error}"


def errors_told(lines: Iterable[Line]) -> list[str]:
    """What the errors in the cells of a table are: a sentence on those that are there, or none."""
    printed = "".join(cell for line in lines for cell in line.cells[1:])
    kinds = {"±": "±: one standard error", "[": "[–]: the ends that hold 95 %"}
    told = ", ".join(meaning for sign, meaning in kinds.items() if sign in printed)
    return (
        [f"{told}, of events, draws and, where there are several, seeds together"] if told else []
    )


def digits_for(figures: Iterable[Figure], most: int = 5) -> int:
    """Decimals for a column of numbers: enough to tell a third of its least error."""
    errors = [figure.stderr for figure in figures if figure.stderr]
    if not errors:
        return 3
    return min(most, max(0, -math.floor(math.log10(min(errors) / 3))))


def figure_in(entry: Mapping[str, Any] | float | None) -> Figure:
    """The number in an entry of a row, new or old, whatever else stands beside it there."""
    if isinstance(entry, int | float):
        return Figure(float(entry))
    names = ("value", "stderr", "low", "high", "n", "reason")
    return Figure.from_json(
        {name: entry[name] for name in names if name in entry} if entry else None
    )


def share_in(entry: Mapping[str, Any] | float | None, n: int | None = None) -> Figure:
    """The share in an entry of a row, new or old.

    Args:
        entry: what `Figure.to_json` wrote; in old rows {value, stderr}, or a bare number.
        n: on how many events an old share was measured.

    Returns:
        the share with the ends of its interval, if there is any way to know them.
    """
    if isinstance(entry, int | float):
        return Figure(float(entry)) if n is None else share_of(float(entry), n)
    figure = figure_in(entry)
    if figure.value is None or figure.low is not None:
        return figure
    if n is None and figure.stderr:
        n = max(1, round(figure.value * (1 - figure.value) / figure.stderr**2))
    return figure if n is None else share_with(figure.value, figure.stderr, n)
