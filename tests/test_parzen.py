"""The Parzen-window estimate: a correct one, and why even that is no likelihood."""

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.neighbors import KernelDensity
from torch.distributions import Normal

from genzoo.data import load
from genzoo.data.synthetic import gaussians
from genzoo.evaluation import parzen_log_density
from genzoo.evaluation.likelihood.parzen import SIGMAS, under_windows


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_windows_equal_scikit_learn_s(sigma):
    """Over more events than go into a block, some of them samples themselves.

    These are at distance zero.
    """
    samples, x = torch.randn(300, 1, 3, 4), torch.randn(700, 1, 3, 4)
    x[:20] = samples[:20]
    # in one leaf: where its tree has several, scikit-learn 1.9 prunes the sum and is nats away from
    # the formula
    windows = KernelDensity(bandwidth=sigma, leaf_size=len(samples)).fit(samples.flatten(1).numpy())
    theirs = windows.score_samples(x.flatten(1).numpy())
    torch.testing.assert_close(
        under_windows(samples, x, [sigma])[0], torch.from_numpy(theirs), atol=1e-4, rtol=1e-6
    )


def test_the_width_is_the_likeliest_for_validation_data_and_events_take_no_part():
    samples, x, validation = torch.randn(200, 2), torch.randn(10, 2), torch.randn(300, 2)
    found = parzen_log_density(samples, x, validation)
    scores = under_windows(samples, validation, SIGMAS).mean(1)
    assert scores.shape == (31,) and SIGMAS[0] < found.sigma < SIGMAS[-1]
    assert under_windows(samples, validation, [found.sigma]).mean() == scores.max()
    assert parzen_log_density(samples, 5 + x, validation).sigma == found.sigma
    torch.testing.assert_close(found.value, under_windows(samples, x, [found.sigma])[0])


@pytest.mark.parametrize("dims", [1, 2])
def test_in_few_dimensions_it_tends_to_the_truth(dims):
    data = load("gaussians", dims=dims, train=8000, validation=500, test=500)
    truth = data.log_density(data.test.x).double()
    misses = [
        (parzen_log_density(data.train.x[:n], data.test.x, data.validation.x).value - truth)
        .abs()
        .mean()
        for n in (100, 1000, 8000)
    ]
    assert misses[0] > misses[1] > misses[2] and misses[2] < 0.15


# -------------------------------------------------------------------------- and it is no likelihood


def test_in_many_dimensions_it_lies_far_below_the_truth_for_the_truth_s_own_samples():
    data = load("gaussians", dims=64, train=10_000, validation=300, test=500)
    found = parzen_log_density(data.train.x, data.test.x, data.validation.x)
    assert (data.log_density(data.test.x) - found.value).mean() > 10


def test_it_prefers_centroids_to_samples_of_the_truth():
    """As Theis et al. found on MNIST.

    The centroids' own model generates these points and no others: its likelihood is zero.
    """
    data = load("gaussians", dims=16, validation=500, test=1000)
    centroids = (
        KMeans(500, n_init=1, max_iter=20, random_state=0)
        .fit(data.train.x.numpy())
        .cluster_centers_
    )
    samples, _ = gaussians.draw(500, 16, torch.Generator().manual_seed(1))
    memorised, true = (
        parzen_log_density(y, data.test.x, data.validation.x).value
        for y in (torch.from_numpy(centroids), samples)
    )
    assert (memorised - true).mean() > 10 * (memorised - true).std() / 1000**0.5


def test_it_prefers_a_model_that_draws_too_close_together():
    """Shrunk Gaussians, whose windows add the spread that they lack.

    The worse the model, the better its score.

    KL(N(0, 1) || N(0, std²)) grows without bound as std falls; at the end is a model that always
    draws the same point.
    """
    dims, stds = 32, (1.0, 0.8, 0.5, 0.0)
    x, validation, noise = torch.randn(500, dims), torch.randn(200, dims), torch.randn(2000, dims)
    likelihoods = [Normal(0.0, std).log_prob(x).sum(1).mean().item() for std in stds[:-1]]
    scores = [parzen_log_density(std * noise, x, validation).value.mean().item() for std in stds]
    assert (
        likelihoods == sorted(likelihoods, reverse=True) and likelihoods[0] - likelihoods[-1] > 20
    )
    assert scores == sorted(scores) and scores[-1] - scores[0] > 2
