"""The scorecard: rows, one for each run, and the table made of them, which never ranks unlike kinds
as one.

A row is a plain mapping, open to more columns; these are always there::

    family, data, seed, parameters, train_seconds, samples_per_second, evaluations_per_sample,
    bits_per_dim   a `Figure` as JSON; null for real-valued data
    nats           the same in nats per event
    direction      on which side that figure errs
    gap_to_truth   KL(p_data || p_model) in ``unit``, a figure; null where the truth is not known
    astray         share of samples where the truth has no mass, a figure; null where that is not known
    missed         share of test events that the model gives almost nothing, likewise (see `genzoo.evaluation.likelihood.truth`)
    protocol       how the settings were chosen, a key of `PROTOCOLS`

A row with ``baseline: true`` is a closed-form model to beat. A finished run has an entry for each
of `genzoo.benchmark.measures.MEASURES` besides, which is shown in a table of its own.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from genzoo.benchmark.measures import MEASURES
from genzoo.benchmark.report.tables import Line, Table
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure, combine
from genzoo.evaluation.likelihood.evaluate import Measured, evaluate
from genzoo.evaluation.likelihood.truth import disagreement
from genzoo.families.baselines import Baseline, fitted
from genzoo.files import whole
from genzoo.model import Likelihood

Row = dict[str, Any]

MEANING = {
    Likelihood.EXACT: "the exact likelihood of the test data",
    Likelihood.BOUND: "a bound in expectation: but for ±, which includes the draws, the true figure is at most this",
    Likelihood.ESTIMATE: "an estimate, on no known side of the truth or on a flattering one",
    Likelihood.NONE: "no figure",
}
PROTOCOLS = {
    1: "settings were chosen by validation while test figures were in sight",
    2: "settings were fixed before these test events were drawn, or chosen by validation in scripts that print no test figure",
}
PROTOCOL = 2  # of rows made from now on
BASELINE_SAMPLES = 5000
LEGEND = "Less is better, but only among figures of one kind: unlike kinds are not ranked together."
ERROR = "±: standard error of test events, Monte Carlo draws and seeds together; 1.96 of it on either side hold 95 %"
SEEDS = "seeds: the least and the greatest of as many runs"
EVENTS = "n: test events measured; where they are fewer than all, what is known of all corrects for the choice"
INTERVAL = "low … high: the figure lies between the two, for its normaliser is known no better; ± comes on top"
FILE = "as a file: bits/dim of test events that were written to a file with the model, and read back bit for bit"
GAP = "gap: how much likelier the data is under the truth, KL(p_data || p_model), with the claim of the figure beside it"
SHARES = (
    "A: share of samples where the truth has no mass; B: share of the test events to which the model gives less than a tenth "
    "of their true density (≈: a diffusion model's by its probability flow); in brackets, where 95 % lie"
)
COST = (
    "training: wall-clock time on the run's share of the cores; samples/s: in batches, one model at a time; "
    "evals: network evaluations for one sample; memory: the most that tensors take in a training step of 64 events"
)
CONDITIONAL = "log p(x | c): the models are told the labels or conditions, the baselines are not"
COSTS = ("parameters", "train_seconds", "samples_per_second", "evaluations_per_sample")


# --------------------------------------------------------------------------------------------- rows


def figures(measured: Measured, data: DataSet) -> Row:
    """The entries of a row that carry a likelihood: ``unit``, ``bits_per_dim``, ``nats``,
    ``direction``, ``gap_to_truth``.
    """
    nats_of_unit = data.dims * log(2) if data.levels else 1.0
    gap = measured.gap
    return {
        "unit": measured.unit,
        "bits_per_dim": measured.figure.to_json() if data.levels else None,
        "nats": measured.figure.scaled(nats_of_unit).to_json(),
        "direction": measured.direction,
        "gap_to_truth": None if gap is None else gap.to_json(),
    }


def baseline_rows(data: DataSet, budget: str = "full") -> list[Row]:
    """One row for each closed-form baseline that applies to ``data``, measured as the runs of a
    ``budget`` are.
    """
    return [_baseline_row(baseline, data, budget) for baseline in fitted(data)]


def _baseline_row(baseline: Baseline, data: DataSet, budget: str) -> Row:
    measured = evaluate(baseline, data)
    return {
        "family": spoken(baseline),
        "data": data.name,
        "baseline": True,
        **figures(measured, data),
        **disagreement(measured, baseline.sample(BASELINE_SAMPLES), data),
        **{
            measure.name: measure.take(baseline, data, budget)
            for measure in MEASURES
            if measure.of_baselines
        },
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
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and "family" in row for row in rows
    ):
        raise InputError(f"{path} is no scorecard: expected a list of rows, each with a family.")
    return rows


# -------------------------------------------------------------------------------------------- table


@dataclass(frozen=True)
class Summary:
    """The rows of one family on one data set, all its seeds together.

    ``figure`` and ``gap`` carry all errors at once (`genzoo.evaluation.figures.combine`); ``each``
    holds one number a seed.
    """

    family: str
    data: str
    baseline: bool
    conditional: bool
    figure: Figure
    unit: str
    each: tuple[float, ...]
    of: int | None
    gap: Figure | None
    astray: Figure | None
    missed: Figure | None
    file: float | None
    caveat: str
    seeds: int
    parameters: float | None
    train_seconds: float | None
    samples_per_second: float | None
    evaluations_per_sample: float | None
    memory: float | None

    @property
    def kind(self) -> Likelihood:
        """What the likelihood claims."""
        return Likelihood.NONE if self.figure.kind is None else self.figure.kind

    @property
    def events(self) -> str:
        """How many test events were measured: "447", or "100 of 447"."""
        if self.figure.n is None:
            return ""
        return (
            f"{self.figure.n:,}"
            if self.of in (None, self.figure.n)
            else f"{self.figure.n:,} of {self.of:,}"
        )

    @property
    def over_seeds(self) -> str:
        """The least and the greatest figure over seeds, and how many there are; empty where there
        is one.
        """
        if len(self.each) < 2 or not self.figure.is_known:
            return ""
        return f"{min(self.each):.3f} … {max(self.each):.3f} ({len(self.each)})"


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """One summary for each family and data set: grouped by kind, the least figure first within
    each.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.get("data", ""), row["family"]), []).append(row)
    return sorted(map(_summary, groups.values()), key=_place)


