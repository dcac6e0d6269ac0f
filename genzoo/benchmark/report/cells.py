"""The text of figures in the cells of tables: ``54 % [50–58]``, ``10.1 ± 2.2``, or ``—``.

A figure with both ends of an interval is a share; any other has a standard error on either side.
"""

import math
from collections.abc import Iterable, Sequence

from genzoo.benchmark.report.tables import Line
from genzoo.evaluation.figures import Figure, combine

NOTHING = "—"


def cell(figure: Figure, digits: int = 3) -> str:
    """A share as `percent`, any other figure as `number`."""
    is_share = figure.low is not None and figure.value is not None
    if is_share:
        return percent(figure)
    return number(figure, digits)


def percent(figure: Figure | None) -> str:
    """``54 % [50–58]``: a share with its 95 % interval, if that is known.

    A decimal is given where the ends are less than two hundredths apart.
    """
    if figure is None or figure.value is None:
        return NOTHING
    if figure.low is None or figure.high is None:
        return f"{figure.value:.0%}".replace("%", " %")
    # the interval of several seeds together may reach below 0 or above 1
    low = max(0.0, figure.low)
    high = min(1.0, figure.high)
    digits = 0 if high - low >= 0.02 else 1
    value = f"{100 * figure.value:.{digits}f}"
    ends = f"{100 * low:.{digits}f}–{100 * high:.{digits}f}"
    return f"{value} % [{ends}]"


def number(figure: Figure | None, digits: int = 3, signed: bool = False) -> str:
    """``10.1 ± 2.2``: a value with its standard error, if it has one.

    Args:
        figure: the value; None: a dash.
        digits: decimals.
        signed: write a plus in front of positive values.
    """
    if figure is None or figure.value is None:
        return NOTHING
    value = round(figure.value, digits) + 0.0  # no minus in front of zero
    sign = "+" if signed else ""
    text = f"{value:{sign}.{digits}f}"
    if figure.stderr is None:
        return text
    return f"{text} ± {figure.stderr:.{digits}f}"


def share_of_points(figure: Figure | None) -> str:
    """``≤ 3.1 % [2.2–4.4]``: a share to a tenth of a per cent, with its claim and interval."""
    if figure is None or figure.value is None:
        return ""
    text = f"{figure.symbol} {100 * figure.value:.1f} %".strip()
    if figure.low is not None and figure.high is not None:
        ends = f"{100 * figure.low:.1f}–{100 * figure.high:.1f}"
        return f"{text} [{ends}]"
    if figure.stderr is not None:
        return f"{text} ± {100 * figure.stderr:.1f}"
    return text


def significant(value: float | None) -> str:
    """A timing with two significant figures; it is not more precise than that."""
    if value is None or value <= 0:
        return ""
    if value < 10:
        return f"{value:.2g}"
    digits = len(str(int(value)))
    unit = 10 ** (digits - 2)
    rounded = round(value / unit) * unit
    return f"{rounded:,}"


def together(figures: Sequence[Figure | None], shared: bool) -> Figure | None:
    """One figure of all runs; None if one of them lacks it.

    Args:
        figures: one for each run.
        shared: whether their errors are those of test events, which are the same for all runs, and
            not those of samples, which differ.
    """
    known = [figure for figure in figures if figure is not None and figure.is_known]
    if len(known) < len(figures):
        return None
    return combine(known, shared)


def error_legend(lines: Iterable[Line]) -> list[str]:
    """A sentence on the kinds of errors in the cells of a table, if there are any."""
    cells = [cell for line in lines for cell in line.cells[1:]]  # the first is the line's name
    kinds = []
    if any("±" in cell for cell in cells):
        kinds.append("±: one standard error")
    if any("[" in cell for cell in cells):
        kinds.append("[–]: 95 % interval")
    if not kinds:
        return []
    present = ", ".join(kinds)
    return [f"{present}, over events, samples and, where there are several, seeds"]


def digits_for(figures: Iterable[Figure], most: int = 5) -> int:
    """Decimals for a column of numbers: enough to resolve a third of its least error."""
    errors = [figure.stderr for figure in figures if figure.stderr]
    if not errors:
        return 3
    resolution = min(errors) / 3
    digits = -math.floor(math.log10(resolution))
    return max(0, min(most, digits))
