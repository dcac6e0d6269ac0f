r"""Diffusion model: learn to undo noise, at every level of noise.

Data x is corrupted by Gaussian noise. The log signal-to-noise ratio :math:`\lambda` says how
much:

.. math::

    z_\lambda = \alpha_\lambda x + \sigma_\lambda \epsilon, \qquad
    \alpha_\lambda^2 = \operatorname{sigmoid}(\lambda), \quad \sigma_\lambda^2 =
    \operatorname{sigmoid}(-\lambda)

One network is given z and predicts :math:`v = \alpha \epsilon - \sigma x`, from which the clean
image :math:`\hat x = \alpha z - \sigma v` and the noise :math:`\hat\epsilon = \sigma z + \alpha v`
both follow. In continuous time the variational bound is a weighted squared error, integrated over
log-SNR:

.. math::

    -\log p(x) \le \underbrace{D_{KL}(q(z_{\lambda_{min}} | x) \,\|\, N(0, I))}_{\text{prior}}
    + \underbrace{E[-\log p(x | z_{\lambda_{max}})]}_{\text{reconstruction}}
    + \underbrace{\tfrac12 \int_{\lambda_{min}}^{\lambda_{max}} E\,\|\epsilon - \hat\epsilon\|^2 \,
    d\lambda}_{\text{diffusion}}

Any schedule gives the same bound (it is an integral over :math:`\lambda`); the schedule only
decides which log-SNRs training sees most.

Data on a grid of few levels is known to lie on it. There the network may give the log-odds of each
feature's levels *as its surroundings suggest them*, and Bayes' rule adds what the feature's own
noisy value says (``prediction="levels"``):

.. math::

    \hat x_i = \sum_k \ell_k \, \operatorname{softmax}_k\!\big(f_{ik}(z, \lambda) - (z_i - \alpha
    \ell_k)^2 / 2 \sigma^2\big)

References: Kingma et al. 2021, *Variational diffusion models* (bound, eq. 11-18; Fourier features);
Salimans & Ho 2022, *Progressive distillation* (v-prediction); Nichol & Dhariwal 2021, *Improved
DDPM* (hybrid loss); Kingma & Gao 2023, *Understanding diffusion objectives* (weights); Song et al.
2021, *DDIM*; Lu et al. 2022, *DPM-Solver++* (second order); Lakshminarayanan et al. 2017, *Deep
ensembles*.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from genzoo import grid
from genzoo.model import DEEPEST, GenerativeModel, Latent, Likelihood, ProbabilityFlow, require
from genzoo.nets import (
    MOST_OCTAVES,
    Condition,
    Ensemble,
    Fourier,
    apply,
    channels_of,
    event_network,
    expand_as,
    features_of,
    given_or,
    is_image,
    octaves,
)

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (z, log-SNR of each row) -> estimate of the clean x

# of v's error beside the bound, in the hybrid loss
EYE_WEIGHT = 10.0


class Diffusion(GenerativeModel):
    """Continuous-time Gaussian diffusion with v-prediction; its `log_prob` is a variational bound.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        width, depth, dropout: of the denoising network, a `genzoo.nets.UNet` or `MLP`.
        log_snr_range: log-SNR at the ends of the process, least and most signal; None takes
            `default_log_snr_range`.
        schedule: "uniform" trains on the bound itself (log-SNR uniform, likelihood weighting);
            "cosine" on the mean squared error of v under the cosine schedule, which favours what
            the eye sees; "hybrid" on both, see `hybrid_loss`.
        prediction: "v" for v-prediction, or "levels" for a distribution over the levels of each
            feature (discrete data only).
        fourier: number of frequencies 1, 2, 4, ... at which sines and cosines of z are fed in
            beside it.
        ensemble_size: networks whose predictions are averaged, see `genzoo.nets.Ensemble`. Their
            mean is one denoiser, and the bound is its bound.
        solver, steps: default sampler, "ancestral", "ddim" or "second-order", and its number of
            network evaluations.
        patch: side of the squares of pixels that the network takes as one; 2 makes an image four
            times as cheap.
        head_kernel: side of the windows that the network's last layer sees on images; 1 is cheaper
            where it gives many numbers for a pixel, as it does to predict many levels.
        sigma_data: standard deviation that an untrained network assumes of the data. Below 1 the
            network need not carry the noise through its width; where that is narrow, as with
            patches, and the data simple, this helps much.
        network: in place of the default, see `genzoo.nets`.
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
        log_snr_range: tuple[float, float] | None = None,
        schedule: str = "uniform",
        prediction: str = "v",
        fourier: int = 5,
        ensemble_size: int = 1,
        solver: str = "second-order",
        steps: int = 50,
        patch: int = 1,
        head_kernel: int = 3,
        sigma_data: float = 1.0,
        network: nn.Module | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, width=width, ensemble_size=ensemble_size, steps=steps)
        require(0, DEEPEST, depth=depth)
        require(0, MOST_OCTAVES, fourier=fourier)
        require(1e-6, sigma_data=sigma_data)
        require_one_of(SOLVERS, solver=solver)
        require_one_of(("uniform", "cosine", "hybrid"), schedule=schedule)
        require_one_of(("v", "levels") if levels else ("v",), prediction=prediction)
        if log_snr_range is not None:
            require_range(log_snr_range)
            least, most = log_snr_range
            log_snr_range = (least, most)
        if network is not None and ensemble_size > 1:
            raise ValueError("ensemble_size is of our own networks: give a genzoo.nets.Ensemble.")
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.log_snr_range = log_snr_range
        self.schedule = schedule
        self.prediction = prediction
        self.fourier = fourier
        self.ensemble_size = ensemble_size
        self.solver = solver
        self.steps = steps
        self.patch = patch
        self.head_kernel = head_kernel
        self.sigma_data = sigma_data
        self.latent_shape = self.event_shape
        self.log_snr_min, self.log_snr_max = log_snr_range or default_log_snr_range(levels)
        self.parametrisation: Parametrisation = VPrediction(sigma_data)
        if prediction == "levels":
            self.parametrisation = LevelPrediction(levels)
        self.embed = Condition(condition, 2 * width)
        self.time = Fourier(2 * width)
        self.network = given_or(network, self.default_network)

    def default_network(self) -> nn.Module:
        channels = channels_of(self.event_shape)
        outputs = self.parametrisation.outputs(channels)
        members = []
        for _ in range(self.ensemble_size):
            network = event_network(
                self.event_shape,
                2 * self.width,
                self.width,
                self.depth,
                self.dropout,
                octaves(self.fourier),
                outputs,
                patch=self.patch,
                head_kernel=self.head_kernel,
            )
            members.append(network)
        if len(members) == 1:
            return members[0]
        return Ensemble(members)

    # -------------------------------------------------------------------------------------- network

    def v(self, z: Tensor, log_snr: Tensor, c: Tensor | None) -> Tensor:
        """Predicted v = alpha epsilon - sigma x, of z's shape.

        Args:
            z: noisy observations, ``(n, *event_shape)``.
            log_snr: of each, ``(n,)``.
            c: a condition for each.
        """
        embedding = self.embedding(log_snr, c)
        shape = self.parametrisation.shape(self.event_shape)
        raw = apply(self.network, z, embedding, shape)
        return self.parametrisation.v(raw, z, log_snr)

    def embedding(self, log_snr: Tensor, c: Tensor | None) -> Tensor:
        """Embedding of condition and log-SNR, ``(n, 2 width)``, for the network."""
        condition = self.embed(c, len(log_snr))
        return condition + self.time(log_snr)

    def denoiser(self, c: Tensor | None = None, guidance: float = 1.0) -> Denoiser:
        """The estimate of the clean x as a function of (z, log-SNR), for a solver.

        ``guidance`` > 1 pushes away from the unconditional estimate (classifier-free guidance, Ho &
        Salimans 2022).
        """

        def denoise(z: Tensor, log_snr: Tensor) -> Tensor:
            v = self.v(z, log_snr, c)
            if guidance != 1.0:
                unconditional = self.v(z, log_snr, None)
                v = torch.lerp(unconditional, v, guidance)
            return alpha(log_snr, z) * z - sigma(log_snr, z) * v

        return denoise

    # ----------------------------------------------------------------------------------------- loss

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Training loss of each observation, ``(n,)``, under the model's schedule.

        "uniform": minus the bound. "cosine": E ||v - v_hat||^2 under the cosine schedule.
        "hybrid": see `hybrid_loss`.
        """
        if self.schedule == "uniform":
            return super().loss(x, c)
        self.require_events(x)
        if self.schedule == "hybrid":
            return self.hybrid_loss(x, c)
        log_snr = self.cosine_log_snr(stratified(len(x), x))
        return self.squared_error(x, log_snr, c)

    def hybrid_loss(self, x: Tensor, c: Tensor | None) -> Tensor:
        """The bound and the cosine schedule's error, half of the observations each, ``(n,)``.

        The bound pays most at faint noise, and hardly notices whether a digit is the one that was
        asked for. So the other half trains what the eye sees (as L_hybrid of Nichol & Dhariwal
        2021). Cosine times have density sech(lambda / 2) / 2 pi, hence on average the loss is half
        of the bound's integral with the weight 1 + (2 w / pi) exp(-lambda / 2), w = `EYE_WEIGHT`.
        Weights that fall with log-SNR are bounds of noisier data (Kingma & Gao 2023, theorem 1).
        """
        t = stratified(len(x), x)
        for_the_eye = torch.rand_like(t) < 0.5
        log_snr = torch.where(for_the_eye, self.cosine_log_snr(t), self.uniform_log_snr(t))
        weight = torch.where(for_the_eye, EYE_WEIGHT, self.bound_weight(log_snr))
        return weight * self.squared_error(x, log_snr, c)

    def cosine_log_snr(self, t: Tensor) -> Tensor:
        """Log-SNR at times ``t`` in [0, 1] of the cosine schedule, alpha = cos(pi t / 2)."""
        t = t.clamp(1e-4, 1 - 1e-4)
        log_snr = -2 * torch.log(torch.tan(math.pi / 2 * t))
        return log_snr.clamp(self.log_snr_min, self.log_snr_max)

    def uniform_log_snr(self, t: Tensor) -> Tensor:
        """Log-SNR at times ``t`` in [0, 1], from the noisy end to the clean one."""
        return self.log_snr_min + (self.log_snr_max - self.log_snr_min) * t

    def bound_weight(self, log_snr: Tensor) -> Tensor:
        """Weight of ||v - v_hat||^2 in the bound at uniform log-SNR, ``(n,)``.

        1/2 (lambda_max - lambda_min) belongs to the error of epsilon: ||.||_eps = alpha ||.||_v.
        """
        reach = self.log_snr_max - self.log_snr_min
        return 0.5 * reach * torch.sigmoid(log_snr)

    def squared_error(self, x: Tensor, log_snr: Tensor, c: Tensor | None) -> Tensor:
        """||v - v_hat||^2 under one sample of the noise, ``(n,)``.

        Args:
            x: observations, ``(n, *event_shape)``.
            log_snr: at which noise is added to each, ``(n,)``.
            c: a condition for each.
        """
        epsilon = torch.randn_like(x)
        a = alpha(log_snr, x)
        s = sigma(log_snr, x)
        z = a * x + s * epsilon
        v = a * epsilon - s * x
        error = v - self.v(z, log_snr, c)
        return error.square().flatten(1).sum(1)

    def diffusion_loss(self, x: Tensor, c: Tensor | None, t: Tensor | None = None) -> Tensor:
        """1/2 (lambda_max - lambda_min) E_lambda ||eps - eps_hat||^2, ``(n,)`` (VDM eq. 17).

        Args:
            x: observations, ``(n, *event_shape)``.
            c: a condition for each.
            t: place of each row's log-SNR between the two ends, from 0 to 1, ``(n,)``; None: it is
                sampled.
        """
        if t is None:
            t = stratified(len(x), x)
        log_snr = self.uniform_log_snr(t)
        return self.bound_weight(log_snr) * self.squared_error(x, log_snr, c)

    def log_prob(self, x: Tensor, c: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Variational lower bound on log p(x | c): ``(n,)``, nats per observation.

        One noise and one time are sampled for each row; ``t`` is as in `diffusion_loss`.
        """
        self.require_events(x)
        return -(self.prior_loss(x) + self.reconstruction_loss(x) + self.diffusion_loss(x, c, t))

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """The mean of ``k`` samples of `log_prob`, ``(n,)`` nats, at times spread over [0, 1]."""
        self.require_events(x)
        samples = [self.log_prob(x, c, t) for t in spread_times(k, x)]
        return torch.stack(samples).mean(0)

    def prior_loss(self, x: Tensor) -> Tensor:
        """KL of the noisiest z given x from N(0, I), in closed form (VDM eq. 13), ``(n,)``."""
        log_snr = for_each(self.log_snr_min, x)
        mean = alpha(log_snr, x) * x
        std = sigma(log_snr, x)
        kl = 0.5 * (mean.square() + std.square() - 1 - 2 * std.log())
        return kl.flatten(1).sum(1)

    def reconstruction_loss(self, x: Tensor) -> Tensor:
        """E[-log p(x | z)] over the cleanest z, by one sample of it, ``(n,)`` nats (VDM eq. 31)."""
        log_snr = for_each(self.log_snr_max, x)
        epsilon = torch.randn_like(x)
        z = alpha(log_snr, x) * x + sigma(log_snr, x) * epsilon
        return -self.log_likelihood(x, z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) at the cleanest z, ``(n,)`` nats, features being independent there.

        Real-valued data: the Gaussian of the last noise about z / alpha. Discrete data: each
        feature's levels by Bayes' rule, a priori equally likely, divided by the bin's width.
        """
        log_snr = for_each(self.log_snr_max, x)
        if not self.levels:
            a = alpha(log_snr, x)
            s = sigma(log_snr, x)
            log_density = Normal(z / a, s / a).log_prob(x)
            return log_density.flatten(1).sum(1)
        log_pmf = evidence(z, log_snr, self.levels).log_softmax(-1)
        level = grid.to_level(x, self.levels).unsqueeze(-1)
        log_mass = log_pmf.gather(-1, level).squeeze(-1)
        log_density = log_mass - math.log(grid.bin_width(self.levels))
        return log_density.flatten(1).sum(1)

    def probability_flow(self, c: Tensor | None = None) -> ProbabilityFlow:
        """dz/dl = -alpha sigma v / 2 in the log-SNR l, from the data at its cleanest to noise.

        This is the path with the marginals of the noising process (Song et al. 2021, eq. 13).
        """

        def velocity(z: Tensor, log_snr: Tensor) -> Tensor:
            v = self.v(z, log_snr, c)
            return -0.5 * alpha(log_snr, z) * sigma(log_snr, z) * v

        return ProbabilityFlow(
            velocity,
            data=self.log_snr_max,
            noise=self.log_snr_min,
            enter=self.enter_flow,
        )

    def enter_flow(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The cleanest z of each observation, and log p(x) - log p(z), ``(n,)`` nats.

        Real-valued observations are scaled, z = alpha x. Discrete ones get the model's last noise,
        one sample of z from q(z | x), and log p(x | z) - log q(z | x).
        """
        if not self.levels:
            log_snr = torch.tensor(self.log_snr_max, dtype=torch.float64)
            scale = log_snr.sigmoid().sqrt().item()
            log_volume = self.dims * math.log(scale)
            return scale * x, torch.full((len(x),), log_volume, dtype=torch.float64)
        log_snr = x.new_full((len(x),), self.log_snr_max)
        q = Normal(alpha(log_snr, x) * x, sigma(log_snr, x))
        z = q.sample()
        log_q = q.log_prob(z).flatten(1).sum(1)
        return z, self.log_likelihood(x, z) - log_q

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
        """``(n, *event_shape)`` from noise.

        Args:
            n, c: see `genzoo.model.GenerativeModel.sample`.
            guidance: see `denoiser`; 1 for none.
            solver, steps: in place of the model's own.
        """
        noise = self.latent_noise(n)
        return self.solve(noise, c, guidance, solver, steps)

    @property
    def evaluations_per_sample(self) -> int:
        """One for each step of the solver, and one to remove the last noise.

        The members of an ensemble are evaluated side by side.
        """
        return self.steps + 1

    def solve(
        self,
        z: Tensor,
        c: Tensor | None,
        guidance: float = 1.0,
        solver: str | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """Samples ``(n, *event_shape)`` that a solver makes from noise.

        Args:
            z: noise, ``(n, *event_shape)``.
            c, guidance, solver, steps: see `sample`.
        """
        solver = solver or self.solver
        require_one_of(SOLVERS, solver=solver)
        times = self.times(steps or self.steps, z)
        solve = SOLVERS[solver]
        x = solve(self.denoiser(c, guidance), z, times)
        return self.on_grid(x)

    def times(self, steps: int, like: Tensor) -> Tensor:
        """Log-SNR of the ``steps`` + 1 ends of a solver's steps, from noise to data."""
        ends = steps + 1
        return torch.linspace(self.log_snr_min, self.log_snr_max, ends, device=like.device)

    @torch.no_grad()
    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The noise ``(n, *event_shape)`` that the deterministic DDIM path leads from to ``x``.

        It is found by running the path backwards in time.
        """
        self.require_events(x, decoded=True)
        times = torch.linspace(
            self.log_snr_max,
            self.log_snr_min,
            2 * self.steps + 1,
            device=x.device,
        )
        cleanest = x * alpha(times[:1], x)
        return ddim(self.denoiser(c), cleanest, times, last=False)

    @torch.no_grad()
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The sample ``(n, *event_shape)`` at the end of the deterministic path from ``z``."""
        steps = 2 * self.steps
        return self.solve(z, c, solver="ddim", steps=steps)

    def features(self, x: Tensor, log_snr: float = 2.0, draws: int = 4) -> Tensor:
        """Features of the network at one log-SNR, averaged over samples of the noise.

        Between pure noise and the clean observation lies a level at which a denoiser has to
        recognise what it is given (Baranchuk et al. 2022, *Label-efficient semantic segmentation
        with diffusion models*): there its features are richer than the latent.

        Args:
            x: observations, ``(n, *event_shape)``.
            log_snr: at which noise is added.
            draws: number of samples of the noise.
        """
        level = for_each(float(log_snr), x)
        embedding = self.embedding(level, None)
        features = []
        for _ in range(draws):
            epsilon = torch.randn_like(x)
            z = alpha(level, x) * x + sigma(level, x) * epsilon
            features.append(features_of(self.network, z, embedding))
        return torch.stack(features).mean(0)


# --------------------------------------------------------------------- what the network's answer is


class VPrediction:
    """The network's answer as a correction to the v of data from N(0, sigma_data^2).

    That data's best estimate of v is linear in z. The linear part and the gain are those by which
    the network sees and gives features of variance one (Karras et al. 2022, table 1); with
    ``sigma_data`` = 1 it is plain v-prediction.
    """

    def __init__(self, sigma_data: float):
        self.sigma_data = sigma_data

    def outputs(self, channels: int) -> int | None:
        """Channels that the network gives: by default as many as it takes."""
        return None

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the network's answer."""
        return event_shape

    def v(self, raw: Tensor, z: Tensor, log_snr: Tensor) -> Tensor:
        """Predicted v, of z's shape.

        Args:
            raw: the network's answer, ``(n, *shape(event_shape))``.
            z: noisy observations, ``(n, *event_shape)``.
            log_snr: of each, ``(n,)``.
        """
        a = alpha(log_snr, z)
        s = sigma(log_snr, z)
        total = (a * self.sigma_data).square() + s.square()
        skip = a * s * (1 - self.sigma_data**2) / total
        gain = self.sigma_data / total.sqrt()
        return skip * z + gain * raw


class LevelPrediction:
    """The network's answer as log-odds of each feature's levels, which Bayes' rule turns to v."""

    def __init__(self, levels: int):
        self.levels = levels

    def outputs(self, channels: int) -> int | None:
        """Channels that the network gives: one for each level of each channel."""
        return self.levels * channels

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the network's answer."""
        if not is_image(event_shape):
            return (self.levels * math.prod(event_shape),)
        channels, height, width = event_shape
        return (self.levels * channels, height, width)

    def v(self, raw: Tensor, z: Tensor, log_snr: Tensor) -> Tensor:
        """Predicted v, of z's shape; its arguments are those of `expected`."""
        x = self.expected(raw, z, log_snr)
        noise = alpha(log_snr, z) * z - x
        return noise / sigma(log_snr, z)

    def expected(self, raw: Tensor, z: Tensor, log_snr: Tensor) -> Tensor:
        """E[x | z]: log-odds from the network plus the evidence of each feature's own value.

        Args:
            raw: the network's answer, ``(n, *shape(event_shape))``.
            z: noisy observations, ``(n, *event_shape)``.
            log_snr: of each, ``(n,)``.
        """
        log_odds = raw.unflatten(1, (-1, self.levels)).movedim(2, -1)
        log_odds = log_odds.reshape(*z.shape, self.levels)
        log_posterior = log_odds + evidence(z, log_snr, self.levels)
        return log_posterior.softmax(-1) @ level_values(self.levels, z)


Parametrisation = VPrediction | LevelPrediction


def evidence(z: Tensor, log_snr: Tensor, levels: int) -> Tensor:
    """log p(z_i | x_i = each level) up to a constant, ``(n, ..., levels)``.

    Args:
        z: noisy observations, ``(n, ...)``.
        log_snr: of each, ``(n,)``.
        levels: number of values that a feature x_i takes.
    """
    values = level_values(levels, z)
    a = alpha(log_snr, z).unsqueeze(-1)
    s = sigma(log_snr, z).unsqueeze(-1)
    noise = z.unsqueeze(-1) - a * values
    return -0.5 * (noise / s).square()


def level_values(levels: int, like: Tensor) -> Tensor:
    """The values of all levels, ``(levels,)``, on the device and in the precision of ``like``."""
    k = torch.arange(levels, device=like.device)
    return grid.to_grid(k, levels).to(like)


# ---------------------------------------------------------------------------------------- the noise


def default_log_snr_range(levels: int) -> tuple[float, float]:
    """The log-SNR where data of unit scale has drowned, and where the noise hides no level.

    At the clean end the noise is about a tenth of a level (real values: 9). With coarser noise the
    last step must guess the level: of 256 levels it would pay 2.5 bits for each feature at 9,
    however good the network.
    """
    if not levels:
        return -5.0, 9.0
    noise = grid.bin_width(levels) / 10
    cleanest = round(-2 * math.log(noise))
    return -5.0, float(cleanest)


def require_range(log_snr_range: tuple[float, ...]) -> None:
    if len(log_snr_range) != 2 or not log_snr_range[0] < log_snr_range[1]:
        raise ValueError(
            "log_snr_range must be the least and the most log-SNR, in this order, "
            f"got {log_snr_range}."
        )


def require_one_of(choices: Iterable[str], **argument: str) -> None:
    """Raise ValueError unless the argument is one of the choices."""
    for name, value in argument.items():
        if value not in choices:
            expected = ", ".join(choices)
            raise ValueError(f"Unknown {name} {value!r}: expected one of {expected}.")


def alpha(log_snr: Tensor, like: Tensor) -> Tensor:
    """Signal strength at log-SNR ``(n,)``, shaped to multiply ``like`` (n, ...)."""
    strength = torch.sigmoid(log_snr).sqrt()
    return expand_as(strength.to(like), like)


def sigma(log_snr: Tensor, like: Tensor) -> Tensor:
    """Noise strength at log-SNR ``(n,)``, shaped to multiply ``like`` (n, ...)."""
    return alpha(-log_snr, like)


def for_each(log_snr: float, like: Tensor) -> Tensor:
    """The same log-SNR for each row of ``like``, ``(n,)``."""
    return torch.full((len(like),), log_snr, device=like.device)


def stratified(n: int, like: Tensor) -> Tensor:
    """n uniform numbers in [0, 1), one in each of n equal cells, in random order.

    Used as times, they reduce the variance of the loss (VDM, appendix I.1).
    """
    offset = torch.rand((), device=like.device, dtype=like.dtype)
    cells = torch.arange(n, device=like.device, dtype=like.dtype)
    numbers = (cells + offset) / n
    order = torch.randperm(n, device=like.device)
    return numbers[order]


def spread_times(k: int, like: Tensor) -> Iterator[Tensor]:
    """k times for each of the n rows of ``like``, ``(n,)`` at a time.

    One lies in each k-th of [0, 1), where it is stratified over the rows.
    """
    n = len(like)
    for part in range(k):
        yield (part + stratified(n, like)) / k


# -------------------------------------------------------------------------------------- the solvers


def steps_of(times: Tensor, z: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The log-SNR at both ends of each step, ``(n,)``, the same for each row of ``z``."""
    each = times.expand(len(z), -1).T
    return pairwise(each)


def last_time(times: Tensor, z: Tensor) -> Tensor:
    """The log-SNR at the end of the last step, for each row of ``z``, ``(n,)``."""
    return times[-1:].expand(len(z))


def ancestral(denoise: Denoiser, z: Tensor, times: Tensor) -> Tensor:
    """Sample q(z_t | z_s, x = denoise(z_s)) step by step (Ho et al. 2020).

    This is the chain that the bound is about.

    Args:
        denoise: see `Diffusion.denoiser`.
        z: where to start, ``(n, *event_shape)``.
        times: log-SNR at the ends of the steps.
    """
    for now, then in steps_of(times, z):
        x = denoise(z, now)
        kept = expand_as(torch.exp(now - then), z)  # SNR ratio, < 1
        of_noisy = kept * z / alpha(now, z)
        of_clean = (1 - kept) * x
        mean = alpha(then, z) * (of_noisy + of_clean)
        variance = sigma(then, z).square() * (1 - kept)
        z = mean + variance.sqrt() * torch.randn_like(z)
    return denoise(z, last_time(times, z))


def ddim(
    denoise: Denoiser,
    z: Tensor,
    times: Tensor,
    last: bool = True,
    eta: float = 0.0,
) -> Tensor:
    """Keep the implied noise, swap the amount of it (Song et al. 2021).

    This first-order solver of the probability-flow ODE runs in either direction of log-SNR.

    Args:
        denoise: see `Diffusion.denoiser`.
        z: where to start, ``(n, *event_shape)``.
        times: log-SNR at the ends of the steps.
        last: whether to finish with a denoising step.
        eta: part of the noise that is sampled anew at each step towards more signal: s^2 = eta^2
            sigma'^2 (1 - SNR / SNR') of its variance (eq. 16). 1 is `ancestral`.
    """
    for now, then in steps_of(times, z):
        x = denoise(z, now)
        epsilon = (z - alpha(now, z) * x) / sigma(now, z)
        if eta:
            share = eta * (-torch.expm1(now - then)).sqrt()  # s / sigma'
            share = expand_as(share, z)
            kept = (1 - share.square()).sqrt()
            epsilon = kept * epsilon + share * torch.randn_like(z)
        z = alpha(then, z) * x + sigma(then, z) * epsilon
    if not last:
        return z
    return denoise(z, last_time(times, z))


def second_order(denoise: Denoiser, z: Tensor, times: Tensor) -> Tensor:
    """DPM-Solver++(2M): extrapolates the denoised x linearly in log-SNR.

    With ``half = lambda / 2`` and step h in it, z' = (sigma'/sigma) z + alpha' (1 - e^-h) x_mid (Lu
    et al. 2022, algorithm 2).

    Args:
        denoise: see `Diffusion.denoiser`.
        z: where to start, ``(n, *event_shape)``.
        times: log-SNR at the ends of the steps.
    """
    x_before = None
    h_before = None
    for now, then in steps_of(times, z):
        x = denoise(z, now)
        h = (then - now)[0] / 2
        middle = x
        if x_before is not None and h_before is not None:
            middle = x + (x - x_before) * (h / (2 * h_before))
        kept = sigma(then, z) / sigma(now, z)
        z = kept * z - alpha(then, z) * torch.expm1(-h) * middle
        x_before = x
        h_before = h
    return denoise(z, last_time(times, z))


SOLVERS: dict[str, Callable[[Denoiser, Tensor, Tensor], Tensor]] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "second-order": second_order,
}
