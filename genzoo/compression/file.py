"""Events as a file, by a model: a header of fixed length, then a stack of bits.

The header, 23 bytes, little-endian::

    3   b"GZB"                                  4   events
    1   version of this format                  8   digest of the model
    1   whether the model was told conditions   4   CRC-32 of all the rest, the stack included
    2   most events in a batch

At the bottom of the stack lies the digest of the events, for two uses. The first event borrows it,
which would otherwise need random bits that are good for nothing. And what is left on the stack when
all events have been read must be the digest of these events, or they are not the ones.

So a file that is cut short, a file of something else and a file of another model are refused before
anything is read, and events that come out other than they went in are an error, never an answer.
Nothing in the file is executed.

A reader computes the probabilities that the writer saw once more, and one that differs in its last
bit may turn all that follows into noise. What holds the two together: `reproducible`, and
`genzoo.compression.stack`.
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
HEADER_BYTES = LAYOUT.size + DIGEST_BYTES  # what every file has beside its events


@dataclass(frozen=True)
class Header:
    """What a file says of itself; see the module's text."""

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

    What was written is read back before it is returned: a file that cannot be read is never made.

    Args:
        model: an autoregressive model, a VAE without a prior model or with codes, an energy model
            of few hidden units, or `genzoo.families.baselines.IndependentPixels`.
        x: ``(n, *event_shape)``, on the grid of `genzoo.grid`.
        c: conditions, which are not in the file: a reader must be given the same.
        batch: most events that the network sees at a time.
        progress: told of (events done, events, a few words), in writing and in reading back.

    Returns:
        the content of the file; all but `HEADER_BYTES` of it are the events.

    Raises:
        InputError: the model has no such probabilities (and why), events have another shape or lie
            off the grid, or arithmetic does not come out the same twice.
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
        model: the one that wrote.
        blob: the content of the file.
        c: the conditions that the writer was given.
        progress: as in `compress`.

    Raises:
        InputError: the file is damaged or was written by another model or format, or its events do
            not come out as they went in.
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
    """A twin of ``model`` whose arithmetic comes out the same whenever it is asked the same.

    In double precision, on the CPU, on one thread, without dropout. A floating-point sum depends on
    its order, and that on how work is split over threads: here it is not split, and writer and
    reader ask for the same batches. Between machines sums may still differ, in their sixteenth
    digit. Probabilities rounded to seven digits seldom do, and where one does the digest tells.
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
    """What a file says of itself.

    Raises:
        InputError: it is no such file, one of another version, or damaged.
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
    """8 bytes that tell a model from others: a digest of its weights and of its unusual arguments.

    So a model stays the same when it is moved, saved and loaded, and when its family gets another
    argument whose default leaves all as it was.
    """
    description, weights = identity(model)
    digest = hashlib.blake2b(description.encode(), digest_size=8)
    for name, value in sorted(weights.items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.digest()


@singledispatch
def identity(model: Trainable) -> tuple[str, Mapping[str, Tensor]]:
    """What tells a model from others: family and unusual arguments in text, and the weights."""
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
    """Bits of a file that hold nothing: what the first event may borrow beyond the digest."""
    return 8 * (_primer_bytes(code_of(model)) - DIGEST_BYTES)


def _primer(code: Code, level: Tensor) -> bytes:
    """What lies on the stack before the first event: a digest of all, as long as one may borrow."""
    events = level.numpy().astype("<u4").tobytes()
    digest = hashlib.shake_128(events).digest(_primer_bytes(code))
    return digest[:-1] + bytes([digest[-1] | 0x80])  # a stack does not end in zero


def _primer_bytes(code: Code) -> int:
    return max(DIGEST_BYTES, 4 * math.ceil(code.borrowed / 32))


def _sealed(header: Header, content: bytes) -> bytes:
    """Header and content, with their check sum in its place."""
    told = LAYOUT.pack(*astuple(header))[:-4]
    return told + struct.pack("<I", zlib.crc32(told + content)) + content


def _batches(code: Code, events: int, most: int) -> list[Tensor]:
    """Which events are pushed at a time, first to last."""
    return list(torch.arange(events).split(code.batches(events, most)))


def _levels(model: Any, x: Tensor) -> Tensor:
    """The levels of events, ``(n, D)``.

    Raises:
        InputError: they are not events of the model's, or not on its grid.
    """
    shape, given = tuple(model.event_shape), tuple(x.shape)
    if not len(x) or given[1:] != shape:
        raise InputError(f"Expected events of shape {shape}, got an array of shape {given}.")
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
    """Conditions on the CPU; None for a model that takes none."""
    if c is None or not model.condition:
        return None
    if len(c) != n:
        raise InputError(f"Expected a condition for each of {n} events, got {len(c)}.")
    return c.detach().cpu()
