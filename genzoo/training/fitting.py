"""Training, the same for every family.

Lightning's loop, averaged weights, the best by validation, exact resumption.

Training goes in rounds of about ``check_every`` steps. After each, the averaged weights are
validated, and everything that the future depends on is written to ``last.ckpt``: weights,
optimiser, schedule, averages, patience, random state. An interrupted run that is started again
therefore ends with the same weights, bit for bit, as one that was not.
"""

import copy
import csv
import json
import logging
import math
import random
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger
from torch.distributions import Distribution

from genzoo import files, serialization
from genzoo.data.dataset import Data, DataSet, Split
from genzoo.errors import InputError, TrainingError, too_large
from genzoo.gate import tensors
from genzoo.gate.limits import BATCH
from genzoo.gate.schema import Range, check, short
from genzoo.gate.text import of_run
from genzoo.model import GenerativeModel, Likelihood, Trainable, drawing_from
from genzoo.optim import OptimizerFactory, SchedulerFactory, optimizer_of
from genzoo.progress import Progress
from genzoo.training.averaging import WIDEST, Averages
from genzoo.training.callbacks import (
    Begun,
    Clock,
    Deadline,
    Reporter,
    Stopwatch,
    TimedLog,
    best_checkpoint,
    chosen_by,
    watchers,
    without_idle_hooks,
)
from genzoo.training.checkpoints import with_whole_checkpoints
from genzoo.training.precision import (
    FULL,
    Layout,
    channels_last,
    check_precision,
    compiled,
    runs_as,
    trainer_arguments,
)
from genzoo.training.processes import Hardware, in_processes, one_cause, rank, share_rightly
from genzoo.training.sharding import check_sharded

SMALL = 2**30  # bytes; a data set below lives on the training device
MOST_CHECKED = 10_000  # events of a stream that are checked before training
MOST_DRAWS = 32  # of a held-out event at a check
FRESH_SEED = 2**32 - 1  # of the draws that validate the chosen weights once more
FRESH_REPEATS = 4
FRESH_DRAWS = 20_000  # of all events together; there are no more repeats than make up these
LENGTH = "length.json"  # in a run's folder: the steps that its minutes were found to be
REHEARSED = 0.05  # share of a run's minutes that timing its first steps may take
MOST_REHEARSED = 10.0  # seconds
# of a run by the clock, which can end at a check only: with eight it ends within 15 % of its time
# even if the machine becomes twice as fast or half as fast on the way
FEWEST_CHECKS = 8


@dataclass(frozen=True)
class Fitted:
    """The result of `fit`.

    Attributes:
        model: the one that was given, with its best weights.
        seconds: of training, those of earlier, interrupted calls included.
        steps: batches that were trained on.
        planned: batches that the run was to have.
        best_step: after how many batches the weights were those that the model has now; None where
            nothing was there to choose by.
        validation: what the model's ``monitor`` names (nats per event; of flow matching its loss),
            of these weights. They were the best by draws that were the same at each check; this
            figure is of fresh draws, so that it is not lower for having been chosen by
            (`validated`).
        precision: what the networks computed in while they were trained: that which was asked for,
            or "32" where the processor has no bfloat16.
        stopped_early: whether patience ended the run.
    """

    model: Any
    seconds: float
    steps: int
    planned: int
    best_step: int | None
    validation: float | None
    precision: str = FULL

    @property
    def stopped_early(self) -> bool:
        return self.steps < self.planned


