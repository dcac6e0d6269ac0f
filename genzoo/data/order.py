"""The order in which training reads its events: a new permutation in every pass, by arithmetic.

The k-th batch of a run follows from the seed, k and the size of the data alone. Nothing is stored,
so a resumed run goes on in the same order, with data of any size; and a batch is the same however
many processes share it, each of which takes its part.

A permutation of 2^b numbers is a Feistel network: the number is cut in two, and each half in turn
is mixed, by a hash of the other, in a way that can be undone. A result that is beyond the data is
sent through again until it is not (*cycle walking*, Black & Rogaway 2002, *Ciphers with arbitrary
finite domains*).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

ROUNDS = 6
AT_ONCE = 2**14  # places of the order that are computed at a time

Whole = NDArray[np.uint64]


class Order(DistributedSampler[list[int]]):
    """The batches of a run as lists of indices; of several processes, this one's part of each.

    (Lightning replaces any sampler that is not a ``DistributedSampler`` by its own.)

    Args:
        events: number of events of the data.
        batch_size: of all processes together; the rest of a pass that fills no batch is left out.
        seed: of the permutations.
        batches: of an epoch; None for a whole pass. Epochs follow each other through the passes.
        rank: of this process.
        processes: that share each batch.
    """

    def __init__(
        self,
        events: int,
        batch_size: int,
        seed: int = 0,
        batches: int | None = None,
        rank: int = 0,
        processes: int = 1,
    ):
        self.events = events
        self.batch_size = batch_size
        self.seed = seed
        self.in_pass = max(1, events // batch_size)
        self.batches = batches or self.in_pass
        self.rank = rank
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        first = self.epoch * self.batches
        stretch = max(1, AT_ONCE // self.batch_size)  # batches
        for start in range(first, first + self.batches, stretch):
            end = min(start + stretch, first + self.batches)
            for batch in self.read(start, end):
                yield batch[self.rank :: self.processes].tolist()
        self.epoch += 1  # for a loop that does not call `set_epoch`

    def read(self, start: int, end: int) -> Iterator[Whole]:
        """The batches from number ``start`` of the run up to ``end``, for all processes."""
        while start < end:
            this_pass, place = divmod(start, self.in_pass)
            several = min(end - start, self.in_pass - place)
            first = place * self.batch_size
            places = np.arange(first, first + several * self.batch_size)
            chosen = permuted(places, self.events, self.seed, this_pass)
            yield from chosen.reshape(several, -1)
            start += several


class InTurn(DistributedSampler[list[int]]):
    """All events once, in the order they have, in batches; of several processes, this one's part.

    No event is seen twice to make the parts equal, so a mean over all of them is right.
    """

    def __init__(self, events: int, batch_size: int, rank: int = 0, processes: int = 1):
        self.events = events
        self.batch_size = batch_size
        self.rank = rank
        self.processes = processes

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the order never changes."""

    def __len__(self) -> int:
        return -(-self.events // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, self.events, self.batch_size):
            end = min(start + self.batch_size, self.events)
            yield list(range(start + self.rank, end, self.processes))


def permuted(places: NDArray[np.integer], events: int, seed: int, this_pass: int) -> Whole:
    """Events that stand at given places of the permutation of a pass.

    Args:
        places: in the permutation.
        events: in all.
        seed: of the run.
        this_pass: over the data, which each have a permutation of their own.
    """
    source = np.random.SeedSequence([seed, this_pass])
    keys = source.generate_state(ROUNDS, np.uint64).astype(np.uint64)
    bits = max(2, int(events - 1).bit_length())
    chosen = feistel(places.astype(np.uint64), bits, keys)
    beyond = np.flatnonzero(chosen >= events)
    while len(beyond):
        again = feistel(chosen[beyond], bits, keys)
        chosen[beyond] = again
        beyond = beyond[again >= events]
    return chosen


def feistel(x: Whole, bits: int, keys: Whole) -> Whole:
    """A permutation of the numbers below 2^bits.

    Args:
        x: numbers, an array of any shape.
        bits: of the numbers, at least 2.
        keys: one for each round; other keys are another permutation.
    """
    of_right = np.uint64(bits // 2)  # bits of either half
    of_left = np.uint64(bits - bits // 2)
    right = x & mask(of_right)
    left = x >> of_right
    for key in keys:
        hashed = mixed(right ^ key)
        left = (left ^ hashed) & mask(of_left)
        left, right = right, left
        of_left, of_right = of_right, of_left
    return left << of_right | right


def mask(bits: np.uint64) -> np.uint64:
    """The number whose lowest ``bits`` bits are set."""
    one = np.uint64(1)
    return (one << bits) - one


def mixed(x: Whole) -> Whole:
    """A hash of each number (the end of SplitMix64, Steele et al. 2014)."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)
