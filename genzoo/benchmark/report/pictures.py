"""Pictures of samples beside real data: labelled rows of images, or a panel of points each."""

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
    path: str | Path,
    samples: Mapping[str, np.ndarray],
    columns: int = 20,
    rows: int = 0,
) -> None:
    """Write a PNG of samples of several models side by side.

    Args:
        path: of the PNG.
        samples: label -> observations ``(n, *event_shape)``. The first entry, real data, sets the
            scale.
        columns: images in a row.
        rows: rows of each label at most; 0: two rows of small images, one of large ones.
    """
    # takes a second to import; not through pyplot, which needs a display
    from matplotlib.figure import Figure

    samples = _floats(samples)
    real = _first(samples)
    figure = Figure(facecolor=PAPER)
    if _are_points(real):
        _points(figure, samples)
    else:
        shown = _at_most(samples, columns, rows)
        limits = (real.min(), real.max())
        _rows(figure, shown, columns, limits, emphasis=0)
    _save(figure, path)


def strips(
    path: str | Path,
    rows: Mapping[str, np.ndarray],
    limits: tuple[float, float] | None = None,
    emphasis: int | None = None,
) -> None:
    """Write a PNG with one labelled row of images for each of ``rows``.

    It is for series from left to right, such as interpolations, or for classes.

    Args:
        path: of the PNG.
        rows: label -> observations ``(n, *event_shape)``.
        limits: the values of black and white; the least and the greatest of all by default.
        emphasis: the row whose label is bold.
    """
    from matplotlib.figure import Figure

    rows = _floats(rows)
    if limits is None:
        least = min(images.min() for images in rows.values())
        greatest = max(images.max() for images in rows.values())
        limits = (least, greatest)
    longest = max(len(images) for images in rows.values())
    figure = Figure(facecolor=PAPER)
    _rows(figure, rows, longest, limits, emphasis)
    _save(figure, path)


def grid(
    path: str | Path,
    events: np.ndarray,
    limits: tuple[float, float] | None = None,
) -> None:
    """Write a PNG of one model's samples: a square of images, or a scatter plot of points.

    Args:
        path: of the PNG.
        events: the samples, ``(n, *event_shape)``.
        limits: the values of black and white; the least and the greatest value by default.
    """
    if _are_points(events):
        picture(path, {"samples": events})
        return
    from matplotlib.image import imsave

    if limits is None:
        limits = (events.min(), events.max())
    columns = math.ceil(math.sqrt(len(events)))
    image = _stack(_scaled(events, limits), columns)
    with whole(Path(path)) as draft:
        imsave(draft, image)


class Panel(NamedTuple):
    """The points of one model on the map."""

    samples: np.ndarray
    """``(n, 2)``."""

    astray: np.ndarray
    """True of samples where the true distribution has no mass, ``(n,)`` booleans."""

    missed: np.ndarray
    """Test points that the model gives almost no probability, ``(m, 2)``."""


def maps(
    path: str | Path,
    panels: Mapping[str, Panel],
    land: np.ndarray,
    frame: tuple[float, float, float, float],
) -> None:
    """Write a PNG with the lecture's points A and B of each model.

    Args:
        path: of the PNG.
        panels: label -> the points of one model.
        land: ``(rows, columns)`` booleans, True where the true distribution has mass; the first row
            is the top.
        frame: (left, right, bottom, top) of ``land`` in the units of the points.
    """
    from matplotlib.figure import Figure

    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    legend = 0.5  # inches at the foot of the figure
    figure = Figure((5.2 * across, 2.1 * down + legend), facecolor=PAPER)
    axes = _axes(figure, down, across, len(panels))
    left, right, bottom, top = frame
    for axis, (label, panel) in zip(axes, panels.items(), strict=True):
        _map(axis, panel, land, frame)
        _frame(axis, label, xlim=(left, right), ylim=(bottom, top))

    handles, labels = axes[0].get_legend_handles_labels()
    foot = legend / figure.get_figheight()
    figure.tight_layout(rect=(0, foot, 1, 1))
    figure.legend(
        handles,
        labels,
        loc="lower center",
        ncols=2,
        markerscale=4,
        frameon=False,
    )
    _save(figure, path)


def _axes(figure, down: int, across: int, used: int) -> list:
    """The first ``used`` of ``down`` x ``across`` axes of a figure; the others stay blank."""
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for blank in axes[used:]:
        blank.axis("off")
    return list(axes[:used])


def _map(
    axis,
    panel: Panel,
    land: np.ndarray,
    frame: tuple[float, float, float, float],
) -> None:
    """One model's points on the ground where the true distribution has mass."""
    grey = np.where(land, 0.86, 1.0)
    axis.imshow(
        grey,
        extent=frame,
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
    )

    dots = {"s": 2.5, "linewidths": 0}
    on_land = panel.samples[~panel.astray]
    astray = panel.samples[panel.astray]
    about_astray = "A: a sample in the sea"
    about_missed = "B: a test point the model gives almost nothing"
    axis.scatter(*on_land.T, color=INK, alpha=0.45, **dots)
    axis.scatter(*astray.T, color=ASTRAY, label=about_astray, **dots)
    axis.scatter(*panel.missed.T, color=MISSED, label=about_missed, **dots)


