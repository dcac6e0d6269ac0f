"""Annealed importance sampling against known normalisers, from below and from above."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from genzoo.distributions import standard_normal
from genzoo.evaluation.likelihood.annealing import (
    SCHEDULES,
    anneal,
    bracket,
    log_mean_exp,
    walk,
)


def gaussian(dims: int, seed: int = 3) -> tuple[MultivariateNormal, float]:
    """A correlated Gaussian off the origin, and a constant that makes it unnormalised."""
    mix = (
        torch.randn(dims, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        / dims**0.5
    )
    covariance = 0.3 * mix @ mix.T + 0.4 * torch.eye(dims, dtype=torch.float64)
    return MultivariateNormal(torch.linspace(-1, 1, dims, dtype=torch.float64), covariance), 2.5


def normals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# --------------------------------------------------------------------------------------- the method


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_rise_from_zero_to_one(schedule):
    betas = torch.tensor(SCHEDULES[schedule](50), dtype=torch.float64)
    assert (len(betas), betas[0], betas[-1]) == (51, 0.0, 1.0)
    assert (betas.diff() > 0).all()
    # the reverse run takes the same path
    torch.testing.assert_close(betas + betas.flip(0), torch.ones_like(betas))


@pytest.mark.parametrize("dims", [1, 2, 16])
def test_log_z_of_a_gaussian_is_found_within_its_error(dims):
    target, constant = gaussian(dims)
    run = anneal(
        standard_normal,
        lambda x: target.log_prob(x) + constant,
        normals(120, dims),
        scouts=20,
        levels=150,
    )
    found = log_mean_exp(run.log_weights)
    assert found.stderr < 0.1
    assert (found.value - constant).abs() < 4 * found.stderr + 0.01
    assert found.ess > 50


def test_the_weights_are_unbiased_at_few_levels_and_their_logarithm_is_not():
    """E[w] = Z for any number of levels.

    E[log w] <= log Z is Jensen's gap, which more levels close.
    """
    target, constant = gaussian(2)
    gaps = []
    for levels in (3, 30):
        run = anneal(
            standard_normal,
            lambda x: target.log_prob(x) + constant,
            normals(6040, 2),
            scouts=40,
            levels=levels,
            leapfrogs=3,
        )
        found = log_mean_exp(run.log_weights)
        assert (found.value - constant).abs() < 4 * found.stderr
        gaps.append(constant - run.log_weights.mean().item())
    assert gaps[0] > 2 * gaps[1] > 0


def test_forward_lies_below_and_reverse_above_in_expectation():
    target, constant = gaussian(16)
    draws = target.sample((2000,))
    found = bracket(
        standard_normal,
        lambda x: target.log_prob(x) + constant,
        normals(2000, 16),
        draws,
        problems=500,
        scouts=2,
        levels=10,
        leapfrogs=3,
    )
    error = found.gap.std() / 500**0.5
    assert found.lower.mean() + 2 * error < constant < found.upper.mean() - 2 * error


def test_last_places_are_samples_of_the_target():
    target, _ = gaussian(2)
    run = anneal(
        standard_normal, target.log_prob, normals(2040, 2), scouts=40, levels=60, leapfrogs=5
    )
    torch.testing.assert_close(run.x.mean(0), target.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(run.x.T.cov(), target.covariance_matrix, atol=0.1, rtol=0)


def test_a_walk_finds_its_target_from_elsewhere():
    target, constant = gaussian(2)
    x = walk(lambda x: target.log_prob(x) + constant, 5 + normals(2000, 2), 60, leapfrogs=5)
    torch.testing.assert_close(x.mean(0), target.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(x.T.cov(), target.covariance_matrix, atol=0.1, rtol=0)


@pytest.mark.parametrize("wanted", [0.65, 0.8])
def test_steps_adapt_to_the_acceptance_that_is_wanted(wanted):
    """From a start ten times too small, on a target that is narrower than the base."""

    def target(x):
        return standard_normal(x / 0.1) - 8 * math.log(0.1)

    run = anneal(
        standard_normal,
        target,
        normals(120, 8),
        scouts=20,
        levels=400,
        step=0.01,
        acceptance=wanted,
    )
    assert run.acceptance[200:].mean().item() == pytest.approx(wanted, abs=0.07)
    assert run.step[-1] > 5 * run.step[0]


def test_weighed_chains_have_no_say_in_their_own_step():
    """The step comes from the scouts alone.

    With weighed chains that refuse every move it stays the same.
    """

    def refusing(x):
        return standard_normal(x) + torch.cat([torch.zeros(8), torch.full((8,), -math.inf)]).to(
            x
        ) * (x[:, 0] != 0)

    steps = []
    for target in (standard_normal, refusing):
        torch.manual_seed(0)
        start = normals(16, 2)
        start[8:] = 0
        steps.append(anneal(standard_normal, target, start, scouts=8, levels=20, leapfrogs=3).step)
    torch.testing.assert_close(*steps)


def test_problems_are_kept_apart_and_have_steps_of_their_own():
    """Three targets of different scale in one run: row r belongs to problem r % 3."""
    scale = torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64)

    def target(x):
        each = scale.repeat(len(x) // 3)
        return standard_normal(x / each[:, None]) + torch.arange(3.0).double().repeat(len(x) // 3)

    run = anneal(standard_normal, target, normals(3 * 60, 2), problems=3, scouts=10, levels=250)
    found = log_mean_exp(run.log_weights)
    assert run.log_weights[:, 0].abs().max() < 1e-9  # its target is the base
    truth = torch.arange(3.0).double() + 2 * scale.log()
    assert ((found.value - truth).abs() < 4 * found.stderr + 0.02).all()
    assert run.log_weights.shape == (50, 3) and run.x.shape == (180, 2)


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2), (2, 3)], ids=str)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_any_event_shape_under_any_mode_of_gradients(shape, mode):
    with mode():
        start = torch.randn(12, *shape)
        kept = start.clone()
        run = anneal(
            standard_normal, lambda x: standard_normal(x - 1) + 0.5, start, scouts=4, levels=60
        )
    assert run.x.shape == (12, *shape) and not run.log_weights.requires_grad
    assert torch.equal(start, kept)
    assert log_mean_exp(run.log_weights).value.item() == pytest.approx(0.5, abs=0.4)


def test_a_bounded_target_gives_zero_weights_and_no_nan():
    """Half of a Gaussian.

    Chains that start in the forbidden half weigh nothing, and Z is still one half.
    """

    def half(x):
        return standard_normal(x).masked_fill(x[:, 0] < 0, -math.inf)

    run = anneal(standard_normal, half, normals(4040, 1), scouts=40, levels=2, leapfrogs=2)
    found = log_mean_exp(run.log_weights)
    assert not run.log_weights.isnan().any()
    assert (found.value - math.log(0.5)).abs() < 4 * found.stderr


def test_a_trajectory_that_flies_off_is_refused_before_the_model_sees_it():
    """A step far too large for a quartic.

    The model is never asked about places that are infinite or not a number.
    """
    seen = []

    def quartic(x):
        seen.append(x.detach().abs().max().item())
        return -x.square().square().sum(1)

    run = anneal(standard_normal, quartic, normals(12, 2), scouts=4, levels=30, step=100.0)
    assert max(seen) < 1e6 and not any(map(math.isnan, seen))
    assert run.x.isfinite().all() and run.acceptance[0] < 0.2


def test_progress_tells_the_level_and_the_error():
    told = []
    anneal(
        standard_normal,
        standard_normal,
        normals(6, 2),
        scouts=2,
        levels=200,
        leapfrogs=1,
        progress=lambda *now: told.append(now),
    )
    assert [t for t, _, _ in told] == list(range(2, 201, 2))
    assert told[-1] == (200, 200, "log-weight 0.00 ± 0.00 nats")


# ------------------------------------------------------------------------------------- log-mean-exp


def test_log_mean_exp_states_its_error_and_effective_number():
    equal = log_mean_exp(torch.full((10, 1), 3.0).double())
    assert (equal.value.item(), equal.stderr.item()) == (
        pytest.approx(3),
        pytest.approx(0, abs=1e-6),
    )
    assert equal.ess.item() == pytest.approx(10)
    one = log_mean_exp(torch.tensor([[0.0], [-math.inf], [-math.inf], [-math.inf]]).double())
    assert (one.value.item(), one.stderr.item(), one.ess.item()) == (
        pytest.approx(-math.log(4)),
        1,
        1,
    )
    none = log_mean_exp(torch.full((4, 1), -math.inf).double())
    assert (none.value.item(), none.ess.item()) == (-math.inf, 0)


def test_the_error_of_log_mean_exp_is_its_spread():
    repeats = log_mean_exp(0.5 * normals(400, 2000))
    assert repeats.stderr.mean().item() == pytest.approx(repeats.value.std().item(), rel=0.1)
