"""Rows of the closed-form baselines, measured like those of runs."""

import re

from genzoo.benchmark.measures import MEASURES, Subject, take
from genzoo.benchmark.row import Row, disagreement, held_out
from genzoo.data.dataset import DataSet
from genzoo.evaluation.likelihood.evaluate import evaluate
from genzoo.families.baselines import Baseline, fitted

SAMPLES = 5000  # that are compared with the truth


def baseline_rows(data: DataSet, budget: str = "full") -> list[Row]:
    """One row for each closed-form baseline that applies to ``data``.

    Args:
        data: the data set that they are fitted to and measured on.
        budget: of the runs beside them, for the extent of measurements.
    """
    return [_row(baseline, data, budget) for baseline in fitted(data)]


def _row(baseline: Baseline, data: DataSet, budget: str) -> Row:
    measured = evaluate(baseline, data)
    row = Row(
        family=title(baseline),
        data=data.name,
        likelihood=held_out(measured, data),
        baseline=True,
        budget=budget,
        disagreement=disagreement(measured, baseline.sample(SAMPLES), data),
    )
    for measure in MEASURES:
        if measure.of_baselines:
            row = take(measure, row, Subject(baseline, data))
    return row


def title(baseline: object) -> str:
    """The name of a baseline's class in words: "Independent pixels"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(baseline).__name__).capitalize()
