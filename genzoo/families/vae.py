r"""Variational autoencoder: a latent variable explains the data, and an encoder infers it.

.. math::

    \log p(x \mid c) \ge \text{ELBO} = E_{q(z \mid x, c)}\big[\log p(x \mid z, c) + \log p(z \mid c)
    - \log q(z \mid x, c)\big]

The gap is KL(q || p(z | x)): a bound, tight only where the approximate posterior q is the true
one. With k samples of q the importance-weighted bound

.. math::

    \log p(x) \ge E \log \frac1k \sum_{j=1}^k \frac{p(x \mid z_j)\, p(z_j)}{q(z_j \mid x)}

is never looser and rises to the truth with k. The prior p(z | c) is any model of the zoo over the
latent: a Gaussian by default, a flow, a diffusion (which is then *latent diffusion*), an
autoregressive model, ... What the whole claims is the weaker of "bound" and the prior's own claim.

With ``codes`` the latent is *discrete*: each feature of z is rounded to one of a few levels, on the
grid that discrete data lives on. Then q is a point mass, and the bound keeps two of its terms, for
the code :math:`z(x)`:

.. math::

    \log p(x) = \log \sum_z p(x \mid z)\, P(z) \ge \log p(x \mid z(x)) + \log P(z(x)) .

A prior over codes is any model of discrete data; an autoregressive one makes this the two-stage
model of VQ-VAE.

References: Kingma & Welling 2014, *Auto-encoding variational Bayes* (eq. 3); Burda et al. 2016,
*Importance weighted autoencoders* (eq. 8); Sohn et al. 2015, *Structured output representation* (a
prior for each condition); Bowman et al. 2016 (KL warm-up); Rombach et al. 2022, *Latent diffusion*;
van den Oord et al. 2017, *Neural discrete representation learning* (VQ-VAE); Mentzer et al. 2023,
*Finite scalar quantization* (the rounded codes here).
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from genzoo.distributions import diagonal_normal, feature_mixture, parameters_of, quantized
from genzoo.families.priors import ConditionalNormal, PlainPrior, StandardNormal, UniformCodes
from genzoo.model import (
    DEEPEST,
    GenerativeModel,
    Latent,
    LatentJoint,
    Likelihood,
    Unnormalised,
    require,
)
from genzoo.nets import Condition, Decoder, Encoder, apply, given_or


class VAE(GenerativeModel):
    """Encoder q(z | x, c), decoder p(x | z, c), prior p(z | c).

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        latent_shape: shape of z.
        prior: any `GenerativeModel` of data of ``latent_shape`` (and with ``codes`` levels).
            None is a `StandardNormal`, a `ConditionalNormal` if there are conditions, or
            `UniformCodes` for codes (`genzoo.families.priors`). A prior whose likelihood is EXACT
            or BOUND trains jointly through the ELBO; any may be fitted to the latents afterwards
            and assigned (`genzoo.training.two_stage`).
        width, depth, dropout: of encoder and decoder.
        patch: side of the squares of pixels that both take as one; 2 makes an image four times as
            cheap.
        components: mixture components of each feature's likelihood given z.
        ordered: whether levels have an order. If not, the likelihood is a categorical over them,
            which learns histograms with spikes faster, and ``components`` has no effect.
        warmup: share of training over which the KL term's weight rises to one; it keeps the latent
            from being ignored.
        codes: number of levels that each feature of z is rounded to; 0 for a real-valued latent.
        encoder, decoder: in place of the defaults, see `genzoo.nets`.
    """

    latent = Latent.APPROXIMATE
    guidable = True
    latent_shape: tuple[int, ...]

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 2e-3,
        latent_shape: tuple[int, ...] = (16,),
        prior: GenerativeModel | None = None,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        patch: int = 1,
        components: int = 3,
        warmup: float = 0.1,
        codes: int = 0,
        ordered: bool = True,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, latent_shape=latent_shape, width=width, components=components)
        require(0, DEEPEST, depth=depth)
        require(0, 1, warmup=warmup)
        if prior is not None and prior.event_shape != tuple(latent_shape):
            raise ValueError(
                f"The prior models observations of shape {prior.event_shape}, "
                f"but latent_shape is {tuple(latent_shape)}."
            )
        if codes < 0 or codes == 1:
            raise ValueError(f"codes must be 0 (a real-valued latent) or at least 2, got {codes}.")
        if prior is not None and prior.levels != codes:
            raise ValueError(
                f"The prior models {prior.levels} levels, "
                f"but the latent has {codes} codes (0: real-valued)."
            )
        self.latent_shape = tuple(latent_shape)
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.patch = patch
        self.components = components
        self.warmup = warmup
        self.codes = codes
        self.ordered = ordered
        latents = math.prod(latent_shape)
        # numbers that the encoder gives, and the decoder for each feature
        self.encoded = latents if codes else 2 * latents
        self.outputs = parameters_of(components, levels, ordered)
        self.embed = Condition(condition, width)
        self.encoder = given_or(encoder, self.default_encoder)
        self.decoder = given_or(decoder, self.default_decoder)
        self.prior: GenerativeModel = given_or(prior, self.default_prior)

    def default_encoder(self) -> nn.Module:
        size = (self.width, self.width, self.depth, self.dropout)
        return Encoder(self.event_shape, self.encoded, *size, patch=self.patch)

    def default_decoder(self) -> nn.Module:
        size = (self.width, self.width, self.depth, self.dropout)
        latents = math.prod(self.latent_shape)
        return Decoder(
            latents,
            self.event_shape,
            self.outputs,
            *size,
            patch=self.patch,
            head_kernel=3 if self.ordered else 1,  # of hundreds of log-odds for each pixel
        )

    def default_prior(self) -> PlainPrior:
        if self.condition and not self.codes:
            return ConditionalNormal(self.latent_shape, self.condition)
        return self.plain_prior()

    def plain_prior(self) -> PlainPrior:
        """A prior without weights: uniform over codes, or N(0, I)."""
        if self.codes:
            return UniformCodes(self.latent_shape, levels=self.codes)
        return StandardNormal(self.latent_shape)

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """A bound, or as weak as the prior's own claim."""
        return max(Likelihood.BOUND, self.prior.likelihood)

    # ------------------------------------------------------------------------------------ the parts

    def q(self, x: Tensor, c: Tensor | None = None) -> Independent:
        """The approximate posterior q(z | x, c), over ``(n, *latent_shape)``.

        A Gaussian, or a point mass on a code.
        """
        e = self.embed(c, len(x))
        raw = apply(self.encoder, x, e, (self.encoded,))
        if self.codes:
            return quantized(raw, self.latent_shape, self.codes)
        return diagonal_normal(raw, self.latent_shape)

    def p(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        """The decoder's likelihood p(x | z, c), over ``(n, *event_shape)``.

        Of discrete data it is a true likelihood of the levels.
        """
        e = self.embed(c, len(z))
        shape = (self.outputs, *self.event_shape)
        raw = apply(self.decoder, z.flatten(1), e, shape).movedim(1, -1)
        each = feature_mixture(raw, self.levels, self.ordered)
        return Independent(each, len(self.event_shape), validate_args=False)

    def log_prior(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """log p(z | c), ``(n,)`` nats."""
        return self.prior.log_prob(z, self.for_prior(c))

    def for_prior(self, c: Tensor | None) -> Tensor | None:
        """The condition, if the prior takes one."""
        return c if self.prior.condition else None

    def draw_latents(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """Samples of the prior p(z | c), ``(n, *latent_shape)``.

        Args:
            n: number of samples.
            c: a condition for each.
            guidance: see `sample`.
        """
        prior = self.prior
        if guidance == 1.0 or (isinstance(prior, PlainPrior) and not prior.can_be_guided):
            return prior.sample(n, self.for_prior(c))
        if not prior.can_be_guided:
            raise ValueError(
                f"guidance must be 1: the prior, {type(prior).__name__}, cannot be guided."
            )
        return prior.sample(n, c, guidance=guidance)  # type: ignore[call-arg]

    # ----------------------------------------------------------------------------------- likelihood

    def terms(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The two terms of the ELBO by one sample z ~ q(z | x), each ``(n,)`` nats.

        They are log p(x | z) and log p(z) - log q(z | x).
        """
        self.require_events(x)
        return self.terms_under(self.q(x, c), x, c)

    def terms_under(
        self, q: Independent, x: Tensor, c: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The `terms` by one sample of a posterior ``q`` that the encoder has given."""
        z = q.rsample()
        log_likelihood = self.p(z, c).log_prob(x)
        minus_kl = self.log_prior(z, c) - q.log_prob(z)
        return log_likelihood, minus_kl

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """ELBO with one sample of z for each row, ``(n,)`` nats per observation."""
        log_likelihood, minus_kl = self.terms(x, c)
        return log_likelihood + minus_kl

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """See `genzoo.model.GenerativeModel.bound`; the encoder runs once for all ``k`` samples."""
        self.require_events(x)
        q = self.q(x, c)
        draws = []
        for _ in range(k):
            log_likelihood, minus_kl = self.terms_under(q, x, c)
            draws.append(log_likelihood + minus_kl)
        weights = torch.stack(draws)
        if not self.unbiased:
            return weights.mean(0)
        return torch.logsumexp(weights, 0) - math.log(k)

    @property
    def half_width(self) -> float:  # type: ignore[override]
        """Half the interval in which the prior's log-density lies, in nats."""
        return self.prior.half_width

    @property
    def unbiased(self) -> bool:
        """True if samples of `log_prob` are importance weights for `bound`: if the prior's are."""
        return self.prior.unbiased

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        log_likelihood, minus_kl = self.terms(x, c)
        return -(log_likelihood + self.kl_weight * minus_kl)

    @property
    def kl_weight(self) -> float:
        """Weight of the KL term: it rises from 0 to 1 over the first ``warmup`` of training."""
        steps = self.run.expected(self.global_step)
        if steps is None or not self.training or not self.warmup:
            return 1.0
        return min(1.0, self.global_step / (self.warmup * float(steps)))

    # ------------------------------------------------------------------------- what can be measured

    @property
    def unnormalised(self) -> Unnormalised | None:
        """The prior, where it is an energy model."""
        return self.prior.unnormalised

    def latent_joint(self, c: Tensor | None = None) -> LatentJoint:
        """p(z | c) p(x | z, c)."""
        return LatentJoint(
            log_prior=lambda z: self.log_prior(z, c),
            draw=lambda n: self.draw_latents(n, c),
            decode=lambda z: self.decode(z, c),
            observation=lambda z: self.p(z, c),
            obstacle=self.obstacle,
        )

    @property
    def obstacle(self) -> str:
        """The reason why the joint density cannot be annealed over z; empty if it can be."""
        if self.codes:
            return (
                "This model's latent is discrete: between codes there is nothing to anneal through."
            )
        if self.prior.likelihood != Likelihood.EXACT:
            name = type(self.prior).__name__
            return f"The prior's log-density must be exact to be annealed; {name}'s is not."
        return ""

    # ----------------------------------------------------------------------- samples and the latent

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """``(n, *event_shape)``: z from the prior, then x from the decoder's likelihood.

        ``guidance`` w samples z from p(z | c)^w p(z)^(1 - w), normalised, or in the prior's own
        way: more than 1 keeps to where c is likelier than it is as a rule, 0 ignores c.

        Raises:
            ValueError: the prior is a model that cannot be guided.
        """
        z = self.draw_latents(n, c, guidance)
        if guidance == 0:
            c = None
        return self.p(z, c).sample()

    @property
    def can_be_guided(self) -> bool:
        """True if the prior can be guided; a single Gaussian for all conditions cannot."""
        return bool(self.condition) and self.prior.can_be_guided

    @property
    def evaluations_per_sample(self) -> int:
        """The decoder's one, after those of the prior."""
        return 1 + self.prior.evaluations_per_sample

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of q(z | x, c), ``(n, *latent_shape)``; with ``codes``, the code."""
        self.require_events(x, decoded=True)
        return self.q(x, c).mean

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Mean of p(x | z, c), ``(n, *event_shape)``: smooth in z, and not rounded to levels."""
        return self.p(z, c).mean

    # --------------------------------------------------------------------------- posterior collapse

    @torch.no_grad()
    def active_units(self, x: Tensor, c: Tensor | None = None, threshold: float = 1e-2) -> int:
        """Number of latent dimensions whose posterior mean varies (Burda et al. 2016).

        Args:
            x: observations, ``(n, *event_shape)``.
            c: a condition for each.
            threshold: variance of the posterior mean above which a dimension counts.
        """
        means = self.encode(x, c).flatten(1)
        active = means.var(0) > threshold
        return int(active.sum())

    def validation_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        x, c = self.prepare(batch)
        if len(x) > 1:
            self.log(
                "active_units",
                float(self.active_units(x, c)),
                prog_bar=True,
                batch_size=len(x),
                sync_dist=True,
            )

    def on_fit_end(self) -> None:
        active = self.trainer.callback_metrics.get("active_units")
        if active is not None and active == 0:
            self.print(
                "Posterior collapse: no latent dimension carries information about the data, so "
                "the decoder alone models it. Try a longer warmup, a smaller decoder (width, "
                "depth) or less dropout."
            )
