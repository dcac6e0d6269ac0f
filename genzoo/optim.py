"""Optimiser and learning-rate schedule: the zoo's own, and the seam for yours.

`Trainable.optimizer` and `Trainable.scheduler` are functions, and these two dataclasses are their
defaults. Any other of the same signature will do::

    model.optimizer = torch.optim.SGD  # called with (parameters, lr)
    model.scheduler = lambda optimizer, run: OneCycleLR(optimizer, 0.1, total_steps=run.steps)
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.callbacks import Timer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass
class Run:
    """What is known of the length of a run, in updates of the weights.

    Args:
        steps: how many there will be; None if that is not known in advance. A run by the clock may
            change it at a check (`genzoo.training.callbacks.Deadline`).
        clock: tells how much of its time a run of limited time has used, between 0 and 1.
    """

    steps: int | None = None
    clock: Callable[[], float] | None = None

    @classmethod
    def of(cls, trainer: Any, players: int = 1) -> "Run":
        """The run that ``trainer`` is about to begin.

        Args:
            trainer: a `lightning.Trainer` with a model and its data.
            players: optimisers that step for each batch. The trainer's ``max_steps`` counts the
                steps of all of them; those of one are counted here.
        """
        steps = trainer.estimated_stepping_batches  # in batches, or ``max_steps`` if that is less
        if trainer.max_steps > 0:
            steps = min(steps, math.ceil(trainer.max_steps / players))
        known = 0 < steps < math.inf
        return cls(int(steps) if known else None, _clock(trainer))

    def expected(self, step: int) -> int | None:
        """Updates in all, as it looks after ``step`` of them; None if nothing tells."""
        used = self.clock() if self.clock and step else 0.0
        if not used:
            return self.steps
        by_time = max(step, round(step / min(used, 1.0)))
        return by_time if self.steps is None else min(self.steps, by_time)


def _clock(trainer: Any) -> Callable[[], float] | None:
    """The share of its time that a trainer with ``max_time`` has used, if it has one."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    if not timers or timers[0].time_remaining() is None:
        return None
    timer = timers[0]

    def used() -> float:
        return timer.time_elapsed() / (timer.time_elapsed() + (timer.time_remaining() or 0.0))

    return used


@dataclass(frozen=True)
class AdamW:
    """`torch.optim.AdamW` with the zoo's settings, called with (parameters, lr).

    It is fused, one call for all tensors, where the parameters' kind and place allow it. It leaves
    the unscaling of gradients in mixed precision to others, as an optimiser that is not fused does:
    else they could not be clipped.
    """

    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-2

    def __call__(self, parameters: Iterable[torch.nn.Parameter], lr: float) -> Optimizer:
        weights = list(parameters)
        fused = all(w.device.type in ("cpu", "cuda") and w.is_floating_point() for w in weights)
        optimizer = torch.optim.AdamW(
            weights, lr, self.betas, weight_decay=self.weight_decay, fused=fused
        )
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        return optimizer


@dataclass(frozen=True)
class WarmupCosine:
    """The zoo's one schedule: linear warm-up, then half a cosine down to zero.

    Where only a time is set, the length is estimated anew at each step; where nothing tells how
    long the run will be, the learning rate stays at its peak.

    Args:
        warmup: share of the run that the warm-up takes.
    """

    warmup: float = 0.02

    def __call__(self, optimizer: Optimizer, run: Run) -> LambdaLR:
        def factor(step: int) -> float:
            steps = run.expected(step)
            return 1.0 if steps is None else warmup_cosine(step, steps, self.warmup)

        return LambdaLR(optimizer, factor)


def warmup_cosine(step: int, steps: int, warmup: float = 0.02) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: linear warm-up, then half a cosine."""
    rise = max(1, int(warmup * steps + 1e-9))  # 0.29 * 100 is 28.999...
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))


OptimizerFactory = Callable[[Iterable[torch.nn.Parameter], float], Optimizer]
SchedulerFactory = Callable[[Optimizer, Run], Any]
