"""Your own images: a folder of PNG or JPEG files, or of one sub-folder a class."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from genzoo.data.dataset import DataSet
from genzoo.data.yours import discrete, hold_out
from genzoo.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg")


def from_folder(path: str | Path, size: int | None = None, seed: int = 0) -> DataSet:
    """The images of a folder: events (1, h, w) if all are grey, else (3, h, w), 256 levels.

    Images that lie in sub-folders are labelled by them. A tenth is held out for validation and a tenth for test, drawn
    by ``seed``. ``size`` crops every image to its central square and resizes that to ``size`` x ``size`` pixels.
    """
    if size is not None and size < 1:
        raise InputError(f"size is {size}: expected a number of pixels, 1 or more.")
    files, labels, classes = _find(Path(path))
    pictures = [read_image(file, size) for file in files]
    _check_one_size(files, pictures)
    pixels = np.stack(pictures)
    if (pixels == pixels[..., :1]).all():  # grey, even if it was stored as colour
        pixels = pixels[..., :1]
    parts = hold_out(path, {"train": np.moveaxis(pixels, 3, 1)}, {"train": labels}, seed)
    return discrete(parts, 256, {"name": Path(path).resolve().name, "classes": classes, "source": str(path)})


def _find(folder: Path) -> tuple[list[Path], np.ndarray | None, tuple[str, ...]]:
    """Every image file, its label (None where there are no sub-folders with images) and the classes' names."""
    here = _images(folder)
    below = {sub.name: _images(sub) for sub in sorted(folder.iterdir()) if sub.is_dir()}
    below = {name: files for name, files in below.items() if files}
    if here and below:
        raise InputError(f"{folder} has images both in itself and in {', '.join(below)}: expected one or the other.")
    if here:
        return here, None, ()
    if below:
        labels = np.repeat(np.arange(len(below)), [len(files) for files in below.values()])
        return [file for files in below.values() for file in files], labels, tuple(below)
    raise InputError(f"There are no images in {folder}: expected {', '.join(SUFFIXES)} files, or sub-folders of them.")


def _images(folder: Path) -> list[Path]:
    """The image files directly in a folder, in the order of their names; hidden ones are some program's, not yours."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def read_image(file: Path, size: int | None = None) -> np.ndarray:
    """One image as (h, w, 3) bytes, whatever its own mode is; with a ``size``, its central square at so many pixels a side."""
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise InputError(f"{file} has more than 8 bits a channel: expected 8-bit images.")
            image = image.convert("RGB")
    except OSError as error:  # also what Pillow raises for a file that is no image
        raise InputError(f"Cannot read {file}: expected a PNG or JPEG image.") from error
    return np.asarray(ImageOps.fit(image, (size, size)) if size else image)


def _check_one_size(files: list[Path], pictures: list[np.ndarray]) -> None:
    """Name the first image that differs from what most are."""
    sizes = [picture.shape[:2] for picture in pictures]
    usual = Counter(sizes).most_common(1)[0][0]
    for file, size in zip(files, sizes, strict=True):
        if size != usual:
            raise InputError(
                f"{file} is {size[1]} x {size[0]} pixels, but most images are {usual[1]} x {usual[0]}: "
                "expected one size. Make them alike, or load them with genzoo.data.load(folder, size=...)."
            )
