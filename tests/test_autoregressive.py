"""Mathematics of the autoregressive family.

Densities that integrate to one, triangular Jacobians, cached sampling.
"""

import itertools
import math

import pytest
import torch
from torch.distributions import Normal

from genzoo import Autoregressive, grid
from genzoo.distributions import LevelCategorical
from genzoo.families.autoregressive import reading_orders

TINY = {"width": 8, "depth": 2, "kernel": 3, "components": 2}


def rough(*args, strength: float = 0.3, **kwargs) -> Autoregressive:
    """In float64, with random parameters that leave nothing near where it was initialised."""
    model = Autoregressive(*args, **TINY | kwargs).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(strength * torch.randn_like(parameter))
    return model


def all_events(shape: tuple[int, ...], levels: int) -> torch.Tensor:
    """Every event of a small discrete world, ``(levels ** D, *shape)``."""
    rows = torch.tensor(list(itertools.product(range(levels), repeat=math.prod(shape))))
    return grid.to_grid(rows, levels).double().view(-1, *shape)


# ---------------------------------------------------------------------------------------- densities


@pytest.mark.parametrize("orders", [1, 2])
@pytest.mark.parametrize("condition", [0, 3])
def test_density_on_the_plane_integrates_to_one(orders, condition):
    model = rough((2,), condition=condition, orders=orders)
    with torch.no_grad():
        t = torch.linspace(-4.4, 4.4, 401, dtype=torch.float64)  # x = sinh t: dense in the middle
        x, cell = torch.cartesian_prod(t.sinh(), t.sinh()), (t[1] - t[0]) ** 2
        cells = cell * torch.cartesian_prod(t.cosh(), t.cosh()).prod(1)
        for label in range(condition or 1):
            c = torch.full((len(x),), label) if condition else None
            density = torch.cat([model.log_prob(*part).exp() for part in chunks(x, c)])
            mass = (density * cells).sum()
            assert mass.item() == pytest.approx(1, abs=2e-3)  # the grid's own error


def chunks(x, c, size=100_000):
    return [
        (x[i : i + size], None if c is None else c[i : i + size]) for i in range(0, len(x), size)
    ]


@pytest.mark.equation("chain-rule")
@pytest.mark.parametrize(
    ("shape", "levels", "orders"),
    [
        ((1, 2, 2), 3, 1),
        ((1, 2, 2), 3, 8),
        ((3, 1, 2), 2, 1),
        ((3, 1, 2), 2, 4),
        ((2, 2, 1), 3, 2),
        ((5,), 3, 2),
        ((2, 2), 4, 1),
    ],
)
@pytest.mark.parametrize("condition", [0, 2])
def test_probabilities_of_all_events_sum_to_one(shape, levels, orders, condition):
    model = rough(shape, condition=condition, levels=levels, orders=orders)
    x = all_events(shape, levels)
    volume = model.dims * math.log(grid.bin_width(levels))
    for label in range(condition or 1):
        c = torch.full((len(x),), label) if condition else None
        total = torch.logsumexp(model.log_prob(x, c) + volume, 0)
        assert total.item() == pytest.approx(0, abs=1e-6)


def test_words_without_an_order_have_probabilities_too_and_are_drawn_by_them():
    model = rough((3,), levels=4, ordered=False)
    x = all_events((3,), 4)
    pmf = (model.log_prob(x) + 3 * math.log(grid.bin_width(4))).exp().detach()
    assert pmf.sum().item() == pytest.approx(1)
    levels = grid.to_level(model.sample(20_000), 4) @ torch.tensor([16, 4, 1])
    seen = torch.bincount(levels, minlength=64) / 20_000
    assert ((seen - pmf).abs() < 5 * (pmf * (1 - pmf) / 20_000).sqrt() + 1e-4).all()


@pytest.mark.equation("mixture-of-orders")
def test_the_mixture_of_orders_averages_joint_densities():
    model = rough((1, 3, 3), levels=5, orders=8)
    x = grid.quantise(torch.rand(4, 1, 3, 3).double() * 2 - 1, 5)
    each = [model.log_prob_in_order(x, None, torch.full((4,), r)).exp() for r in range(8)]
    torch.testing.assert_close(model.log_prob(x).exp(), torch.stack(each).mean(0))
    assert torch.stack(each).std(0).min() > 0  # the orders do disagree


# ---------------------------------------------------------------------------------------- causality


@pytest.mark.equation("mask")
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 4), (2, 5, 3), (6,), (2, 3)])
def test_each_conditional_sees_only_what_is_read_before_it(shape):
    """The Jacobian of the conditionals' parameters in the features is triangular.

    It is so strictly, lower, and not trivially.
    """
    model = rough(shape, condition=2)
    c, r = torch.tensor([1]), torch.tensor([0])

    def parameters(features):
        mixture = model.conditionals(features[None], c, r)
        return torch.cat([mixture.logits, mixture.loc, mixture.log_scale, mixture.log_width], -1)[0]

    features = torch.randn(model.dims, dtype=torch.float64)
    sees = torch.autograd.functional.jacobian(parameters, features).abs().sum(1) > 0
    assert not sees.triu().any()
    # the neighbour before it is seen (but where a row begins)
    assert sees.diagonal(-1).float().mean() >= 0.5
    if len(shape) < 3:
        assert torch.equal(sees, torch.ones_like(sees).tril(-1))


