"""An Ising magnet of 3x3 spins: discrete data whose 512 pictures have known probabilities.

Neighbours tend to agree, and a weak field favours up. With spins s of -1 and 1 (as x is -0.5 and
0.5 on the grid) and the temperature in units of the coupling::

    P(x) = 1/Z · exp((sum over neighbours i, j of s_i s_j + FIELD · sum over i of s_i) /
    TEMPERATURE)

All 512 can be listed, so the true probabilities, their entropy and samples are exact, and a model's
probabilities can be summed over *all* events: if the sum exceeds one, they are not probabilities,
however good the figure on test events is.
"""

import math
from functools import cache

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet

SIDE = 3  # spins
LEVELS = 2
TEMPERATURE = 2.0  # in units of the coupling; neither frozen nor independent
FIELD = 0.1  # in the same units


def ising(
    train: int = 10_000, validation: int = 1_000, test: int = 2_000, seed: int = 0
) -> DataSet:
    """Spins of a small magnet: events (1, 3, 3), 2 levels; the same few hundred occur repeatedly.

    Args:
        train: number of training events.
        validation: number of validation events.
        test: number of test events.
        seed: of random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    n = train + validation + test
    rows = torch.multinomial(log_pmf().exp(), n, replacement=True, generator=generator)
    return DataSet.split(
        "ising",
        worlds()[rows],
        None,
        sizes=(train, validation, test),
        levels=LEVELS,
        log_density=log_density,
        entropy=entropy(),
        about="3x3 spins of an Ising magnet, 512 pictures in all",
        source="drawn by genzoo after the model of W. Lenz and E. Ising",
    )


def worlds() -> Tensor:
    """All possible events, (512, 1, 3, 3), in the order of binary numbers, first spin first."""
    of_a_spin = torch.arange(LEVELS)
    levels = torch.cartesian_prod(*[of_a_spin] * SIDE**2)
    return grid.to_grid(levels, LEVELS).view(-1, 1, SIDE, SIDE)


@cache
def log_pmf() -> Tensor:
    """log P of every event of `worlds`, (512,) float64 nats."""
    spins = worlds().squeeze(1).sign().double()
    across = spins[:, :, 1:] * spins[:, :, :-1]
    down = spins[:, 1:] * spins[:, :-1]
    agreement = across.sum((1, 2)) + down.sum((1, 2))
    magnetisation = spins.sum((1, 2))
    negative_energy = agreement + FIELD * magnetisation
    log_weights = negative_energy / TEMPERATURE
    return log_weights.log_softmax(0)


def log_density(x: Tensor) -> Tensor:
    """The true log(P(x) / width^9) of pictures (n, 1, 3, 3), in nats; -inf outside [-1, 1]."""
    # an event's row among `worlds` is the binary number of its levels
    powers = torch.arange(SIDE**2 - 1, -1, -1, device=x.device)
    level = grid.to_level(x, LEVELS).flatten(1)
    rows = (level * LEVELS**powers).sum(1)
    density = log_pmf().to(x.device)[rows] - _log_volume()
    outside = x.flatten(1).abs().amax(1) > 1
    return density.masked_fill(outside, -math.inf).to(x.dtype)


def entropy() -> float:
    """Entropy of the data as a density (nats), exact."""
    log_p = log_pmf()
    in_nats = -(log_p.exp() @ log_p).item()
    return in_nats + _log_volume()


def _log_volume() -> float:
    """log of the volume of a bin of the grid of events."""
    return SIDE**2 * math.log(grid.bin_width(LEVELS))
