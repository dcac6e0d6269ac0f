"""Arithmetic of training: 16 bits where it is safe, compiled networks, the quickest layout.

A step spends its time in networks, and loses its digits elsewhere. Under Lightning's ``bf16-mixed``
everything is cut to the 8 binary digits of bfloat16: means and scales of a likelihood, the knots of
a spline, log-determinants. A mixture of logistics so trained stood at 1.09 bits/dim in training and
read 1.48 in full precision; a spline looked for a bin that it did not have. Here the networks
compute in bfloat16 in training steps alone, but for their last layers (`genzoo.nets.precisely`).
What is made of their answers, and every check by validation, is in the precision of the weights.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn
from torch.optim import Optimizer

from genzoo.errors import InputError, nearest
from genzoo.nets import Network, fast_networks

FULL = "32"
FAST = "bf16"
FAST_NAMES = (FAST, "bf16-mixed")  # the second is Lightning's
FULL_NAMES = (FULL, "32-true")
OTHERS = ("16-mixed",)  # Lightning's, and left to it; its "true" ones do not convert the events
WIDE_ENOUGH = 16  # pixels of a side, from which a layout with channels last is the quicker one


class FastNetworks(Precision):
    """Lightning's plugin for training steps whose networks compute in bfloat16."""

    precision = "bf16-mixed"

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        with fast_networks(torch.bfloat16):
            yield


def runs_as(asked: str, accelerator: str) -> str:
    """The precision of a training for which ``asked`` was requested.

    bfloat16 is only for processors that multiply it: on others it would be emulated, and slower.
    Names that are neither ours nor full precision are Lightning's.

    Args:
        asked: "32", "bf16", or a name of Lightning's.
        accelerator: "cpu" or "cuda".
    """
    if asked in FAST_NAMES:
        return FAST if has_bfloat16(accelerator) else FULL
    return FULL if asked in FULL_NAMES else asked


def check_precision(asked: str) -> None:
    """Raise `InputError` for an unknown precision."""
    known = (*FULL_NAMES, *FAST_NAMES, *OTHERS)
    if asked not in known:
        raise InputError(f"There is no precision {asked!r}. {nearest(asked, known)}")


def has_bfloat16(accelerator: str) -> bool:
    """True if the processor multiplies matrices of bfloat16."""
    if accelerator in ("cuda", "gpu"):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))


def trainer_arguments(precision: str) -> dict[str, Any]:
    """Arguments of `lightning.Trainer` for a precision that `runs_as` has found."""
    if precision == FAST:
        return {"plugins": [FastNetworks()]}
    return {} if precision == FULL else {"precision": precision}


# ------------------------------------------------------------------------ compiled, channels last


def networks_of(model: nn.Module) -> list[nn.Module]:
    """The networks of a model; not those inside others."""
    networks: list[nn.Module] = []
    for part in model.children():
        networks += [part] if isinstance(part, Network) else networks_of(part)
    return networks


@contextmanager
def compiled(model: nn.Module, wanted: bool = True) -> Iterator[None]:
    """Context manager: the networks of ``model`` are compiled by `torch.compile`.

    Raises:
        InputError: there is no C++ compiler, which a CPU needs.
    """
    if not wanted:
        yield
        return
    if not torch.cuda.is_available() and not shutil.which(os.environ.get("CXX", "c++")):
        raise InputError("compile=True needs a C++ compiler, and there is none: leave it out.")
    networks = networks_of(model)
    for network in networks:
        network.compile()
    try:
        yield
    finally:
        for network in networks:
            network._compiled_call_impl = None  # as torch keeps what `compile` has made


@contextmanager
def channels_last(model: nn.Module, event_shape: tuple[int, ...]) -> Iterator[None]:
    """Context manager: channels are innermost in memory for convolutions of large images.

    From 16 x 16 pixels on that is quicker: by a tenth there, and by more in bfloat16.
    """
    wanted = len(event_shape) == 3 and min(event_shape[1:]) >= WIDE_ENOUGH
    if wanted:
        model.to(memory_format=torch.channels_last)
    try:
        yield
    finally:
        if wanted:
            model.to(memory_format=torch.contiguous_format)


class Layout(L.Callback):
    """Gives the averages of a resumed optimiser the memory layout of their weights."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for optimizer in trainer.optimizers:
            lay_out(optimizer)


def lay_out(optimizer: Optimizer) -> None:
    """Give an optimiser's averages the layout of their weights.

    A fused optimiser walks through the memory of both side by side.

    Raises:
        ValueError: an average of a fused optimiser has not the shape of its weight, so that the
            walk would leave it.
    """
    fused = {id(w) for g in optimizer.param_groups if g.get("fused") for w in g["params"]}
    for weight, kept in optimizer.state.items():
        for name, value in kept.items():
            if not isinstance(value, Tensor) or not value.dim():  # a count of steps
                continue
            if value.shape != weight.shape:
                if id(weight) in fused:
                    shape, expected = tuple(value.shape), tuple(weight.shape)
                    raise ValueError(f"{name} has the shape {shape}, its weight {expected}")
            elif value.stride() != weight.stride():
                kept[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
