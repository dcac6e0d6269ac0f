"""Two tables of the scorecard: representations, and fidelity of samples to their condition."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from scipy.special import ndtri

from genzoo.benchmark.report.cells import NOTHING, error_legend, number, percent, together
from genzoo.benchmark.report.tables import Line, Table
from genzoo.evaluation.figures import Z95, Figure, combine
from genzoo.evaluation.results import (
    ClassFidelity,
    LatentPair,
    NumberFidelity,
    Probe,
    Representation,
)

PROBED = (
    "probe: a linear model, fitted on training events and scored on test events; compare it with "
    "the row of raw pixels"
)
LEAST = "R²: the lowest among the numbers that describe an event"
LATENT = (
    "latent: exact where encoding and decoding invert each other, approximate where the encoder "
    "guesses, optimised where it searches",
    "round trip: error of an event that was encoded and decoded, as a share of the data's spread",
)
TALLER = (
    "pair: the lower R² of height and width, predicted from the best two dimensions of the latent",
    "taller by 1: what happens to height and width of decoded tins after a step of the latent that "
    "should add one pixel of height and none of width",
)
ACCURACY = (
    "accuracy: share of samples that a classifier, trained on real events, assigns to the class "
    "that was asked for; it errs itself, so a value above its accuracy on real test events means "
    "that samples are typical, not that they are better"
)
WORST = (
    "worst: accuracy of the class with the lowest one; with many classes it is low by chance, "
    "which its interval allows for"
)
COVERAGE = "coverage: share of unseen real events with a sample of their class nearby"
CAS = "CAS: accuracy on real test events of a classifier that was trained on these samples alone"
MEASURED = (
    "height, width: mean error, in pixels, of tins that were sampled for a height and a width",
    "exact: share that is right in both",
)
OF_REAL_CLASSES = (
    "Real data: accuracy on test events; the other columns with as many training events in place "
    "of samples"
)
OF_NUMBERS = (
    "errors: mean error of each number of the condition, as measured on the samples",
    "exact: share of samples on which each is less than half a unit off",
)
OF_REAL_EVENTS = "Real data: test events in place of samples"
REAL = "Real data"


# ---------------------------------------------------------------------------------- representations


class KnowledgeColumn(NamedTuple):
    """A column of the table of representations."""

    header: str

    cell: Callable[[Sequence[Representation]], str]
    """Of all runs of a family."""

    of_pixels: str = ""
    """The cell of raw pixels."""


def representation_table(groups: Mapping[str, Sequence[Representation]]) -> Table | None:
    """The table of representations; None if no model has one.

    Args:
        groups: family -> the representation of each of its runs.
    """
    every = [runs for group in groups.values() for runs in group]
    if all(each.latent == "none" and each.features is None for each in every):
        return None
    pixels = next((each.pixels for each in every if each.pixels), None)
    has_tins = any(each.taller for each in every)

    columns = [
        KnowledgeColumn("latent", lambda runs: runs[0].latent),
        KnowledgeColumn("round trip", _round_trip),
    ]
    if pixels is not None:
        columns += _probes(pixels)
    if has_tins:
        columns.append(KnowledgeColumn("pair", lambda runs: _least([run.pair for run in runs])))
        columns.append(KnowledgeColumn("taller by 1", _taller))

    lines = []
    if pixels is not None:
        lines.append(Line(("Pixels", *(column.of_pixels for column in columns)), muted=True))
    for i, (family, runs) in enumerate(groups.items()):
        opens = pixels is not None and i == 0
        lines.append(Line((family, *(column.cell(runs) for column in columns)), opens=opens))
    legend = []
    if pixels is not None:
        legend.append(PROBED)
        if pixels.accuracy is None:
            legend.append(LEAST)
    legend += LATENT
    if has_tins:
        legend += TALLER
    headers = ("model", *(column.header for column in columns))
    title = "What a model knows of an event"
    return Table(title, headers, lines, [*legend, *error_legend(lines)])


def _probes(pixels: Probe) -> list[KnowledgeColumn]:
    """Columns of linear probes: of classes their accuracy, of numbers the least R²."""
    if pixels.accuracy is not None:
        read, names = _accuracy_of_probe, ("probe of features", "probe of latent")
    else:
        read, names = _least, ("R² of features", "R² of latent")
    return [
        KnowledgeColumn(
            names[0], lambda runs: read([run.features for run in runs]), read([pixels])
        ),
        KnowledgeColumn(names[1], lambda runs: read([run.encoded for run in runs])),
    ]


def _round_trip(runs: Sequence[Representation]) -> str:
    return number(together([run.round_trip for run in runs], shared=True))


def _accuracy_of_probe(probes: Sequence[Probe | None]) -> str:
    accuracies = [None if probe is None else probe.accuracy for probe in probes]
    return percent(together(accuracies, shared=True))


def _least(probes: Sequence[Probe | LatentPair | None]) -> str:
    """The least R² of all predicted numbers, each averaged over runs."""
    known = [probe for probe in probes if probe is not None and probe.r2]
    if len(known) < len(probes):
        return NOTHING
    averages = [combine([probe.r2[name] for probe in known]) for name in known[0].r2]
    return number(min(averages, key=lambda figure: figure.value or 0.0))


def _taller(runs: Sequence[Representation]) -> str:
    tins = [run.taller for run in runs]
    height = together([None if each is None else each.height for each in tins], shared=True)
    width = together([None if each is None else each.width for each in tins], shared=True)
    if height is None or width is None:
        return NOTHING
    return f"{number(height, 2, signed=True)}, {number(width, 2, signed=True)}"


# ------------------------------------------------------------------------ fidelity to the condition


class ConditionTable(NamedTuple):
    """Contents of the table of fidelity to the condition."""

    headers: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]
    real: tuple[str, ...]
    legend: Sequence[str]


def conditional_table(
    groups: Mapping[str, Sequence[ClassFidelity | NumberFidelity]],
) -> Table | None:
    """The table of fidelity to the condition; None if it was not measured.

    Args:
        groups: family -> the fidelity of each of its runs.
    """
    classes: dict[str, list[ClassFidelity]] = {}
    numbers: dict[str, list[NumberFidelity]] = {}
    for family, runs in groups.items():
        for run in runs:
            if isinstance(run, ClassFidelity):
                classes.setdefault(family, []).append(run)
            else:
                numbers.setdefault(family, []).append(run)
    if not classes and not numbers:
        return None
    content = _of_classes(classes) if classes else _of_numbers(numbers)
    lines = [Line((REAL, *content.real), muted=True)]
    lines += [Line(cells, opens=i == 0) for i, cells in enumerate(content.lines)]
    legend = [*content.legend, *error_legend(lines)]
    return Table("Fidelity to the condition", ("model", *content.headers), lines, legend)


def _of_classes(groups: Mapping[str, Sequence[ClassFidelity]]) -> ConditionTable:
    """The table of models whose condition is a class."""
    every = [run for runs in groups.values() for run in runs]
    first = every[0]
    has_cas = any(run.cas for run in every)
    strengths = sorted({run.guided.guidance for run in every if run.guided is not None})
    differ = len({run.accuracy.n for run in every}) > 1

    headers = ["accuracy", "worst", "coverage"]
    real = [percent(first.classifier), "", percent(first.coverage_real)]
    legend = [ACCURACY, WORST, COVERAGE]
    if has_cas:
        headers.append("CAS")
        real.append(percent(first.cas_real))
        legend.append(CAS)
    if strengths:
        headers += ["guided", "its coverage"]
        real += ["", ""]
        listed = " or ".join(f"{strength:g}" for strength in strengths)
        legend.append(f"guided: accuracy, then coverage, with a guidance of {listed}")
    legend.append(OF_REAL_CLASSES)

    lines = []
    for family, runs in groups.items():
        cells = [
            percent(together([run.accuracy for run in runs], shared=False)),
            percent(_worst(runs)),
            percent(together([run.coverage for run in runs], shared=False)),
        ]
        if has_cas:
            cells.append(percent(together([run.cas for run in runs], shared=True)))
        if strengths:
            cells += _guided(runs)
        if differ:
            cells.insert(0, f"{min(run.accuracy.n or 0 for run in runs):,}")
        lines.append((family, *cells))
    if differ:
        headers.insert(0, "n")
        real.insert(0, "")
        legend.append("n: samples")
    return ConditionTable(tuple(headers), lines, tuple(real), legend)


def _guided(runs: Sequence[ClassFidelity]) -> list[str]:
    """Accuracy and coverage under guidance."""
    guided = [run.guided for run in runs]
    accuracy = [None if each is None else each.accuracy for each in guided]
    coverage = [None if each is None else each.coverage for each in guided]
    return [percent(together(share, shared=False)) for share in (accuracy, coverage)]


def _of_numbers(groups: Mapping[str, Sequence[NumberFidelity]]) -> ConditionTable:
    """The table of models whose condition is numbers, such as a tin's height and width."""
    first = next(iter(groups.values()))[0]
    names = tuple(first.errors)
    lines = []
    for family, runs in groups.items():
        errors = [together([run.errors[name] for run in runs], shared=False) for name in names]
        exact = together([run.exact for run in runs], shared=False)
        lines.append((family, *map(number, errors), percent(exact)))
    real = (*[""] * len(names), percent(first.exact_real))
    measured = MEASURED if names == ("height", "width") else OF_NUMBERS
    return ConditionTable((*names, "exact"), lines, real, [*measured, OF_REAL_EVENTS])


def _worst(runs: Sequence[ClassFidelity]) -> Figure:
    """The least accuracy of a class, over runs, with an interval for the least true accuracy."""
    names = runs[0].per_class
    shares = [combine([run.per_class[name] for run in runs], shared=False) for name in names]
    return least_share(shares)


def least_share(shares: Sequence[Figure]) -> Figure:
    """The least of several shares, with an interval for the least of the true shares.

    The least measured share is low by chance as well. So the upper end is the least of the shares'
    upper ends, each widened so far that one of them is exceeded in 2.5 % of cases at most
    (Bonferroni); the lower end needs no such correction. Where one share is the least by far, the
    interval is too wide. Where a share has no interval, neither has the least.
    """
    values = [figure.value for figure in shares if figure.value is not None]
    lower = [figure.low for figure in shares if figure.low is not None]
    upper = [figure.high for figure in shares if figure.high is not None]
    least = min(values, default=None)
    if not len(values) == len(lower) == len(upper) == len(shares):
        return Figure(least)
    wider = float(ndtri(1 - 0.025 / len(shares))) / Z95
    widened = []
    for value, high in zip(values, upper, strict=True):
        widened.append(value + wider * (high - value))
    return Figure(least, low=min(lower), high=min(widened))
