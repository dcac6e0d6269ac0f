"""The scorecard: rows, one for each run, and the table made of them, which never ranks unlike kinds as one.

A row is a plain mapping, open to more columns; these are always there::

    family, data, seed, parameters, train_seconds, samples_per_second, evaluations_per_sample,
    bits_per_dim   {value, kind, stderr}; null for real-valued data
    nats           the same in nats per event

``kind`` is "exact", "bound", "estimate" or "none". A row with ``baseline: true`` is a closed-form model to beat.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from genzoo.baselines import fitted
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation.likelihood import Measured, evaluate
from genzoo.model import Likelihood
from genzoo.store import whole

Row = dict[str, Any]

MEANING = {
    Likelihood.EXACT: "the exact likelihood of the test data",
    Likelihood.BOUND: "a bound: the true figure is at most this",
    Likelihood.ESTIMATE: "an estimate, whose error is not bounded",
    Likelihood.NONE: "no likelihood: the model has samples only",
}
LEGEND = "Less is better, but only among figures of one kind: unlike kinds are not ranked together."
HEADERS = ("model", "", "±", "params", "training", "samples/s", "evals")  # the second is the unit
COST = (
    "training: wall-clock time on the run's share of the cores; samples/s: in batches, one model at a time; "
    "evals: network evaluations for one sample"
)
CONDITIONAL = "log p(x | c): the models are told the labels or conditions, the baselines are not"


# --------------------------------------------------------------------------------------------------------------- rows


def figures(measured: Measured, data: DataSet) -> Row:
    """The entries of a row that carry a likelihood: ``unit``, ``bits_per_dim`` and ``nats``."""
    per_bit = data.dims * log(2)
    if data.levels:
        return {"unit": measured.unit, "bits_per_dim": _figure(measured), "nats": _figure(measured, per_bit)}
    return {"unit": measured.unit, "bits_per_dim": None, "nats": _figure(measured)}


def _figure(measured: Measured, factor: float = 1.0) -> Row:
    """JSON has no infinity: a model that rules a test event out has value null and a kind that is not "none"."""
    finite = measured.value is not None and abs(measured.value) != inf
    value = measured.value * factor if finite and measured.value is not None else None
    stderr = measured.stderr * factor if finite and measured.stderr is not None else None
    return {"value": value, "kind": measured.kind.name.lower(), "stderr": stderr}


def baseline_rows(data: DataSet) -> list[Row]:
    """One row for each closed-form baseline that applies to ``data``."""
    rows = []
    for baseline in fitted(data):
        name = re.sub(r"(?<!^)(?=[A-Z])", " ", type(baseline).__name__).capitalize()
        rows.append({"family": name, "data": data.name, "baseline": True, **figures(evaluate(baseline, data), data)})
    return rows


def write(rows: Sequence[Row], path: str | Path) -> None:
    """Write rows as JSON, whole or not at all."""
    with whole(Path(path)) as draft:
        draft.write_text(json.dumps(list(rows), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read(path: str | Path) -> list[Row]:
    """The rows of a scorecard; raises `InputError` if the file is missing or is none."""
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read the scorecard {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"The scorecard {path} is not JSON ({error}).") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "family" in row for row in rows):
        raise InputError(f"{path} is no scorecard: expected a list of rows, each with a family.")
    return rows


# -------------------------------------------------------------------------------------------------------------- table


@dataclass(frozen=True)
class Summary:
    """The rows of one family on one data set, averaged over seeds.

    ``spread`` is the standard deviation over seeds, or over test events (the standard error) where there is one seed.
    """

    family: str
    data: str
    baseline: bool
    conditional: bool
    kind: Likelihood
    value: float | None
    spread: float | None
    unit: str
    seeds: int
    parameters: float | None
    train_seconds: float | None
    samples_per_second: float | None
    evaluations_per_sample: float | None

    @property
    def figure(self) -> str:
        """The likelihood as it is printed: never without its symbol."""
        if self.kind == Likelihood.NONE:
            return self.kind.symbol
        return f"{self.kind.symbol} {'∞' if self.value is None else f'{self.value:.3f}'}"

    @property
    def cells(self) -> tuple[str, ...]:
        """The printed cells of the table, under `HEADERS` (whose second is the unit)."""
        return (
            self.family,
            self.figure,
            "" if self.spread is None else f"{self.spread:.3f}",
            _count(self.parameters),
            _duration(self.train_seconds),
            significant(self.samples_per_second),
            "" if self.evaluations_per_sample is None else f"{self.evaluations_per_sample:g}",
        )


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """One summary for each family and data set: grouped by kind, the least figure first within each."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.get("data", ""), row["family"]), []).append(row)
    return sorted(map(_summary, groups.values()), key=lambda s: (s.data, s.kind, inf if s.value is None else s.value))


def _summary(rows: list[Row]) -> Summary:
    figures = [row.get("bits_per_dim") or row.get("nats") or {"value": None, "kind": "none"} for row in rows]
    kind = max(Likelihood[figure["kind"].upper()] for figure in figures)
    values = [figure["value"] for figure in figures if figure["value"] is not None]
    complete = len(values) == len(rows)
    spread = stdev(values) if len(values) > 1 else figures[0].get("stderr")
    return Summary(
        family=rows[0]["family"],
        data=rows[0].get("data", ""),
        baseline=bool(rows[0].get("baseline")),
        conditional=bool(rows[0].get("conditional")),
        kind=kind,
        value=mean(values) if complete else None,
        spread=spread if complete else None,
        unit="bits/dim" if rows[0].get("bits_per_dim") else "nats",
        seeds=len(rows),
        **{name: _mean(row.get(name) for row in rows) for name in COSTS},
    )


COSTS = ("parameters", "train_seconds", "samples_per_second", "evaluations_per_sample")


def legend(summaries: Iterable[Summary]) -> list[str]:
    """What each symbol in the table means, and what may not be compared."""
    summaries = list(summaries)
    kinds = sorted({summary.kind for summary in summaries})
    told = [CONDITIONAL] if any(summary.conditional for summary in summaries) else []
    return [f"{kind.symbol} {MEANING[kind]}" for kind in kinds] + told + [LEGEND]


def about_spread(summaries: Sequence[Summary]) -> str:
    """What the column ± holds."""
    several = sorted({s.seeds for s in summaries if s.seeds > 1})
    if not several:
        return "± standard error over test events"
    counts = " or ".join(map(str, several))
    return f"± standard deviation over {counts} seeds; where there is one, standard error over test events"


def markdown(rows: Iterable[Row]) -> str:
    """The table in Markdown, baselines in italics, with its legend: for a README made from a record."""
    summaries = summarise(rows)
    unit = summaries[0].unit if summaries else ""
    lines = [_line((HEADERS[0], unit, *HEADERS[2:])), _line(["---", *["---:"] * (len(HEADERS) - 1)])]
    for summary in summaries:
        name = f"*{summary.family}*" if summary.baseline else f"**{summary.family}**"
        lines.append(_line((name, *summary.cells[1:])))
    return (
        "\n".join(lines)
        + "\n\n"
        + "; ".join(legend(summaries)[:-1])
        + f"; {about_spread(summaries)}; {COST}. {LEGEND}\n"
    )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _count(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k" if value >= 1e4 else f"{value:.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def significant(value: float | None) -> str:
    """Two significant figures: timings are no better than that."""
    if value is None or value <= 0:
        return ""
    digits = 10 ** max(0, len(str(int(value))) - 2)
    return f"{round(value / digits) * digits:,}" if value >= 10 else f"{value:.2g}"
