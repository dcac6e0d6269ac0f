"""The likelihood of decoders by annealing.

Closed forms, integrals over a small latent, and bounds that must be beaten.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from genzoo import GAN, VAE, Flow
from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation import evaluate
from genzoo.evaluation.likelihood import decoder
from genzoo.evaluation.likelihood.decoder import (
    decoder_log_likelihood,
    enough_levels,
    observation,
    settle_sigma,
    simulated_bracket,
    tune_sigma,
)
from genzoo.evaluation.likelihood.estimators import AIS
from genzoo.model import GenerativeModel, LatentJoint, Likelihood, gaussian_joint

FAST = {"levels": 120, "chains": 24, "scouts": 8, "leapfrogs": 5}


class Linear(GenerativeModel):
    """x = W z + m, so that p(x) = N(m, W W' + s² I) for the observation's s."""

    likelihood = Likelihood.NONE

    def __init__(self, dims: int = 5, latents: int = 3):
        super().__init__((dims,))
        self.latent_shape = (latents,)
        self.weight = torch.nn.Parameter(torch.randn(dims, latents, dtype=torch.float64))
        self.mean = torch.nn.Parameter(torch.randn(dims, dtype=torch.float64))

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return z @ self.weight.T + self.mean

    def latent_joint(self, c: Tensor | None = None) -> LatentJoint:
        return gaussian_joint(self, c)

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return self.decode(torch.randn(n, *self.latent_shape, dtype=torch.float64))

    def law(self, sigma: float) -> MultivariateNormal:
        noise = sigma**2 * torch.eye(self.dims, dtype=torch.float64)
        return MultivariateNormal(
            self.mean.detach(), self.weight.detach() @ self.weight.detach().T + noise
        )


def lively(model, times: float = 6.0):
    """An untrained network of the zoo hardly listens to its input; this one does."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "second" in name or "stem.weight" in name or "head.weight" in name:
                weights.mul_(times if "second" in name else 2)
    return model.eval()


# ---------------------------------------------------------------------------------- the observation


@pytest.mark.parametrize("sigma", [0.003, 0.1, 1.0, 20.0])
@pytest.mark.parametrize("levels", [2, 5, 256])
def test_the_binned_gaussian_sums_to_one_and_is_the_gaussian_s_mass(levels, sigma):
    centre = torch.tensor([-1.3, -0.5, 0.01, 0.9, 4.0], dtype=torch.float64)
    grid = ((2 * torch.arange(levels, dtype=torch.float64) + 1) / levels - 1)[:, None].expand(
        levels, 5
    )
    pmf = (
        torch.stack(
            [observation(grid[:, i : i + 1], centre[i], sigma, levels) for i in range(5)], 1
        ).exp()
        * 2
        / levels
    )
    torch.testing.assert_close(pmf.sum(0), torch.ones(5, dtype=torch.float64))
    k, law = levels // 2, Normal(centre, sigma)
    inner = law.cdf(grid[k] + 1 / levels) - law.cdf(grid[k] - 1 / levels)
    if 0 < k < levels - 1:
        torch.testing.assert_close(pmf[k], inner, atol=1e-9, rtol=1e-6)


def test_the_binned_gaussian_keeps_far_tails_and_their_gradients():
    centre = torch.linspace(-3, 3, 61).requires_grad_(True)
    for x in (-0.75, -0.25, 0.75):
        value = observation(torch.full((61, 1), x), centre[:, None], 0.01, 4)
        (gradient,) = torch.autograd.grad(value.sum(), centre, retain_graph=True)
        assert value.isfinite().all() and gradient.isfinite().all()
    # the last bin reaches to infinity
    assert value[0].item() < -50_000 and value[-1].item() == pytest.approx(-math.log(0.5))


# ---------------------------------------------------------------------------------------- the truth


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_a_linear_gaussian_decoder_equals_its_closed_form(sigma):
    model = Linear()
    x = model.law(sigma).sample((12,))
    found = decoder_log_likelihood(model, x, sigma, **FAST | {"levels": 480})
    truth = model.law(sigma).log_prob(x)
    assert ((found.value - truth).abs() < 4 * found.stderr + 0.05).all()
    assert found.stderr.max() < 0.7 and found.ess.mean() > 6
    assert (found.value - truth).mean().abs() < 0.1


def test_simulated_data_brackets_the_closed_form():
    model = Linear()
    torch.manual_seed(1)
    found = simulated_bracket(model, 40, 0.3, **FAST | {"levels": 30})
    assert 0 < found.gap.mean() < 3
    better = simulated_bracket(model, 40, 0.3, **FAST | {"levels": 120})
    assert better.gap.abs().mean() < found.gap.abs().mean()


@pytest.mark.parametrize("levels", [0, 4])
def test_a_generator_of_one_latent_equals_its_integral(levels):
    model = lively(GAN((3,), levels=levels, latent_shape=(1,), width=8)).double()
    x, sigma = model.on_grid(model.sample(6) + 0.3 * torch.randn(6, 3)), 0.3
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        log_prior, centre = Normal(0.0, 1.0).log_prob(z).sum(1), model.decode(z)
        rows = [
            log_prior + observation(event.expand(4001, 3), centre, sigma, levels) for event in x
        ]
    truth = torch.stack(rows).logsumexp(1) + math.log(16 / 4000)
    found = decoder_log_likelihood(model, x, sigma, **FAST)
    assert ((found.value - truth).abs() < 4 * found.stderr + 0.05).all()


def by_integration(model: VAE, x: Tensor) -> Tensor:
    """log p(x) of a VAE with two latents, summed over a grid of them."""
    side = torch.linspace(-6, 6, 241)
    z = torch.cartesian_prod(side, side)
    with torch.no_grad():
        log_prior = model.log_prior(z).double()
        rows = [
            log_prior + model.p(z).log_prob(event.expand(len(z), *event.shape)).double()
            for event in x
        ]
    return torch.stack(rows).logsumexp(1) + 2 * math.log(12 / 240)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_vae_lies_above_its_importance_weighted_bound_and_below_the_truth(mode):
    """The same routine with the VAE's own p(x | z).

    An untrained encoder makes the bound loose, and annealing needs none.
    """
    model = lively(VAE((4,), levels=4, latent_shape=(2,), width=8), 3.0)
    x = model.sample(8)
    truth = by_integration(model, x)
    with mode():
        found = decoder_log_likelihood(model, x.clone(), **FAST)
        few, many = (model.bound(x, k=k).mean().item() for k in (4, 64))
    assert few < many < found.value.mean() + 3 * found.stderr.mean() / 8**0.5
    assert ((found.value - truth).abs() < 4 * found.stderr + 0.05).all()


def test_a_vae_with_a_flow_for_a_prior_is_annealed_too_and_one_with_a_bound_is_refused():
    model = VAE((2,), latent_shape=(2,), prior=Flow((2,), width=8, couplings=1), width=8).eval()
    with torch.no_grad():
        for weights in model.prior.parameters():  # a prior that is no standard Gaussian
            weights.add_(0.3 * torch.randn_like(weights))
    x = model.sample(4)
    found = decoder_log_likelihood(model, x, **FAST | {"levels": 60})
    assert ((found.value - by_integration(model, x)).abs() < 4 * found.stderr + 0.05).all()
    model.prior = VAE((2,), latent_shape=(2,), width=8)
    with pytest.raises(NotImplementedError, match="must be exact"):
        decoder_log_likelihood(model, x, **FAST)


def test_conditions_stay_with_their_events():
    """A decoder that shows its condition: the right one explains the event far better."""
    model = lively(GAN((4,), condition=2, latent_shape=(1,), width=8)).double()
    with torch.no_grad():
        model.generator_embed.embed.weight.normal_(0, 3)
    labels = torch.tensor([0, 1, 0, 1])
    x = model.decode(torch.zeros(4, 1).double(), labels).detach()
    right, wrong = (
        decoder_log_likelihood(model, x, 0.05, c, **FAST).value for c in (labels, 1 - labels)
    )
    assert (right > wrong).all() and (right - wrong).mean() > 1


def test_sigma_is_found_where_the_data_put_it():
    model = Linear()
    x = model.law(0.5).sample((200,))
    best, tried = tune_sigma(
        model, x, among=(0.02, 0.04), **FAST | {"levels": 40, "chains": 4, "scouts": 2}
    )
    assert 0.35 < best < 0.7
    assert list(tried) == sorted(tried) and tried[best] == max(tried.values())


def test_few_levels_rank_large_sigmas_too_high_and_the_last_word_is_right():
    """Of a linear decoder the best sigma of these very events is known.

    Few levels lose most where sigma is small.
    """
    torch.manual_seed(2)
    model = Linear(dims=20, latents=4)
    x = model.law(0.4).sample((40,))
    grid = [0.4 * 2 ** (i / 8) for i in range(-8, 25)]
    best = max(grid, key=lambda sigma: model.law(sigma).log_prob(x).mean().item())
    settings = {"chains": 6, "scouts": 2, "leapfrogs": 2}
    rough, _ = tune_sigma(model, x, among=(0.1, 0.2, 0.4), levels=4, **settings)
    assert rough > 2 * best
    settled, tried = settle_sigma(model, x, rough, levels=120, **settings)
    assert best / 1.2 < settled < best * 1.2
    assert tried[settled] == max(tried.values()) and list(tried) == sorted(tried)


def test_every_sigma_meets_the_same_random_numbers():
    """The luck of the draw does not choose.

    The caller's random numbers go on as if nothing had been tried.
    """
    model = Linear()
    x = model.law(0.5).sample((5,))
    score = decoder._Scores(model, x, None, 0.5, 1.2, None, {"levels": 3, "chains": 2, "scouts": 2})
    state = torch.get_rng_state()
    first, other = score(0), score(3)
    score.known.clear()
    assert (score(3), score(0)) == (other, first)
    assert torch.equal(state, torch.get_rng_state())


# ----------------------------------------------------------------------------------------- the sign


def test_the_figure_is_a_bound_in_expectation_and_closes():
    """-log of the mean weight costs more than the truth, on average over repetitions.

    The less so, the more levels there are.
    """
    torch.manual_seed(5)
    model = Linear(dims=8, latents=3)
    x = model.law(0.4).sample((1,)).expand(300, -1)
    truth = model.law(0.4).log_prob(x)
    costs = []
    for levels in (2, 10, 40, 160):
        found = decoder_log_likelihood(
            model, x, 0.4, levels=levels, chains=4, scouts=2, leapfrogs=2
        )
        short = truth - found.value
        assert short.mean() > 3 * short.std() / len(short) ** 0.5
        costs.append(short.mean().item())
    assert costs == sorted(costs, reverse=True) and costs[-1] < 0.3
    weights = torch.exp(-short)  # what the mean of four weights is, in units of p(x)
    assert weights.mean().item() == pytest.approx(1, abs=0.1)


def test_levels_are_doubled_until_enough_chains_count():
    torch.manual_seed(0)
    model = Linear(dims=8, latents=3)
    x = model.law(0.4).sample((40,))
    settings = {"chains": 8, "scouts": 2, "leapfrogs": 2}
    levels = enough_levels(model, x, 0.4, levels=5, most=640, **settings)
    assert levels in (40, 80, 160)
    few, many = (
        decoder_log_likelihood(model, x, 0.4, levels=n, **settings) for n in (levels // 4, levels)
    )
    assert few.ess.mean() < decoder.ENOUGH - 0.3 and many.ess.mean() > decoder.ENOUGH - 0.3
    assert enough_levels(model, x, 0.4, levels=5, most=20, **settings) == 20
    assert enough_levels(model, x, 0.4, levels=5, most=9, **settings) == 5


def test_a_decoder_is_measured_on_some_events_and_stands_for_all():
    """From noise and levels chosen on validation events to the figure of all test events.

    The closed form is within reach.
    """
    torch.manual_seed(6)
    model = Linear(dims=5, latents=3)
    parts = [Split(model.law(0.5).sample((n,))) for n in (400, 100, 300)]
    data = DataSet("made up", *parts)
    measured = evaluate(model, data, by=AIS(levels=60, chains=6, most=100))
    sigma = measured.details["sigma"]
    assert 0.35 < sigma < 0.7
    truth = -model.law(sigma).log_prob(data.test.x).mean().item()
    assert measured.value is not None
    assert abs(measured.value - truth) < 4 * measured.details["subset_stderr"] + 0.1
    assert measured.details["variance_ratio"] < 0.3  # a Gaussian is the right control here
    assert measured.details["controls"] == ["Gaussian"]


def test_simulated_events_have_conditions_of_all_kinds():
    """Measured events come class by class; those of the gap must not all be of the first."""
    seen = []

    class Noting(Linear):
        def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
            assert c is not None
            seen.append(c)
            return super().decode(z)

    model = Noting()
    decoder._simulated_gap(
        model, 4, 0.5, torch.arange(4).repeat_interleave(50), levels=1, chains=1, scouts=1
    )
    assert set(seen[0].tolist()) == {0, 1, 2, 3}


def test_a_model_without_a_decoder_or_an_observation_is_refused():
    with pytest.raises(ValueError, match="give the observation's sigma"):
        decoder_log_likelihood(Linear(), torch.zeros(2, 5).double(), **FAST)
