"""The first table of the scorecard: likelihood, each kind ranked by itself, and cost."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import mean
from typing import NamedTuple

from genzoo.benchmark.report.cells import share_of_points, significant
from genzoo.benchmark.report.tables import Line, Table
from genzoo.benchmark.row import PROTOCOLS, Row
from genzoo.evaluation.figures import Figure, combine
from genzoo.evaluation.results import Cost
from genzoo.model import Likelihood

MEANING = {
    Likelihood.EXACT: "the exact likelihood of the test data",
    Likelihood.BOUND: (
        "an upper bound: the true value is at most this, up to ±, which includes Monte Carlo noise"
    ),
    Likelihood.ESTIMATE: "an estimate: it may err to either side, or is known to flatter the model",
    Likelihood.NONE: "no value",
}
RANKED = (
    "ranking: lower is better, but only among rows with the same sign; different kinds of value "
    "are not ranked against each other"
)
ERROR = (
    "±: one standard error, of test events, Monte Carlo samples and seeds together; 1.96 of it on "
    "either side is a 95 % interval"
)
SEEDS = "seeds: the lowest and the highest value of the runs, and how many runs there are"
EVENTS = (
    "n: number of test events measured; where these are not all, control variates that are known "
    "for all events correct for the choice"
)
INTERVAL = (
    "low … high: the value lies between these two, because the normaliser is not known more "
    "precisely; ± comes on top"
)
FILE = (
    "as a file: bits/dim of test events that the model compressed into a file, and that were read "
    "back bit for bit"
)
GAP = (
    "gap: KL(p_data || p_model), how much likelier the data is under the truth than under the "
    "model; it has the sign of the value beside it"
)
SHARES = (
    "A: share of samples that lie where the truth has no mass; in brackets, a 95 % interval",
    "B: share of test events to which the model gives less than a tenth of their true density; in "
    "brackets, a 95 % interval (≈: for a diffusion model, by its probability flow)",
)
COST = (
    "training: wall-clock time on the run's share of the cores",
    "samples/s: sampled in batches, one model at a time",
    "evals: network evaluations for one sample",
    "memory: the most that tensors take in a training step of 64 events",
)
EQUAL_TIME = "minutes: every model trained for {} on the same machine, in as many steps as fit"
CONDITIONAL = "log p(x | c): the models are told labels or conditions, the baselines are not"


@dataclass(frozen=True)
class Summary:
    """The rows of one family on one data set, combined over seeds.

    Args:
        rows: of all seeds.
        figure: the likelihood with all errors (`genzoo.evaluation.figures.combine`).
        gap: to the truth, likewise; None where a run has none, or only a dash.
        off_support: point A, likewise.
        missed: point B, likewise.
    """

    rows: tuple[Row, ...]
    figure: Figure
    gap: Figure | None
    off_support: Figure | None
    missed: Figure | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Summary":
        """Combine the rows of one family on one data set."""
        truths = [row.disagreement for row in rows]
        off_support = [None if truth is None else truth.off_support for truth in truths]
        missed = [None if truth is None else truth.missed for truth in truths]
        return cls(
            rows=tuple(rows),
            figure=combine([row.figure for row in rows]),
            gap=_all_or_none([row.likelihood.gap for row in rows]),
            off_support=_all_or_none(off_support, shared=False),
            missed=_all_or_none(missed),
        )

    @property
    def first(self) -> Row:
        """The run of the first seed, for values that all seeds have in common."""
        return self.rows[0]

    @property
    def kind(self) -> Likelihood:
        """The kind of claim of the likelihood."""
        return Likelihood.NONE if self.figure.kind is None else self.figure.kind

    @property
    def seeds(self) -> int:
        """Number of runs."""
        return len(self.rows)

    @property
    def name(self) -> str:
        """The family, with the addition that gives it a density: "GAN + noise 0.48"."""
        added = sorted({row.likelihood.observation for row in self.rows} - {""})
        if not added:
            return self.first.family
        what, _, first = added[0].partition(" ")
        last = added[-1].rpartition(" ")[2]
        amounts = first if first == last else f"{first} to {last}"
        return f"{self.first.family} + {what} {amounts}"

    @property
    def events(self) -> str:
        """Number of test events that were measured: "447", or "100 of 447"."""
        n = self.figure.n
        of = self.first.likelihood.of
        if n is None:
            return ""
        if of is None or of == n:
            return f"{n:,}"
        return f"{n:,} of {of:,}"

    @property
    def over_seeds(self) -> str:
        """The least and the greatest figure over seeds, and their number; empty of one seed."""
        middles = [row.figure.middle for row in self.rows if row.figure.middle is not None]
        if len(middles) < 2 or not self.figure.is_known:
            return ""
        return f"{min(middles):.3f} … {max(middles):.3f} ({len(middles)})"

    @property
    def file(self) -> float | None:
        """Bits/dim of a file of test events, the mean over seeds."""
        return _mean(None if row.file is None else row.file.bits_per_dim for row in self.rows)

    @property
    def memory(self) -> float | None:
        """Bytes of a training step, the mean over seeds."""
        return _mean(None if row.memory is None else row.memory.training for row in self.rows)

    @property
    def caveat(self) -> str:
        """The reason of a dash, the side on which an estimate errs, or the looseness of a bound."""
        if self.kind == Likelihood.NONE:
            return self.figure.reason
        if self.kind == Likelihood.BOUND:
            return self._looseness()
        if self.kind != Likelihood.ESTIMATE:
            return ""
        likelihood = self.first.likelihood
        caveats = []
        if likelihood.direction:
            caveats.append(likelihood.direction)
        effective = self._effective_chains()
        chains = likelihood.chains
        if effective and chains:
            caveats.append(f"{min(effective):.1f} of {chains} chains carry the weight")
        return "; ".join(caveats)

    def _looseness(self) -> str:
        """The looseness of an annealing of a decoder, in words; empty of other bounds."""
        sentences = []
        effective = self._effective_chains()
        chains = self.first.likelihood.chains
        if effective and chains:
            carrying = _span(effective, 1)
            sentences.append(f"{carrying} of {chains} chains carry the weight of an event")
        gaps = [row.likelihood.simulated_gap for row in self.rows]
        measured = [gap for gap in gaps if gap is not None and gap.value is not None]
        if measured:
            first = measured[0]
            width = _span([gap.value for gap in measured if gap.value is not None], 2)
            if len(measured) == 1 and first.stderr is not None:
                width += f" ± {first.stderr:.2f}"
            events = f"{first.n} events" if first.n else "events"
            sentences.append(
                f"on {events} that the model itself generated, lower and upper bound are {width} "
                "nats apart; on real events perhaps more"
            )
        return "; ".join(sentences)

    def _effective_chains(self) -> list[float]:
        effective = [row.likelihood.effective_chains for row in self.rows]
        return [chains for chains in effective if chains is not None]

    def cost(self, of: Callable[[Cost], float | None]) -> float | None:
        """The mean over seeds of one of the costs, such as ``lambda cost: cost.parameters``."""
        return _mean(None if row.cost is None else of(row.cost) for row in self.rows)


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """A summary for each family and data set: grouped by kind, the least figure first in each."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.data, row.family), []).append(row)
    return sorted(map(Summary.of, groups.values()), key=_rank)


