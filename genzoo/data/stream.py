"""Data larger than memory: events that stay on the disk and are read batch by batch.

A ``.npy`` file is mapped, and a batch reads its own rows alone; of a folder of images a batch opens
its own files. What is held is one batch, the held-out events, and a fixed sample of the training
events for all that wants to see many at once (`Stream.x`). The order of training is arithmetic
(`genzoo.data.order`), so it is not held either.
"""

import mmap
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genzoo import grid
from genzoo.data.arrays import channels_first
from genzoo.data.dataset import Batch, DataSet, Split
from genzoo.data.images import folder
from genzoo.data.order import permuted
from genzoo.errors import InputError
from genzoo.gate import pictures

LABELS = ".labels.npy"  # how the file of labels beside NAME.npy ends
SAMPLE = 10_000  # events of `Stream.x`
HELD_OUT = 10_000  # events of validation and of test, at most; a tenth of few

Rows = Callable[[NDArray[np.int64]], Tensor]


class Stream(Split):
    """Training events that are read when they are asked for; indexed like a `Split`.

    Args:
        rows: reads the events of the numbers that it is given, ``(n, *event_shape)``.
        numbers: of the events, from 0 to one less; those of this split are found by ``place``.
        place: index in this split -> number of the event.
        c: conditions of the split, which are held; or None.
    """

    in_memory = False

    def __init__(
        self,
        rows: Rows,
        numbers: int,
        place: Callable[[NDArray[np.int64]], NDArray[np.int64]],
        c: Tensor | None = None,
    ):
        self.rows = rows
        self.numbers = numbers
        self.place = place
        self.conditions = c

    def __len__(self) -> int:
        return self.numbers

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, int):
            x, c = self.gather([i % len(self)])
            if c is None:
                return (x[0],)
            return x[0], c[0]
        if isinstance(i, slice):
            i = range(*i.indices(len(self)))
        elif i.dtype == torch.bool:
            i = torch.arange(len(self))[i]
        return self.gather(i)

    def gather(self, indices: Any) -> Batch:
        """A batch of the events at ``indices``, read from the disk."""
        numbers = self.place(np.asarray(indices, np.int64))
        x = self.rows(numbers)
        if self.conditions is None:
            return x, None
        return x, self.conditions[torch.from_numpy(numbers)]

    @cached_property
    def held(self) -> Batch:
        """A fixed sample of the events, in memory."""
        return self.gather(np.arange(min(SAMPLE, len(self))))

    @property
    def x(self) -> Tensor:  # type: ignore[override]
        """The events of the sample, which is random: their order on the disk does not matter."""
        return self.held[0]

    @property
    def c(self) -> Tensor | None:  # type: ignore[override]
        """The conditions of the sample."""
        return self.held[1]

    def some(self, most: int) -> Split:
        """At most ``most`` events in memory: a random sample, always the same."""
        indices = torch.arange(len(self))
        if len(self) > most:
            generator = torch.Generator().manual_seed(0)
            indices = torch.randperm(len(self), generator=generator)[:most]
        return Split(*self.gather(indices))

    def to(self, device: Any) -> "Stream":
        """This split itself: what does not fit into memory stays on the disk."""
        return self


