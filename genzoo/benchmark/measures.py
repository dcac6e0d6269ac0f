"""What is measured of a finished run beside its likelihood: each measure fills its part of the row.

A measure is a function and an entry in `MEASURES`. It is taken once and then kept
(`genzoo.benchmark.run.measure_missing`): a run that was finished before a measure came gets it when
it is next compared.

Every run is measured with random numbers of its own, drawn by its seed: were they the same for all,
their luck would be shared and not show in the spread over runs.
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

PROBED = {"quick": 300, "full": 1000}  # events of each split, by the budget of the run
EACH = {"quick": 20, "full": 50}  # samples of each class
BATCH = 64  # events in the step whose memory is measured


@dataclass(frozen=True)
class Subject:
    """What a measure is taken of.

    Args:
        model: a trained model, or a baseline.
        data: what it was trained on.
        folder: of its run, where a measure may leave files; None of a baseline.
        progress: called with (done, total, a few words).
    """

    model: Any
    data: DataSet
    folder: Path | None = None
    progress: Progress | None = None

    def say(self, text: str) -> None:
        """Report what is being measured."""
        if self.progress is not None:
            self.progress(0, 1, text)


class Measure(NamedTuple):
    """A measure of finished runs.

    Args:
        name: by which a row remembers that it was taken.
        take: the row with the part that was measured, or as it was where it does not apply.
        of_baselines: whether closed-form baselines have it too.
    """

    name: str
    take: Callable[[Row, Subject], Row]
    of_baselines: bool = False


def take(measure: Measure, row: Row, subject: Subject) -> Row:
    """The row with what ``measure`` found, which it remembers to have."""
    found = measure.take(row, subject)
    return replace(found, measured=(*found.measured, measure.name))


def _memory(row: Row, subject: Subject) -> Row:
    subject.say("measuring memory")
    model, data = subject.model, subject.data
    x, c = data.train[torch.arange(min(BATCH, len(data.train)))]
    stages = trained(model, x, c, subject.folder)
    memory = Memory(batch=len(x), **peak_memory(model, x, c, stages))
    return row if row.cost is None else replace(row, cost=replace(row.cost, memory=memory))


def _quality(row: Row, subject: Subject) -> Row:
    most = _samples(row, subject, quality.MOST[row.budget])
    found = quality.measure(
        subject.model,
        subject.data,
        most,
        subject.folder,
        subject.progress,
        row.seed,
    )
    return replace(row, quality=from_plain(Quality, found))


def _samples(row: Row, subject: Subject, most: int) -> int:
    """How many samples a measure draws: fewer where the run's minutes allow no more."""
    if row.minutes is None or row.baseline:
        return most
    return affordable_samples(subject.model, subject.data, row.minutes, most)


def _representation(row: Row, subject: Subject) -> Row:
    subject.say("probing the latent")
    events = _samples(row, subject, PROBED[row.budget])  # encoding is as costly as drawing
    found = representation(subject.model, subject.data, events, row.seed)
    found |= of_tins(subject.model, subject.data, events, row.seed)
    return replace(row, representation=from_plain(Representation, found))


def _condition(row: Row, subject: Subject) -> Row:
    subject.say("drawing what is asked for")
    each = EACH[row.budget]
    if row.conditional and subject.data.classes:
        classes = len(subject.data.classes)
        each = max(5, _samples(row, subject, each * classes) // classes)
    found = condition_fidelity(subject.model, subject.data, each, row.seed)
    if found is None:
        return row
    real = found.pop("judge")
    if "per_class" in found:
        return replace(row, condition=from_plain(ClassFidelity, found | {"classifier": real}))
    exact = found.pop("exact")
    numbers = {"errors": found, "exact": exact, "exact_real": real}
    return replace(row, condition=from_plain(NumberFidelity, numbers))


def _file(row: Row, subject: Subject) -> Row:
    found = as_a_file(
        subject.model,
        subject.data,
        row.budget,
        subject.folder,
        subject.progress,
        row.seed,
    )
    if found is None:
        return row
    if "reason" in found:
        return replace(row, file_failure=found["reason"])
    return replace(row, file=from_plain(AsFile, found))


MEASURES: tuple[Measure, ...] = (
    Measure("memory", _memory),
    Measure("quality", _quality, of_baselines=True),
    Measure("representation", _representation),
    Measure("condition", _condition),
    Measure("file", _file, of_baselines=True),
)
