"""A program that trains in two processes, for `test_ddp`: ``python ddp.py STRATEGY FOLDER``.

Each process that comes to its end writes what `fit` gave it back into the folder.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genzoo import GAN, VAE, VAEGAN, Energy, GenerativeModel, fit
from genzoo.data import DataSet, Split, load

SETTINGS: dict[str, Any] = {"steps": 6, "check_every": 3, "accelerator": "cpu", "devices": 2}
BATCH = {"Energy": 50}  # more than either process has events; of the others 10
KEPT = {
    "ddp": (VAE, Energy, GAN, VAEGAN),
    "ddp_fork": (VAE, GAN),
}
NOT_KEPT = {"ddp": (VAE, GAN), "ddp_fork": (VAE,)}


def train(strategy: str, folder: Path) -> None:
    torch.set_num_threads(1)
    data = load("moons")
    data = replace(data, train=Split(*data.train[:60]), validation=Split(*data.validation[:20]))
    told = {}
    for family in KEPT[strategy]:
        kept = folder / family.__name__
        told[f"{family.__name__} kept"] = trained(family, data, kept, strategy)
    for family in NOT_KEPT[strategy]:
        told[f"{family.__name__} not kept"] = trained(family, data, None, strategy)
    rank = os.environ.get("LOCAL_RANK", "0")
    (folder / f"rank{rank}.json").write_text(json.dumps(told), encoding="utf-8")


def trained(
    family: type[GenerativeModel],
    data: DataSet,
    folder: Path | None,
    strategy: str,
) -> dict[str, Any]:
    torch.manual_seed(0)
    model = family((2,), width=8)
    batch_size = BATCH.get(family.__name__, 10)
    fitted = fit(model, data, folder, strategy=strategy, batch_size=batch_size, **SETTINGS)
    return {
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "validation": fitted.validation,
        "stopped_early": fitted.stopped_early,
        "seconds": fitted.seconds > 0,
        "weights": sum(value.double().sum().item() for value in model.parameters()),
    }


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]))
