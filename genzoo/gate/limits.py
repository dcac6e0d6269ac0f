"""Limits on the size of input from outside: every limit of the gate, each in one place.

The documentation's table of limits is made from `LIMITS`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from genzoo.errors import InputError

KIB = 2**10
GIB = 2**30


@dataclass(frozen=True)
class Limit:
    """The most of something that is let in.

    Args:
        most: so many, and no more.
        unit: what is counted: "values", "bytes".
        of: what it is a limit of, for the table of the documentation.
        share: what part of this machine it is, where it is no fixed number.
    """

    most: int
    unit: str
    of: str
    share: str = ""

    def __str__(self) -> str:
        return amount(self.most, self.unit)

    def check(self, count: int, what: object) -> None:
        """Raise `InputError` where ``what`` has a ``count`` beyond this limit."""
        if count > self.most:
            raise InputError(f"{what} has {amount(count, self.unit)}: expected at most {self}.")


def amount(count: int, unit: str) -> str:
    """A count in words: "1,000,000 values", "15.6 GiB"."""
    if unit != "bytes" or count < KIB:
        return f"{count:,} {unit}"
    names = ("KiB", "MiB", "GiB", "TiB", "PiB")
    power = min((count.bit_length() - 1) // 10, len(names))
    return f"{count / KIB**power:,.4g} {names[power - 1]}"


def memory() -> int:
    """Bytes of memory that this machine has; 16 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return 16 * GIB


HALF = "half of the memory"
DEPTH = Limit(50, "levels", "nesting of YAML and JSON; a hybrid, the deepest of ours, has six")
VALUES = Limit(1_000_000, "values", "YAML and JSON, each counted as often as an alias repeats it")
TEXT = Limit(64 * KIB**2, "bytes", "a file of YAML or JSON")
DIGITS = Limit(18, "digits", "a whole number, so that it fits into 64 bits")
DRAWS = Limit(1_000_000, "draws", "levels, chains, events and draws of an estimate; pictures")
BATCH = Limit(1_000_000, "events", "a batch of training; of fewer, all of them")
SAMPLES = Limit(10_000_000, "samples", "genzoo sample, compress")
PICTURES = Limit(10_000, "pictures", "genzoo imagine, vary")
CLASSES = Limit(100_000, "classes", "labels of data of your own")
LEVELS = Limit(2**16, "levels", "data of your own, a feature")
FEATURES = Limit(10_000_000, "features", "an event or a latent")
PIXELS = Limit(89_478_485, "pixels", "an image; as much as Pillow takes for harmless")
ARRAYS = Limit(memory() // 2, "bytes", "the arrays of a .npz file, unpacked", HALF)
WEIGHTS = Limit(memory() // 2, "bytes", "a file of weights, a checkpoint", HALF)
MODEL = Limit(memory() // 2, "bytes", "a new model", HALF)
TENSORS = Limit(20_000, "tensors", "a new model; the largest of ours has some hundreds")

LIMITS = (
    DEPTH,
    VALUES,
    TEXT,
    DIGITS,
    DRAWS,
    BATCH,
    SAMPLES,
    PICTURES,
    CLASSES,
    LEVELS,
    FEATURES,
    PIXELS,
    ARRAYS,
    WEIGHTS,
    MODEL,
    TENSORS,
)


def size(path: Path, limit: Limit) -> int:
    """The bytes of a file, once it is known to be an ordinary one, not too large.

    A pipe or a device might never end.

    Raises:
        InputError: it is too large, or no ordinary file.
        OSError: there is none.
    """
    found = path.stat()
    if not S_ISREG(found.st_mode):
        raise InputError(f"{path} is no ordinary file: expected one that can be read to its end.")
    limit.check(found.st_size, path)
    return found.st_size
