"""The scorecard: rows, one for each run, and the table made of them, which never ranks unlike kinds as one.

A row is a plain mapping, open to more columns; these are always there::

    family, data, seed, parameters, train_seconds, samples_per_second, evaluations_per_sample,
    bits_per_dim   {value, kind, stderr}; null for real-valued data
    nats           the same in nats per event
    direction      on which side that figure errs
    gap_to_truth   KL(p_data || p_model) in ``unit``, {value, kind, stderr}; null where the truth is not known
    astray         share of samples where the truth has no mass, {value, stderr}; null where that is not known
    missed         share of test events that the model gives almost nothing, {value, kind, stderr}, likewise (see
                   `genzoo.evaluation.support`)

``kind`` is "exact", "bound", "estimate" or "none". A row with ``baseline: true`` is a closed-form model to beat. A finished
run has an entry for each of `genzoo.evaluation.measures.MEASURES` besides, which is shown in a table of its own.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from genzoo.baselines import Baseline, fitted
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation.likelihood import Measured, evaluate
from genzoo.evaluation.measures import MEASURES
from genzoo.evaluation.support import disagreement
from genzoo.evaluation.tables import Line, Table
from genzoo.model import Likelihood
from genzoo.store import whole

Row = dict[str, Any]

MEANING = {
    Likelihood.EXACT: "the exact likelihood of the test data",
    Likelihood.BOUND: "a bound: the true figure is at most this",
    Likelihood.ESTIMATE: "an estimate, whose error is not bounded",
    Likelihood.NONE: "no likelihood: samples only, or a density whose normaliser has not been estimated",
}
BASELINE_SAMPLES = 5000
LEGEND = "Less is better, but only among figures of one kind: unlike kinds are not ranked together."
HEADERS = ("model", "", "±", "params", "training", "samples/s", "evals", "memory")  # the second is the unit
GAP = (
    "gap: how much likelier the data is under the truth, KL(p_data || p_model), with the claim of the figure beside it"
)
SHARES = (
    "A: share of samples where the truth has no mass; B: share of the test events to which the model gives less than a tenth "
    "of their true density (≈: a diffusion model's by its probability flow)"
)
COST = (
    "training: wall-clock time on the run's share of the cores; samples/s: in batches, one model at a time; "
    "evals: network evaluations for one sample; memory: the most that tensors take in a training step of 64 events"
)
CONDITIONAL = "log p(x | c): the models are told the labels or conditions, the baselines are not"


# --------------------------------------------------------------------------------------------------------------- rows


def figures(measured: Measured, data: DataSet) -> Row:
    """The entries of a row that carry a likelihood: ``unit``, ``bits_per_dim``, ``nats``, ``direction``, ``gap_to_truth``."""
    value, stderr, kind = measured.value, measured.stderr, measured.kind
    return {
        "unit": measured.unit,
        "bits_per_dim": _figure(value, stderr, kind) if data.levels else None,
        "nats": _figure(value, stderr, kind, data.dims * log(2) if data.levels else 1.0),
        "direction": measured.direction,
        "gap_to_truth": None if measured.gap is None else _figure(measured.gap, measured.gap_stderr, kind),
    }


def _figure(value: float | None, stderr: float | None, kind: Likelihood, factor: float = 1.0) -> Row:
    """JSON has no infinity: a model that rules a test event out has value null and a kind that is not "none"."""
    finite = value is not None and abs(value) != inf
    return {
        "value": value * factor if finite and value is not None else None,
        "kind": kind.name.lower(),
        "stderr": stderr * factor if finite and stderr is not None else None,
    }


def baseline_rows(data: DataSet, budget: str = "full") -> list[Row]:
    """One row for each closed-form baseline that applies to ``data``, measured as the runs of a ``budget`` are."""
    return [_baseline_row(baseline, data, budget) for baseline in fitted(data)]


def _baseline_row(baseline: Baseline, data: DataSet, budget: str) -> Row:
    measured = evaluate(baseline, data)
    return {
        "family": spoken(baseline),
        "data": data.name,
        "baseline": True,
        **figures(measured, data),
        **disagreement(measured, baseline.sample(BASELINE_SAMPLES), data),
        **{measure.name: measure.take(baseline, data, budget) for measure in MEASURES if measure.of_baselines},
    }


def spoken(baseline: object) -> str:
    """The name of a baseline's class in words: "Independent pixels"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(baseline).__name__).capitalize()


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
    gap: float | None
    astray: float | None
    missed: float | None
    missed_kind: Likelihood
    seeds: int
    caveat: str
    parameters: float | None
    train_seconds: float | None
    samples_per_second: float | None
    evaluations_per_sample: float | None
    memory: float | None

    @property
    def figure(self) -> str:
        """The likelihood as it is printed: never without its symbol."""
        if self.kind == Likelihood.NONE:
            return self.kind.symbol
        return f"{self.kind.symbol} {'∞' if self.value is None else f'{self.value:.3f}'}"

    @property
    def gap_figure(self) -> str:
        """The gap to the truth as it is printed, with the symbol of the figure that it comes from; empty where unknown."""
        if self.gap is None:
            return ""
        return f"{self.kind.symbol} {'∞' if self.gap == inf else f'{self.gap:.3f}'}"

    @property
    def share_figures(self) -> tuple[str, str]:
        """A and B as they are printed: B carries the claim of the log-density behind it, mirrored from a bound's; else empty."""
        a = "" if self.astray is None else f"{self.astray:.1%}"
        return a, "" if self.missed is None else f"{self.missed_kind.symbol} {self.missed:.1%}"

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
            "" if self.memory is None else f"{self.memory / 2**20:.0f} MiB",
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
        gap=_gap(rows),
        astray=_mean((row.get("astray") or {}).get("value") for row in rows),
        missed=_mean((row.get("missed") or {}).get("value") for row in rows),
        missed_kind=max(Likelihood[(row.get("missed") or {}).get("kind", "none").upper()] for row in rows),
        seeds=len(rows),
        caveat=_caveat(rows) if kind == Likelihood.ESTIMATE else "",
        **{name: _mean(row.get(name) for row in rows) for name in COSTS},
        memory=_mean((row.get("memory") or {}).get("training") for row in rows),
    )


