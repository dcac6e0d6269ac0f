"""Charts: what is measured of several models, and where a latent puts what, as points and curves.

A chart of models is drawn from rows of the scorecard, as `genzoo.benchmark.run` writes them. What
is plotted is named by a path through a row's nested dictionaries, such as
``"quality.figures.recall"``; rows that have no such figure are left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genzoo.benchmark.report.pictures import INK, PAPER
from genzoo.evaluation.figures import Figure
from genzoo.files import whole

NAMES = {
    "samples_per_second": "samples per second",
    "evaluations_per_sample": "network evaluations per sample",
    "train_seconds": "seconds of training",
    "parameters": "parameters",
    "quality.figures.precision": "precision: share of samples that look real",
    "quality.figures.recall": "recall: share of real events that could be drawn",
}
MARKS = "osD^vP*Xph<>"  # one for each family, for those who do not see colours

Row = Mapping[str, Any]


def figure_at(row: Row, path: str) -> tuple[float, float] | None:
    """The figure of ``row`` at ``path`` and its error; None if it is not there.

    Of an interval the middle and half its width; else the standard error, 0 if there is none.
    """
    found: Any = row
    for key in path.split("."):
        if not isinstance(found, Mapping) or (found := found.get(key)) is None:
            return None
    if isinstance(found, Mapping):
        figure = Figure.from_json(found)
        if figure.middle is None:
            return None
        if figure.is_interval:
            return figure.middle, figure.middle - (figure.low or 0.0)
        return figure.middle, figure.stderr or 0.0
    return float(found), 0.0


def against(
    path: str | Path,
    rows: Iterable[Row],
    x: str,
    y: str,
    log: str = "",
    floor: Mapping[str, float] | None = None,
) -> None:
    """Write a PNG of one figure against another, a mark for each of ``rows`` with both, the runs of
    a family in one colour.

    Args:
        x, y: paths of the figures, as for `figure_at`.
        log: which axes are logarithmic: "", "x", "y" or "xy".
        floor: label -> level of y to draw as a line, such as what real data would have.
    """
    figure, axis = _canvas(6.4, 4.4)
    for i, (family, points) in enumerate(_by_family(rows, x, y).items()):
        (across, up), errors = np.array(points).T[[0, 2]], np.array(points).T[[1, 3]]
        axis.errorbar(
            across,
            up,
            xerr=errors[0],
            yerr=errors[1],
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
    axis.set(xlabel=_spoken(x), ylabel=_spoken(y))
    axis.set_xscale("log" if "x" in log else "linear")
    axis.set_yscale("log" if "y" in log else "linear")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    _write(figure, path)


def _spoken(path: str) -> str:
    """What an axis is called: a figure without a name of its own by the last part of its path, such
    as "FD (digits-net)".
    """
    return NAMES.get(path, path.rpartition(".")[2])


def quality_against_cost(
    path: str | Path, rows: Iterable[Row], quality: str, cost: str = "samples_per_second"
) -> None:
    """Write a PNG of what samples are worth against what they cost; the best place is a corner, and
    no family has it.

    Quality is on a logarithmic axis, unless an estimate of it is not above zero, as half of those
    of a perfect model's MMD² are.
    """
    rows = list(rows)
    found = [up[0] for row in rows if (up := figure_at(row, quality)) is not None]
    against(path, rows, cost, quality, log="xy" if min(found, default=1.0) > 0 else "x")


def precision_and_recall(
    path: str | Path,
    rows: Iterable[Row],
    precision: str = "quality.figures.precision",
    recall: str = "quality.figures.recall",
) -> None:
    """Write a PNG of precision against recall: a GAN tends to the upper left (sharp, not all),
    likelihood to the right.
    """
    against(path, rows, recall, precision)


def latent_map(
    path: str | Path, maps: Mapping[str, tuple[np.ndarray, np.ndarray]], colour: str = "class"
) -> None:
    """Write a PNG with a panel for each model: the places of events on a plane of its latent,
    coloured by what they are.

    Args:
        maps: label -> places ``(n, 2)`` and what to colour by, ``(n,)``: whole numbers are classes,
            others a scale.
        colour: what that is, for the legend.
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
    _write(figure, path)


def guidance(path: str | Path, sweeps: Mapping[str, Sequence[Row]]) -> None:
    """Write a PNG of each model's `genzoo.evaluation.guidance_sweep`: what is gained in accuracy
    and lost in diversity.
    """
    curves = {
        "accuracy": "accuracy: judged to be what was asked for",
        "coverage": "coverage: real events with a sample near",
        "spread": "spread within a class, of real data's",
    }
    figure, axes = _canvas(2.4 + 4.0 * len(sweeps), 3.8, 1, len(sweeps))
    for axis, (family, sweep) in zip(axes[0], sweeps.items(), strict=True):
        strengths = [row["guidance"] for row in sweep]
        for i, name in enumerate(curves):
            value, error = np.array([figure_at(row, name) for row in sweep]).T
            axis.errorbar(strengths, value, yerr=error, marker=MARKS[i], color=f"C{i}", capsize=2)
        axis.axvline(1, color=INK, linewidth=1, linestyle=":")
        axis.annotate(
            "as learned",
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
        curves.values(),
        frameon=False,
        fontsize=9,
        loc="outside upper center",
    )
    _write(figure, path)


def _by_family(
    rows: Iterable[Row], x: str, y: str
) -> dict[str, list[tuple[float, float, float, float]]]:
    """Family -> (x, its error, y, its error) of each of its rows that has both figures."""
    found: dict[str, list] = {}
    for row in rows:
        across, up = figure_at(row, x), figure_at(row, y)
        if across is not None and up is not None:
            found.setdefault(row["family"], []).append((*across, *up))
    return found


def _canvas(
    width: float, height: float, down: int | None = None, across: int = 1
) -> tuple[Any, Any]:
    """A figure of so many inches with one axis, or ``down`` x ``across`` of them."""
    from matplotlib.figure import (
        Figure as Canvas,
    )  # a second to import; not through pyplot, which wants a display

    figure = Canvas((width, height), facecolor=PAPER, layout="constrained")
    axes = figure.subplots(down or 1, across, squeeze=down is None)
    for axis in np.atleast_1d(axes).flatten():
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _write(figure, path: str | Path) -> None:
    with whole(Path(path)) as draft:
        figure.savefig(draft, dpi=110, facecolor=PAPER)
