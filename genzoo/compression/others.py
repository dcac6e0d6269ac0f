"""What programs for any data make of the same events: gzip, xz and PNG, each given its best chance."""

import gzip
import io
import lzma
import math

import numpy as np
from PIL import Image
from torch import Tensor

from genzoo.nets import is_image


def sizes(level: Tensor, levels: int) -> dict[str, int]:
    """Bytes that each program needs for levels ``(n, *event_shape)``; PNG for images in grey or colour of up to 256 levels."""
    numbers = level.numpy().astype(np.uint8 if levels <= 256 else "<u2")
    found = {"gzip": _gzip(numbers.tobytes()), "xz": _xz(numbers.tobytes())}
    if is_image(tuple(level.shape[1:])) and level.shape[1] in (1, 3) and levels <= 256:
        found["PNG"] = _png(numbers)
    return found


def _gzip(content: bytes) -> int:
    return len(gzip.compress(content, compresslevel=9, mtime=0))


def _xz(content: bytes) -> int:
    """Of the LZMA coder without the container, which is longer than a few events are."""
    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    return len(lzma.compress(content, format=lzma.FORMAT_RAW, filters=[best]))


def _png(numbers: np.ndarray) -> int:
    """All images on one sheet, so that they share a header and a code: a column, a square or a row, whichever is shortest."""
    n = len(numbers)
    return min(_written(sheet(numbers, columns)) for columns in {1, math.ceil(math.sqrt(n)), n})


def sheet(numbers: np.ndarray, columns: int) -> np.ndarray:
    """Images ``(n, c, h, w)`` side by side in reading order, ``(rows h, columns w, c)``; what is left over is zero."""
    n, channels, height, width = numbers.shape
    rows = math.ceil(n / columns)
    blank = np.zeros((rows * columns - n, channels, height, width), numbers.dtype)
    placed = np.concatenate([numbers, blank]).reshape(rows, columns, channels, height, width)
    return placed.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)


def _written(image: np.ndarray) -> int:
    content = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(content, "PNG", optimize=True)
    return len(content.getvalue())
