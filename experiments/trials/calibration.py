"""Does the printed interval of an annealed log Z hold the truth, at the budget of a recipe?

    python experiments/trials/calibration.py --budget quick

Machines of few hidden units, whose log Z is a sum, are trained as those of many are: by persistent
chains alone. Each is then annealed ten times with the levels and chains of the recipe's energy row.
No test event is looked at. One line is appended to ``calibration.jsonl``: the annealings, those
whose interval would be printed, and those of them that hold the truth.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import torch

import genzoo
from genzoo import grid
from genzoo.benchmark import recipes
from genzoo.benchmark.provenance import provenance
from genzoo.data import load
from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation.likelihood.partition import log_partition, widest
from genzoo.families import energy

LOG = Path(__file__).with_suffix(".jsonl")


def black_and_white(data: DataSet) -> DataSet:
    """The same events with two levels only."""
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    two = {name: Split(grid.quantise(part.x, 2)) for name, part in parts.items()}
    return replace(data, levels=2, **two)


def trained(data: DataSet, hidden: int, steps: int, seed: int) -> genzoo.Energy:
    """A machine that learned by its chains, in double precision."""
    torch.manual_seed(seed)
    model = genzoo.Energy(
        data.event_shape, 0, data.levels, hidden=hidden, lr=0.005, steps=5, buffer=200
    )
    with patch.object(energy, "FOR_UPDATES", 0), patch.object(energy, "FOR_DRAWS", 0):
        genzoo.fit(
            model, data, steps=steps, batch_size=100, check_every=250, seed=seed, accelerator="cpu"
        )
    return model.double()


def calibrate(settings: dict[str, Any], budget: dict[str, int]) -> dict[str, Any]:
    """What the annealings of all machines found, against the truth."""
    data = load(settings["data"])
    if settings["levels"] == 2:
        data = black_and_white(data)
    found = []
    for seed in range(settings["machines"]):
        model = trained(data, settings["hidden"], settings["train_steps"], seed)
        with torch.no_grad():
            truth = model.exact_log_z().item()
        for _ in range(settings["annealings"]):
            z = log_partition(
                model, data.train.x, levels=budget["ais_levels"], chains=budget["ais_chains"]
            )
            low, high = z.lower.item(), z.upper.item()
            found.append(
                {
                    "machine": seed,
                    "low": low - truth,
                    "high": high - truth,
                    "ess": z.ess.item(),
                    "doubt": z.doubt(widest(data)),
                }
            )
    printed = [each for each in found if not each["doubt"]]
    held = [each for each in printed if each["low"] <= 0 <= each["high"]]
    return {
        "annealings": len(found),
        "printed": len(printed),
        "held": len(held),
        "width": mean(each["high"] - each["low"] for each in printed) if printed else None,
        "least_ess": min(each["ess"] for each in found),
        "missed": [each for each in printed if each not in held],
        "dashes": sorted({each["doubt"] for each in found if each["doubt"]}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="digits")
    parser.add_argument(
        "--budget",
        default="quick",
        help="of the recipe, whose energy row has the levels and chains",
    )
    parser.add_argument("--levels", type=int, default=0, help="2 makes the events black and white")
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--train_steps", type=int, default=500)
    parser.add_argument("--machines", type=int, default=4)
    parser.add_argument("--annealings", type=int, default=10, help="of each machine")
    settings = vars(parser.parse_args())
    torch.set_num_threads(1)
    budget = recipes.find(settings["data"], settings["budget"], "energy")["evaluate"]
    start = time.process_time()
    found = calibrate(settings, budget)
    seconds = round(time.process_time() - start, 1)
    line = {
        "settings": settings,
        "budget": budget,
        **found,
        "seconds": seconds,
        "commit": provenance().commit,
    }
    print(json.dumps(line, indent=2))
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
