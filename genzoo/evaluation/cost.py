"""What a model costs: parameters, time for a sample, memory to train and to sample."""

import copy
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genzoo.model import GenerativeModel, device_of

MOST = 4096  # samples in one call; more would measure memory


def parameters(model: torch.nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def samples_per_second(model: GenerativeModel, seconds: float = 0.5) -> float:
    """Samples drawn in a second, in batches as large as pay off.

    They are drawn on the device and the threads that the model has.

    The batch is doubled until one call takes ``seconds``; smaller calls before it serve as the
    warm-up.
    """
    n = 16
    with torch.random.fork_rng(), torch.inference_mode():
        elapsed = _timed(model, n)
        if elapsed < 4 * seconds:  # a model this slow needs no warm-up
            while (elapsed := _timed(model, n)) < seconds and n < MOST:
                n *= 2
        return n / elapsed


def peak_memory(
    model: GenerativeModel,
    x: Tensor,
    c: Tensor | None = None,
    stages: Sequence[tuple[GenerativeModel, Tensor]] = (),
) -> dict[str, int]:
    """Most bytes that tensors take at once: to train on a batch, and to draw as many samples.

    Training holds, beside what one forward and backward pass allocates, the weights, Adam's two
    averages of the gradients and the running average of the weights. Sampling holds the weights.
    On the CPU every tensor is counted as PyTorch makes it (scratch space inside an operation is not
    seen); a GPU's allocator keeps the count itself.

    Args:
        x, c: the batch.
        stages: models and their batches that were trained one after the other, where ``model`` was
            not trained at once (`genzoo.training.two_stage.trained`): the most that any of them
            takes counts.

    Returns:
        ``{"training": bytes, "sampling": bytes}``. The models are left as they were.
    """
    training = [_to_train(part, events, c) for part, events in stages or [(model, x)]]
    return {"training": max(training), "sampling": _to_sample(model, len(x), c)}


def _to_train(model: GenerativeModel, x: Tensor, c: Tensor | None) -> int:
    subject, device = copy.deepcopy(model), device_of(model)
    x, c = x.to(device), _condition(model, c)
    with torch.random.fork_rng():
        passes = _most(lambda: subject.train().loss(x, c).mean().backward(), device)
    return passes + 4 * _weights(model)


def _to_sample(model: GenerativeModel, n: int, c: Tensor | None) -> int:
    subject, c = copy.deepcopy(model).eval(), _condition(model, c)
    with torch.random.fork_rng(), torch.no_grad():
        return _most(lambda: subject.sample(n, c), device_of(model)) + _weights(model)


def _condition(model: GenerativeModel, c: Tensor | None) -> Tensor | None:
    """The conditions where the model is; an unconditional one is given none."""
    return None if c is None or not model.condition else c.to(device_of(model))


def _weights(model: torch.nn.Module) -> int:
    """Bytes of the weights and the persistent buffers."""
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def _most(work: Callable[[], Any], device: torch.device) -> int:
    """Most bytes that ``work`` allocates at once beyond what is there before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    with _Ledger() as ledger:
        work()
    return ledger.most


class _Ledger(TorchDispatchMode):
    """Counts the bytes of the storages that PyTorch's operations have made.

    ``now`` are those that still live, and ``most`` the most there were.
    """

    def __init__(self):
        super().__init__()
        self.live: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        known = {
            storage._cdata for storage in _storages((args, kwargs))
        }  # a view, or work in place, takes no bytes
        for storage in _storages(result):
            if storage._cdata not in known:
                self.enter(storage)
        return result

    def enter(self, storage: torch.UntypedStorage) -> None:
        if (key := storage._cdata) not in self.live:
            self.live[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.leave, key)

    def leave(self, key: int) -> None:
        self.now -= self.live.pop(key)


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    """What the tensors in nested arguments or results lie in."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _timed(model: GenerativeModel, n: int) -> float:
    started = time.perf_counter()
    model.sample(n)
    if device_of(model).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
