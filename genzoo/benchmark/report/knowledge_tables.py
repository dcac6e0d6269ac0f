"""Two tables of the scorecard: what each model knows of an event, and whether it draws as asked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from scipy.special import ndtri

from genzoo.benchmark.report.cells import NOTHING, errors_told, figure_in, number, percent, share_in
from genzoo.benchmark.report.tables import Line, Table
from genzoo.evaluation.figures import Z95, Figure, combine

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Sequence[Row]], str]]  # header, and a cell of all runs of a family

PROBED = (
    "a linear probe is fitted on training events and scored on test events; the row of raw pixels "
    "is what its figure must be held against"
)
LEAST = "R²: the least of the numbers that describe an event"
LATENT = (
    "latent: exact where encoding and decoding invert each other, approximate where the encoder is "
    "a guess, optimised where it is a search; round trip: error of an event that was encoded and "
    "decoded, as a share of the data's spread"
)
TALLER = (
    "pair: the least R² of height and width read off the best two dimensions of the latent; taller "
    "by 1: what a step of the latent meant to add one pixel of height and none of width did to "
    "each, as measured on the tins it made"
)
ACCURACY = (
    "accuracy: share of samples that a classifier fitted on real training events takes for the "
    "class they were drawn for. It errs itself: above its accuracy on real test events, the figure "
    "says that samples are typical, not that they are better"
)
WORST = "worst: of the class with the least, which with many classes is low by luck, as its upper end allows for"
COVERAGE = (
    "coverage: share of real events that no model was trained on with a sample of their class near"
)
CAS = "CAS: accuracy on real test events of a classifier fitted on these samples and nothing else"
MEASURED = "height, width: mean error of the tins drawn for a height and a width, in pixels; exact: share right in both"
OF_REAL_CLASSES = (
    "Real data: accuracy of test events, the others by as many training events in place of samples"
)
OF_NUMBERS = (
    "mean error of the numbers that samples were drawn for, as read off them; exact: share on which "
    "each is less than half a unit off"
)
OF_REAL_EVENTS = "Real data: test events in place of samples"
OF_REAL_TINS = "Real data: test events in place of samples"
REAL = "Real data"


# ---------------------------------------------------------------------- what is known of an event


def representation_table(rows: Iterable[Row]) -> Table | None:
    """The table of the entries ``representation``; None if no row has one that says anything."""
    groups = _groups(rows, "representation")
    entries = [entry for group in groups.values() for entry in group]
    if all(entry["latent"] == "none" and not entry["features"] for entry in entries):
        return None
    read = next((entry["pixels"] for entry in entries if entry["pixels"]), None)
    tins = any(entry.get("taller") for entry in entries)

    columns: list[Column] = [
        ("latent", lambda runs: runs[0]["latent"]),
        ("round trip", lambda runs: _number(runs, "round_trip", shared=True)),
    ]
    if read and "accuracy" in read:
        columns += [
            ("probe of features", lambda runs: _percent(runs, "features.accuracy", shared=True)),
            ("probe of latent", lambda runs: _percent(runs, "encoded.accuracy", shared=True)),
        ]
    elif read:
        columns += [
            ("R² of features", lambda runs: _least(runs, "features")),
            ("R² of latent", lambda runs: _least(runs, "encoded")),
        ]
    if tins:
        columns += [("pair", lambda runs: _least(runs, "pair")), ("taller by 1", _step)]

    lines = _lines(groups, columns, opens=bool(read))
    if read:
        pixels = [_of_pixels(header, read) for header, _ in columns]
        lines.insert(0, Line(("Pixels", *pixels), muted=True))
    told = {
        PROBED: bool(read),
        LEAST: bool(read and "r2" in read),
        LATENT: True,
        TALLER: tins,
    }
    headers = ("model", *(header for header, _ in columns))
    legend = [sentence for sentence, applies in told.items() if applies]
    return Table("What a model knows of an event", headers, lines, [*legend, *errors_told(lines)])


def _of_pixels(header: str, read: Row) -> str:
    if header == "probe of features":
        return _percent([{"pixels": read}], "pixels.accuracy", shared=True)
    return _least([{"pixels": read}], "pixels") if header == "R² of features" else ""


def _least(entries: Sequence[Row], probe: str) -> str:
    """The least R² of what a ``probe`` reads, each averaged over runs."""
    if not all(entry.get(probe) and entry[probe]["r2"] for entry in entries):
        return NOTHING
    names = entries[0][probe]["r2"]
    read = [combine([figure_in(entry[probe]["r2"][name]) for entry in entries]) for name in names]
    return number(min(read, key=lambda figure: figure.value or 0.0))


def _step(entries: Sequence[Row]) -> str:
    height = _together(entries, "taller.height", shared=True)
    width = _together(entries, "taller.width", shared=True)
    if height.value is None or width.value is None:
        return NOTHING
    return f"{number(height, 2, signed=True)}, {number(width, 2, signed=True)}"


# ---------------------------------------------------------------------------------- drawn as asked


def conditional_table(rows: Iterable[Row]) -> Table | None:
    """The table of the entries ``condition``; None if no model was told what can be judged."""
    groups = _groups(rows, "condition")
    if not groups:
        return None
    entries = [entry for group in groups.values() for entry in group]
    of_classes = "accuracy" in entries[0]
    columns, real, told = _of_classes(entries) if of_classes else _of_numbers(entries[0])
    if len({_drawn(entry) for entry in entries}) > 1:
        columns.insert(0, ("n", lambda runs: f"{min(_drawn(run) or 0 for run in runs):,}"))
        real.insert(0, "")
        told.append("n: samples drawn")
    lines = [Line((REAL, *real), muted=True), *_lines(groups, columns, opens=True)]
    headers = ("model", *(header for header, _ in columns))
    return Table("Drawn as asked", headers, lines, [*told, *errors_told(lines)])


def _of_classes(entries: Sequence[Row]) -> tuple[list[Column], list[str], list[str]]:
    """Columns, the cells of real data and the legend, where classes were asked for."""
    first = entries[0]
    columns: list[Column] = [
        ("accuracy", lambda runs: _accuracy(runs, "accuracy")),
        ("worst", _worst),
        ("coverage", lambda runs: _percent(runs, "coverage")),
    ]
    real = [percent(share_in(first["judge"])), "", percent(share_in(first["coverage_real"]))]
    told = [ACCURACY, WORST, COVERAGE]
    if any(entry.get("cas") for entry in entries):
        columns.append(("CAS", lambda runs: _percent(runs, "cas", shared=True)))
        real.append(percent(share_in(first.get("cas_real"))))
        told.append(CAS)
    strengths = {entry["guided"]["guidance"] for entry in entries if entry.get("guided")}
    if strengths:
        columns += [
            ("guided", lambda runs: _accuracy(runs, "guided.accuracy")),
            ("its coverage", lambda runs: _percent(runs, "guided.coverage")),
        ]
        real += ["", ""]
        listed = " or ".join(f"{strength:g}" for strength in sorted(strengths))
        told.append(f"guided: the same under a guidance of {listed}")
    return columns, real, [*told, OF_REAL_CLASSES]


def _of_numbers(first: Row) -> tuple[list[Column], list[str], list[str]]:
    """The same where numbers were asked for, such as a tin's height and width."""
    names = [name for name in first if name not in ("exact", "judge")]
    columns: list[Column] = [(name, partial(_number, path=name)) for name in names]
    columns.append(("exact", lambda runs: _accuracy(runs, "exact")))
    real = [*[""] * len(names), percent(share_in(first["judge"]))]
    measured = MEASURED if names == ["height", "width"] else OF_NUMBERS
    return columns, real, [measured, OF_REAL_TINS if measured == MEASURED else OF_REAL_EVENTS]


