"""Events as a file, by a model: a header of fixed length, then a stack of bits.

The header, 23 bytes, little-endian::

    3   b"GZB"                                  4   events
    1   version of this format                  8   digest of the model
    1   whether there were conditions           4   CRC-32 of all the rest, the stack included
    2   most events in a batch

At the bottom of the stack is the digest of the events, for two purposes. The first event borrows
it, in place of random bits without content. And the rest of the stack, when all events have been
read, must be the digest of these events; else they are wrong.

So a file that is cut short, a file of another kind and a file of another model are refused before
anything is read, and events that differ from those that were written are an error, never a result.
Nothing in the file is executed.

A reader has to compute the same probabilities as the writer: one that differs in its last bit may
turn everything after it into noise. `reproducible` and `genzoo.compression.stack` take care of
that.
"""

import copy
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from genzoo import grid
from genzoo.compression.codes import Code
from genzoo.compression.models import code_of
from genzoo.compression.stack import Stack
from genzoo.config import defaults, of_model
from genzoo.errors import InputError
from genzoo.families.baselines import Baseline
from genzoo.model import Measurable, Trainable
from genzoo.progress import Progress

MAGIC = b"GZB"
VERSION = 1
LAYOUT = struct.Struct("<3sB?HI8sI")
DIGEST_BYTES = 8
HEADER_BYTES = LAYOUT.size + DIGEST_BYTES  # of every file, beside its events


@dataclass(frozen=True)
class Header:
    """The header of a file; see the module's docstring."""

    magic: bytes
    version: int
    conditional: bool
    batch: int
    events: int
    model: bytes
    crc: int = 0


def compress(
    model: Any,
    x: Tensor,
    c: Tensor | None = None,
    batch: int = 128,
    progress: Progress | None = None,
) -> bytes:
    """Write events by a model's probabilities; `decompress` returns them bit for bit.

    The content is read back before it is returned, so that a file that cannot be read is never
    made.

    Args:
        model: an autoregressive model, a VAE without a prior model or with codes, an energy model
            of few hidden units, or `genzoo.families.baselines.IndependentPixels`.
        x: ``(n, *event_shape)``, on the grid of `genzoo.grid`.
        c: conditions, which are not in the file: a reader must be given the same.
        batch: largest number of events in a batch of the network.
        progress: called with (events done, events, a few words), in writing and in reading back.

    Returns:
        the content of the file; all but `HEADER_BYTES` of it are the events.

    Raises:
        InputError: the model has no such probabilities (the message says why), events have another
            shape or are not on the grid, or arithmetic is not reproducible.
    """
    if not 1 <= batch < 2**16:
        raise InputError(f"batch must be between 1 and {2**16 - 1}, got {batch}.")
    with reproducible(model) as twin:
        code = code_of(twin)
        level = _levels(twin, x)
        c = _conditions(twin, c, len(level))
        stack = Stack(_primer(code, level))
        for rows in _batches(code, len(level), batch):
            code.push(stack, level[rows], None if c is None else c[rows])
            if progress is not None:
                progress(int(rows[-1]) + 1, len(level), "writing")
    header = Header(
        magic=MAGIC,
        version=VERSION,
        conditional=c is not None,
        batch=batch,
        events=len(level),
        model=fingerprint(model),
    )
    blob = _sealed(header, stack.content)
    if not torch.equal(decompress(model, blob, c, progress), x.cpu().float()):
        raise InputError("What was written does not read back as it was: please report this.")
    return blob


