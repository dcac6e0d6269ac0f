"""Train digits-net, the feature network of ``FD (digits-net)``.

It is trained on MNIST and on the training split of digits.

    python experiments/digits_net.py --root data

It must read 28x28 and 8x8 digits. Of each batch three eighths are MNIST's, two eighths are MNIST's
made coarse as scikit-learn's were, and three eighths are scikit-learn's own, all moved, turned,
scaled and sheared a little. (Without the last it named 77 % of scikit-learn's: other writers, to
whom a 1 has a flag and a 9 is open.) No validation or test image is trained on.

Writes the weights into the package, and a record of the accuracy on images that were not trained
on. Takes about two minutes of one core.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import lightning as L
import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor

import genzoo
from genzoo import grid
from genzoo.benchmark.provenance import provenance
from genzoo.data.dataset import Split
from genzoo.data.images.digits_net import BOX, WEIGHTS, DigitsNet, framed
from genzoo.evaluation.figures import wilson
from genzoo.optim import warmup_cosine

RECORD = Path(__file__).parent / "records" / "digits-net.json"


def moved(x: Tensor) -> Tensor:
    """Digits ``(n, 1, h, w)`` on [-1, 1], each distorted at random.

    They are turned (10°), scaled (12 %), sheared (0.15) and shifted (a tenth).
    """

    def spread(amount: float) -> Tensor:
        return amount * (2 * torch.rand(len(x)) - 1)

    turn, across, up = spread(math.radians(10)), 1 + spread(0.12), 1 + spread(0.12)
    shear, right, down = spread(0.15), spread(0.1), spread(0.1)
    first = torch.stack([across * turn.cos(), shear - turn.sin(), right], 1)
    second = torch.stack([turn.sin(), up * turn.cos(), down], 1)
    places = F.affine_grid(torch.stack([first, second], 1), list(x.shape), align_corners=False)
    return F.grid_sample((x + 1) / 2, places, align_corners=False) * 2 - 1


def coarse(x: Tensor) -> Tensor:
    """MNIST's digits ``(n, 1, 28, 28)`` as scikit-learn's were made, ``(n, 1, 8, 8)`` in 17 levels:
    black or white at 32x32, then the black pixels of each 4x4 block counted. The threshold varies,
    and with it the thickness of the stroke.
    """
    margin = (x.shape[2] - BOX) // 2
    box = (x[..., margin:-margin, margin:-margin] + 1) / 2
    fine = F.interpolate(box, (32, 32), mode="bilinear")
    black = (fine > 0.25 + 0.4 * torch.rand(len(x), 1, 1, 1)).float()
    return grid.to_grid((16 * F.avg_pool2d(black, 4)).round(), levels=17)


def batches(mnist: Split, digits: Split, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over MNIST's share.

    Images ``(size, 1, 28, 28)`` on [-1, 1] and their classes ``(size,)``.
    """
    native, reduced = 3 * size // 8, 2 * size // 8
    for rows in torch.randperm(len(mnist)).split(native + reduced):
        x, c = mnist[rows]
        small, its_class = digits[torch.randint(len(digits), (size - native - reduced,))]
        x = moved(torch.cat([x, as_framed(small)]))
        x[native : len(rows)] = as_framed(coarse(x[native : len(rows)]))
        yield x, torch.cat([c, its_class])


def as_framed(x: Tensor) -> Tensor:
    """Small digits as digits-net sees them, but on [-1, 1].

    It lets a 28x28 image pass as it is.
    """
    return 2 * framed(x) - 1


def trained(mnist: Split, digits: Split, epochs: int, batch_size: int, lr: float) -> DigitsNet:
    """A network trained to name the class, by cross-entropy with smoothed labels."""
    net = DigitsNet()
    adam = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.05)
    steps = epochs * math.ceil(len(mnist) / (5 * batch_size // 8))
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: warmup_cosine(step, steps))
    for _ in track(range(epochs), "Training digits-net"):
        for x, c in batches(mnist, digits, batch_size):
            loss = F.cross_entropy(net.logits(x), c, label_smoothing=0.05)
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
    return net.eval()


def accuracy(net: DigitsNet, split: Split) -> dict[str, float]:
    """The share of a split's digits that are named right, with its 95 % interval."""
    with torch.no_grad():
        named = torch.cat([net.logits(part).argmax(1) for part in split.x.split(1000)])
    p, n = (named == split.c).double().mean().item(), len(named)
    low, high = wilson(p, n)
    return {"value": p, "low": low, "high": high, "n": n}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    L.seed_everything(options.seed, verbose=False)
    mnist, digits = genzoo.data.load("mnist", root=options.root), genzoo.data.load("digits")
    started = time.perf_counter()
    net = trained(mnist.train, digits.train, options.epochs, options.batch_size, options.lr)
    seconds = time.perf_counter() - started
    tests = {
        "MNIST": mnist.test,
        "MNIST made coarse": Split(coarse(mnist.test.x), mnist.test.c),
        "digits": digits.test,
    }
    record = {
        "net": "digits-net",
        "trained_on": f"{len(mnist.train):,} images of MNIST, {len(digits.train):,} of digits",
        "parameters": sum(p.numel() for p in net.parameters()),
        **{name: value for name, value in vars(options).items() if name != "root"},
        "train_seconds": round(seconds, 1),
        "test_accuracy": {name: accuracy(net, split) for name, split in tests.items()},
        **asdict(provenance()),
    }
    WEIGHTS.parent.mkdir(exist_ok=True)
    save_file(net.state_dict(), WEIGHTS)
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, found in record["test_accuracy"].items():
        print(
            f"{name}: {found['value']:.2%} ({found['low']:.2%} to {found['high']:.2%}) of "
            f"{found['n']:,}"
        )


if __name__ == "__main__":
    main()
