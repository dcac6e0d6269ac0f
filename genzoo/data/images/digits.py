"""Handwritten digits, 8x8 pixels in 17 levels.

Small enough that every family trains on a laptop in minutes.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.data.images.digits_net import DIGITS_NET, read
from genzoo.errors import InputError, nearest

TRAIN, VALIDATION = 1000, 350  # events; the other 447 are the test split
SPLITTINGS = ("stratified", "index")


def digits(split: str = "stratified") -> DataSet:
    """The 1,797 digits that come with scikit-learn: events (1, 8, 8), 17 levels, labels 0-9.

    Args:
        split: "stratified", drawn at random once and for all, each class with its share in every
            split; or "index", as in the notebooks of Tomczak's *Deep Generative Modeling*: train
            0-999, validation 1000-1349, test 1350-1796. There the later events differ from the
            first, perhaps by their writers, and figures can be compared with the book's. That
            data set is called "digits-index", by which name it can be loaded, too.

    Raises:
        InputError: there is no such split.
    """
    from sklearn.datasets import (
        load_digits,
    )  # a second to import, which the other data sets need not pay

    if split not in SPLITTINGS:
        raise InputError(f"digits cannot be split by {split!r}. {nearest(str(split), SPLITTINGS)}")
    pixels, labels = load_digits(return_X_y=True)
    x = grid.to_grid(torch.from_numpy(pixels).view(-1, 1, 8, 8), levels=17)
    c = torch.from_numpy(labels).long()
    # Not for digits by index: digits-net was trained on some events that are held out there.
    about = "8x8 handwritten digits, 17 grey levels"
    rows = by_index(len(c)) if split == "index" else stratified(c.tolist())
    train, validation, test = (Split(x[part], c[part]) for part in rows)
    return DataSet(
        name="digits-index" if split == "index" else "digits",
        train=train,
        validation=validation,
        test=test,
        levels=17,
        classes=tuple("0123456789"),
        condition=10,
        about=f"{about}, split by index" if split == "index" else about,
        source="scikit-learn's load_digits: UCI ML repository, E. Alpaydin and C. Kaynak, 1998 "
        "(CC BY 4.0)",
        read=None if split == "index" else read,
        feature_space=None if split == "index" else DIGITS_NET,
    )


def digits_index() -> DataSet:
    """`digits`, split by index."""
    return digits(split="index")


def by_index(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Places of the train, validation and test events: the first, those that follow, the rest."""
    train, validation, test = torch.arange(n).tensor_split([TRAIN, TRAIN + VALIDATION])
    return train, validation, test


def stratified(labels: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Places of the train, validation and test events, in ascending order.

    Each class has its share in each, to within one event. A hash shuffles the events of a class:
    unlike a generator's stream, it is the same in every version of every library.
    """
    shuffled = sorted(range(len(labels)), key=lambda i: (labels[i], _hash(i)))
    train, others = _spread(shuffled, TRAIN)
    validation, test = _spread(others, VALIDATION)
    return torch.tensor(sorted(train)), torch.tensor(sorted(validation)), torch.tensor(sorted(test))


def _hash(i: int) -> bytes:
    return hashlib.sha256(f"genzoo digits {i}".encode()).digest()


def _spread(places: Sequence[int], n: int) -> tuple[list[int], list[int]]:
    """``n`` of ``places`` at even distances, so that any stretch gives its share; and the rest."""
    chosen, others = [], []
    for position, place in enumerate(places):
        due_before, due_now = (k * n // len(places) for k in (position, position + 1))
        (chosen if due_now > due_before else others).append(place)
    return chosen, others
