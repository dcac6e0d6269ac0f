"""Handwritten digits, 8x8 pixels in 17 levels: small enough that every family trains on a laptop in minutes."""

import torch

from genzoo import grid
from genzoo.data.dataset import DataSet, Split


def digits() -> DataSet:
    """The 1,797 digits that come with scikit-learn: events (1, 8, 8), 17 levels, labels 0-9.

    Split by index, as in the notebooks of Tomczak's *Deep Generative Modeling*, so that figures are comparable:
    train 0-999, validation 1000-1349, test 1350-1796.
    """
    from sklearn.datasets import load_digits  # a second to import, which the other data sets need not pay

    pixels, labels = load_digits(return_X_y=True)
    x = grid.to_grid(torch.from_numpy(pixels).view(-1, 1, 8, 8), levels=17)
    c = torch.from_numpy(labels).long()
    train, validation, test = (Split(x[part], c[part]) for part in (slice(1000), slice(1000, 1350), slice(1350, None)))
    return DataSet(
        name="digits",
        train=train,
        validation=validation,
        test=test,
        levels=17,
        classes=tuple("0123456789"),
        condition=10,
        about="8x8 handwritten digits, 17 grey levels",
        source="scikit-learn's load_digits: UCI ML repository, E. Alpaydin and C. Kaynak, 1998 (CC BY 4.0)",
    )
