"""The size of a file beside the figure of its model: "bits/dim as a file"."""

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

# most test events, by the budget of the run
EVENTS = {"quick": 100, "full": 500, "cpu": 500, "gpu": 500}
# most of their features, each of which takes time
FEATURES = {"quick": 10_000, "full": 400_000, "cpu": 400_000, "gpu": 400_000}
DRAWS = 16  # samples of z for each event, where the model's own figure is the mean of a bound
BATCH = 250  # events in a batch, for that figure


@dataclass(frozen=True)
class AsFile:
    """The size of a file of events.

    Args:
        n: number of events in the file.
        bytes: length of the file.
        header_bytes: length of header and check sums, for any number of events.
        initial_bits: bits of the rest without content, which the first event borrows.
        bits_per_dim: of all but header and check sums.
        stated: the model's own figure of these events, bits/dim; of a bound, the mean over single
            samples.
        kind: the claim of that figure.
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
        """Bits of the file over those of the model's own figure."""
        return self.bits_per_dim / self.stated


def write(
    model: Any,
    x: Tensor,
    c: Tensor | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> tuple[bytes, AsFile]:
    """The content of a file by `compress`, and its size.

    Args:
        model: as of `compress`.
        x: likewise.
        c: likewise.
        progress: likewise.
        seed: of the samples for the model's own figure, if it is a bound. The file itself needs no
            random numbers.

    Raises:
        InputError: the model cannot write a file, or not these events.
    """
    blob = compress(model, x, c, progress=progress)
    size = AsFile(
        n=len(x),
        bytes=len(blob),
        header_bytes=HEADER_BYTES,
        initial_bits=initial_bits(model),
        bits_per_dim=8 * (len(blob) - HEADER_BYTES) / x.numel(),
        stated=stated(model, x, c, seed),
        kind=model.likelihood,
    )
    return blob, size


def stated(model: Any, x: Tensor, c: Tensor | None = None, seed: int = 0) -> float:
    """A model's own figure of events, bits/dim: exact, or the mean of `DRAWS` samples of a bound.

    Args:
        model: a model of the zoo, or a baseline.
        x: events, ``(n, *event_shape)``.
        c: their conditions.
        seed: of the samples.
    """
    device = device_of(model)
    draws = 1 if model.likelihood == Likelihood.EXACT else DRAWS
    parts = []
    with drawing_from(seed, device), torch.inference_mode(), evaluating(model):
        for rows in torch.arange(len(x)).split(BATCH):
            events = x[rows].to(device)
            conditions = None if c is None else c[rows].to(device)
            for _ in range(draws):
                log_prob = model.log_prob(events, conditions)
                parts.append(log_prob.double().cpu())
    dims = math.prod(x.shape[1:])
    bits_per_dim = grid.bits_per_dim(torch.cat(parts), dims, model.levels)
    return bits_per_dim.mean().item()


def file_bits_per_dim(
    model: Any,
    data: DataSet,
    split: str = "test",
    most: int | None = None,
    seed: int = 0,
) -> AsFile:
    """The size of a file of a split, or of some of its events.

    A conditional model is given the conditions, as in the measurement of its likelihood.

    Args:
        model: as of `compress`.
        data: the data set.
        split: "train", "validation" or "test".
        most: largest number of events; None: all.
        seed: as of `write`.

    Raises:
        InputError: the model cannot write a file, or not these events.
    """
    events = getattr(data, split)
    if most is not None:
        events = events.some(most)
    c = events.c if model.condition else None
    _, size = write(model, events.x, c, seed=seed)
    return size


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

    It is None for a model that writes no files, and for events that are so large that compression
    would take too long.

    Args:
        model: the model.
        data: the data set, whose test events are written.
        budget: of the run, which limits the number of events.
        folder: not used.
        progress: called once, before the file is written.
        seed: as of `write`.
    """
    most = min(EVENTS[budget], FEATURES[budget] // data.dims)
    if not most or not writes_files(model):
        return None
    if progress is not None:
        progress(0, 1, "writing a file")
    try:
        size = file_bits_per_dim(model, data, most=most, seed=seed)
    except InputError as error:
        return {"reason": str(error)}
    return {**asdict(size), "kind": size.kind.name.lower()}


def writes_files(model: Any) -> bool:
    """True if there is a code for ``model``; `compress` gives the reason if there is none."""
    try:
        code_of(model)
    except InputError:
        return False
    return True
