"""Likelihoods of single features: masses sum, densities integrate to one, samples follow them."""

import math
from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Uniform

from genzoo import grid
from genzoo.distributions import (
    DiscretisedLogisticMixture,
    LevelCategorical,
    SmoothedBoxMixture,
    feature_mixture,
    parameters_of,
)


def boxes(n: int = 6, components: int = 3) -> SmoothedBoxMixture:
    logits, loc, log_scale, log_width = torch.randn(4, n, components, dtype=torch.float64)
    return SmoothedBoxMixture(logits, loc, log_scale - 2, 2 * log_width - 1)


def test_a_mixture_of_smoothed_boxes_integrates_to_one():
    x = torch.linspace(-200, 200, 2_000_001, dtype=torch.float64)
    for i in range(6):
        d = boxes()
        one = SmoothedBoxMixture(*(p[i] for p in (d.logits, d.loc, d.log_scale, d.log_width)))
        assert math.isclose(torch.trapezoid(one.log_prob(x).exp(), x).item(), 1, abs_tol=1e-6)


def test_its_samples_have_its_mean_and_its_spread():
    """A component's variance is that of a box plus that of a logistic: w²/12 + s² pi²/3."""
    d = boxes()
    x = d.sample((200_000,))
    share = d.logits.softmax(-1)
    variance = d.log_width.exp() ** 2 / 12 + d.log_scale.exp() ** 2 * math.pi**2 / 3
    second = (share * (variance + d.loc**2)).sum(-1) - d.mean**2
    assert ((x.mean(0) - d.mean).abs() < 5 * (second / len(x)).sqrt()).all()
    torch.testing.assert_close(x.var(0), second, rtol=0.03, atol=0)


def test_a_steep_box_is_uniform_and_stays_finite_far_outside():
    zero = torch.zeros(1)
    box = SmoothedBoxMixture(zero, zero, torch.full((1,), -7.0), torch.full((1,), math.log(2.0)))
    inside = torch.linspace(-0.9, 0.9, 9)
    torch.testing.assert_close(box.log_prob(inside), Uniform(-1.0, 1.0).log_prob(inside))
    far = torch.tensor([-30.0, 30.0]).requires_grad_(True)
    value = box.log_prob(far)
    (gradient,) = torch.autograd.grad(value.sum(), far)
    assert value.isfinite().all() and gradient.isfinite().all() and (value < -1000).all()


def test_a_box_as_wide_as_a_bin_is_the_discretised_logistic_at_bin_centres():
    """Of all but the two bins that reach to infinity."""
    levels, (logits, loc, log_scale) = 9, torch.randn(3, 5, 4, dtype=torch.float64)
    k = torch.arange(1, levels - 1)[:, None].expand(-1, 5)
    discrete = DiscretisedLogisticMixture(logits, loc, log_scale, levels)
    box = SmoothedBoxMixture(
        logits, loc, log_scale, torch.full_like(loc, math.log(grid.bin_width(levels)))
    )
    x = grid.to_grid(k, levels).double()
    torch.testing.assert_close(box.log_prob(x), discrete.log_prob(x))


def test_a_categorical_of_levels_is_a_pmf_by_bin_width_and_knows_no_order():
    logits = torch.randn(3, 7, dtype=torch.float64)
    words = LevelCategorical(logits)
    levels = grid.to_grid(torch.arange(7), 7).double()
    log_prob = words.log_prob(levels[:, None].expand(7, 3)).T
    torch.testing.assert_close(log_prob.exp() * grid.bin_width(7), logits.softmax(-1))
    shuffled = torch.randperm(7)
    renamed = LevelCategorical(logits[:, shuffled]).log_prob(levels[:, None].expand(7, 3)).T
    torch.testing.assert_close(renamed, log_prob[:, shuffled])
    drawn = grid.to_level(words.sample((20_000,)), 7)
    share = torch.nn.functional.one_hot(drawn, 7).double().mean(0)
    torch.testing.assert_close(share, logits.softmax(-1), rtol=0, atol=0.02)


