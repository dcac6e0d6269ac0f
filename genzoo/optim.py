"""Optimisers and learning-rate schedules: the zoo's own, and the interface for others.

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
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from genzoo.errors import InputError, nearest
from genzoo.gate.schema import short


@dataclass
class Run:
    """The length of a run, as far as it is known, in updates of the weights.

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
        """Expected number of updates of the whole run, after ``step`` of them; None if unknown."""
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


class Muon(Optimizer):
    """Momentum whose direction is orthogonalised for matrices; AdamW for all other weights.

    The update of a matrix is made to have equal singular values, so that no direction of it learns
    at the expense of another (Jordan et al. 2024, *Muon*; `torch.optim.Muon` knows no kernels). A
    kernel is the matrix from all inputs of a window to its outputs. What is thinner than
    `THINNEST`, and so embeddings, depthwise kernels and biases, is AdamW's.

    Args:
        parameters: the weights.
        lr: of AdamW; matrices learn at `FASTER` times that.
        weight_decay: of both.
    """

    THINNEST = 16
    FASTER = 10.0

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        weight_decay: float = 1e-2,
    ):
        weights = list(parameters)
        matrices = [w for w in weights if self.is_matrix(w)]
        others = [w for w in weights if not self.is_matrix(w)]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "lr": self.FASTER * lr, "matrices": True},
            {"params": others, "lr": lr, "matrices": False},
        ]
        defaults = {"lr": lr, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @classmethod
    def is_matrix(cls, weight: Tensor) -> bool:
        """True of a weight that maps at least `THINNEST` numbers to at least as many."""
        return weight.dim() > 1 and min(weight.flatten(1).shape) >= cls.THINNEST

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            move = self.orthogonal_step if group["matrices"] else self.adam_step
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    move(weight, weight.grad, group["lr"])
        return loss

    def orthogonal_step(self, weight: Tensor, gradient: Tensor, lr: float) -> None:
        """Move a matrix along its orthogonalised momentum.

        Args:
            weight: is changed.
            gradient: of the loss, of the same shape.
            lr: learning rate.
        """
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(gradient, 0.05)
        direction = gradient.lerp(momentum, 0.95)  # Nesterov's, one step ahead
        update = orthogonalised(direction.flatten(1))
        rows, columns = update.shape
        stretch = max(1.0, rows / columns) ** 0.5
        weight.sub_(update.view_as(weight), alpha=lr * stretch)

    def adam_step(self, weight: Tensor, gradient: Tensor, lr: float) -> None:
        """Move a weight that is no matrix by a step of Adam; arguments as of `orthogonal_step`."""
        state = self.state[weight]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(weight)
            state["square"] = torch.zeros_like(weight)
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 0.1)
        square = state["square"].lerp_(gradient.square(), 0.01)
        unbiased_mean = mean / (1 - 0.9 ** state["step"])
        unbiased_square = square / (1 - 0.99 ** state["step"])
        weight.addcdiv_(unbiased_mean, unbiased_square.sqrt().add_(1e-8), value=-lr)


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Nearly the matrix of the same singular vectors whose singular values are all one.

    By a Newton-Schulz iteration, whose coefficients (Jordan et al. 2024) bring every singular value
    to between 0.7 and 1.2 soon; it need not be nearer.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


@dataclass(frozen=True)
class WarmupCosine:
    """The zoo's one schedule: linear warm-up, then half a cosine down to zero.

    If only a time is set, the length is estimated at each step. If the length of the run is
    unknown, the learning rate stays at its peak.

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
    """Factor of the learning rate: linear warm-up, then half a cosine.

    Args:
        step: index of the next step.
        steps: of the whole run.
        warmup: share of the steps that warm up.
    """
    rise = max(1, int(warmup * steps + 1e-9))  # 0.29 * 100 is 28.999...
    if step < rise:
        return (step + 1) / rise
    share = (step - rise) / max(1, steps - rise)  # of the descent
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


OptimizerFactory = Callable[[Iterable[torch.nn.Parameter], float], Optimizer]
OPTIMIZERS: dict[str, OptimizerFactory] = {"adamw": AdamW(), "muon": Muon}


def optimizer_of(named: OptimizerFactory | str) -> OptimizerFactory:
    """Factory of an optimiser: as it is given, or by one of the names that recipes use.

    Raises:
        InputError: there is no optimiser of that name.
    """
    if callable(named):
        return named
    if not isinstance(named, str) or named not in OPTIMIZERS:
        hint = nearest(str(named), OPTIMIZERS)
        raise InputError(f"There is no optimizer {short(named)}. {hint}")
    return OPTIMIZERS[named]


SchedulerFactory = Callable[[Optimizer, Run], Any]
