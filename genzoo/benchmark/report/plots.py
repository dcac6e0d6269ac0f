"""Charts of figures of several models, and maps of latents.

A chart of models is made from rows of the scorecard. An `Axis` has a label and takes a figure from
a row; rows without that figure are left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genzoo.benchmark.report.pictures import INK, PAPER
from genzoo.benchmark.row import Row
from genzoo.errors import InputError, nearest
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.results import Cost, SweptGuidance
from genzoo.files import whole

MARKS = "osD^vP*Xph<>"  # one for each family, for readers who cannot distinguish colours
LABELS = {
    "precision": "precision: share of samples that look real",
    "recall": "recall: share of real events that can be generated",
}


class Axis(NamedTuple):
    """An axis of a chart.

    Args:
        label: text beside the axis.
        figure: takes the figure from a row; None where the row has none.
    """

    label: str
    figure: Callable[[Row], Figure | None]


class Point(NamedTuple):
    """A mark of a chart, with an error on either side."""

    x: float
    x_error: float
    y: float
    y_error: float


def _cost(of: Callable[[Cost], float | None], row: Row) -> Figure | None:
    if row.cost is None:
        return None
    value = of(row.cost)
    if value is None:
        return None
    return Figure(value)


COSTS = {
    "samples_per_second": Axis(
        "samples per second", partial(_cost, lambda cost: cost.samples_per_second)
    ),
    "evaluations_per_sample": Axis(
        "network evaluations per sample", partial(_cost, lambda cost: cost.evaluations_per_sample)
    ),
    "train_seconds": Axis("seconds of training", partial(_cost, lambda cost: cost.train_seconds)),
    "parameters": Axis("parameters", partial(_cost, lambda cost: cost.parameters)),
}


def cost_axis(name: str) -> Axis:
    """The axis of one of `COSTS`; raises `InputError` with the nearest for any other name."""
    if name not in COSTS:
        raise InputError(f"There is no cost {name!r} to plot. {nearest(name, COSTS)}")
    return COSTS[name]


def quality_axis(name: str) -> Axis:
    """The axis of a figure of samples, such as "FD (digits-net)" or "recall"."""
    return Axis(LABELS.get(name, name), partial(_quality, name))


def _quality(name: str, row: Row) -> Figure | None:
    return None if row.quality is None else row.quality.figures.get(name)


def points(rows: Iterable[Row], x: Axis, y: Axis) -> dict[str, list[Point]]:
    """Family -> a point for each of its rows that has both figures.

    Args:
        rows: of the scorecard.
        x: the horizontal axis.
        y: the vertical axis.
    """
    of_families: dict[str, list[Point]] = {}
    for row in rows:
        across = x.figure(row)
        up = y.figure(row)
        if across is None or up is None or not across.is_known or not up.is_known:
            continue
        point = Point(*_with_error(across), *_with_error(up))
        of_families.setdefault(row.family, []).append(point)
    return of_families


def _with_error(figure: Figure) -> tuple[float, float]:
    """Value and standard error, 0 if unknown; of an interval its middle and half its width."""
    assert figure.middle is not None
    if figure.is_interval:
        return figure.middle, figure.middle - (figure.low or 0.0)
    return figure.middle, figure.stderr or 0.0


def against(
    rows: Iterable[Row], x: Axis, y: Axis, log: str = "", floor: Mapping[str, float] | None = None
):
    """A chart of one figure against another, the runs of a family in one colour.

    Args:
        rows: of the scorecard; one with both figures becomes a mark.
        x: the horizontal axis.
        y: the vertical axis.
        log: the axes that are logarithmic: "", "x", "y" or "xy".
        floor: label -> value of y that is drawn as a line, such as that of real data.

    Returns:
        a figure of matplotlib.
    """
    figure, axis = _canvas(6.4, 4.4)
    for i, (family, marks) in enumerate(points(rows, x, y).items()):
        across, x_error, up, y_error = np.array(marks).T
        axis.errorbar(
            across,
            up,
            xerr=x_error,
            yerr=y_error,
            fmt="none",
            ecolor="#bbbbbb",
            elinewidth=1,
            zorder=1,
        )
        axis.scatter(
            across,
            up,
            marker=MARKS[i % len(MARKS)],
            s=60,
            color=f"C{i % 10}",
            label=family,
            zorder=2,
        )
    for label, level in (floor or {}).items():
        axis.axhline(level, color=INK, linewidth=1, linestyle=":")
        axis.annotate(
            label,
            (1, level),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            color=INK,
        )
    axis.set(xlabel=x.label, ylabel=y.label)
    axis.set_xscale("log" if "x" in log else "linear")
    axis.set_yscale("log" if "y" in log else "linear")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def quality_against_cost(rows: Iterable[Row], quality: str, cost: str = "samples_per_second"):
    """The quality of samples against their cost.

    The axis of quality is logarithmic, unless an estimate is not positive, as half of the estimates
    of a perfect model's MMD² are.

    Args:
        rows: of the scorecard.
        quality: name of a distance, such as "FD (digits-net)".
        cost: one of `COSTS`.
    """
    rows = list(rows)
    x = cost_axis(cost)
    y = quality_axis(quality)
    values = []
    for marks in points(rows, x, y).values():
        values += [point.y for point in marks]
    log = "xy" if min(values, default=1.0) > 0 else "x"
    return against(rows, x, y, log)


def precision_and_recall(rows: Iterable[Row]):
    """Precision against recall: a GAN tends to the upper left, with sharp samples of few kinds."""
    return against(rows, quality_axis("recall"), quality_axis("precision"))


class Curve(NamedTuple):
    """Validation losses of a run against seconds of training."""

    seconds: Sequence[float]
    values: Sequence[float]


def learning_curves(curves: Mapping[str, Sequence[Curve]], unit: str):
    """The validation figure of each family against seconds of training.

    Args:
        curves: family -> a curve for each of its runs, of families with a likelihood.
        unit: of the values.
    """
    figure, axis = _canvas(6.4, 4.0)
    for i, (family, runs) in enumerate(curves.items()):
        for j, run in enumerate(runs):
            label = family if j == 0 else None
            axis.plot(run.seconds, run.values, color=f"C{i % 10}", label=label, linewidth=1.4)
    # the range of values after the first quarter of training
    ends = []
    for runs in curves.values():
        for run in runs:
            ends += run.values[len(run.values) // 4 :]
    if ends:
        margin = 0.08 * (max(ends) - min(ends)) or 1.0
        axis.set_ylim(min(ends) - margin, max(ends) + margin)
    axis.set(xlabel="seconds of training", ylabel=f"validation, {unit}")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def latent_map(
    path: str | Path, maps: Mapping[str, tuple[np.ndarray, np.ndarray]], colour: str = "class"
) -> None:
    """Write a PNG of events on a plane of the latent, with a panel for each model.

    Args:
        path: of the PNG.
        maps: label -> positions ``(n, 2)`` and values that give the colour, ``(n,)``: integers are
            classes, real numbers a scale.
        colour: name of these values, for the legend.
    """
    across = min(3, len(maps))
    down = -(-len(maps) // across)
    figure, axes = _canvas(3.4 * across + 0.8, 3.3 * down, down, across)
    dots: Any = None
    for axis, (label, (places, values)) in zip(axes.flatten(), maps.items(), strict=False):
        classes = np.issubdtype(values.dtype, np.integer)
        look = {"cmap": "tab10", "vmin": -0.5, "vmax": 9.5} if classes else {"cmap": "viridis"}
        dots = axis.scatter(*places.T, c=values, s=7, linewidths=0, alpha=0.8, **look)
        axis.set(title=label, xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
        axis.spines[:].set_color("#cccccc")
    for axis in axes.flatten()[len(maps) :]:
        axis.axis("off")
    figure.colorbar(dots, ax=axes, label=colour, shrink=0.8)
    write(figure, path)


def guidance(path: str | Path, sweeps: Mapping[str, Sequence[SweptGuidance]]) -> None:
    """Write a PNG of each model's guidance sweep: gain in accuracy against loss of diversity."""
    curves = {
        "accuracy: share in the class of the condition": lambda swept: swept.accuracy,
        "coverage: real events with a sample nearby": lambda swept: swept.coverage,
        "spread within a class, as a share of real data's": lambda swept: Figure(swept.spread),
    }
    figure, axes = _canvas(2.4 + 4.0 * len(sweeps), 3.8, 1, len(sweeps))
    for axis, (family, sweep) in zip(axes[0], sweeps.items(), strict=True):
        strengths = [swept.guidance for swept in sweep]
        for i, figure_of in enumerate(curves.values()):
            value, error = np.array([_with_error(figure_of(swept)) for swept in sweep]).T
            axis.errorbar(strengths, value, yerr=error, marker=MARKS[i], color=f"C{i}", capsize=2)
        axis.axvline(1, color=INK, linewidth=1, linestyle=":")
        axis.annotate(
            "without guidance",
            (1, 0.02),
            xycoords=("data", "axes fraction"),
            rotation=90,
            color=INK,
            ha="right",
            va="bottom",
        )
        axis.set(title=family, xlabel="guidance", ylim=(0, None))
    figure.legend(
        axes[0, 0].containers,
        curves,
        frameon=False,
        fontsize=9,
        loc="outside upper center",
    )
    write(figure, path)


def _canvas(
    width: float, height: float, down: int | None = None, across: int = 1
) -> tuple[Any, Any]:
    """A figure, sized in inches, with one axis or ``down`` x ``across`` of them."""
    # a second to import; not through pyplot, which wants a display
    from matplotlib.figure import Figure as Canvas

    figure = Canvas((width, height), facecolor=PAPER, layout="constrained")
    axes = figure.subplots(down or 1, across, squeeze=down is None)
    for axis in np.atleast_1d(axes).flatten():
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def write(figure, path: str | Path) -> None:
    """Write a chart as a PNG, whole or not at all."""
    with whole(Path(path)) as draft:
        figure.savefig(draft, dpi=110, facecolor=PAPER)