def _caveat(rows: list[Row]) -> str:
    """On which side an estimate errs, and how many of its chains carry the weight, in the worst of its runs."""
    caveats = [rows[0]["direction"]] if rows[0].get("direction") else []
    found = [row.get("evaluation") or {} for row in rows]
    effective = [ess for details in found if (ess := (details.get("log_z") or details).get("ess")) is not None]
    if effective and (chains := found[0].get("ais_chains")):
        caveats.append(f"{min(effective):.1f} of {chains} chains carry the weight")
    return "; ".join(caveats)


def _gap(rows: list[Row]) -> float | None:
    """The mean gap to the truth; infinite where a model rules an event out, None where a row knows of no gap."""
    gaps: list[Row] = [row.get("gap_to_truth") or {"kind": "none"} for row in rows]
    if any(gap["kind"] == "none" for gap in gaps):
        return None
    return mean(inf if gap["value"] is None else float(gap["value"]) for gap in gaps)


COSTS = ("parameters", "train_seconds", "samples_per_second", "evaluations_per_sample")


def columns(summaries: Sequence[Summary]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headers of the table, and the printed cells of each summary; columns "gap", "A" and "B" where the truth is known."""
    gap = any(summary.gap is not None for summary in summaries)
    shares = any(summary.astray is not None for summary in summaries)
    known = (*["gap"] * gap, *["A", "B"] * shares)
    headers = (HEADERS[0], summaries[0].unit if summaries else "", HEADERS[2], *known, *HEADERS[3:])
    return headers, [
        (*s.cells[:3], *[s.gap_figure] * gap, *[*s.share_figures] * shares, *s.cells[3:]) for s in summaries
    ]


def legend(summaries: Iterable[Summary]) -> list[str]:
    """What each symbol in the table means, and what may not be compared."""
    summaries = list(summaries)
    kinds = sorted({summary.kind for summary in summaries})
    told = [CONDITIONAL] if any(summary.conditional for summary in summaries) else []
    told += [GAP] if any(summary.gap is not None for summary in summaries) else []
    told += [SHARES] if any(summary.astray is not None for summary in summaries) else []
    caveats = [f"{s.kind.symbol} of {s.family}: {s.caveat}" for s in summaries if s.caveat]
    return [f"{kind.symbol} {MEANING[kind]}" for kind in kinds] + caveats + told + [LEGEND]


def about_spread(summaries: Sequence[Summary]) -> str:
    """What the column ± holds."""
    several = sorted({s.seeds for s in summaries if s.seeds > 1})
    if not several:
        return "± standard error over test events"
    counts = " or ".join(map(str, several))
    return f"± standard deviation over {counts} seeds; where there is one, standard error over test events"


def tables(rows: Iterable[Row]) -> list[Table]:
    """The scorecard: likelihood and cost, then a table for each of `MEASURES` that the rows have."""
    rows = list(rows)
    others = (measure.table(rows) for measure in MEASURES)
    return [_likelihoods(summarise(rows)), *(table for table in others if table is not None)]


def _likelihoods(summaries: Sequence[Summary]) -> Table:
    headers, cells = columns(summaries)
    before = [None, *summaries]
    lines = [
        Line(row, muted=summary.baseline, opens=last is not None and last.kind != summary.kind)
        for summary, row, last in zip(summaries, cells, before, strict=False)
    ]
    told = [*legend(summaries)[:-1], about_spread(summaries), f"{COST}. {LEGEND}"]
    return Table("Likelihood of the test data, and what it costs", headers, lines, told)


def markdown(rows: Iterable[Row]) -> str:
    """The tables in Markdown, baselines in italics, with their legends: for a README made from a record."""
    return "\n".join(table.markdown() for table in tables(rows))


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
