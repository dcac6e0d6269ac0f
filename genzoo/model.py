"""The one interface of all families.

A generative model is a conditional distribution p(x | c) over tensors of one ``event_shape``.

It can always `sample`. It states, by its `likelihood`, what its `log_prob` claims. A family that
can write log p(x | c), or a bound on it, needs no training code: the loss is -log p, and everything
about training is written here, once. A family that cannot overrides `loss` (energy, flow matching)
or `training_step` (GAN).
"""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import wraps
from typing import Any, Protocol, Self

import lightning as L
import torch
from lightning.fabric.utilities.data import AttributeDict
from torch import Tensor
from torch.distributions import Distribution

from genzoo import grid
from genzoo.config import of_model
from genzoo.distributions import standard_normal
from genzoo.errors import InputError
from genzoo.optim import AdamW, OptimizerFactory, Run, SchedulerFactory, WarmupCosine

LOOKED_AT = 10  # batches after which the training loss is logged and checked
FAR = 2.0  # from the middle of [-1, 1], in which discrete data lies: further than a decoder errs


class Likelihood(IntEnum):
    """The claim that `GenerativeModel.log_prob` makes about log p(x | c).

    The claim of a whole is the weakest, that is the ``max``, of the claims of its parts.
    """

    EXACT = 0
    BOUND = 1
    ESTIMATE = 2
    NONE = 3

    @property
    def symbol(self) -> str:
        """The sign in front of bits/dim.

        ``=`` exact, ``≤`` at most, ``≈`` an estimate, ``—`` none.
        """
        return "=≤≈—"[self]


class Latent(StrEnum):
    """The relation of `GenerativeModel.encode` and `decode` to each other.

    `genzoo.evaluation.round_trip` measures how well it holds.
    """

    # Each other's inverse: to rounding (flow), or to the steps of an ODE solver (diffusion).
    EXACT = "exact"
    # The encoder is a network of its own, trained to guess (VAE).
    APPROXIMATE = "approximate"
    # There is no encoder: `encode` searches for the latent that decodes to x (GAN).
    OPTIMISED = "optimised"
    # Nothing in the model represents an event as a whole; both raise NotImplementedError.
    NONE = "none"


