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

INK = "#1b2a41"
PAPER = "white"
FRAME = "#cccccc"
ASTRAY = "#c8102e"
MISSED = "#f28e1c"


def picture(
    path: str | Path, samples: Mapping[str, np.ndarray], columns: int = 20, rows: int = 0
) -> None:
    """Write a PNG of ``samples``, label -> events ``(n, *event_shape)``.

    The first entry, real data, sets the scale.

    Of each label's images there are at most ``rows`` of ``columns``; 0: two rows of small images,
    one of large ones.
    """
    # a second to import; not through pyplot, which wants a display
    from matplotlib.figure import Figure

    samples = _floats(samples)
    real = _first(samples)
    figure = Figure(facecolor=PAPER)
    if real.shape[1:] == (2,):
        _points(figure, samples)
    else:
        shown = _at_most(samples, columns, rows)
        _rows(figure, shown, columns, (real.min(), real.max()), emphasis=0)
    _save(figure, path)


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

    rows = _floats(rows)
    if limits is None:
        least = min(events.min() for events in rows.values())
        greatest = max(events.max() for events in rows.values())
        limits = (least, greatest)
    longest = max(len(events) for events in rows.values())
    figure = Figure(facecolor=PAPER)
    _rows(figure, rows, longest, limits, emphasis)
    _save(figure, path)


def grid(path: str | Path, events: np.ndarray, limits: tuple[float, float] | None = None) -> None:
    """Write a PNG of one model's samples ``(n, *event_shape)``.

    A square of images, or a scatter plot of points.

    ``limits`` are the values of black and white; the least and the greatest value there is by
    default.
    """
    if events.shape[1:] == (2,):
        return picture(path, {"samples": events})
    from matplotlib.image import imsave

    if limits is None:
        limits = (events.min(), events.max())
    columns = math.ceil(math.sqrt(len(events)))
    image = _stack(_scaled(events, limits), columns)
    with whole(Path(path)) as draft:
        imsave(draft, image)
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
    legend = 0.5  # inches at the foot of the figure
    figure = Figure((5.2 * across, 2.1 * down + legend), facecolor=PAPER)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for axis, (label, panel) in zip(axes, panels.items(), strict=False):
        _map(axis, panel, land, frame)
        _frame(axis, label, xlim=frame[:2], ylim=frame[2:])
    for axis in axes[len(panels) :]:
        axis.axis("off")

    handles, labels = axes[0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, legend / figure.get_figheight(), 1, 1))
    figure.legend(handles, labels, loc="lower center", ncols=2, markerscale=4, frameon=False)
    _save(figure, path)


def _map(axis, panel: Panel, land: np.ndarray, frame: tuple[float, float, float, float]) -> None:
    """One model's points on the ground where the truth has mass."""
    grey = np.where(land, 0.86, 1.0)
    axis.imshow(grey, extent=frame, cmap="gray", vmin=0, vmax=1, aspect="auto")

    dots = {"s": 2.5, "linewidths": 0}
    at_home = panel.samples[~panel.astray]
    axis.scatter(*at_home.T, color=INK, alpha=0.45, **dots)
    astray = panel.samples[panel.astray]
    axis.scatter(*astray.T, color=ASTRAY, label="A: a sample in the sea", **dots)
    about_missed = "B: a test point the model gives almost nothing"
    axis.scatter(*panel.missed.T, color=MISSED, label=about_missed, **dots)


