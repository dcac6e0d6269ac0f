"""The table of sample quality: real data first, then models and baselines by their distance from it."""

import math
from collections.abc import Iterable, Sequence
from statistics import mean, stdev
from typing import Any

from genzoo.evaluation.tables import Line, Table

SHARES = ("precision", "recall", "density", "coverage", "copies")
OTHERS = (*SHARES, "nearer")  # every figure that is no distance
REAL = "Real data"
MEANING = (
    "precision: share of samples that look real, in a ball of real events; recall: share of real events that could have been "
    "drawn, in a ball of samples; density and coverage: the same with less regard to outliers, density above 1 where samples "
    "crowd in the middle",
    "copies: share of samples nearer to a training event than 99 % of held-out events are, about 1 % where nothing is copied",
)

Figures = dict[str, dict[str, float | None]]  # name -> {value, stderr}


def table(rows: Iterable[dict[str, Any]]) -> Table | None:
    """The table of those rows that have an entry ``quality``; None if none has."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("quality"):
            groups.setdefault(row["family"], []).append(row)
    if not groups:
        return None
    entries = [row["quality"] for group in groups.values() for row in group]
    names = list(dict.fromkeys(name for entry in entries for name in entry["floor"] if name not in OTHERS))
    floors = {(entry["space"], entry["reference"]): entry["floor"] for entry in entries}
    models = sorted(
        ((family, _averaged(group), bool(group[0].get("baseline"))) for family, group in groups.items()),
        key=lambda model: [_value(model[1], name, math.inf) for name in names],
    )
    real = [(REAL if len(floors) == 1 else f"{REAL}: {among}", floor, True) for (_, among), floor in floors.items()]
    digits = {name: _digits(figures.get(name) for _, figures, _ in real + models) for name in names}
    lines = [
        Line((name, *(_distance(figures.get(d), digits[d]) for d in names), *_shares(figures)), muted, i == len(real))
        for i, (name, figures, muted) in enumerate(real + models)
    ]
    return Table("Quality of samples", ("model", *names, *SHARES), lines, _legend(groups, names, floors))


def _averaged(rows: Sequence[dict[str, Any]]) -> Figures:
    """Every figure averaged over seeds, with the spread over them; with one seed, with its own standard error."""
    found = [row["quality"]["figures"] for row in rows]
    if len(found) == 1:
        return found[0]
    averaged: Figures = {}
    for name in found[0]:
        values = [_value(figures, name) for figures in found]
        known = [value for value in values if value is not None]
        complete = len(known) == len(found)
        averaged[name] = {"value": mean(known), "stderr": stdev(known)} if complete else {"value": None, "stderr": None}
    return averaged


def _value(figures: Figures, name: str, otherwise: float | None = None) -> float | None:
    value = figures.get(name, {}).get("value")
    return otherwise if value is None else value


def _digits(figures: Iterable[dict[str, float | None] | None]) -> int:
    """Decimals of a column: enough to tell a third of its least error."""
    errors = [error for figure in figures if figure and (error := figure["stderr"])]
    return min(5, max(0, -math.floor(math.log10(min(errors) / 3)))) if errors else 3


def _distance(figure: dict[str, float | None] | None, digits: int) -> str:
    if figure is None or figure["value"] is None:
        return "—"
    error = "" if figure["stderr"] is None else f" ± {figure['stderr']:.{digits}f}"
    return f"{round(figure['value'], digits) + 0.0:.{digits}f}{error}"  # no minus in front of zero


def _shares(figures: Figures) -> list[str]:
    formats = {"density": "{:.2f}", "copies": "{:.1%}"}
    found = {name: _value(figures, name) for name in SHARES}
    return [("—" if value is None else formats.get(name, "{:.0%}").format(value)) for name, value in found.items()]


def _legend(groups: dict[str, list[dict[str, Any]]], names: Sequence[str], floors: Iterable[tuple]) -> list[str]:
    rows = [row for group in groups.values() for row in group]
    compared = " or ".join(f"as many samples held against {reference}" for _, reference in floors)
    told = [f"{', '.join(names) or 'distances'}: {compared}; {rows[0]['quality']['about']}; less is better",
            f"{REAL}: as many training events in place of samples, the floor"]  # fmt: skip
    several = any(len(group) > 1 for group in groups.values())
    error = "standard error by half-sample bootstrap"
    told += [f"± standard deviation over seeds; where there is one, {error}" if several else f"± {error}"]
    told += [f"{row['family']}: {row['quality']['reason']}" for row in rows if row["quality"].get("reason")]
    return [*told, *MEANING]
