"""A model that is too large for one device: each process holds a share of every weight (FSDP2).

A block's weights are gathered when the block is reached, and let go after it; so are its gradients,
each process keeping those of its own share, with the optimiser's averages beside them. What a
device holds of a model falls with the number of devices, but for the block at work.

Checkpoints hold the whole weights, gathered by the first process, so they are read anywhere. A
running average of the weights is not kept: the model has those of its best check.
"""

from functools import partial
from typing import Any

import lightning as L
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from genzoo.errors import InputError
from genzoo.model import Trainable
from genzoo.nets import Network
from genzoo.training.precision import networks_of

STEPS = ("training_step", "validation_step", "test_step", "predict_step")


class Sharded(ModelParallelStrategy):
    """Lightning's strategy for FSDP2, which shares the weights of any of our models.

    Args:
        processes: that share them.
        backend: of their communication; None for the usual one of the device.
    """

    def __init__(self, processes: int, backend: str | None = None):
        super().__init__(
            data_parallel_size=processes,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
            process_group_backend=backend,
        )

    def setup_environment(self) -> None:
        super().setup_environment()
        model = self.lightning_module
        assert model is not None
        # Lightning calls it when the weights are to be shared out
        model.configure_model = partial(shard, model, self.device_mesh["data_parallel"])
        if isinstance(model, Trainable):  # sharing gives its parts other classes
            model.config = partial(dict, model.config())

    def teardown(self) -> None:
        super().teardown()
        if self.lightning_module is not None:
            for name in ("configure_model", "config"):
                vars(self.lightning_module).pop(name, None)


def shard(model: L.LightningModule, mesh: DeviceMesh) -> None:
    """Give each process of ``mesh`` its share of the weights of ``model``, block by block."""
    for network in networks_of(model):
        for block in blocks_of(network):
            fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for step in STEPS:
        register_fsdp_forward_method(model, step)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The parts that a network's lists name, each of which is called as a whole."""
    blocks = []
    for part in network.modules():
        if not isinstance(part, nn.ModuleList):
            continue
        for block in part:
            has_weights = any(True for _ in block.parameters())
            if has_weights and not isinstance(block, nn.ModuleList | Network):
                blocks.append(block)
    return blocks


def check_sharded(model: Any) -> None:
    """Raise `InputError` for a model whose weights cannot be shared."""
    if not model.automatic_optimization:
        raise InputError(
            f"strategy fsdp shares the weights of models with one optimiser, and a "
            f"{type(model).__name__} has players that take turns: take strategy auto."
        )