def _rank(summary: Summary) -> tuple[str, Likelihood, float]:
    middle = summary.figure.middle
    return summary.first.data, summary.kind, inf if middle is None else middle


def _all_or_none(figures: Sequence[Figure | None], shared: bool = True) -> Figure | None:
    """One figure of all runs; None where a run has none, or only a dash."""
    known = [figure for figure in figures if figure is not None and figure.kind != Likelihood.NONE]
    if len(known) < len(figures):
        return None
    return combine(known, shared)


def _span(values: Sequence[float], digits: int) -> str:
    """Numbers of several runs from the least to the greatest: "1.5 to 1.8"."""
    least = f"{min(values):.{digits}f}"
    most = f"{max(values):.{digits}f}"
    if least == most:
        return least
    return f"{least} to {most}"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return mean(known)


# ------------------------------------------------------------------------------------------ columns


class Column(NamedTuple):
    """A column of the table."""

    header: str
    cell: Callable[[Summary], str]

    wanted: Callable[[Sequence[Summary]], bool] = lambda summaries: True
    """True if the column has a content for any of the summaries."""


def _error(summary: Summary) -> str:
    error = summary.figure.stderr
    if error is None or not summary.figure.is_known:
        return ""
    return f"{error:.3f}"


def _events(summary: Summary) -> str:
    return summary.events if summary.figure.is_known else ""


def _file(summary: Summary) -> str:
    return "" if summary.file is None else f"{summary.file:.3f}"


def _gap(summary: Summary) -> str:
    if summary.gap is None:
        return ""
    text = summary.gap.text()
    error = summary.gap.stderr
    if error is None:
        return text
    return f"{text} ± {error:.3f}"


def _parameters(summary: Summary) -> str:
    count = summary.cost(lambda cost: cost.parameters)
    if count is None:
        return ""
    if count >= 1e6:
        return f"{count / 1e6:.2f} M"
    if count >= 1e4:
        return f"{count / 1e3:.0f} k"
    return f"{count:.0f}"


def _training(summary: Summary) -> str:
    seconds = summary.cost(lambda cost: cost.train_seconds)
    return "" if seconds is None else duration(seconds)


def _steps(summary: Summary) -> str:
    steps = summary.cost(lambda cost: cost.steps)
    return "" if steps is None else f"{steps:,.0f}"


