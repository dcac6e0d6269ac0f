"""The one interface: a generative model is a conditional distribution p(x | c) over tensors of one
``event_shape``.

It can always `sample`. It states, by its `likelihood`, what its `log_prob` claims. A family that
can write log p(x | c), or a bound on it, needs no training code: the loss is -log p, and everything
about training is written here, once. A family that cannot overrides `loss` (energy, flow matching)
or `training_step` (GAN): that is what you do instead.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import Any

import lightning as L
import torch
from torch import Tensor

from genzoo import grid

FAR = 2.0  # from the middle of [-1, 1], in which discrete data lies: further than a decoder errs


class Likelihood(IntEnum):
    """What `GenerativeModel.log_prob` claims about log p(x | c).

    The claim of a whole is the weakest, that is the ``max``, of the claims of its parts.
    """

    EXACT = 0
    BOUND = 1
    ESTIMATE = 2
    NONE = 3

    @property
    def symbol(self) -> str:
        """What is printed in front of bits/dim: ``=`` exact, ``≤`` at most this, ``≈`` an estimate,
        ``—`` no claim.
        """
        return "=≤≈—"[self]


class Latent(StrEnum):
    """What `GenerativeModel.encode` and `decode` are to each other; `genzoo.evaluation.round_trip`
    measures how well it holds.
    """

    EXACT = "exact"  # each other's inverse: to rounding (flow), to the steps of an ODE solver (diffusion)
    APPROXIMATE = "approximate"  # the encoder is a network of its own, trained to guess (VAE)
    OPTIMISED = (
        "optimised"  # there is no encoder: `encode` searches for the latent that decodes to x (GAN)
    )
    NONE = "none"  # nothing in the model represents an event as a whole; both raise NotImplementedError


class Trainable(L.LightningModule):
    """What `genzoo.fit` trains and `genzoo.save` keeps: one optimiser, and a constructor whose
    signature is the configuration.

    Every argument of the constructor is kept, unmodified, as an attribute of its name. Among them,
    or set by the class, is what data it is for.
    """

    event_shape: tuple[int, ...]
    condition: int
    levels: int = 0
    lr: float
    likelihood: Likelihood = Likelihood.NONE
    monitor: str | None = (
        None  # what validation chooses the best weights by; None: nothing there to choose by
    )
    check_draws = 8  # of a held-out event where a check is noisy; `genzoo.fit` sets it by the cost
    weight_decay = 1e-2
    usage = "x = model.sample(16)"  # the line of the model card that shows what the model is for

    def validation_step(self, batch, batch_idx: int) -> None:
        """Logs what `monitor` names; here, nothing."""

    def configure_optimizers(self):
        return self.optimiser(self.parameters())

    def optimiser(self, parameters, betas: tuple[float, float] = (0.9, 0.99)) -> dict[str, Any]:
        """AdamW with linear warm-up over 2 % of the run and cosine decay to zero: the zoo's one
        schedule.
        """
        adam = torch.optim.AdamW(parameters, self.lr, betas, weight_decay=self.weight_decay)
        steps = self.trainer.estimated_stepping_batches if self._trainer else 1
        schedule = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda step: warmup_cosine(step, int(steps))
        )
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def config(self) -> dict[str, Any]:
        """``{"family": ..., "arguments": ...}`` in plain values, nested models included: enough to
        rebuild the model.
        """
        names = list(inspect.signature(type(self)).parameters)
        values = {name: getattr(self, name) for name in names}
        arguments = {
            k: v.config() if isinstance(v, Trainable) else plain(v) for k, v in values.items()
        }
        return {"family": type(self).__name__, "arguments": arguments}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["genzoo"] = self.config()

    def facts(self) -> dict[str, str]:
        """What the model card says of any model of this kind."""
        return {}


class GenerativeModel(Trainable, ABC):
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
    row of NaN: not given). In training a tenth of the conditions is dropped, so every conditional
    model also samples unconditionally.

    The constructor's signature is the configuration: every argument is kept, unmodified, as an
    attribute of its name.
    """

    likelihood: Likelihood = Likelihood.EXACT
    latent: Latent = Latent.NONE
    latent_shape: tuple[int, ...] | None = None
    monitor: str | None = "val_nats"
    drop_condition = 0.1
    half_width: float = (
        0.0  # nats by which `log_prob` may be off in either direction, for all events alike
    )

    def __init__(
        self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0, lr: float = 1e-3
    ):
        super().__init__()
        if not event_shape or any(int(d) < 1 for d in event_shape):
            raise ValueError(
                f"event_shape must be a non-empty tuple of positive sizes, got {event_shape!r}."
            )
        if condition < 0 or levels < 0 or levels == 1:
            raise ValueError(
                f"condition must be >= 0 and levels 0 or >= 2, got {condition=}, {levels=}."
            )
        if not lr > 0:
            raise ValueError(f"lr must be positive, got {lr}.")
        self.event_shape = tuple(int(d) for d in event_shape)
        self.condition, self.levels, self.lr = condition, levels, lr

    # ----------------------------------------------------------------------------- the distribution

    @abstractmethod
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """Draw ``n`` events, one per row of ``c`` if given; always of shape ``(n, *event_shape)``."""

    @property
    def can_be_guided(self) -> bool:
        """Whether `sample` takes a ``guidance``, and there is a condition to guide to."""
        return bool(self.condition) and "guidance" in inspect.signature(self.sample).parameters

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Log-density of each event, summed over its dimensions: ``(n,)``, nats per event; see
        `likelihood`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} states no likelihood: it has samples, but no log p(x)."
        )

    @property
    def unbiased(self) -> bool:
        """Whether the mean of exp(`log_prob`) over its own draws is p(x | c), so that draws are
        importance weights.

        A whole is unbiased if all its parts are: a VAE with a diffusion prior is not, since the
        prior's draws are not.
        """
        return self.likelihood == Likelihood.EXACT

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """The best statement about log p(x | c) that ``k`` draws of `log_prob`'s own randomness
        buy, ``(n,)`` nats.

        Where draws are importance weights (`unbiased`), the tighter log-mean-exp of Burda et al.
        2016; otherwise the plain mean, which is valid for every bound. An exact density ignores k.
        """
        if self.likelihood == Likelihood.EXACT:
            return self.log_prob(x, c)
        if self.unbiased:
            return importance_weighted(self, x, c, k)
        return torch.stack([self.log_prob(x, c) for _ in range(k)]).mean(0)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Latent ``(n, *latent_shape)`` that represents ``x``, for families that have one; see
        `latent`.
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
        """What is left of ``x`` after `encode` and `decode`, ``(n, *event_shape)``."""
        return self.decode(self.encode(x, c), c)

    def interpolate(
        self, x1: Tensor, x2: Tensor, steps: int = 8, c: Tensor | None = None
    ) -> Tensor:
        """Events on the way from ``x1`` to ``x2``, both (n, *event_shape): ``(n, steps,
        *event_shape)``, both ends included.

        The way is the great circle between the latents (`slerp`), where Gaussian latents have their
        mass; its ends are reconstructions.
        """
        z1, z2 = self.encode(x1, c), self.encode(x2, c)
        return torch.stack(
            [self.decode(slerp(z1, z2, t), c) for t in torch.linspace(0, 1, steps).tolist()], 1
        )

    def features(self, x: Tensor) -> Tensor:
        """What a linear probe may read, ``(n, width)``: the latent, or an inner layer for a family
        that has something better.

        No condition goes in, or a label could be read off that was only passed through.
        """
        return self.encode(x).flatten(1)

    # --------------------------------------------------------------------------------- the training

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Training loss of each event, ``(n,)``; the negative log-likelihood where there is one."""
        return -self.log_prob(x, c)

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> Tensor | None:
        x, c = self.prepare(batch)
        loss = self.loss(x, forget(c, self.drop_condition)).mean()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_loss(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """What `monitor` names and the best weights are chosen by, ``(n,)``, from ``k`` draws.

        A family that is to be chosen by something else overrides this, and names it in `monitor`.
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

    def validation_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> None:
        """Logs the mean of `validation_loss`: the same draws at every check, so only weights
        differ.
        """
        if self.monitor is None:
            return
        x, c = self.prepare(batch)
        with drawing_from(batch_idx, x.device):
            value = self.validation_loss(x, c, self.validation_draws).mean()
        self.log(self.monitor, value, prog_bar=True, batch_size=len(x), sync_dist=True)

    def prepare(self, batch: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """The batch as this model reads it: an unconditional model ignores conditions; a wrong
        shape is an error.
        """
        x, c = batch
        self.require_events(x)
        return x, c if self.condition else None

    # ------------------------------------------------------------------------------ the bookkeeping

    @property
    def evaluations_per_sample(self) -> int:
        """Sequential evaluations of the network that one call of `sample` makes, however many
        samples it draws.
        """
        return 1

    def facts(self) -> dict[str, str]:
        return {
            "events": f"{self.event_shape}, {f'{self.levels} levels' if self.levels else 'real-valued'}",
            "condition": f"width {self.condition}" if self.condition else "none",
            "likelihood": f"{self.likelihood.name.lower()} ({self.likelihood.symbol})",
        }

    @property
    def dims(self) -> int:
        """Number of features of one event."""
        return math.prod(self.event_shape)

    def require_events(self, x: Tensor, decoded: bool = False) -> None:
        """Raise ValueError unless ``x`` holds events of this model, ``(n, *event_shape)``.

        Those of discrete data lie on its grid. Anything else would get a finite number too: an
        integer level taken for its value, a pixel in [0, 1], an event of another shape.

        Args:
            decoded: whether what decoders give will do: values between the levels, and not far out.

        While a Trainer trains, only the shape is looked at, for a GPU would wait for the values:
        `genzoo.fit` has looked at those before.
        """
        name = type(self).__name__
        if tuple(x.shape[1:]) != self.event_shape:
            expected = ", ".join(["n", *map(str, self.event_shape)])
            raise ValueError(
                f"This {name} models events of shape {self.event_shape}, "
                f"so it takes ({expected}), got {tuple(x.shape)}."
            )
        if not x.is_floating_point():
            raise ValueError(f"This {name} takes events as floating-point numbers, got {x.dtype}.")
        if not self.levels or (self._trainer is not None and self._trainer.training):
            return
        wrong = x.detach().abs() > FAR if decoded else grid.is_between(x.detach(), self.levels)
        if wrong.any():
            raise ValueError(
                f"This {name} models {self.levels} levels, of which the level k has the value "
                f"(2k + 1) / {self.levels} - 1, got {x[wrong][0].item():g}. "
                f"genzoo.grid.to_grid(k, {self.levels}) takes levels there."
            )

    def on_grid(self, x: Tensor) -> Tensor:
        """The nearest event of discrete data; real-valued data passes unchanged."""
        return grid.quantise(x, self.levels)


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Without dropout inside, and as before outside."""
    training = isinstance(model, torch.nn.Module) and model.training
    if isinstance(model, torch.nn.Module):
        model.eval()
    try:
        yield
    finally:
        if isinstance(model, torch.nn.Module):
            model.train(training)


def device_of(model: object) -> torch.device:
    """Where a model's parameters are; a baseline has none and works on the CPU."""
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    return next((p.device for p in parameters), torch.device("cpu"))


@contextmanager
def drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, random numbers that follow from ``seed`` alone; outside, as if none had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def importance_weighted(model: GenerativeModel, x: Tensor, c: Tensor | None, k: int) -> Tensor:
    """log (1/k) sum_j exp(draw_j) of k draws of ``model.log_prob``, ``(n,)`` nats: for draws that
    are log importance weights.

    Never looser than one draw and rising to the truth with k (Burda et al. 2016, eq. 8). Valid for
    a VAE's z and for dequantisation noise; *not* for a diffusion bound, whose draws over time are
    terms of a sum and no importance weights.
    """
    draws = torch.stack([model.log_prob(x, c) for _ in range(k)])
    return torch.logsumexp(draws, 0) - math.log(k)


def slerp(start: Tensor, end: Tensor, share: Tensor | float) -> Tensor:
    """Spherical interpolation, row by row: from ``start`` (n, ...) by ``share``, a number or
    ``(n,)``, of the angle to ``end``.

    sin((1 - s) w) / sin(w) start + sin(s w) / sin(w) end, w the angle between them (Shoemake 1985).
    So Gaussian latents are interpolated (White 2016, *Sampling generative networks*): a straight
    line between two draws of many dimensions leads through the middle, where no draw ever lies.
    Where the rows point in the same or in opposite directions there is no one circle, and the way
    is straight.
    """
    a, b = (torch.nn.functional.normalize(each.flatten(1), dim=1) for each in (start, end))
    angle = 2 * torch.atan2(
        (a - b).norm(dim=1), (a + b).norm(dim=1)
    )  # accurate where the cosine is flat
    share = torch.as_tensor(share, dtype=start.dtype, device=start.device).expand(len(start))
    share, angle = (each.view(-1, *[1] * (start.dim() - 1)) for each in (share, angle))
    straight = angle.sin() < 1e-4
    sine = angle.sin().masked_fill(straight, 1.0)
    first = torch.where(straight, 1 - share, torch.sin((1 - share) * angle) / sine)
    second = torch.where(straight, share, torch.sin(share * angle) / sine)
    return first * start + second * end


def forget(c: Tensor | None, share: float) -> Tensor | None:
    """Mark a random ``share`` of the conditions as not given: label -1, or a row of NaN."""
    if c is None:
        return None
    drop = torch.rand(len(c), device=c.device) < share
    return c.masked_fill(drop, -1) if c.dim() == 1 else c.masked_fill(drop[:, None], math.nan)


def warmup_cosine(step: int, steps: int) -> float:
    """Learning-rate factor: linear warm-up over the first 2 % of ``steps``, then half a cosine down
    to zero.
    """
    warmup = max(1, steps // 50)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def require(least: float, most: float = math.inf, /, **arguments: Any) -> None:
    """Raise ValueError for the first of ``arguments``, numbers or tuples of them, that does not lie
    in [least, most].
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


def plain(value: Any) -> Any:
    """A value as YAML and JSON hold it: they know no tuples."""
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value
