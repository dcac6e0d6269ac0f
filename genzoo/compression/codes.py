r"""Two ways to write an event in as many bits as a model says: the chain rule, and bits back.

Without a latent variable an event is written by the chain rule (`Chain`): feature after feature,
each by its probability given those before it.

A model that sums over a latent variable, :math:`P(x) = \sum_z P(z)\, P(x \mid z)`, has no such
probabilities at hand. It is written by *bits back* (`BitsBack`): first z is **popped**, drawn by
:math:`Q(z \mid x)` from bits that other events have left on the stack; then x is pushed by
:math:`P(x \mid z)`, and z by :math:`P(z)`. The stack has grown by

.. math::

    -\log_2 P(x \mid z) - \log_2 P(z) + \log_2 Q(z \mid x)

bits: minus the ELBO, with one draw of z, and :math:`-\log_2 P(x)` exactly where Q is the posterior.
The reader goes the same way back. It pops z and x, then knows Q, and pushes z: now the stack is
what it was before this event.

References: Hinton & van Camp 1993, *Keeping the neural networks simple* (bits back); Townsend et
al. 2019, *Practical lossless compression with latent variables using bits back coding* (with a
stack).
"""

import zlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from genzoo.compression.stack import Stack, Walk


class Code(ABC):
    """How events, as levels ``(n, D)``, go on a stack and come off it.

    ``borrowed`` is how many bits should lie on the stack for the first event to draw from.
    """

    borrowed: float = 0.0

    @abstractmethod
    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        """Put events on the stack."""

    @abstractmethod
    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        """Take ``n`` events off the stack; undoes `push` exactly."""

    def batches(self, n: int, most: int) -> list[int]:
        """Sizes of the batches in which ``n`` events are pushed, at most ``most`` at a time.

        Where events borrow bits, a batch is no larger than all batches before it, which lend them.
        """
        sizes: list[int] = []
        while sum(sizes) < n:
            lenders = max(1, sum(sizes)) if self.borrowed else most
            sizes.append(min(lenders, most, n - sum(sizes)))
        return sizes


class Chain(Code):
    """The chain rule: no latent variable, nothing borrowed."""

    @abstractmethod
    def walk(self, n: int, c: Tensor | None) -> Walk:
        """The conditionals of ``n`` events, feature by feature."""

    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        stack.push(self.walk(len(level), c), level)

    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        return stack.pop(self.walk(n, c))


class Fixed(Chain):
    """Features that are independent, of the same probabilities ``(D, K)`` in every event."""

    def __init__(self, pmf: Tensor):
        self.pmf = pmf.double()

    def walk(self, n: int, c: Tensor | None) -> Walk:
        yield self.pmf.expand(n, -1, -1)


class BitsBack(Code):
    """A latent variable z of whole numbers ``(n, M)``, whose ``prior`` is a code of its own."""

    prior: Code
    dims: int

    @abstractmethod
    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        """Q(z | x), to draw from."""

    @abstractmethod
    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        """P(x | z), of the features in the order of `order`."""

    def order(self, z: Tensor) -> Tensor:
        """Which feature `likelihood` asks for first, which next, and so on: ``(n, D)``."""
        return torch.arange(self.dims).expand(len(z), -1)

    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        z = stack.pop(self.posterior(level, c), _key(level))
        stack.push(self.likelihood(z, c), level.gather(1, self.order(z)))
        self.prior.push(stack, z, c)

    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        z = self.prior.pop(stack, n, c)
        read = stack.pop(self.likelihood(z, c))
        level = torch.empty_like(read).scatter_(1, self.order(z), read)
        stack.push(self.posterior(level, c), z, _key(level))
        return level


def _key(level: Tensor) -> int:
    """A number that whoever knows the events ``(n, D)`` knows."""
    return zlib.crc32(level.numpy().astype("<u4").tobytes())
