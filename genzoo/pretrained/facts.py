"""What the model card says of a run: its row, in words."""

from pathlib import Path

from genzoo.benchmark.report.cells import cell, percent, significant
from genzoo.benchmark.row import Row
from genzoo.evaluation.results import ClassFidelity
from genzoo.gate.text import of_run

Facts = dict[str, str | int | float]


def facts_of_run(folder: Path) -> Facts:
    """What the record in a run's folder says; nothing where there is none."""
    row = of_run(folder / "row.json")
    return {} if row is None else facts(Row.from_json(row, str(folder / "row.json")))


def facts(row: Row) -> Facts:
    """The entries of a model card: how the run was trained, and all that was measured of it."""
    found: Facts = {"data": row.data, "seed": row.seed}
    if row.cost is not None:
        found["steps"] = row.cost.steps
        found["train_seconds"] = row.cost.train_seconds
        speed = significant(row.cost.samples_per_second)
        found["samples/s"] = f"{speed} on {row.provenance.machine}" if speed else ""
    return {name: value for name, value in (found | _measured(row)).items() if value != ""}


def _measured(row: Row) -> Facts:
    """The figures, with their errors and, of samples, what real data gets."""
    likelihood = row.likelihood
    figure = likelihood.figure
    kind = "" if figure.kind is None else f" ({figure.kind.name.lower()})"
    found: Facts = {f"test {likelihood.unit}": f"{figure}{kind}" if figure.is_known else ""}
    if row.quality is not None:
        for name, value in row.quality.figures.items():
            floor = row.quality.floor.get(name)
            beside = "" if floor is None else f" (training data: {cell(floor)})"
            found[name] = f"{cell(value)}{beside}"
    if isinstance(row.condition, ClassFidelity):
        judged = f"(by a classifier that is right on {percent(row.condition.classifier)} of test "
        found["samples of the class asked for"] = f"{percent(row.condition.accuracy)} {judged}data)"
    return found
