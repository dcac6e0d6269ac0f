"""The classic image sets, read by torchvision: MNIST, Fashion-MNIST and CIFAR-10, in 256 levels.

And MNIST in black and white, in the dynamic form: each pixel is white with a chance that is its
grey level, and each batch of training is drawn afresh. The other form in use, static, is one fixed
draw that was published by Larochelle and Murray in 2011; figures of the two lie about two nats
apart, and say nothing of each other.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.data.images import digits_net
from genzoo.errors import InputError

# the last images of the training set; the test set is used whole, and only to test
VALIDATION = 5_000

SEED = 0  # of the one binarisation of what is not trained on

CLOTHES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

IDX_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
CIFAR_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")


def mnist(root: str | Path = "data", download: bool = True) -> DataSet:
    """Handwritten digits: events (1, 28, 28); 55,000 train, 5,000 validation, 10,000 test."""
    from torchvision.datasets import MNIST as Source  # four seconds, so only when it is needed

    parts = _read("mnist", Source, Path(root), download, "MNIST/raw", IDX_FILES)
    return _dataset(
        "mnist",
        parts,
        tuple("0123456789"),
        "28x28 handwritten digits",
        "LeCun, Cortes and Burges, 1998",
        read=digits_net.read,
        feature_space=digits_net.DIGITS_NET,
    )


def mnist_binary(root: str | Path = "data", download: bool = True) -> DataSet:
    """Digits in black and white: the splits of `mnist`, two levels, reported in nats.

    Training batches are drawn afresh (`Binarised`). Validation and test images, and those training
    images that are looked at outside of batches, were drawn once, by `SEED`.
    """
    grey = mnist(root, download)
    splits = _binarised({"train": grey.train, "validation": grey.validation, "test": grey.test})
    return replace(
        grey,
        name="mnist-binary",
        **splits,
        levels=2,
        in_nats=True,
        about="28x28 handwritten digits in black and white, dynamically binarised",
        source=f"{grey.source}; validation and test binarised once, by seed {SEED}",
    )


def fashion_mnist(root: str | Path = "data", download: bool = True) -> DataSet:
    """Pieces of clothing: events (1, 28, 28); 55,000 train, 5,000 validation, 10,000 test."""
    from torchvision.datasets import FashionMNIST as Source

    parts = _read("fashion-mnist", Source, Path(root), download, "FashionMNIST/raw", IDX_FILES)
    return _dataset(
        "fashion-mnist",
        parts,
        CLOTHES,
        "28x28 pieces of clothing",
        "Xiao, Rasul and Vollgraf, 2017",
    )


def cifar10(root: str | Path = "data", download: bool = True) -> DataSet:
    """Colour photographs: events (3, 32, 32); 45,000 train, 5,000 validation, 10,000 test."""
    from torchvision.datasets import CIFAR10 as Source

    parts = _read("cifar10", Source, Path(root), download, "cifar-10-batches-py", CIFAR_FILES)
    return _dataset(
        "cifar10",
        parts,
        THINGS,
        "32x32 colour photographs of ten kinds of things",
        "Krizhevsky, 2009",
    )


class Binarised(Split):
    """Grey images whose binary pixels are sampled anew each time they are read.

    Args:
        grey: images (n, *event_shape), bytes: the chance of white, in 255ths.
        x: one such sample of each, for code that needs all of them at once.
        c: their labels.
    """

    def __init__(self, grey: Tensor, x: Tensor, c: Tensor | None = None):
        super().__init__(x, c)
        self.grey = grey

    def __getitem__(self, i: Any) -> Any:
        _, *conditions = super().__getitem__(i)
        return draw(self.grey[i]), *conditions

    def some(self, most: int) -> Split:
        return Split(self.x, self.c).some(most)

    def to(self, device: Any) -> "Binarised":
        drawn = Split(self.x, self.c).to(device)
        return Binarised(self.grey.to(device), drawn.x, drawn.c)


def draw(grey: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Each pixel white with a chance that is its grey level, in 255ths: on the grid of 2 levels."""
    return grid.to_grid(torch.bernoulli(grey / 255, generator=generator), 2)


def _binarised(splits: Mapping[str, Split]) -> dict[str, Split]:
    """The splits of grey images in black and white; only the training images go on changing."""
    generator = torch.Generator().manual_seed(SEED)
    binary: dict[str, Split] = {}
    for name, split in splits.items():
        grey = grid.to_level(split.x, 256).byte()
        x = draw(grey, generator)
        if name == "train":
            binary[name] = Binarised(grey, x, split.c)
        else:
            binary[name] = Split(x, split.c)
    return binary


def _read(
    name: str, source, root: Path, download: bool, folder: str, files: tuple[str, ...]
) -> list:
    """torchvision's training and test part; any error says which files belong where."""
    try:
        return [source(root, train=train, download=download) for train in (True, False)]
    except (OSError, RuntimeError, ValueError, AssertionError, EOFError) as error:
        missing = [file for file in files if not (root / folder / file).is_file()]
        if missing:
            tried = "the download failed" if download else "download is off"
            raise InputError(
                f"{name} is not in {root} and {tried}: put the files {', '.join(missing)} into "
                f"{root / folder}, or give the root folder that holds {folder}."
            ) from error
        raise InputError(
            f"The files of {name} in {root / folder} are damaged: delete them and load again."
        ) from error


def _dataset(
    name: str,
    parts: list,
    classes: tuple[str, ...],
    about: str,
    source: str,
    **knowledge: Any,
) -> DataSet:
    train, test = map(_split, parts)
    return DataSet(
        name,
        train=Split(*train[:-VALIDATION]),  # views: nothing is copied
        validation=Split(*train[-VALIDATION:]),
        test=test,
        levels=256,
        classes=classes,
        condition=len(classes),
        about=f"{about}, 256 levels",
        source=f"{source}, read by torchvision",
        **knowledge,
    )


def _split(part) -> Split:
    """A data set of torchvision's, whose pixels are bytes, as events."""
    pixels = _channels_first(part.data)
    return Split(grid.to_grid_in_parts(pixels, 256), torch.as_tensor(part.targets))


def _channels_first(pixels) -> Tensor:
    """(n, h, w) or (n, h, w, 3) bytes as (n, c, h, w), without a copy."""
    pixels = torch.as_tensor(pixels)
    if pixels.ndim == 3:
        return pixels.unsqueeze(1)
    return pixels.permute(0, 3, 1, 2)