def _speed(summary: Summary) -> str:
    return significant(summary.cost(lambda cost: cost.samples_per_second))


def _evaluations(summary: Summary) -> str:
    evaluations = summary.cost(lambda cost: cost.evaluations_per_sample)
    return "" if evaluations is None else f"{evaluations:g}"


def _memory(summary: Summary) -> str:
    return "" if summary.memory is None else f"{summary.memory / 2**20:.0f} MiB"


def duration(seconds: float) -> str:
    """ "95 s", or "3.5 min" from two minutes on."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _several_seeds(summaries: Sequence[Summary]) -> bool:
    return any(summary.seeds > 1 for summary in summaries)


def _different_n(summaries: Sequence[Summary]) -> bool:
    return len({summary.events for summary in summaries if summary.figure.is_known}) > 1


def _written(summaries: Sequence[Summary]) -> bool:
    return any(summary.file is not None for summary in summaries)


def _gap_known(summaries: Sequence[Summary]) -> bool:
    return any(summary.gap is not None for summary in summaries)


def _shares_known(summaries: Sequence[Summary]) -> bool:
    return any(summary.off_support is not None for summary in summaries)


def _equal_time(summaries: Sequence[Summary]) -> bool:
    return any(summary.first.minutes is not None for summary in summaries)


def _columns(summaries: Sequence[Summary]) -> list[Column]:
    """The columns that have a content in some row."""
    unit = summaries[0].first.likelihood.unit if summaries else ""
    every = [
        Column("model", lambda summary: summary.name),
        Column(unit, lambda summary: summary.figure.text()),
        Column("±", _error),
        Column("seeds", lambda summary: summary.over_seeds, _several_seeds),
        Column("n", _events, _different_n),
        Column("as a file", _file, _written),
        Column("gap", _gap, _gap_known),
        Column("A", lambda summary: share_of_points(summary.off_support), _shares_known),
        Column("B", lambda summary: share_of_points(summary.missed), _shares_known),
        Column("params", _parameters),
        Column("training", _training),
        Column("steps", _steps, _equal_time),
        Column("samples/s", _speed),
        Column("evals", _evaluations),
        Column("memory", _memory),
    ]
    return [column for column in every if column.wanted(summaries)]


def legend(summaries: Iterable[Summary]) -> list[str]:
    """Explanations of those symbols and columns that occur, and of what cannot be compared."""
    summaries = list(summaries)
    known = [summary for summary in summaries if summary.figure.is_known]
    kinds = sorted({summary.kind for summary in summaries})
    sentences = [f"{kind.symbol}: {MEANING[kind]}" for kind in kinds]
    for summary in summaries:
        if summary.caveat:
            sentences.append(f"{summary.kind.symbol} of {summary.name}: {summary.caveat}")
    if any(summary.figure.is_interval for summary in known):
        sentences.append(INTERVAL)
    if any(summary.figure.stderr is not None for summary in known):
        sentences.append(ERROR)
    if _several_seeds(summaries):
        sentences.append(SEEDS)
    if _different_n(summaries):
        sentences.append(EVENTS)
    elif known and known[0].events:
        sentences.append(f"n: {known[0].events} test events in every row")
    if any(summary.first.conditional for summary in summaries):
        sentences.append(CONDITIONAL)
    if _written(summaries):
        sentences.append(FILE)
    if _gap_known(summaries):
        sentences.append(GAP)
    if _shares_known(summaries):
        sentences += SHARES
    return sentences


# -------------------------------------------------------------------------------------------- table


def likelihood_table(rows: Sequence[Row]) -> Table:
    """Likelihood and cost, one line for each family, grouped by the kind of claim."""
    summaries = summarise(rows)
    columns = _columns(summaries)
    lines = []
    for i, summary in enumerate(summaries):
        new_kind = i > 0 and summaries[i - 1].kind != summary.kind
        cells = tuple(column.cell(summary) for column in columns)
        lines.append(Line(cells, muted=summary.first.baseline, opens=new_kind))
    headers = tuple(column.header for column in columns)
    sentences = [
        *legend(summaries),
        *_protocols(rows),
        *_equal_times(rows),
        *COST,
        RANKED,
    ]
    return Table("Likelihood of the test data, and what it costs", headers, lines, sentences)


def _protocols(rows: Sequence[Row]) -> list[str]:
    """Sentences on the choice of settings of trained rows."""
    numbers = sorted({row.protocol for row in rows if not row.baseline})
    return [f"protocol: {PROTOCOLS[number]}" for number in numbers]


def _equal_times(rows: Sequence[Row]) -> list[str]:
    times = sorted({row.minutes for row in rows if row.minutes is not None})
    return [EQUAL_TIME.format(duration(60 * minutes)) for minutes in times]
