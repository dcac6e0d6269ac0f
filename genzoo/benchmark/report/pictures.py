"""Samples side by side with real data.

Labelled rows of images, or one panel of points, for each model.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genzoo.files import whole

PIXELS = 48  # least side of a small image in the picture, so that pixels stay crisp
SMALL = 64  # up to this side there is room for two rows of each model's images
GAP = 4  # pixels between images
INK, PAPER = "#1b2a41", "white"
ASTRAY, MISSED = "#c8102e", "#f28e1c"


def picture(
    path: str | Path, samples: Mapping[str, np.ndarray], columns: int = 20, rows: int = 0
) -> None:
    """Write a PNG of ``samples``, label -> events ``(n, *event_shape)``.

    The first entry, real data, sets the scale.

    Of each label's images there are at most ``rows`` of ``columns``; 0: two rows of small images,
    one of large ones.
    """
    from matplotlib.figure import (
        Figure,
    )  # a second to import; not through pyplot, which wants a display

    samples = {label: np.asarray(events, dtype=float) for label, events in samples.items()}
    shape = next(iter(samples.values())).shape[1:]
    figure = Figure(facecolor=PAPER)
    if shape == (2,):
        _points(figure, samples)
    else:
        real = next(iter(samples.values()))
        shown = _at_most(samples, columns, rows)
        _rows(figure, shown, columns, (real.min(), real.max()), emphasis=0)
    with whole(Path(path)) as draft:
        figure.savefig(draft, dpi=100, facecolor=PAPER)


def strips(
    path: str | Path,
    rows: Mapping[str, np.ndarray],
    limits: tuple[float, float] | None = None,
    emphasis: int | None = None,
) -> None:
    """Write a PNG with one labelled row of images for each of ``rows``.

    These map a label to events ``(n, *event_shape)``.

    Classes below one another, or ways through a latent: whatever is read from left to right.
    ``limits`` are the values of black and white, the least and the greatest of all by default; the
    label of the row ``emphasis`` is bold.
    """
    from matplotlib.figure import Figure

    rows = {label: np.asarray(events, dtype=float) for label, events in rows.items()}
    limits = limits or (min(e.min() for e in rows.values()), max(e.max() for e in rows.values()))
    figure = Figure(facecolor=PAPER)
    _rows(figure, rows, max(len(events) for events in rows.values()), limits, emphasis)
    with whole(Path(path)) as draft:
        figure.savefig(draft, dpi=100, facecolor=PAPER)


def grid(path: str | Path, events: np.ndarray, limits: tuple[float, float] | None = None) -> None:
    """Write a PNG of one model's samples ``(n, *event_shape)``.

    A square of images, or a scatter plot of points.

    ``limits`` are the values of black and white; the least and the greatest value there is by
    default.
    """
    if events.shape[1:] == (2,):
        return picture(path, {"samples": events})
    from matplotlib.image import imsave

    low, high = limits or (events.min(), events.max())
    scaled = (events - low) / max(high - low, 1e-9)
    with whole(Path(path)) as draft:
        imsave(draft, _stack(scaled, math.ceil(math.sqrt(len(events)))))
    return None


class Panel(NamedTuple):
    """One model on the map.

    Samples ``(n, 2)``, which of them are astray ``(n,)``, and test points that it misses
    ``(m, 2)``.
    """

    samples: np.ndarray
    astray: np.ndarray
    missed: np.ndarray


def maps(
    path: str | Path,
    panels: Mapping[str, Panel],
    land: np.ndarray,
    frame: tuple[float, float, float, float],
) -> None:
    """Write a PNG that shows for each model where the lecture's points A and B lie.

    Args:
        land: ``(rows, columns)`` booleans, where the truth has mass; the first row is the top.
        frame: (left, right, bottom, top) of ``land`` in the units of the points.
    """
    from matplotlib.figure import Figure

    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    figure = Figure((5.2 * across, 2.1 * down + 0.5), facecolor=PAPER)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for axis, (label, panel) in zip(axes, panels.items(), strict=False):
        axis.imshow(
            np.where(land, 0.86, 1.0), extent=frame, cmap="gray", vmin=0, vmax=1, aspect="auto"
        )
        dots = {"s": 2.5, "linewidths": 0}
        axis.scatter(*panel.samples[~panel.astray].T, color=INK, alpha=0.45, **dots)
        axis.scatter(
            *panel.samples[panel.astray].T, color=ASTRAY, label="A: a sample in the sea", **dots
        )
        axis.scatter(
            *panel.missed.T,
            color=MISSED,
            label="B: a test point the model gives almost nothing",
            **dots,
        )
        axis.set(xlim=frame[:2], ylim=frame[2:], xticks=[], yticks=[], title=label)
        axis.spines[:].set_color("#cccccc")
    for axis in axes[len(panels) :]:
        axis.axis("off")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0.5 / figure.get_figheight(), 1, 1))
    figure.legend(handles, labels, loc="lower center", ncols=2, markerscale=4, frameon=False)
    with whole(Path(path)) as draft:
        figure.savefig(draft, dpi=100, facecolor=PAPER)


def _points(figure, samples: Mapping[str, np.ndarray]) -> None:
    across = min(4, len(samples))
    down = math.ceil(len(samples) / across)
    figure.set_size_inches(3 * across, 3 * down)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    low, high = _limits(next(iter(samples.values())))
    for axis, (label, events) in zip(axes, samples.items(), strict=False):
        axis.scatter(events[:, 0], events[:, 1], s=2, alpha=0.4, linewidths=0, color=INK)
        axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], title=label)
        axis.spines[:].set_color("#cccccc")
    for axis in axes[len(samples) :]:
        axis.axis("off")
    figure.tight_layout()


def _at_most(samples: Mapping[str, np.ndarray], columns: int, rows: int) -> dict[str, np.ndarray]:
    """As many events of each as ``rows`` of ``columns`` hold.

    0: two rows, or one of images that are not small.
    """
    first = next(iter(samples.values()))[0]
    most = columns * (rows or (2 if max(_as_image(first).shape[:2]) <= SMALL else 1))
    return {label: events[:most] for label, events in samples.items()}


def _rows(
    figure,
    samples: Mapping[str, np.ndarray],
    columns: int,
    limits: tuple[float, float],
    emphasis: int | None,
) -> None:
    """A block of images for each label, ``columns`` in a row.

    ``limits`` are the values of black and white.
    """
    columns = min(columns, max(len(events) for events in samples.values()))
    low, high = limits
    blocks = {
        label: _stack((events - low) / max(high - low, 1e-9), columns)
        for label, events in samples.items()
    }
    width = next(iter(blocks.values())).shape[1]
    left, gap = 150, 14  # pixels: of the labels, and between models
    across, total = left + width + gap, sum(block.shape[0] + gap for block in blocks.values()) + gap
    figure.set_size_inches(across / 100, total / 100)
    bottom = total
    for i, (label, block) in enumerate(blocks.items()):
        height = block.shape[0]
        bottom -= height + gap
        axis = figure.add_axes((left / across, bottom / total, width / across, height / total))
        axis.imshow(block, interpolation="nearest", aspect="auto")
        axis.axis("off")
        place, weight = (
            ((left - 12) / across, (bottom + height / 2) / total),
            "bold" if i == emphasis else "normal",
        )
        figure.text(*place, label, ha="right", va="center", fontsize=12, color=INK, weight=weight)


def _stack(events: np.ndarray, columns: int) -> np.ndarray:
    """Events with values in [0, 1] in rows of ``columns`` as one RGB image."""
    rows = [_strip(events[i : i + columns], columns) for i in range(0, len(events), columns)]
    gap = np.ones((GAP, rows[0].shape[1], 3))
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def _strip(events: np.ndarray, columns: int) -> np.ndarray:
    """Events with values in [0, 1] side by side as one RGB image, each pixel a square."""
    images = [_enlarge(_as_image(event)) for event in events]
    blank = np.ones_like(images[0])
    images += [blank] * (columns - len(images))
    gap = np.ones((images[0].shape[0], GAP, 3))
    return np.concatenate([part for image in images for part in (image, gap)][:-1], 1)


def _as_image(event: np.ndarray) -> np.ndarray:
    """(c, h, w), or any other event as one column of squares, to (h, w, 3)."""
    if event.ndim != 3:
        side = math.ceil(math.sqrt(event.size))
        event = np.concatenate([event.flatten(), np.ones(side * side - event.size)]).reshape(
            1, side, side
        )
    channels = event[[0, 1, 2]] if len(event) == 3 else event[:1].repeat(3, 0)
    return channels.transpose(1, 2, 0).clip(0, 1)


def _enlarge(image: np.ndarray) -> np.ndarray:
    factor = max(1, math.ceil(PIXELS / max(image.shape[:2])))
    return image.repeat(factor, 0).repeat(factor, 1)


def _limits(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = points.min(0), points.max(0)
    margin = 0.1 * (high - low)
    return low - margin, high + margin
