"""The families are not islands.

Five identities between them, each checked with the zoo's own models.

Where a family would have to be trained to the optimum, its network is replaced by that optimum in
closed form; everything around the network (densities, schedules, solvers, losses) is the library's.
All of it in float64.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from nflows.transforms import MaskedAffineAutoregressiveTransform
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from genzoo import GAN, Autoregressive, Diffusion, Energy, Flow, FlowMatching
from genzoo.evaluation.likelihood.ode import ode_log_likelihood
from genzoo.families.diffusion import alpha, ancestral, sigma
from genzoo.families.gan import critic_loss


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


# -------------------------------------------------------------------- flow and autoregressive model


def test_an_affine_autoregressive_flow_is_the_autoregressive_model_with_the_same_conditionals():
    """z_i = s_i(x_<i) x_i + t_i(x_<i) has a triangular Jacobian.

    So change of variables is the chain rule over N(x_i; -t_i / s_i, 1 / s_i).
    """
    flow, chain = Flow((4,), width=8).double(), Autoregressive((4,), width=8).double()
    flow.transform = MaskedAffineAutoregressiveTransform(
        4, hidden_features=16, context_features=8
    ).double()

    def conditionals(features: Tensor, c: Tensor | None, r: Tensor) -> Normal:
        raw = flow.transform.autoregressive_net(features, flow.embed(c, len(features))).view(
            -1, 4, 2
        )
        scale, shift = F.softplus(raw[..., 0]) + 1e-3, raw[..., 1]  # as nflows reads its network
        return Normal(-shift / scale, 1 / scale)

    chain.conditionals = conditionals
    x = torch.randn(10, 4, dtype=torch.float64)
    close(flow.log_prob(x), chain.log_prob(x))

    z, drawn = torch.randn(10, 4, dtype=torch.float64), torch.zeros(10, 4, dtype=torch.float64)
    for i in range(4):  # and the flow's inverse is ancestral sampling, with z for the noise
        law = conditionals(drawn, None, torch.zeros(10))
        drawn[:, i] = law.mean[:, i] + law.stddev[:, i] * z[:, i]
    close(flow.decode(z), drawn)


def test_any_autoregressive_model_of_real_values_is_a_flow():
    """Its conditional distribution functions, one after the other, carry data to uniform noise.

    The derivatives of F_i(x_i | x_<i) are the conditionals. The Jacobian here is autograd's, of the
    whole map at once.
    """
    model = Autoregressive((3,), width=8, depth=1, components=2).double().eval()

    def to_noise(x: Tensor) -> Tensor:
        p = model.conditionals(x[None], None, torch.zeros(1, dtype=torch.long))
        scale, width = p.log_scale.exp(), p.log_width.exp()
        from_edges = [(x[None, :, None] - p.loc + side * width / 2) / scale for side in (1, -1)]
        boxes = scale / width * (F.softplus(from_edges[0]) - F.softplus(from_edges[1]))
        return Normal(0.0, 1.0).icdf((p.logits.softmax(-1) * boxes).sum(-1))[0]

    for x in torch.randn(5, 3, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(to_noise, x)
        density = (
            Normal(0.0, 1.0).log_prob(to_noise(x)).sum() + torch.linalg.slogdet(jacobian).logabsdet
        )
        close(density, model.log_prob(x[None])[0], 1e-6)


# --------------------------------------------------------------- diffusion and the hierarchical VAE


def rough_diffusion(log_snr_range: tuple[float, float] = (-4.0, 4.0)) -> Diffusion:
    """Of one real number, with a network that does something: its head does not start at zero."""
    model = Diffusion((1,), width=8, fourier=1, log_snr_range=log_snr_range).double().eval()
    nn.init.normal_(model.network.head.weight, std=0.3)
    return model


def quadrature(count: int = 60) -> tuple[Tensor, Tensor]:
    """Nodes and weights with E f(epsilon) = sum w f(node) for epsilon ~ N(0, 1)."""
    from numpy.polynomial.hermite_e import hermegauss

    nodes, weights = (torch.from_numpy(part) for part in hermegauss(count))
    return nodes, weights / weights.sum()


def layer(z: Tensor, x: Tensor, noisy: Tensor, clean: Tensor) -> Normal:
    """q(z_clean | z_noisy, x) of the noising process, by Bayes' rule for Gaussians.

    Prior from x, likelihood from z_noisy.
    """
    a, b = alpha(noisy, z), alpha(clean, z)
    kept = a / b  # z_noisy = kept z_clean + noise
    noise = sigma(noisy, z).square() - (kept * sigma(clean, z)).square()
    precision = 1 / sigma(clean, z).square() + kept.square() / noise
    mean = (b * x / sigma(clean, z).square() + kept * z / noise) / precision
    return Normal(mean, precision.rsqrt().expand_as(mean))


@torch.no_grad()
def divergences(model: Diffusion, x: float, layers: int) -> float:
    """The sum of the divergences of the VAE with that many layers.

    Each is E KL(q(z_clean | z_noisy, x) || p(z_clean | z_noisy)), and p is q with the network's
    guess in the place of x.
    """
    nodes, weights = quadrature()
    event = torch.full((len(nodes), 1), x, dtype=torch.float64)
    total = 0.0
    times = torch.linspace(model.log_snr_min, model.log_snr_max, layers + 1, dtype=torch.float64)
    for noisy, clean in zip(
        times[:-1].expand(len(nodes), -1).T, times[1:].expand(len(nodes), -1).T, strict=True
    ):
        z = alpha(noisy, event) * event + sigma(noisy, event) * nodes[:, None]
        guess = model.denoiser()(z, noisy)
        total += (
            weights
            * kl_divergence(layer(z, event, noisy, clean), layer(z, guess, noisy, clean)).sum(1)
        ).sum()
    return float(total)


@torch.no_grad()
def diffusion_term(model: Diffusion, x: float, points: int = 100) -> float:
    """The integral over noise levels in the continuous bound.

    By the midpoint rule, and by quadrature over the noise.
    """
    nodes, weights = quadrature()
    low, high = model.log_snr_min, model.log_snr_max
    event = torch.full((len(nodes), 1), x, dtype=torch.float64)
    total = 0.0
    for log_snr in (
        low + (high - low) * (torch.arange(points, dtype=torch.float64) + 0.5) / points
    ).tolist():
        level = torch.full((len(nodes),), log_snr, dtype=torch.float64)
        z = alpha(level, event) * event + sigma(level, event) * nodes[:, None]
        guess = model.denoiser()(z, level)
        implied = (z - alpha(level, event) * guess) / sigma(level, event)
        total += (
            (weights * (nodes[:, None] - implied).square().sum(1)).sum() * (high - low) / points / 2
        )
    return float(total)


@pytest.mark.equation("diffusion")
def test_the_diffusion_bound_is_the_elbo_of_a_hierarchical_vae_of_many_layers():
    """The VAE's T divergences tend to the integral like 1/T.

    The layers' squared errors are taken at their noisy ends.
    """
    model, x = rough_diffusion(), 0.7
    limit = diffusion_term(model, x)
    errors = [divergences(model, x, layers) - limit for layers in (50, 100, 200)]
    assert errors[0] > errors[1] > errors[2] > 0  # a finite VAE has the looser bound
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.15) and errors[1] / errors[
        2
    ] == pytest.approx(2, abs=0.15)
    # extrapolated to T = infinity
    assert 2 * errors[2] - errors[1] == pytest.approx(0, abs=2e-3 * limit)


def test_the_terms_that_the_bound_adds_are_those_of_the_vae():
    """At the noisy end KL(q(z | x) || N(0, I)).

    At the clean end the decoder's -log p(x | z), in the mean over z.
    """
    model, x = rough_diffusion(), torch.randn(6, 1, dtype=torch.float64)
    ends = (model.log_snr_min, model.log_snr_max)
    low, high = (torch.full((6,), end, dtype=torch.float64) for end in ends)
    top = kl_divergence(
        Normal(alpha(low, x) * x, sigma(low, x)), Normal(torch.zeros_like(x), 1.0)
    ).sum(1)
    close(model.prior_loss(x), top, 1e-6)
    decoder = Normal(0.0, sigma(high, x) / alpha(high, x))
    draws = torch.stack([model.reconstruction_loss(x) for _ in range(4000)])
    assert ((draws.mean(0) - decoder.entropy().sum(1)).abs() < 5 * draws.std(0) / 4000**0.5).all()


def test_ancestral_sampling_draws_from_that_vae_s_layers():
    """One step of the sampler is a draw of p(z_clean | z_noisy).

    Its mean and variance are the layer's.
    """
    n = 200_000
    z = torch.full((n, 1), 0.3, dtype=torch.float64)
    noisy, clean = (torch.full((n,), log_snr, dtype=torch.float64) for log_snr in (-1.0, 0.5))
    law = layer(z, torch.full_like(z, 0.9), noisy, clean)
    steps: list[Tensor] = []

    def denoise(z: Tensor, log_snr: Tensor) -> Tensor:
        steps.append(z)
        return torch.full_like(z, 0.9)

    ancestral(denoise, z, torch.tensor([-1.0, 0.5], dtype=torch.float64))
    drawn = steps[-1]
    assert abs(drawn.mean() - law.mean[0]) < 5 * law.stddev[0] / n**0.5
    assert abs(drawn.std() / law.stddev[0] - 1) < 5 / (2 * n) ** 0.5


# --------------------------------------------------------------------------------- score and energy


def posterior_mean(points: Tensor, log_snr: Tensor, z: Tensor) -> Tensor:
    """E[x | z] where x is one of ``points`` (m, d) with equal chance.

    The best denoiser of a data set.
    """
    a, s = alpha(log_snr, z), sigma(log_snr, z)
    weights = (-(z[:, None] - a[:, None] * points).square().sum(-1) / (2 * s**2)).softmax(1)
    return weights @ points


def test_the_score_is_minus_the_gradient_of_the_energy():
    """Tweedie: the best denoiser of *any* data tells the slope of the noisy log-density.

    It is (alpha x_hat - z) / sigma². Here that density is an energy model, whose gradient is
    autograd's.
    """
    points, z = torch.randn(7, 2, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    diffusion, model = Diffusion((2,), width=8).double(), Energy((2,), width=8, buffer=4).double()
    for level in (-3.0, 0.0, 2.0):
        log_snr = torch.full((20,), level, dtype=torch.float64)
        a, s = alpha(log_snr, z)[0, 0], sigma(log_snr, z)[0, 0]
        diffusion.v = lambda z, log_snr, c: (
            (alpha(log_snr, z) * z - posterior_mean(points, log_snr, z)) / sigma(log_snr, z)
        )
        model.energy = lambda x, c=None, a=a, s=s: (
            -torch.logsumexp(-(x[:, None] - a * points).square().sum(-1) / (2 * s**2), 1)
        )
        score = (a * diffusion.denoiser()(z, log_snr) - z) / s**2
        y = z.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(model.energy(y).sum(), y)
        close(score, -slope)


# ---------------------------------------------------------------------- diffusion and flow matching

MEANS, STD = torch.tensor([[-1.0, 0.5], [1.0, 0.0], [0.3, -1.2]], dtype=torch.float64), 0.35


def mixture(x: Tensor, scale: float | Tensor, noise: float | Tensor) -> tuple[Tensor, Tensor]:
    """Of x_t = scale x + noise epsilon, x from the mixture of Gaussians.

    Log-density (n,) and each one's share (n, 3).
    """
    variance = scale**2 * STD**2 + noise**2
    square = (x[:, None] - scale * MEANS).square().sum(-1)
    each = -square / (2 * variance) - math.log(3) - (2 * math.pi * torch.as_tensor(variance)).log()
    return torch.logsumexp(each, 1), each.softmax(1)


def denoised(z: Tensor, log_snr: Tensor, c: Tensor | None = None) -> Tensor:
    """E[x | z] of the mixture at one noise level, as a diffusion's network would say it."""
    a, s = alpha(log_snr, z)[0, 0], sigma(log_snr, z)[0, 0]
    _, share = mixture(z, a, s)
    gain = a * STD**2 / (a**2 * STD**2 + s**2)
    return (share[..., None] * (MEANS + gain * (z[:, None] - a * MEANS))).sum(1)


