"""What is measured of a finished run beside its likelihood. Each measure fills one entry of the row, once (`runs.appraise`).

A measure to come is a file with two functions and one entry here::

    measure(model, data, budget, folder, progress) -> entry     plain values, for JSON; may leave files in the run's folder
    table(rows) -> Table or None                                 how the rows that have the entry are shown

Runs that were finished before a measure came get its entry when they are next compared.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from genzoo.data.dataset import DataSet
from genzoo.evaluation import quality, quality_table
from genzoo.evaluation.annealing import Progress
from genzoo.evaluation.tables import Table


class Take(Protocol):
    """Measures a model of the zoo, or a baseline, on a data set; raises nothing that a row should not be lost for."""

    def __call__(self, model: Any, data: DataSet, budget: str = "full", folder: Path | None = None,
                 progress: Progress | None = None) -> dict[str, Any]: ...  # fmt: skip


class Measure(NamedTuple):
    """The name of an entry, how it is filled and shown, and whether closed-form baselines have it too."""

    name: str
    take: Take
    table: Callable[[Iterable[dict[str, Any]]], Table | None]
    of_baselines: bool = False


MEASURES: tuple[Measure, ...] = (Measure("quality", quality.measure, quality_table.table, of_baselines=True),)
