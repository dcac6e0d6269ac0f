"""Images from outside: PNG and JPEG files of eight bits a channel.

Whatever it is called, no other file is opened: for some kinds Pillow would start another program,
and no image is worth that.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from genzoo.errors import InputError
from genzoo.gate import limits

SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")
ORIENTATION = 0x0112  # the EXIF tag
TURNED = (5, 6, 7, 8)  # its values that swap width and height


def size(file: Path) -> tuple[int, int]:
    """Width and height of an image as it is looked at, read from its header."""
    with _opened(file) as image:
        width, height = image.size
        turned = image.format == "JPEG" and image.getexif().get(ORIENTATION) in TURNED
    return (height, width) if turned else (width, height)


def read(file: Path, size: int | None = None) -> np.ndarray:
    """One image of any mode as (h, w, 3) bytes, the right way up.

    With a ``size``, its central square at so many pixels a side.
    """
    with _opened(file) as image:
        if _is_deep(image):
            raise InputError(f"{file} has more than 8 bits a channel: expected 8-bit images.")
        if image.format == "JPEG":  # as cameras write them; a PNG would be read to its end for it
            ImageOps.exif_transpose(image, in_place=True)
        colours = image.convert("RGB")
    return np.asarray(ImageOps.fit(colours, (size, size)) if size else colours)


def _is_deep(image: Image.Image) -> bool:
    """True if Pillow would cut values to eight bits."""
    tiles = getattr(image, "tile", ())  # of an image file, how its pixels are stored
    stored = [str(part) for tile in tiles for part in tile[3:]]
    return image.mode.startswith(("I", "F")) or any(";16" in mode for mode in stored)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """An image file whose header has been read; its pixels are read inside.

    A pipe is not opened; it might never end.
    """
    if not file.is_file():
        raise InputError(f"Cannot read {file}: expected a PNG or JPEG image.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > limits.PIXELS.most:
                    raise Image.DecompressionBombError
                yield image
    except (InputError, PermissionError):
        raise
    except Image.DecompressionBombError as error:
        most = f"expected at most {limits.PIXELS}"
        raise InputError(f"{file} is too large an image to be safe: {most}.") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for what is no image
        raise InputError(f"Cannot read {file}: expected a PNG or JPEG image.") from error