def decompress(
    model: Any,
    blob: bytes,
    c: Tensor | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """The events that `compress` wrote with the same model, ``(n, *event_shape)`` in float32.

    Args:
        model: the model that wrote the file.
        blob: content of the file.
        c: the conditions that the writer was given.
        progress: as of `compress`.

    Raises:
        InputError: the file is damaged or was written by another model or format, or its events
            differ from those that were written.
    """
    header = read_header(blob)
    if header.model != fingerprint(model):
        raise InputError(f"It was written with another model than this {type(model).__name__}.")
    if header.conditional and c is None:
        raise InputError("It was written with conditions, which are not in it: give the same.")
    stack = Stack(blob[LAYOUT.size :])
    with reproducible(model) as twin:
        code = code_of(twin)
        c = _conditions(twin, c if header.conditional else None, header.events)
        parts = []
        for rows in reversed(_batches(code, header.events, header.batch)):
            parts.append(code.pop(stack, len(rows), None if c is None else c[rows]))
            if progress is not None:
                progress(header.events - int(rows[0]), header.events, "reading")
        level = torch.cat(parts[::-1])
    if stack.content != _primer(code, level):
        raise InputError(
            "The events do not come out as they went in, though the file is whole and the model is "
            "the one: other conditions were given, or this machine or version of torch computes "
            "other probabilities than the writer's."
        )
    return grid.to_grid(level, model.levels).view(-1, *model.event_shape)


@contextmanager
def reproducible(model: Any) -> Iterator[Any]:
    """Context manager: a copy of ``model`` with reproducible arithmetic.

    It runs in double precision, on the CPU, on one thread, without dropout. A floating-point sum
    depends on its order, and that on the distribution of work over threads: here there is only one,
    and writer and reader use the same batches. Between machines sums may still differ, in their
    sixteenth digit. Probabilities rounded to seven digits seldom differ, and if one does, the
    digest of the events is wrong.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            yield twin_of(model)
    finally:
        torch.set_num_threads(threads)


@singledispatch
def twin_of(model: Trainable) -> Any:
    """A copy of a model for the coder's arithmetic; a baseline has double precision as it is."""
    return copy.deepcopy(model).cpu().double().eval()


@twin_of.register
def _(model: Baseline) -> Measurable:
    return model


def read_header(blob: bytes) -> Header:
    """The header of a file.

    Raises:
        InputError: it is not such a file, or one of another version, or damaged.
    """
    if blob[: len(MAGIC)] != MAGIC:
        raise InputError("It is no file of genzoo compress: it does not begin with GZB.")
    if len(blob) < LAYOUT.size:
        raise InputError(f"It is cut short: {len(blob)} bytes, but its header takes {LAYOUT.size}.")
    header = Header(*LAYOUT.unpack_from(blob))
    if header.version != VERSION:
        raise InputError(
            f"It has format {header.version}, but this genzoo reads format {VERSION}: read it with "
            "the genzoo that wrote it."
        )
    whole = _sealed(header, blob[LAYOUT.size :]) == blob
    if not whole or not header.batch or not header.events:
        raise InputError("It is damaged or cut short: its check sum is not that of its content.")
    return header


def fingerprint(model: Measurable) -> bytes:
    """8 bytes that identify a model: a digest of its weights and of its unusual arguments.

    They stay the same when a model is moved, saved or loaded, and when its family gets a new
    argument whose default changes nothing.
    """
    description, weights = identity(model)
    digest = hashlib.blake2b(description.encode(), digest_size=8)
    for name, value in sorted(weights.items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.digest()


@singledispatch
def identity(model: Trainable) -> tuple[str, Mapping[str, Tensor]]:
    """The identity of a model: family and unusual arguments as text, and the weights."""
    return repr(_unusual(model)), model.state_dict()


@identity.register
def _(model: Baseline) -> tuple[str, Mapping[str, Tensor]]:
    return type(model).__name__, model.weights()


def _unusual(model: Trainable) -> tuple[str, dict[str, Any]]:
    """A model's family and its arguments that are not at their default, nested models included."""
    usual = defaults(type(model))
    unusual = {}
    for name, value in of_model(model)["arguments"].items():
        if isinstance(value, Mapping) and "family" in value:
            unusual[name] = _unusual(getattr(model, name))
        elif name not in usual or value != usual[name]:
            unusual[name] = value
    return type(model).__name__, unusual


def initial_bits(model: Any) -> int:
    """Bits of a file without content: those that the first event borrows beyond the digest."""
    return 8 * (_primer_bytes(code_of(model)) - DIGEST_BYTES)


def _primer(code: Code, level: Tensor) -> bytes:
    """Initial content of the stack: a digest of all events, of the length that may be borrowed."""
    events = level.numpy().astype("<u4").tobytes()
    digest = hashlib.shake_128(events).digest(_primer_bytes(code))
    return digest[:-1] + bytes([digest[-1] | 0x80])  # a stack does not end in zero


def _primer_bytes(code: Code) -> int:
    return max(DIGEST_BYTES, 4 * math.ceil(code.borrowed / 32))


def _sealed(header: Header, content: bytes) -> bytes:
    """Header and content, with their check sum in its place."""
    fields = LAYOUT.pack(*astuple(header))[:-4]  # without the place of the check sum
    check_sum = zlib.crc32(fields + content)
    return fields + struct.pack("<I", check_sum) + content


def _batches(code: Code, events: int, most: int) -> list[Tensor]:
    """Indices of the events in each batch, first to last."""
    return list(torch.arange(events).split(code.batches(events, most)))


def _levels(model: Any, x: Tensor) -> Tensor:
    """The levels of events, ``(n, D)``.

    Raises:
        InputError: they are not events of the model's, or not on its grid.
    """
    shape = tuple(model.event_shape)
    if not len(x) or x.shape[1:] != shape:
        raise InputError(
            f"Expected events of shape {shape}, got an array of shape {tuple(x.shape)}."
        )
    x = x.detach().cpu().float()
    level = grid.to_level(x, model.levels)
    strays = (grid.to_grid(level, model.levels) != x).sum().item()
    if strays:
        raise InputError(
            f"{strays} of {x.numel()} values are none of the {model.levels} levels of genzoo.grid, "
            "and would not come back as they are: genzoo.grid.quantise gives the nearest."
        )
    return level.flatten(1)


def _conditions(model: Any, c: Tensor | None, n: int) -> Tensor | None:
    """Conditions on the CPU; None for an unconditional model."""
    if c is None or not model.condition:
        return None
    if len(c) != n:
        raise InputError(f"Expected a condition for each of {n} events, got {len(c)}.")
    return c.detach().cpu()
