"""Sizes of the same events with general programs: gzip, xz and PNG, each at its best."""

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
    one_byte = levels <= 256
    numbers = level.numpy().astype(np.uint8 if one_byte else "<u2")
    content = numbers.tobytes()
    sizes = {"gzip": _gzip(content), "xz": _xz(content)}

    shape = tuple(level.shape[1:])
    is_picture = is_image(shape) and shape[0] in (1, 3)
    if is_picture and one_byte:
        sizes["PNG"] = _png(numbers)
    return sizes


def _gzip(content: bytes) -> int:
    compressed = gzip.compress(content, compresslevel=9, mtime=0)
    return len(compressed)


def _xz(content: bytes) -> int:
    """Bytes of LZMA without xz's container, which would be longer than a few events are."""
    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    compressed = lzma.compress(content, format=lzma.FORMAT_RAW, filters=[best])
    return len(compressed)


def _png(numbers: np.ndarray) -> int:
    """Bytes of one sheet of all images, which share header and code.

    The sheet is a column, a square or a row: the one that gives the shortest file.
    """
    n = len(numbers)
    square = math.ceil(math.sqrt(n))
    sheets = [sheet(numbers, columns) for columns in {1, square, n}]
    return min(_written(image) for image in sheets)


def sheet(numbers: np.ndarray, columns: int) -> np.ndarray:
    """Images ``(n, c, h, w)`` side by side in reading order, ``(rows h, columns w, c)``.

    Places that are left over are zero.
    """
    n, channels, height, width = numbers.shape
    rows = math.ceil(n / columns)
    left_over = rows * columns - n
    blank = np.zeros((left_over, channels, height, width), numbers.dtype)
    placed = np.concatenate([numbers, blank])
    placed = placed.reshape(rows, columns, channels, height, width)
    placed = placed.transpose(0, 3, 1, 4, 2)  # (rows, h, columns, w, c)
    return placed.reshape(rows * height, columns * width, channels)


def _written(image: np.ndarray) -> int:
    """Bytes of an image ``(h, w, c)`` as a PNG."""
    if image.shape[2] == 1:
        image = image[:, :, 0]
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", optimize=True)
    return len(content.getvalue())