def fit(
    model: Trainable,
    data: DataSet,
    folder: str | Path | None = None,
    *,
    steps: int = 1000,
    minutes: float | None = None,
    batch_size: int = 64,
    seed: int = 0,
    average: float = 0.03,
    patience: int = 10,
    check_every: int = 100,
    augment: float = 0.0,
    jitter: float = 0.0,
    gradient_clip: float = 5.0,
    drop_condition: float | None = None,
    precision: str = FULL,
    compile: bool = False,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    strategy: Any = "auto",
    optimizer: OptimizerFactory | str | None = None,
    scheduler: SchedulerFactory | None = None,
    callbacks: Iterable[L.Callback] = (),
    logger: Logger | Iterable[Logger] | None = None,
    progress: Progress | None = None,
    **trainer_options: Any,
) -> Fitted:
    """Train ``model`` on ``data`` in place, and leave it with its best averaged weights.

    The model is in evaluation mode afterwards, and the process's random numbers are as if nothing
    had been drawn.

    Args:
        model: of any family, untrained or not.
        data: what to train on; its validation split chooses the weights.
        folder: where checkpoints and ``log.csv`` go; a run that was interrupted there is resumed.
            None keeps nothing.
        steps: batches to train on, rounded up to whole rounds.
        minutes: how long to train, in place of ``steps``. The first steps are timed, on a copy of
            the model, and a check; the number of steps follows, and is kept in ``folder``. Where
            the machine's pace turns out to be another, it is mended at a check, and so is the
            schedule (`genzoo.training.callbacks.Deadline`); a resumed run keeps to what was
            decided before.
        batch_size: events in a batch, of all processes together; of data that has fewer, all.
        seed: of everything random in training (initial weights are the caller's).
        average: width of the running average of the weights, as a share of the steps so far
            (`genzoo.training.averaging`); 0 for the last weights alone.
        patience: rounds without a better validation figure before training stops.
        check_every: steps of a round, to the nearest whole passes over the data where it is small.
        augment: share of training images that are shifted by up to one pixel each way.
        jitter: standard deviation of Gaussian noise on real-valued training events, at most 1.
        gradient_clip: largest norm of the gradient; a GAN's is not clipped.
        drop_condition: share of the conditions that training drops, in place of the model's own.
        precision: "32", or "bf16": the networks compute in bfloat16 in training steps where the
            processor can, and all that is made of their answers in full precision
            (`genzoo.training.precision`). `Fitted.precision` says what it was.
        compile: whether `torch.compile` translates the networks first, which takes a minute or so.
        accelerator: "cpu", "cuda", or "auto" for a GPU where there is one.
        devices: of each machine; they share each batch (`genzoo.training.processes`).
        nodes: machines, on each of which torchrun or SLURM starts the same script.
        strategy: how devices share the work: "auto" by DDP; "fsdp" the weights as well, of which
            no average is kept (`genzoo.training.sharding`); or a name or an object of Lightning's.
        optimizer, scheduler: in place of the model's own, see `genzoo.optim`. For an optimiser its
            name will do, "adamw" or "muon".
        callbacks: beside those of `genzoo.training.default_callbacks`.
        logger: one of Lightning's loggers, or several, beside ``log.csv``.
        progress: called with (steps done, steps in all, a few words) a few times a second.
        trainer_options: for `lightning.Trainer`.

    Raises:
        InputError: model and data do not fit each other, or ``folder`` holds another model's
            checkpoint.
        TrainingError: the loss is no longer finite, or one of several processes ended early. The
            last good checkpoint, if there is one, stays in ``folder``.
    """
    refuse_retired(trainer_options)
    check_kinds(model, data)
    settings = Settings(
        steps=steps,
        minutes=minutes,
        batch_size=batch_size,
        seed=seed,
        average=average,
        patience=patience,
        check_every=check_every,
        augment=augment,
        jitter=jitter,
        gradient_clip=gradient_clip,
        drop_condition=drop_condition,
        precision=str(precision),
        compile=compile,
        optimizer=optimizer,
        scheduler=scheduler,
        callbacks=tuple(callbacks),
        loggers=_several(logger),
        trainer_options=trainer_options,
    )
    settings.check(model)
    check_fit(model, data)
    hardware = Hardware(accelerator, devices, nodes, strategy)
    settings = replace(settings, batch_size=_shared_batch(hardware, batch_size, data))
    if hardware.starts_processes:
        return in_processes(hardware, model, data, folder, settings, progress)
    return fit_here(hardware, model, data, folder, settings, progress)


