"""Samples for measurements: the same ones for the same seed, on the CPU."""

from typing import Any

import torch
from torch import Tensor

from genzoo.evaluation.batches import batched
from genzoo.model import Measurable, device_of
from genzoo.progress import Progress

TOGETHER = 100  # samples in one call


def draw(
    model: Measurable,
    n: int,
    c: Tensor | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Tensor:
    """``n`` samples on the CPU, in batches.

    Errors of figures assume independent samples, so the batches must be independent: an energy
    model starts a chain for every sample, and none from the end of another.

    Args:
        model: the model to sample from.
        n: number of samples.
        c: a condition for each, ``(n, ...)``.
        seed: of the random numbers; the global random state stays as it was.
        progress: called with (samples, n, a few words) after each batch.
        options: for the family's ``sample``, such as ``guidance``.
    """
    return batched(
        lambda rows, c: model.sample(len(rows), c, **options),
        torch.arange(n),
        c,
        device=device_of(model),
        size=TOGETHER,
        seed=seed,
        progress=progress,
        doing="drawing samples",
    )
