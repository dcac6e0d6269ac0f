"""Two tables of the scorecard: what each model knows of an event, and whether it draws what it is asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from genzoo.evaluation.plots import figure_at
from genzoo.evaluation.tables import Line, Table

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Sequence[Row]], str]]  # a header, and a cell of it from the entries of a family's runs

PROBED = (
    "a linear probe is fitted on training events and scored on test events; the row of raw pixels is what its figure must be "
    "held against"
)
LATENT = (
    "latent: exact where encoding and decoding invert each other, approximate where the encoder is a guess, optimised where it "
    "is a search; round trip: error of an event that was encoded and decoded, as a share of the data's spread"
)
TALLER = (
    "pair: the least R² of height and width read off the best two dimensions of the latent; taller by 1: what a step of the "
    "latent meant to add one pixel of height and none of width did to each, as measured on the tins it made"
)
ASKED = (
    "accuracy: share of samples that a classifier fitted on real training events takes for the class they were drawn for; worst: "
    "of the class with the least; coverage: share of held-out events with a sample of their class near"
)
MEASURED = "height, width: mean error of the tins drawn for a height and a width, in pixels; exact: share right in both"
REAL = "Real data"


def representation_table(rows: Iterable[Row]) -> Table | None:
    """The table of the entries ``representation``; None if no row has one that says anything."""
    groups = _groups(rows, "representation")
    entries = [entry for group in groups.values() for entry in group]
    if all(entry["latent"] == "none" and not entry["features"] for entry in entries):
        return None
    columns: list[Column] = [("latent", lambda e: e[0]["latent"]), ("round trip", lambda e: _number(e, "round_trip"))]
    read = next((entry["pixels"] for entry in entries if entry["pixels"]), None)
    for source, header in (("features", "features"), ("encoded", "latent")):
        if read and "accuracy" in read:
            columns.append((f"probe of {header}", lambda e, s=source: _percent(e, f"{s}.accuracy")))
        elif read:
            columns.append((f"R² of {header}", lambda e, s=source: _least(e, f"{s}.r2")))
    if any(entry.get("taller") for entry in entries):
        columns += [("pair", lambda e: _least(e, "pair.r2")), ("taller by 1", _step)]
    lines = [Line(("Pixels", *(_of_pixels(header, read) for header, _ in columns)), muted=True)] if read else []
    lines += _lines(groups, columns, opens=bool(read))
    about = f"{PROBED}: the least of the numbers that describe an event" if read and "r2" in read else PROBED
    told = [about] if read else []
    told += [LATENT, TALLER] if any(entry.get("taller") for entry in entries) else [LATENT]
    return Table("What a model knows of an event", ("model", *(header for header, _ in columns)), lines, told)


def conditional_table(rows: Iterable[Row]) -> Table | None:
    """The table of the entries ``condition``; None if no model was told anything that can be judged."""
    groups = _groups(rows, "condition")
    if not groups:
        return None
    first = next(iter(groups.values()))[0]
    columns, real, told = _of_classes(groups, first) if "accuracy" in first else _of_tins(first)
    lines = [Line((REAL, *real), muted=True), *_lines(groups, columns, opens=True)]
    return Table("Drawn as asked", ("model", *(header for header, _ in columns)), lines, told)


def _of_classes(groups: Mapping[str, Sequence[Row]], first: Row) -> tuple[list[Column], list[str], list[str]]:
    """Columns, the cells of real data and the legend, where classes were asked for."""
    columns: list[Column] = [
        ("accuracy", lambda e: _percent(e, "accuracy")),
        ("worst", lambda e: f"{min(mean(run['per_class'][k] for run in e) for k in e[0]['per_class']):.0%}"),
        ("coverage", lambda e: _percent(e, "coverage")),
    ]
    real, told = [f"{first['judge']['value']:.1%}", "", _percent([first], "coverage_real")], [ASKED]
    if strengths := {run["guided"]["guidance"] for runs in groups.values() for run in runs if run.get("guided")}:
        columns += [
            ("guided", lambda e: _percent(e, "guided.accuracy")),
            ("its coverage", lambda e: _percent(e, "guided.coverage")),
        ]
        real += ["", ""]
        told.append(f"guided: the same under a guidance of {' or '.join(f'{s:g}' for s in sorted(strengths))}")
    return columns, real, [*told, f"{REAL}: accuracy of test events, coverage by training events"]


def _of_tins(first: Row) -> tuple[list[Column], list[str], list[str]]:
    """The same where tins of a height and a width were asked for."""
    columns: list[Column] = [
        ("height", lambda e: _number(e, "height")),
        ("width", lambda e: _number(e, "width")),
        ("exact", lambda e: _percent(e, "exact")),
    ]
    return columns, ["", "", f"{first['judge']['value']:.1%}"], [MEASURED, f"{REAL}: test events in place of samples"]


def _groups(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    """Family -> the entries ``name`` of its rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.get(name):
            groups.setdefault(row["family"], []).append(row[name])
    return groups


def _lines(groups: Mapping[str, Sequence[Row]], columns: Sequence[Column], opens: bool) -> list[Line]:
    return [
        Line((family, *(cell(entries) for _, cell in columns)), opens=opens and not i)
        for i, (family, entries) in enumerate(groups.items())
    ]


def _mean(entries: Iterable[Row], path: str) -> float | None:
    """The figure at ``path``, averaged over runs; None where any of them has none."""
    found = [figure_at(entry, path) for entry in entries]
    return None if None in found else mean(figure[0] for figure in found if figure)


def _number(entries: Sequence[Row], path: str) -> str:
    value = _mean(entries, path)
    return "—" if value is None else f"{value:.3f}"


def _percent(entries: Sequence[Row], path: str) -> str:
    value = _mean(entries, path)
    return "—" if value is None else f"{value:.1%}"


def _least(entries: Sequence[Row], path: str) -> str:
    """The least of the figures by name at ``path``, each averaged over runs."""
    probe, _, r2 = path.partition(".")
    if not all(entry.get(probe) and entry[probe][r2] for entry in entries):
        return "—"
    return f"{min(mean(entry[probe][r2][name] for entry in entries) for name in entries[0][probe][r2]):.3f}"


def _step(entries: Sequence[Row]) -> str:
    height, width = _mean(entries, "taller.height"), _mean(entries, "taller.width")
    return "—" if height is None or width is None else f"{height:+.2f}, {width:+.2f}"


def _of_pixels(header: str, read: Row) -> str:
    if header == "probe of features":
        return _percent([{"pixels": read}], "pixels.accuracy")
    return _least([{"pixels": read}], "pixels.r2") if header == "R² of features" else ""
