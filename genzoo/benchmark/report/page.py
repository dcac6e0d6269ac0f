"""One page that shows a comparison: tables, pictures, learning curves, how to get the same again.

It needs no other file.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genzoo.benchmark.report.learning import Series, series
from genzoo.benchmark.report.tables import Table
from genzoo.benchmark.row import Row
from genzoo.files import whole

WIDTH, HEIGHT = 300, 120  # of a loss curve, in SVG units


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its file, its heading, and what is seen on it."""

    path: Path
    title: str
    about: str

    def base64(self) -> str:
        """The content of the file, to be embedded."""
        return base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Page:
    """What the page shows beside the tables.

    Args:
        title: its heading.
        about: one sentence about the data.
        command: what produces the page.
        pictures: which are embedded.
        logs: the name of a run -> its ``log.csv``.
    """

    title: str = "A comparison"
    about: str = ""
    command: str = ""
    pictures: Sequence[Picture] = ()
    logs: Mapping[str, Path] = field(default_factory=dict)


def write_page(
    path: Path,
    tables: Sequence[Table],
    rows: Sequence[Row],
    page: Page,
    failures: Mapping[str, str] | None = None,
) -> Path:
    """Write a self-contained HTML page.

    Args:
        path: where.
        tables: of the scorecard.
        rows: of the runs, for their provenance.
        page: what else is shown.
        failures: the name of a run that failed -> a sentence.

    Returns:
        the path.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
    )
    text = environment.get_template("report.html.jinja").render(
        page=page,
        tables=tables,
        curves=[_curve(name, log) for name, log in page.logs.items() if log.is_file()],
        failures=failures or {},
        width=WIDTH,
        height=HEIGHT,
        provenance=_provenance(rows),
    )
    with whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


@dataclass(frozen=True)
class LossCurve:
    """A run's losses as SVG polylines, and what to write beside them."""

    name: str
    training: str
    validation: str
    loss: str
    best: str
    steps: int


def _curve(name: str, log: Path) -> LossCurve:
    training = series(log, "train_loss")
    validation = series(log, "val_nats") or series(log, "val_loss")
    steps = max((step for step, _ in training + validation), default=1)
    loss, nats = _range(training), _range(validation)
    same_quantity = loss and nats and loss[0] <= nats[1] and nats[0] <= loss[1]
    if loss and nats and same_quantity:  # then on one scale
        loss = nats = (min(loss[0], nats[0]), max(loss[1], nats[1]))
    return LossCurve(
        name,
        training=_polyline(training, steps, *loss) if loss else "",
        validation=_polyline(validation, steps, *nats) if nats else "",
        loss=f"loss {training[-1][1]:.3g}" if training else "",
        best=f"validation {min(value for _, value in validation):.3g}" if validation else "",
        steps=steps + 1,
    )


def _range(values: Series) -> tuple[float, float] | None:
    """Least and greatest value; the first steps, which would squash the rest, are left out."""
    ordered = sorted(value for _, value in values)
    return (ordered[0], ordered[int(0.98 * (len(ordered) - 1))]) if ordered else None


def _polyline(values: Series, steps: int, low: float, high: float) -> str:
    thin = values[:: max(1, len(values) // WIDTH)]
    span = high - low or 1.0
    points = (
        (WIDTH * step / max(1, steps), HEIGHT * (1 - (min(value, high) - low) / span))
        for step, value in thin
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _provenance(rows: Sequence[Row]) -> dict[str, str]:
    """Versions, machine and commit of the first row; those of others differ only if resumed."""
    if not rows:
        return {}
    first = rows[0].provenance
    return {
        "Seeds": ", ".join(map(str, sorted({row.seed for row in rows}))),
        "Machine": str(first.machine),
        "Commit": first.commit or "not in a checkout",
        "Versions": ", ".join(f"{name} {version}" for name, version in first.versions.items()),
    }