class Trainable(L.LightningModule):
    """A LightningModule that `genzoo.fit` or any Trainer trains, and `genzoo.save` keeps.

    The constructor's signature is the configuration: every argument is kept, unmodified, as an
    attribute of its name. So ``hparams``, checkpoints and saved folders need no more than that.

    Attributes:
        event_shape, condition, levels: what data it is for.
        lr: peak learning rate.
        optimizer: called with (parameters, lr), returns an optimiser; `torch.optim.SGD` will do.
        scheduler: called with (optimizer, `genzoo.optim.Run`), returns a schedule of torch that is
            stepped after each update.
        players: optimisers that step for each batch.
        monitor: what validation chooses the best weights by; None if there is nothing to choose by.
        check_draws: of a held-out event where a check is noisy; `genzoo.fit` sets it by the cost.
        usage: the line of the model card that shows what the model is for.
        run: what is known of the length of the present run; set when a Trainer begins.
    """

    event_shape: tuple[int, ...]
    condition: int
    levels: int = 0
    lr: float
    likelihood: Likelihood = Likelihood.NONE
    optimizer: OptimizerFactory = AdamW()
    scheduler: SchedulerFactory = WarmupCosine()
    players: int = 1
    monitor: str | None = None
    check_draws: int = 8
    usage: str = "x = model.sample(16)"
    run: Run = Run()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs what `monitor` names; here, nothing."""

    def configure_optimizers(self):
        return self.scheduled(self.parameters())

    def scheduled(
        self, parameters: Iterable[torch.nn.Parameter], optimizer: OptimizerFactory | None = None
    ) -> dict[str, Any]:
        """An optimiser of ``parameters`` with its schedule, as Lightning wants them.

        Args:
            parameters: all of the model's, or those of one player.
            optimizer: in place of the model's own `optimizer`.
        """
        self.run = Run.of(self.trainer, self.players)
        built = (optimizer or self.optimizer)(parameters, self.lr)
        schedule = self.scheduler(built, self.run)
        return {"optimizer": built, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def setup(self, stage: str) -> None:
        self._log_hyperparams = True  # as `save_hyperparameters` sets it: loggers get `hparams`

    def teardown(self, stage: str) -> None:
        self.run = Run()

    @property
    def is_fitting(self) -> bool:
        """True while a Trainer trains this model, and does not validate it."""
        return self._trainer is not None and self._trainer.training

    def log_loss(self, loss: Tensor, batch_idx: int, batch_size: int | None = None) -> None:
        """Log a loss as ``train_loss``; the other arguments are those of `log_losses`."""
        self.log_losses({"train_loss": loss}, batch_idx, batch_size)

    def log_losses(
        self, losses: Mapping[str, Tensor], batch_idx: int, batch_size: int | None = None
    ) -> None:
        """Log means over a batch, though not at every step: logging costs a millisecond.

        They are logged every `LOOKED_AT` batches, in the last batch of an epoch, and where loggers
        write; of several processes, the mean over all.

        Args:
            losses: means over the batch, by their names in the log.
            batch_idx: which batch of the epoch it is.
            batch_size: events in it, by which an epoch's mean weighs it.
        """
        trainer = self._trainer
        if (
            trainer is None
            or batch_idx % LOOKED_AT == 0
            or trainer.is_last_batch
            or trainer._logger_connector.should_update_logs
        ):
            together = trainer is not None and trainer.world_size > 1
            self.log_dict(losses, prog_bar=True, batch_size=batch_size, sync_dist=together)

    # --------------------------------------------------------------------------- saving and loading

    def config(self) -> dict[str, Any]:
        """``{"family": ..., "arguments": ...}`` in plain values: enough to rebuild the model."""
        return of_model(self)

    @property
    def hparams(self) -> AttributeDict:
        """The constructor's arguments in plain values, nested models included."""
        return AttributeDict(self.config()["arguments"])

    hparams_initial = hparams

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["genzoo"] = self.config()

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, **arguments: Any) -> Self:
        """The model of a Lightning checkpoint; nothing in the file is executed.

        Args:
            checkpoint_path: a file that any Trainer wrote.
            arguments: constructor's arguments that go before those in the file, such as a
                ``network`` of your own. ``map_location`` is the device to put the model on.

        Raises:
            InputError: as `genzoo.load` does, which reads the file.
        """
        from genzoo import serialization  # which knows all families, and they this module

        lightning_has = ("hparams_file", "strict", "weights_only")
        device = arguments.pop("map_location", None)
        given = {name: value for name, value in arguments.items() if name not in lightning_has}
        model = serialization.load(checkpoint_path, cls, **given)
        return model if device is None else model.to(device)

    def facts(self) -> dict[str, str]:
        """Lines of the model card that any model of this kind has, by their headings."""
        return {}


# ------------------------------------------------------------------- the interface for measurements


@dataclass(frozen=True)
class ProbabilityFlow:
    """A deterministic path dz/dt = velocity(z, t) from events to standard Gaussian noise.

    Args:
        velocity: (z, time of each row ``(n,)``) -> dz/dt, of z's shape; differentiable in z.
        data: time at which an event enters the path.
        noise: time at which z is standard Gaussian.
        enter: events x ``(n, *event_shape)`` -> z at time ``data``, and what log p(x) has beyond
            log p(z), ``(n,)`` nats: a change of volume, or the other terms of a bound.
    """

    velocity: Callable[[Tensor, Tensor], Tensor]
    data: float
    noise: float
    enter: Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class LatentJoint:
    """p(z | c) p(x | z, c): the joint density of a model that draws a latent and decodes it.

    Args:
        log_prior: latents ``(n, *latent_shape)`` -> log p(z | c), ``(n,)`` nats.
        draw: n -> as many latents from p(z | c).
        decode: latents -> the events they stand for, ``(n, *event_shape)``; differentiable.
        observation: latents -> p(x | z, c); None where the decoder adds no noise of its own.
        obstacle: why no Markov chain can walk over z, in a sentence; empty where one can.
    """

    log_prior: Callable[[Tensor], Tensor]
    draw: Callable[[int], Tensor]
    decode: Callable[[Tensor], Tensor]
    observation: Callable[[Tensor], Distribution] | None = None
    obstacle: str = ""