def _place(summary: Summary) -> tuple[str, Likelihood, float]:
    middle = summary.figure.middle
    return summary.data, summary.kind, inf if middle is None else middle


def _summary(rows: list[Row]) -> Summary:
    first = rows[0]
    likelihoods = [likelihood(row) for row in rows]
    figure = combine(likelihoods)
    gaps = [_figure(row, "gap_to_truth") for row in rows]
    memory = [(row.get("memory") or {}).get("training") for row in rows]
    return Summary(
        family=_name(rows),
        data=first.get("data", ""),
        baseline=bool(first.get("baseline")),
        conditional=bool(first.get("conditional")),
        figure=figure,
        unit="bits/dim" if first.get("bits_per_dim") else "nats",
        each=tuple(found.middle for found in likelihoods if found.middle is not None),
        of=(first.get("evaluation") or {}).get("of"),
        gap=_all_or_none(gaps),
        astray=_all_or_none([_figure(row, "astray") for row in rows], shared=False),
        missed=_all_or_none([_figure(row, "missed") for row in rows]),
        file=_mean([(row.get("file") or {}).get("bits_per_dim") for row in rows]),
        caveat=_caveat(rows, figure),
        seeds=len(rows),
        memory=_mean(memory),
        **{name: _mean([row.get(name) for row in rows]) for name in COSTS},
    )


def likelihood(row: Row) -> Figure:
    """The likelihood of a row, in its unit; a dash where it states none."""
    entry = row.get("bits_per_dim") or row.get("nats")
    if entry is None:
        return Figure.dash("")
    figure = Figure.from_json(entry)
    reason = figure.reason or (row.get("evaluation") or {}).get("reason", "")
    return figure if figure.kind != Likelihood.NONE else Figure.dash(reason, figure.n)


def _figure(row: Row, name: str) -> Figure | None:
    entry = row.get(name)
    return None if entry is None else Figure.from_json(entry)


def _all_or_none(found: Sequence[Figure | None], shared: bool = True) -> Figure | None:
    """All runs' figures in one; None where a run has none, or only a dash."""
    known = [figure for figure in found if figure is not None and figure.kind != Likelihood.NONE]
    return combine(known, shared) if len(known) == len(found) else None


