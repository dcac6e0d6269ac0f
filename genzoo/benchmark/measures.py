"""Measures of a finished run beside its likelihood; each fills its part of the row.

A measure is a function and an entry in `MEASURES`. It is taken once and then kept
(`genzoo.benchmark.run.measure_missing`): a run that was finished before a measure was added gets it
in the next comparison.

Every run is measured with random numbers of its own seed: if they were the same for all, their
error would be common to all runs and not be a part of the spread over runs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from genzoo.benchmark.affordable import affordable_samples
from genzoo.benchmark.codec import from_plain
from genzoo.benchmark.row import Row
from genzoo.benchmark.tins import of_tins
from genzoo.compression.figure import AsFile, as_a_file
from genzoo.data.dataset import DataSet
from genzoo.evaluation.cost import peak_memory
from genzoo.evaluation.representation import representation
from genzoo.evaluation.results import (
    ClassFidelity,
    Memory,
    NumberFidelity,
    Quality,
    Representation,
)
from genzoo.evaluation.samples import quality
from genzoo.evaluation.samples.conditional import condition_fidelity
from genzoo.progress import Progress
from genzoo.training.two_stage import trained

# by the budget of the run: events of each split, and samples of each class
PROBED = {"quick": 300, "full": 1000, "cpu": 1000, "gpu": 1000}
EACH = {"quick": 20, "full": 50, "cpu": 50, "gpu": 100}
BATCH = 64  # events in the step whose memory is measured


@dataclass(frozen=True)
class Subject:
    """The model that is measured, with its data.

    Args:
        model: a trained model, or a baseline.
        data: the data set that it was trained on.
        folder: of its run, where a measure may store files; None of a baseline.
        progress: called with (done, total, a few words).
    """

    model: Any
    data: DataSet
    folder: Path | None = None
    progress: Progress | None = None

    def say(self, text: str) -> None:
        """Report the measurement that begins."""
        if self.progress is not None:
            self.progress(0, 1, text)


class Measure(NamedTuple):
    """A measure of finished runs.

    Args:
        name: under which a row lists it as taken.
        take: returns the row with the measured part, or unchanged where it does not apply.
        of_baselines: True if closed-form baselines are measured, too.
    """

    name: str
    take: Callable[[Row, Subject], Row]
    of_baselines: bool = False


def take(measure: Measure, row: Row, subject: Subject) -> Row:
    """The row after a measure, which it lists as taken.

    Args:
        measure: one of `MEASURES`.
        row: of the run.
        subject: its model and data.
    """
    filled = measure.take(row, subject)
    return replace(filled, measured=(*filled.measured, measure.name))


def _memory(row: Row, subject: Subject) -> Row:
    subject.say("measuring memory")
    model = subject.model
    data = subject.data
    x, c = data.train[torch.arange(min(BATCH, len(data.train)))]
    stages = trained(model, x, c, subject.folder)
    memory = Memory(batch=len(x), **peak_memory(model, x, c, stages))
    if row.cost is None:
        return row
    return replace(row, cost=replace(row.cost, memory=memory))


def _quality(row: Row, subject: Subject) -> Row:
    most = _samples(row, subject, quality.MOST[row.budget])
    entry = quality.measure(
        subject.model,
        subject.data,
        most,
        subject.folder,
        subject.progress,
        row.seed,
    )
    return replace(row, quality=from_plain(Quality, entry))


def _samples(row: Row, subject: Subject, most: int) -> int:
    """Number of samples for a measure: fewer than ``most`` if the run's minutes limit it."""
    if row.minutes is None or row.baseline:
        return most
    return affordable_samples(subject.model, subject.data, row.minutes, most)


def _representation(row: Row, subject: Subject) -> Row:
    subject.say("probing the latent")
    events = _samples(row, subject, PROBED[row.budget])  # encoding is as costly as sampling
    entry = representation(subject.model, subject.data, events, row.seed)
    entry |= of_tins(subject.model, subject.data, events, row.seed)
    return replace(row, representation=from_plain(Representation, entry))


def _condition(row: Row, subject: Subject) -> Row:
    subject.say("sampling each condition")
    each = EACH[row.budget]
    if row.conditional and subject.data.classes:
        classes = len(subject.data.classes)
        each = max(5, _samples(row, subject, each * classes) // classes)
    entry = condition_fidelity(subject.model, subject.data, each, row.seed)
    if entry is None:
        return row
    real = entry.pop("judge")
    if "per_class" in entry:
        entry["classifier"] = real
        return replace(row, condition=from_plain(ClassFidelity, entry))
    exact = entry.pop("exact")
    numbers = {"errors": entry, "exact": exact, "exact_real": real}
    return replace(row, condition=from_plain(NumberFidelity, numbers))


def _file(row: Row, subject: Subject) -> Row:
    entry = as_a_file(
        subject.model,
        subject.data,
        row.budget,
        subject.folder,
        subject.progress,
        row.seed,
    )
    if entry is None:
        return row
    if "reason" in entry:
        return replace(row, file_failure=entry["reason"])
    return replace(row, file=from_plain(AsFile, entry))


MEASURES: tuple[Measure, ...] = (
    Measure("memory", _memory),
    Measure("quality", _quality, of_baselines=True),
    Measure("representation", _representation),
    Measure("condition", _condition),
    Measure("file", _file, of_baselines=True),
)
