"""A stack that holds symbols in as few bits as their probabilities allow: what is pushed last is popped first.

The coder is *asymmetric numeral systems* (Duda 2009) of the package constriction. Pushing a symbol of probability P makes
the stack longer by :math:`-\\log_2 P` bits, popping it makes the stack as much shorter, and popping a symbol that nobody has
pushed *draws* one from P, with the bits on the stack for random numbers. That last fact is what bits-back coding lives on
(`genzoo.compression.codes`).

A coder and a decoder understand each other only if they see the very same probabilities. So these reach the coder as whole
numbers (`frequencies`), and both sides are told them by one and the same `Walk`.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.errors import InputError

PRECISION = 24  # bits of a frequency: constriction's own, and what a float32 holds without rounding

# Asks for symbols, some at a time: yields their probabilities (n, m, K), is sent the symbols (n, m), and goes on from there.
Walk = Generator[Tensor, Tensor, None]


def frequencies(pmf: Tensor) -> Tensor:
    """Probabilities ``(..., K)`` in whole units of 2^-24, less the one unit that constriction adds to every symbol.

    They add up to 2^24 - K exactly, so the coder finds nothing left to round. What rounding leaves over goes to the last
    symbol, not to the likeliest: which one that is could hang on the last digit of a sum.

    Raises:
        InputError: what is given are no probabilities, such as a NaN of a model that diverged.
    """
    total = pmf.sum(-1, keepdim=True)
    if not (total.isfinite().all() and (total > 0).all() and (pmf >= 0).all()):
        raise InputError("The model gives no probabilities here, but NaN or infinity: has its training diverged?")
    units = 2**PRECISION - pmf.shape[-1]
    whole = (pmf / total * units).floor()
    whole[..., -1] += units - whole.sum(-1)
    return whole


class Stack:
    """Symbols, and the bits they take.

    Args:
        content: what an earlier stack's `content` returned; None for an empty stack.

    Raises:
        InputError: the package constriction is missing, or ``content`` cannot be what a stack held.
    """

    def __init__(self, content: bytes | None = None):
        stream = _constriction().stream
        self._family = stream.model.Categorical(perfect=False)
        if content is None:
            self._coder = stream.stack.AnsCoder()
            return
        try:
            self._coder = stream.stack.AnsCoder(np.frombuffer(content, "<u4").astype(np.uint32))
        except ValueError as error:
            raise InputError(f"These bytes are not what a coder leaves: {error}") from error

    @property
    def content(self) -> bytes:
        """All that is on the stack, in words of 32 bits."""
        return self._coder.get_compressed().astype("<u4").tobytes()

    @property
    def bits(self) -> int:
        """The length of the stack."""
        return self._coder.num_valid_bits()

    @property
    def empty(self) -> bool:
        return self._coder.is_empty()

    def push(self, symbols: Tensor, pmf: Tensor) -> None:
        """Put symbols ``(n, m)`` on the stack, each of 0 ... K-1 with probabilities ``(n, m, K)``."""
        self._push(_symbols(symbols), _table(pmf))

    def pop(self, pmf: Tensor) -> Tensor:
        """Take symbols ``(n, m)`` of probabilities ``(n, m, K)`` off the stack: those pushed last, or else draws."""
        return self._pop(_table(pmf)).view(pmf.shape[:2])

    def push_along(self, walk: Walk, symbols: Tensor) -> None:
        """Push symbols ``(n, D)`` so that `pop_along` of the same walk returns them.

        The walk goes forward, for later probabilities hang on earlier symbols; then all is pushed from its end to its
        beginning.
        """
        done, parts = 0, []
        pmf = next(walk)
        while pmf is not None:
            here = symbols[:, done : done + pmf.shape[1]]
            done += pmf.shape[1]
            parts.append((_symbols(here), _table(pmf)))
            pmf = _next(walk, here)
        for part in reversed(parts):
            self._push(*part)

    def pop_along(self, walk: Walk) -> Tensor:
        """Pop the symbols ``(n, D)`` that a walk asks for."""
        parts = []
        pmf = next(walk)
        while pmf is not None:
            parts.append(self.pop(pmf))
            pmf = _next(walk, parts[-1])
        return torch.cat(parts, 1)

    def _push(self, symbols: np.ndarray, table: np.ndarray) -> None:
        if table.shape[1] > 1:  # a symbol without a choice costs nothing
            self._coder.encode_reverse(symbols, self._family, table)

    def _pop(self, table: np.ndarray) -> Tensor:
        if table.shape[1] == 1:
            return torch.zeros(len(table), dtype=torch.long)
        return torch.from_numpy(self._coder.decode(self._family, table)).long()


def _symbols(symbols: Tensor) -> np.ndarray:
    return symbols.flatten().to(torch.int32).numpy()


def _table(pmf: Tensor) -> np.ndarray:
    """Frequencies ``(n m, K)``, row after row in memory: constriction reads a transposed array as if it were none."""
    return np.ascontiguousarray(frequencies(pmf).flatten(0, 1).float().numpy())


def _next(walk: Walk, symbols: Tensor) -> Tensor | None:
    """What a walk asks for after it has been told ``symbols``; None at its end."""
    try:
        return walk.send(symbols)
    except StopIteration:
        return None


def _constriction() -> Any:
    try:
        import constriction
    except ImportError as error:
        raise InputError("To compress, install the entropy coder: pip install constriction.") from error
    return constriction
