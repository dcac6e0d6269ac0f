"""Facts of a run for its model card: the row in words."""

from pathlib import Path

from genzoo.benchmark.report.cells import cell, percent, significant
from genzoo.benchmark.row import Row
from genzoo.evaluation.results import ClassFidelity
from genzoo.gate.text import of_run

Facts = dict[str, str | int | float]


def facts_of_run(folder: Path) -> Facts:
    """The facts of the run in a folder; none if it has no row."""
    path = folder / "row.json"
    entry = of_run(path)
    if entry is None:
        return {}
    row = Row.from_json(entry, str(path))
    return facts(row)


def facts(row: Row) -> Facts:
    """The entries of a model card: training, and every measured figure."""
    entries: Facts = {"data": row.data, "seed": row.seed}
    if row.cost is not None:
        entries["steps"] = row.cost.steps
        entries["train_seconds"] = row.cost.train_seconds
        speed = significant(row.cost.samples_per_second)
        if speed:
            entries["samples/s"] = f"{speed} on {row.provenance.machine}"
    entries |= _measured(row)
    return {name: value for name, value in entries.items() if value != ""}


def _measured(row: Row) -> Facts:
    """The figures with their errors and, of samples, the figures of real data."""
    entries: Facts = {}
    figure = row.likelihood.figure
    if figure.is_known:
        kind = "" if figure.kind is None else f" ({figure.kind.name.lower()})"
        entries[f"test {row.likelihood.unit}"] = f"{figure}{kind}"

    if row.quality is not None:
        for name, value in row.quality.figures.items():
            entries[name] = cell(value)
            floor = row.quality.floor.get(name)
            if floor is not None:
                entries[name] = f"{cell(value)} (training data: {cell(floor)})"

    condition = row.condition
    if isinstance(condition, ClassFidelity):
        accuracy = percent(condition.accuracy)
        of_classifier = percent(condition.classifier)
        entries["samples of the class asked for"] = (
            f"{accuracy} (by a classifier that is right on {of_classifier} of test data)"
        )
    return entries