def test_a_pixel_sees_the_colours_before_its_own_and_all_of_its_neighbours():
    model = rough((3, 4, 4))
    features = torch.randn(1, model.dims, dtype=torch.float64, requires_grad=True)
    for colour in range(3):
        i = (2 * 4 + 2) * 3 + colour  # pixel (2, 2)
        loc = model.conditionals(features, None, torch.zeros(1, dtype=torch.long)).loc
        (gradient,) = torch.autograd.grad(loc[0, i].sum(), features)
        sees = gradient[0].view(4, 4, 3).abs() > 0
        assert sees[2, 2].tolist() == [k < colour for k in range(3)]
        assert sees[1, 1:].all()
        assert sees[2, 1].all()


@pytest.mark.parametrize(
    ("shape", "most"), [((1, 3, 3), 8), ((3, 2, 2), 8), ((2, 3, 4), 4), ((5,), 2), ((2, 3), 2)]
)
def test_reading_orders_are_different_permutations(shape, most):
    orders = reading_orders(shape, most)
    assert torch.equal(orders.sort(1).values, torch.arange(math.prod(shape)).expand(most, -1))
    assert len(orders.unique(dim=0)) == most
    if len(shape) == 3:  # the channels of a pixel are read one after the other
        pixels = orders.view(most, -1, shape[0]) % (shape[1] * shape[2])
        assert (pixels == pixels[:, :, :1]).all()
    with pytest.raises(ValueError, match=f"1 to {most}"):
        reading_orders(shape, most + 1)


# ----------------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize("shape", [(2,), (7,), (70,), (2, 3), (1, 4, 4), (1, 5, 3), (3, 4, 3)])
def test_cached_sampling_equals_the_naive_loop(shape, levels):
    model = rough(shape, condition=3, levels=levels, orders=2, strength=0.1)
    draws = []
    for cached in (True, False):
        torch.manual_seed(1)
        draws.append(model.sample(3, torch.tensor([0, 2, -1]), cached=cached))
    torch.testing.assert_close(*draws)


def test_layers_without_gates_are_as_causal_and_cached_alike():
    model = rough((1, 4, 4), levels=3, gated=False)
    draws = []
    for cached in (True, False):
        torch.manual_seed(0)
        draws.append(model.sample(3, cached=cached))
    torch.testing.assert_close(*draws)
    x = draws[0]
    later = x.clone()
    later[:, :, 3] = grid.to_grid(torch.tensor(1), 3)
    r = torch.zeros(3, dtype=torch.long)
    first_rows = []
    for each in (x, later):
        conditionals = model.conditionals(each.flatten(1), None, r)
        first_rows.append(conditionals.log_prob(x.flatten(1))[:, :12])
    torch.testing.assert_close(*first_rows)


def test_samples_follow_the_stated_probabilities():
    model = rough((1, 1, 2), levels=3, orders=2)
    with torch.no_grad():
        model.network.head.bias.view(3, -1)[2].add_(2)
    n, x = 20_000, all_events((1, 1, 2), 3)
    levels = grid.to_level(model.sample(n), 3).flatten(1)
    seen = torch.bincount(levels[:, 0] * 3 + levels[:, 1], minlength=9) / n
    expected = (model.log_prob(x) + 2 * math.log(2 / 3)).exp().detach()
    error = (expected * (1 - expected) / n).sqrt()
    assert ((seen - expected).abs() < 5 * error + 1e-4).all()


# ----------------------------------------------------------------------------------------- guidance


def test_guided_levels_follow_the_tilted_product_of_both_conditionals():
    model, n = rough((1,), condition=2, levels=4), 20_000
    given, free = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.3, 0.2, 0.1])
    drawn = model.guided(
        *(LevelCategorical(p.log().double().expand(n, -1)) for p in (given, free)), guidance=2.0
    )
    expected = given**2 / free
    shares = grid.to_level(drawn, 4).bincount(minlength=4) / n
    torch.testing.assert_close(shares, expected / expected.sum(), atol=0.02, rtol=0)


def test_guided_real_values_follow_it_nearly():
    """N(1, 1)^2 / N(0, 1) is N(2, 1); the best of a few draws of N(1, 1) come near."""
    model, ones = rough((1,), condition=2), torch.ones(5000, dtype=torch.float64)
    drawn = model.guided(Normal(ones, ones), Normal(0 * ones, ones), guidance=2.0)
    assert drawn.mean() == pytest.approx(2.0, abs=0.1)
    assert drawn.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("levels", [0, 4])
def test_guidance_works_in_every_order_and_zero_ignores_the_condition(levels):
    model = rough((1, 3, 3), condition=2, levels=levels, orders=8)
    asked = torch.zeros(4000, dtype=torch.long)
    free, ignored = (
        model.sample(4000, c, guidance).clamp(-3, 3) for c, guidance in ((None, 1.0), (asked, 0.0))
    )
    assert ((ignored.mean(0) - free.mean(0)).abs() < 5 * free.std(0) * (2 / 4000) ** 0.5).all()
    torch.manual_seed(1)
    pushed = model.sample(50, asked[:50], guidance=2.0)
    torch.manual_seed(1)
    torch.testing.assert_close(model.sample(50, asked[:50], guidance=2.0, cached=False), pushed)


def test_a_model_that_was_asked_in_inference_mode_still_learns():
    """Nothing made there may be kept: autograd refuses such tensors."""
    model, x = Autoregressive((2,), width=8, depth=1, components=7), torch.randn(4, 2)
    with torch.inference_mode():
        model.log_prob(x)
    model.loss(x).mean().backward()
    assert model.network.head.weight.grad is not None
