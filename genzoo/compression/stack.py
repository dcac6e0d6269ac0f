r"""A stack of symbols in as few bits as their probabilities allow: last in, first out.

The coder is *asymmetric numeral systems* (Duda 2009), of the package constriction. Pushing a symbol
of probability P makes the stack longer by :math:`-\log_2 P` bits, and popping it makes the stack as
much shorter. Popping a symbol that was never pushed *samples* one: the bits on the stack serve as
random numbers, and pushing the symbol returns them. Bits-back coding (`genzoo.compression.codes`)
relies on that.

Writer and reader must use exactly the same probabilities. So these reach the coder as whole numbers
(`frequencies`), and both sides get them from the same `Walk`.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.errors import InputError

PRECISION = 24  # bits of a frequency: constriction's own, and what a float32 holds unrounded

# Yields the probabilities of symbols (n, m, K), some at a time, and is then sent them (n, m).
Walk = Generator[Tensor, Tensor, None]


def frequencies(pmf: Tensor) -> Tensor:
    """Probabilities ``(..., K)`` in units of 2^-24, less the one that constriction gives to all.

    They are whole numbers that add up to 2^24 - K, so the coder need not round. The remainder of
    our rounding goes to the last symbol, not to the likeliest: which one is the likeliest may
    depend on the last digit of a sum.

    Raises:
        InputError: these are not probabilities, but for example a NaN, of a model that diverged.
    """
    pmf = pmf.double()
    total = pmf.sum(-1, keepdim=True)
    if not (total.isfinite().all() and (total > 0).all() and (pmf >= 0).all()):
        raise InputError("The model's probabilities are no numbers: has its training diverged?")
    units = 2**PRECISION - pmf.shape[-1]
    whole = (pmf / total * units).floor()
    whole[..., -1] += units - whole.sum(-1)
    return whole.float()


class Stack:
    """Symbols, coded in bits.

    Args:
        content: initial bytes, the last of them not zero: the `content` of another stack, or random
            ones to sample from.

    Raises:
        InputError: the package constriction is missing, or a stack cannot have this ``content``.
    """

    def __init__(self, content: bytes = b""):
        if content.endswith(b"\0"):
            raise InputError("These bytes are not what a coder leaves: they end in zero.")
        stream = _constriction().stream
        words = np.frombuffer(content + bytes(-len(content) % 4), "<u4")
        self._coder = stream.stack.AnsCoder(words.astype(np.uint32))
        self._family = stream.model.Categorical(perfect=False)

    @property
    def content(self) -> bytes:
        """The content of the stack in bytes."""
        words = self._coder.get_compressed().astype("<u4")
        return words.tobytes().rstrip(b"\0")  # the last word, of 32 bits, is seldom full

    def push(self, walk: Walk, symbols: Tensor, key: int | None = None) -> None:
        """Put symbols on the stack.

        The walk goes forward, for later probabilities depend on earlier symbols. Then all symbols
        are pushed, from the last to the first.

        Args:
            walk: gives the probabilities.
            symbols: ``(n, D)``; `pop` with the same walk and key returns them.
            key: as of `pop`.
        """
        done = 0
        parts = []
        pmf = next(walk)
        while pmf is not None:
            end = done + pmf.shape[1]
            part = symbols[:, done:end]
            parts.append((part, frequencies(pmf)))
            pmf = _next(walk, part)
            done = end
        for part, table in reversed(parts):
            self._push(part, table, key)

    def pop(self, walk: Walk, key: int | None = None) -> Tensor:
        """Take symbols ``(n, D)`` off the stack: those pushed last, or samples.

        Args:
            walk: gives the probabilities.
            key: for samples, a seed that permutes the symbols of a table. On top of the stack is
                the latent variable of the previous event: with tables in the same order, the next
                one would be a copy of it, not a random sample.
        """
        parts = []
        pmf = next(walk)
        while pmf is not None:
            parts.append(self._pop(frequencies(pmf), key))
            pmf = _next(walk, parts[-1])
        return torch.cat(parts, 1)

    def _push(self, symbols: Tensor, table: Tensor, key: int | None) -> None:
        order = _places(table.shape[-1], key)
        if len(order) > 1:  # the only possible symbol takes no bits
            place = order.argsort()[symbols].to(torch.int32)
            self._coder.encode_reverse(_rows(place), self._family, _rows(table[..., order]))

    def _pop(self, table: Tensor, key: int | None) -> Tensor:
        order = _places(table.shape[-1], key)
        if len(order) == 1:
            return torch.zeros(table.shape[:2], dtype=torch.long)
        place = self._coder.decode(self._family, _rows(table[..., order]))
        return order[torch.from_numpy(place).long()].view(table.shape[:2])


def _next(walk: Walk, symbols: Tensor) -> Tensor | None:
    """The next probabilities of a walk that is sent ``symbols``; None at its end."""
    try:
        return walk.send(symbols)
    except StopIteration:
        return None


def _places(symbols: int, key: int | None) -> Tensor:
    """The order of symbols in a table, as indices."""
    if key is None:
        return torch.arange(symbols)
    return torch.from_numpy(np.random.RandomState(key).permutation(symbols))  # frozen by numpy


def _rows(numbers: Tensor) -> np.ndarray:
    """Numbers ``(n, m, ...)`` as ``(n m, ...)``, row after row in memory.

    constriction reads a transposed array as if it were a plain one.
    """
    return np.ascontiguousarray(numbers.flatten(0, 1).numpy())


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise InputError("Files need an entropy coder: pip install constriction.") from error
    return constriction
