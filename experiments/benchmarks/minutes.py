"""Whether ``--minutes`` keeps its word: seconds of training over those that were asked for.

    python experiments/benchmarks/minutes.py [--minutes 0.5] [--families ...]

Every family on three kinds of data: digits (8x8), points of the land mass, and 28x28 images as a
stranger would bring them, a ``.npz`` file of 5,000. One run at a time. With ``--jobs 2`` two runs
share the machine, as they do in a comparison by default. About half an hour of one core.
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

FAMILIES = ["autoregressive", "flow", "vae", "energy", "diffusion", "gan"]
IMAGES = 5_000


def strangers_images(folder: Path) -> Path:
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds of training over those asked for.")
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--data", nargs="+", default=["digits", "landmass", "images"])
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    table = Table("data", *asked.families, title=f"trained / asked, {asked.minutes:g} minutes")
    with tempfile.TemporaryDirectory() as scratch:
        images = strangers_images(Path(scratch))
        for name in asked.data:
            scores = genzoo.compare(
                asked.families,
                images if name == "images" else name,
                minutes=asked.minutes,
                jobs=asked.jobs,
                out=Path(scratch) / f"runs-{name}",
            )
            trained = {row.family.lower(): row.cost.train_seconds for row in scores if row.cost}
            ratios = [trained[family] / (60 * asked.minutes) for family in asked.families]
            table.add_row(name, *(f"{ratio:.2f}" for ratio in ratios))
            Console().print(name, *(f"{ratio:.2f}" for ratio in ratios))
    Console().print(table)


if __name__ == "__main__":
    main()
