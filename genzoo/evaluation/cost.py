"""The cost of a model: parameters, time for a sample, memory to train and to sample."""

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

MOST = 4096  # samples in one call; with more the time would be that of memory


def parameters(model: torch.nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def samples_per_second(model: GenerativeModel, seconds: float = 0.5) -> float:
    """Samples per second, in large batches, on the model's device and the process's threads.

    The batch is doubled until one call takes ``seconds``; smaller calls before it serve as the
    warm-up.
    """
    n = 16
    with torch.random.fork_rng(), torch.inference_mode():
        elapsed = _timed(model, n)
        if elapsed >= 4 * seconds:  # a model this slow needs no warm-up
            return n / elapsed
        elapsed = _timed(model, n)
        while elapsed < seconds and n < MOST:
            n *= 2
            elapsed = _timed(model, n)
        return n / elapsed


def peak_memory(
    model: GenerativeModel,
    x: Tensor,
    c: Tensor | None = None,
    stages: Sequence[tuple[GenerativeModel, Tensor]] = (),
) -> dict[str, int]:
    """Peak memory of tensors: to train on a batch, and to sample as many events.

    Training needs, beside the allocations of one forward and backward pass, the weights, Adam's two
    averages of the gradients and the running average of the weights. Sampling needs the weights.
    On the CPU every tensor is counted as PyTorch makes it (scratch space inside an operation is not
    seen); a GPU's allocator keeps the count itself.

    Args:
        model: the model.
        x: events of the batch, ``(n, *event_shape)``.
        c: their conditions.
        stages: models and their batches that were trained one after the other, if ``model`` was
            trained in stages (`genzoo.training.two_stage.trained`): the largest of them counts.

    Returns:
        ``{"training": bytes, "sampling": bytes}``. The models are left as they were.
    """
    trained = stages or [(model, x)]
    training = [_to_train(part, events, c) for part, events in trained]
    return {"training": max(training), "sampling": _to_sample(model, len(x), c)}


def _to_train(model: GenerativeModel, x: Tensor, c: Tensor | None) -> int:
    twin = copy.deepcopy(model).train()
    device = device_of(model)
    x = x.to(device)
    c = _condition(model, c)

    def passes() -> None:
        loss = twin.loss(x, c).mean()
        loss.backward()

    with torch.random.fork_rng():
        return _most(passes, device) + 4 * _weights(model)


def _to_sample(model: GenerativeModel, n: int, c: Tensor | None) -> int:
    twin = copy.deepcopy(model).eval()
    c = _condition(model, c)
    with torch.random.fork_rng(), torch.no_grad():
        return _most(lambda: twin.sample(n, c), device_of(model)) + _weights(model)


def _condition(model: GenerativeModel, c: Tensor | None) -> Tensor | None:
    """Conditions on the model's device, None for an unconditional model."""
    if c is None or not model.condition:
        return None
    return c.to(device_of(model))


def _weights(model: torch.nn.Module) -> int:
    """Bytes of the weights and the persistent buffers."""
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def _most(work: Callable[[], Any], device: torch.device) -> int:
    """Peak of the bytes that ``work`` allocates."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    with _Ledger() as ledger:
        work()
    return ledger.most


class _Ledger(TorchDispatchMode):
    """Counts the bytes of the storages that PyTorch's operations make.

    ``now`` is the sum over storages that are still alive, and ``most`` its peak.
    """

    def __init__(self):
        super().__init__()
        self.live: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        # a view, or an operation in place, takes no bytes
        of_arguments = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(result):
            if storage._cdata not in of_arguments:
                self.enter(storage)
        return result

    def enter(self, storage: torch.UntypedStorage) -> None:
        """Count a storage, once, until it is freed."""
        key = storage._cdata
        if key in self.live:
            return
        self.live[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self.leave, key)

    def leave(self, key: int) -> None:
        """Count a storage no longer."""
        self.now -= self.live.pop(key)


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    """The storages of all tensors in nested arguments or results."""
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _timed(model: GenerativeModel, n: int) -> float:
    started = time.perf_counter()
    model.sample(n)
    if device_of(model).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
