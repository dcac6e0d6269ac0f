"""Two moons: the smallest data with a curved distribution."""

import torch

from genzoo.data.dataset import DataSet, Split


def moons(
    train: int = 10_000,
    validation: int = 2_000,
    test: int = 2_000,
    noise: float = 0.1,
    seed: int = 0,
) -> DataSet:
    """Points of two half circles of radius 1: events (2,), labels 0 (upper) and 1 (lower).

    Args:
        train: number of training events.
        validation: number of validation events.
        test: number of test events.
        noise: standard deviation of the Gaussian noise of points.
        seed: of random numbers.
    """
    return DataSet(
        "moons",
        train=_draw(train, noise, 3 * seed),  # three seeds that no other data set shares
        validation=_draw(validation, noise, 3 * seed + 1),
        test=_draw(test, noise, 3 * seed + 2),
        classes=("upper", "lower"),
        condition=2,
        features=("x", "y"),
        about="two interleaved half circles of points",
        source="scikit-learn's make_moons",
    )


def _draw(n: int, noise: float, seed: int) -> Split:
    # takes a second, which other data sets need not pay
    from sklearn.datasets import make_moons

    points, labels = make_moons(n, noise=noise, random_state=seed)
    return Split(torch.from_numpy(points).float(), torch.from_numpy(labels).long())
