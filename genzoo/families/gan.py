r"""Generative adversarial network: learn to sample what a critic cannot tell from data.

A generator G turns noise z into a sample; a critic D gives a score to observations, high for data.
They play

.. math::

    \min_D \; E_{x}\,\mathrm{softplus}(-D(x)) + E_{z}\,\mathrm{softplus}(D(G(z)))
        + \tfrac{\gamma}{2} E_x \|\nabla_x D(x)\|^2
    \qquad
    \min_G \; E_{z}\,\mathrm{softplus}(-D(G(z)))

The first is logistic regression of "data" against "generated"; but for the penalty its optimum is
D(x) = log p_data(x) - log p_G(x). The second is the *non-saturating* loss. The gradient penalty R1
keeps the critic smooth around the data, and with it the game convergent.

p_G is never written down: the model is *implicit*. It gives samples and no likelihood.

References: Goodfellow et al. 2014, *Generative adversarial nets*; Mescheder et al. 2018, *Which
training methods for GANs do actually converge?* (R1, eq. 9); Karras et al. 2018 (averaged
generator); Karras et al. 2020, *Analyzing and improving the image quality of StyleGAN* (lazy
penalty, section 3.1).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genzoo import grid
from genzoo.errors import InputError
from genzoo.model import (
    DEEPEST,
    GenerativeModel,
    Latent,
    LatentJoint,
    Likelihood,
    drop_conditions,
    gaussian_joint,
    require,
)
from genzoo.nets import Condition, Decoder, Encoder, apply, features_of, given_or
from genzoo.optim import AdamW

Score = Callable[[Tensor, Tensor | None], Tensor]  # (observations, conditions) -> a score of each


# ----------------------------------------------------------------------------------------- the game


def critic_loss(score: Score, real: Tensor, fake: Tensor, c: Tensor | None, gamma: float) -> Tensor:
    """softplus(-D(x)) + softplus(D(G(z))) + gamma/2 |grad D(x)|^2, ``(n,)``.

    Args:
        score: the critic D.
        real, fake: data x and what was generated, ``(n, *event_shape)`` each.
        c: conditions of both.
        gamma: weight of the penalty R1.
    """
    real = real.detach().requires_grad_(True)
    on_real = score(real, c)
    on_fake = score(fake.detach(), c)
    if not gamma:
        return F.softplus(-on_real) + F.softplus(on_fake)
    (gradient,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    r1 = gradient.square().flatten(1).sum(1)
    return F.softplus(-on_real) + F.softplus(on_fake) + gamma / 2 * r1


def generator_loss(score: Score, fake: Tensor, c: Tensor | None) -> Tensor:
    """softplus(-D(G(z))), ``(n,)``: the non-saturating loss.

    Args:
        score: (x, c) -> D(x, c), ``(n,)``.
        fake: generated events, ``(n, *event_shape)``.
        c: a condition for each.
    """
    return F.softplus(-score(fake, c))


def play(
    model: GenerativeModel, critics_loss: Tensor, others_loss: Callable[[], Tensor]
) -> dict[str, Tensor]:
    """One move of each player: the critic's step first, then that of the other player.

    Args:
        model: has two optimisers, the critic's being the second, and is trained by a Trainer.
        critics_loss: mean loss of the critic.
        others_loss: gives the mean loss of the other player, under the critic that has moved.

    Returns:
        both losses, to be logged.
    """
    other, critic = model.optimizers()  # type: ignore[misc]
    step(model, critic, critics_loss)
    loss = others_loss()
    step(model, other, loss)
    for schedule in model.lr_schedulers():  # type: ignore[union-attr]
        schedule.step()  # type: ignore[union-attr]
    return {"train_loss": loss, "critic_loss": critics_loss}


def step(model: GenerativeModel, optimizer: Any, loss: Tensor) -> None:
    """Take one step of an optimiser down the gradient of a loss.

    Args:
        model: that is trained; its manual backward pass knows the precision.
        optimizer: of one player.
        loss: a scalar.
    """
    optimizer.zero_grad()
    model.manual_backward(loss)
    optimizer.step()


# ---------------------------------------------------------------------------------------- the model


class Generator(Decoder):
    """A `genzoo.nets.Decoder` of one number for each feature."""

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        return super().forward(z, e).squeeze(1)


class GAN(GenerativeModel):
    """Implicit model: samples in one pass, no likelihood.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`; the one learning
            rate serves both players.
        latent_shape: shape of the noise z.
        width, depth: of generator and critic.
        patch: side of the squares of pixels that both take as one; 2 makes an image four times as
            cheap.
        gamma: weight of the R1 gradient penalty.
        lazy: the critic is penalised at each of its steps (1), or at every so many, as many times
            as much. The gradient of a gradient costs a third of a step.
        leak: slope added to the tanh that ends the generator on discrete data. Where a critic wins
            early, all pixels saturate, at black for most images, and without it learn no more.
        noisy: whether the critic is shown samples, as it is data, with the noise that fills the
            bins of discrete data. Of black and white that noise is half of the range, and would
            tell data from samples by itself.
        generator, critic: in place of the defaults, see `genzoo.nets`. The default critic has no
            normalisation layer, for a score must not depend on its batch.
    """

    likelihood = Likelihood.NONE
    latent = Latent.OPTIMISED
    monitor = None  # neither loss measures the quality of the samples
    optimizer = AdamW(betas=(0.0, 0.99), weight_decay=0.0)
    players = 2
    latent_shape: tuple[int, ...]

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 1e-3,
        latent_shape: tuple[int, ...] = (32,),
        width: int = 64,
        depth: int = 1,
        patch: int = 1,
        gamma: float = 1.0,
        lazy: int = 1,
        leak: float = 0.0,
        noisy: bool = False,
        generator: nn.Module | None = None,
        critic: nn.Module | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, latent_shape=latent_shape, width=width, lazy=lazy)
        require(0, DEEPEST, depth=depth)
        require(0, gamma=gamma, leak=leak)
        self.automatic_optimization = False
        self.latent_shape = tuple(latent_shape)
        self.width = width
        self.depth = depth
        self.patch = patch
        self.gamma = gamma
        self.lazy = lazy
        self.leak = leak
        self.noisy = noisy
        self.generator_embed = Condition(condition, width)
        self.generator = given_or(generator, self.default_generator)
        self.critic_embed = Condition(condition, width)
        self.critic = given_or(critic, self.default_critic)

    def default_generator(self) -> nn.Module:
        return Generator(
            math.prod(self.latent_shape),
            self.event_shape,
            1,
            self.width,
            self.width,
            self.depth,
            norm=True,
            patch=self.patch,
        )

    def default_critic(self) -> nn.Module:
        size = (self.width, self.width, self.depth)
        return Encoder(self.event_shape, 1, *size, patch=self.patch)

    def generate(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """G(z), ``(n, *event_shape)``, of noise ``z``; not rounded to the data's levels.

        Discrete data lies in [-1, 1], where a tanh keeps it, but for a ``leak`` that samples lose.
        """
        e = self.generator_embed(c, len(z))
        x = apply(self.generator, z.flatten(1), e, self.event_shape)
        if not self.levels:
            return x
        return x.tanh() + self.leak * x

    def fake(self, n: int, c: Tensor | None = None) -> Tensor:
        """Samples as the critic is shown them, ``(n, *event_shape)``; they can be differentiated.

        Noise on both sides leaves the optimum where it is: what differs without it still differs
        with it (Sønderby et al. 2017, *Amortised MAP inference*, section 3.3).
        """
        x = self.generate(self.latent_noise(n), c)
        return grid.dequantise(x, self.levels) if self.noisy else x

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The critic's score D(x) of each observation, ``(n,)``: high for data."""
        e = self.critic_embed(c, len(x))
        score = apply(self.critic, x, e, (1,))
        return score.squeeze(1)

    # ------------------------------------------------------------------------------------- training

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> None:
        x, c = self.prepare(batch)
        c = drop_conditions(c, self.drop_condition)
        # else the critic would recognise data by its grid
        real = grid.dequantise(x, self.levels)
        fake = self.fake(len(x), c)
        gamma = self.gamma * self.lazy if batch_idx % self.lazy == 0 else 0.0
        losses = play(
            self,
            critic_loss(self.score, real, fake, c, gamma).mean(),
            lambda: generator_loss(self.score, fake, c).mean(),
        )
        self.log_losses(losses, batch_idx, len(x))

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Sum of both players' losses, ``(n,)``, to log and to differentiate.

        Training plays them one after the other.
        """
        self.require_events(x)
        fake = self.fake(len(x), c)
        real = grid.dequantise(x, self.levels)
        critics = critic_loss(self.score, real, fake, c, self.gamma)
        return critics + generator_loss(self.score, fake, c)

    def configure_optimizers(self):
        """One optimiser for the generator, and one for the critic."""
        generator = nn.ModuleList([self.generator_embed, self.generator])
        critic = nn.ModuleList([self.critic_embed, self.critic])
        return [self.scheduled(player.parameters()) for player in (generator, critic)]

    # ----------------------------------------------------------------------- samples and the latent

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """``(n, *event_shape)``: noise through the generator."""
        noise = self.latent_noise(n)
        return self.on_grid(self.generate(noise, c))

    def latent_joint(self, c: Tensor | None = None) -> LatentJoint:
        """Standard Gaussian noise and the generator, which adds no noise of its own."""
        return gaussian_joint(self, c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """G(z), ``(n, *event_shape)``, not rounded to the data's levels."""
        return self.generate(z, c)

    def encode(
        self,
        x: Tensor,
        c: Tensor | None = None,
        starts: int = 8,
        steps: int = 200,
        lr: float = 0.1,
        sigma: float = 0.1,
    ) -> Tensor:
        """The z most probable given ``x``, ``(n, *latent_shape)``, found by gradient descent.

        A generator has no encoder, so its latent is searched for (Creswell & Bharath 2018,
        *Inverting the generator of a GAN*). If G cannot make anything like x there may be no good
        z at all.

        Args:
            x, c: observations and their conditions.
            starts: samples of z to descend from; the best result is kept.
            steps, lr: of Adam, whose learning rate falls by a cosine to zero.
            sigma: standard deviation of the Gaussian noise by which x differs from G(z).
        """
        self.require_events(x, decoded=True)
        n = len(x)
        if c is not None and len(c) != n:
            raise InputError(f"{n} events but {len(c)} conditions: expected one for each.")
        with torch.inference_mode(False), torch.enable_grad():
            target = torch.cat([x.detach().clone()] * starts)
            given = None if c is None else torch.cat([c.clone()] * starts)
            z = self.latent_noise(starts * n).requires_grad_(True)
            descent = torch.optim.Adam([z], lr)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
            for _ in range(steps):
                (z.grad,) = torch.autograd.grad(self.mismatch(z, target, given, sigma).sum(), z)
                descent.step()
                schedule.step()
            mismatch = self.mismatch(z, target, given, sigma).detach().view(starts, n)
        best = mismatch.argmin(0)
        return z.detach().unflatten(0, (starts, n))[best, torch.arange(n, device=x.device)]

    def mismatch(self, z: Tensor, x: Tensor, c: Tensor | None, sigma: float) -> Tensor:
        """-log p(z) - log N(x; G(z), sigma^2) up to a constant, ``(n,)`` nats.

        Args:
            z: latents, ``(n, *latent_shape)``.
            x: events, ``(n, *event_shape)``.
            c: a condition for each.
            sigma: standard deviation of the noise.
        """
        error = (self.generate(z, c) - x) / sigma
        of_x = error.square().flatten(1).sum(1)
        of_z = z.square().flatten(1).sum(1)
        return of_x / 2 + of_z / 2

    def features(self, x: Tensor) -> Tensor:
        """The input of the critic's last, linear layer, ``(n, width x positions)``.

        Of the two networks only the critic takes observations.
        """
        e = self.critic_embed(None, len(x))
        return features_of(self.critic, x, e)
