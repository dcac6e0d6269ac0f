"""A function of many events, computed a batch at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from genzoo.data.dataset import Split
from genzoo.model import Measurable, device_of, drawing_from
from genzoo.progress import Progress

BATCH = 250  # events at a time


def batched(
    function: Callable[..., Tensor],
    *columns: Tensor | None,
    device: torch.device,
    size: int = BATCH,
    seed: int | None = None,
    progress: Progress | None = None,
    doing: str = "evaluating",
) -> Tensor:
    """``function`` of ``columns``, row by row, without gradients: ``(n, ...)`` on the CPU.

    Args:
        function: takes a batch of each column and returns a tensor with as many rows.
        columns: tensors ``(n, ...)``; any but the first may be None, and is then passed as None.
        device: where the function is computed.
        size: rows in a batch.
        seed: of random numbers; the caller's random state is left as it was. None: the caller's
            random numbers are used.
        progress: called with (rows done, rows, ``doing``) after each batch.
        doing: text for ``progress``.
    """
    first = columns[0]
    assert first is not None
    results = []
    with _random_numbers(seed, device), torch.no_grad():
        for start in range(0, len(first), size):
            rows = slice(start, start + size)
            batch = [None if column is None else column[rows].to(device) for column in columns]
            results.append(function(*batch).cpu())
            if progress is not None:
                progress(min(start + size, len(first)), len(first), doing)
    return torch.cat(results)


@contextmanager
def _random_numbers(seed: int | None, device: torch.device) -> Iterator[None]:
    if seed is None:
        yield
        return
    with drawing_from(seed, device):
        yield


def on_device_of(model: Measurable, events: Split) -> tuple[Tensor, Tensor | None]:
    """Events on the model's device, and their conditions, None for an unconditional model."""
    x, c = events.to(device_of(model))[:]
    if not model.condition:
        return x, None
    return x, c
