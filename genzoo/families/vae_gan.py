r"""VAE-GAN: a variational autoencoder whose images must also fool a critic.

A VAE is trained on its bound, which forgives a blur: a decoder that hedges between two images is a
little wrong about both. A GAN is trained on what its images look like, and has no density. Here one
model has both: the VAE's samples, some from the prior and some that reconstruct an observation, are
scored by a critic D,

.. math::

    \min_{\text{VAE}} \; -\text{ELBO} + \lambda \, E\big[\mathrm{softplus}(-D(\tilde x)) +
    \mathrm{softplus}(-D(\hat x))\big], \qquad \tilde x \sim p(x), \quad \hat x \sim p(x \mid z),\;
    z \sim q(z \mid x),

and D plays the GAN's game against data. D scores *samples* of p(x | z), pixel noise included, not
its means: so the distribution that is sampled is the one whose bound is reported, and the claim of
the whole is still the VAE's.

Larsen et al. replace the pixels' likelihood by a distance of the critic's features, which looks
better and bounds nothing. Here the likelihood stays, and the critic is added to it.

References: Larsen et al. 2016, *Autoencoding beyond pixels using a learned similarity metric*
(section 3); Grover et al. 2018, *Flow-GAN* (likelihood and adversary in one loss); Jang et al.
2017, *Gumbel-softmax* (gradients through a choice).
"""

import torch
from torch import Tensor, nn

from genzoo import grid
from genzoo.families.gan import critic_loss, generator_loss, play
from genzoo.families.vae import VAE
from genzoo.model import GenerativeModel, Latent, Likelihood, drop_conditions, require
from genzoo.nets import Condition, Encoder, apply, given_or
from genzoo.optim import AdamW, OptimizerFactory


class VAEGAN(GenerativeModel):
    """A `VAE` trained together with the critic of a `GAN`.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`; the one learning
            rate serves both players.
        latent_shape, width, depth, dropout, components: of the `VAE`; the critic has the same width
            and depth.
        adversary: lambda, weight of the critic's score of a sample beside the bound, in nats.
        gamma: weight of the critic's R1 gradient penalty.
        encoder, decoder, critic: in place of the defaults, see `genzoo.nets`.
    """

    latent = Latent.APPROXIMATE
    guidable = True
    latent_shape: tuple[int, ...]
    critic_optimizer: OptimizerFactory = AdamW(betas=(0.0, 0.99))
    players = 2

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 2e-3,
        latent_shape: tuple[int, ...] = (16,),
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        components: int = 3,
        adversary: float = 1.0,
        gamma: float = 1.0,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        critic: nn.Module | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(0, adversary=adversary, gamma=gamma)
        self.automatic_optimization = False
        self.latent_shape = tuple(latent_shape)
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.components = components
        self.adversary = adversary
        self.gamma = gamma
        self.vae = VAE(
            self.event_shape,
            condition,
            levels,
            lr,
            latent_shape=self.latent_shape,
            width=width,
            depth=depth,
            dropout=dropout,
            components=components,
            encoder=encoder,
            decoder=decoder,
        )
        self.critic_embed = Condition(condition, width)
        self.critic = given_or(critic, self.default_critic)

    def default_critic(self) -> nn.Module:
        return Encoder(self.event_shape, 1, self.width, self.width, self.depth)

    @property
    def encoder(self) -> nn.Module:
        return self.vae.encoder

    @property
    def decoder(self) -> nn.Module:
        return self.vae.decoder

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """The VAE's: the critic changes the training, not the bound."""
        return self.vae.likelihood

    # ----------------------------------------------------------------------------------------- game

    def score(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The critic's score D(x) of each observation, ``(n,)``: high for data."""
        return apply(self.critic, x, self.critic_embed(c, len(x)), (1,)).squeeze(1)

    def draws(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """The ELBO, and samples with gradients: from the prior, and reconstructions of x.

        Returns:
            ``(n,)`` nats, and ``(2 n, *event_shape)``.
        """
        self.require_events(x)
        q = self.vae.q(x, c)
        z = q.rsample()
        p = self.vae.p(z, c)
        elbo = p.log_prob(x) + self.vae.log_prior(z, c) - q.log_prob(z)
        of_the_prior = self.vae.p(self.vae.draw_latents(len(z), c), c)
        drawn = torch.cat([of_the_prior.rsample(), p.rsample()])
        # else the critic would recognise samples by their grid
        return elbo, grid.dequantise(drawn, self.levels)

    def vae_loss(self, elbo: Tensor, drawn: Tensor, c: Tensor | None) -> Tensor:
        """-ELBO + lambda (softplus(-D) of both samples), ``(n,)``.

        Args:
            elbo: of each event, ``(n,)``.
            drawn: samples of the prior, then reconstructions, ``(2 n, *event_shape)``.
            c: a condition for each event.
        """
        fooled = generator_loss(self.score, drawn, twice(c)).view(2, -1).sum(0)
        return self.adversary * fooled - elbo

    def critics_loss(self, x: Tensor, drawn: Tensor, c: Tensor | None) -> Tensor:
        """The critic's own loss on data and both samples, ``(n,)``.

        Args:
            x: events, ``(n, *event_shape)``.
            drawn, c: see `vae_loss`.
        """
        real = grid.dequantise(torch.cat([x, x]), self.levels)
        return critic_loss(self.score, real, drawn, twice(c), self.gamma).view(2, -1).sum(0)

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> None:
        x, c = self.prepare(batch)
        c = drop_conditions(c, self.drop_condition)
        elbo, drawn = self.draws(x, c)
        losses = play(
            self,
            self.critics_loss(x, drawn, c).mean(),
            lambda: self.vae_loss(elbo, drawn, c).mean(),
        )
        self.log_losses(losses, batch_idx, len(x))

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Sum of both players' losses, ``(n,)``, to log and to differentiate.

        Training plays them one after the other.
        """
        elbo, drawn = self.draws(x, c)
        return self.vae_loss(elbo, drawn, c) + self.critics_loss(x, drawn, c)

    def configure_optimizers(self):
        critic = nn.ModuleList([self.critic_embed, self.critic])
        return [
            self.scheduled(self.vae.parameters()),
            self.scheduled(critic.parameters(), self.critic_optimizer),
        ]

    # ---------------------------------------------------------------------------- the rest is a VAE

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """ELBO of the VAE with one sample of z for each row, ``(n,)`` nats per observation."""
        return self.vae.log_prob(x, c)

    @property
    def unbiased(self) -> bool:
        return self.vae.unbiased

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """``(n, *event_shape)``: z from the Gaussian prior, then x from the decoder.

        z is guided as a `VAE`'s is.
        """
        return self.vae.sample(n, c, guidance)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of q(z | x, c), ``(n, *latent_shape)``."""
        return self.vae.encode(x, c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of p(x | z, c), ``(n, *event_shape)``: not rounded to the data's levels."""
        return self.vae.decode(z, c)


def twice(c: Tensor | None) -> Tensor | None:
    """The conditions of both samples of each row."""
    return None if c is None else torch.cat([c, c])
