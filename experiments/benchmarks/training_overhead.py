"""Overhead of `genzoo.fit`: its processor time over that of a bare loop of five lines.

    python experiments/benchmarks/training_overhead.py [--families vae]

The loop takes the loss, its gradient and a step of `torch.optim.AdamW`. `fit` takes the same steps
on a module and batches of the same kind, and in addition clips gradients, follows a schedule,
averages weights, keeps a log and checkpoints, and validates once. The two take turns, an epoch
each, in one process, so that other work of the machine slows both alike. About a minute a family on
an idle core. Ratios are medians over repeats:

* **steps**: training steps alone, all that belongs to each of them included;
* **+ validation**: with the one validation, at the end;
* **all of fit**: with what happens once: building the Trainer, checking the data, writing and
  reading two checkpoints, writing the log, and validating the chosen weights by fresh draws.
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
from genzoo.config import named
from genzoo.data import Data, DataSet
from genzoo.errors import InputError
from genzoo.model import GenerativeModel

Family = type[GenerativeModel]
FAMILIES: dict[Family, dict[str, int]] = {
    genzoo.VAE: {},
    genzoo.Flow: {"width": 32, "couplings": 4},
    genzoo.Autoregressive: {"width": 32, "depth": 3},
}


class Turns(L.Callback):
    """Times the epochs of a run, and those of a bare loop that takes place between them.

    Args:
        model: that the bare loop trains.
        data: of both.
        fused: use a fused optimiser in the bare loop.
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
        self.steps += time.process_time() - self.mark  # fit's own, since the last epoch ended
        checked = Distribution._validate_args
        Distribution.set_default_validate_args(True)  # torch's default, which `fit` changes
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


def measure(family: Family, data: DataSet, steps: int, seed: int, fused: bool) -> Costs:
    """The costs of one run.

    Args:
        family: a key of `FAMILIES`.
        data: to train on.
        steps: of training, by `fit` and by hand.
        seed: of the weights.
        fused: use a fused optimiser in the bare loop.
    """
    torch.manual_seed(seed)
    arguments = FAMILIES[family]
    of_fit = family(data.event_shape, levels=data.levels, **arguments)
    of_hand = family(data.event_shape, levels=data.levels, **arguments)
    turns = Turns(of_hand, data, fused)
    begin = time.process_time()
    fitted = genzoo.fit(
        of_fit, data, steps=steps, check_every=steps, accelerator="cpu", callbacks=[turns]
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


def median(runs: list[Costs]) -> Costs:
    """The median of each cost."""
    return Costs(
        by_hand=statistics.median(run.by_hand for run in runs),
        steps=statistics.median(run.steps for run in runs),
        validated=statistics.median(run.validated for run in runs),
        everything=statistics.median(run.everything for run in runs),
    )


def known(name: str) -> Family:
    """The family of a name, in whatever case."""
    try:
        return named(name, FAMILIES)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> None:
    parser = argparse.ArgumentParser(description="Training time of fit over that of a bare loop.")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--families", type=known, nargs="+", default=list(FAMILIES))
    parser.add_argument("--fused", action="store_true", help="a fused optimiser by hand, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    title = f"fit / by hand, {options.steps} steps on digits"
    columns = ("family", "ms a step by hand", "steps", "+ validation", "all of fit")
    table = Table(*columns, title=title)
    for family in options.families:
        costs = median(
            [
                measure(family, data, options.steps, seed, options.fused)
                for seed in range(options.repeats)
            ]
        )
        table.add_row(
            family.__name__,
            f"{costs.by_hand:.1f}",
            f"{costs.steps:.3f}",
            f"{costs.validated:.3f}",
            f"{costs.everything:.3f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
