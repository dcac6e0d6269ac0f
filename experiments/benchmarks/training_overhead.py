"""What `genzoo.fit` costs beside a bare loop: its processor time over that of five lines by hand.

    python experiments/benchmarks/training_overhead.py

The loop takes the loss, its gradient and a step of `torch.optim.AdamW`. `fit` takes the same steps
on a module and batches of the same kind, and besides clips gradients, follows a schedule, averages
weights, keeps a log and checkpoints, and validates once. The two take turns, an epoch each, in one
process, so that whatever else the machine does slows both alike. Ratios are medians over repeats:

* **steps**: training steps alone, all that belongs to each of them included;
* **+ validation**: with the one validation, at the end;
* **all of fit**: with what happens once: building the Trainer, checking the data, two checkpoints
  and reading them, the log's last form, and the chosen weights' figure by fresh draws.
"""

import argparse
import statistics
import time
from dataclasses import dataclass

import lightning as L
import torch
from rich.console import Console
from rich.table import Table
from torch.distributions import Distribution

import genzoo
from genzoo.data import Data, DataSet
from genzoo.model import GenerativeModel

FAMILIES = {
    genzoo.VAE: {},
    genzoo.Flow: {"width": 32, "couplings": 4},
    genzoo.Autoregressive: {"width": 32, "depth": 3},
}


class Turns(L.Callback):
    """Times the epochs of a run, and those of a bare loop that takes place between them.

    Args:
        model: of the bare loop.
        data: of both.
        fused: whether the bare loop's optimiser is.
    """

    def __init__(self, model: GenerativeModel, data: DataSet, fused: bool):
        self.model = model.train()
        self.batches = Data(data, 64).train_dataloader()
        self.optimizer = torch.optim.AdamW(model.parameters(), model.lr, fused=fused)
        self.by_hand = self.steps = self.validation = 0.0
        self.taken = 0

    def on_train_start(self, trainer, pl_module) -> None:
        self.mark = time.process_time()

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.steps += time.process_time() - self.mark  # of fit, since the last epoch ended
        checked = Distribution._validate_args
        Distribution.set_default_validate_args(True)  # as it is where nobody changes it
        begin = time.process_time()
        for x, _ in self.batches:
            self.optimizer.zero_grad()
            self.model.loss(x).mean().backward()
            self.optimizer.step()
            self.taken += 1
        self.mark = time.process_time()
        self.by_hand += self.mark - begin
        Distribution.set_default_validate_args(checked)

    def on_validation_start(self, trainer, pl_module) -> None:
        now = time.process_time()
        self.steps += now - self.mark
        self.mark = now

    def on_validation_end(self, trainer, pl_module) -> None:  # checkpoints come after it
        self.validation = time.process_time() - self.mark
        self.mark = time.process_time()

    def on_train_end(self, trainer, pl_module) -> None:
        self.rest = time.process_time() - self.mark


@dataclass(frozen=True)
class Costs:
    """Milliseconds of a step by hand, and ratios to it."""

    by_hand: float
    steps: float
    validated: float
    everything: float


def measure(
    family: type[GenerativeModel], data: DataSet, steps: int, seed: int, fused: bool
) -> Costs:
    """The costs of one run."""
    torch.manual_seed(seed)
    arguments = FAMILIES[family]
    mine, other = (family(data.event_shape, levels=data.levels, **arguments) for _ in range(2))
    turns = Turns(other, data, fused)
    begin = time.process_time()
    fitted = genzoo.fit(
        mine, data, steps=steps, check_every=steps, accelerator="cpu", callbacks=[turns]
    )
    everything = time.process_time() - begin - turns.by_hand
    by_hand = turns.by_hand / turns.taken
    unit = by_hand * fitted.steps
    return Costs(
        by_hand=1000 * by_hand,
        steps=turns.steps / unit,
        validated=(turns.steps + turns.validation) / unit,
        everything=everything / unit,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Training time of fit over that of a bare loop.")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--families", nargs="+", default=[each.__name__ for each in FAMILIES])
    parser.add_argument("--fused", action="store_true", help="a fused optimiser by hand, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    table = Table(
        "family", "ms a step by hand", "steps", "+ validation", "all of fit",
        title=f"fit / by hand, {options.steps} steps on digits",
    )  # fmt: skip
    for family in FAMILIES:
        if family.__name__ not in options.families:
            continue
        runs = [
            measure(family, data, options.steps, seed, options.fused)
            for seed in range(options.repeats)
        ]

        def middle(name: str, runs: list[Costs] = runs) -> float:
            return statistics.median(getattr(run, name) for run in runs)

        ratios = [f"{middle(name):.3f}" for name in ("steps", "validated", "everything")]
        table.add_row(family.__name__, f"{middle('by_hand'):.1f}", *ratios)
    Console().print(table)


if __name__ == "__main__":
    main()
