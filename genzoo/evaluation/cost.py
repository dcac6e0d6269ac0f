"""What a model costs: parameters, and time for a sample."""

import time

import torch

from genzoo.evaluation.likelihood import device_of
from genzoo.model import GenerativeModel

MOST = 4096  # samples in one call; more would measure memory


def parameters(model: torch.nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def samples_per_second(model: GenerativeModel, seconds: float = 0.5) -> float:
    """Samples drawn in a second, in batches as large as pay off, on the device and threads the model has.

    The batch is doubled until one call takes ``seconds``; smaller calls before it serve as the warm-up.
    """
    n = 16
    with torch.random.fork_rng(), torch.inference_mode():
        elapsed = _timed(model, n)
        if elapsed < 4 * seconds:  # a model this slow needs no warm-up
            while (elapsed := _timed(model, n)) < seconds and n < MOST:
                n *= 2
        return n / elapsed


def _timed(model: GenerativeModel, n: int) -> float:
    started = time.perf_counter()
    model.sample(n)
    if device_of(model).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