@dataclass(frozen=True)
class Settings:
    """Arguments of `fit` that do not depend on the hardware; see there."""

    steps: int
    minutes: float | None
    batch_size: int
    seed: int
    average: float | None  # None: not kept
    patience: int
    check_every: int
    augment: float
    jitter: float
    gradient_clip: float
    drop_condition: float | None
    precision: str
    compile: bool
    optimizer: OptimizerFactory | str | None
    scheduler: SchedulerFactory | None
    callbacks: tuple[L.Callback, ...]
    loggers: tuple[Logger, ...]
    trainer_options: dict[str, Any]

    def check(self, model: Trainable) -> None:
        """Raise `InputError` for a number, or a learning rate, that is out of range."""
        numbers = {name: getattr(self, name) for name in SETTINGS if hasattr(self, name)}
        check_settings(**numbers, precision=self.precision, lr=model.lr)


def fit_here(
    hardware: Hardware,
    model: Trainable,
    data: DataSet,
    folder: str | Path | None,
    settings: Settings,
    progress: Progress | None = None,
) -> Fitted:
    """`fit`, with its arguments checked, in this process, or this one's part of it.

    Args:
        hardware: on which this process and those beside it train.
        model: trained in place.
        data: what to train on.
        folder: of checkpoints and log; None keeps nothing.
        settings: the other arguments of `fit`.
        progress: as of `fit`.
    """
    _take_over(model, settings)
    worker = model  # which is trained; shares of its weights could not become a model again
    if hardware.shares_weights:
        check_sharded(model)
        worker = copy.deepcopy(model)
        settings = replace(settings, average=None)
    computed = runs_as(settings.precision, hardware.kind)
    options = _options(model, settings, hardware, computed)
    monitor = chosen_by(model) if len(data.validation) else None
    layout = nullcontext() if hardware.shares_weights else channels_last(model, model.event_shape)
    with (
        _kept(folder) as kept,
        quiet(),
        seeded(settings.seed),
        compiled(worker, settings.compile),
        layout,
    ):
        batches = _batches(_on_device(data, options), settings)
        resume = _resumable(model, kept / "last.ckpt")
        rounds = _rounds(model, batches, settings, options, monitor, kept, resume is not None)
        batches.batches = rounds.batches
        trained = rounds.events(settings.batch_size)
        worker.check_draws = affordable_draws(trained, len(data.validation))
        clock = Clock()
        best, last = _checkpoints(kept, monitor, rounds)
        saving = [last] if best is None else [best, last]
        watching = _watching(settings, clock, rounds, monitor, kept, stays=folder is not None)
        telling = [] if progress is None else [Reporter(progress, rounds.steps)]
        loggers = [TimedLog(kept, clock), *settings.loggers]
        ours = [without_idle_hooks(each) for each in (*watching, *saving, *telling)]
        trainer = _trainer(rounds, loggers, [*ours, *settings.callbacks], options)
        final, chosen = _trained(trainer, worker, batches, resume, kept, best, last)
        _fill(model, chosen, kept)
    model.eval()
    validation = None
    if best and isinstance(model, GenerativeModel):
        validation = validated(model, data, trainer.strategy.root_device)
    return Fitted(
        model=model,
        seconds=final["callbacks"][clock.state_key]["seconds"],
        steps=final["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"],
        planned=rounds.batches * (trainer.max_epochs or rounds.epochs),
        best_step=(chosen["epoch"] + 1) * rounds.batches if best else None,
        validation=validation,
        precision=computed,
    )


def _watching(
    settings: Settings,
    clock: Clock,
    rounds: "Rounds",
    monitor: str | None,
    folder: Path,
    stays: bool,
) -> list[L.Callback]:
    """Callbacks that time a training, guard it, average its weights and end it."""
    timing = [clock, Layout()]
    if settings.minutes is not None:
        timing.append(Deadline(60 * settings.minutes, clock, rounds.every, folder / LENGTH))
    kept = folder if stays else None
    guarding = watchers(monitor, kept, settings.average, settings.patience, settings.seed)
    return [*timing, *guarding]


