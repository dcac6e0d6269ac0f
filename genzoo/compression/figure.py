"""What a file takes, beside what its model says it should: "bits/dim as a file"."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from genzoo import grid
from genzoo.compression.codes import code_of
from genzoo.compression.file import HEADER_BYTES, borrowed_bits, compress
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation.likelihood import device_of, evaluating
from genzoo.evaluation.tables import Line, Table
from genzoo.model import Likelihood
from genzoo.progress import Report

WRITTEN = {"quick": 100, "full": 500}  # most test events, by the budget of the run
DRAWS = 16  # of z for each event, where the model's own figure is the mean of a bound
FEATURES = {"quick": 10_000, "full": 400_000}  # most features in all: each costs an evaluation of the network

HEADERS = ("model", "as a file", "its own", "ratio", "bytes", "events")
LEGEND = (
    "as a file: events written with the model as an entropy coder's probabilities, and read back bit for bit; less the header "
    f"of {HEADER_BYTES} bytes, the bits that the first event borrows counted; its own: what the model states of the same events "
    "(≤: the mean of one draw, which is what a file can have)"
)


@dataclass(frozen=True)
class AsFile:
    """What a file of ``n`` events takes.

    Args:
        n: events in the file.
        bytes: the length of the file.
        header_bytes: how many of them are the header, whatever the number of events.
        initial_bits: how many bits of the rest hold nothing, but were there for the first event to borrow.
        bits_per_dim: of all but the header.
        stated: what the model itself says of these events, bits/dim; of a bound, the mean over single draws.
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
        """How much longer the events are than the model says."""
        return self.bits_per_dim / self.stated


def write(model: Any, x: Tensor, c: Tensor | None = None, progress: Report | None = None) -> tuple[bytes, AsFile]:
    """`compress`, and what is to be said of the file.

    Raises:
        InputError: the model cannot write a file, or not these events.
    """
    blob = compress(model, x, c, progress=progress)
    return blob, AsFile(
        n=len(x),
        bytes=len(blob),
        header_bytes=HEADER_BYTES,
        initial_bits=borrowed_bits(model),
        bits_per_dim=8 * (len(blob) - HEADER_BYTES) / x.numel(),
        stated=stated(model, x, c),
        kind=model.likelihood,
    )


def stated(model: Any, x: Tensor, c: Tensor | None = None) -> float:
    """What a model says of events, bits/dim: the exact figure, or the mean of `DRAWS` single draws of a bound."""
    device = device_of(model)
    draws = 1 if model.likelihood == Likelihood.EXACT else DRAWS
    with torch.random.fork_rng(), torch.inference_mode(), evaluating(model):
        torch.manual_seed(0)
        told = None if c is None else c.to(device)
        log_prob = torch.stack([model.log_prob(x.to(device), told).double() for _ in range(draws)])
    return grid.bits_per_dim(log_prob, math.prod(x.shape[1:]), model.levels).mean().item()


def file_bits_per_dim(model: Any, data: DataSet, split: str = "test", most: int | None = None) -> AsFile:
    """The figure of a model as a file: of a split of ``data``, or of at most ``most`` of its events, drawn once for all.

    A conditional model is told the conditions of the data, as it is where its likelihood is measured.

    Raises:
        InputError: the model cannot write a file, or not these events.
    """
    events = getattr(data, split)
    events = events if most is None else events.some(most)
    return write(model, events.x, events.c if getattr(model, "condition", 0) else None)[1]


def as_a_file(
    model: Any,
    data: DataSet,
    budget: str = "full",
    folder: Path | None = None,
    progress: Report | None = None,
    seed: int = 0,
) -> dict[str, Any] | None:
    """The entry of a row: an `AsFile` in plain values, or ``{"reason": ...}`` where a file was tried and came to nothing.

    None for a model that cannot write a file, or too slowly for a look on the way.
    """
    most = min(WRITTEN[budget], FEATURES[budget] // data.dims)
    if not most or not writes_files(model):
        return None
    if progress is not None:
        progress(0, 1, "writing a file")
    try:
        entry = file_bits_per_dim(model, data, most=most)
    except InputError as error:
        return {"reason": str(error)}
    return {**asdict(entry), "kind": entry.kind.name.lower()}


def writes_files(model: Any) -> bool:
    """Whether there is a code for ``model``; the reason why not is what `compress` raises."""
    try:
        code_of(model)
    except InputError:
        return False
    return True


def table(rows: Iterable[dict[str, Any]]) -> Table | None:
    """The table of those rows that have an entry ``file``, averaged over seeds, the shortest first; None if none has."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row.get("file"):
            groups.setdefault(row["family"], []).append(row)
    if not groups:
        return None
    reasons = {family: _failure(group) for family, group in groups.items()}
    failed = {family: reason for family, reason in reasons.items() if reason}
    written = {family: group for family, group in groups.items() if family not in failed}
    ordered = sorted(written.items(), key=lambda named: mean(row["file"]["bits_per_dim"] for row in named[1]))
    lines = [_line(family, group) for family, group in ordered] + [Line((name, *"—————")) for name in failed]
    told = [f"— of {family}: {reason}" for family, reason in failed.items()]
    return Table("As a file", HEADERS, lines, [LEGEND, *told])


def _failure(rows: list[dict[str, Any]]) -> str:
    """Why one of the rows has no file; "" if all have."""
    return next((row["file"]["reason"] for row in rows if "reason" in row["file"]), "")


def _line(family: str, rows: list[dict[str, Any]]) -> Line:
    entries = [row["file"] for row in rows]
    written, own, size = (mean(entry[name] for entry in entries) for name in ("bits_per_dim", "stated", "bytes"))
    kind = max(Likelihood[entry["kind"].upper()] for entry in entries)
    cells = (
        family,
        f"{written:.3f}",
        f"{kind.symbol} {own:.3f}",
        f"{written / own:.4f}",
        f"{size:,.0f}",
        f"{entries[0]['n']:,}",
    )
    return Line(cells, muted=bool(rows[0].get("baseline")))
