"""A million 28x28 images through two epochs of training, from the disk: memory and pace.

    python experiments/benchmarks/stream.py [--images 1000000] [--epochs 2] [--batch_size 1000]

The images are random bytes in a ``.npy`` file, 0.8 GB, that is mapped. The model is a small VAE, so
that reading has a share in the time that can be seen. What is told:

* **memory**: the most that the process held beyond what it held before training. Nearly all of it
  is a constant: the held-out images and the sample of the training images (20,000 and 10,000 of
  them as float32), the model and a batch;
* **reading**: the share of the processor time of an epoch that gathering its batches takes.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

import genzoo
from genzoo.data import Data

AT_ONCE = 10_000  # images that are written at a time


def make(path: Path, images: int) -> None:
    """A file of random images."""
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (images, 28, 28))
    random = np.random.default_rng(0)
    for start in range(0, images, AT_ONCE):
        part = file[start : start + AT_ONCE]
        part[:] = random.integers(256, size=part.shape, dtype=np.uint8)
    file.flush()


def most_held() -> float:
    """The most megabytes that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and pace of training from the disk.")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch_size", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "images.npy"
        make(path, options.images)
        before = most_held()
        data = genzoo.data.load(path)
        in_epoch = len(data.train) // options.batch_size
        begin = time.process_time()
        for _ in Data(data, options.batch_size).train_dataloader():
            pass
        reading = time.process_time() - begin
        model = genzoo.VAE(data.event_shape, levels=256, width=8, latent_shape=(8,))
        begin = time.process_time()
        fitted = genzoo.fit(
            model,
            data,
            steps=options.epochs * in_epoch,
            check_every=in_epoch,
            batch_size=options.batch_size,
            accelerator="cpu",
        )
        epoch = (time.process_time() - begin) / options.epochs
    size = options.images * 28 * 28 / 2**20
    screen = Console()
    screen.print(f"{fitted.steps} steps, {options.epochs} epochs of {len(data.train):,} images")
    screen.print(
        f"memory: {most_held() - before:.0f} MiB beyond the start; the file has {size:.0f}"
    )
    screen.print(f"reading: {reading / epoch:.1%} of an epoch")


if __name__ == "__main__":
    main()
