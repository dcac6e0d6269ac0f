"""What `genzoo.fit` costs beside a bare loop: its training time over that of five lines by hand.

    python experiments/benchmarks/training_overhead.py

The loop takes the loss, its gradient and a step of `torch.optim.AdamW`. `fit` takes the same steps
on the same module and batches, and besides clips gradients, follows a schedule, averages weights,
keeps a log and checkpoints, and validates once. Both take turns, and the figure is the ratio of the
medians of the processor's time, which a busy machine does not change.
"""

import argparse
import statistics
import time

import lightning as L
import torch
from rich.console import Console
from rich.table import Table

import genzoo
from genzoo.data import Data, DataSet
from genzoo.model import GenerativeModel

FAMILIES = {
    genzoo.VAE: {},
    genzoo.Flow: {"width": 32, "couplings": 4},
    genzoo.Autoregressive: {"width": 32, "depth": 3},
}


class Cost(L.Callback):
    """The processor's time from the first step to the last."""

    seconds = 0.0

    def on_train_start(self, trainer, pl_module) -> None:
        self.begin = time.process_time()

    def on_train_end(self, trainer, pl_module) -> None:
        self.seconds = time.process_time() - self.begin


def by_hand(model: GenerativeModel, data: DataSet, steps: int) -> float:
    """Seconds of a bare loop."""
    optimizer = torch.optim.AdamW(model.parameters(), model.lr)
    batches = Data(data, 64)
    done = 0
    begin = time.process_time()
    while done < steps:
        for x, _ in batches.train_dataloader():
            optimizer.zero_grad()
            model.loss(x).mean().backward()
            optimizer.step()
            done += 1
    return (time.process_time() - begin) * steps / done


def by_fit(model: GenerativeModel, data: DataSet, steps: int) -> float:
    """Seconds of as many steps of `genzoo.fit`, with one validation."""
    cost = Cost()
    fitted = genzoo.fit(
        model, data, steps=steps, check_every=steps, accelerator="cpu", callbacks=[cost]
    )
    return cost.seconds * steps / fitted.steps


def main() -> None:
    parser = argparse.ArgumentParser(description="Training time of fit over that of a bare loop.")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    table = Table("family", "ms a step by hand", "fit / by hand", title="Training on digits")
    for family, arguments in FAMILIES.items():
        times: dict[str, list[float]] = {"hand": [], "fit": []}
        for repeat in range(options.repeats):
            torch.manual_seed(repeat)
            models = [family(data.event_shape, levels=data.levels, **arguments) for _ in range(2)]
            times["hand"].append(by_hand(models[0], data, options.steps))
            times["fit"].append(by_fit(models[1], data, options.steps))
        hand, fit = (statistics.median(times[name]) for name in ("hand", "fit"))
        table.add_row(family.__name__, f"{1000 * hand / options.steps:.1f}", f"{fit / hand:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
