"""Tensors from outside: weights and checkpoints, in forms that cannot carry code."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from genzoo.errors import InputError
from genzoo.gate import limits
from genzoo.gate.text import bounded, state


def weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        InputError: it is too large, or corrupt.
    """
    limits.size(path, limits.WEIGHTS)
    path.open("rb").close()  # safetensors says of a file that it may not read that there is none
    try:
        return load_file(path) if _is_utf8(path) else load(path.read_bytes())
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} is {state(path)}: expected safetensors ({error}).") from error


def _is_utf8(path: Path) -> bool:
    """Whether the name of a file is in UTF-8: in no other one can safetensors open it."""
    try:
        return os.fsencode(path) == str(path).encode()
    except UnicodeEncodeError:
        return False


def checkpoint(path: Path, mapped: bool = False) -> dict[str, Any]:
    """A Lightning checkpoint: tensors and plain values; code in it is refused, not run.

    Args:
        path: of the file.
        mapped: whether tensors stay on the disk until they are looked at.

    Raises:
        InputError: it is too large.
        ValueError: it is corrupt, or no checkpoint of a genzoo model.
    """
    limits.size(path, limits.WEIGHTS)
    try:
        with zipfile.ZipFile(path) as archive:  # torch stores; what is packed would unpack at will
            if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
                raise ValueError("a checkpoint whose parts are compressed")
            if archive.testzip() is not None:  # torch reads it without a look at the sums
                raise ValueError("a checkpoint of which bits have changed")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        bounded(content["genzoo"])
    except Exception as error:  # it fails in a dozen ways, and all mean the same to users
        raise ValueError("no checkpoint of a genzoo model") from error
    return content


def fits(there: Tensor, wanted: Tensor) -> bool:
    """True if a stored tensor has the same kind of numbers as the model's own."""
    kinds = (torch.is_complex, torch.is_floating_point)
    alike = all(kind(there) == kind(wanted) for kind in kinds)
    return alike and (there.dtype == torch.bool) == (wanted.dtype == torch.bool)
