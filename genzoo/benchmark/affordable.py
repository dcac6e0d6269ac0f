"""The extent of measurements that a given time allows.

Where the time of training is limited, that of measurements is, too: a small part of each figure is
measured and timed first, and then as much of it as fits into its share of the minutes, up to the
settings of the recipe. The row contains what was measured: samples, levels, events.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genzoo.data.dataset import DataSet
from genzoo.evaluation.likelihood.estimators import estimator
from genzoo.evaluation.likelihood.evaluate import evaluate
from genzoo.evaluation.samples.sampling import draw
from genzoo.model import GenerativeModel

OF_LIKELIHOOD = 0.5  # share of the training's minutes
OF_SAMPLES = 0.25  # for each measure that needs samples

REHEARSED = 16  # events on which an estimator is timed
LEAST_EVENTS = 100  # of the test split
LEAST_ANNEALED = 20  # where each needs an annealing or an ODE
LEAST_LEVELS = 10
LEAST_SAMPLES = 40

Settings = dict[str, Any]  # a recipe's ``evaluate:`` section


def affordable_likelihood(
    settings: Mapping[str, Any], model: GenerativeModel, data: DataSet, minutes: float
) -> tuple[Settings, DataSet]:
    """As much of an evaluation as its share of ``minutes`` allows.

    Args:
        settings: of the recipe, complete.
        model: the trained model.
        data: the data set, on whose test split the likelihood is measured.
        minutes: of training.

    Returns:
        the settings, none of them above the recipe's, and the data with as many test events.
    """
    seconds = 60 * minutes * OF_LIKELIHOOD
    few = replace(data, test=data.test.some(REHEARSED))
    small = {
        **settings,
        "k": 1,
        "ais_levels": min(settings["ais_levels"], LEAST_LEVELS),
        "ais_most_levels": min(settings["ais_most_levels"], LEAST_LEVELS),
        "most": min(settings["most"], REHEARSED),
    }
    begin = time.perf_counter()
    measured = evaluate(model, few, by=estimator(small))
    affordable = seconds / max(1e-6, time.perf_counter() - begin)  # rehearsals in that time

    chosen = dict(settings)
    if "ais_levels" in measured.details:
        per_level = affordable * small["ais_levels"]
        if model.unnormalised is None:
            per_level /= max(1.0, settings["most"] / len(few.test))
        chosen["ais_levels"] = _at_most(settings["ais_levels"], per_level, LEAST_LEVELS)
        chosen["ais_most_levels"] = min(settings["ais_most_levels"], chosen["ais_levels"])
    events = affordable * len(few.test)
    if "of" in measured.details and measured.details.get("n") != len(data.test):
        chosen["most"] = _at_most(settings["most"], events, LEAST_ANNEALED)
    if "ais_levels" in measured.details:
        return chosen, data
    chosen["k"] = _at_most(settings["k"], events / len(data.test), 1)
    test = data.test.some(_at_most(len(data.test), events, LEAST_EVENTS))
    return chosen, replace(data, test=test)


def affordable_samples(model: GenerativeModel, data: DataSet, minutes: float, most: int) -> int:
    """Number of samples that can be generated in their share of the minutes.

    Args:
        model: the trained model.
        data: the data set, for conditions.
        minutes: of training.
        most: largest number of samples.
    """
    c = data.test.c
    few = min(4, len(data.test))
    conditions = c[:few] if c is not None and model.condition else None
    begin = time.perf_counter()
    draw(model, few, conditions)
    per_sample = (time.perf_counter() - begin) / few
    seconds = 60 * minutes * OF_SAMPLES
    return _at_most(most, seconds / max(1e-6, per_sample), LEAST_SAMPLES)


def _at_most(most: int, affordable: float, least: int) -> int:
    """The affordable number, raised to ``least`` and limited to ``most``."""
    return min(most, max(least, int(affordable)))