def streaming(x: Tensor, t: Tensor, c: Tensor | None = None) -> Tensor:
    """E[x_1 - x_0 | x_t] of the mixture.

    The velocity that flow matching's regression has for its minimum.
    """
    t = t[0]
    _, share = mixture(x, t, 1 - t)
    slope = (t * STD**2 - (1 - t)) / (t**2 * STD**2 + (1 - t) ** 2)
    return (share[..., None] * (MEANS + slope * (x[:, None] - t * MEANS))).sum(1)


def optimal_pair() -> tuple[Diffusion, FlowMatching]:
    diffusion = Diffusion((2,), width=8, log_snr_range=(-18.0, 16.0)).double().eval()
    stream = FlowMatching((2,), width=8).double().eval()
    diffusion.v = lambda z, log_snr, c: (
        (alpha(log_snr, z) * z - denoised(z, log_snr)) / sigma(log_snr, z)
    )
    stream.v = streaming
    return diffusion, stream


def test_a_diffusion_s_denoiser_and_a_flow_s_velocity_are_the_same_function():
    """(1 - t) noise + t data is, but for size, a noisy event of log-SNR 2 log(t / (1 - t))."""
    x = torch.randn(20, 2, dtype=torch.float64)
    for time in (0.1, 0.5, 0.9):
        t = torch.full((20,), time, dtype=torch.float64)
        log_snr, size = 2 * torch.logit(t), math.hypot(time, 1 - time)
        close(streaming(x, t), (denoised(x / size, log_snr) - x) / (1 - time))


