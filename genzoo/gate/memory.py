"""Models from outside: a configuration of a few bytes may describe one larger than any machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from genzoo.errors import InputError
from genzoo.gate import limits

# operations that make a tensor from nothing but its size
MAKERS = ("empty", "empty_strided", "zeros", "ones", "full", "rand", "randn", "eye")


class _Counter(TorchDispatchMode):
    """Counts tensors and their bytes before they are made, and stops where these get too many."""

    def __init__(self, what: str, most_bytes: int, most_tensors: int):
        super().__init__()
        self.what = what
        self.most_bytes = most_bytes
        self.most_tensors = most_tensors
        self.bytes = 0
        self.tensors = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in MAKERS and kwargs.get("device") != torch.device("meta"):
            outline = func(*args, **(kwargs | {"device": "meta", "pin_memory": None}))
            self.count(outline.nbytes)
        return func(*args, **kwargs)

    def count(self, more: int) -> None:
        self.bytes += more
        self.tensors += 1
        if self.bytes > self.most_bytes:
            most = limits.amount(self.most_bytes, "bytes")
            raise TooLarge(f"{self.what} describes a model of more than {most}.")
        if self.tensors > self.most_tensors:
            most = limits.amount(self.most_tensors, "tensors")
            raise TooLarge(f"{self.what} describes a model of more than {most}.")


class TooLarge(InputError):
    """A model that is larger than allowed."""


@contextmanager
def no_larger_than(
    what: str, most_bytes: int = limits.MODEL.most, most_tensors: int = limits.TENSORS.most
) -> Iterator[None]:
    """Inside, tensors of so many bytes can be made from nothing, and so many of them.

    Args:
        what: where the model is described, for the sentence.
        most_bytes: of all tensors together.
        most_tensors: of any size.

    Raises:
        TooLarge: there would be more. Nothing of what is too large has been allocated.
    """
    with _Counter(what, most_bytes, most_tensors):
        yield
