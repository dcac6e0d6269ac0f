"""Arrays from a ``.npz`` file: numbers and words, never objects, which are pickles.

A pickle can run code. The file's own directory and the arrays' headers are read first. An array
that does not belong there, claims more than the file holds or does not fit into memory is refused
before it is unpacked.
"""

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from genzoo.errors import InputError, nearest
from genzoo.gate import limits

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(path: Path, known: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of a file by their names.

    Args:
        path: of the file.
        known: names of the arrays that mean something.

    Raises:
        InputError: there is no such file, it is no ``.npz`` file, or one of the arrays cannot be
            used; the sentence says which.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}: expected a .npz file with an array x.")
    limits.size(path, limits.ARRAYS)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
            _check_names(path, members, known)
            limits.ARRAYS.check(sum(each.file_size for each in members.values()), path)
            return {name: _array(archive, each) for name, each in members.items()}
    except (InputError, PermissionError):
        raise
    except Exception as error:  # these fail in a dozen ways, and all mean the same to users
        raise InputError(
            f"Cannot read {path}: expected a .npz file of plain arrays, from np.savez, that fits "
            "into memory."
        ) from error


def _check_names(path: Path, members: dict[str, Any], known: Collection[str]) -> None:
    for name, member in members.items():
        if not member.filename.endswith(".npy"):
            raise InputError(f"{name} in {path} is no array: expected a file from np.savez.")
        if name not in known:
            raise InputError(
                f"{path} has an array {name!r} that means nothing here. {nearest(name, known)}"
            )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array, whose header must claim as many bytes as are there, and no objects."""
    with archive.open(member) as stream:
        shape, kind, header = _header(stream)
    if kind.hasobject or header + math.prod(shape) * kind.itemsize != member.file_size:
        raise ValueError("a pickle, or bytes that are missing or too many")
    with archive.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape and type of the array that follows, and how many bytes the header takes."""
    version = npy.read_magic(stream)
    shape, _, kind = HEADERS[version](stream)
    return shape, kind, stream.tell()