def _trainer(
    rounds: "Rounds",
    loggers: list[Logger],
    callbacks: list[L.Callback],
    options: dict[str, Any],
) -> L.Trainer:
    """Lightning's Trainer, which checks after each round."""
    return L.Trainer(
        max_epochs=rounds.epochs,
        limit_train_batches=rounds.batches,
        check_val_every_n_epoch=rounds.every,
        logger=loggers,
        callbacks=callbacks,
        **options,
    )


def _batches(data: DataSet, settings: Settings) -> Data:
    return Data(data, settings.batch_size, settings.augment, settings.jitter, settings.seed)


def _rounds(
    model: Trainable,
    batches: Data,
    settings: Settings,
    options: dict[str, Any],
    monitor: str | None,
    folder: Path,
    resumed: bool,
) -> "Rounds":
    """The epochs of a run: of the steps asked for, or of those that fit into the minutes."""
    events, steps, check_every = len(batches.dataset.train), settings.steps, settings.check_every
    if settings.minutes is not None:
        pace = partial(_pace, model, batches, settings, options, monitor)
        length, checks = _length(settings.minutes, folder / LENGTH, resumed, check_every, pace)
        steps, check_every = Rounds.in_time(
            events, settings.batch_size, length, check_every, checks
        )
    return Rounds.plan(events, settings.batch_size, steps, check_every)


def _shared_batch(hardware: Hardware, batch_size: int, data: DataSet) -> int:
    """The events of a batch, of which there are no more than the data has.

    Each process has as many of them.
    """
    if batch_size > len(data.train):
        batch_size = len(data.train) - len(data.train) % hardware.processes
    hardware.check(batch_size)
    if 0 < len(data.validation) < hardware.processes:
        raise InputError(
            f"{data.name} has {len(data.validation)} events to validate by, fewer than processes."
        )
    return batch_size


def _take_over(model: Trainable, settings: Settings) -> None:
    """Give the model the settings of `fit` that replace its own."""
    if settings.optimizer is not None:
        model.optimizer = optimizer_of(settings.optimizer)
    if settings.scheduler is not None:
        model.scheduler = settings.scheduler
    if settings.drop_condition is not None and isinstance(model, GenerativeModel):
        model.drop_condition = settings.drop_condition


def _trained(
    trainer: L.Trainer,
    model: Trainable,
    batches: Data,
    resume: Path | None,
    folder: Path,
    best: ModelCheckpoint | None,
    last: ModelCheckpoint,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train, and read the last and the best checkpoint, which are the same if none is the best."""
    share_rightly(trainer.strategy, takes_turns=not model.automatic_optimization)
    if trainer.is_global_zero:
        files.discard_drafts(folder)
    _run(trainer, model, batches, resume)
    written = Path(last.dirpath or folder)  # by the first process, whichever this one is
    final = _read(written / "last.ckpt")
    chosen = _read(written / "best.ckpt") if best else final
    if trainer.is_global_zero:
        gather_log(folder)
    trainer.strategy.barrier()  # or the first would remove what the others have yet to read
    return final, chosen


def _several(logger: Logger | Iterable[Logger] | None) -> tuple[Logger, ...]:
    if logger is None:
        return ()
    return (logger,) if isinstance(logger, Logger) else tuple(logger)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context manager: random numbers follow from ``seed``; the old state is restored on exit."""
    python = random.getstate()
    of_numpy = np.random.get_state()
    try:
        with torch.random.fork_rng():
            L.seed_everything(seed, verbose=False)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)


# ------------------------------------------------------------------------------------ by the clock