def test_the_probability_flow_of_a_diffusion_and_a_continuous_flow_give_the_same_density():
    """Two paths in two clocks, and at the end of both the density of the data.

    One is in log-SNR, and one is straight.
    """
    diffusion, stream = optimal_pair()
    x = 1.2 * torch.randn(30, 2, dtype=torch.float64)
    by_diffusion, by_stream = (
        ode_log_likelihood(model, x, tolerance=1e-7).value for model in (diffusion, stream)
    )
    close(by_diffusion, by_stream, 1e-3)
    close(by_stream, mixture(x, 1.0, 0.0)[0], 1e-5)
    close(stream.log_prob(x, steps=200), by_stream, 1e-5)  # the family's own solver, of fixed steps


# ------------------------------------------------------------------------- critic and density ratio


class Scores(nn.Module):
    """A critic of events in a finite world: one free score for each."""

    def __init__(self, events: int):
        super().__init__()
        self.score = nn.Parameter(torch.zeros(events, dtype=torch.float64))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return self.score[x.round().long()] + 0 * x


def test_the_optimal_critic_is_the_log_density_ratio():
    """And its loss there is 2 log 2 minus twice the Jensen-Shannon divergence.

    So a GAN's generator minimises that.
    """
    data, generated = torch.tensor([1, 2, 3, 4]), torch.tensor([4, 4, 1, 1])  # in tenths
    model = GAN((1,), width=8, critic=Scores(4)).double()
    real, fake = (
        torch.arange(4.0).repeat_interleave(counts)[:, None].double()
        for counts in (data, generated)
    )
    optimiser = torch.optim.LBFGS(
        model.critic.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=0
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = critic_loss(model.score, real, fake, None, gamma=0.0).mean()
        value.backward()
        return value

    optimiser.step(loss)  # type: ignore[arg-type]
    p, q = data.double() / 10, generated.double() / 10
    close(model.critic.score.detach(), (p / q).log(), 1e-6)  # type: ignore[union-attr]
    middle = (p + q) / 2
    jensen_shannon = (p * (p / middle).log() + q * (q / middle).log()).sum() / 2
    close(loss().detach(), 2 * math.log(2) - 2 * jensen_shannon)
