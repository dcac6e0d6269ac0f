"""What a file takes, beside what its model says it should: "bits/dim as a file"."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genzoo import grid
from genzoo.compression.file import HEADER_BYTES, compress, initial_bits
from genzoo.compression.models import code_of
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.model import Likelihood, device_of, drawing_from, evaluating
from genzoo.progress import Progress

EVENTS = {"quick": 100, "full": 500}  # most test events, by the budget of the run
FEATURES = {"quick": 10_000, "full": 400_000}  # most of their features: each takes its time
DRAWS = 16  # of z for each event, where the model's own figure is the mean of a bound
BATCH = 250  # events at a time, for that figure


@dataclass(frozen=True)
class AsFile:
    """What a file of events takes.

    Args:
        n: events in the file.
        bytes: the length of the file.
        header_bytes: those of them that are header and check sums, whatever the number of events.
        initial_bits: bits of the rest that hold nothing: the first event borrows them.
        bits_per_dim: of all but header and check sums.
        stated: what the model says of these events, bits/dim; of a bound, the mean of single draws.
        kind: what it claims with that.
    """

    n: int
    bytes: int
    header_bytes: int
    initial_bits: int
    bits_per_dim: float
    stated: float
    kind: Likelihood

    @property
    def ratio(self) -> float:
        """How many bits the file takes for each that the model states."""
        return self.bits_per_dim / self.stated


def write(
    model: Any,
    x: Tensor,
    c: Tensor | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> tuple[bytes, AsFile]:
    """The content of a file, as `compress` makes it, and what is to be said of it.

    Args:
        model, x, c, progress: as in `compress`.
        seed: of the draws by which a bound is stated. A file draws from its own bits.

    Raises:
        InputError: the model cannot write a file, or not these events.
    """
    blob = compress(model, x, c, progress=progress)
    return blob, AsFile(
        n=len(x),
        bytes=len(blob),
        header_bytes=HEADER_BYTES,
        initial_bits=initial_bits(model),
        bits_per_dim=8 * (len(blob) - HEADER_BYTES) / x.numel(),
        stated=stated(model, x, c, seed),
        kind=model.likelihood,
    )


def stated(model: Any, x: Tensor, c: Tensor | None = None, seed: int = 0) -> float:
    """What a model says of events, bits/dim: exactly, or the mean of `DRAWS` draws of a bound."""
    device = device_of(model)
    draws = 1 if model.likelihood == Likelihood.EXACT else DRAWS
    found = []
    with drawing_from(seed, device), torch.inference_mode(), evaluating(model):
        for rows in torch.arange(len(x)).split(BATCH):
            events = x[rows].to(device)
            told = None if c is None else c[rows].to(device)
            found += [model.log_prob(events, told).double().cpu() for _ in range(draws)]
    log_prob = torch.cat(found)
    return grid.bits_per_dim(log_prob, math.prod(x.shape[1:]), model.levels).mean().item()


def file_bits_per_dim(
    model: Any,
    data: DataSet,
    split: str = "test",
    most: int | None = None,
    seed: int = 0,
) -> AsFile:
    """The figure of a model as a file, of a split of ``data`` or of at most ``most`` of its events.

    A conditional model is told the conditions, as it is where its likelihood is measured.

    Raises:
        InputError: the model cannot write a file, or not these events.
    """
    events = getattr(data, split)
    if most is not None:
        events = events.some(most)
    c = events.c if model.condition else None
    return write(model, events.x, c, seed=seed)[1]


# ------------------------------------------------------------------------------- a part of a row


def as_a_file(
    model: Any,
    data: DataSet,
    budget: str = "full",
    folder: Path | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> dict[str, Any] | None:
    """The entry of a row: an `AsFile` in plain values, or the ``reason`` why the file failed.

    It is None for a model that writes no files, and for events that are too large to be
    compressed while a table waits.
    """
    most = min(EVENTS[budget], FEATURES[budget] // data.dims)
    if not most or not writes_files(model):
        return None
    if progress is not None:
        progress(0, 1, "writing a file")
    try:
        found = file_bits_per_dim(model, data, most=most, seed=seed)
    except InputError as error:
        return {"reason": str(error)}
    return {**asdict(found), "kind": found.kind.name.lower()}


def writes_files(model: Any) -> bool:
    """Whether there is a code for ``model``; `compress` says why not."""
    try:
        code_of(model)
    except InputError:
        return False
    return True