def test_the_raw_numbers_of_a_feature_are_counted_right():
    for levels in (0, 5):
        raw = torch.randn(2, 7, parameters_of(3, levels))
        assert feature_mixture(raw, levels).batch_shape == (2, 7)


finite = st.floats(-6, 6, allow_nan=False)
component = st.tuples(finite, st.floats(-3, 3), st.floats(-12, 6))


@pytest.mark.equation("logistic-bins")
@given(st.lists(component, min_size=1, max_size=4), st.integers(2, 256))
def test_the_discretised_mixture_sums_to_one(components, levels):
    logits, loc, log_scale = torch.tensor(components, dtype=torch.float64).T
    mixture = DiscretisedLogisticMixture(logits, loc, log_scale, levels)
    values = (2 * torch.arange(levels).double() + 1) / levels - 1
    log_pmf = mixture.log_prob(values) + math.log(grid.bin_width(levels))
    assert not log_pmf.isnan().any()
    assert torch.logsumexp(log_pmf, 0).item() == pytest.approx(0, abs=1e-5)


@given(
    st.lists(st.tuples(finite, *[st.floats(-30, 30)] * 3), min_size=1, max_size=4),
    st.sampled_from([0, 2, 17, 256]),
    st.booleans(),
)
def test_raw_parameters_of_any_size_give_finite_gradients(raw, levels, tiled):
    raw = torch.tensor(raw).T[: parameters_of(1, levels)].flatten().requires_grad_()
    values = grid.to_grid(torch.arange(levels), levels) if levels else torch.linspace(-1, 1, 5)
    log_prob = feature_mixture(raw.expand(len(values), -1), levels, tiled=tiled).log_prob(values)
    assert log_prob.isfinite().all()
    (gradient,) = torch.autograd.grad(log_prob.sum(), raw)
    assert gradient.isfinite().all()


def test_the_discretised_mixture_samples_what_it_says():
    logits, loc, log_scale = torch.tensor([[0.0, 1.0, -1.0], [-0.9, 0.2, 0.8], [-2.0, -1.0, -4.0]])
    mixture = DiscretisedLogisticMixture(logits, loc, log_scale, 9)
    n = 50_000
    seen = torch.bincount(grid.to_level(mixture.sample((n,)), 9), minlength=9) / n
    expected = (mixture.log_prob(grid.to_grid(torch.arange(9), 9)) + math.log(2 / 9)).exp()
    assert ((seen - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()


def test_a_mixture_starts_as_tiles_close_to_a_standard_normal():
    x = torch.linspace(-2, 2, 41)
    mixture = feature_mixture(torch.zeros(41, parameters_of(64, 0)), levels=0, tiled=True)
    assert (
        mixture.log_prob(x) - torch.distributions.Normal(0.0, 1.0).log_prob(x)
    ).abs().max() < 0.2


def test_a_shift_of_one_moves_each_component_by_the_width_of_its_tile():
    """However many there are.

    What the network says of a component means the same of a narrow one as of a wide one.
    """
    for components in (1, 16, 128):
        shift = torch.zeros(parameters_of(components, 0)).view(4, -1)
        shift[1] = 1
        start, moved = (
            cast(SmoothedBoxMixture, feature_mixture(raw.flatten(), 0, tiled=True))
            for raw in (0 * shift, shift)
        )
        torch.testing.assert_close(moved.loc - start.loc, start.log_width.exp())


def test_levels_without_an_order_are_drawn_by_their_probabilities_and_impossible_ones_never():
    pmf = torch.tensor([[0.0, 0.2, 0.0, 0.5, 0.3, 0.0], [1.0, 0, 0, 0, 0, 0]])
    n = 40_000
    x = LevelCategorical(pmf.log()).sample(torch.Size([n]))
    level = grid.to_level(x, 6)
    shares = torch.stack([(level == k).float().mean(0) for k in range(6)], 1)
    assert ((shares - pmf).abs() <= 5 * (pmf * (1 - pmf) / n).sqrt()).all()
