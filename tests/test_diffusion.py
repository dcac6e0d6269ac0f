"""Mathematics of the diffusion family, with data whose optimal denoiser is known."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from genzoo import Diffusion, grid
from genzoo.families.diffusion import (
    EYE_WEIGHT,
    SOLVERS,
    alpha,
    ddim,
    second_order,
    sigma,
    spread_times,
    stratified,
)

SCALE = 0.5  # the data is N(0, SCALE^2) in each feature
TINY = {"width": 8, "fourier": 1}


def optimal_v(z: torch.Tensor, log_snr: torch.Tensor, c=None) -> torch.Tensor:
    """E[alpha epsilon - sigma x | z] for x ~ N(0, s^2)."""
    a, s = alpha(log_snr, z), sigma(log_snr, z)
    return a * s * (1 - SCALE**2) / (a**2 * SCALE**2 + s**2) * z


def optimal(shape=(2,), **kwargs) -> Diffusion:
    model = Diffusion(shape, **TINY | kwargs).double().eval()
    model.v = optimal_v
    return model


def rough(*args, **kwargs) -> Diffusion:
    model = Diffusion(*args, **TINY | kwargs).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


# ---------------------------------------------------------------------------------------- the bound


@pytest.mark.equation("diffusion-bound")
def test_the_bound_with_the_optimal_denoiser_tends_to_the_density():
    """As the range of log-SNR widens; and before that it stays below, on average over the data."""
    truth, n = Normal(torch.zeros(2).double(), SCALE), 100_000
    x = truth.sample((n,))
    gaps = []
    for reach in (2.0, 4.0, 12.0):
        gap = truth.log_prob(x).sum(1) - optimal(log_snr_range=(-reach, reach)).log_prob(x)
        error = gap.std() / math.sqrt(n)
        assert gap.mean() > -4 * error
        gaps.append(gap.mean().item())
    assert gaps[0] > gaps[1] > gaps[2] - 0.1
    assert gaps[2] < 0.1


@pytest.mark.parametrize("value", [0.0, 0.4, 1.2])
def test_the_bound_is_tight_at_every_point(value):
    n = 200_000
    x = torch.tensor([[value, -value]]).double().expand(n, -1)
    draws = optimal(log_snr_range=(-10.0, 12.0)).log_prob(x)
    truth = Normal(0.0, SCALE).log_prob(x[0]).sum()
    assert abs(draws.mean() - truth) < 5 * draws.std() / math.sqrt(n) + 0.01


def test_the_uniform_schedule_trains_on_the_bound():
    model, x = optimal(), torch.randn(4, 2).double()
    torch.manual_seed(1)
    loss = model.loss(x)
    torch.manual_seed(1)
    torch.testing.assert_close(loss, -model.log_prob(x))


@pytest.mark.parametrize(
    ("schedule", "of_bound", "of_eye"),
    [("cosine", 0.0, 1.0), ("hybrid", 0.5, 0.5 * EYE_WEIGHT)],
)
def test_a_schedule_is_a_weight_of_the_error_of_epsilon(schedule, of_bound, of_eye):
    """By an integral over log-SNR of the optimal denoiser's error, which is known.

    The error of x is that of a Gaussian given z, 1 / (1 / SCALE^2 + SNR), and epsilon's is SNR
    times as large. The bound weighs it by 1/2, cosine times by exp(-lambda / 2) / pi.
    """
    model = optimal(schedule=schedule, log_snr_range=(-12.0, 12.0))
    log_snr = torch.linspace(model.log_snr_min, model.log_snr_max, 10_001).double()
    error = model.dims * log_snr.exp() / (1 / SCALE**2 + log_snr.exp())
    weight = of_bound / 2 + of_eye * torch.exp(-log_snr / 2) / math.pi
    expected = torch.trapezoid(weight * error, log_snr)

    x = SCALE * torch.randn(200_000, 2).double()
    loss = model.loss(x)
    standard_error = loss.std() / math.sqrt(len(x))
    beyond_the_ends = 0.002 * of_eye  # a few cosine times are moved to the ends of the range
    assert abs(loss.mean() - expected) < 5 * standard_error + beyond_the_ends


def test_stratified_draws_of_time_spread_the_bound_less():
    model, x = optimal((300,)), SCALE * torch.randn(64, 300).double()

    def spread(draw) -> float:
        return torch.stack([draw() for _ in range(100)]).std().item()

    low, high = model.log_snr_min, model.log_snr_max

    def unstratified() -> torch.Tensor:
        log_snr = low + (high - low) * torch.rand(len(x)).double()
        return (
            0.5 * (high - low) * torch.sigmoid(log_snr) * model.squared_error(x, log_snr, None)
        ).mean()

    assert spread(lambda: model.diffusion_loss(x, None).mean()) < 0.5 * spread(unstratified)


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_stratified_puts_one_number_in_each_cell(n):
    u = stratified(n, torch.zeros(1).double())
    assert torch.equal((u.sort().values * n).floor(), torch.arange(n).double())


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_at_the_clean_end_no_level_is_left_to_guess(levels):
    """Else the bound would pay for it, however good the network.

    2.5 bits for 256 levels under the noise that does for 17.
    """
    x = grid.to_grid(torch.randint(levels, (500, 4, 4)), levels)

    def paid(**options) -> float:
        model = Diffusion((4, 4), levels=levels, **TINY, **options)
        return grid.bits_per_dim(-model.reconstruction_loss(x), 16, levels).mean().item()

    assert 0 <= paid() < 0.01
    if levels == 256:
        assert paid(log_snr_range=(-5.0, 9.0)) == pytest.approx(2.5, abs=0.1)


def test_prior_loss_is_the_divergence_from_the_standard_normal():
    model, x = (
        Diffusion((1, 2, 3), log_snr_range=(-1.5, 9.0), **TINY).double(),
        torch.randn(4, 1, 2, 3).double(),
    )
    low = torch.full((4,), -1.5).double()
    noisiest = Normal(alpha(low, x) * x, sigma(low, x).expand_as(x))
    expected = kl_divergence(noisiest, Normal(0.0, 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(model.prior_loss(x), expected, rtol=1e-6, atol=1e-6)


def test_reconstruction_is_bayes_rule_over_the_levels():
    levels, high = 5, 3.0
    model = Diffusion((3,), levels=levels, log_snr_range=(-5.0, high), **TINY).double()
    cells = torch.randint(levels, (6, 3))
    x = grid.to_grid(cells, levels).double()
    torch.manual_seed(1)
    got = model.reconstruction_loss(x)
    torch.manual_seed(1)
    a, s = math.sqrt(1 / (1 + math.exp(-high))), math.sqrt(1 / (1 + math.exp(high)))
    z = a * x + s * torch.randn_like(x)
    values = grid.to_grid(torch.arange(levels), levels).double()
    evidence = torch.stack([Normal(a * value, s).log_prob(z).exp() for value in values], -1)
    pmf = evidence.gather(-1, cells[..., None]).squeeze(-1) / evidence.sum(-1)
    torch.testing.assert_close(
        got, -(pmf.log() - math.log(2 / levels)).sum(1), rtol=1e-5, atol=1e-5
    )


def test_a_distribution_over_levels_is_optimal_for_independent_features():
    """The network need only give the log-odds of the levels.

    The bound is then the truth, and the estimate is Bayes'.
    """
    levels, pmf, n = 3, torch.tensor([0.2, 0.5, 0.3]).double(), 200_000

    class LogOdds(nn.Module):
        def forward(self, x, e):
            return pmf.log().repeat(2).expand(len(x), -1)

    model = Diffusion(
        (2,), levels=levels, prediction="levels", log_snr_range=(-9.0, 9.0), **TINY
    ).double()
    model.network = LogOdds()
    values = grid.to_grid(torch.arange(levels), levels).double()

    z, log_snr = torch.randn(5, 2).double(), torch.linspace(-3, 3, 5).double()
    odds = (
        pmf
        * Normal(alpha(log_snr, z)[..., None] * values, sigma(log_snr, z)[..., None])
        .log_prob(z[..., None])
        .exp()
    )
    torch.testing.assert_close(model.denoiser()(z, log_snr), (odds @ values) / odds.sum(-1))

    cells = torch.multinomial(pmf, 2 * n, replacement=True).view(n, 2)
    with torch.no_grad():
        gap = pmf[cells].log().sum(1) - 2 * math.log(2 / levels) - model.log_prob(values[cells])
    error = gap.std() / math.sqrt(n)
    assert -4 * error < gap.mean() < 4 * error + 0.01


@pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 5, 4), (3, 4, 4)])
def test_both_predictions_take_any_shape_and_train_every_parameter(shape):
    # enough for each condition to meet noise worth removing
    x = grid.quantise(torch.rand(32, *shape) * 2 - 1, 5)
    for prediction in ("v", "levels"):
        model = Diffusion(shape, levels=5, condition=3, prediction=prediction, steps=2, **TINY)
        with torch.no_grad():
            model.network.head.weight.normal_(std=0.1)
        model.loss(x, torch.tensor([0, 1, 2, -1]).repeat(8)).sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
        assert model.sample(2).shape == (2, *shape)


# ----------------------------------------------------------------------------------------- samplers


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_samples_the_gaussian(solver):
    n = 40_000
    x = optimal((1,), log_snr_range=(-9.0, 9.0)).sample(n, solver=solver, steps=150)
    assert x.mean().abs() < 5 * SCALE / math.sqrt(n)
    assert x.std().item() == pytest.approx(SCALE, rel=0.03)


def exact(z: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Where the probability-flow ODE takes z, and the last denoising step from there.

    Both are scalings here.
    """
    signal = torch.sigmoid(times[[0, -1]])
    start, end = signal * SCALE**2 + (1 - signal)
    return z * (end / start).sqrt() * signal[1].sqrt() * SCALE**2 / end


