"""How training went: the losses in a run's ``log.csv``, against steps and against seconds."""

import csv
from pathlib import Path

from genzoo.benchmark.report.plots import Curve

Series = list[tuple[int, float]]  # step, and what was logged there


def series(log: Path, column: str) -> Series:
    """The values of a column of ``log``, where there are any, each with its step."""
    with log.open(newline="", encoding="utf-8") as file:
        return [
            (int(row["step"]), float(row[column]))
            for row in csv.DictReader(file)
            if row.get(column)
        ]


def curve(log: Path, train_seconds: float | None = None) -> Curve | None:
    """Validation nats against seconds of training; None of a family that states no likelihood.

    A log without seconds has those of the whole run in proportion to the steps.
    """
    nats = series(log, "val_nats")
    if not nats:
        return None
    clock = dict(series(log, "seconds"))
    steps = max(step for step, _ in nats) or 1
    if all(step in clock for step, _ in nats):
        seconds = [clock[step] for step, _ in nats]
    elif train_seconds is not None:
        seconds = [train_seconds * step / steps for step, _ in nats]
    else:
        return None
    return Curve(seconds, [value for _, value in nats])
