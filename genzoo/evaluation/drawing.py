"""Samples to be measured: always the same ones for a seed, and on the CPU."""

from typing import Any, Protocol

import torch
from torch import Tensor

from genzoo.evaluation.likelihood import device_of
from genzoo.progress import Report

TOGETHER = 100  # samples in one call


class Samples(Protocol):
    """What can be drawn from: a model of the zoo, or a baseline beside it."""

    def sample(self, n: int, c: Tensor | None = None) -> Tensor: ...


def draw(model: Samples, n: int, c: Tensor | None = None, seed: int = 0, progress: Report | None = None,
         **options: Any) -> Tensor:  # fmt: skip
    """``n`` samples on the CPU, one for each condition in ``c`` if given, in batches between which ``progress`` is told.

    ``options`` are for the family's ``sample``, such as ``guidance``.
    """
    c, drawn = None if c is None else c.to(device_of(model)), []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for rows in torch.arange(n).split(TOGETHER):
            if progress:
                progress(int(rows[0]), n, "drawing samples")
            drawn.append(model.sample(len(rows), None if c is None else c[rows.to(c.device)], **options).cpu())
    return torch.cat(drawn)
