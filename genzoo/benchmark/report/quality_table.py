"""The table of sample quality: real data first, then models and baselines, in no order of merit.

They are not sorted by a distance. A distance of moments is least for any distribution that has the
moments, so that a Gaussian would come before models whose samples look far more real.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from genzoo.benchmark.report.cells import cell, digits_for, error_legend
from genzoo.benchmark.report.tables import Line, Table
from genzoo.evaluation.figures import Figure, combine
from genzoo.evaluation.results import Quality

SHARES = ("precision", "recall", "density", "coverage", "copies")
OTHERS = (*SHARES, "nearer")  # figures that do not belong to a space
REAL = "Real data"
MEANING = (
    "precision: share of samples that fall among real events, and so look real",
    "recall: share of real events that fall among the samples, and so could have been generated; "
    "a value above that of real data means that samples are spread too widely, not that they are "
    "better",
    "density, coverage: the same two, less sensitive to outliers; density exceeds 1 where samples "
    "crowd in the middle",
    "copies: share of samples that are nearer to a training event than 99 % of held-out events "
    "are; for real data, the share of training events that are so near to another one",
)
MOMENTS = (
    "FD (pixels): it compares means and covariances only, so a Gaussian that has these reaches the "
    "floor, whatever its samples look like"
)

Figures = Mapping[str, Figure]
Runs = Mapping[str, Sequence[Quality]]  # of a family


class Entry(NamedTuple):
    """A line of the table."""

    name: str
    figures: Figures

    n: int
    """Number of samples."""

    muted: bool
    """True of lines that are there for comparison."""


def quality_table(models: Runs, baselines: Runs | None = None) -> Table | None:
    """The table of the quality of samples; None if there is none.

    Args:
        models: family -> the quality of its runs.
        baselines: likewise, for comparison.
    """
    groups = {**models, **(baselines or {})}
    if not groups:
        return None
    qualities = [quality for runs in groups.values() for quality in runs]
    real = _real(qualities)
    of_models = [_entry(family, runs, muted=False) for family, runs in models.items()]
    of_baselines = [_entry(name, runs, muted=True) for name, runs in (baselines or {}).items()]
    entries = [*real, *of_models, *of_baselines]

    names = distances(qualities)
    columns = (*names, *SHARES)
    decimals = {name: _decimals(entries, name) for name in columns} | {"density": 2}
    differ = len({entry.n for entry in entries}) > 1
    lines = []
    for i, entry in enumerate(entries):
        cells = [cell(entry.figures.get(name, Figure()), decimals[name]) for name in columns]
        if differ:
            cells.insert(0, f"{entry.n:,}")
        is_first_model = i == len(real)
        lines.append(Line((entry.name, *cells), entry.muted, opens=is_first_model))
    headers = ["model", *columns]
    if differ:
        headers.insert(1, "n")
    legend = [*_references(groups, names, differ), *error_legend(lines), *MEANING]
    return Table("Quality of samples", tuple(headers), lines, legend)


def distances(qualities: Iterable[Quality]) -> tuple[str, ...]:
    """Names of the distances and shares of the spaces of the comparison."""
    names = [name for quality in qualities for name in quality.floor if name not in OTHERS]
    return tuple(dict.fromkeys(names))


def _decimals(entries: Iterable[Entry], name: str) -> int:
    return digits_for(entry.figures[name] for entry in entries if name in entry.figures)


def _real(qualities: Iterable[Quality]) -> list[Entry]:
    """Lines of real data, one for each set of events that samples were compared with."""
    floors: dict[tuple[str, str], Quality] = {}
    for quality in qualities:
        floors.setdefault((quality.space, quality.reference), quality)
    several = len(floors) > 1
    entries = []
    for (_, reference), quality in floors.items():
        name = f"{REAL}: {reference}" if several else REAL
        entries.append(Entry(name, quality.floor, quality.n, muted=True))
    return entries


def _entry(family: str, runs: Sequence[Quality], muted: bool) -> Entry:
    """All seeds of a family together."""
    figures = _together([run.figures for run in runs])
    return Entry(family, figures, min(run.n for run in runs), muted)


def _together(runs: Sequence[Figures]) -> Figures:
    """Each figure combined over runs; only figures that all of them have.

    Half of a run's error is that of its own samples, which the spread over runs includes; the other
    half, that of the events they share, is small compared with the factor of Student's t for few
    runs (``tests/test_quality.py`` counts how often the interval contains the truth).
    """
    of_all = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: combine([run[name] for run in runs], shared=False) for name in of_all}


def _references(groups: Runs, names: Sequence[str], differ: bool) -> list[str]:
    """Sentences on the events that samples are compared with, and on figures that are missing."""
    qualities = [quality for runs in groups.values() for quality in runs]
    spaces = dict.fromkeys((quality.reference, quality.about) for quality in qualities)
    listed = ", ".join(names) or "distances"
    sentences = [
        f"{listed}: as many samples compared with {reference}; {about}"
        for reference, about in spaces
    ]
    sentences.append(f"{REAL}: as many training events in place of samples; this is the floor")
    unsure = [name for name in names if all(_without_error(each, name) for each in qualities)]
    if unsure:
        sentences.append(f"{', '.join(unsure)}: with so many features an error would take hours")
    if differ:
        sentences.append("n: samples, and as many events; values of different n do not compare")
    if "FD (pixels)" in names:
        sentences.append(MOMENTS)
    copies = [quality.floor["copies"].reason for quality in qualities if "copies" in quality.floor]
    sentences += [f"copies of {REAL}: {reason}" for reason in dict.fromkeys(copies) if reason]
    for family, runs in groups.items():
        reasons = [run.reason for run in runs if run.reason]
        sentences += [f"{family}: {reason}" for reason in dict.fromkeys(reasons)]
    return sentences


def _without_error(quality: Quality, name: str) -> bool:
    """True if this figure is known and has no error."""
    figure = quality.floor.get(name, Figure())
    return figure.value is not None and figure.stderr is None
