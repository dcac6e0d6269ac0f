"""Training, the same for every family: Lightning's loop, averaged weights, the best by validation,
exact resumption.

Training goes in rounds of about ``check_every`` steps. After each, the averaged weights are
validated, and everything that the future depends on is written to ``last.ckpt``: weights,
optimiser, schedule, averages, patience, random state. An interrupted run that is started again
therefore ends with the same weights, bit for bit, as one that was not.
"""

import csv
import logging
import math
import signal
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.distributions import Distribution

from genzoo import files, serialization
from genzoo.data.dataset import Data, DataSet
from genzoo.errors import InputError
from genzoo.model import GenerativeModel, Likelihood, Trainable, drawing_from
from genzoo.progress import Report
from genzoo.training.averaging import WIDEST, power_average
from genzoo.training.callbacks import Clock, Guard, Patience, Progress, RandomState
from genzoo.training.checkpoints import with_whole_checkpoints

SMALL = 2**30  # bytes; a data set below lives on the training device
MOST_DRAWS = 32  # of a held-out event at a check
FRESH_SEED, FRESH_REPEATS = 2**32 - 1, 4  # of the draws that validate the chosen weights once more


@dataclass(frozen=True)
class Fitted:
    """What came out of `fit`.

    ``seconds`` include those of earlier, interrupted calls; ``best_step`` and ``validation``, the
    value of what the model's ``monitor`` names (nats per event, of flow matching its loss), belong
    to the weights that ``model`` holds, and are None where nothing was there to choose by. The
    weights were the best by draws that were the same at each check; ``validation`` is of fresh
    ones, so that it is not lower for having been chosen by (`validated`).
    """

    model: Any
    seconds: float
    steps: int
    best_step: int | None
    validation: float | None
    stopped_early: bool