def _name(rows: list[Row]) -> str:
    """The family, and what had to be added to it to give it a density: "GAN + noise 0.48"."""
    details = [row.get("evaluation") or {} for row in rows]
    words = sorted({found["observation"] for found in details if found.get("observation")})
    if not words:
        return rows[0]["family"]
    what, _, first = words[0].partition(" ")
    last = words[-1].rpartition(" ")[2]
    return f"{rows[0]['family']} + {what} {first if first == last else f'{first} to {last}'}"


def _caveat(rows: list[Row], figure: Figure) -> str:
    """Why there is no figure; on which side an estimate errs and how many chains carry its weight;
    how loose a bound is.
    """
    if figure.kind == Likelihood.NONE:
        return figure.reason
    if figure.kind == Likelihood.BOUND:
        return _looseness([row.get("evaluation") or {} for row in rows])
    if figure.kind != Likelihood.ESTIMATE:
        return ""
    caveats = [rows[0]["direction"]] if rows[0].get("direction") else []
    details = [row.get("evaluation") or {} for row in rows]
    effective = [(found.get("log_z") or found).get("ess") for found in details]
    known = [ess for ess in effective if ess is not None]
    chains = details[0].get("ais_chains")
    if known and chains:
        caveats.append(f"{min(known):.1f} of {chains} chains carry the weight")
    return "; ".join(caveats)


def _looseness(details: list[Row]) -> str:
    """How far the annealings of a decoder are from the truth, as far as that was measured; nothing
    of other bounds.
    """
    told = []
    if (known := [found["ess"] for found in details if found.get("ess") is not None]) and details[
        0
    ].get("ais_chains"):
        told.append(
            f"of each event's {details[0]['ais_chains']} chains {_span(known, 1)} carry the weight"
        )
    if gaps := [found for found in details if found.get("simulated_gap") is not None]:
        width = _span([found["simulated_gap"] for found in gaps], 2)
        if len(gaps) == 1 and gaps[0].get("simulated_gap_stderr") is not None:
            width += f" ± {gaps[0]['simulated_gap_stderr']:.2f}"
        events = gaps[0].get("simulated_events")
        made = f"{events} events that the model made" if events else "events that the model made"
        told.append(
            f"on {made} the bounds from both sides lie {width} nats apart, "
            "on real ones perhaps farther"
        )
    return "; ".join(told)


def _span(values: Sequence[float], digits: int) -> str:
    """Numbers of several runs from the least to the greatest: "1.5 to 1.8"."""
    least, most = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return least if least == most else f"{least} to {most}"


# ------------------------------------------------------------------------------------------ columns


class Column(NamedTuple):
    """A column of the table: its header, a cell of it, and whether any of the summaries has
    something to say in it.
    """

    header: str
    cell: Callable[[Summary], str]
    wanted: Callable[[Sequence[Summary]], bool] = lambda summaries: True


def _error_cell(summary: Summary) -> str:
    error = summary.figure.stderr
    return "" if error is None or not summary.figure.is_known else f"{error:.3f}"


def share_cell(figure: Figure | None) -> str:
    """A share as it is printed: "54 % [50–58]", the brackets holding 95 %."""
    if figure is None or figure.value is None:
        return ""
    text = f"{figure.symbol} {100 * figure.value:.1f} %".strip()
    if figure.low is None or figure.high is None:
        return text if figure.stderr is None else f"{text} ± {100 * figure.stderr:.1f}"
    return f"{text} [{100 * figure.low:.1f}–{100 * figure.high:.1f}]"


def _gap_cell(summary: Summary) -> str:
    if summary.gap is None:
        return ""
    error = summary.gap.stderr
    return summary.gap.text() if error is None else f"{summary.gap.text()} ± {error:.3f}"


def _file_cell(summary: Summary) -> str:
    return "" if summary.file is None else f"{summary.file:.3f}"


def _evaluations_cell(summary: Summary) -> str:
    evaluations = summary.evaluations_per_sample
    return "" if evaluations is None else f"{evaluations:g}"


def _memory_cell(summary: Summary) -> str:
    return "" if summary.memory is None else f"{summary.memory / 2**20:.0f} MiB"


def _several_seeds(summaries: Sequence[Summary]) -> bool:
    return any(summary.seeds > 1 for summary in summaries)


