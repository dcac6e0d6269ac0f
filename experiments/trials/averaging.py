"""How wide should the average of the weights be? Trials by validation alone; no test event is looked at.

    python experiments/trials/averaging.py --seconds 450

Each task is trained once for each seed, and all widths are averaged side by side over that one run, so that widths differ by
nothing but the width; all are validated by the same draws. What is compared is what `genzoo.fit` would keep: the best check.
Beside the power-function averages run two of fixed decay, as `fit` had them. One line for each width goes to
``averaging.jsonl``; their means over tasks, above the best width of each task in nats, are printed in the end.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import genzoo
from genzoo.averaging import power_average
from genzoo.data import DataSet
from genzoo.data.dataset import Data
from genzoo.model import GenerativeModel, drawing_from, warmup_cosine
from genzoo.provenance import circumstances

LOG = Path(__file__).with_suffix(".jsonl")
WIDTHS = (0.0, 0.02, 0.05, 0.075, 0.1, 0.15, 0.2)
DECAYS = (0.98, 0.995)
DRAWS = 4  # of a check, times the model's own


@dataclass(frozen=True)
class Task:
    """A training whose averages are compared."""

    data: str
    family: str
    steps: int
    batch_size: int
    arguments: dict[str, Any]


def tasks() -> list[Task]:
    """The likelihood families on digits as the recipes have them, and flows of points, each at several lengths."""
    digits = {
        "VAE": {"dropout": 0.3},
        "Autoregressive": {"width": 32, "depth": 3, "dropout": 0.2},
        "Flow": {"width": 32, "couplings": 3, "dropout": 0.3, "lr": 0.003},
        "Diffusion": {"prediction": "levels", "fourier": 2, "width": 32},
    }
    points = {"width": 32, "couplings": 4, "lr": 0.004}
    return [
        *(Task("digits", family, steps, 64, given) for family, given in digits.items() for steps in (100, 500)),
        *(Task("moons", "Flow", steps, 128, points) for steps in (100, 500)),
        *(Task("landmass", "Flow", steps, 512, points | {"frequencies": [1, 2, 4, 8]}) for steps in (100, 500)),
    ]


def trained(task: Task, data: DataSet, seed: int) -> dict[str, float]:
    """Least validation loss of each average over the checks of one run, in nats per event."""
    L.seed_everything(seed, verbose=False)
    family = getattr(genzoo, task.family)
    model = family(data.event_shape, levels=data.levels, **task.arguments)
    averages = {f"width {w:g}": AveragedModel(model, multi_avg_fn=power_average(w)) for w in WIDTHS}
    averages |= {f"decay {d:g}": AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(d)) for d in DECAYS}
    optimiser = torch.optim.AdamW(model.parameters(), model.lr, (0.9, 0.99), weight_decay=model.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warmup_cosine(step, task.steps))
    best = dict.fromkeys(averages, float("inf"))
    batches = endless(Data(data, task.batch_size))
    for step in range(1, task.steps + 1):
        loss = model.train().loss(*model.prepare(next(batches))).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        for average in averages.values():
            average.update_parameters(model)
        if step % 100 == 0:
            now = {name: validation(average.module, data) for name, average in averages.items()}
            best = {name: min(best[name], now[name]) for name in best}
    return best


def endless(data: Data) -> Iterator[Any]:
    while True:
        yield from data.train_dataloader()


@torch.no_grad()
def validation(model: GenerativeModel, data: DataSet) -> float:
    """The mean validation loss, by draws that are the same for all weights."""
    split = data.validation.some(500)
    x, c = model.eval().prepare((split.x, split.c))
    with drawing_from(0, x.device):
        losses = [model.validation_loss(x, c, model.validation_draws) for _ in range(DRAWS)]
    return torch.stack(losses).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=450, help="no new run is begun after so many")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, commit = time.perf_counter(), circumstances()["commit"]
    data = {name: genzoo.data.load(name) for name in {task.data for task in tasks()}}
    behind = defaultdict(list)
    for seed in range(options.seeds):
        for task in tasks():
            if time.perf_counter() - started > options.seconds:
                continue
            before = time.perf_counter()
            best = trained(task, data[task.data], seed)
            seconds = round(time.perf_counter() - before, 1)
            with LOG.open("a", encoding="utf-8") as log:
                for name, value in best.items():
                    settings = {**vars(task), "seed": seed, "average": name}
                    line = {"settings": settings, "validation": round(value, 4), "seconds": seconds, "commit": commit}
                    log.write(json.dumps(line) + "\n")
            for name, value in best.items():
                behind[task.data, task.family, task.steps, name].append(value - min(best.values()))
            print(task.data, task.family, task.steps, seed, {name: round(v, 3) for name, v in best.items()}, seconds)


if __name__ == "__main__":
    main()
