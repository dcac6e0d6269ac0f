"""Samples to be measured: always the same ones for a seed, and on the CPU."""

from typing import Any, Protocol

import torch
from torch import Tensor

from genzoo.model import device_of
from genzoo.progress import Report

TOGETHER = 100  # samples in one call


class Samples(Protocol):
    """What can be drawn from: a model of the zoo, or a baseline beside it."""

    def sample(self, n: int, c: Tensor | None = None) -> Tensor: ...


def draw(
    model: Samples,
    n: int,
    c: Tensor | None = None,
    seed: int = 0,
    progress: Report | None = None,
    **options: Any,
) -> Tensor:
    """``n`` samples on the CPU, in batches between which ``progress`` is told.

    Their errors are those of independent draws, so a model must draw each batch afresh: an energy
    model starts a chain for every sample, and none from where another ended.

    Args:
        model: what to draw from.
        n: how many.
        c: a condition for each, ``(n, ...)``.
        seed: of the random numbers; the global random state stays as it was.
        progress: told after how many samples.
        options: for the family's ``sample``, such as ``guidance``.
    """
    if c is not None:
        c = c.to(device_of(model))
    drawn = []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for first in range(0, n, TOGETHER):
            if progress is not None:
                progress(first, n, "drawing samples")
            some = slice(first, min(first + TOGETHER, n))
            asked = None if c is None else c[some]
            drawn.append(model.sample(some.stop - some.start, asked, **options).cpu())
    return torch.cat(drawn)
