r"""Diffusion model: learn to undo noise, at every level of noise.

Data x is corrupted by a Gaussian whose strength is told by the log signal-to-noise ratio
:math:`\lambda`:

.. math::

    z_\lambda = \alpha_\lambda x + \sigma_\lambda \epsilon, \qquad
    \alpha_\lambda^2 = \operatorname{sigmoid}(\lambda), \quad \sigma_\lambda^2 =
    \operatorname{sigmoid}(-\lambda)

One network looks at z and predicts :math:`v = \alpha \epsilon - \sigma x`, from which the clean
image :math:`\hat x = \alpha z - \sigma v` and the noise :math:`\hat\epsilon = \sigma z + \alpha v`
both follow. In continuous time the variational bound is a weighted squared error, integrated over
log-SNR:

.. math::

    -\log p(x) \le \underbrace{D_{KL}(q(z_{\lambda_{min}} | x) \,\|\, N(0, I))}_{\text{prior}}
    + \underbrace{E[-\log p(x | z_{\lambda_{max}})]}_{\text{reconstruction}}
    + \underbrace{\tfrac12 \int_{\lambda_{min}}^{\lambda_{max}} E\,\|\epsilon - \hat\epsilon\|^2 \,
    d\lambda}_{\text{diffusion}}

Any schedule gives the same bound (it is an integral over :math:`\lambda`); the schedule only
decides where training looks.

Data on a grid of few levels is known to lie on it. There the network may give the log-odds of each
feature's levels *as its surroundings suggest them*, and Bayes' rule adds what the feature's own
noisy value says (``prediction="levels"``):

.. math::

    \hat x_i = \sum_k \ell_k \, \operatorname{softmax}_k\!\big(f_{ik}(z, \lambda) - (z_i - \alpha
    \ell_k)^2 / 2 \sigma^2\big)

References: Kingma et al. 2021, *Variational diffusion models* (bound, eq. 11-18; Fourier features);
Salimans & Ho 2022, *Progressive distillation* (v-prediction); Song et al. 2021, *DDIM*; Lu et al.
2022, *DPM-Solver++* (second order); Lakshminarayanan et al. 2017, *Deep ensembles*.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from genzoo import grid
from genzoo.model import GenerativeModel, Latent, Likelihood, ProbabilityFlow, require
from genzoo.nets import Condition, Field, Fourier, is_image, waves

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (z, log-SNR of each row) -> estimate of the clean x


class Diffusion(GenerativeModel):
    """Continuous-time Gaussian diffusion with v-prediction; its `log_prob` is a variational bound.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        width, depth, dropout: of the denoising `genzoo.nets.Field`.
        snr: log-SNR at the ends of the process, (least, most) signal; None takes `ends`.
        schedule: "uniform" trains on the bound itself (log-SNR uniform, likelihood weighting);
            "cosine" on the mean squared error of v under the cosine schedule, which favours what
            the eye sees.
        prediction: "v" for v-prediction, or "levels" for a distribution over the levels of each
            feature (discrete data only).
        fourier: number of frequencies 1, 2, 4, ... at which sines and cosines of the noisy event
            are fed in beside it.
        patch: side of the squares of pixels that the network takes as one; 2 makes an image four
            times as cheap.
        spread: standard deviation that the data is taken to have where the network knows nothing.
            Below 1 the network need not carry the noise through its width; where that is narrow, as
            with patches, and the data simple, this helps much.
        members: networks whose predictions are averaged. On a small data set one network soon
            learns the examples by heart, and the errors that several make so differ; their mean is
            one denoiser, and the bound is its bound.
        solver, steps: default sampler, "ancestral", "ddim" or "second-order", and its number of
            network evaluations.
    """

    likelihood = Likelihood.BOUND
    latent = Latent.EXACT
    guidable = True

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 2e-3,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        snr: tuple[float, float] | None = None,
        schedule: str = "uniform",
        prediction: str = "v",
        fourier: int = 5,
        members: int = 1,
        solver: str = "second-order",
        steps: int = 50,
        patch: int = 1,
        spread: float = 1.0,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, width=width, members=members, steps=steps)
        require(0, depth=depth, fourier=fourier)
        require(1e-6, spread=spread)
        if snr is not None and (len(snr) != 2 or not snr[0] < snr[1]):
            raise ValueError(
                f"snr must be the least and the most log-SNR, in this order, got {snr}."
            )
        if solver not in SOLVERS:
            raise ValueError(f"Unknown solver {solver!r}: expected one of {', '.join(SOLVERS)}.")
        if schedule not in ("uniform", "cosine"):
            raise ValueError(f"Unknown schedule {schedule!r}: expected uniform or cosine.")
        if prediction not in (("v", "levels") if levels else ("v",)):
            raise ValueError(
                f"Unknown prediction {prediction!r}: expected v, or levels where the data has levels ({levels=})."
            )
        self.width, self.depth, self.dropout = width, depth, dropout
        self.snr = None if snr is None else (snr[0], snr[1])
        self.ends = self.snr or ends(levels)
        self.schedule, self.prediction, self.fourier, self.members = (
            schedule,
            prediction,
            fourier,
            members,
        )
        self.solver, self.steps, self.patch, self.spread = solver, steps, patch, spread
        self.latent_shape = self.event_shape
        channels = self.event_shape[0] if is_image(self.event_shape) else self.dims
        self.embed = Condition(condition, 2 * width)
        self.time = Fourier(2 * width)
        inputs, outputs = (
            (1 + 2 * fourier) * channels,
            levels * channels if prediction == "levels" else None,
        )
        self.fields = nn.ModuleList(
            Field(self.event_shape, 2 * width, width, depth, dropout, inputs, outputs, patch)
            for _ in range(members)
        )

    # -------------------------------------------------------------------------------------- network

    def v(self, z: Tensor, snr: Tensor, c: Tensor | None) -> Tensor:
        """Predicted v = alpha epsilon - sigma x, of z's shape; ``snr`` is the log-SNR of each row,
        ``(n,)``.
        """
        raw = self.network(self.seen(z), self.embed(c, len(z)) + self.time(snr))
        if self.prediction == "v":
            return self.beyond_linear(raw, z, snr)
        return (alpha(snr, z) * z - self.expected_level(raw, z, snr)) / sigma(snr, z)

    def seen(self, z: Tensor) -> Tensor:
        """The noisy event and its waves, side by side: what goes into the network."""
        return torch.cat([z, waves(z, [math.pi * 2**i for i in range(self.fourier)])], 1)

    def beyond_linear(self, raw: Tensor, z: Tensor, snr: Tensor) -> Tensor:
        """The network's answer as a correction to the v of data from N(0, spread^2), whose best
        estimate is linear in z.

        The linear part and the gain are those by which the network sees and gives features of
        variance one (Karras et al. 2022, table 1, with sigma_data = spread); ``spread`` = 1 is
        plain v-prediction.
        """
        a, s = alpha(snr, z), sigma(snr, z)
        total = (a * self.spread).square() + s.square()
        return a * s * (1 - self.spread**2) / total * z + self.spread / total.sqrt() * raw

    def network(self, inputs: Tensor, embedding: Tensor) -> Tensor:
        """The mean of all members' answers; in training each answers for its own share of the batch
        alone.
        """
        if not self.training:
            return torch.stack([field(inputs, embedding) for field in self.fields]).mean(0)
        shares = zip(inputs.chunk(self.members), embedding.chunk(self.members), strict=True)
        return torch.cat([field(*share) for field, share in zip(self.fields, shares, strict=False)])

    def expected_level(self, raw: Tensor, z: Tensor, snr: Tensor) -> Tensor:
        """E[x | z] of discrete data: log-odds of the levels from the network plus the evidence of
        each feature's own value.
        """
        a, s = alpha(snr, z).unsqueeze(-1), sigma(snr, z).unsqueeze(-1)
        levels = grid.to_grid(torch.arange(self.levels, device=z.device), self.levels).to(z)
        log_odds = raw.unflatten(1, (-1, self.levels)).movedim(2, -1).reshape(*z.shape, self.levels)
        evidence = -0.5 * ((z.unsqueeze(-1) - a * levels) / s).square()
        return (log_odds + evidence).softmax(-1) @ levels

    def denoiser(self, c: Tensor | None = None, guidance: float = 1.0) -> Denoiser:
        """The clean event each noisy one stands for, as a function of (z, log-SNR): all that a
        solver needs.

        ``guidance`` > 1 pushes away from the unconditional estimate (classifier-free guidance, Ho &
        Salimans 2022).
        """

        def denoise(z: Tensor, snr: Tensor) -> Tensor:
            v = self.v(z, snr, c)
            if guidance != 1.0:
                v = torch.lerp(self.v(z, snr, None), v, guidance)
            return alpha(snr, z) * z - sigma(snr, z) * v

        return denoise

    # ----------------------------------------------------------------------------------------- loss

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Minus the bound ("uniform"), or the plain E ||v - v_hat||^2 under the cosine schedule
        ("cosine"); ``(n,)``.
        """
        if self.schedule == "uniform":
            return super().loss(x, c)
        self.require_events(x)
        t = stratified(len(x), x).clamp(1e-4, 1 - 1e-4)
        snr = (-2 * torch.log(torch.tan(math.pi / 2 * t))).clamp(*self.ends)
        return self.squared_error(x, snr, c)

    def squared_error(self, x: Tensor, snr: Tensor, c: Tensor | None) -> Tensor:
        epsilon = torch.randn_like(x)
        a, s = alpha(snr, x), sigma(snr, x)
        v = a * epsilon - s * x
        return (v - self.v(a * x + s * epsilon, snr, c)).square().flatten(1).sum(1)

    def diffusion_loss(self, x: Tensor, c: Tensor | None, t: Tensor | None = None) -> Tensor:
        """1/2 (lambda_max - lambda_min) E_lambda ||epsilon - epsilon_hat||^2 (VDM eq. 17).

        The norm is that of v's error: ||.||_eps = alpha ||.||_v. ``t`` in [0, 1) says where between
        the ends the log-SNR of each row lies, ``(n,)``; it is drawn where it is not given.
        """
        low, high = self.ends
        snr = low + (high - low) * (stratified(len(x), x) if t is None else t)
        return 0.5 * (high - low) * torch.sigmoid(snr) * self.squared_error(x, snr, c)

    def log_prob(self, x: Tensor, c: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Variational lower bound on log p(x | c), one draw of noise and time for each row:
        ``(n,)``, nats per event.
        """
        self.require_events(x)
        return -(self.prior_loss(x) + self.reconstruction_loss(x) + self.diffusion_loss(x, c, t))

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """The mean of ``k`` draws of `log_prob`, ``(n,)`` nats, at times spread over the whole."""
        self.require_events(x)
        return torch.stack([self.log_prob(x, c, t) for t in spread_times(k, x)]).mean(0)

    def prior_loss(self, x: Tensor) -> Tensor:
        """KL of the noisiest z given x from N(0, I), in closed form (VDM eq. 13)."""
        low = torch.full((len(x),), self.ends[0], device=x.device)
        mean, std = alpha(low, x) * x, sigma(low, x)
        return 0.5 * (mean.square() + std.square() - 1 - 2 * std.log()).flatten(1).sum(1)

    def reconstruction_loss(self, x: Tensor) -> Tensor:
        """E[-log p(x | z)] over the cleanest z, by one draw of it, ``(n,)`` nats (VDM eq. 31)."""
        high = torch.full((len(x),), self.ends[1], device=x.device)
        z = alpha(high, x) * x + sigma(high, x) * torch.randn_like(x)
        return -self.log_likelihood(x, z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) at the cleanest z, ``(n,)`` nats, features being independent there.

        Real-valued data: the Gaussian of the last noise about z / alpha. Discrete data: each
        feature's levels by Bayes' rule, a priori equally likely, divided by the bin's width.
        """
        high = torch.full((len(x),), self.ends[1], device=x.device)
        a, s = alpha(high, x), sigma(high, x)
        if not self.levels:
            return Normal(z / a, s / a).log_prob(x).flatten(1).sum(1)
        levels = grid.to_grid(torch.arange(self.levels, device=x.device), self.levels).to(x)
        evidence = -0.5 * ((z.unsqueeze(-1) - a.unsqueeze(-1) * levels) / s.unsqueeze(-1)).square()
        its_own = grid.to_level(x, self.levels).unsqueeze(-1)
        log_pmf = evidence.log_softmax(-1).gather(-1, its_own).squeeze(-1)
        return (log_pmf - math.log(grid.bin_width(self.levels))).flatten(1).sum(1)

    def probability_flow(self, c: Tensor | None = None) -> ProbabilityFlow:
        """dz/dl = -alpha sigma v / 2 in the log-SNR l: the path with the marginals of the noising
        process (Song et al. 2021, eq. 13), from the event at its cleanest.
        """
        low, high = self.ends

        def velocity(z: Tensor, snr: Tensor) -> Tensor:
            return -0.5 * alpha(snr, z) * sigma(snr, z) * self.v(z, snr, c)

        return ProbabilityFlow(velocity, data=high, noise=low, enter=self.enter_flow)

    def enter_flow(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The cleanest z of each event, and what log p(x) has beyond log p(z), ``(n,)`` nats.

        Real-valued events are scaled, z = alpha x. Discrete ones get the model's last noise, one
        draw of z from q(z | x), and log p(x | z) - log q(z | x).
        """
        if not self.levels:
            scale = torch.tensor(self.ends[1], dtype=torch.float64).sigmoid().sqrt().item()
            log_volume = torch.full((len(x),), self.dims * math.log(scale), dtype=torch.float64)
            return scale * x, log_volume
        clean = x.new_full((len(x),), self.ends[1])
        q = Normal(alpha(clean, x) * x, sigma(clean, x))
        z = q.sample()
        return z, self.log_likelihood(x, z) - q.log_prob(z).flatten(1).sum(1)

    # ------------------------------------------------------------------------------------- sampling

    @torch.no_grad()
    def sample(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float = 1.0,
        solver: str | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """``(n, *event_shape)`` from noise; ``guidance``, ``solver`` and ``steps`` default to the
        model's own.
        """
        z = torch.randn(
            n, *self.event_shape, device=self.embed.null.device, dtype=self.embed.null.dtype
        )
        return self.solve(z, c, guidance, solver, steps)

    @property
    def evaluations_per_sample(self) -> int:
        """One for each step of the solver, and one to remove the last noise (of each member, side
        by side).
        """
        return self.steps + 1

    def solve(
        self, z: Tensor, c: Tensor | None, guidance: float, solver: str | None, steps: int | None
    ) -> Tensor:
        times = torch.linspace(
            self.ends[0], self.ends[1], (steps or self.steps) + 1, device=z.device
        )
        return self.on_grid(SOLVERS[solver or self.solver](self.denoiser(c, guidance), z, times))

    @torch.no_grad()
    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The noise ``(n, *event_shape)`` that the deterministic DDIM path leads from to ``x`` (run
        backwards in time).
        """
        self.require_events(x, decoded=True)
        times = torch.linspace(self.ends[1], self.ends[0], 2 * self.steps + 1, device=x.device)
        return ddim(self.denoiser(c), x * alpha(times[:1], x), times, last=False)

    @torch.no_grad()
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The event ``(n, *event_shape)`` that the deterministic path leads to from noise ``z``."""
        return self.solve(z, c, 1.0, "ddim", 2 * self.steps)

    def features(self, x: Tensor, snr: float = 2.0, draws: int = 4) -> Tensor:
        """The coarsest activations of the denoiser that looks at ``x`` at log-SNR ``snr``, averaged
        over ``draws`` of the noise.

        Between pure noise and the clean event lies a level at which a denoiser has to know what it
        looks at (Baranchuk et al. 2022, *Label-efficient semantic segmentation with diffusion
        models*): there its features are richer than the latent.
        """
        level = torch.full((len(x),), float(snr), device=x.device)
        embedding = self.embed(None, len(x)) + self.time(level)
        found = []
        for _ in range(draws):
            z = alpha(level, x) * x + sigma(level, x) * torch.randn_like(x)
            found.append(
                torch.stack([field.scales(self.seen(z), embedding)[-1] for field in self.fields], 1)
            )  # type: ignore[operator]
        return torch.stack(found).mean(0).flatten(1)


# -------------------------------------------------------------------------------- noise and solvers


def ends(levels: int) -> tuple[float, float]:
    """The log-SNR where an event of unit scale has drowned, and where the noise is about a tenth of
    a level (real values: 9).

    With coarser noise at the clean end the last step must guess the level: of 256 levels it would
    pay 2.5 bits for each feature at 9, whatever the network knows.
    """
    return -5.0, float(round(-2 * math.log(grid.bin_width(levels) / 10))) if levels else 9.0


def alpha(snr: Tensor, like: Tensor) -> Tensor:
    """Signal strength at log-SNR ``(n,)``, shaped to multiply ``like`` (n, ...)."""
    return torch.sigmoid(snr).sqrt().to(like).view(-1, *[1] * (like.dim() - 1))


def sigma(snr: Tensor, like: Tensor) -> Tensor:
    """Noise strength at log-SNR ``(n,)``, shaped to multiply ``like`` (n, ...)."""
    return alpha(-snr, like)


def stratified(n: int, like: Tensor) -> Tensor:
    """n uniform numbers in [0, 1), one in each of n equal cells, in random order: low-variance
    times (VDM, appendix I.1).
    """
    cells = torch.arange(n, device=like.device, dtype=like.dtype) + torch.rand(
        (), device=like.device, dtype=like.dtype
    )
    return (cells / n)[torch.randperm(n, device=like.device)]


def spread_times(k: int, like: Tensor) -> Iterator[Tensor]:
    """k times for each of the n rows of ``like``, ``(n,)`` at a time.

    One lies in each k-th of [0, 1), where it is stratified over the rows.
    """
    for part in range(k):
        yield (part + stratified(len(like), like)) / k


def ancestral(denoise: Denoiser, z: Tensor, times: Tensor) -> Tensor:
    """Sample q(z_t | z_s, x = denoise(z_s)) step by step: the chain that the bound is about (Ho et
    al. 2020).
    """
    for now, then in zip(
        times[:-1].expand(len(z), -1).T, times[1:].expand(len(z), -1).T, strict=True
    ):
        x = denoise(z, now)
        kept = torch.exp(now - then).view(-1, *[1] * (z.dim() - 1))  # SNR ratio, < 1
        variance = sigma(then, z).square() * (1 - kept)
        mean = alpha(then, z) * (kept * z / alpha(now, z) + (1 - kept) * x)
        z = mean + variance.sqrt() * torch.randn_like(z)
    return denoise(z, times[-1:].expand(len(z)))


def ddim(
    denoise: Denoiser, z: Tensor, times: Tensor, last: bool = True, eta: float = 0.0
) -> Tensor:
    """Keep the implied noise, swap the amount of it: first-order solver of the probability-flow ODE
    (Song et al. 2021).

    Runs in either direction of log-SNR; ``last`` finishes with a denoising step. With ``eta`` a
    part of the noise is drawn afresh at each step towards more signal: s^2 = eta^2 sigma'^2 (1 -
    SNR / SNR') of its variance (eq. 16); eta = 1 is `ancestral`.
    """
    for now, then in zip(
        times[:-1].expand(len(z), -1).T, times[1:].expand(len(z), -1).T, strict=True
    ):
        x = denoise(z, now)
        epsilon = (z - alpha(now, z) * x) / sigma(now, z)
        if eta:
            fresh = eta * (-torch.expm1(now - then)).sqrt().view(
                -1, *[1] * (z.dim() - 1)
            )  # s / sigma'
            epsilon = (1 - fresh.square()).sqrt() * epsilon + fresh * torch.randn_like(z)
        z = alpha(then, z) * x + sigma(then, z) * epsilon
    return denoise(z, times[-1:].expand(len(z))) if last else z


def second_order(denoise: Denoiser, z: Tensor, times: Tensor) -> Tensor:
    """DPM-Solver++(2M): extrapolates the denoised event linearly in log-SNR (Lu et al. 2022,
    algorithm 2).

    With ``half = lambda / 2`` and step h in it, z' = (sigma'/sigma) z + alpha' (1 - e^-h) x_mid.
    """
    previous, h_previous = None, None
    for now, then in zip(
        times[:-1].expand(len(z), -1).T, times[1:].expand(len(z), -1).T, strict=True
    ):
        x, h = denoise(z, now), (then - now)[0] / 2
        middle = (
            x
            if previous is None or h_previous is None
            else x + (x - previous) * (h / (2 * h_previous))
        )
        z = sigma(then, z) / sigma(now, z) * z - alpha(then, z) * torch.expm1(-h) * middle
        previous, h_previous = x, h
    return denoise(z, times[-1:].expand(len(z)))


SOLVERS = {"ancestral": ancestral, "ddim": ddim, "second-order": second_order}
