"""Callbacks that `genzoo.fit` adds to Lightning's loop.

A clock, a guard, patience, an exact random state, and news of progress.

Each keeps what the future depends on in the checkpoint, so that a resumed run goes on as if nothing
had happened.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from genzoo import files
from genzoo.errors import TrainingError
from genzoo.gate.text import of_run
from genzoo.model import LOOKED_AT, Likelihood, Trainable
from genzoo.progress import Progress
from genzoo.training.averaging import Averages


def default_callbacks(
    model: Trainable,
    folder: str | Path | None = None,
    *,
    average: float = 0.03,
    patience: int = 10,
    seed: int | None = None,
) -> list[L.Callback]:
    """The callbacks of `genzoo.fit`, for a Trainer of your own::

        callbacks = default_callbacks(model, "runs/mine", patience=5)
        L.Trainer(max_epochs=50, gradient_clip_val=5.0, callbacks=callbacks).fit(model, batches)

    They stop a run that diverges, average the weights (validation sees the averages, and the model
    has them in the end), stop when validation no longer improves, keep the random state in
    checkpoints, and keep the best weights in ``folder``.

    Args:
        model: to be trained; its `monitor` names the figure that validation chooses by.
        folder: where ``best.ckpt`` goes; None keeps no checkpoint of the best.
        average: relative width of the running average of the weights; 0 for the last alone.
        patience: checks without a better figure before training stops.
        seed: of what is drawn in training; None for torch's own when training begins.
    """
    monitor = chosen_by(model)
    path = None if folder is None else Path(folder)
    callbacks = watchers(monitor, path, average, patience, seed)
    if path is not None and monitor is not None:
        callbacks.append(best_checkpoint(path, monitor, enable_version_counter=False))
    return callbacks


def chosen_by(model: Trainable) -> str | None:
    """The logged figure that the best weights are chosen by; None if the model has none."""
    return model.monitor if model.likelihood != Likelihood.NONE else None


def watchers(
    monitor: str | None,
    folder: Path | None,
    average: float | None,
    patience: int,
    seed: int | None = None,
) -> list[L.Callback]:
    """The callbacks of `default_callbacks` that write nothing.

    Args:
        monitor: the logged figure to stop by, if there is one.
        folder: of checkpoints, of which a diverged run tells; None where none is kept.
        average: relative width of the average of the weights; None for no average.
        patience: checks without a better figure before training stops.
        seed: of what is drawn in training; None for torch's own when training begins.
    """
    callbacks: list[L.Callback] = [Guard(folder), RandomState(seed)]
    if average is not None:
        callbacks.append(Averages(average))
    if monitor is not None:
        callbacks.append(
            Patience(monitor, patience=patience, check_finite=False, check_on_train_epoch_end=False)
        )
    return callbacks


# called at every step
EACH_STEP = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


def without_idle_hooks(callback: L.Callback) -> L.Callback:
    """A callback whose hooks that do nothing are not called at every step.

    Lightning calls each hook of each callback, inside a profiler, and skips those that cannot be
    called. Nine callbacks that do nothing cost a tenth of a millisecond.
    """
    for hook in EACH_STEP:
        if getattr(type(callback), hook) is getattr(L.Callback, hook):
            setattr(callback, hook, None)
    return callback


def best_checkpoint(folder: Path, monitor: str, **options: Any) -> ModelCheckpoint:
    """Keeps the weights with the least ``monitor`` in ``folder/best.ckpt``."""
    return ModelCheckpoint(folder, filename="best", monitor=monitor, **options)


def steps_done(trainer: L.Trainer) -> int:
    """Batches trained on, the present one included.

    (``global_step`` counts steps of optimisers, of which a GAN takes two a batch.)
    """
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


class Clock(L.Callback):
    """Seconds of training, those before an interruption included."""

    def __init__(self):
        self.earlier = 0.0
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.earlier = state_dict["seconds"]


class TimedLog(CSVLogger):
    """A log with the seconds of training in each row."""

    def __init__(self, folder: Path, clock: Clock):
        super().__init__(folder, name="log")
        self.clock = clock

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        super().log_metrics({**metrics, "seconds": round(self.clock.seconds, 3)}, step)


class Deadline(L.Callback):
    """Ends a run by the clock when its time is over, at the check that is nearest to it.

    The steps of such a run are planned from the pace of the first. After each round they are
    planned anew from the pace of that round, if by the present plan the end would be early or late
    by more than `TOLERATED` of the time. The learning rate follows (`genzoo.optim.Run`). The plan
    is part of the checkpoint, so an interrupted run goes on by the plan that it had.

    Args:
        seconds: of training, asked for.
        clock: of the run.
        every: epochs of a round, after which there is a check.
        path: of the file that keeps the plan, where changes are written down; None for nowhere.
    """

    TOLERATED = 0.05

    def __init__(self, seconds: float, clock: Clock, every: int, path: Path | None = None):
        self.seconds = seconds
        self.clock = clock
        self.every = every
        self.path = path
        self.epochs: int | None = None  # none: those that the Trainer was given
        self.begun = 0.0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.trainer = trainer

    def state_dict(self) -> dict[str, int | None]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, int | None]) -> None:
        self.epochs = state_dict["epochs"]
        if self.epochs is not None:
            self.trainer.fit_loop.max_epochs = self.epochs

    def on_train_start(self, trainer, pl_module) -> None:
        self.begun = self.clock.seconds
        if self.epochs is not None:
            self.plan(trainer, pl_module, self.epochs)

    def on_validation_end(self, trainer, pl_module) -> None:
        self.judge(trainer, pl_module)

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        validated = sum(trainer.num_val_batches) > 0
        if not validated and (trainer.current_epoch + 1) % self.every == 0:
            self.judge(trainer, pl_module)

    def judge(self, trainer: L.Trainer, model: L.LightningModule) -> None:
        """After a round: plan anew if the end would not be on time."""
        now = self.clock.seconds
        of_round, self.begun = now - self.begun, now
        done = trainer.current_epoch + 1
        planned = trainer.fit_loop.max_epochs or done
        epochs = planned
        end = now + (planned - done) / self.every * of_round
        if abs(end - self.seconds) > self.TOLERATED * self.seconds:
            epochs = done + max(0, round((self.seconds - now) / of_round)) * self.every
        epochs = trainer.strategy.broadcast(epochs)  # of several processes, one clock counts
        if epochs != planned:
            self.plan(trainer, model, epochs)
            self.write_down(trainer, done)

    def plan(self, trainer: L.Trainer, model: Any, epochs: int) -> None:
        """Change the end of a run, and tell the model's schedule.

        Args:
            trainer: of the run.
            model: that it trains.
            epochs: after which it now ends.
        """
        self.epochs = trainer.fit_loop.max_epochs = epochs
        if "run" in vars(model):  # of its own, which its schedule looks at
            updates = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
            model.run.steps = epochs * updates

    def write_down(self, trainer: L.Trainer, done: int) -> None:
        if self.path is None or not trainer.is_global_zero:
            return
        kept = of_run(self.path) or {}
        a_pass = int(trainer.num_training_batches)
        news = {"after": done * a_pass, "steps": (self.epochs or 0) * a_pass}
        kept["planned_anew"] = [*kept.get("planned_anew", []), news]
        with files.whole(self.path) as draft:
            draft.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


class Stopwatch(L.Callback):
    """Times the steps of a rehearsal, and ends it when its time is over.

    Args:
        limit: seconds after which to stop.
    """

    def __init__(self, limit: float):
        self.limit = limit
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.ends.append(time.perf_counter())
        over = self.ends[-1] - self.ends[0] > self.limit
        # no process stops before the others
        trainer.should_stop = trainer.strategy.reduce_boolean_decision(over, all=False)

    @property
    def seconds_per_step(self) -> float:
        """The mean over the second half of the steps: the first are slower."""
        later = self.ends
        if len(later) > 3:
            later = later[len(later) // 2 :]
        return (later[-1] - later[0]) / max(1, len(later) - 1)


class Guard(L.Callback):
    """Stops a run whose logged figures are no longer finite, before they reach a checkpoint.

    Args:
        folder: where checkpoints are kept; None where none is.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if batch_idx % LOOKED_AT == 0 or trainer.is_last_batch:
            self.check(trainer, pl_module)

    def on_validation_end(self, trainer, pl_module) -> None:
        self.check(trainer, pl_module)

    def check(self, trainer: L.Trainer, model: L.LightningModule) -> None:
        for name, value in trainer.callback_metrics.items():
            if not value.isfinite().all():
                steps = f"{steps_done(trainer)} steps"
                raise TrainingError(
                    f"{type(model).__name__} diverged: {name} is {value.item()} after {steps}. "
                    f"Try a smaller lr (now {model.lr:g}), a larger batch_size, or another seed"
                    f"{self.kept()}."
                )

    def kept(self) -> str:
        """Words about the checkpoint that there is to go back to."""
        if self.folder is None:
            return ""
        if (self.folder / "last.ckpt").is_file():
            return "; the last good checkpoint is kept"
        return "; there is no checkpoint yet"


