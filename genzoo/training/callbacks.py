"""What `genzoo.fit` adds to Lightning's loop: a clock, a guard, patience, an exact random state,
and news of progress.

Each keeps what the future depends on in the checkpoint, so that a resumed run goes on as if nothing
had happened.
"""

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping

from genzoo.errors import TrainingError
from genzoo.progress import Report


def steps_done(trainer: L.Trainer) -> int:
    """Batches trained on, the present one included. (``global_step`` counts steps of optimisers: a
    GAN takes two a batch.)
    """
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


class Clock(L.Callback):
    """Seconds of training, those before an interruption included."""

    def __init__(self):
        self.earlier, self.started = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.earlier = state_dict["seconds"]


class Guard(L.Callback):
    """Stops a run whose logged figures are no longer finite, before they reach a checkpoint.

    Args:
        folder: where checkpoints are kept; None where none is.
    """

    EVERY = 10

    def __init__(self, folder: Path | None = None):
        self.folder = folder

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if batch_idx % self.EVERY == 0 or trainer.is_last_batch:
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
        """What there is to go back to."""
        if self.folder is None:
            return ""
        if (self.folder / "last.ckpt").is_file():
            return "; the last good checkpoint is kept"
        return "; there is no checkpoint yet"


class Patience(EarlyStopping):
    """Stops when validation has not improved for a while, and at once if that was so when the run
    was interrupted.
    """

    def on_train_start(self, trainer, pl_module) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class RandomState(L.Callback):
    """Puts torch's random state into the checkpoint, and back when the next epoch begins: resumed
    runs are exact.
    """

    def __init__(self):
        self.pending: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return self.pending or {"cpu": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.pending = state_dict

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if self.pending is not None:
            torch.set_rng_state(self.pending["cpu"].cpu())
            if self.pending["cuda"]:
                torch.cuda.set_rng_state_all([state.cpu() for state in self.pending["cuda"]])
            self.pending = None


class Progress(L.Callback):
    """Tells a function, at most five times a second, how far training is and what the last figures
    were.
    """

    def __init__(self, report: Report, steps: int, interval: float = 0.2):
        self.report, self.steps, self.interval, self.told = report, steps, interval, 0.0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if time.monotonic() - self.told > self.interval:
            self.tell(trainer)

    def on_train_end(self, trainer, pl_module) -> None:
        self.tell(trainer)

    def tell(self, trainer: L.Trainer) -> None:
        self.told = time.monotonic()
        figures, metrics = (
            {"loss": "train_loss", "val": trainer.lightning_module.monitor},
            trainer.callback_metrics,
        )
        text = "  ".join(
            f"{short} {metrics[name].item():.2f}"
            for short, name in figures.items()
            if name in metrics
        )
        self.report(steps_done(trainer), self.steps, text)
