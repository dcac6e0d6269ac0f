"""The table of sample quality: real data first, then models and baselines, in no order of merit.

They are not sorted by a distance. A distance of moments is least for whatever has the moments, so
that a Gaussian would stand above models whose samples look far more real.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from genzoo.benchmark.report.cells import cell, digits_for, errors_told, share_in
from genzoo.benchmark.report.tables import Line, Table
from genzoo.evaluation.figures import Figure, combine

SHARES = ("precision", "recall", "density", "coverage", "copies")
OTHERS = (*SHARES, "nearer")  # every figure that belongs to no space
NO_SHARES = ("density", "nearer")  # of these: the one may exceed 1, the other is no count of events
REAL = "Real data"
MEANING = (
    "precision: share of samples that look real, in a ball of real events",
    "recall: share of real events that could have been drawn, in a ball of samples; above real "
    "data's, it means samples that are spread too widely, not better ones",
    "density, coverage: the same with less regard to outliers; density is above 1 where samples crowd in the middle",
    "copies: share of samples nearer to a training event than 99 % of held-out events are; of real "
    "data, share of training events that lie so near to another one",
)
MOMENTS = (
    "FD (pixels) compares means and covariances alone: a Gaussian that has these is at the floor, "
    "whatever its samples look like"
)

Row = Mapping[str, Any]
Figures = Mapping[str, Figure]


class Judged(NamedTuple):
    """A line of the table: its name, its figures, of how many samples; muted: beside models."""

    name: str
    figures: Figures
    n: int
    muted: bool


def table(rows: Iterable[Row]) -> Table | None:
    """The table of those rows that have an entry ``quality``; None if none has."""
    groups = _by_family(rows)
    if not groups:
        return None
    entries = [row["quality"] for group in groups.values() for row in group]
    real = _real(entries)
    judged = [*real, *(_judged(family, group) for family, group in groups.items())]

    names = _of_spaces(entries)
    columns = (*names, *SHARES)
    decimals = {name: _decimals(judged, name) for name in columns} | {"density": 2}
    differ = len({line.n for line in judged}) > 1
    lines = []
    for i, line in enumerate(judged):
        counted = [f"{line.n:,}"] if differ else []
        cells = [cell(line.figures.get(name, Figure()), decimals[name]) for name in columns]
        lines.append(Line((line.name, *counted, *cells), line.muted, opens=i == len(real)))
    headers = ("model", *["n"] * differ, *columns)
    told = [*_compared(groups, names, differ), *errors_told(lines), *MEANING]
    return Table("Quality of samples", headers, lines, told)


def _decimals(judged: Iterable[Judged], name: str) -> int:
    return digits_for(line.figures[name] for line in judged if name in line.figures)


def _by_family(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows that have an entry, by family; baselines after all models."""
    judged = [row for row in rows if row.get("quality")]
    groups: dict[str, list[Row]] = {}
    for row in sorted(judged, key=lambda row: bool(row.get("baseline"))):
        groups.setdefault(row["family"], []).append(row)
    return groups


def _real(entries: Iterable[Row]) -> list[Judged]:
    """Real data, once for all entries whose samples were held against the same."""
    floors = {(entry["space"], entry["reference"]): entry for entry in entries}
    several = len(floors) > 1
    return [
        Judged(f"{REAL}: {reference}" if several else REAL, _floor(entry), entry["n"], muted=True)
        for (_, reference), entry in floors.items()
    ]


def _judged(family: str, rows: Sequence[Row]) -> Judged:
    """All seeds of a family together."""
    entries = [row["quality"] for row in rows]
    figures = _together([_figures(entry, "figures") for entry in entries])
    n = min(entry["n"] for entry in entries)
    return Judged(family, figures, n, muted=bool(rows[0].get("baseline")))


def _together(runs: Sequence[Figures]) -> Figures:
    """Every figure of all runs in one; only figures that each of them has.

    Half of a run's error is that of its own samples, which shows in the spread over runs; the other
    half, that of the events they share, is small beside what Student's t allows for few runs
    (``tests/test_quality.py`` counts how often the interval holds).
    """
    known = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: combine([run[name] for run in runs], shared=False) for name in known}


def _figures(entry: Row, which: str) -> dict[str, Figure]:
    """The ``figures`` or the ``floor`` of an entry, those of old rows included."""
    found = {}
    for name, figure in entry[which].items():
        is_share = name in OTHERS and name not in NO_SHARES
        found[name] = share_in(figure, entry["n"]) if is_share else Figure.from_json(figure)
    return found


def _floor(entry: Row) -> Figures:
    """Figures of training events.

    In old rows their copies were 1 % by construction, which is no finding.
    """
    found = _figures(entry, "floor")
    if _is_old(entry):
        found["copies"] = Figure()
    return found


def _is_old(entry: Row) -> bool:
    return "low" not in entry["floor"].get("copies", {"low": 0.0})


def _of_spaces(entries: Iterable[Row]) -> tuple[str, ...]:
    """Names of the distances and shares that belong to the spaces compared in."""
    names = [name for entry in entries for name in entry["floor"] if name not in OTHERS]
    return tuple(dict.fromkeys(names))


def _compared(groups: Mapping[str, Sequence[Row]], names: Sequence[str], differ: bool) -> list[str]:
    entries = [row["quality"] for group in groups.values() for row in group]
    spaces = dict.fromkeys((entry["reference"], entry["about"]) for entry in entries)
    listed = ", ".join(names) or "distances"
    told = [
        f"{listed}: as many samples held against {reference}; {about}"
        for reference, about in spaces
    ]
    told.append(f"{REAL}: as many training events in place of samples, the floor")
    unsure = [name for name in names if all(_without_error(entry, name) for entry in entries)]
    if unsure:
        told.append(f"{', '.join(unsure)}: with so many features an error would take hours")
    if differ:
        told.append("n: samples, and events; figures of different n do not compare")
    if "FD (pixels)" in names:
        told.append(MOMENTS)
    if any(map(_is_old, entries)):
        told.append(f"copies of {REAL}: not measured when these samples were judged")
    for family, group in groups.items():
        reasons = [row["quality"]["reason"] for row in group if row["quality"].get("reason")]
        told += [f"{family}: {reason}" for reason in dict.fromkeys(reasons)]
    return told


def _without_error(entry: Row, name: str) -> bool:
    """Whether this figure is there and has no error."""
    figure = entry["floor"].get(name, {})
    return figure.get("value") is not None and figure.get("stderr") is None
