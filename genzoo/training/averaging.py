r"""Averages of the weights, relative to the length of the run.

One width means the same after 100 steps and after 100,000.

The average after step t weighs the weights of step s by a power of s, so that its profile only
stretches as t grows:

.. math::

    \hat\theta_t = \frac{\int_0^t s^\gamma\, \theta_s\, ds}{\int_0^t s^\gamma\, ds}, \qquad
    \hat\theta_t = \beta_t\, \hat\theta_{t-1} + (1 - \beta_t)\, \theta_t, \quad
    \beta_t = \Big(1 - \frac{1}{t}\Big)^{\gamma + 1} .

Its relative width, the standard deviation of the profile divided by t, tells more than the exponent
does:

.. math::

    \sigma_{rel} = \frac{(\gamma + 1)^{1/2}}{(\gamma + 2)\, (\gamma + 3)^{1/2}} .

An exponential average of fixed decay looks back the same number of steps whatever the run: in a
short one it still holds what training began with. Here the initial weights are forgotten from the
first step on (:math:`\beta_1 = 0`), and nothing but t and the average itself is to be kept.

Reference: Karras et al. 2024, *Analyzing and improving the training dynamics of diffusion models*
(section 3.1, eq. 1-3, and algorithm 2 for the exponent).
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

WIDEST = 0.28  # relative width; at 12^-1/2 = 0.289 the exponent is 0, and all steps count alike

Parameters = tuple[Tensor, ...] | list[Tensor]
Update = Callable[[Parameters, Parameters, Tensor | int], None]


def exponent(width: float) -> float:
    """The power gamma of the profile of relative width ``width``.

    Infinite for 0, which keeps the last weights alone.
    """
    if width == 0:
        return math.inf
    t = width**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())


def kept(step: int, gamma: float) -> float:
    """beta_t, what the average so far counts for at step t = ``step``."""
    return (1 - 1 / step) ** (gamma + 1)


def power_average(width: float) -> Update:
    """The update of an average of relative width ``width``, for ``multi_avg_fn`` of torch.

    That is of `torch.optim.swa_utils.AveragedModel`. The update can be pickled, for training in
    processes that are started afresh.
    """
    return partial(_update, exponent(width))


def _update(
    gamma: float,
    averaged: Parameters,
    newest: Parameters,
    steps_before: Tensor | int,
) -> None:
    decay = kept(int(steps_before) + 1, gamma)
    get_ema_multi_avg_fn(decay)(averaged, newest, steps_before)


class Averages(WeightAveraging):
    """Lightning's callback for averaged weights, with `Averaged` for the average.

    Args:
        width: relative width of the average.
    """

    def __init__(self, width: float):
        super().__init__(use_buffers=False)
        self.width = width

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit":
            self._average_model = Averaged(pl_module, self.width)


class Averaged(AveragedModel):
    """The running average of a model's weights, by one call a step.

    torch's own walks through all modules, twice, at each step, which costs a small flow a tenth of
    its training time. The tensors are the same from step to step, so here they are listed once.

    Args:
        model: whose weights are averaged; it is copied.
        width: relative width of the average.
    """

    def __init__(self, model: nn.Module, width: float):
        super().__init__(model, multi_avg_fn=power_average(width))
        self.update = power_average(width)
        self.listed: tuple[list[Tensor], list[Tensor]] | None = None
        self.holders: list[tuple[nn.Module, nn.Module]] = []
        self.steps = 0

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        if self.listed is None:
            self.listed = list(self.module.parameters()), list(model.parameters())
            parts = zip(self.module.modules(), model.modules(), strict=True)
            self.holders = [pair for pair in parts if any(True for _ in own_buffers(pair[1]))]
            self.steps = int(self.n_averaged)  # of a run that is resumed; else none
        averaged, newest = self.listed
        self.steps += 1
        if self.steps == 1:
            for average, value in zip(averaged, newest, strict=True):
                average.copy_(value)
        else:
            self.update(averaged, newest, self.steps - 1)
        for own, other in self.holders:
            for mine, latest in zip(own_buffers(own), own_buffers(other), strict=True):
                mine.copy_(latest)
        self.n_averaged.fill_(self.steps)


def own_buffers(module: nn.Module) -> Iterator[Tensor]:
    """The buffers of a module itself, without those of its parts."""
    return module.buffers(recurse=False)
