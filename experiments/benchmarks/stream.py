"""A million 28x28 images through two epochs of training, from the disk: memory, pace, resumption.

    python experiments/benchmarks/stream.py [--images 1000000] [--batch_size 1000]

The images are random bytes in a ``.npy`` file, 0.8 GB, that is mapped. The model is the least that
can be trained, a mean and a width for each pixel, so that what is measured is the reading. It is
trained twice: in one go, and once more with an interruption in the middle, after which a second
call goes on. What is told, and kept in ``experiments/records/stream.json``:

* **memory**: the most that the process held in its first training beyond what it held before. The
  greater part does not depend on the size of the file: it is the held-out images and the sample of
  the training images (20,000 and 10,000 of them as float32), and a batch;
* **pace**: images a second of processor time, reading and training;
* **resumption**: whether the interrupted training ends with the same weights, bit for bit.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import genzoo
from genzoo import grid
from genzoo.benchmark.provenance import provenance
from genzoo.data import DataSet
from genzoo.files import whole
from genzoo.model import GenerativeModel, Likelihood

RECORD = Path(__file__).parents[1] / "records" / "stream.json"
EPOCHS = 2
AT_ONCE = 10_000  # images that are written at a time


class Pixels(GenerativeModel):
    """Independent Gaussians, one for each pixel: a density of dequantised images."""

    likelihood = Likelihood.BOUND

    def __init__(self, event_shape: tuple[int, ...], levels: int = 256, lr: float = 0.01):
        super().__init__(event_shape, 0, levels, lr)
        self.mean = nn.Parameter(torch.zeros(event_shape))
        self.log_width = nn.Parameter(torch.zeros(event_shape))

    @property
    def density(self) -> Normal:
        return Normal(self.mean, self.log_width.exp())

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        self.require_events(x)
        return self.density.log_prob(grid.dequantise(x, self.levels)).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return self.on_grid(self.density.sample(torch.Size([n])))


class Interruption(L.Callback):
    """Ends a training like Ctrl-C, after so many steps."""

    def __init__(self, after: int):
        self.after = after

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.after:
            raise KeyboardInterrupt


def make(path: Path, images: int) -> None:
    """A file of random images."""
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (images, 28, 28))
    random = np.random.default_rng(0)
    for start in range(0, images, AT_ONCE):
        part = file[start : start + AT_ONCE]
        part[:] = random.integers(256, size=part.shape, dtype=np.uint8)
    file.flush()


def most_held() -> float:
    """The most mebibytes that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def trained(
    data: DataSet, folder: Path, batch_size: int, callbacks: Sequence[L.Callback] = ()
) -> GenerativeModel:
    """The model after `EPOCHS` passes over ``data``; what ``folder`` has begun goes on."""
    a_pass = len(data.train) // batch_size
    return genzoo.fit(
        Pixels(data.event_shape),
        data,
        folder,
        steps=EPOCHS * a_pass,
        check_every=a_pass // 2,
        batch_size=batch_size,
        accelerator="cpu",
        callbacks=callbacks,
    ).model


def main() -> None:
    parser = argparse.ArgumentParser(description="Training from the disk.")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--batch_size", type=int, default=1000)
    parser.add_argument("--record", type=Path, default=RECORD)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    about = provenance()
    with tempfile.TemporaryDirectory() as scratch:
        path, folder = Path(scratch) / "images.npy", Path(scratch) / "run"
        make(path, asked.images)
        before = most_held()
        data = genzoo.data.load(path)
        begin = time.process_time()
        model = trained(data, folder, asked.batch_size)
        seconds = time.process_time() - begin
        memory = most_held() - before

        a_pass = len(data.train) // asked.batch_size
        try:
            stop = Interruption(a_pass + a_pass // 4)  # in the second pass, between two checks
            trained(data, folder / "again", asked.batch_size, [stop])
        except KeyboardInterrupt:
            again = trained(data, folder / "again", asked.batch_size)
    pairs = zip(model.parameters(), again.parameters(), strict=True)
    record = {
        "images": asked.images,
        "epochs": EPOCHS,
        "batch_size": asked.batch_size,
        "file MiB": round(asked.images * 28 * 28 / 2**20),
        "most memory beyond the start, MiB": round(memory),
        "images a second of one core": round(EPOCHS * len(data.train) / seconds),
        "resumed bit for bit": all(torch.equal(one, other) for one, other in pairs),
        "provenance": asdict(about),
    }
    with whole(asked.record) as draft:
        draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
