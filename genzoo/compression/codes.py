r"""Two codes of the length -log2 P(x) of an event: the chain rule, and bits back.

Without a latent variable an event is written by the chain rule (`Chain`): feature by feature, each
with its probability given those before it.

A model that sums over a latent variable, :math:`P(x) = \sum_z P(z)\, P(x \mid z)`, has no such
probabilities at hand. It is written by *bits back* (`BitsBack`): first z is **popped**, a sample of
:math:`Q(z \mid x)` whose random bits are those that other events have left on the stack; then x is
pushed by :math:`P(x \mid z)`, and z by :math:`P(z)`. The stack has grown by

.. math::

    -\log_2 P(x \mid z) - \log_2 P(z) + \log_2 Q(z \mid x)

bits: minus the ELBO, with one sample of z, and :math:`-\log_2 P(x)` exactly where Q is the
posterior. The reader reverses these steps. It pops z and x, which determine Q, and pushes z: the
stack is then what it was before this event.

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
    """A way to push events, as levels ``(n, D)``, on a stack and to pop them."""

    borrowed: float = 0.0
    """Number of bits that the first event needs on the stack."""

    @abstractmethod
    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        """Put events on the stack.

        Args:
            stack: is changed.
            level: levels of the events, ``(n, D)``.
            c: a condition for each.
        """

    @abstractmethod
    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        """Take events off the stack, the inverse of `push`.

        Args:
            stack: is changed.
            n: number of events.
            c: a condition for each.

        Returns:
            their levels, ``(n, D)``.
        """

    def batches(self, n: int, most: int) -> list[int]:
        """Sizes of the batches in which ``n`` events are pushed, at most ``most`` at a time.

        Where events borrow bits, a batch is not larger than all batches before it together, whose
        bits it borrows.
        """
        sizes: list[int] = []
        pushed = 0
        while pushed < n:
            lenders = max(1, pushed) if self.borrowed else most
            size = min(lenders, most, n - pushed)
            sizes.append(size)
            pushed += size
        return sizes


class Chain(Code):
    """A code by the chain rule: there is no latent variable, and no bits are borrowed."""

    @abstractmethod
    def walk(self, n: int, c: Tensor | None) -> Walk:
        """The conditionals of ``n`` events, feature by feature."""

    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        stack.push(self.walk(len(level), c), level)

    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        return stack.pop(self.walk(n, c))


class Fixed(Chain):
    """A code of independent features, with the same probabilities ``(D, K)`` in every event."""

    def __init__(self, pmf: Tensor):
        self.pmf = pmf.double()

    def walk(self, n: int, c: Tensor | None) -> Walk:
        yield self.pmf.expand(n, -1, -1)


class BitsBack(Code):
    """A code by bits back, with a latent variable z of whole numbers ``(n, M)``."""

    prior: Code
    """The code of z."""

    dims: int
    """Number of features of an event, D."""

    @abstractmethod
    def posterior(self, level: Tensor, c: Tensor | None) -> Walk:
        """Q(z | x)."""

    @abstractmethod
    def likelihood(self, z: Tensor, c: Tensor | None) -> Walk:
        """P(x | z), of the features in the order of `order`."""

    def order(self, z: Tensor) -> Tensor:
        """Indices of features in the order in which `likelihood` takes them, ``(n, D)``."""
        return torch.arange(self.dims).expand(len(z), -1)

    def push(self, stack: Stack, level: Tensor, c: Tensor | None) -> None:
        z = stack.pop(self.posterior(level, c), _key(level))
        stack.push(self.likelihood(z, c), level.gather(1, self.order(z)))
        self.prior.push(stack, z, c)

    def pop(self, stack: Stack, n: int, c: Tensor | None) -> Tensor:
        z = self.prior.pop(stack, n, c)
        in_order = stack.pop(self.likelihood(z, c))
        level = torch.empty_like(in_order).scatter_(1, self.order(z), in_order)
        stack.push(self.posterior(level, c), z, _key(level))
        return level


def _key(level: Tensor) -> int:
    """A number that is a function of the events ``(n, D)``, for writer and reader alike."""
    content = level.numpy().astype("<u4").tobytes()
    return zlib.crc32(content)