def _different_n(summaries: Sequence[Summary]) -> bool:
    return len({summary.events for summary in summaries if summary.figure.is_known}) > 1


def _written(summaries: Sequence[Summary]) -> bool:
    return any(summary.file is not None for summary in summaries)


def _gap_known(summaries: Sequence[Summary]) -> bool:
    return any(summary.gap is not None for summary in summaries)


def _shares_known(summaries: Sequence[Summary]) -> bool:
    return any(summary.astray is not None for summary in summaries)


def _columns(summaries: Sequence[Summary]) -> list[Column]:
    unit = summaries[0].unit if summaries else ""
    every = [
        Column("model", lambda s: s.family),
        Column(unit, lambda s: s.figure.text()),
        Column("±", _error_cell),
        Column("seeds", lambda s: s.over_seeds, _several_seeds),
        Column("n", lambda s: s.events if s.figure.is_known else "", _different_n),
        Column("as a file", _file_cell, _written),
        Column("gap", _gap_cell, _gap_known),
        Column("A", lambda s: share_cell(s.astray), _shares_known),
        Column("B", lambda s: share_cell(s.missed), _shares_known),
        Column("params", lambda s: _count(s.parameters)),
        Column("training", lambda s: _duration(s.train_seconds)),
        Column("samples/s", lambda s: significant(s.samples_per_second)),
        Column("evals", _evaluations_cell),
        Column("memory", _memory_cell),
    ]
    return [column for column in every if column.wanted(summaries)]


def legend(summaries: Iterable[Summary]) -> list[str]:
    """What each symbol and column of these rows means, and what may not be compared: nothing that
    no row bears out.
    """
    summaries = list(summaries)
    known = [summary for summary in summaries if summary.figure.is_known]
    told = [
        f"{kind.symbol} {MEANING[kind]}" for kind in sorted({summary.kind for summary in summaries})
    ]
    told += [f"{s.kind.symbol} of {s.family}: {s.caveat}" for s in summaries if s.caveat]
    if any(summary.figure.is_interval for summary in known):
        told.append(INTERVAL)
    if any(summary.figure.stderr is not None for summary in known):
        told.append(ERROR)
    if _several_seeds(summaries):
        told.append(SEEDS)
    if _different_n(summaries):
        told.append(EVENTS)
    elif known and known[0].events:
        told.append(f"n = {known[0].events} test events")
    if any(summary.conditional for summary in summaries):
        told.append(CONDITIONAL)
    if _written(summaries):
        told.append(FILE)
    if _gap_known(summaries):
        told.append(GAP)
    if _shares_known(summaries):
        told.append(SHARES)
    return told


# ------------------------------------------------------------------------------------------- tables


def tables(rows: Iterable[Row]) -> list[Table]:
    """The scorecard: likelihood and cost, then a table for each of `MEASURES` that the rows have."""
    rows = list(rows)
    others = (measure.table(rows) for measure in MEASURES)
    return [_likelihoods(rows), *(table for table in others if table is not None)]


def _likelihoods(rows: Sequence[Row]) -> Table:
    summaries = summarise(rows)
    columns = _columns(summaries)
    lines = []
    for i, summary in enumerate(summaries):
        new_kind = i > 0 and summaries[i - 1].kind != summary.kind
        cells = tuple(column.cell(summary) for column in columns)
        lines.append(Line(cells, muted=summary.baseline, opens=new_kind))
    headers = tuple(column.header for column in columns)
    told = [*legend(summaries), *_protocols(rows), f"{COST}. {LEGEND}"]
    return Table("Likelihood of the test data, and what it costs", headers, lines, told)


def _protocols(rows: Sequence[Row]) -> list[str]:
    """How the settings of these rows were chosen; rows of before protocols had numbers are of the
    first.
    """
    trained = [row for row in rows if not row.get("baseline")]
    return [
        f"protocol: {PROTOCOLS[number]}"
        for number in sorted({row.get("protocol", 1) for row in trained})
    ]


def markdown(rows: Iterable[Row]) -> str:
    """The tables in Markdown, baselines in italics, with their legends: for a README made from a
    record.
    """
    return "\n".join(table.markdown() for table in tables(rows))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _count(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value / 1e3:.0f} k" if value >= 1e4 else f"{value:.0f}"


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
