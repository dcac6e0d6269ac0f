r"""Generative adversarial network: learn to sample by being hard to tell from data.

A generator G turns noise z into an event; a critic D gives a score to events, high for data. They
play

.. math::

    \min_D \; E_{x}\,\mathrm{softplus}(-D(x)) + E_{z}\,\mathrm{softplus}(D(G(z)))
        + \tfrac{\gamma}{2} E_x \|\nabla_x D(x)\|^2
    \qquad
    \min_G \; E_{z}\,\mathrm{softplus}(-D(G(z)))

The first is logistic regression of "data" against "generated"; but for the penalty its optimum is
D(x) = log p_data(x) - log p_G(x). The second is the *non-saturating* loss. The gradient penalty R1
keeps the critic smooth around the data, and with it the game convergent.

p_G is never written down: the model is *implicit*. It samples, and states no likelihood.

References: Goodfellow et al. 2014, *Generative adversarial nets*; Mescheder et al. 2018, *Which
training methods for GANs do actually converge?* (R1, eq. 9); Karras et al. 2018 (averaged
generator).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genzoo import grid
from genzoo.model import (
    GenerativeModel,
    Latent,
    LatentJoint,
    Likelihood,
    drop_conditions,
    gaussian_joint,
    require,
)
from genzoo.nets import Condition, Decoder, Encoder
from genzoo.optim import AdamW


class Generator(nn.Module):
    """Noise ``(n, latents)`` and a condition to an event; discrete data lives in [-1, 1], so a tanh
    keeps it there.
    """

    def __init__(
        self,
        latents: int,
        event_shape: tuple[int, ...],
        condition: int,
        bounded: bool,
        width: int,
        depth: int,
    ):
        super().__init__()
        self.embed = Condition(condition, width)
        self.network = Decoder(latents, event_shape, 1, width, width, depth, norm=True)
        self.bounded = bounded

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        x = self.network(z.flatten(1), self.embed(c, len(z))).squeeze(1)
        return x.tanh() if self.bounded else x


class Critic(nn.Module):
    """Score ``(n,)`` of an event under a condition. No normalisation layer: a score must not depend
    on its batch.
    """

    def __init__(self, event_shape: tuple[int, ...], condition: int, width: int, depth: int):
        super().__init__()
        self.embed = Condition(condition, width)
        self.network = Encoder(event_shape, 1, width, width, depth)

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        return self.network(x, self.embed(c, len(x))).squeeze(1)


class GAN(GenerativeModel):
    """Implicit model: samples in one pass, no likelihood.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`; the one learning
            rate serves both players.
        latent_shape: shape of the noise z.
        width, depth: of generator and critic.
        gamma: weight of the R1 gradient penalty.
    """

    likelihood = Likelihood.NONE
    latent = Latent.OPTIMISED
    monitor = None  # neither loss says how good the samples are
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
        gamma: float = 1.0,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, latent_shape=latent_shape, width=width)
        require(0, depth=depth, gamma=gamma)
        self.automatic_optimization = False
        self.latent_shape, self.width, self.depth, self.gamma = (
            tuple(latent_shape),
            width,
            depth,
            gamma,
        )
        latents = int(torch.Size(self.latent_shape).numel())
        self.generator = Generator(latents, self.event_shape, condition, bool(levels), width, depth)
        self.critic = Critic(self.event_shape, condition, width, depth)

    # ----------------------------------------------------------------------------------------- game

    def critic_loss(self, real: Tensor, fake: Tensor, c: Tensor | None) -> Tensor:
        """softplus(-D(x)) + softplus(D(G(z))) + gamma/2 |grad D(x)|^2, ``(n,)``; ``fake`` must be
        detached.
        """
        real = real.detach().requires_grad_(True)
        on_real, on_fake = self.critic(real, c), self.critic(fake, c)
        (gradient,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
        r1 = gradient.square().flatten(1).sum(1)
        return F.softplus(-on_real) + F.softplus(on_fake) + self.gamma / 2 * r1

    def generator_loss(self, fake: Tensor, c: Tensor | None) -> Tensor:
        """softplus(-D(G(z))), ``(n,)``: non-saturating."""
        return F.softplus(-self.critic(fake, c))

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> None:
        x, c = self.prepare(batch)
        c = drop_conditions(c, self.drop_condition)
        real = grid.dequantise(
            x, self.levels
        )  # or the critic would know data by its lying on a grid
        optimise_generator, optimise_critic = self.optimizers()  # type: ignore[misc]

        fake = self.generator(self.noise(len(x)), c)
        loss_critic = self.critic_loss(real, fake.detach(), c).mean()
        optimise_critic.zero_grad()
        self.manual_backward(loss_critic)
        optimise_critic.step()

        loss_generator = self.generator_loss(fake, c).mean()
        optimise_generator.zero_grad()
        self.manual_backward(loss_generator)
        optimise_generator.step()

        for schedule in self.lr_schedulers():  # type: ignore[union-attr]
            schedule.step()  # type: ignore[union-attr]
        self.log_dict({"train_loss": loss_generator, "critic_loss": loss_critic}, prog_bar=True)

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Both players' losses added, ``(n,)``: to watch, and to see gradients; training plays them
        one after the other.
        """
        self.require_events(x)
        fake = self.generator(self.noise(len(x)), c)
        return self.critic_loss(
            grid.dequantise(x, self.levels), fake.detach(), c
        ) + self.generator_loss(fake, c)

    def configure_optimizers(self):
        return [self.scheduled(player.parameters()) for player in (self.generator, self.critic)]

    # ------------------------------------------------------------------------------------- sampling

    def noise(self, n: int) -> Tensor:
        null = self.generator.embed.null
        return torch.randn(n, *self.latent_shape, device=null.device, dtype=null.dtype)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """``(n, *event_shape)``: noise through the generator."""
        return self.on_grid(self.generator(self.noise(n), c))

    def latent_joint(self, c: Tensor | None = None) -> LatentJoint:
        """Standard Gaussian noise and the generator, which adds none of its own to an event."""
        return gaussian_joint(self, c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The event ``(n, *event_shape)`` that the generator makes of ``z``; not held to the data's
        levels.
        """
        return self.generator(z, c)

    def encode(
        self,
        x: Tensor,
        c: Tensor | None = None,
        starts: int = 8,
        steps: int = 200,
        lr: float = 0.1,
        sigma: float = 0.1,
    ) -> Tensor:
        """The z most probable after ``x``, if x were G(z) plus Gaussian noise of standard deviation
        ``sigma``: found by descent.

        A generator has no encoder, so its latent is searched for: ``steps`` of Adam from each of
        ``starts`` draws of z, of which the best is kept, ``(n, *latent_shape)`` (Creswell & Bharath
        2018, *Inverting the generator of a GAN*). Far away from what G can make there may be no
        good z at all.
        """
        self.require_events(x, decoded=True)
        with torch.inference_mode(False), torch.enable_grad():
            target = x.detach().clone().repeat(starts, *[1] * (x.dim() - 1))
            given = None if c is None else c.clone().repeat(starts, *[1] * (c.dim() - 1))
            z = self.noise(len(target)).requires_grad_(True)
            descent = torch.optim.Adam([z], lr)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
            for _ in range(steps):
                (z.grad,) = torch.autograd.grad(self.mismatch(z, target, given, sigma).sum(), z)
                descent.step()
                schedule.step()
            mismatch = self.mismatch(z, target, given, sigma).detach().view(starts, len(x))
        best = mismatch.argmin(0)
        return z.detach().unflatten(0, (starts, len(x)))[
            best, torch.arange(len(x), device=x.device)
        ]

    def mismatch(self, z: Tensor, x: Tensor, c: Tensor | None, sigma: float) -> Tensor:
        """-log p(z) - log N(x; G(z), sigma^2) up to a constant, ``(n,)`` nats."""
        return ((self.generator(z, c) - x) / sigma).square().flatten(1).sum(
            1
        ) / 2 + z.square().flatten(1).sum(1) / 2

    def features(self, x: Tensor) -> Tensor:
        """What the critic's last, linear layer reads, ``(n, width x positions)``: it is the critic
        that looks at events.
        """
        return self.critic.network.features(x, self.critic.embed(None, len(x)))
