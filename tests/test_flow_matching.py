"""Streams whose velocity is known: their density, their inverse, the regression that finds it.

And the solvers' order.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genzoo import FlowMatching, Likelihood, data, fit
from genzoo.evaluation import ODE, Own, evaluate
from genzoo.families.flow_matching import adams_path, rk4, with_divergence


def optimal(shape: tuple[int, ...], mean: float, std: float) -> FlowMatching:
    """The stream to N(mean, std²), whose velocity E[x_1 - x_0 | x_t] is linear in x."""
    model = FlowMatching(shape, width=8).double().eval()

    def v(x: Tensor, t: Tensor, c: Tensor | None = None) -> Tensor:
        t = t.view(-1, *[1] * (x.dim() - 1))
        variance = t**2 * std**2 + (1 - t) ** 2
        return mean + (t * std**2 - (1 - t)) / variance * (x - t * mean)

    model.v = v  # type: ignore[method-assign]
    return model


def rough(shape: tuple[int, ...], **options) -> FlowMatching:
    """A network that does something, untrained: its head does not start at zero."""
    model = FlowMatching(shape, width=8, fourier=1, **options).double().eval()
    torch.nn.init.normal_(model.network.head.weight, std=0.3)
    return model


@pytest.mark.equation("flow-density")
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.3), (-1.0, 2.0)])
def test_a_gaussian_has_its_own_density(mean, std):
    """Of 2 features, whose trace is exact, and of 18, where it is estimated.

    It is exact there too, since the stream is isotropic.
    """
    for shape in ((2,), (2, 3, 3)):
        x = mean + std * torch.randn(20, *shape, dtype=torch.float64)
        truth = Normal(mean, std).log_prob(x).flatten(1).sum(1)
        torch.testing.assert_close(
            optimal(shape, mean, std).log_prob(x, steps=60), truth, atol=1e-4, rtol=0
        )


def test_samples_of_a_gaussian_are_its_own():
    n = 4000
    x = optimal((2,), 0.5, 0.3).sample(n)
    assert (x.mean(0) - 0.5).abs().max() < 5 * 0.3 / n**0.5
    assert (x.std(0) / 0.3 - 1).abs().max() < 5 / (2 * n) ** 0.5 + 1e-3


def test_the_density_of_any_network_integrates_to_one():
    side = torch.linspace(-7, 7, 57, dtype=torch.float64)
    density = rough((2,)).log_prob(torch.cartesian_prod(side, side)).exp()
    assert (density.sum() * (side[1] - side[0]) ** 2).item() == pytest.approx(1, abs=0.01)


def test_encode_and_decode_are_each_other_s_inverse_up_to_the_steps():
    errors = []
    for steps in (4, 16):
        torch.manual_seed(0)
        model, x = rough((1, 4, 4), steps=steps), torch.randn(5, 1, 4, 4, dtype=torch.float64)
        errors.append((model.decode(model.encode(x)) - x).abs().max())
    assert errors[1] < 1e-3 and errors[1] < errors[0] / 8


@pytest.mark.equation("rk4")
def test_the_solver_is_of_fourth_order():
    """On dx/dt = x cos t, whose solution is x_0 exp(sin t).

    Twice the steps, a sixteenth of the error.
    """
    start, end = (
        torch.ones(3, dtype=torch.float64),
        torch.exp(torch.sin(torch.tensor(2.0, dtype=torch.float64))),
    )

    def error(steps: int) -> float:
        (found,) = rk4(lambda state, t: (state[0] * torch.cos(t),), (start,), 0.0, 2.0, steps)
        return (found - end).abs().max().item()

    assert error(10) / error(20) == pytest.approx(16, rel=0.2)


def test_adams_is_of_second_order_wherever_its_steps_are():
    """On dx/dt = x cos t: twice the steps, a quarter of the error; an evaluation each."""
    end = math.exp(math.sin(2.0))
    evaluated = []

    def slope(x: Tensor, t: Tensor) -> Tensor:
        evaluated.append(t)
        return x * torch.cos(t)[:, None]

    def error(steps: int, power: float) -> float:
        times = (2 * torch.linspace(0, 1, steps + 1, dtype=torch.float64) ** power).tolist()
        *_, found = adams_path(slope, torch.ones(3, 1, dtype=torch.float64), times)
        return (found - end).abs().max().item()

    for power in (1.0, 1.5):
        assert error(100, power) / error(200, power) == pytest.approx(4, rel=0.1)
    assert len(evaluated) == 2 * (100 + 200)


def test_random_signs_estimate_the_trace_of_the_jacobian():
    a, x = torch.randn(4, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    y, trace = with_divergence(lambda x: (x @ a.T).sin(), x)
    torch.testing.assert_close(y, (x @ a.T).sin())
    torch.testing.assert_close(trace, ((x @ a.T).cos() * a.diagonal()).sum(1))
    guesses = torch.stack(
        [
            with_divergence(lambda x: (x @ a.T).sin(), x, torch.randint_like(x, 2) * 2 - 1)[1]
            for _ in range(2000)
        ]
    )
    assert ((guesses.mean(0) - trace).abs() < 5 * guesses.std(0) / 2000**0.5).all()


@pytest.mark.equation("flow-matching")
def test_the_regression_has_the_velocity_of_the_flow_for_its_minimum():
    """Of all multiples and shifts of the true velocity, the loss prefers the velocity itself."""
    model, n = optimal((1,), 0.5, 0.3), 20_000
    truth, x = model.v, 0.5 + 0.3 * torch.randn(n, 1, dtype=torch.float64)

    def loss(factor: float, shift: float) -> float:
        torch.manual_seed(1)
        model.v = lambda x, t, c=None: factor * truth(x, t) + shift  # type: ignore[method-assign]
        return model.loss(x).mean().item()

    best = loss(1.0, 0.0)
    assert all(
        loss(*other) > best + 0.005
        for other in [(0.85, 0.0), (1.15, 0.0), (1.0, 0.15), (1.0, -0.15)]
    )


def test_it_learns_the_moons_and_claims_an_estimate():
    moons = data.load("moons")
    model = FlowMatching(moons.event_shape, width=32, lr=4e-3)
    fitted = fit(model, moons, steps=200, batch_size=256, check_every=100, accelerator="cpu")
    assert fitted.best_step is not None
    measured, by_ode = (
        evaluate(model, moons, by=Own(k=1)),
        evaluate(model, moons, by=ODE(tolerance=1e-4, most=50)),
    )
    for found in (measured, by_ode):
        assert found.kind == Likelihood.ESTIMATE
    gaussian = moons.report(
        Normal(moons.train.x.mean(0), moons.train.x.std(0)).log_prob(moons.test.x).sum(1)
    )
    assert measured.value is not None and measured.value < gaussian.mean().item() - 0.2
    assert (
        measured.log_prob is not None and by_ode.log_prob is not None and by_ode.events is not None
    )
    assert (measured.log_prob[by_ode.events] - by_ode.log_prob).abs().mean() < 0.02


def test_guidance_of_one_is_none_and_more_pushes_on():
    model = rough((2,), condition=3)
    with torch.no_grad():
        model.embed.null.normal_()
    c, x, t = torch.tensor([0, 1, 2]), torch.randn(3, 2, dtype=torch.float64), torch.full((3,), 0.5)
    plain, none = model.v(x, t, c), model.v(x, t)
    torch.testing.assert_close(model.velocity(c)(x, t), plain)
    torch.testing.assert_close(model.velocity(c, guidance=2.0)(x, t), plain + (plain - none))


# ---------------------------------------------------------------------------------- mean velocities


def jumping(shape: tuple[int, ...], mean: float, std: float) -> FlowMatching:
    """The stream to N(mean, std²) with its mean velocities: x_s lies as many deviations from its
    mean as x_t does.
    """
    model = optimal(shape, mean, std)
    velocity = model.v
    model.stretch = model.time  # it has mean velocities

    def u(x: Tensor, t: Tensor, s: Tensor, c: Tensor | None = None) -> Tensor:
        def deviation(t: Tensor) -> Tensor:
            return (t**2 * std**2 + (1 - t) ** 2).sqrt()

        each = (-1, *[1] * (x.dim() - 1))
        now, then = t.view(each), s.view(each)
        end = then * mean + deviation(then) / deviation(now) * (x - now * mean)
        return torch.where(then == now, velocity(x, t), (end - x) / (then - now))

    model.u = u  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.3), (-1.0, 2.0)])
def test_exact_mean_velocities_jump_to_where_the_stream_ends_however_often(mean, std):
    model = jumping((2,), mean, std)
    z = torch.randn(20, 2, dtype=torch.float64)
    end = model.integrate(z, model.velocity(), 0.0, 1.0, steps=60)
    torch.testing.assert_close(end, mean + std * z, atol=1e-5, rtol=0)
    for jumps in (1, 2, 5):
        torch.testing.assert_close(model.jump(z, None, 1.0, jumps), mean + std * z)


def test_of_all_mean_velocities_the_loss_asks_for_those_of_the_stream():
    model = jumping((2,), 0.5, 0.3)
    x, t = torch.randn(200, 2, dtype=torch.float64), torch.rand(200, dtype=torch.float64)
    truth = model.u
    assert model.jump_loss(x, t).max() < 1e-12
    model.u = lambda x, t, s, c=None: truth(x, t, s) + (s - t)[:, None]  # type: ignore[method-assign]
    assert model.jump_loss(x, t).mean() > 1e-2


def test_over_no_time_the_mean_velocity_is_the_velocity_and_the_likelihood_is_of_that():
    model = rough((2,), jumps=2)
    x, t = torch.randn(5, 2, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    torch.testing.assert_close(model.u(x, t, t), model.v(x, t))
    stated = model.log_prob(x)
    before = model.u(x, t, t + 0.5)
    with torch.no_grad():  # sines of a stretch are zero at zero
        sines = len(model.stretch.frequencies)  # type: ignore[union-attr]
        model.stretch.linear.weight[:, :sines] += 1  # type: ignore[union-attr]
    assert (model.u(x, t, t + 0.5) - before).abs().max() > 1e-3
    torch.testing.assert_close(model.log_prob(x), stated)


def test_a_sample_by_jumps_takes_an_evaluation_each():
    model = rough((2,), jumps=3)
    calls = []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    model.sample(4)
    assert len(calls) == model.evaluations_per_sample == 3
    model.sample(4, jumps=0)
    assert len(calls) == 3 + 4 * model.steps
    calls.clear()
    model.sample(4, jumps=0, solver="adams", steps=5)
    assert len(calls) == 5
    by_adams = rough((2,), solver="adams", steps=7)
    assert by_adams.evaluations_per_sample == 7
    with pytest.raises(ValueError, match="Unknown solver 'euler'"):
        model.sample(4, jumps=0, solver="euler")
    with pytest.raises(ValueError, match="no mean velocities"):
        rough((2,)).sample(4, jumps=1)
