"""A page that shows a comparison: tables, pictures, learning curves, provenance.

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
    """A picture of the page: its file, its heading, and a caption."""

    path: Path
    title: str
    about: str

    def base64(self) -> str:
        """The content of the file, for embedding."""
        return base64.b64encode(self.path.read_bytes()).decode()


@dataclass(frozen=True)
class Page:
    """Contents of the page beside the tables.

    Args:
        title: heading of the page.
        about: one sentence about the data.
        command: the command that produces the page.
        pictures: to embed.
        logs: name of a run -> its ``log.csv``.
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
        path: of the page.
        tables: of the scorecard.
        rows: of the runs, for their provenance.
        page: other contents.
        failures: name of a run that failed -> a sentence that says why.

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
    """A run's losses as SVG polylines, and the text beside them."""

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
    loss = _range(training)
    nats = _range(validation)
    if loss and nats:
        overlap = loss[0] <= nats[1] and nats[0] <= loss[1]
        if overlap:  # they are the same quantity: on one scale
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
    """Least and greatest value, without the greatest 2 %, which are those of the first steps."""
    if not values:
        return None
    ordered = sorted(value for _, value in values)
    last = int(0.98 * (len(ordered) - 1))
    return ordered[0], ordered[last]


def _polyline(values: Series, steps: int, low: float, high: float) -> str:
    every = max(1, len(values) // WIDTH)
    span = high - low or 1.0
    points = []
    for step, value in values[::every]:
        x = WIDTH * step / max(1, steps)
        y = HEIGHT * (1 - (min(value, high) - low) / span)
        points.append(f"{x:.1f},{y:.1f}")
    return " ".join(points)


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
