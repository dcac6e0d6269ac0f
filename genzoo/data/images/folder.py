"""Your own images: a folder of PNG or JPEG files, or of one sub-folder a class."""

import math
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np

from genzoo.data.arrays import discrete, hold_out
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.gate import pictures
from genzoo.gate.limits import GIB
from genzoo.gate.pictures import SUFFIXES

# bytes of pixels; four times that as numbers. The same on all machines, for so are the splits.
IN_MEMORY = 2 * GIB


def from_folder(path: str | Path, size: int | None = None, seed: int = 0) -> DataSet:
    """The images of a folder: events (1, h, w) if all are grey, else (3, h, w), 256 levels.

    Images that lie in sub-folders are labelled by them. A tenth is held out for validation and a
    tenth for test. More pixels than `IN_MEMORY` stay on the disk and are read batch by batch
    (`genzoo.data.stream`), unless a ``size`` is given.

    Args:
        path: of the folder.
        size: to which the central square of every image is resized, in pixels; None leaves images
            as they are.
        seed: by which held-out images are drawn.
    """
    if size is not None and size < 1:
        raise InputError(f"size is {size}: expected a number of pixels, 1 or more.")
    files, labels, classes = find(Path(path))
    shape = (size, size) if size else _one_size(files)
    if size is None and 3 * math.prod(shape) * len(files) > IN_MEMORY:
        from genzoo.data.stream import stream  # which imports this module

        return stream(path, seed=seed)
    pixels = _pixels(files, shape, size)
    events = np.moveaxis(pixels, 3, 1)
    parts = hold_out(path, {"train": events}, {"train": labels}, seed)
    about = {"name": Path(path).resolve().name, "classes": classes, "source": str(path)}
    return discrete(parts, 256, about)


def find(folder: Path) -> tuple[list[Path], np.ndarray | None, tuple[str, ...]]:
    """The image files of a folder, their labels, and the names of the classes.

    Labels are None if there are no sub-folders with images.

    Raises:
        InputError: there are no images, or both in the folder itself and in sub-folders.
    """
    here = _images(folder)
    below = {}
    for path in sorted(folder.iterdir()):
        images = _images(path) if path.is_dir() else []
        if images:
            below[path.name] = images
    if here and below:
        raise InputError(
            f"{folder} has images both in itself and in {', '.join(below)}: expected one or the "
            "other."
        )
    if here:
        return here, None, ()
    if below:
        counts = [len(images) for images in below.values()]
        labels = np.repeat(np.arange(len(below)), counts)
        return [*chain.from_iterable(below.values())], labels, tuple(below)
    raise InputError(
        f"There are no images in {folder}: expected {', '.join(SUFFIXES)} files, or sub-folders of "
        "them."
    )


def _images(folder: Path) -> list[Path]:
    """The image files directly in a folder, in the order of their names.

    Hidden files are left out: programs write them.
    """
    images = []
    for path in folder.iterdir():
        is_hidden = path.name.startswith(".")
        if path.suffix.lower() in SUFFIXES and not is_hidden:
            images.append(path)
    return sorted(images)


def _one_size(files: list[Path]) -> tuple[int, int]:
    """Width and height of every image, read from the headers; names the first that differs."""
    sizes = [pictures.size(file) for file in files]
    ((usual, _),) = Counter(sizes).most_common(1)
    for file, size in zip(files, sizes, strict=True):
        if size != usual:
            raise InputError(
                f"{file} is {size[0]} x {size[1]} pixels, but most images are {usual[0]} x "
                f"{usual[1]}: expected one size. Make them alike, or load them with "
                "genzoo.data.load(folder, size=...)."
            )
    return usual


def _pixels(files: list[Path], shape: tuple[int, int], size: int | None) -> np.ndarray:
    """The images as bytes (n, h, w, 3), or (n, h, w, 1) if all are grey, even those in colour."""
    width, height = shape
    try:
        pixels = np.empty((len(files), height, width, 3), np.uint8)
    except MemoryError as error:
        raise InputError(
            f"{len(files)} images of {width} x {height} pixels do not fit into memory: "
            "make them smaller, or load them with genzoo.data.load(folder, size=...)."
        ) from error
    grey = True
    for file, place in zip(files, pixels, strict=True):
        place[:] = pictures.read(file, size)
        grey = grey and bool((place == place[..., :1]).all())
    return pixels[..., :1] if grey else pixels