def stream(path: str | Path, levels: int | None = None, seed: int = 0) -> DataSet:
    """A data set of a ``.npy`` file or a folder of images that is never read as a whole.

    Args:
        path: an array ``(n, ...)`` of whole numbers 0 ... levels - 1, images with channels first,
            last or without; or of floating-point numbers, taken as they are. Or a folder as
            `genzoo.data.load` takes it. Labels of NAME.npy lie in NAME.labels.npy, if anywhere.
        levels: of an array of whole numbers; 256 of bytes.
        seed: fixes which events are held out.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path, seed)
    array = _mapped(path)
    if array.ndim < 2 or len(array) < 10:
        raise InputError(
            f"{path} holds an array {array.shape}: expected (n, ...) with at least 10 events."
        )
    whole = array.dtype.kind in "ui"
    if not whole and array.dtype.kind != "f":
        raise InputError(f"{path} holds {array.dtype}: expected whole or floating-point numbers.")
    if whole and levels is None and array.dtype != np.uint8:
        raise InputError(
            f"{path} holds {array.dtype}: give levels, or store bytes, which have 256."
        )
    levels = (levels or 256) if whole else 0
    return _data_set(path, ArrayRows(path, levels), len(array), _labels(path), levels, seed)


class ArrayRows:
    """Reads rows of a ``.npy`` file as events.

    After each batch its pages are released: the system keeps them as long as there is room, and
    they do not count as this process's.
    """

    def __init__(self, path: Path, levels: int):
        self.path = path
        self.levels = levels

    @cached_property
    def array(self) -> np.memmap:
        """The file, mapped into memory."""
        return _mapped(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "levels": self.levels}  # another process maps it anew

    def __call__(self, numbers: NDArray[np.int64]) -> Tensor:
        rows = np.asarray(self.array[numbers])
        pages = getattr(self.array, "_mmap", None)
        if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
        if not self.levels:
            return torch.from_numpy(rows.astype(np.float32))
        most = int(rows.max(initial=0))
        if most >= self.levels or int(rows.min(initial=0)) < 0:
            raise InputError(f"{self.path} holds {most}: expected 0 ... {self.levels - 1}.")
        if rows.ndim in (3, 4):
            rows = channels_first(rows)
        level = torch.from_numpy(rows.astype(np.int64))
        return grid.to_grid(level, self.levels)


class ImageRows:
    """Reads image files as events (1, h, w) or (3, h, w) in 256 levels.

    Args:
        files: of the images.
        channels: 1 for grey.
    """

    def __init__(self, files: list[Path], channels: int):
        self.files = files
        self.channels = channels

    def __call__(self, numbers: NDArray[np.int64]) -> Tensor:
        images = [pictures.read(self.files[number]) for number in numbers]
        first = images[0]
        for number, image in zip(numbers, images, strict=True):
            if image.shape != first.shape:
                raise InputError(
                    f"{self.files[number]} is {_size(image)} pixels, and others are "
                    f"{_size(first)}: expected one size."
                )
        pixels = np.moveaxis(np.stack(images), 3, 1)
        level = torch.from_numpy(pixels[:, : self.channels].astype(np.int64))
        return grid.to_grid(level, 256)


def _size(image: NDArray[np.uint8]) -> str:
    """Width and height of an image ``(h, w, 3)``: "28 x 28"."""
    height, width, _ = image.shape
    return f"{width} x {height}"


def _of_folder(path: Path, seed: int) -> DataSet:
    files, labels, classes = folder.find(path)
    if len(files) < 10:
        raise InputError(f"{path} has {len(files)} images: expected at least 10.")
    some = [pictures.read(file) for file in files[:100]]
    grey = all((image == image[..., :1]).all() for image in some)
    rows = ImageRows(files, 1 if grey else 3)
    given = None if labels is None else torch.from_numpy(labels)
    return _data_set(path, rows, len(files), given, 256, seed, classes)


def _mapped(path: Path) -> np.memmap:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises errors of many classes for a damaged file
        raise InputError(f"Cannot read {path}: expected a .npy file of numbers.") from error


def _labels(path: Path) -> Tensor | None:
    beside = path.with_name(path.stem + LABELS)
    if not beside.is_file():
        return None
    return torch.from_numpy(np.array(_mapped(beside)).astype(np.int64))


class Places:
    """Indices of a split's events: consecutive places of a permutation of all events."""

    def __init__(self, first: int, events: int, seed: int):
        self.first = first
        self.events = events
        self.seed = seed

    def __call__(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return permuted(indices + self.first, self.events, self.seed, 0).astype(np.int64)


def _data_set(
    path: Path,
    rows: Rows,
    events: int,
    labels: Tensor | None,
    levels: int,
    seed: int,
    classes: tuple[str, ...] = (),
) -> DataSet:
    """Validation and test first, in memory; the rest trains, from the disk."""
    if labels is not None and len(labels) != events:
        raise InputError(f"{path} has {events} events, and {len(labels)} labels beside it.")
    held = min(HELD_OUT, events // 10)

    def part(first: int, count: int) -> Stream:
        return Stream(rows, count, Places(first, events, seed), labels)

    everything = np.arange(held)
    validation = Split(*part(0, held).gather(everything))
    test = Split(*part(held, held).gather(everything))
    train = part(2 * held, events - 2 * held)
    if labels is not None and not classes:
        classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    return DataSet(
        name=path.resolve().name.removesuffix(".npy"),
        train=train,
        validation=validation,
        test=test,
        levels=levels,
        classes=classes,
        condition=len(classes),
        source=str(path),
    )
