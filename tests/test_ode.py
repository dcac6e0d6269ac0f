"""The probability flow of a Gaussian is linear, so its likelihood is known.

And a density must integrate to one.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genzoo import Diffusion, fit, grid
from genzoo.data import DataSet
from genzoo.data.loading import load
from genzoo.evaluation.likelihood.ode import ode_log_likelihood
from genzoo.families.diffusion import alpha, default_log_snr_range, sigma
from genzoo.families.flow_matching import with_divergence


def optimal(
    shape: tuple[int, ...], mean: float, std: float, log_snr_range=(-20.0, 16.0)
) -> Diffusion:
    """The diffusion whose network knows the best denoiser of N(mean, std²).

    Its v is that of the posterior mean.
    """
    model = Diffusion(shape, width=8, log_snr_range=log_snr_range).double().eval()

    def v(z: Tensor, log_snr: Tensor, c: Tensor | None) -> Tensor:
        a, s = alpha(log_snr, z), sigma(log_snr, z)
        x = mean + std**2 * a / (a**2 * std**2 + s**2) * (z - a * mean)
        return (a * z - x) / s

    model.v = v  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.3), (-1.0, 2.0)])
@pytest.mark.parametrize("exact", [True, False])
def test_a_gaussian_with_its_optimal_denoiser_is_exact_to_a_thousandth_of_a_nat(mean, std, exact):
    """The flow is linear and isotropic, so even one random trace is exact."""
    x = mean + std * torch.randn(20, 3, dtype=torch.float64)
    truth = Normal(mean, std).log_prob(x).sum(1)
    found = ode_log_likelihood(optimal((3,), mean, std), x, exact=exact, tolerance=1e-7)
    torch.testing.assert_close(found.value, truth, atol=1e-3, rtol=0)


def test_the_error_falls_with_the_tolerance_and_the_evaluations_rise():
    model, x = (
        optimal((2,), 0.5, 0.3, log_snr_range=(-5.0, 5.0)),
        torch.randn(10, 2, dtype=torch.float64),
    )
    reference = ode_log_likelihood(model, x, tolerance=1e-8).value
    loose, tight = (ode_log_likelihood(model, x, tolerance=t) for t in (1e-2, 1e-6))
    errors = [(found.value - reference).abs().max() for found in (loose, tight)]
    assert errors[1] < 1e-4 < errors[0] and tight.evaluations > loose.evaluations


def rough(shape: tuple[int, ...], **options) -> Diffusion:
    """A network that does something, untrained: its head does not start at zero."""
    model = Diffusion(shape, width=8, fourier=1, **options).double().eval()
    with torch.no_grad():
        model.network.head.weight.normal_(0, 0.3)
    return model


def test_the_density_of_any_network_integrates_to_one():
    """Whatever the weights, the flow is invertible.

    The sum over a grid of a missed Jacobian would be far from one.
    """
    model = rough((2,), log_snr_range=(-3.0, 3.0))
    side = torch.linspace(-8, 8, 49, dtype=torch.float64)
    found = ode_log_likelihood(model, torch.cartesian_prod(side, side), tolerance=1e-4)
    assert (found.value.exp().sum() * (side[1] - side[0]) ** 2).item() == pytest.approx(1, abs=0.02)


def test_the_exact_trace_is_the_jacobian_s_and_random_signs_estimate_it():
    model, z, log_snr = (
        rough((1, 2, 2)),
        torch.randn(3, 1, 2, 2, dtype=torch.float64),
        torch.zeros(3),
    )
    flow = model.probability_flow()

    def field(y: Tensor) -> Tensor:
        return flow.velocity(y, log_snr)

    _, trace = with_divergence(field, z)
    for row in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda y: velocity_and_velocity(model, y, log_snr[:1]), z[row : row + 1]
        )
        torch.testing.assert_close(trace[row], jacobian.reshape(4, 4).trace())  # type: ignore[union-attr]
    signs = [torch.randint_like(z, 2) * 2 - 1 for _ in range(400)]
    guesses = torch.stack([with_divergence(field, z, e)[1] for e in signs])
    assert ((guesses.mean(0) - trace).abs() < 5 * guesses.std(0) / 20 + 1e-9).all()


def velocity_and_velocity(model: Diffusion, z: Tensor, log_snr: Tensor) -> Tensor:
    return -0.5 * alpha(log_snr, z) * sigma(log_snr, z) * model.v(z, log_snr, None)


# ------------------------------------------------------------------------------ discrete data


def trained(data: DataSet, steps: int, **options) -> Diffusion:
    torch.manual_seed(0)
    model = Diffusion(data.event_shape, levels=data.levels, prediction="levels", **options)
    return fit(model, data, steps=steps, batch_size=128, check_every=steps, accelerator="cpu").model


@pytest.mark.parametrize("levels", [2, 4])
def test_the_uniform_distribution_costs_log2_levels_bits_at_every_draw(levels):
    """A network that answers nothing knows the uniform distribution: each term is Bayes' rule.

    Noise that filled the bins fell between the teeth of the density, and this read 4 bits too much.
    """
    log_snr_range = (-12.0, default_log_snr_range(levels)[1])
    model = Diffusion(
        (2, 1, 2), levels=levels, prediction="levels", width=8, log_snr_range=log_snr_range
    ).double()
    torch.nn.init.zeros_(model.eval().network.head.weight)
    torch.nn.init.zeros_(model.network.head.bias)
    x = grid.to_grid(torch.randint(levels, (10, 2, 1, 2)), levels).double()
    found = ode_log_likelihood(model, x, tolerance=1e-5).value
    bits = grid.bits_per_dim(found, 4, levels)
    torch.testing.assert_close(bits, torch.full_like(bits, math.log2(levels)), atol=2e-3, rtol=0)


def test_on_a_world_that_can_be_enumerated_it_adds_up_to_no_more_than_one():
    data = load("ising", train=2000, validation=200, test=200)
    model = trained(data, 200, width=16)
    every = torch.cartesian_prod(*[torch.arange(2)] * 9)
    world = grid.to_grid(every.view(-1, *data.event_shape), 2)
    found = ode_log_likelihood(model, world, tolerance=1e-3, draws=2)
    mass = found.value.exp() * grid.bin_width(2) ** 9
    assert mass.sum() < 1 + 3 * (mass * found.stderr).norm()
    places = (data.test.x.flatten(1) > 0).long() @ (2 ** torch.arange(8, -1, -1))
    flow = data.report(found.value[places])
    with torch.no_grad():
        bound = data.report(model.bound(data.test.x, None, 256))
    assert flow.mean() < 1.0  # bit for each spin, what knowing nothing costs
    assert abs(flow.mean() - bound.mean()) < 0.1


@pytest.mark.slow
def test_on_digits_it_is_near_the_bound():
    data = load("digits")
    model, some = trained(data, 100, fourier=2, width=32), data.test.x[:40]
    flow = data.report(ode_log_likelihood(model, some, tolerance=1e-2, draws=2).value)
    with torch.no_grad():
        bound = data.report(model.bound(some, None, 64)).double()
    noise = (flow - bound).std() / len(some) ** 0.5
    assert flow.mean() < math.log2(17)
    assert abs((flow - bound).mean()) < 0.1 + 2 * noise


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_discrete_data_is_given_noise_and_its_error_stated(mode):
    model = rough((1, 2, 2), levels=4, condition=3)
    x = (torch.randint(4, (5, 1, 2, 2)) / 2 - 0.75).double()
    with mode():
        found = ode_log_likelihood(
            model, x.clone(), torch.tensor([0, 1, 2, 0, -1]), draws=3, tolerance=1e-3
        )
    assert found.value.shape == (5,) and (found.stderr > 0).all()
    assert math.isnan(ode_log_likelihood(model, x, tolerance=1e-2).stderr[0])