@dataclass(frozen=True)
class Pace:
    """Seconds of a step of training, and of a check: validation and checkpoints."""

    step: float
    check: float

    def steps_in(self, seconds: float, check_every: int) -> int:
        """The steps that go into ``seconds``, with a check after each round of them.

        There are `fewest_checks` at least.
        """
        fewest = self.fewest_checks(seconds)
        steps = seconds / (self.step + self.check / check_every)
        if steps < fewest * check_every:
            steps = (seconds - fewest * self.check) / self.step
        return max(1, round(steps))

    def fewest_checks(self, seconds: float) -> int:
        """`FEWEST_CHECKS`, or as many as go into half of ``seconds``, and one at least."""
        affordable = int(seconds / 2 / self.check) if self.check else FEWEST_CHECKS
        return max(1, min(FEWEST_CHECKS, affordable))


def _length(
    minutes: float, path: Path, resumed: bool, check_every: int, pace: Callable[[float], Pace]
) -> tuple[int, int]:
    """The steps for ``minutes``, and their fewest checks, by the clock.

    They are read from ``path`` if the run is resumed.

    Args:
        minutes: asked for.
        path: of the file that keeps the number.
        resumed: whether there is a checkpoint to go on from.
        check_every: steps of a round.
        pace: measures the pace for so many seconds.
    """
    if resumed and path.is_file():
        before = _kept_length(path)
        if before["minutes"] != minutes:
            raise InputError(
                f"The run in {path.parent} was begun with minutes={before['minutes']:g}, not "
                f"{minutes:g}: choose another folder, or delete that one."
            )
        return before["steps"], before.get("checks", FEWEST_CHECKS)
    seconds = 60 * minutes
    measured = _agreed(pace(min(MOST_REHEARSED, REHEARSED * seconds)))
    steps = measured.steps_in(seconds, check_every)
    checks = measured.fewest_checks(seconds)
    about = {
        "minutes": minutes,
        "steps": steps,
        "checks": checks,
        "step": measured.step,
        "check": measured.check,
    }
    if rank() == 0:
        with files.whole(path) as draft:
            draft.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return steps, checks


def _agreed(pace: Pace) -> Pace:
    """The pace that the first of several processes has measured."""
    if not torch.distributed.is_initialized():
        return pace
    agreed = [pace]
    torch.distributed.broadcast_object_list(agreed)
    return agreed[0]


def _kept_length(path: Path) -> dict[str, Any]:
    """The length of the run that an earlier call found."""
    before = of_run(path) or {}
    needed = {"minutes": Range(0, above=True), "steps": COUNT, "checks": COUNT}
    if any(before.get(name, 1) not in allowed for name, allowed in needed.items()):
        raise InputError(f"{path} is corrupt: delete that run, or choose another folder.")
    return {"minutes": 0.0, "steps": 1, **before}