def _points(figure, samples: Mapping[str, np.ndarray]) -> None:
    """A scatter plot for each label, all within the limits of the first."""
    across = min(4, len(samples))
    down = math.ceil(len(samples) / across)
    figure.set_size_inches(3 * across, 3 * down)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    low, high = _limits(_first(samples))
    for axis, (label, events) in zip(axes, samples.items(), strict=False):
        axis.scatter(*events.T, s=2, alpha=0.4, linewidths=0, color=INK)
        _frame(axis, label, xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for axis in axes[len(samples) :]:
        axis.axis("off")
    figure.tight_layout()


def _frame(axis, title: str, xlim: tuple[float, float], ylim: tuple[float, float]) -> None:
    """Limits and a title, no ticks, and a quiet line around."""
    axis.set(xlim=xlim, ylim=ylim, xticks=[], yticks=[], title=title)
    axis.spines[:].set_color(FRAME)


def _save(figure, path: str | Path) -> None:
    with whole(Path(path)) as draft:
        figure.savefig(draft, dpi=100, facecolor=PAPER)


def _floats(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {label: np.asarray(events, dtype=float) for label, events in samples.items()}


def _first(samples: Mapping[str, np.ndarray]) -> np.ndarray:
    """The events of the first label."""
    return next(iter(samples.values()))


def _scaled(events: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Events mapped so that ``limits`` become 0 and 1."""
    low, high = limits
    return (events - low) / max(high - low, 1e-9)


def _at_most(samples: Mapping[str, np.ndarray], columns: int, rows: int) -> dict[str, np.ndarray]:
    """As many events of each as ``rows`` of ``columns`` hold.

    0: two rows, or one of images that are not small.
    """
    if not rows:
        event = _first(samples)[0]
        side = max(_as_image(event).shape[:2])
        rows = 2 if side <= SMALL else 1
    most = columns * rows
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
    longest = max(len(events) for events in samples.values())
    columns = min(columns, longest)
    blocks = {}
    for label, events in samples.items():
        blocks[label] = _stack(_scaled(events, limits), columns)

    # in pixels, of which a hundred are an inch
    left = 150  # of the labels
    gap = 14  # between models
    width = _first(blocks).shape[1]
    across = left + width + gap
    total = gap
    for block in blocks.values():
        total += block.shape[0] + gap
    figure.set_size_inches(across / 100, total / 100)

    bottom = total
    for i, (label, block) in enumerate(blocks.items()):
        height = block.shape[0]
        bottom -= height + gap
        axis = figure.add_axes((left / across, bottom / total, width / across, height / total))
        axis.imshow(block, interpolation="nearest", aspect="auto")
        axis.axis("off")

        x = (left - 12) / across
        y = (bottom + height / 2) / total
        weight = "bold" if i == emphasis else "normal"
        figure.text(x, y, label, ha="right", va="center", fontsize=12, color=INK, weight=weight)


def _stack(events: np.ndarray, columns: int) -> np.ndarray:
    """Events with values in [0, 1] in rows of ``columns`` as one RGB image."""
    rows = []
    for start in range(0, len(events), columns):
        rows.append(_strip(events[start : start + columns], columns))
    gap = np.ones((GAP, rows[0].shape[1], 3))
    return np.concatenate(_between(rows, gap))


def _strip(events: np.ndarray, columns: int) -> np.ndarray:
    """Events with values in [0, 1] side by side as one RGB image, each pixel a square."""
    images = [_enlarge(_as_image(event)) for event in events]
    blank = np.ones_like(images[0])
    images += [blank] * (columns - len(images))
    gap = np.ones((images[0].shape[0], GAP, 3))
    return np.concatenate(_between(images, gap), axis=1)


def _between(parts: list[np.ndarray], gap: np.ndarray) -> list[np.ndarray]:
    """The parts with a gap between each and the next."""
    joined = [parts[0]]
    for part in parts[1:]:
        joined += [gap, part]
    return joined


def _as_image(event: np.ndarray) -> np.ndarray:
    """(c, h, w), or any other event as one column of squares, to (h, w, 3)."""
    if event.ndim != 3:
        side = math.ceil(math.sqrt(event.size))
        blank = np.ones(side * side - event.size)
        event = np.concatenate([event.flatten(), blank]).reshape(1, side, side)
    if len(event) != 3:
        event = event[:1].repeat(3, 0)  # grey
    return event.transpose(1, 2, 0).clip(0, 1)


def _enlarge(image: np.ndarray) -> np.ndarray:
    """An image whose longer side has at least `PIXELS` pixels."""
    side = max(image.shape[:2])
    factor = math.ceil(PIXELS / side)
    return image.repeat(factor, 0).repeat(factor, 1)


def _limits(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of a frame around points ``(n, 2)``, with a margin of a tenth."""
    low = points.min(0)
    high = points.max(0)
    margin = 0.1 * (high - low)
    return low - margin, high + margin