class Unnormalised(Protocol):
    """A density that is known up to its normaliser, exp(-energy) / Z."""

    condition: int
    levels: int

    @property
    def likelihood(self) -> Likelihood: ...

    def energy(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """-log p(x | c) up to log Z(c), ``(n,)``."""
        ...

    def nearest_chains(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Starting points for ``n`` long chains, and their conditions."""
        ...

    def set_log_z(self, lower: float, upper: float | None = None, ess: float = math.nan) -> None:
        """Keep an estimate of log Z.

        Args:
            lower: lower end of the interval in which it lies.
            upper: upper end; None: the lower end is the estimate.
            ess: effective sample size of the estimate.
        """
        ...


class Measurable(ABC):
    """The interface that `genzoo.evaluation` needs, with defaults that are true of most models.

    Models and baselines implement it. One that can be measured in further ways than by `log_prob`
    and `sample` declares it here.
    """

    event_shape: tuple[int, ...]
    condition: int = 0
    levels: int = 0
    likelihood: Likelihood = Likelihood.NONE
    # nats by which `log_prob` may be off in either direction, for all events alike
    half_width: float = 0.0
    # whether `sample` takes a ``guidance``
    guidable: bool = False

    @abstractmethod
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """Draw ``n`` events, one per row of ``c`` if given.

        Always of shape ``(n, *event_shape)``.
        """

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Log-density of each event, summed over its dimensions: ``(n,)``, nats per event.

        See `likelihood`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} states no likelihood: it has samples, but no log p(x)."
        )

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """The mean of ``k`` samples of `log_prob`; here, where nothing is random, `log_prob`."""
        return self.log_prob(x, c)

    @property
    def can_be_guided(self) -> bool:
        """True if `sample` takes a ``guidance``, and there is a condition to guide to."""
        return bool(self.condition) and self.guidable

    @property
    def unnormalised(self) -> Unnormalised | None:
        """The part whose log Z the density waits for: an energy model itself, or a VAE's prior."""
        return None

    def probability_flow(self, c: Tensor | None = None) -> ProbabilityFlow | None:
        """The deterministic path from events under ``c`` to noise; None: there is no such path."""
        return None

    def latent_joint(self, c: Tensor | None = None) -> LatentJoint | None:
        """The joint density of latents and events, one condition of ``c`` for each row; or None."""
        return None


def gaussian_joint(model: "GenerativeModel", c: Tensor | None = None) -> LatentJoint:
    """The joint of a generator without noise of its own, whose latent is standard Gaussian."""
    return LatentJoint(standard_normal, model.latent_noise, lambda z: model.decode(z, c))


# ------------------------------------------------------------------------------------ the interface


class GenerativeModel(Trainable, Measurable):
    """A conditional distribution p(x | c) over real tensors of shape ``event_shape``.

    Args:
        event_shape: shape of one event: ``(2,)`` for points, ``(c, h, w)`` for images; any shape is
            modelled.
        condition: width of the condition ``c``: number of classes, or length of a vector; 0 for an
            unconditional model.
        levels: number of values a feature takes (digits 17, 8-bit images 256), on the grid of
            `genzoo.grid`; 0 for real-valued data. With ``levels``, `log_prob` is a statement about
            the *discrete* data (its pmf divided by the bin volume), and samples lie on the grid.
        lr: peak learning rate (linear warm-up, then cosine decay to zero).

    A condition is None, integer labels ``(n,)`` (-1: not given) or vectors ``(n, condition)`` (a
    row of NaN: not given). In training a share of the conditions is dropped, `drop_condition`, so
    every conditional model also samples unconditionally.

    A batch is ``x``, ``(x,)``, ``(x, c)`` or a mapping with the keys ``x`` and ``c`` (or ``y``).
    """

    likelihood: Likelihood = Likelihood.EXACT
    latent: Latent = Latent.NONE
    latent_shape: tuple[int, ...] | None = None
    monitor: str | None = "val_nats"
    drop_condition: float = 0.1
    is_first_batch: bool = True  # of the present run

    def __init_subclass__(cls, **options: Any) -> None:
        """A family need not think of no events: its networks and solvers never see that case."""
        super().__init_subclass__(**options)
        for name, careful in (("sample", sampling_none), ("log_prob", measuring_none)):
            if name in cls.__dict__:
                setattr(cls, name, careful(cls.__dict__[name]))

    def __init__(
        self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0, lr: float = 1e-3
    ):
        super().__init__()
        if not event_shape or any(int(d) < 1 for d in event_shape):
            raise InputError(
                f"event_shape must be a non-empty tuple of positive sizes, got {event_shape!r}."
            )
        if condition < 0 or levels < 0 or levels == 1:
            raise InputError(
                f"condition must be >= 0 and levels 0 or >= 2, got {condition=}, {levels=}."
            )
        if not lr > 0:
            raise InputError(f"lr must be positive, got {lr}.")
        self.event_shape = tuple(int(d) for d in event_shape)
        self.condition = condition
        self.levels = levels
        self.lr = lr

    # ----------------------------------------------------------------------------- the distribution

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """`log_prob`, so that ``model(x, c)``, `torch.compile` and `torch.func` see the density.

        A conditional distribution *is* the function (x, c) -> log p(x | c), whatever `loss` it was
        trained by. A family that states no likelihood raises NotImplementedError, as there.
        """
        return self.log_prob(x, c)

    @property
    def unbiased(self) -> bool:
        """True if the mean of exp(`log_prob`) over its own draws is p(x | c).

        Such draws are importance weights.

        A whole is unbiased if all its parts are: a VAE with a diffusion prior is not, since the
        prior's draws are not.
        """
        return self.likelihood == Likelihood.EXACT

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """The best statement about log p(x | c) that ``k`` draws buy, ``(n,)`` nats.

        Where draws are importance weights (`unbiased`), the tighter log-mean-exp of Burda et al.
        2016; otherwise the plain mean, which is valid for every bound. An exact density ignores k.

        Args:
            x: events, ``(n, *event_shape)``.
            c: their conditions, or None.
            k: draws of `log_prob`'s own randomness for each event.
        """
        if self.likelihood == Likelihood.EXACT:
            return self.log_prob(x, c)
        if self.unbiased:
            return importance_weighted(self, x, c, k)
        return torch.stack([self.log_prob(x, c) for _ in range(k)]).mean(0)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Latent ``(n, *latent_shape)`` that represents ``x``, for families that have one.

        See `latent`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no encoder: it keeps no latent that represents x."
        )

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Event ``(n, *event_shape)`` that latent ``z`` stands for, for families that have one."""
        raise NotImplementedError(
            f"{type(self).__name__} has no decoder: it does not generate from a latent."
        )

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Events ``x`` after `encode` and `decode`, ``(n, *event_shape)``."""
        return self.decode(self.encode(x, c), c)

    def interpolate(
        self, x1: Tensor, x2: Tensor, steps: int = 8, c: Tensor | None = None
    ) -> Tensor:
        """Events on the way from ``x1`` to ``x2``, ``(n, steps, *event_shape)``.

        The way is the great circle between the latents (`slerp`), where Gaussian latents have their
        mass; its ends are reconstructions.

        Args:
            x1: events, ``(n, *event_shape)``.
            x2: as many.
            steps: events of each way, both ends included.
            c: conditions of both, or None.
        """
        z1 = self.encode(x1, c)
        z2 = self.encode(x2, c)
        shares = torch.linspace(0, 1, steps).tolist()
        events = [self.decode(slerp(z1, z2, share), c) for share in shares]
        return torch.stack(events, 1)

    def features(self, x: Tensor) -> Tensor:
        """Features for a linear probe to read, ``(n, width)``.

        The latent, or an inner layer for a family that has something better.

        No condition goes in, or a label could be read off that was only passed through.
        """
        return self.encode(x).flatten(1)

    # --------------------------------------------------------------------------------- the training

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Training loss of each event, ``(n,)``; the negative log-likelihood where there is one."""
        return -self.log_prob(x, c)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        x, c = self.prepare(batch)
        if not len(x):
            return None
        c = drop_conditions(c, self.drop_condition)
        loss = self.loss(x, c).mean()
        self.log_loss(loss, batch_idx, len(x))
        return loss

    def validation_loss(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """The loss that chooses the best weights, by the name `monitor`: ``(n,)``, of ``k`` draws.

        A family that is to be chosen by something else overrides this, and names it in `monitor`.

        Args:
            x: held-out events, ``(n, *event_shape)``.
            c: their conditions, or None.
            k: draws of each event.
        """
        return -self.bound(x, c, k)

    @property
    def validation_draws(self) -> int:
        """Draws of each held-out event at each check, or importance weights where draws are that.

        Importance weights make a bound tighter, so its figure belongs to their number: a VAE's
        weights are chosen by that of four, and its test figure, of more, is lower. Elsewhere draws
        only take noise away.
        """
        if self.likelihood == Likelihood.EXACT:
            return 1
        return 4 if self.unbiased else self.check_draws

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the mean of `validation_loss`.

        The same draws at every check, so only weights differ.
        """
        if self.monitor is not None:
            self.log_check(self.monitor, batch, batch_idx)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Logs what `validation_step` does, of test events: ``test_nats``, say."""
        if self.monitor is not None:
            name = self.monitor.removeprefix("val_")
            self.log_check(f"test_{name}", batch, batch_idx)

    def log_check(self, name: str, batch: Any, batch_idx: int) -> None:
        """Log the mean `validation_loss` of a batch.

        Args:
            name: in the log.
            batch: as of `prepare`.
            batch_idx: which batch of the split it is; the seed of the draws.
        """
        x, c = self.prepare(batch)
        if not len(x):
            return
        with drawing_from(batch_idx, x.device):
            value = self.validation_loss(x, c, self.validation_draws).mean()
        # Lightning takes the mean weight of the processes in whole numbers
        processes = 1 if self._trainer is None else self.trainer.world_size
        weight = len(x) * processes
        self.log(name, value, prog_bar=True, batch_size=weight, sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int = 0) -> Tensor:
        """One sample under the condition of each event: what every family can predict."""
        x, c = self.prepare(batch)
        return self.sample(len(x), c)

    def on_fit_start(self) -> None:
        self.is_first_batch = True

    def prepare(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        """A batch as this model reads it, in its own precision.

        An unconditional model ignores conditions. While a Trainer trains, events and conditions
        are checked in the first batch only, for a GPU would wait for the values of each.

        Args:
            batch: ``x``, ``(x,)``, ``(x, c)``, or a mapping with the keys ``x`` and ``c`` (or
                ``y``).

        Raises:
            InputError: the batch is none of these, or not of this model's data.
        """
        x, c = unpacked(batch)
        if not self.condition:
            c = None
        x = self._in_own_precision(x)
        if c is not None:
            c = self._in_own_precision(c)
        if self.is_first_batch or not self.is_fitting:
            self.require_batch(x, c)
        if self.is_fitting:
            self.is_first_batch = False
        return x, c

    def _in_own_precision(self, values: Tensor) -> Tensor:
        return values.to(self.dtype) if values.dtype == torch.float64 else values

    # ------------------------------------------------------------------------------ the bookkeeping

    def latent_noise(self, n: int) -> Tensor:
        """Standard Gaussian latents ``(n, *latent_shape)``, of the parameters' kind and place."""
        assert self.latent_shape is not None
        like = next(self.parameters())
        return torch.randn(n, *self.latent_shape, device=like.device, dtype=like.dtype)

    @property
    def evaluations_per_sample(self) -> int:
        """Sequential evaluations of the network in one call of `sample`.

        They are the same however many samples it draws.
        """
        return 1

    def facts(self) -> dict[str, str]:
        values = f"{self.levels} levels" if self.levels else "real-valued"
        return {
            "events": f"{self.event_shape}, {values}",
            "condition": f"width {self.condition}" if self.condition else "none",
            "likelihood": f"{self.likelihood.name.lower()} ({self.likelihood.symbol})",
        }

    @property
    def dims(self) -> int:
        """Number of features of one event."""
        return math.prod(self.event_shape)

    def require_batch(self, x: Tensor, c: Tensor | None) -> None:
        """Raise `InputError` unless the model can be trained on events ``x`` with conditions ``c``.

        Beside `require_events`: neither has NaN, and labels and vectors are of the width of
        `condition`.
        """
        self.require_events(x, even_in_training=True)
        if not x.isfinite().all():
            raise InputError(f"The events have values that are NaN or infinite: {place(x)}.")
        if c is None or not self.condition:
            return
        name = type(self).__name__
        if len(c) != len(x):
            raise InputError(f"{len(x)} events but {len(c)} conditions: expected one for each.")
        if c.dim() == 1:
            if c.is_floating_point():
                raise InputError(f"Labels are whole numbers, got {c.dtype}: {name} takes y.long().")
            wrong = (c < -1) | (c >= self.condition)
            if wrong.any():
                raise InputError(
                    f"This {name} takes labels 0 ... {self.condition - 1} (-1: not given), "
                    f"got {int(c[wrong][0])}."
                )
        elif tuple(c.shape[1:]) != (self.condition,):
            raise InputError(
                f"This {name} takes conditions (n, {self.condition}), got {tuple(c.shape)}."
            )
        elif not c.isfinite().all():
            raise InputError(f"The conditions have values that are NaN or infinite: {place(c)}.")

    def require_events(
        self, x: Tensor, decoded: bool = False, even_in_training: bool = False
    ) -> None:
        """Raise `InputError` unless ``x`` holds events of this model, ``(n, *event_shape)``.

        They are no wider than its parameters. Those of discrete data lie on its grid.
        Anything else would get a finite number too: an integer level taken for its value, a pixel
        in [0, 1], an event of another shape.

        Args:
            x: the events.
            decoded: whether what decoders give will do: values between the levels, and not far out.
            even_in_training: whether to look at values while a Trainer trains, too. As a rule only
                the shape is looked at then (see `prepare`), and where torch compiles the call.
        """
        name = type(self).__name__
        if not isinstance(x, Tensor):
            kind = type(x).__name__
            raise InputError(f"This {name} takes events as a tensor, got {kind}: torch.tensor(x).")
        if not x.dim() or tuple(x.shape[1:]) != self.event_shape:
            expected = ", ".join(["n", *map(str, self.event_shape)])
            raise InputError(
                f"This {name} models events of shape {self.event_shape}, "
                f"so it takes ({expected}), got {tuple(x.shape)}."
            )
        if not x.is_floating_point():
            raise InputError(f"This {name} takes events as floating-point numbers, got {x.dtype}.")
        own = precision_of(self)
        is_wider = torch.promote_types(x.dtype, own) != own
        if is_wider and not torch.is_autocast_enabled(x.device.type):
            raise InputError(
                f"This {name} computes in {own}, got events in {x.dtype}: give x.to({own}), or "
                f"take model.to({x.dtype})."
            )
        only_shape = self.is_fitting and not even_in_training
        if not self.levels or only_shape or torch.compiler.is_compiling():
            return
        values = x.detach()
        wrong = values.abs() > FAR if decoded else grid.is_between(values, self.levels)
        if wrong.any():
            raise InputError(
                f"This {name} models {self.levels} levels, of which the level k has the value "
                f"(2k + 1) / {self.levels} - 1, got {x[wrong][0].item():g}. "
                f"genzoo.grid.to_grid(k, {self.levels}) takes levels there, and the transform "
                f"genzoo.data.ToGrid({self.levels}) images."
            )

    def on_grid(self, x: Tensor) -> Tensor:
        """The nearest event of discrete data; real-valued data passes unchanged."""
        return grid.quantise(x, self.levels)


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Context manager: evaluation mode inside, the previous mode on exit."""
    training = isinstance(model, torch.nn.Module) and model.training
    if isinstance(model, torch.nn.Module):
        model.eval()
    try:
        yield
    finally:
        if isinstance(model, torch.nn.Module):
            model.train(training)


def device_of(model: object) -> torch.device:
    """Device of a model's parameters; a baseline has none and works on the CPU."""
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    return next((p.device for p in parameters), torch.device("cpu"))


def precision_of(model: torch.nn.Module) -> torch.dtype:
    """The kind of floating-point number that a model's parameters are."""
    kinds = (p.dtype for p in model.parameters() if p.is_floating_point())
    return next(kinds, torch.get_default_dtype())


@contextmanager
def drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """Context manager: random numbers follow from ``seed``; the old state is restored on exit."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def importance_weighted(model: GenerativeModel, x: Tensor, c: Tensor | None, k: int) -> Tensor:
    """log (1/k) sum_j exp(draw_j) of k draws of ``model.log_prob``, ``(n,)`` nats.

    For draws that are log importance weights.

    Never looser than one draw and rising to the truth with k (Burda et al. 2016, eq. 8). Valid for
    a VAE's z and for dequantisation noise; *not* for a diffusion bound, whose draws over time are
    terms of a sum and no importance weights.

    Args:
        model: whose `log_prob` is drawn.
        x: events, ``(n, *event_shape)``.
        c: their conditions, or None.
        k: draws of each event.
    """
    draws = torch.stack([model.log_prob(x, c) for _ in range(k)])
    return torch.logsumexp(draws, 0) - math.log(k)


def slerp(start: Tensor, end: Tensor, share: Tensor | float) -> Tensor:
    """Spherical interpolation, row by row.

    sin((1 - s) w) / sin(w) start + sin(s w) / sin(w) end, w the angle between them (Shoemake 1985).
    So Gaussian latents are interpolated (White 2016, *Sampling generative networks*): a straight
    line between two draws of many dimensions leads through the middle, where no draw ever lies.
    Where the rows point in the same or in opposite directions there is no one circle, and the way
    is straight.

    Args:
        start: vectors or images, ``(n, ...)``.
        end: of the same shape.
        share: of the angle between them, a number or ``(n,)``.
    """
    a = torch.nn.functional.normalize(start.flatten(1), dim=1)
    b = torch.nn.functional.normalize(end.flatten(1), dim=1)
    # unlike the arc cosine, it is accurate for small angles
    angle = 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1))
    share = torch.as_tensor(share, dtype=start.dtype, device=start.device).expand(len(start))

    row = (-1, *[1] * (start.dim() - 1))
    angle = angle.view(row)
    share = share.view(row)
    straight = angle.sin() < 1e-4
    sine = angle.sin().masked_fill(straight, 1.0)
    first = torch.where(straight, 1 - share, torch.sin((1 - share) * angle) / sine)
    second = torch.where(straight, share, torch.sin(share * angle) / sine)
    return first * start + second * end


def sampling_none(sample: Any) -> Any:
    """A ``sample`` that also draws no events, ``(0, *event_shape)``."""

    @wraps(sample)
    def careful(model: GenerativeModel, n: int, *arguments: Any, **options: Any) -> Tensor:
        n = number_of_events(n)
        if n == 0:
            return torch.empty(0, *model.event_shape, device=device_of(model))
        return sample(model, n, *arguments, **options)

    return careful


def number_of_events(n: Any) -> int:
    """A number of events to sample, as an int: Python's own, numpy's or torch's.

    Raises:
        InputError: it is below zero, or no whole number.
    """
    try:
        whole = operator.index(n)
    except TypeError:
        whole = -1
    if whole < 0:
        raise InputError(f"n must be a whole number of at least 0, got {n!r}.")
    return whole


def measuring_none(log_prob: Any) -> Any:
    """A ``log_prob`` that also takes no events, ``(0, *event_shape)``."""

    @wraps(log_prob)
    def careful(model: GenerativeModel, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if not isinstance(x, Tensor) or x.shape[:1] in ((), (0,)):
            model.require_events(x)
            return x.flatten(1).sum(1)
        return log_prob(model, x, *arguments, **options)

    return careful


def drop_conditions(c: Tensor | None, share: float) -> Tensor | None:
    """Mark a random ``share`` of the conditions as not given: label -1, or a row of NaN."""
    if c is None:
        return None
    drop = torch.rand(len(c), device=c.device) < share
    if c.dim() == 1:
        return c.masked_fill(drop, -1)
    return c.masked_fill(drop[:, None], math.nan)


def unpacked(batch: Any) -> tuple[Tensor, Tensor | None]:
    """Events and conditions of a batch: ``x``, ``(x,)``, ``(x, c)`` or a mapping of x and c or y.

    Raises:
        InputError: it is something else.
    """
    if isinstance(batch, Tensor):
        return batch, None
    if isinstance(batch, Mapping) and isinstance(batch.get("x"), Tensor):
        return batch["x"], batch.get("c", batch.get("y"))
    if isinstance(batch, Sequence) and 1 <= len(batch) <= 2 and isinstance(batch[0], Tensor):
        return batch[0], batch[1] if len(batch) == 2 else None
    kinds = f"the keys {list(batch)}" if isinstance(batch, Mapping) else type(batch).__name__
    raise InputError(
        f"A batch is x, (x,), (x, c), or a mapping with the keys x and c (or y), got {kinds}."
    )


def place(values: Tensor) -> str:
    """The first value of ``values`` that is not finite, and its index, in words."""
    wrong = (~values.isfinite()).nonzero()
    first = tuple(wrong[0].tolist())
    return f"{values[first].item():g} at {first}"


DEEPEST = 1000  # blocks of a network; more would not be built before the user gives up


def require(least: float, most: float = math.inf, /, **arguments: Any) -> None:
    """Raise ValueError for the first of ``arguments`` that is not in [least, most].

    They are numbers or tuples of numbers.
    """
    for name, value in arguments.items():
        several = isinstance(value, list | tuple)
        numbers = value if several else (value,)
        if not numbers or not all(
            isinstance(n, int | float) and least <= n <= most for n in numbers
        ):
            limits = (
                f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:g}"
            )
            raise ValueError(f"{'each size in ' * several}{name} must be {limits}, got {value!r}.")