def _pace(
    model: Trainable,
    batches: Data,
    settings: Settings,
    options: dict[str, Any],
    monitor: str | None,
    seconds: float,
) -> Pace:
    """Measure the pace of training, for ``seconds``, on a copy of the model."""
    twin = copy.deepcopy(model)
    check_every, size = settings.check_every, settings.batch_size
    rounds = Rounds.plan(len(batches.dataset.train), size, check_every, check_every)
    held_out = len(batches.dataset.validation)
    twin.check_draws = affordable_draws(rounds.events(size), held_out)
    watch = Stopwatch(seconds)
    averaging = [] if settings.average is None else [Averages(settings.average)]
    with (
        torch.random.fork_rng(),
        tempfile.TemporaryDirectory() as scratch,
        compiled(twin, settings.compile),
    ):
        trainer = L.Trainer(
            max_epochs=-1,
            limit_train_batches=rounds.batches,
            limit_val_batches=0,
            logger=CSVLogger(scratch),
            enable_checkpointing=False,
            callbacks=[watch, *averaging],
            **options,
        )
        _run(trainer, twin, batches, None)
        begin = time.perf_counter()
        trainer.save_checkpoint(Path(scratch) / "last.ckpt")
        saving = time.perf_counter() - begin
        if monitor is None:
            return Pace(watch.seconds_per_step, saving)
        checker = L.Trainer(**options, logger=False, enable_checkpointing=False)
        begin = time.perf_counter()
        checker.validate(twin, batches, verbose=False)
        validating = time.perf_counter() - begin
        return Pace(watch.seconds_per_step, validating + 2 * saving)  # the last, and the best


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

    Args:
        model: with its chosen weights.
        data: that it was trained on.
        device: to compute on; the model is on the CPU afterwards.
    """
    draws = len(data.validation) * model.validation_draws
    repeats = max(1, min(FRESH_REPEATS, FRESH_DRAWS // draws))
    if model.likelihood == Likelihood.EXACT:
        repeats = 1
    with drawing_from(FRESH_SEED, device):
        figures = [_validation(model.to(device), data, device) for _ in range(repeats)]
    model.to("cpu")
    return sum(figures) / repeats


@torch.no_grad()
def _validation(model: GenerativeModel, data: DataSet, device: torch.device) -> float:
    model.eval()  # as Lightning does when a check begins
    losses = []
    for x, c in Data(data).val_dataloader():
        if c is not None:
            c = c.to(device)
        x, c = model.prepare((x.to(device), c))
        losses.append(model.validation_loss(x, c, model.validation_draws))
    return torch.cat(losses).double().mean().item()


@contextmanager
def _kept(folder: str | Path | None) -> Iterator[Path]:
    """``folder``, created if it is missing, or a temporary one."""
    if folder is None:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
    else:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield Path(folder)


@dataclass(frozen=True)
class Rounds:
    """Steps as Lightning's epochs.

    Args:
        batches: in each epoch.
        every: epochs of a round, after which there is a check.
        epochs: in all.
    """

    batches: int
    every: int
    epochs: int

    @classmethod
    def plan(cls, events: int, batch_size: int, steps: int, check_every: int) -> "Rounds":
        """Of large data an epoch is ``check_every`` batches; of small data it is a pass.

        Args:
            events: in the training split.
            batch_size: of them.
            steps: batches to train on at least.
            check_every: batches of a round, about.
        """
        batches = min(max(1, events // batch_size), check_every, steps)
        epochs = math.ceil(steps / batches)
        every = min(max(1, round(check_every / batches)), epochs)
        return cls(batches, every, math.ceil(epochs / every) * every)

    @classmethod
    def in_time(
        cls, events: int, batch_size: int, steps: int, check_every: int, checks: int = FEWEST_CHECKS
    ) -> tuple[int, int]:
        """Settings ``(steps, check_every)`` of a plan whose whole rounds come nearest to ``steps``.

        `plan` rounds up, which is too long by up to a round. A run by the clock has rounds of
        about ``check_every`` steps, or shorter, so that there are so many ``checks`` where the
        steps allow it.

        Args:
            events: in the training split.
            batch_size: of them.
            steps: that fit into the time.
            check_every: batches of a round, about.
            checks: that there are at least.
        """
        fewest = max(min(checks, steps), round(steps / check_every))
        a_pass = max(1, events // batch_size)
        settings = []
        for checks in range(fewest, fewest + fewest // 2 + 1):
            in_round = max(1, steps // checks)
            if in_round > a_pass:
                in_round = a_pass * max(1, round(steps / checks / a_pass))
            settings.append((in_round * max(1, round(steps / in_round)), in_round))
        return min(settings, key=lambda each: abs(each[0] - steps))

    @property
    def steps(self) -> int:
        return self.batches * self.epochs

    def events(self, batch_size: int) -> int:
        """Events that a round trains on."""
        return self.batches * self.every * batch_size


COUNT = Range(1, whole=True)
SHARE = Range(0, 1)
OPTIONAL = ("minutes", "drop_condition")  # settings that may be None
SETTINGS = {
    "steps": COUNT,
    "batch_size": Range(1, BATCH.most, whole=True),
    "patience": COUNT,
    "check_every": COUNT,
    "minutes": Range(0, above=True),
    "average": Range(0, WIDEST),
    "augment": SHARE,
    "jitter": SHARE,
    "drop_condition": SHARE,
    "gradient_clip": Range(0, above=True),
    "seed": Range(0, 2**32 - 1, whole=True),
    "lr": Range(0, above=True),
}
RETIRED = {  # former arguments of `fit`, and their replacements
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
    given = {}
    for name, value in settings.items():
        if value is not None or name not in OPTIONAL:
            given[name] = value
    check(SETTINGS, **given)
    translated = settings.get("compile", False)
    if not isinstance(translated, bool):
        raise InputError(f"compile must be true or false, got {short(translated)}.")
    if "precision" in settings:
        check_precision(str(settings["precision"]))


def check_kinds(model: Any, data: Any) -> None:
    """Raise `InputError` unless ``model`` is one that `fit` trains, and ``data`` a data set."""
    if not isinstance(model, Trainable):
        raise InputError(
            f"fit trains models such as genzoo.VAE, got {short(model)}: a class of yours derives "
            "from genzoo.GenerativeModel."
        )
    if not isinstance(data, DataSet):
        raise InputError(
            f"fit trains on a data set, got {short(data)}: genzoo.data.load makes one of a name or "
            "a path, genzoo.data.DataSet.from_arrays of arrays."
        )


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
            f"This {name} takes conditions of width {model.condition}, but those of {data.name} "
            f"have {data.condition}."
        )
    if not len(data.train):
        raise InputError(f"{data.name} has no events to train on.")
    if isinstance(model, GenerativeModel):
        for split in (data.train, data.validation, data.test):
            _check_events(model, split, data.name)


def _check_events(model: GenerativeModel, split: Split, name: str) -> None:
    held = split if split.in_memory else split.some(MOST_CHECKED)
    try:
        for rows in torch.arange(len(held)).split(1000):
            model.require_batch(*held[rows.to(held.x.device)])
    except ValueError as error:
        raise InputError(f"{name} has events of another kind. {error}") from error


def _checkpoints(
    folder: Path, monitor: str | None, rounds: Rounds
) -> tuple[ModelCheckpoint | None, ModelCheckpoint]:
    """Best by ``monitor``, and the last.

    In this order, so that the last knows the best of its own round.
    """
    common: dict[str, Any] = {
        "every_n_epochs": rounds.every,
        "enable_version_counter": False,
        "save_on_train_epoch_end": False,
    }
    best = best_checkpoint(folder, monitor, **common) if monitor else None
    return best, ModelCheckpoint(folder, filename="last", **common)


def _options(
    model: Trainable, settings: Settings, hardware: Hardware, computed: str
) -> dict[str, Any]:
    """Options of the Trainer: the devices, quiet, and what the caller wants."""
    ours: dict[str, Any] = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 10,
    }
    # Lightning refuses to clip for a model that steps its optimisers by hand.
    if model.automatic_optimization:
        ours["gradient_clip_val"] = settings.gradient_clip
    chosen = hardware.trainer_arguments() | trainer_arguments(computed)
    given = settings.trainer_options
    plugins = [*chosen.pop("plugins", []), *with_whole_checkpoints(given.get("plugins"))]
    return ours | chosen | given | {"plugins": plugins}


def best_accelerator() -> str:
    """A GPU of CUDA's kind if there is one, else the CPU."""
    return Hardware().kind