class Patience(EarlyStopping):
    """Stops when validation has not improved for a while.

    It stops at once if that was so when the run was interrupted.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self.best_score.dim():
            raise ValueError("the best figure so far is one number")

    def on_train_start(self, trainer, pl_module) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class RandomState(L.Callback):
    """Begins each epoch with random numbers that follow from a seed, the epoch and the process.

    So a resumed run is exact, on other numbers of processes too, and no two processes draw alike.

    Args:
        seed: None for torch's own when training begins.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed

    def state_dict(self) -> dict[str, int | None]:
        return {"seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seed = state_dict.get("seed", self.seed)

    def on_train_start(self, trainer, pl_module) -> None:
        if self.seed is None:
            self.seed = torch.initial_seed()

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        source = [self.seed or 0, trainer.current_epoch, trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(source).generate_state(1, np.uint64)[0]))


class Begun(L.Callback):
    """Knows whether a step was made since the trainer began or went on."""

    stepped = False

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.stepped = True


class Reporter(L.Callback):
    """Tells a function, at most five times a second, how far training is, and the last figures."""

    def __init__(self, progress: Progress, steps: int, interval: float = 0.2):
        self.progress = progress
        self.steps = steps
        self.interval = interval
        self.told = 0.0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if time.monotonic() - self.told > self.interval:
            self.tell(trainer)

    def on_train_end(self, trainer, pl_module) -> None:
        self.tell(trainer)

    def tell(self, trainer: L.Trainer) -> None:
        self.told = time.monotonic()
        figures = {"loss": "train_loss", "val": trainer.lightning_module.monitor}
        metrics = trainer.callback_metrics
        text = "  ".join(
            f"{short} {metrics[name].item():.2f}"
            for short, name in figures.items()
            if name in metrics
        )
        epochs = trainer.max_epochs or -1  # which `Deadline` may change
        total = epochs * int(trainer.num_training_batches) if epochs > 0 else self.steps
        self.progress(steps_done(trainer), total, text)
