"""Trials of the energy model by validation alone.

No test event is looked at, and no test figure printed.

    python experiments/trials/energy.py --data digits --model '{"hidden": 200}' --train '{"steps":
    3000}'

One run is trained and annealed on the validation split. What is printed is also appended to
``energy.jsonl``, one line a trial: settings, the two ends of validation bits/dim with the effective
chains behind them, processor seconds of both stages. A training that diverges leaves a line too.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.data import load
from genzoo.errors import TrainingError
from genzoo.evaluation import estimator, evaluate

LOG = Path(__file__).with_suffix(".jsonl")


def trial(settings: dict[str, Any], keep: Path | None) -> dict[str, Any]:
    """Train by the settings, anneal on the validation events, and say what came of it."""
    data = load(settings["data"])
    condition = data.condition if settings["conditional"] else 0
    torch.manual_seed(settings["seed"])
    model = genzoo.Energy(data.event_shape, condition, data.levels, **settings["model"])
    start = time.process_time()
    try:
        fitted = genzoo.fit(
            model, data, seed=settings["seed"], accelerator="cpu", **settings["train"]
        )
    except TrainingError as error:
        seconds = {"training": round(time.process_time() - start, 1)}
        return {
            "settings": settings,
            "validation": "—",
            "reason": str(error),
            "seconds": seconds,
            "commit": provenance().commit,
        }
    trained = time.process_time()
    measured = evaluate(model, data, by=estimator(settings["evaluate"]), split="validation")
    annealed = time.process_time()
    if keep is not None:
        genzoo.save(model, keep)
    return {
        "settings": settings,
        "validation": str(measured),
        "reason": measured.figure.reason,
        "log_z": measured.details.get("log_z"),
        "by_fit": None
        if fitted.validation is None
        else data.report(torch.tensor(-fitted.validation)).item(),
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "seconds": {
            "training": round(trained - start, 1),
            "annealing": round(annealed - trained, 1),
        },
        "commit": provenance().commit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="digits")
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--model", type=json.loads, default={}, help="arguments of genzoo.Energy")
    parser.add_argument("--train", type=json.loads, default={}, help="settings of genzoo.fit")
    parser.add_argument(
        "--evaluate", type=json.loads, default={"ais_levels": 500, "ais_chains": 100}
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that the model is saved to")
    options = vars(parser.parse_args())
    keep = options.pop("keep")
    torch.set_num_threads(1)
    line = trial(options, keep)
    print(json.dumps(line, indent=2))
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
