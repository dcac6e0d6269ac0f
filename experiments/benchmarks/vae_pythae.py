"""One VAE of genzoo's trained by `genzoo.fit` and by pythae's trainer, for equal seconds.

    python experiments/benchmarks/vae_pythae.py [--seconds 40] [--root data] [--out FILE]

The model, its loss and its batches are the same on both sides, so what is compared is the trainer:
genzoo's with its schedule, averages of weights and choice of the best by validation, and pythae's
with what its `BaseTrainerConfig` does by default (Adam at a constant rate, the best epoch by
validation kept) but for the rate, which is the model's.
"""

import argparse
import logging
import tempfile
import time
from contextlib import suppress
from typing import Any

import torch
from paired import Comparison, arguments, fit_for, measure, parameters, run
from pythae.data.datasets import BaseDataset
from pythae.models.base import BaseAE, BaseAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor

import genzoo
from genzoo.data import DataSet

BATCH = 64
WIDTH = 32
DRAWS = 64  # importance weights of each test image


class Wrapped(BaseAE):
    """A VAE of genzoo's as pythae's trainer wants one."""

    def __init__(self, vae: genzoo.VAE):
        super().__init__(BaseAEConfig(input_dim=vae.event_shape, latent_dim=vae.latent_shape[0]))
        self.vae = vae

    def forward(self, inputs: Any, **_) -> ModelOutput:
        loss = self.vae.loss(inputs["data"]).mean()
        return ModelOutput(loss=loss)


class OutOfTime(Exception):
    """The seconds are spent."""


class Deadline(TrainingCallback):
    """Ends a training after ``budget`` seconds of the processor, and counts its steps."""

    def __init__(self, budget: float):
        self.ends = time.process_time() + budget
        self.steps = 0

    def on_train_step_end(self, training_config, **_) -> None:
        self.steps += 1
        if time.process_time() > self.ends:
            raise OutOfTime


def train_theirs(vae: genzoo.VAE, data: DataSet, budget: float) -> tuple[genzoo.VAE, int]:
    """The best weights that pythae's trainer finds in ``budget`` seconds, and its steps."""
    logging.disable(logging.INFO)
    splits = [BaseDataset(each.x, torch.zeros(len(each))) for each in (data.train, data.validation)]
    deadline = Deadline(budget)
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=500,
            num_epochs=100_000,
            learning_rate=vae.lr,
            no_cuda=True,
        )
        trainer = BaseTrainer(Wrapped(vae), *splits, training_config=config, callbacks=[deadline])
        with suppress(OutOfTime):
            trainer.train()
    best = getattr(trainer, "_best_model", trainer.model)
    return best.vae.eval(), deadline.steps


@torch.no_grad()
def bits(vae: Any, data: DataSet) -> tuple[float, float]:
    """Importance-weighted bits/dim of the test split, and the standard error."""
    torch.manual_seed(0)
    parts: list[Tensor] = [vae.bound(x, k=DRAWS) for x in data.test.x[:2000].split(100)]
    each = data.report(torch.cat(parts))
    return each.mean().item(), each.std().item() / len(each) ** 0.5


def compare(options: argparse.Namespace) -> Comparison:
    if options.root:
        data = genzoo.data.load("mnist", root=options.root)
    else:
        data = genzoo.data.load("digits")

    def make() -> genzoo.VAE:
        torch.manual_seed(0)
        return genzoo.VAE(data.event_shape, levels=data.levels, width=WIDTH)

    ours, taken, our_steps = fit_for(options.seconds, make, data, batch_size=BATCH)
    theirs, their_steps = train_theirs(make(), data, taken)
    found = Comparison(
        title=f"VAE on {data.name}",
        peer="pythae",
        script="vae_pythae.py",
        equal=[
            f"model ({parameters(ours)} parameters) and its first weights",
            "loss (but for the warm-up of its KL term here)",
            f"batches of {BATCH}",
            "learning rate at the start",
            "seconds of one thread, validation included",
        ],
        unequal=["the trainer: schedule, averages of weights and frequency of validation"],
    )
    (our_bits, our_error), (their_bits, their_error) = bits(ours, data), bits(theirs, data)
    found.rows += [
        measure("steps in that time", "", our_steps, their_steps, better="more"),
        measure(
            f"test, ≤ by {DRAWS} weights, after {taken:.0f} s",
            "bits/dim",
            our_bits,
            their_bits,
            (our_error, their_error),
        ),
    ]
    return found


if __name__ == "__main__":
    parser = arguments("A VAE trained by genzoo and by pythae.")
    parser.add_argument("--seconds", type=float, default=40, help="of training")
    parser.add_argument("--root", help="folder that holds MNIST/raw, in place of the digits")
    run(compare, parser.parse_args())
