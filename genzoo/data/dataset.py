"""What a data set states about itself, and how its batches are served."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genzoo import grid


class Split(Dataset):
    """Events ``x`` (n, *event_shape) and what is known about them, ``c``: labels (n,), vectors (n,
    width), or None.

    A small set is a pair of tensors: a whole batch is one indexing operation (``__getitems__``), so
    no worker processes are needed, and Lightning may still put its distributed sampler in front of
    it.
    """

    def __init__(self, x: Tensor, c: Tensor | None = None):
        if c is not None and len(c) != len(x):
            raise ValueError(
                f"{len(x)} events but {len(c)} conditions: expected one condition per event."
            )
        self.x, self.c = x, c

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i) -> tuple[Tensor, Tensor | None]:
        return self.x[i], None if self.c is None else self.c[i]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor | None]:
        return self[torch.as_tensor(indices, device=self.x.device)]

    def some(self, most: int) -> "Split":
        """At most ``most`` events. Of more, a fixed draw: a file may hold one class after the
        other.
        """
        if len(self) <= most:
            return self
        rows = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:most]
        return type(self)(*self[rows.to(self.x.device)])

    def to(self, device) -> "Split":
        return type(self)(self.x.to(device), None if self.c is None else self.c.to(device))


@dataclass(frozen=True)
class DataSet:
    """A data set with its three splits and a statement of what its numbers mean.

    ``levels`` is the number of values a feature can take (0: real-valued); values of discrete data
    are the bin centres of `genzoo.grid`. ``condition`` is the width of ``c``: the number of classes
    for labels, the vector's length otherwise. ``features`` names the numbers of such a vector; of
    data without one, those of an event. ``log_density`` (x -> nats per event), where given, is the
    truth that models are compared with, and ``entropy`` is minus its mean: ``report(-entropy)`` is
    the figure of a perfect model.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    levels: int = 0
    classes: tuple[str, ...] = ()
    condition: int = 0
    features: tuple[str, ...] = ()
    log_density: Callable[[Tensor], Tensor] | None = None
    entropy: float | None = None
    about: str = ""
    source: str = ""
    shift: Tensor | None = field(default=None, repr=False)
    scale: Tensor | None = field(default=None, repr=False)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.train.x.shape[1:])

    @property
    def dims(self) -> int:
        return math.prod(self.event_shape)

    @property
    def held_out(self) -> "Split":
        """The validation and the test events together: all that nothing is trained on."""
        parts = (self.validation, self.test)
        labels = [part.c for part in parts if part.c is not None]
        return Split(
            torch.cat([part.x for part in parts]),
            torch.cat(labels) if len(labels) == len(parts) else None,
        )

    @property
    def unit(self) -> str:
        """The unit that a likelihood on this data is reported in."""
        return "bits/dim" if self.levels else "nats"

    def report(self, log_prob: Tensor) -> Tensor:
        """A model's log-density (nats per event, in the units of ``train.x``) in this data set's
        reporting unit.

        Discrete data: bits/dim. Real-valued data: negative log-density in nats per event *of the
        raw data*, so the Jacobian of the standardisation (``scale``) is put back here, once.
        """
        if self.levels:
            return grid.bits_per_dim(log_prob, self.dims, self.levels)
        volume = 0.0 if self.scale is None else self.scale.log().sum().item()
        return volume - log_prob


class Data(L.LightningDataModule):
    """Serves a `DataSet` to Lightning's Trainer. Every batch is ``(x, c)``; ``c`` is None for
    unconditional data.

    Training events are varied afresh in every epoch: ``augment`` is the share of images that are
    shifted by up to one pixel each way, ``jitter`` the standard deviation of Gaussian noise on
    real-valued events, by which a flexible density is kept from peaking at single points (it then
    learns what a kernel density estimate of that width would, at best).
    """

    def __init__(
        self, dataset: DataSet, batch_size: int = 64, augment: float = 0.0, jitter: float = 0.0
    ):
        super().__init__()
        self.dataset, self.batch_size, self.augment, self.jitter = (
            dataset,
            batch_size,
            augment,
            jitter,
        )
        self.background = dataset.train.x.min().item() if augment else 0.0

    def _loader(self, split: Split, train: bool = False) -> DataLoader:
        size = min(self.batch_size, len(split)) if train else 500
        return DataLoader(
            split,
            size,
            shuffle=train,
            drop_last=train,
            collate_fn=self._varied if train else _as_is,
        )

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.dataset.train, train=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.dataset.validation)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self.dataset.test)

    def _varied(self, batch):
        x, c = batch
        if self.augment and x.dim() == 4:
            x = shift(x, self.augment, self.background)
        if self.jitter and not self.dataset.levels:
            x = x + self.jitter * torch.randn_like(x)
        return x, c


def _as_is(batch):
    return batch


def shift(x: Tensor, share: float, background: float) -> Tensor:
    """Shift a random ``share`` of the images (n, c, h, w) by up to a pixel each way; ``background``
    comes in at the edge.
    """
    n, channels, height, width = x.shape
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), value=background)
    moved = (torch.rand(n, 1, device=x.device) < share).long()
    down, right = (1 + moved * torch.randint(-1, 2, (n, 2), device=x.device)).unbind(1)
    event = torch.arange(n, device=x.device).view(n, 1, 1, 1)
    channel = torch.arange(channels, device=x.device).view(1, channels, 1, 1)
    row = (torch.arange(height, device=x.device) + down[:, None]).view(n, 1, height, 1)
    column = (torch.arange(width, device=x.device) + right[:, None]).view(n, 1, 1, width)
    return padded[event, channel, row, column]