def _points(figure, samples: Mapping[str, np.ndarray]) -> None:
    """A scatter plot for each label, all within the limits of the first."""
    across = min(4, len(samples))
    down = math.ceil(len(samples) / across)
    figure.set_size_inches(3 * across, 3 * down)
    axes = _axes(figure, down, across, len(samples))
    (left, bottom), (right, top) = _limits(_first(samples))
    for axis, (label, points) in zip(axes, samples.items(), strict=True):
        axis.scatter(*points.T, s=2, alpha=0.4, linewidths=0, color=INK)
        _frame(axis, label, xlim=(left, right), ylim=(bottom, top))
    figure.tight_layout()


def _frame(
    axis,
    title: str,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
) -> None:
    """Set limits and a title, no ticks, and a light border."""
    axis.set(xlim=xlim, ylim=ylim, xticks=[], yticks=[], title=title)
    axis.spines[:].set_color(FRAME)


def _save(figure, path: str | Path) -> None:
    with whole(Path(path)) as draft:
        figure.savefig(draft, dpi=100, facecolor=PAPER)


def _floats(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    converted = {}
    for label, observations in samples.items():
        converted[label] = np.asarray(observations, dtype=float)
    return converted


def _first(samples: Mapping[str, np.ndarray]) -> np.ndarray:
    """The observations of the first label."""
    return next(iter(samples.values()))


def _are_points(observations: np.ndarray) -> bool:
    """True if observations ``(n, *event_shape)`` are points of a plane."""
    return observations.shape[1:] == (2,)


def _scaled(images: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Images mapped so that ``limits`` become 0 and 1."""
    low, high = limits
    reach = max(high - low, 1e-9)
    return (images - low) / reach


def _at_most(
    samples: Mapping[str, np.ndarray],
    columns: int,
    rows: int,
) -> dict[str, np.ndarray]:
    """As many images of each label as ``rows`` of ``columns`` hold.

    0: two rows, or one of images that are not small.
    """
    if not rows:
        image = _as_image(_first(samples)[0])
        side = max(image.shape[:2])
        rows = 2 if side <= SMALL else 1
    most = columns * rows
    return {label: images[:most] for label, images in samples.items()}


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
    longest = max(len(images) for images in samples.values())
    columns = min(columns, longest)
    blocks = {}
    for label, images in samples.items():
        scaled = _scaled(images, limits)
        blocks[label] = _stack(scaled, columns)

    # in pixels, of which a hundred are an inch
    left = 150  # of the labels
    gap = 14  # between models
    _, width, _ = _first(blocks).shape
    across = left + width + gap
    total = gap
    for block in blocks.values():
        total += len(block) + gap
    figure.set_size_inches(across / 100, total / 100)

    bottom = total
    for i, (label, block) in enumerate(blocks.items()):
        height = len(block)
        bottom -= height + gap
        place = (left / across, bottom / total, width / across, height / total)
        axis = figure.add_axes(place)
        axis.imshow(block, interpolation="nearest", aspect="auto")
        axis.axis("off")
        figure.text(
            (left - 12) / across,
            (bottom + height / 2) / total,
            label,
            ha="right",
            va="center",
            fontsize=12,
            color=INK,
            weight="bold" if i == emphasis else "normal",
        )


def _stack(images: np.ndarray, columns: int) -> np.ndarray:
    """Images with values in [0, 1], in rows of ``columns``, as one RGB image."""
    rows = []
    for start in range(0, len(images), columns):
        row = images[start : start + columns]
        rows.append(_strip(row, columns))
    _, width, colours = rows[0].shape
    gap = np.ones((GAP, width, colours))
    return np.concatenate(_between(rows, gap))


def _strip(images: np.ndarray, columns: int) -> np.ndarray:
    """Images with values in [0, 1] side by side as one RGB image, each pixel a square."""
    large = [_enlarge(_as_image(image)) for image in images]
    blank = np.ones_like(large[0])
    large += [blank] * (columns - len(large))
    height, _, colours = blank.shape
    gap = np.ones((height, GAP, colours))
    return np.concatenate(_between(large, gap), axis=1)


def _between(parts: list[np.ndarray], gap: np.ndarray) -> list[np.ndarray]:
    """The parts with a gap between each and the next."""
    joined = [parts[0]]
    for part in parts[1:]:
        joined += [gap, part]
    return joined


def _as_image(observation: np.ndarray) -> np.ndarray:
    """(c, h, w), or numbers of any other shape as a square of squares, to (h, w, 3)."""
    image = observation
    if image.ndim != 3:
        side = math.ceil(math.sqrt(image.size))
        blank = np.ones(side * side - image.size)
        numbers = np.concatenate([image.flatten(), blank])
        image = numbers.reshape(1, side, side)
    if len(image) != 3:
        grey = image[:1]
        image = grey.repeat(3, 0)
    return image.transpose(1, 2, 0).clip(0, 1)


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
