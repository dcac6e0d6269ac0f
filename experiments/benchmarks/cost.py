"""How the cost of each family grows: seconds and memory against resolution and against data.

    python experiments/benchmarks/cost.py [--families ...] [--out experiments/records/cost.json]

Images of random bytes; networks of one width throughout. A training step is one of Lightning's, on
a batch of `BATCH`, with all that belongs to it; a sampling call makes `BATCH` images, the families
with many moves in `MOVES` of them. Seconds are of the processor and of one thread. Memory is the
most that a process held beyond what it held before the model was made; each figure is of a process
of its own, a fork of this one, so this script runs where processes fork (Linux, macOS).

An exponent is the slope of logarithms, over the sides from 16 up (in pixels, not in sides) or over
all numbers of events: 1 means that twice the pixels cost twice as much.
"""

import argparse
import json
import math
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.table import Table
from torch.distributions import Distribution

import genzoo
from genzoo import grid
from genzoo.benchmark.provenance import provenance
from genzoo.data import Data, DataSet
from genzoo.model import GenerativeModel
from genzoo.training.fitting import quiet

LEVELS = 256
BATCH = 8
WIDTH = 32
MOVES = 10
STEPS = 3  # that are timed, after one that is not
SIDES = (8, 16, 32, 64)
EVENTS = (1_000, 4_000, 16_000, 64_000)  # of 8x8
FAMILIES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    # the class, arguments of its constructor, and of `sample`
    "autoregressive": (genzoo.Autoregressive, {}, {}),
    "flow": (genzoo.Flow, {"couplings": 4}, {}),
    "VAE": (genzoo.VAE, {}, {}),
    "energy": (genzoo.Energy, {"buffer": 4 * BATCH}, {"steps": MOVES}),
    "diffusion": (genzoo.Diffusion, {}, {"steps": MOVES}),
    "flow matching": (genzoo.FlowMatching, {}, {"steps": MOVES}),
    "GAN": (genzoo.GAN, {}, {}),
}
COSTS = {
    "step_ms": "training step, ms an image",
    "sample_ms": "sample, ms an image",
    "step_mib": "memory of training, MiB",
    "sample_mib": "memory of sampling, MiB",
}


class Steps(L.Callback):
    """Processor times between the ends of training steps."""

    def __init__(self):
        self.ends: list[float] = []

    def on_train_batch_end(self, *_) -> None:
        self.ends.append(time.process_time())

    @property
    def seconds(self) -> float:
        return statistics.median(b - a for a, b in zip(self.ends, self.ends[1:], strict=False))


def most_held() -> float:
    """The most MiB that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def images(n: int, side: int) -> DataSet:
    """Random bytes, of which a batch is held out."""
    x = grid.to_grid(torch.randint(LEVELS, (n + 2 * BATCH, 1, side, side)), LEVELS)
    return DataSet.split("random", x, None, (n, BATCH, BATCH), levels=LEVELS)


def made(family: str, side: int) -> GenerativeModel:
    kind, arguments, _ = FAMILIES[family]
    return kind((1, side, side), levels=LEVELS, width=WIDTH, **arguments)


def trained(family: str, side: int, events: int) -> dict[str, float]:
    """Cost of a training step."""
    before = most_held()
    steps = Steps()
    data = images(events, side)
    with quiet():
        trainer = L.Trainer(
            max_steps=STEPS + 1,
            accelerator="cpu",
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[steps],
        )
        trainer.fit(made(family, side), Data(data, BATCH))
    return {"step_ms": 1000 * steps.seconds / BATCH, "step_mib": most_held() - before}


@torch.no_grad()
def sampled(family: str, side: int) -> dict[str, float]:
    """Cost of a sample."""
    before = most_held()
    model = made(family, side).eval()
    *_, options = FAMILIES[family]
    begin = time.process_time()
    model.sample(BATCH, **options)
    seconds = time.process_time() - begin
    return {"sample_ms": 1000 * seconds / BATCH, "sample_mib": most_held() - before}


def apart(measure, *arguments: Any) -> dict[str, float]:
    """What ``measure`` gives in a process of its own, whose memory nobody else has touched."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, context) as process:  # which tells if the system ends it
        return process.submit(measure, *arguments).result()


def exponent(costs: dict[int, dict[str, float]], cost: str, sizes: list[int]) -> float:
    """The slope of log cost over log size, by least squares."""
    across = [math.log(size) for size in sizes]
    up = [math.log(max(1e-9, row[cost])) for row in costs.values()]
    return statistics.linear_regression(across, up).slope if len(up) > 1 else math.nan


def chart(record: dict[str, Any], path: Path) -> None:
    """Four panels over the side of an image, and two over the number of events."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9.5), layout="constrained")
    panels = figure.subplots(3, 2).flatten()
    shown = [("sides", cost, about) for cost, about in COSTS.items()]
    shown += [("events", cost, COSTS[cost]) for cost in ("step_ms", "step_mib")]
    for axes, (over, cost, about) in zip(panels, shown, strict=True):
        for mark, (family, rows) in zip("osD^vP*", record[over].items(), strict=False):
            sizes = [int(size) for size in rows]
            power = record["exponents"][over][family][cost]
            label = f"{family} {power:z.2f}"
            axes.plot(sizes, [row[cost] for row in rows.values()], marker=mark, label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_title(about, fontsize=10)
        axes.set_xlabel("side of the image" if over == "sides" else "training events of 8x8")
        axes.legend(fontsize=7, title="exponent", title_fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="How cost grows with resolution and with data.")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES)
    parser.add_argument("--events", nargs="+", type=int, default=EVENTS)
    parser.add_argument("--out", type=Path, help="a JSON file for the record; a PNG beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    Distribution.set_default_validate_args(False)  # as in `genzoo.fit`

    record: dict[str, Any] = {"sides": {}, "events": {}, "exponents": {"sides": {}, "events": {}}}
    table = Table("family", *(f"{about}; exponent" for about in COSTS.values()))
    for family in options.families:
        of_sides = {
            side: apart(trained, family, side, 4 * BATCH) | apart(sampled, family, side)
            for side in options.sides
        }
        of_events = {n: apart(trained, family, SIDES[0], n) for n in options.events}
        large = {side: row for side, row in of_sides.items() if side >= 16}
        powers = {cost: exponent(large, cost, [side**2 for side in large]) for cost in COSTS}
        record["sides"][family] = of_sides
        record["events"][family] = of_events
        record["exponents"]["sides"][family] = powers
        record["exponents"]["events"][family] = {
            cost: exponent(of_events, cost, list(of_events)) for cost in ("step_ms", "step_mib")
        }
        last = of_sides[max(of_sides)]
        cells = [f"{last[cost]:.1f}; {powers[cost]:.2f}" for cost in COSTS]
        table.add_row(family, *cells)
        Console().print(family, *cells)
    Console().print(table)
    if options.out:
        about = {"batch": BATCH, "width": WIDTH, "moves": MOVES, "script": Path(__file__).name}
        whole = record | about | asdict(provenance())
        options.out.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        chart(json.loads(json.dumps(record)), options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
