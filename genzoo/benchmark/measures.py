"""What is measured of a finished run beside its likelihood. Each measure fills one entry of the
row, once (`runs.appraise`).

A measure to come is a file with two functions and one entry here::

    measure(model, data, budget, folder, progress, seed) -> entry     plain values, for JSON; may leave files in the run's folder
    table(rows) -> Table or None                                       how the rows that have the entry are shown

Every run is measured with random numbers of its own, drawn by its seed: were they the same for all,
their luck would be shared and not show in the spread over runs.

Runs that were finished before a measure came get its entry when they are next compared.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from genzoo.benchmark.report import quality_table
from genzoo.benchmark.report.knowledge_tables import conditional_table, representation_table
from genzoo.benchmark.report.tables import Table
from genzoo.benchmark.tins import of_tins
from genzoo.compression import figure
from genzoo.data.dataset import DataSet
from genzoo.evaluation.cost import peak_memory
from genzoo.evaluation.representation import representation
from genzoo.evaluation.samples import quality
from genzoo.evaluation.samples.conditional import condition_fidelity
from genzoo.progress import Report
from genzoo.training.two_stage import trained

PROBED = {"quick": 300, "full": 1000}  # events of each split, by the budget of the run
ASKED = {"quick": 20, "full": 50}  # samples of each class
BATCH = 64  # events in the step whose memory is measured

Row = dict[str, Any]


class Take(Protocol):
    """Measures a model of the zoo, or a baseline, on a data set; raises nothing that a row should
    not be lost for.
    """

    def __call__(
        self,
        model: Any,
        data: DataSet,
        budget: str = "full",
        folder: Path | None = None,
        progress: Report | None = None,
        seed: int = 0,
    ) -> Row | None: ...


class Measure(NamedTuple):
    """The name of an entry, how it is filled and shown, and whether closed-form baselines have it
    too.
    """

    name: str
    take: Take
    table: Callable[[Iterable[Row]], Table | None]
    of_baselines: bool = False


def _representation(
    model: Any,
    data: DataSet,
    budget: str = "full",
    folder: Path | None = None,
    progress: Report | None = None,
    seed: int = 0,
) -> Row:
    _say(progress, "probing the latent")
    most = PROBED[budget]
    return representation(model, data, most, seed) | of_tins(model, data, most, seed)


def _condition_fidelity(
    model: Any,
    data: DataSet,
    budget: str = "full",
    folder: Path | None = None,
    progress: Report | None = None,
    seed: int = 0,
) -> Row | None:
    _say(progress, "drawing what is asked for")
    return condition_fidelity(model, data, ASKED[budget], seed)


def _memory(
    model: Any,
    data: DataSet,
    budget: str = "full",
    folder: Path | None = None,
    progress: Report | None = None,
    seed: int = 0,
) -> dict[str, int]:
    _say(progress, "measuring memory")
    x, c = data.train[torch.arange(min(BATCH, len(data.train)))]
    return {"batch": len(x), **peak_memory(model, x, c, trained(model, x, c, folder))}


def _say(progress: Report | None, text: str) -> None:
    if progress is not None:
        progress(0, 1, text)


def _in_the_first_table(rows: Iterable[Row]) -> None:
    """Memory is a column beside the other costs."""


MEASURES: tuple[Measure, ...] = (
    Measure("memory", _memory, _in_the_first_table),
    Measure("quality", quality.measure, quality_table.table, of_baselines=True),
    Measure("representation", _representation, representation_table),
    Measure("condition", _condition_fidelity, conditional_table),
    Measure("file", figure.as_a_file, figure.table, of_baselines=True),
)
