"""How wide should the average of the weights be? Trials by validation; no test event is looked at.

    python experiments/trials/averaging.py

Each task is trained once for each seed, and all widths are averaged side by side over that one run,
so that they differ by nothing but the width; all are validated by the same draws, at its end, or
where a longer run on digits has its best check, by which time it has begun to overfit and the
learning rate is still high. Beside the power-function averages run two of fixed decay, as
`genzoo.fit` had them. One line for each average goes to ``averaging.jsonl``, with the seconds of
processor time that the whole run took; how far each is behind the last weights, in nats, is
printed.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.data import DataSet
from genzoo.data.dataset import Data
from genzoo.model import GenerativeModel, drawing_from
from genzoo.optim import warmup_cosine
from genzoo.training.averaging import power_average

LOG = Path(__file__).with_suffix(".jsonl")
WIDTHS = (0.0, 0.02, 0.03, 0.05, 0.1, 0.2)
DECAYS = (0.98, 0.995)


@dataclass(frozen=True)
class Task:
    """A training whose averages are compared after ``steps``.

    All of them are, or the first ``of`` more.
    """

    data: str
    family: str
    steps: int
    batch_size: int
    arguments: dict[str, Any]
    of: int = 0


def tasks() -> list[Task]:
    """Likelihood families on digits, about as recipes have them, and flows of points."""
    digits = {
        "VAE": {"dropout": 0.3},
        "Autoregressive": {"width": 32, "depth": 3, "dropout": 0.2},
        "Flow": {"width": 32, "couplings": 3, "dropout": 0.3, "lr": 0.003},
        "Diffusion": {"prediction": "levels", "fourier": 2, "width": 32},
    }
    points = {"width": 32, "couplings": 4, "lr": 0.004}
    on_digits = [
        Task("digits", family, steps, 64, given)
        for steps in (500, 100)
        for family, given in digits.items()
    ]
    on_points = [
        Task(data, "Flow", steps, 256, points | {"frequencies": [1, 2, 4, 8]})
        for steps in (500, 100)
        for data in ("moons", "landmass")
    ]
    middle = [
        Task("digits", "Autoregressive", 900, 64, digits["Autoregressive"], of=3000),
        Task("digits", "VAE", 900, 64, digits["VAE"], of=1500),
    ]
    return [*middle, *on_points, *on_digits]


def trained(task: Task, data: DataSet, seed: int) -> dict[str, float]:
    """The validation loss of each average at the end of one run, in nats per event."""
    L.seed_everything(seed, verbose=False)
    family = getattr(genzoo, task.family)
    model = family(data.event_shape, levels=data.levels, **task.arguments)
    updates = {f"width {width:g}": power_average(width) for width in WIDTHS}
    updates |= {f"decay {decay:g}": get_ema_multi_avg_fn(decay) for decay in DECAYS}
    averages = {name: AveragedModel(model, multi_avg_fn=update) for name, update in updates.items()}
    optimiser = model.optimizer(model.parameters(), model.lr)
    length = task.of or task.steps
    schedule = LambdaLR(optimiser, lambda step: warmup_cosine(step, length))
    batches = endless(Data(data, task.batch_size))
    for _ in range(task.steps):
        loss = model.train().loss(*model.prepare(next(batches))).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        for average in averages.values():
            average.update_parameters(model)
    found = {}
    for name, average in averages.items():
        model.load_state_dict(average.module.state_dict())
        found[name] = validation(model, data)
    return found


def endless(data: Data) -> Iterator[Any]:
    while True:
        yield from data.train_dataloader()


@torch.no_grad()
def validation(model: GenerativeModel, data: DataSet) -> float:
    """The mean validation loss, by draws that are the same for all weights."""
    split = data.validation.some(500)
    x, c = model.eval().prepare((split.x, split.c))
    with drawing_from(0, x.device):
        return model.validation_loss(x, c, model.validation_draws).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=420, help="of processor time")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    commit = provenance().commit
    data = {name: genzoo.data.load(name) for name in {task.data for task in tasks()}}
    for seed in range(options.seeds):
        for task in tasks():
            if (begun := time.process_time()) > options.seconds:
                return
            found = trained(task, data[task.data], seed)
            seconds = round(time.process_time() - begun, 1)
            with LOG.open("a", encoding="utf-8") as log:
                for name, value in found.items():
                    line = {
                        "settings": {**asdict(task), "seed": seed, "average": name},
                        "validation": round(value, 4),
                        "seconds": seconds,
                        "commit": commit,
                    }
                    log.write(json.dumps(line) + "\n")
            print(f"{task.data} {task.family}, {task.steps} steps, seed {seed}, {seconds} s:")
            for name, value in found.items():
                print(f"    {name:12} {value - found['width 0']:+.3f}", flush=True)


if __name__ == "__main__":
    main()