def _on_device(data: DataSet, options: dict[str, Any]) -> DataSet:
    """A small data set moves to the training device once, instead of batch by batch."""
    small = data.train.in_memory and data.train.x.nbytes <= SMALL
    if options["accelerator"] == "cpu" or not small:
        return data
    device = L.Trainer(**options, logger=False, enable_checkpointing=False).strategy.root_device
    return replace(
        data,
        train=data.train.to(device),
        validation=data.validation.to(device),
        test=data.test.to(device),
    )


AFRESH = "so this run cannot be resumed: delete it to start afresh."
NEEDED = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch"}
NEEDED |= {"global_step", "pytorch-lightning_version"}


def _resumable(model: Trainable, path: Path) -> Path | None:
    """The checkpoint to go on from, if there is one, and if it is this model's."""
    if not path.is_file():
        return None
    try:
        checkpoint = tensors.checkpoint(path, mapped=True)
        config, there = dict(checkpoint["genzoo"]), set(checkpoint)
    except InputError:  # too large
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is corrupt, {AFRESH}") from error
    if not there >= NEEDED or "family" not in config or not checkpoint["optimizer_states"]:
        raise InputError(f"{path} is no checkpoint of a training, {AFRESH}")
    if serialization.completed(config) != serialization.completed(model.config()):
        other = (
            f"another {config['family']}"
            if config["family"] == type(model).__name__
            else f"a {config['family']}"
        )
        raise InputError(
            f"{path} belongs to {other}: choose another folder, or delete it to start afresh."
        )
    return path