def fit(
    model: Trainable,
    data: DataSet,
    folder: str | Path | None = None,
    *,
    steps: int = 1000,
    batch_size: int = 64,
    seed: int = 0,
    average: float = 0.03,
    patience: int = 10,
    check_every: int = 100,
    augment: float = 0.0,
    jitter: float = 0.0,
    progress: Report | None = None,
    **trainer_options: Any,
) -> Fitted:
    """Train ``model`` on ``data`` in place, and leave it with its best averaged weights, in
    evaluation mode.

    Args:
        folder: where checkpoints and ``log.csv`` go; a run that was interrupted there is resumed.
            None keeps nothing.
        steps: batches to train on, rounded up to whole rounds.
        batch_size: events in a batch.
        seed: of everything random in training (initial weights are the caller's).
        average: width of the running average of the weights, as a share of the steps so far,
            however many they are (`genzoo.training.averaging`); 0 for the last weights alone.
        patience: rounds without a better validation figure before training stops.
        check_every: steps of a round, to the nearest whole passes over the data where it is small.
        augment: share of training images that are shifted by up to one pixel each way.
        jitter: standard deviation of Gaussian noise on real-valued training events, at most 1.
        progress: called with (steps done, steps in all, a few words) a few times a second.
        trainer_options: for `lightning.Trainer`, such as ``accelerator``, ``devices``,
            ``strategy``. Of several processes, each trains on its share of the data, in batches of
            ``batch_size``.

    Raises:
        InputError: model and data do not fit each other, or ``folder`` holds another model's
            checkpoint.
        TrainingError: the loss is no longer finite. The last good checkpoint, if there is one,
            stays in ``folder``.
    """
    refuse_retired(trainer_options)
    check_settings(
        steps=steps,
        batch_size=batch_size,
        patience=patience,
        check_every=check_every,
        average=average,
        augment=augment,
        jitter=jitter,
        seed=seed,
        lr=model.lr,
    )
    check_fit(model, data)
    monitor = (
        model.monitor if model.likelihood != Likelihood.NONE and len(data.validation) else None
    )
    clock, options = Clock(), _options(model, trainer_options)
    with _kept(folder) as kept, quiet():
        processes = _processes(options)
        share = max(1, len(data.train) // processes)
        batch_size = min(batch_size, share)
        rounds = Rounds.plan(share, batch_size, steps, check_every)
        trained = processes * rounds.events(batch_size)
        model.check_draws = affordable_draws(trained, len(data.validation))
        best, last = _checkpoints(kept, monitor, rounds)
        told = [] if progress is None else [Progress(progress, rounds.steps)]
        guards = [Guard(None if folder is None else kept), *_guards(monitor, patience, average)]
        callbacks = [clock, *guards, *([best] if best else []), last, *told]
        L.seed_everything(seed, verbose=False)
        trainer = _trainer(kept, rounds, callbacks, options)
        _let_players_take_turns(model, trainer)
        if trainer.is_global_zero:
            files.discard_drafts(kept)
        batches = Data(_on_device(data, trainer), batch_size, augment, jitter)
        _run(trainer, model, batches, _resumable(model, kept / "last.ckpt"))
        written = Path(last.dirpath or kept)  # by the first process, whichever this one is
        final = _read(written / "last.ckpt")
        chosen = _read(written / "best.ckpt") if best else final
        if trainer.is_global_zero:
            gather_log(kept)
        trainer.strategy.barrier()  # or the first would remove what the others have yet to read
    model.load_state_dict(chosen["state_dict"])
    model.eval()
    validation = None
    if best and isinstance(model, GenerativeModel):
        validation = validated(model, data, trainer.strategy.root_device)
    done = final["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"]
    return Fitted(
        model=model,
        seconds=final["callbacks"][clock.state_key]["seconds"],
        steps=done,
        best_step=(chosen["epoch"] + 1) * rounds.batches if best else None,
        validation=validation,
        stopped_early=done < rounds.steps,
    )


def affordable_draws(trained: int, held_out: int) -> int:
    """Draws of each held-out event, so that a check costs about a tenth of the round before it.

    Args:
        trained: events that a round trains on, each at the cost of three draws: one pass forward,
            and twice that backward.
        held_out: events of the validation split.
    """
    return min(MOST_DRAWS, max(1, round(0.1 * 3 * trained / max(1, held_out))))


def validated(model: GenerativeModel, data: DataSet, device: torch.device) -> float:
    """The mean of ``validation_loss`` over the validation split, by draws that chose nothing.

    The least of many noisy figures is too low: it was least partly because its draws were lucky.
    """
    repeats = 1 if model.likelihood == Likelihood.EXACT else FRESH_REPEATS
    with drawing_from(FRESH_SEED, device):
        figures = [_validation(model.to(device), data, device) for _ in range(repeats)]
    model.to("cpu")
    return sum(figures) / repeats


@torch.no_grad()
def _validation(model: GenerativeModel, data: DataSet, device: torch.device) -> float:
    model.eval()  # as Lightning does when a check begins
    losses = []
    for x, c in Data(data).val_dataloader():
        x, c = model.prepare((x.to(device), None if c is None else c.to(device)))
        losses.append(model.validation_loss(x, c, model.validation_draws))
    return torch.cat(losses).double().mean().item()


@contextmanager
def _kept(folder: str | Path | None) -> Iterator[Path]:
    """``folder``, made if need be, or one that is gone in the end."""
    if folder is None:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
    else:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield Path(folder)


@dataclass(frozen=True)
class Rounds:
    """How ``steps`` become Lightning's epochs: ``batches`` in each, a round is ``every`` of them,
    ``epochs`` in all.
    """

    batches: int
    every: int
    epochs: int

    @classmethod
    def plan(cls, events: int, batch_size: int, steps: int, check_every: int) -> "Rounds":
        """Large data: an epoch is ``check_every`` batches. Small data: it is a pass, and a round is
        a few of those.
        """
        batches = min(max(1, events // batch_size), check_every, steps)
        epochs = math.ceil(steps / batches)
        every = min(max(1, round(check_every / batches)), epochs)
        return cls(batches, every, math.ceil(epochs / every) * every)

    @property
    def steps(self) -> int:
        return self.batches * self.epochs

    def events(self, batch_size: int) -> int:
        """Events that a round trains on."""
        return self.batches * self.every * batch_size


COUNTS, SHARES = ("steps", "batch_size", "patience", "check_every"), ("augment", "jitter")
RETIRED = {  # what `fit` once took, and what stands in its place
    "ema": "Weights are now averaged relative to the length of the run: give average, the width of "
    "the average as a share of the steps so far (0.03, say), instead of a decay per step."
}


def refuse_retired(given: Iterable[str]) -> None:
    """Raise `InputError` for a setting that `fit` no longer has, and say what replaced it."""
    for name in given:
        if name in RETIRED:
            raise InputError(f"Training has no setting {name!r} any more. {RETIRED[name]}")


def check_settings(**settings: Any) -> None:
    """Raise `InputError` for a setting of `fit`, a seed or a learning rate that is out of range."""
    for name, value in settings.items():
        if name in COUNTS and not (isinstance(value, int) and value >= 1):
            raise InputError(f"{name} must be a whole number of at least 1, got {value!r}.")
        if name in SHARES and not (isinstance(value, float | int) and 0 <= value <= 1):
            raise InputError(f"{name} must be between 0 and 1, got {value!r}.")
        if name == "average" and not (isinstance(value, float | int) and 0 <= value <= WIDEST):
            raise InputError(f"average must be between 0 and {WIDEST}, got {value!r}.")
        if name == "seed" and not (isinstance(value, int) and 0 <= value < 2**32):
            raise InputError(f"seed must be a whole number from 0 to {2**32 - 1}, got {value!r}.")
        if name == "lr" and not (isinstance(value, float | int) and 0 < value < math.inf):
            raise InputError(f"lr must be a number above 0, got {value!r}.")


def check_fit(model: Trainable, data: DataSet) -> None:
    """Raise `InputError` unless ``model`` can model the events and the conditions of ``data``."""
    name, shape = type(model).__name__, data.event_shape
    if model.event_shape != shape:
        raise InputError(
            f"This {name} models events of shape {model.event_shape}, but {data.name} has {shape}."
        )
    if model.levels != data.levels:
        levels = f"{model.levels} levels, but {data.name} has {data.levels} (0: real-valued)"
        raise InputError(f"This {name} models {levels}.")
    if model.condition and model.condition != data.condition:
        raise InputError(
            f"This {name} takes conditions of width {model.condition}, but those of {data.name} have {data.condition}."
        )
    if isinstance(model, GenerativeModel):
        for split in (data.train, data.validation, data.test):
            _check_events(model, split.x, data.name)


def _check_events(model: GenerativeModel, x: Tensor, name: str) -> None:
    try:
        for part in x.split(1000):
            model.require_events(part)
    except ValueError as error:
        raise InputError(f"{name} has events of another kind. {error}") from error


def _guards(monitor: str | None, patience: int, average: float) -> list[L.Callback]:
    """What watches over every training: the random state, averaged weights, patience."""
    averages = WeightAveraging(multi_avg_fn=power_average(average), use_buffers=False)
    guards: list[L.Callback] = [RandomState(), averages]
    if monitor:
        guards.append(
            Patience(monitor, patience=patience, check_finite=False, check_on_train_epoch_end=False)
        )
    return guards


def _checkpoints(
    folder: Path, monitor: str | None, rounds: Rounds
) -> tuple[ModelCheckpoint | None, ModelCheckpoint]:
    """Best by ``monitor``, and the last; in this order, so that the last knows the best of its own
    round.
    """
    common: dict[str, Any] = {
        "dirpath": folder,
        "every_n_epochs": rounds.every,
        "enable_version_counter": False,
        "save_on_train_epoch_end": False,
    }
    best = ModelCheckpoint(filename="best", monitor=monitor, **common) if monitor else None
    return best, ModelCheckpoint(filename="last", **common)


def _trainer(
    folder: Path, rounds: Rounds, callbacks: list[L.Callback], options: dict[str, Any]
) -> L.Trainer:
    """Lightning's loop, in rounds, with a log in ``folder``."""
    return L.Trainer(
        max_epochs=rounds.epochs,
        limit_train_batches=rounds.batches,
        check_val_every_n_epoch=rounds.every,
        logger=CSVLogger(folder, name="log"),
        callbacks=callbacks,
        **options,
    )


def _options(model: Trainable, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the Trainer: one device of the best kind, quiet, and whatever the caller wants
    otherwise.
    """
    ours: dict[str, Any] = {
        "accelerator": best_accelerator(),
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 10,
    }
    if (
        model.automatic_optimization
    ):  # Lightning refuses to clip for a model that steps its optimisers by hand
        ours["gradient_clip_val"] = 5.0
    return ours | given | {"plugins": with_whole_checkpoints(given.get("plugins"))}


def _processes(options: dict[str, Any]) -> int:
    """How many processes will train, each on its share of the data: a Trainer knows."""
    if options["devices"] == 1 and options.get("num_nodes", 1) == 1:
        return 1
    return L.Trainer(**options, logger=False, enable_checkpointing=False).world_size


def _let_players_take_turns(model: Trainable, trainer: L.Trainer) -> None:
    """Tell DDP, which waits for every gradient, that a pass of a game has those of one player."""
    if isinstance(trainer.strategy, DDPStrategy) and not model.automatic_optimization:
        trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def best_accelerator() -> str:
    """A GPU of CUDA's kind if there is one, else the CPU.

    Not Apple's: it has no float64, which a spline's inverse and annealing cannot do without.
    """
    return "cuda" if torch.cuda.is_available() else "cpu"


def _on_device(data: DataSet, trainer: L.Trainer) -> DataSet:
    """A small data set moves to the training device once, instead of batch by batch."""
    device = trainer.strategy.root_device
    if device.type == "cpu" or data.train.x.nbytes > SMALL:
        return data
    return replace(
        data,
        train=data.train.to(device),
        validation=data.validation.to(device),
        test=data.test.to(device),
    )


def _resumable(model: Trainable, path: Path) -> Path | None:
    """The checkpoint to go on from, if there is one, and if it is this model's."""
    if not path.is_file():
        return None
    try:
        config = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["genzoo"]
    except Exception as error:
        raise InputError(
            f"{path} is corrupt, so this run cannot be resumed: delete it to start afresh."
        ) from error
    if serialization.completed(config) != model.config():
        other = (
            f"another {config['family']}"
            if config["family"] == type(model).__name__
            else f"a {config['family']}"
        )
        raise InputError(
            f"{path} belongs to {other}: choose another folder, or delete it to start afresh."
        )
    return path


def _read(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, map_location="cpu", weights_only=True)


def _run(trainer: L.Trainer, model: Trainable, batches: Data, resume: Path | None) -> None:
    """Lightning ends the whole program on Ctrl-C; here it stays an exception, and the checkpoints
    stay.
    """
    model.train()
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with _unchecked_distributions():
            trainer.fit(model, batches, ckpt_path=resume, weights_only=True)
    except SystemExit as stop:
        signal.signal(signal.SIGINT, on_interrupt)  # Lightning leaves it switched off
        raise KeyboardInterrupt from stop
    except OSError as error:  # a full disk, say, which Lightning reports of a temporary file
        raise OSError(error.errno, error.strerror, str(trainer.loggers[0].save_dir)) from error


@contextmanager
def _unchecked_distributions() -> Iterator[None]:
    """Let NaN pass through distributions into the loss, where `Guard` finds it for every family.

    Their own check would end the run first, with a ValueError that prints a whole tensor. (On a GPU
    it also waits for the device, at every use of a distribution.)
    """
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


# ---------------------------------------------------------------------------- what Lightning leaves


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's tips and its notes about hardware out of the way; errors and other warnings
    still show.
    """
    loggers = [
        logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for note in CHATTER:
                warnings.filterwarnings("ignore", note)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


CHATTER = (
    ".*does not have many workers",
    ".*is smaller than the logging interval",
    ".*Checkpoint directory .* exists and is not empty",
    ".*GPU available but not used",
    ".*Experiment logs directory",
    ".*LeafSpec",
    ".*isinstance.treespec",
)


def _whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log, but for a last one that a full disk or a kill has cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))


def gather_log(folder: Path) -> None:
    """Join the logs of a run and of its resumptions, ``log/version_*/metrics.csv``, into one
    ``log.csv``.
    """
    rows: list[dict[str, str]] = []
    for path in sorted(
        folder.glob("log/version_*/metrics.csv"), key=lambda p: int(p.parent.name.split("_")[1])
    ):
        part = _whole_rows(path)
        if part:  # what a resumed run repeats, the interrupted one had logged but not yet saved
            rows = [row for row in rows if int(row["step"]) < int(part[0]["step"])] + part
    if (
        not rows and (folder / "log.csv").is_file()
    ):  # a run that was finished before has nothing to add
        files.remove(folder / "log")
        return
    columns = list(dict.fromkeys(["epoch", "step", *(name for row in rows for name in row)]))
    with files.whole(folder / "log.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    files.remove(folder / "log")
