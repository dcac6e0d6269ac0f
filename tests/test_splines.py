"""Splines against nflows', whose functions they are, in float64."""

import pytest
import torch
from nflows.transforms import PiecewiseRationalQuadraticCDF
from nflows.transforms.splines import unconstrained_rational_quadratic_spline
from torch.testing import assert_close

from genzoo.families.splines import Least, between_tails, of_features

BOUND = 5.0
EXACT = {"rtol": 1e-6, "atol": 1e-6}


def with_gradients(y, log_slope, *inputs):
    """Values, and the gradients of a function of both of them."""
    gradients = torch.autograd.grad(y.sin().sum() + log_slope.square().sum(), inputs)
    return (y.detach(), log_slope.detach(), *gradients)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("places", [(), (2, 3)])
@pytest.mark.parametrize("bins", [1, 2, 24])
def test_between_tails_equals_nflows_in_values_and_gradients(bins, places, inverse):
    x = torch.empty(40, 3, *places, dtype=torch.float64).uniform_(-6, 6)
    x.view(-1)[:2] = torch.tensor([-BOUND, BOUND])  # the very ends belong to the spline
    raw = 2 * torch.randn(40, 3, 3 * bins - 1, *places, dtype=torch.float64)
    x.requires_grad_()
    raw.requires_grad_()
    ours = between_tails(x, raw, BOUND, Least(slope=1e-2), inverse)
    theirs = unconstrained_rational_quadratic_spline(
        x,
        *raw.movedim(2, -1).split([bins, bins, bins - 1], -1),
        inverse=inverse,
        tails="linear",
        tail_bound=BOUND,
        min_derivative=1e-2,
    )
    for our, their in zip(
        with_gradients(*ours, x, raw), with_gradients(*theirs, x, raw), strict=True
    ):
        assert_close(our, their, **EXACT)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_of_features_equals_nflows_in_values_and_gradients(shape, inverse):
    theirs = PiecewiseRationalQuadraticCDF(list(shape), num_bins=5).double()
    parameters = (
        theirs.unnormalized_widths,
        theirs.unnormalized_heights,
        theirs.unnormalized_derivatives,
    )
    x = torch.rand(40, *shape, dtype=torch.float64, requires_grad=True)
    y, log_slope = of_features(x, *parameters, Least(), inverse)
    expected = with_gradients(*(theirs.inverse(x) if inverse else theirs(x)), x, *parameters)
    found = with_gradients(y, log_slope.flatten(1).sum(1), x, *parameters)
    for our, their in zip(found, expected, strict=True):
        assert_close(our, their, **EXACT)


def test_what_is_not_a_number_comes_out_as_that():
    x = torch.tensor([[torch.nan, 0.0]])
    y, _ = between_tails(x, torch.zeros(1, 2, 11), BOUND, Least())
    assert y.isnan().tolist() == [[True, False]]