def _fill(model: Trainable, chosen: dict[str, Any], folder: Path) -> None:
    """Give ``model`` the weights that were chosen, if they are its own."""
    try:
        model.load_state_dict(chosen["state_dict"])
    except (RuntimeError, TypeError) as error:
        if too_large(error):
            raise
        raise InputError(
            f"The weights of the checkpoints in {folder} do not fit this {type(model).__name__}: "
            "delete them to start afresh."
        ) from error


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        content = tensors.checkpoint(checkpoint)
        if not content.keys() >= NEEDED or not isinstance(content["epoch"], int):
            raise ValueError("no checkpoint of a training")
        return content
    except InputError:  # too large
        raise
    except ValueError as error:
        raise InputError(f"{checkpoint} is corrupt, {AFRESH}") from error


def _run(trainer: L.Trainer, model: Trainable, batches: Data, resume: Path | None) -> None:
    """Train by Lightning, which would end the program on Ctrl-C; here that stays an exception.

    Raises:
        InputError: ``resume`` holds something else than this training beside the weights.
    """
    model.train()
    on_interrupt = signal.getsignal(signal.SIGINT)
    begun = Begun()
    trainer.callbacks.append(begun)  # type: ignore[attr-defined]
    try:
        with _unchecked_distributions(), one_cause():
            trainer.fit(model, batches, ckpt_path=resume, weights_only=True)
    except TrainingError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if resume is None or begun.stepped or too_large(error):
            raise
        raise InputError(f"{resume} does not fit this training, {AFRESH}") from error
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


# -------------------------------------------------------------------- Lightning's messages and logs


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's tips and its notes about hardware out of the way.

    Errors and other warnings still show.
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
    ".*`broadcast_buffers` is deprecated",
    ".*functional.all_gather is deprecated",
    ".*returned a view tensor",
)


def _whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log, without a last one that a full disk or a kill has cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))


def gather_log(folder: Path) -> None:
    """Join the logs of a run and of its resumptions into one ``log.csv``.

    They are ``log/version_*/metrics.csv``.
    """
    rows: list[dict[str, str]] = []
    parts = folder.glob("log/version_*/metrics.csv")
    for path in sorted(parts, key=lambda path: int(path.parent.name.split("_")[1])):
        part = _whole_rows(path)
        if part:  # it repeats steps that the interrupted run had logged but not yet saved
            first = int(part[0]["step"])
            rows = [row for row in rows if int(row["step"]) < first]
            rows += part
    if not rows and (folder / "log.csv").is_file():  # a finished run has nothing to add
        files.remove(folder / "log")
        return
    columns = list(dict.fromkeys(["epoch", "step", *(name for row in rows for name in row)]))
    with files.whole(folder / "log.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    files.remove(folder / "log")
