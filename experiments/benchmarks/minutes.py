"""Accuracy of ``--minutes``: seconds of training over those that were asked for.

    python experiments/benchmarks/minutes.py [--minutes 0.5] [--families vae] [--data images]

Every family on three kinds of data: digits (8x8), points of the land mass, and a user's own 28x28
images, a ``.npz`` file of 5,000. One run at a time; with ``--jobs 2`` two runs share the machine,
as they do in a comparison by default. Each ratio is printed as soon as it is known. About half an
hour of one core, most of it for what a comparison measures after training.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

import genzoo
from genzoo import grid
from genzoo.benchmark.jobs import Observer, Outcome
from genzoo.errors import InputError

DATA = ["digits", "landmass", "images"]
FAMILIES = ["autoregressive", "flow", "vae", "energy", "diffusion", "gan"]
IMAGES = 5_000


def users_images(folder: Path) -> Path:
    """Images (1, 28, 28) of 256 levels in a file: digits, enlarged, shifted and noisy."""
    random = torch.Generator().manual_seed(0)
    digits = genzoo.data.load("digits").train.x
    chosen = digits[torch.randint(len(digits), (IMAGES,), generator=random)]
    large = F.interpolate(chosen, 24, mode="bilinear")
    framed = F.pad(large, (2, 2, 2, 2), value=-1.0)
    noisy = framed + 0.05 * torch.randn(framed.shape, generator=random)
    path = folder / "images.npz"
    levels = grid.to_level(noisy.clamp(-1, 1), 256)
    np.savez(path, x=levels.to(torch.uint8).numpy())
    return path


class Ratios(Observer):
    """Keeps the ratio of each family of a comparison, and prints it when its run has ended.

    Args:
        data: name of the data.
        minutes: asked for.
    """

    def __init__(self, data: str, minutes: float):
        self.data = data
        self.minutes = minutes
        self.of: dict[str, str] = {}

    def outcome(self, i: int, outcome: Outcome) -> None:
        """Print what has come of a run."""
        row = outcome.row
        if row is None or row.cost is None:
            print(f"{self.data}: {outcome.failure}", flush=True)
            return
        ratio = row.cost.train_seconds / (60 * self.minutes)
        self.of[row.family.lower()] = f"{ratio:.2f}"
        print(f"{self.data}, {row.family}: {ratio:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds of training over those asked for.")
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--families", type=str.lower, nargs="+", default=FAMILIES)
    parser.add_argument("--data", choices=DATA, nargs="+", default=DATA)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    title = f"trained / asked, {asked.minutes:g} minutes"
    table = Table("data", *asked.families, title=title)
    with tempfile.TemporaryDirectory() as scratch:
        images = users_images(Path(scratch))
        for name in asked.data:
            ratios = Ratios(name, asked.minutes)
            try:
                genzoo.compare(
                    asked.families,
                    images if name == "images" else name,
                    minutes=asked.minutes,
                    jobs=asked.jobs,
                    out=Path(scratch) / f"runs-{name}",
                    observer=ratios,
                )
            except InputError as error:
                parser.error(str(error))
            table.add_row(name, *(ratios.of.get(family, "—") for family in asked.families))
    Console().print(table)


if __name__ == "__main__":
    main()