@pytest.mark.equation("ddim")
@pytest.mark.parametrize(("solver", "order"), [(ddim, 1), (second_order, 2)])
def test_solvers_converge_with_their_order(solver, order):
    model, z = optimal((1,)), torch.ones(1, 1).double()
    errors = []
    for steps in (20, 40, 80, 160, 320):
        times = torch.linspace(-5, 6, steps + 1).double()
        errors.append((solver(model.denoiser(), z, times) - exact(z, times)).abs().item())
    slopes = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert slopes[-1] == pytest.approx(order, abs=0.15)


def test_ancestral_steps_keep_the_marginals_of_the_noisy_data():
    """q(z_t | z_s, x) with the true x carries q(z_s | x) to q(z_t | x), whatever the step."""
    n, x = 100_000, 0.8
    start, end = torch.tensor([-2.0]).double(), torch.tensor([1.0]).double()
    z = (
        alpha(start, torch.zeros(1, 1).double()) * x
        + sigma(start, torch.zeros(1, 1).double()) * torch.randn(n, 1).double()
    )
    seen = []

    def denoise(z, log_snr):
        seen.append(z)
        return torch.full_like(z, x)

    SOLVERS["ancestral"](denoise, z, torch.cat([start, end]))
    like = torch.zeros(1, 1).double()
    assert seen[-1].mean().item() == pytest.approx((alpha(end, like) * x).item(), abs=0.01)
    assert seen[-1].std().item() == pytest.approx(sigma(end, like).item(), rel=0.01)


