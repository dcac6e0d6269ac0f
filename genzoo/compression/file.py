"""Events as a file, by a model: a header of fixed length, then a stack of bits.

The header, 31 bytes, little-endian::

    3   b"GZB"                                  8   digest of the model: its weights and configuration
    1   version of this format                  8   digest of the events
    1   whether the model was told conditions   4   CRC-32 of all the rest, what follows included
    2   most events in a batch
    4   events

So a file that is cut short, a file of something else and a file of another model are refused before anything is read from
it, and events that come out other than they went in are an error and never an answer. Nothing in the file is executed.

A reader recomputes the probabilities that the writer saw, and a difference in the last bit of one may turn all that follows
to noise. What holds them together: see `reproducible` and `genzoo.compression.stack`.
"""

import copy
import hashlib
import inspect
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor

from genzoo import grid
from genzoo.compression.codes import Code, code_of
from genzoo.compression.stack import Stack
from genzoo.errors import InputError
from genzoo.model import Trainable, plain
from genzoo.progress import Report

MAGIC, VERSION = b"GZB", 1
LAYOUT = struct.Struct("<3sB?HI8s8sI")
HEADER_BYTES = LAYOUT.size


@dataclass(frozen=True)
class Header:
    """What a file says of itself; see the module's text."""

    magic: bytes
    version: int
    conditional: bool
    batch: int
    events: int
    model: bytes
    digest: bytes
    crc: int = 0


def compress(
    model: Any, x: Tensor, c: Tensor | None = None, batch: int = 128, progress: Report | None = None
) -> bytes:
    """Write events by the probabilities that a model gives them; `decompress` returns them bit for bit.

    What was written is read back before it is returned, so a file that cannot be read is never made.

    Args:
        model: an autoregressive model, a VAE without a prior model or with codes, an energy model whose normaliser is
            exact, or `genzoo.baselines.IndependentPixels`.
        x: ``(n, *event_shape)``, on the grid of `genzoo.grid`.
        c: conditions that writer and reader both know: they are not in the file, and a reader must be told the same.
        batch: most events that the network sees at a time.
        progress: told of (events done, events, a few words), first in writing and then in reading back.

    Returns:
        the content of the file; all but `HEADER_BYTES` of it are the events.

    Raises:
        InputError: a model without such probabilities (and why), events of another shape or off the grid, or arithmetic
            that does not come out the same twice.
    """
    if not 1 <= batch < 2**16:
        raise InputError(f"batch must be between 1 and {2**16 - 1}, got {batch}.")
    with reproducible(model) as twin:
        code = code_of(twin)
        level = _levels(twin, x)
        c = _conditions(twin, c, len(level))
        stack = Stack()
        stack.push(*_primer(code, _digest(twin, level)))
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
        digest=_digest(model, level),
    )
    blob = _sealed(header, stack.content)
    if not torch.equal(decompress(model, blob, c, progress), x.cpu().float()):
        raise InputError("What was written does not read back as it was: please report this, with the model.")
    return blob


def decompress(model: Any, blob: bytes, c: Tensor | None = None, progress: Report | None = None) -> Tensor:
    """The events that `compress` wrote with the same model, ``(n, *event_shape)`` float32; arguments as there.

    Raises:
        InputError: a damaged file, a file of another model or format, or events whose digest is not the header's.
    """
    header = read_header(blob)
    if header.model != fingerprint(model):
        raise InputError(f"It was written with another model than this {type(model).__name__}.")
    if header.conditional and c is None:
        raise InputError("It was written with conditions, which are not in the file: the same must be given to read it.")
    stack = Stack(blob[HEADER_BYTES:])
    with reproducible(model) as twin:
        code = code_of(twin)
        c = _conditions(twin, c if header.conditional else None, header.events)
        parts = []
        for rows in reversed(_batches(code, header.events, header.batch)):
            parts.append(code.pop(stack, len(rows), None if c is None else c[rows]))
            if progress is not None:
                progress(header.events - int(rows[0]), header.events, "reading")
        level = torch.cat(parts[::-1])
        borrowed, pmf = _primer(code, header.digest)
        given_back = torch.equal(stack.pop(pmf), borrowed) and stack.empty
    if not given_back or _digest(model, level) != header.digest:
        raise InputError(
            "The events do not come out as they went in, though the file is whole and the model is the one: other "
            "conditions were given, or this machine or version of torch computes other probabilities than the writer's."
        )
    return grid.to_grid(level, model.levels).view(-1, *model.event_shape)


def borrowed_bits(model: Any) -> int:
    """Bits that lie on the stack before the first event, for it to borrow: they are in the file and hold nothing."""
    return 8 * _primer(code_of(model), b"")[0].numel()