def _drawn(entry: Row) -> int | None:
    """How many samples a model was asked for, where that is known."""
    n = (entry.get("accuracy") or entry["exact"]).get("n")
    if n is None and "each" in entry:
        return len(entry["per_class"]) * entry["each"]
    return n


def _accuracy(entries: Sequence[Row], path: str) -> str:
    """A share of the samples, of which every run draws its own."""
    figures = [share_in(_at(entry, path), _drawn(entry)) for entry in entries]
    return _shares_together(figures, shared=False)


def _worst(entries: Sequence[Row]) -> str:
    """The least accuracy of a class, over runs, with an interval for the least of the true ones."""
    shares = []
    for name in entries[0]["per_class"]:
        of_runs = [share_in(entry["per_class"][name], entry.get("each")) for entry in entries]
        shares.append(combine(of_runs, shared=False))
    return percent(least_share(shares))


def least_share(shares: Sequence[Figure]) -> Figure:
    """The least of several shares, with an interval that holds the least of the true ones.

    The least that was found is low by luck as well. So the upper end is that of all of them at
    once, each at a level that one of them fails in 2.5 % of cases at most (Bonferroni); the lower
    end needs no such care. Where one is the worst by far, that is cautious. Where a share has no
    ends, neither has the least.
    """
    values = [figure.value for figure in shares if figure.value is not None]
    lower = [figure.low for figure in shares if figure.low is not None]
    upper = [figure.high for figure in shares if figure.high is not None]
    least = min(values, default=None)
    if not len(values) == len(lower) == len(upper) == len(shares):
        return Figure(least)
    wider = float(ndtri(1 - 0.025 / len(shares))) / Z95
    reach = [value + wider * (high - value) for value, high in zip(values, upper, strict=True)]
    return Figure(least, low=min(lower), high=min(reach))


# ---------------------------------------------------------------------------------- what they share


def _groups(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    """Family -> the entries ``name`` of its rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.get(name):
            groups.setdefault(row["family"], []).append(row[name])
    return groups


def _lines(
    groups: Mapping[str, Sequence[Row]], columns: Sequence[Column], opens: bool
) -> list[Line]:
    return [
        Line((family, *(cell(entries) for _, cell in columns)), opens=opens and not i)
        for i, (family, entries) in enumerate(groups.items())
    ]


def _together(entries: Iterable[Row], path: str, shared: bool) -> Figure:
    """The figure at ``path`` of all runs in one; unknown where any of them has none.

    ``shared``: whether its error is that of test events, which runs have in common, and not of
    samples, of which each draws its own.
    """
    figures = [figure_in(_at(entry, path)) for entry in entries]
    if not all(figure.is_known for figure in figures):
        return Figure()
    return combine(figures, shared)


def _number(entries: Iterable[Row], path: str, shared: bool = False) -> str:
    return number(_together(entries, path, shared))


def _percent(entries: Iterable[Row], path: str, shared: bool = False) -> str:
    """A share of all runs in one; that of an old row gets its ends from its error."""
    return _shares_together([share_in(_at(entry, path)) for entry in entries], shared)


def _shares_together(figures: Sequence[Figure], shared: bool) -> str:
    known = all(figure.is_known for figure in figures)
    return percent(combine(figures, shared)) if known else NOTHING


def _at(entry: Row, path: str) -> Any:
    """What stands at a path of keys, as "guided.accuracy"; None where a part of it is missing."""
    found: Any = entry
    for key in path.split("."):
        found = found.get(key) if found else None
    return found
