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

# sizes of the splits; the other 447 events are the test split
TRAIN = 1000
VALIDATION = 350
SPLITTINGS = ("stratified", "index")


def digits(split: str = "stratified") -> DataSet:
    """The 1,797 digits that come with scikit-learn: events (1, 8, 8), 17 levels, labels 0-9.

    Args:
        split: "stratified", a fixed random split in which each class has its share; or "index", as
            in the notebooks of Tomczak's *Deep Generative Modeling*: train 0-999, validation
            1000-1349, test 1350-1796. There the later events differ from the first, perhaps by
            their writers, and figures can be compared with the book's. That data set can also be
            loaded by its name "digits-index".

    Raises:
        InputError: there is no such split.
    """
    # takes a second, which other data sets need not pay
    from sklearn.datasets import load_digits

    if split not in SPLITTINGS:
        raise InputError(f"digits cannot be split by {split!r}. {nearest(str(split), SPLITTINGS)}")
    pixels, labels = load_digits(return_X_y=True)
    x = grid.to_grid(torch.from_numpy(pixels).view(-1, 1, 8, 8), levels=17)
    c = torch.from_numpy(labels).long()
    name = "digits"
    about = "8x8 handwritten digits, 17 grey levels"
    rows = stratified(c.tolist())
    oracle = read
    feature_space = DIGITS_NET
    if split == "index":
        name = "digits-index"
        about += ", split by index"
        rows = by_index(len(c))
        # digits-net was trained on some events that are held out here
        oracle = None
        feature_space = None
    train, validation, test = (Split(x[part], c[part]) for part in rows)
    return DataSet(
        name=name,
        train=train,
        validation=validation,
        test=test,
        levels=17,
        classes=tuple("0123456789"),
        condition=10,
        about=about,
        source="scikit-learn's load_digits: UCI ML repository, E. Alpaydin and C. Kaynak, 1998 "
        "(CC BY 4.0)",
        read=oracle,
        feature_space=feature_space,
    )


def digits_index() -> DataSet:
    """`digits`, split by index."""
    return digits(split="index")


def by_index(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the train, validation and test events: the first, the next, and the rest."""
    train, validation, test = torch.arange(n).tensor_split([TRAIN, TRAIN + VALIDATION])
    return train, validation, test


def stratified(labels: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the train, validation and test events, in ascending order.

    Each class has its share in each, to within one event. The events of a class are shuffled by a
    hash: unlike the numbers of a generator, it is the same in every version of every library.
    """
    shuffled = sorted(range(len(labels)), key=lambda i: (labels[i], _hash(i)))
    train, others = _spread(shuffled, TRAIN)
    validation, test = _spread(others, VALIDATION)
    return (
        torch.tensor(sorted(train)),
        torch.tensor(sorted(validation)),
        torch.tensor(sorted(test)),
    )


def _hash(i: int) -> bytes:
    return hashlib.sha256(f"genzoo digits {i}".encode()).digest()


def _spread(places: Sequence[int], n: int) -> tuple[list[int], list[int]]:
    """``n`` of the indices at equal distances, and the rest; every section has its share."""
    chosen = []
    others = []
    for position, index in enumerate(places):
        chosen_until_now = (position + 1) * n // len(places)
        if chosen_until_now > len(chosen):
            chosen.append(index)
        else:
            others.append(index)
    return chosen, others
