"""What programs for any data make of the same events: gzip, xz and PNG, each at its best."""

import gzip
import io
import lzma
import math

import numpy as np
from PIL import Image
from torch import Tensor

from genzoo.nets import is_image


def sizes(level: Tensor, levels: int) -> dict[str, int]:
    """Bytes that each program needs for levels ``(n, *event_shape)``.

    PNG takes images, in grey or in three colours of up to 256 levels.
    """
    numbers = level.numpy().astype(np.uint8 if levels <= 256 else "<u2")
    found = {"gzip": _gzip(numbers.tobytes()), "xz": _xz(numbers.tobytes())}
    pictures = is_image(tuple(level.shape[1:])) and level.shape[1] in (1, 3)
    if pictures and levels <= 256:
        found["PNG"] = _png(numbers)
    return found


def _gzip(content: bytes) -> int:
    return len(gzip.compress(content, compresslevel=9, mtime=0))


def _xz(content: bytes) -> int:
    """Of LZMA without xz's container, which would be longer than a few events are."""
    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    return len(lzma.compress(content, format=lzma.FORMAT_RAW, filters=[best]))


def _png(numbers: np.ndarray) -> int:
    """Of one sheet of all images, which share header and code: a column, a square or a row."""
    n = len(numbers)
    widths = {1, math.ceil(math.sqrt(n)), n}
    return min(_written(sheet(numbers, columns)) for columns in widths)


def sheet(numbers: np.ndarray, columns: int) -> np.ndarray:
    """Images ``(n, c, h, w)`` side by side in reading order, ``(rows h, columns w, c)``.

    Places that are left over are zero.
    """
    n, channels, height, width = numbers.shape
    rows = math.ceil(n / columns)
    blank = np.zeros((rows * columns - n, channels, height, width), numbers.dtype)
    placed = np.concatenate([numbers, blank])
    placed = placed.reshape(rows, columns, channels, height, width)
    return placed.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)


def _written(image: np.ndarray) -> int:
    if image.shape[2] == 1:
        image = image[:, :, 0]
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", optimize=True)
    return len(content.getvalue())
