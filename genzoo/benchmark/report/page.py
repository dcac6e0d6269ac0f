"""One page that shows a comparison: table, picture, loss curves, how to get the same again. It
needs no other file.
"""

import base64
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genzoo.benchmark.report.gallery import Plate
from genzoo.benchmark.scorecard import Row, tables
from genzoo.files import whole

WIDTH, HEIGHT = 300, 120  # of a loss curve, in SVG units


def write_report(
    path: str | Path,
    rows: Sequence[Row],
    *,
    title: str,
    command: str,
    plates: Sequence[Plate] = (),
    logs: Mapping[str, str | Path] | None = None,
    failures: Mapping[str, str] | None = None,
    about: str = "",
) -> None:
    """Write a self-contained HTML page.

    Args:
        rows: of the scorecard, baselines included.
        command: what produces this page.
        plates: pictures, which are embedded.
        logs: name of a run -> its ``log.csv``.
        failures: name of a run that failed -> a sentence.
        about: one sentence about the data.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("genzoo.benchmark.report", "."),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
    )
    page = environment.get_template("report.html.jinja").render(
        title=title,
        about=about,
        command=command,
        tables=tables(rows),
        plates=[
            (plate, base64.b64encode(Path(plate.path).read_bytes()).decode()) for plate in plates
        ],
        curves=[
            _curve(name, Path(log)) for name, log in (logs or {}).items() if Path(log).is_file()
        ],
        failures=failures or {},
        width=WIDTH,
        height=HEIGHT,
        provenance=_provenance([row for row in rows if not row.get("baseline")]),
    )
    with whole(Path(path)) as draft:
        draft.write_text(page, encoding="utf-8")


@dataclass(frozen=True)
class Curve:
    """A run's losses as SVG polylines, and what to write beside them."""

    name: str
    training: str
    validation: str
    loss: str
    best: str
    steps: int


def _curve(name: str, log: Path) -> Curve:
    training, validation = (
        _series(log, "train_loss"),
        _series(log, "val_nats") or _series(log, "val_loss"),
    )
    steps = max((step for step, _ in training + validation), default=1)
    loss, nats = _range(training), _range(validation)
    if (
        loss and nats and loss[0] <= nats[1] and nats[0] <= loss[1]
    ):  # one scale, unless the loss is another quantity
        loss = nats = (min(loss[0], nats[0]), max(loss[1], nats[1]))
    return Curve(
        name,
        _polyline(training, steps, *loss) if loss else "",
        _polyline(validation, steps, *nats) if nats else "",
        f"loss {training[-1][1]:.3g}" if training else "",
        f"validation {min(value for _, value in validation):.3g}" if validation else "",
        steps + 1,
    )


def _range(series: list[tuple[int, float]]) -> tuple[float, float] | None:
    """Least and greatest value; the first steps, which would squash the rest, are left out."""
    values = sorted(value for _, value in series)
    return (values[0], values[int(0.98 * (len(values) - 1))]) if values else None


def _series(log: Path, column: str) -> list[tuple[int, float]]:
    with log.open(newline="", encoding="utf-8") as file:
        return [
            (int(row["step"]), float(row[column]))
            for row in csv.DictReader(file)
            if row.get(column)
        ]


def _polyline(series: list[tuple[int, float]], steps: int, low: float, high: float) -> str:
    thin = series[:: max(1, len(series) // WIDTH)]
    span = high - low or 1.0
    points = (
        (WIDTH * step / max(1, steps), HEIGHT * (1 - (min(value, high) - low) / span))
        for step, value in thin
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _provenance(rows: Sequence[Row]) -> dict[str, Any]:
    """Versions, machine and commit, as of the first row; those of the others differ only if it was
    resumed.
    """
    first = rows[0] if rows else {}
    machine = first.get("machine") or {}
    return {
        "versions": ", ".join(
            f"{name} {value}" for name, value in (first.get("versions") or {}).items()
        ),
        "machine": ", ".join(f"{name} {value}" for name, value in machine.items()),
        "commit": first.get("commit") or "not in a checkout",
        "seeds": ", ".join(map(str, sorted({row["seed"] for row in rows}))),
    }
