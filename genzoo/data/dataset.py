"""A data set, with all that it states about itself, and its batches."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genzoo import grid
from genzoo.data.order import InTurn, Order

HELD_OUT_BATCH = 500  # events in a batch of validation or test


Batch = tuple[Tensor, Tensor | None]  # events, and their conditions where there are any


class Split(Dataset):
    """A set of events and their conditions, held in memory.

    One index gives one event: ``(x, c)``, or ``(x,)`` where no conditions are known, which any
    `DataLoader` can collate. A slice or a tensor of indices gives ``(x, c)`` at once.

    Args:
        x: events (n, *event_shape).
        c: conditions: labels (n,), vectors (n, width), or None.
    """

    in_memory = True

    def __init__(self, x: Tensor, c: Tensor | None = None):
        if c is not None and len(c) != len(x):
            raise ValueError(
                f"{len(x)} events but {len(c)} conditions: expected one condition per event."
            )
        self.x = x
        self.c = c

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: Any) -> Any:
        if self.c is not None:
            return self.x[i], self.c[i]
        if isinstance(i, int):
            return (self.x[i],)
        return self.x[i], None

    def gather(self, indices: Sequence[int]) -> Batch:
        """A batch of the events at ``indices``, by one indexing operation."""
        return self[torch.as_tensor(indices, device=self.x.device)]

    def some(self, most: int) -> "Split":
        """At most ``most`` events: a random sample of them, always the same.

        They are not the first ones: a file may hold one class after the other.
        """
        if len(self) <= most:
            return self
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(self), generator=generator)
        chosen = order[:most].to(self.x.device)
        return type(self)(*self[chosen])

    def to(self, device) -> "Split":
        """The split on another device."""
        c = None if self.c is None else self.c.to(device)
        return type(self)(self.x.to(device), c)


@dataclass(frozen=True, eq=False)  # a data set is compared by identity, and so is this
class FeatureSpace:
    """Numbers ``(n, d)`` that say what events show, by which sets of events are compared.

    Args:
        name: what distances in this space are named after, such as "digits-net".
        about: one phrase on what the features are.
        features: events (n, *event_shape) to features (n, d).
        distances: by name, each a function of two sets of features, reference and samples. Empty
            for the usual ones, the Fréchet and the kernel distance.
        shares: by name, each a function of features (n, d) that says of which events a property
            holds, (n,) booleans.
        tells_copies: whether two events with equal features are copies; where features say too
            little for that, copies are found in pixels.
    """

    name: str
    about: str
    features: Callable[[Tensor], Tensor]
    distances: Mapping[str, Callable[[Tensor, Tensor], float]] = field(default_factory=dict)
    shares: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    tells_copies: bool = True


@dataclass(frozen=True)
class DataSet:
    """A data set with its three splits and a statement of what its numbers mean.

    Args:
        name: of the data set.
        train, validation, test: its splits.
        levels: number of values a feature can take; 0 for real-valued data. Values of discrete
            data are the bin centres of `genzoo.grid`.
        in_nats: whether likelihoods of discrete data are reported in nats per event, as is usual
            for black and white images, and not in bits/dim.
        classes: names of the labels, where conditions are labels.
        condition: width of the condition: the number of classes, or the length of a vector.
        features: names of the numbers of a condition vector; of data without one, those of an
            event.
        log_density: the true log-density, x -> (n,) nats, that models are compared with.
        entropy: minus its mean; ``report(-entropy)`` is the figure of a perfect model.
        about, source: a phrase on what the data is, and where it comes from.
        shift, scale: of the standardisation that real-valued data has gone through.
        read: an oracle that reads conditions off events, x (n, *event_shape) -> c: labels (n,),
            or vectors (n, condition).
        in_units: condition vectors in the units that one would say them in, such as pixels;
            None where they are in such units already.
        feature_space: what events are compared by; None for pixels, or features of the usual
            networks.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    levels: int = 0
    in_nats: bool = False
    classes: tuple[str, ...] = ()
    condition: int = 0
    features: tuple[str, ...] = ()
    log_density: Callable[[Tensor], Tensor] | None = None
    entropy: float | None = None
    about: str = ""
    source: str = ""
    shift: Tensor | None = field(default=None, repr=False)
    scale: Tensor | None = field(default=None, repr=False)
    read: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    in_units: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    feature_space: FeatureSpace | None = field(default=None, repr=False)

    @classmethod
    def split(
        cls, name: str, x: Tensor, c: Tensor | None, sizes: tuple[int, int, int], **about: Any
    ) -> "DataSet":
        """A data set of which the first events train, the next validate, and the last test.

        Args:
            name: of the data set.
            x: events (n, *event_shape).
            c: their conditions, or None.
            sizes: how many events train, validate and test; n in all.
            about: the other fields of a `DataSet`.
        """
        conditions = [None] * 3 if c is None else c.split(sizes)
        train, validation, test = map(Split, x.split(sizes), conditions)
        return cls(name, train, validation, test, **about)

    @classmethod
    def from_arrays(cls, x: Any, y: Any = None, **options: Any) -> "DataSet":
        """A data set of arrays or tensors; see `genzoo.data.arrays.from_arrays`."""
        from genzoo.data import arrays  # which imports this module

        return arrays.from_arrays(x, y, **options)

    @classmethod
    def from_torch(cls, dataset: Any, **options: Any) -> "DataSet":
        """A data set of a `torch.utils.data.Dataset`; see `genzoo.data.arrays.from_torch`."""
        from genzoo.data import arrays

        return arrays.from_torch(dataset, **options)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one event."""
        return tuple(self.train.x.shape[1:])

    @property
    def dims(self) -> int:
        """Number of features of one event."""
        return math.prod(self.event_shape)

    @property
    def held_out(self) -> "Split":
        """The validation and the test events together: no model is trained on them."""
        parts = (self.validation, self.test)
        x = torch.cat([part.x for part in parts])
        conditions = [part.c for part in parts if part.c is not None]
        if len(conditions) < len(parts):
            return Split(x)
        return Split(x, torch.cat(conditions))

    @property
    def unit(self) -> str:
        """The unit that a likelihood on this data is reported in."""
        if self.levels and not self.in_nats:
            return "bits/dim"
        return "nats"

    def report(self, log_prob: Tensor) -> Tensor:
        """A log-density of ``train.x``, in nats per event, converted to the unit that is reported.

        Discrete data: bits/dim, or nats per event. Real-valued data: negative log-density in nats
        per event *of the raw data*, so the Jacobian of the standardisation (``scale``) is put back
        here, once.
        """
        if self.levels:
            bits = grid.bits_per_dim(log_prob, self.dims, self.levels)
            if self.in_nats:
                return bits * self.dims * math.log(2)
            return bits
        log_volume = 0.0
        if self.scale is not None:
            log_volume = self.scale.log().sum().item()
        return log_volume - log_prob


class Data(L.LightningDataModule):
    """Serves a `DataSet` to Lightning's Trainer in batches ``(x, c)``; c may be None.

    Training events are varied afresh in every epoch. Several processes share each batch, and no
    event is seen by two of them (`genzoo.data.order`).

    Args:
        dataset: the data.
        batch_size: events in a training batch, of all processes together.
        augment: share of training images that are shifted by up to one pixel each way.
        jitter: standard deviation of Gaussian noise on real-valued training events. It keeps a
            flexible density from peaking at single points: it then learns what a kernel density
            estimate of that width would, at best.
        seed: of the order in which training events come.
        batches: of an epoch; None for all of a pass.
    """

    def __init__(
        self,
        dataset: DataSet,
        batch_size: int = 64,
        augment: float = 0.0,
        jitter: float = 0.0,
        seed: int = 0,
        batches: int | None = None,
    ):
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.augment = augment
        self.jitter = jitter
        self.seed = seed
        self.batches = batches
        self.background = dataset.train.x.min().item() if augment else 0.0

    def train_dataloader(self) -> DataLoader:
        split = self.dataset.train
        rank, processes = self.place
        size = min(self.batch_size, len(split))
        size = max(processes, size - size % processes)
        order = Order(len(split), size, self.seed, self.batches, rank, processes)
        return DataLoader(Gathered(split), None, sampler=order, collate_fn=self._varied)

    def val_dataloader(self) -> DataLoader:
        return self._in_turn(self.dataset.validation)

    def test_dataloader(self) -> DataLoader:
        return self._in_turn(self.dataset.test)

    def predict_dataloader(self) -> DataLoader:
        return self.test_dataloader()

    def _in_turn(self, split: Split) -> DataLoader:
        order = InTurn(len(split), HELD_OUT_BATCH, *self.place)
        return DataLoader(Gathered(split), None, sampler=order, collate_fn=_as_is)

    @property
    def place(self) -> tuple[int, int]:
        """Rank of this process and number of processes, from the Trainer."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _varied(self, batch: Any) -> Batch:
        x, c = batch
        if self.augment and x.dim() == 4:
            x = shift(x, self.augment, self.background)
        if self.jitter and not self.dataset.levels:
            x = x + self.jitter * torch.randn_like(x)
        return x, c


class Gathered(Dataset):
    """A split whose batches are gathered whole, not event by event: it is indexed by lists."""

    def __init__(self, split: Split):
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, indices: list[int]) -> Batch:
        return self.split.gather(indices)


def _as_is(batch: Any) -> Batch:
    return batch


def shift(x: Tensor, share: float, background: float) -> Tensor:
    """Shift some of the images by up to a pixel each way.

    Args:
        x: images, ``(n, c, h, w)``.
        share: of them that are shifted.
        background: value of the pixels that come in at the edge.
    """
    n, channels, height, width = x.shape
    device = x.device
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), value=background)
    moved = (torch.rand(n, 1, device=device) < share).long()
    steps = torch.randint(-1, 2, (n, 2), device=device)
    down, right = (1 + moved * steps).unbind(1)
    rows = torch.arange(height, device=device) + down[:, None]
    columns = torch.arange(width, device=device) + right[:, None]

    event = torch.arange(n, device=device).view(n, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, channels, 1, 1)
    row = rows.view(n, 1, height, 1)
    column = columns.view(n, 1, 1, width)
    return padded[event, channel, row, column]
