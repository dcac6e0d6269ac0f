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

An exponential average of fixed decay looks back the same number of steps in every run: in a short
one it still holds what training began with. Here the initial weights are forgotten from the
first step on (:math:`\beta_1 = 0`), and only t and the average itself have to be kept.

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
MOST_BETWEEN = 4  # steps between two updates of an average

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


def kept(step: int, gamma: float, before: int | None = None) -> float:
    """Weight of the average so far at step t = ``step``; beta_t if it is of t - 1 steps.

    Args:
        step: after which the weights are.
        gamma: exponent of the profile.
        before: steps that the average so far is of; None for all but the last.
    """
    before = step - 1 if before is None else before
    return (before / step) ** (gamma + 1)


def power_average(width: float) -> Update:
    """The update of an average of relative width ``width``, for ``multi_avg_fn`` of torch.

    `torch.optim.swa_utils.AveragedModel` takes it. The update can be pickled, for training in
    new processes.
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

    The average is updated once in `between` steps, and before each use, so that a step costs
    little. Between two updates the latest weights stand for those of all steps; their share depends
    on both ends alone, so that the profile stays the power function.

    Args:
        width: relative width of the average.
    """

    def __init__(self, width: float):
        super().__init__(use_buffers=False)
        self.width = width
        self.steps = 0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit":
            self._average_model = Averaged(pl_module, self.width)
            self.steps = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_step > self._latest_update_step:
            self._latest_update_step = trainer.global_step
            self.steps += 1
            if self.steps % between(self.steps, self.width) == 0:
                self.catch_up(pl_module)

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.catch_up(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.catch_up(pl_module)
        super().on_train_end(trainer, pl_module)

    def catch_up(self, model: Any) -> None:
        """Take the latest weights into the average, unless they are in it."""
        average = self._average_model
        if isinstance(average, Averaged) and average.steps_taken < self.steps:
            average.update_parameters(model, self.steps)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.steps = state_dict.get("steps", 0)

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        if self._average_model is not None:  # of a checkpoint from before there was such a count
            self.steps = max(self.steps, int(self._average_model.n_averaged))


def between(step: int, width: float) -> int:
    """Number of steps between two updates: a third of the profile's width, up to `MOST_BETWEEN`."""
    return min(MOST_BETWEEN, max(1, int(step * width / 3)))


class Averaged(AveragedModel):
    """The running average of a model's weights, by one call for all tensors.

    torch's own walks through all modules, twice, at each step, which costs a small flow a tenth of
    its training time. The tensors are the same from step to step, so here they are listed once.

    Args:
        model: whose weights are averaged; it is copied.
        width: relative width of the average.
    """

    def __init__(self, model: nn.Module, width: float):
        super().__init__(model, multi_avg_fn=power_average(width))
        self.gamma = exponent(width)
        self.listed: tuple[list[Tensor], list[Tensor]] | None = None
        self.holders: list[tuple[nn.Module, nn.Module]] = []
        self.steps: int | None = None

    @property
    def steps_taken(self) -> int:
        """Steps that the average is of; after a resumption, those before it included."""
        return int(self.n_averaged) if self.steps is None else self.steps

    @torch.no_grad()
    def update_parameters(self, model: nn.Module, step: int | None = None) -> None:
        """Take the weights of ``model`` into the average.

        Args:
            model: of which this is the average.
            step: after how many steps; None for one more than the last time.
        """
        if self.listed is None:
            self.listed = list(self.module.parameters()), list(model.parameters())
            parts = zip(self.module.modules(), model.modules(), strict=True)
            self.holders = [pair for pair in parts if any(True for _ in own_buffers(pair[1]))]
        averaged, newest = self.listed
        before = self.steps_taken
        now = before + 1 if step is None else step
        if before == 0:
            for average, value in zip(averaged, newest, strict=True):
                average.copy_(value)
        else:
            get_ema_multi_avg_fn(kept(now, self.gamma, before))(averaged, newest, before)
        for own, other in self.holders:
            for mine, latest in zip(own_buffers(own), own_buffers(other), strict=True):
                mine.copy_(latest)
        self.steps = now
        self.n_averaged.fill_(now)


def own_buffers(module: nn.Module) -> Iterator[Tensor]:
    """The buffers of a module itself, without those of its parts."""
    return module.buffers(recurse=False)
