"""The baselines are distributions, and each is the optimum that it claims to be."""

import math

import pytest
import torch

from genzoo import grid
from genzoo.data import load
from genzoo.errors import InputError
from genzoo.families.baselines import Gaussian, IndependentPixels, Rectangle, fitted
from genzoo.model import Likelihood


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def points(n=500, seed=0):
    mix = torch.tensor([[1.0, 0.6], [0.0, 0.5]])
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) @ mix + torch.tensor(
        [3.0, -1.0]
    )


def all_images(levels, features):
    """Every event that `features` features of `levels` levels can make."""
    return grid.to_grid(torch.cartesian_prod(*[torch.arange(levels)] * features), levels)


# ---------------------------------------------------------------------------------------- rectangle


def test_rectangle_is_the_maximum_likelihood_box():
    x = points()
    best = Rectangle().fit(x)
    side = best.high - best.low
    likelihood = best.log_prob(x).sum()
    assert likelihood.isfinite() and torch.allclose(best.log_prob(x), -side.log().sum())
    for i in range(2):
        for grow in (1e-3, 0.1, 2.0):  # a larger box still covers, and is less likely
            larger = side.clone()
            larger[i] += grow
            assert -len(x) * larger.log().sum() < likelihood
        shrunk = Rectangle().fit(x)  # a smaller box misses a point: likelihood zero
        shrunk.low = best.low.clone()
        shrunk.low[i] += 1e-3
        assert shrunk.log_prob(x).sum() == -math.inf


def test_rectangle_is_a_density_and_misses_what_lies_outside():
    model = Rectangle().fit(points())
    assert model.log_prob(model.sample(1000)).isfinite().all()
    assert (model.log_prob(model.high + torch.ones(1, 2)) == -math.inf).all()
    volume = (model.high - model.low).prod()
    assert math.isclose(model.log_prob(model.sample(1)).exp() * volume, 1, rel_tol=1e-5)


def test_discrete_rectangle_is_a_pmf():
    model = Rectangle(levels=4).fit(grid.to_grid(torch.tensor([[0, 1, 1], [2, 1, 3]]), 4))
    x = all_images(4, 3)
    pmf = (model.log_prob(x) + 3 * math.log(grid.bin_width(4))).exp()
    assert math.isclose(pmf.sum(), 1, rel_tol=1e-5)
    assert (pmf > 0).sum() == 3 * 1 * 3  # whole bins: levels 0-2, 1, 1-3
    assert (model.log_prob(model.sample(50)) > -math.inf).all()


# ------------------------------------------------------------------------------- independent pixels


def test_independent_pixels_is_a_pmf():
    x = grid.to_grid(torch.randint(0, 3, (20, 4), generator=torch.Generator().manual_seed(1)), 3)
    model = IndependentPixels(3).fit(x)
    density = model.log_prob(all_images(3, 4).double())
    assert math.isclose((density + 4 * math.log(grid.bin_width(3))).exp().sum(), 1, rel_tol=1e-9)
    assert model.log_prob(torch.full((1, 4), 1.5)) == -math.inf


def test_independent_pixels_is_the_histogram_without_smoothing():
    x = grid.to_grid(torch.tensor([[0], [0], [1], [2]]), 3)
    pmf = IndependentPixels(3, alpha=1e-9).fit(x).log_pmf.exp()
    assert torch.allclose(pmf, torch.tensor([[0.5, 0.25, 0.25]]).double())


def test_independent_pixels_on_digits_split_by_index_repeats_the_known_figure():
    """A histogram per pixel gives 106.3 nats = 2.396 bits/dim on test."""
    digits = load("digits-index")
    model = IndependentPixels(17, alpha=0.1).fit(digits.train.x)
    nats = -(model.log_prob(digits.test.x) + 64 * math.log(grid.bin_width(17))).mean()
    assert math.isclose(nats, 106.3, abs_tol=0.05)
    assert math.isclose(digits.report(model.log_prob(digits.test.x)).mean(), 2.396, abs_tol=1e-3)


def test_smoothing_is_chosen_on_validation(digits):
    chosen = IndependentPixels(17).fit(digits.train.x, digits.validation.x)
    for alpha in (0.01, 1.0):
        other = IndependentPixels(17, alpha).fit(digits.train.x)
        assert (
            other.log_prob(digits.validation.x).mean()
            <= chosen.log_prob(digits.validation.x).mean()
        )


def test_independent_pixels_samples_have_the_data_s_mean(digits):
    model = IndependentPixels(17).fit(digits.train.x)
    torch.manual_seed(0)
    gap = model.sample(4000).mean(0) - digits.train.x.mean(0)
    assert gap.abs().max() < 0.05  # four standard errors of a pixel's mean


# ----------------------------------------------------------------------------------------- gaussian


def test_gaussian_is_the_maximum_likelihood_normal():
    x = points()
    model = Gaussian(shrinkage=0.0).fit(x)
    entropy = model.normal.entropy()  # at the optimum, minus the mean log-likelihood is the entropy
    assert math.isclose(-model.log_prob(x).mean(), entropy, rel_tol=1e-5)
    assert model.likelihood == Likelihood.EXACT


def test_full_shrinkage_makes_features_independent():
    covariance = Gaussian(shrinkage=1.0).fit(points()).normal.covariance_matrix
    assert torch.allclose(covariance, covariance.diagonal().diag())


def test_gaussian_bound_is_the_expectation_over_dequantisation_noise(digits):
    model, x = Gaussian(17).fit(digits.train.x), digits.test.x[:20]
    torch.manual_seed(0)
    draws = torch.stack(
        [model.normal.log_prob(grid.dequantise(x, 17).flatten(1).double()) for _ in range(2000)]
    )
    error = draws.mean(0) - model.log_prob(x)
    assert (error.abs() < 5 * draws.std(0) / 2000**0.5).all()
    assert model.likelihood == Likelihood.BOUND


def test_gaussian_bound_is_below_the_probability_of_the_bin():
    """In one dimension the probability of a bin is a difference of two normal cdfs."""
    x = grid.to_grid(torch.tensor([[0], [1], [1], [2], [3]]), 8)
    model = Gaussian(8, shrinkage=0.0).fit(x)
    half = grid.bin_width(8) / 2
    one_d = torch.distributions.Normal(model.normal.mean, model.normal.stddev)
    pmf = one_d.cdf(x.double() + half) - one_d.cdf(x.double() - half)
    assert (model.log_prob(x) <= (pmf.squeeze(1) / (2 * half)).log() + 1e-6).all()


# ---------------------------------------------------------------------------------------------- all


@pytest.mark.parametrize("name", ["digits", "moons"])
def test_every_baseline_samples_events_it_finds_possible(name):
    dataset = load(name)
    for model in fitted(dataset):
        x = model.sample(7)
        assert x.shape == (7, *dataset.event_shape) and x.dtype == torch.float32
        assert torch.equal(x, grid.quantise(x, dataset.levels))
        assert model.log_prob(x).shape == (7,) and model.log_prob(x).isfinite().all()
        assert torch.equal(model.bound(x, k=3), model.log_prob(x))


def test_no_baseline_beats_the_truth():
    dataset = load("landmass", train=5000, validation=500, test=2000)
    for model in fitted(dataset):
        assert dataset.report(model.log_prob(dataset.test.x)).mean() > dataset.entropy


@pytest.mark.parametrize("model", [Rectangle(), Gaussian()])
def test_a_constant_feature_is_refused(model):
    with pytest.raises(InputError, match="1 of 2 features are constant"):
        model.fit(torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