@contextmanager
def reproducible(model: Any) -> Iterator[Any]:
    """A twin of ``model`` whose arithmetic comes out the same whenever it is asked the same.

    In double precision, on the CPU, on one thread, without dropout. Sums of floating-point numbers depend on their order,
    and the order on how a batch is split over threads; so nothing is split, and `compress` and `decompress` ask for the
    same batches. Between machines sums may still differ in their sixteenth digit: probabilities that are then rounded to
    seven seldom do, and where one does the digest of the events tells.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            yield copy.deepcopy(model).cpu().double().eval() if isinstance(model, Trainable) else model
    finally:
        torch.set_num_threads(threads)


def read_header(blob: bytes) -> Header:
    """What the file says of itself.

    Raises:
        InputError: it is no such file, one of another version, or damaged.
    """
    if blob[:3] != MAGIC:
        raise InputError("It is no file of genzoo compress: it does not begin with GZB.")
    if blob[3:4] != bytes([VERSION]):
        raise InputError(f"It has another format, {blob[3:4].hex()}, than this genzoo reads, {VERSION:02x}.")
    if len(blob) < HEADER_BYTES:
        raise InputError(f"It is cut short: {len(blob)} bytes, where the header alone takes {HEADER_BYTES}.")
    header = Header(*LAYOUT.unpack_from(blob))
    if _sealed(header, blob[HEADER_BYTES:]) != blob:
        raise InputError("It is damaged or cut short: its check sum is not the one of its content.")
    return header


def fingerprint(model: Any) -> bytes:
    """8 bytes that tell a model from others: a digest of its weights, and of arguments that are not at their default.

    So a model stays the same when it is moved, saved and loaded, and when its family gets another argument.
    """
    digest = hashlib.blake2b(digest_size=8)
    trained = isinstance(model, Trainable)
    told = _unusual(model) if trained else type(model).__name__
    digest.update(repr(told).encode())
    weights = model.state_dict() if trained else {k: v for k, v in vars(model).items() if isinstance(v, Tensor)}
    for name, value in sorted(weights.items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.digest()


def _unusual(model: Trainable) -> tuple[str, dict[str, Any]]:
    """A model's family and those of its arguments that are not at their default, nested models included."""
    told = {}
    for name, parameter in inspect.signature(type(model)).parameters.items():
        value = getattr(model, name)
        if isinstance(value, Trainable):
            told[name] = _unusual(value)
        elif plain(value) != plain(parameter.default):
            told[name] = plain(value)
    return type(model).__name__, told


def _sealed(header: Header, content: bytes) -> bytes:
    """Header and content, with their check sum in its place."""
    told = LAYOUT.pack(*astuple(header))[:-4]
    return told + struct.pack("<I", zlib.crc32(told + content)) + content


def _batches(code: Code, events: int, most: int) -> list[Tensor]:
    """Which events are pushed at a time, first to last."""
    return list(torch.arange(events).split(code.batches(events, most)))


def _primer(code: Code, digest: bytes) -> tuple[Tensor, Tensor]:
    """Random bytes ``(1, k)`` for the first event to borrow, and their probabilities; a reader knows them from the digest."""
    k = math.ceil(code.borrowed / 8)
    drawn = hashlib.shake_128(digest).digest(k)
    return torch.tensor([list(drawn)], dtype=torch.long), torch.ones(1, k, 256)


def _digest(model: Any, level: Tensor) -> bytes:
    """8 bytes that tell events from others."""
    what = f"{tuple(model.event_shape)} {model.levels}".encode()
    return hashlib.blake2b(what + level.numpy().astype("<u4").tobytes(), digest_size=8).digest()


def _levels(model: Any, x: Tensor) -> Tensor:
    """The levels of events, ``(n, D)``; raises `InputError` if they are not events of the model's, on its grid."""
    if not len(x) or tuple(x.shape[1:]) != tuple(model.event_shape):
        raise InputError(f"Expected events of shape {tuple(model.event_shape)}, got an array of shape {tuple(x.shape)}.")
    x = x.detach().cpu().float()
    level = grid.to_level(x, model.levels)
    strays = (grid.to_grid(level, model.levels) != x).sum().item()
    if strays:
        raise InputError(
            f"{strays} of {x.numel()} values are none of the {model.levels} levels of genzoo.grid, and would not come back "
            "as they are: genzoo.grid.quantise gives the nearest."
        )
    return level.flatten(1)


def _conditions(model: Any, c: Tensor | None, n: int) -> Tensor | None:
    """Conditions as the model takes them; None for one that takes none."""
    if c is None or not getattr(model, "condition", 0):
        return None
    if len(c) != n:
        raise InputError(f"Expected a condition for each of {n} events, got {len(c)}.")
    return c.detach().cpu()