def test_encode_and_decode_run_the_same_path_both_ways():
    x = SCALE * torch.randn(64, 1, 2, 2).double()
    errors = []
    for steps in (50, 200):
        model = optimal((1, 2, 2), log_snr_range=(-7.0, 9.0), steps=steps)
        z = model.encode(x)
        assert z.std().item() == pytest.approx(1, abs=0.15)
        errors.append((model.decode(z) - x).abs().max().item())
    assert errors[1] < 0.4 * errors[0]
    assert errors[1] < 0.05


# ----------------------------------------------------------------------------------------- guidance


@pytest.mark.equation("guidance")
def test_guidance_of_one_is_the_plain_conditional_and_of_zero_the_unconditional():
    model, z, log_snr = (
        rough((3,), condition=4),
        torch.randn(5, 3).double(),
        torch.linspace(-4, 8, 5).double(),
    )
    c = torch.tensor([0, 1, 2, 3, -1])
    plain = alpha(log_snr, z) * z - sigma(log_snr, z) * model.v(z, log_snr, c)
    none = model.denoiser()(z, log_snr)
    torch.testing.assert_close(model.denoiser(c)(z, log_snr), plain)
    torch.testing.assert_close(model.denoiser(c, guidance=0.0)(z, log_snr), none)
    torch.testing.assert_close(
        model.denoiser(c, guidance=3.0)(z, log_snr), none + 3 * (plain - none)
    )
    assert not torch.allclose(plain[:4], none[:4])


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("ddim", {"solver": "dim"}),
        ("cosine", {"schedule": "sine"}),
        ("hybrid", {"schedule": "hybird"}),
        ("levels", {"prediction": "levels"}),
    ],
)
def test_unknown_choices_are_refused_by_a_sentence_that_names_the_known_ones(words, arguments):
    with pytest.raises(ValueError, match=words):
        Diffusion((2,), **arguments)


def test_members_train_on_their_own_share_and_answer_by_their_mean():
    model = Diffusion((2,), width=8, ensemble_size=2)
    for field in model.network.members:
        torch.nn.init.normal_(field.head.weight)
    x, e = torch.randn(4, 2), torch.randn(4, 16)
    first, second = (field.eval()(x, e) for field in model.network.members)
    torch.testing.assert_close(model.eval().network(x, e), (first + second) / 2)
    torch.testing.assert_close(model.train().network(x, e), torch.cat([first[:2], second[2:]]))


def test_the_times_of_several_draws_are_spread_over_the_whole_for_each_event():
    x = torch.zeros(50, 2)
    times = torch.stack(list(spread_times(8, x)))
    assert torch.equal((8 * times).floor(), torch.arange(8.0)[:, None].expand(8, 50))
    together = (400 * times.flatten()).floor().unique()
    assert len(together) >= 399  # and over all events and draws at once; a cell's edge may round


def test_spread_times_leave_the_bound_what_it_is_and_take_noise_away():
    torch.manual_seed(0)
    # in many dimensions, time matters more than noise
    model, x = (
        Diffusion((64,), width=8).eval(),
        torch.randn(20, 64),
    )
    with torch.no_grad():
        spread = torch.stack([model.bound(x, None, 8) for _ in range(200)])
        apart = torch.stack(
            [torch.stack([model.log_prob(x) for _ in range(8)]).mean(0) for _ in range(200)]
        )
    error = ((spread.var(0) + apart.var(0)) / 200).sqrt()
    assert ((spread.mean(0) - apart.mean(0)).abs() < 5 * error).all()
    assert spread.var(0).mean() < 0.5 * apart.var(0).mean()
