"""Learning curves: the losses in a run's ``log.csv``, against steps and against seconds."""

import csv
from pathlib import Path

from genzoo.benchmark.report.plots import Curve

Series = list[tuple[int, float]]  # step, and the value logged at it


def series(log: Path, column: str) -> Series:
    """The values of a column of ``log``, each with its step; lines without a value are left out."""
    points = []
    with log.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get(column):
                points.append((int(row["step"]), float(row[column])))
    return points


def curve(log: Path, train_seconds: float | None = None) -> Curve | None:
    """Validation nats against seconds of training; None for a family without a likelihood.

    If the log has no seconds, they are ``train_seconds`` in proportion to the steps.
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
