"""Mathematics of the flow.

Mass one, autograd's log-determinants, an inverse that inverts, a bound that is one.
"""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import genzoo
from genzoo import Flow, Likelihood, grid
from genzoo.families.flow import TAIL, squeezes
from genzoo.families.lattice import HistogramCoupling, bins_for, piecewise_linear_cdf
from genzoo.families.pyramid import Guided, digits
from genzoo.nets import event_network

TINY = {"width": 8, "couplings": 2, "bins": 4}


def rough(*args, strength: float = 0.2, **kwargs) -> Flow:
    """In float64, with random parameters.

    ActNorm is initialised as by a first batch of training.
    """
    model = Flow(*args, **TINY | kwargs).double()
    with torch.no_grad():
        x = (0.5 * torch.randn(16, *model.event_shape).double()).clamp(-1, 1)
        model.train().log_prob(grid.quantise(x, model.levels))
        for parameter in model.parameters():
            parameter.add_(strength * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("condition", [0, 3])
def test_density_on_the_plane_integrates_to_one(condition):
    model = rough((2,), condition=condition)
    side = torch.linspace(-9, 9, 361, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    masses = []
    for label in range(-1, condition):
        c = torch.full((len(x),), label) if condition else None
        with torch.no_grad():
            density = model.log_prob(x, c).exp()
        assert (density.sum() * (side[1] - side[0]) ** 2).item() == pytest.approx(1, abs=5e-3)
        masses.append(density)
    assert condition == 0 or not torch.allclose(masses[1], masses[2])


def test_dequantised_density_has_all_its_mass_in_the_box():
    model = rough((2,), levels=4)
    cell = 2 / 500
    side = torch.linspace(-1 + cell / 2, 1 - cell / 2, 500, dtype=torch.float64)
    with torch.no_grad():
        mass = model.log_density(torch.cartesian_prod(side, side)).exp().sum() * cell**2
    assert mass.item() == pytest.approx(1, abs=1e-2)


@pytest.mark.equation("change-of-variables")
@pytest.mark.parametrize(("levels", "lattice"), [(0, False), (5, False), (5, True)])
@pytest.mark.parametrize("shape", [(2,), (5,), (2, 3), (1, 4, 4), (2, 2, 4), (1, 3, 5)])
def test_log_determinant_equals_that_of_autograd(shape, levels, lattice):
    model = rough(shape, levels=levels, condition=2, lattice=lattice)
    event = 0.6 * torch.randn(shape, dtype=torch.float64)
    event = event.clamp(-0.99, 0.99) if levels else event
    c = torch.tensor([1])
    jacobian = torch.autograd.functional.jacobian(lambda x: model.encode(x[None], c)[0], event)
    expected = torch.linalg.slogdet(jacobian.view(model.dims, model.dims)).logabsdet
    z, log_determinant = model.transform(event[None], model.embed(c, 1))
    torch.testing.assert_close(log_determinant[0], expected)
    normal = -0.5 * (z.square().sum() + model.dims * math.log(2 * math.pi))
    torch.testing.assert_close(model.log_density(event[None], c)[0], normal + expected)


@pytest.fixture(scope="module")
def flows():
    torch.manual_seed(0)
    return {shape: rough(shape) for shape in [(3,), (1, 4, 4), (1, 3, 3), (2, 2)]}


@given(st.data())
def test_decode_inverts_encode_inside_and_outside_the_splines(flows, data):
    shape, model = data.draw(st.sampled_from(list(flows.items())))
    values = st.floats(-4 * TAIL, 4 * TAIL, allow_nan=False, width=32)
    x = torch.as_tensor(data.draw(arrays.arrays("float64", (2, *shape), elements=values)))
    with torch.no_grad():
        torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=1e-6, atol=1e-6)
        z = x.flatten(1)
        torch.testing.assert_close(model.encode(model.decode(z)), z, rtol=1e-6, atol=1e-6)


def test_decode_inverts_encode_inside_the_box_of_discrete_data():
    model = rough((1, 4, 4), levels=17)
    x = grid.quantise(torch.rand(8, 1, 4, 4, dtype=torch.float64) * 2 - 1, 17)
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=1e-6, atol=1e-6)


def test_far_latents_still_decode_to_finite_events():
    for shape, levels in [((2,), 0), ((1, 4, 4), 17), ((5,), 3)]:
        x = rough(shape, levels=levels).float().decode(40 * torch.randn(64, math.prod(shape)))
        assert x.isfinite().all()
        assert levels == 0 or x.abs().max() <= 1


# ------------------------------------------------------------------------------------ discrete data


@pytest.mark.equation("dequantisation")
def test_importance_weights_tighten_the_bound_to_the_truth_and_no_further():
    """A world of nine events.

    P of each is the density's integral over its cell, which quadrature gives.
    """
    model, levels, fine = rough((2,), levels=3), 3, 60
    side = torch.linspace(
        -1 + 1 / fine / levels, 1 - 1 / fine / levels, fine * levels, dtype=torch.float64
    )
    with torch.no_grad():
        density = (
            model.log_density(torch.cartesian_prod(side, side))
            .exp()
            .view(levels, fine, levels, fine)
        )
        truth = density.mean((1, 3)).log().flatten()  # log of the mean density of each cell
        cells = torch.tensor(list(itertools.product(range(levels), repeat=2)))
        x = grid.to_grid(cells, levels).double()
        bounds = {k: model.bound(x.repeat(8192 // k, 1), k=k).view(-1, 9) for k in (1, 8, 64, 256)}
    means = {k: draws.mean(0) for k, draws in bounds.items()}
    error = {k: draws.std(0) / math.sqrt(len(draws)) for k, draws in bounds.items()}
    for less, more in itertools.pairwise(means):
        assert (means[more] > means[less] - 4 * (error[less] + error[more])).all()
        assert means[more].mean() > means[less].mean()
        assert (means[more] < truth + 4 * error[more] + 0.01).all()
    torch.testing.assert_close(means[256], truth, atol=0.05, rtol=0)
    volume = (2 / levels) ** 2
    assert truth.exp().sum().item() * volume == pytest.approx(1, abs=0.02)
    assert means[256].exp().sum().item() * volume < 1.03
    assert means[1].exp().sum().item() * volume < means[256].exp().sum().item() * volume


def test_an_exact_density_ignores_k_and_a_bound_says_that_it_is_one():
    exact, discrete = rough((3,)), rough((3,), levels=4)
    x = torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(exact.bound(x, k=7), exact.log_prob(x))
    assert (exact.likelihood, discrete.likelihood) == (Likelihood.EXACT, Likelihood.BOUND)


# ----------------------------------------------------------------------------------------- guidance


@pytest.mark.parametrize("w", [0.0, 0.5, 2.0])
def test_guided_samples_follow_the_tilted_product_nearly(w):
    """N(m, I)^w N(0, I)^(1 - w) is N(w m, I)."""
    model, c, mean = (
        Flow((2,), condition=2, width=8, couplings=1),
        torch.zeros(4000, dtype=torch.long),
        0.5,
    )
    model.draw = lambda n, c: torch.randn(n, 2) + mean * (c is not None)
    model.log_density = lambda x, c: -0.5 * (x - mean * (c is not None)).square().sum(1)
    drawn = model.sample(len(c), c, guidance=w)
    assert ((drawn.mean(0) - w * mean).abs() < 0.12).all()
    assert ((drawn.std(0) - 1).abs() < 0.12).all()


@pytest.mark.parametrize("levels", [0, 5])
def test_guided_images_are_events(levels):
    model = Flow((1, 4, 4), condition=2, levels=levels, width=8, couplings=1).eval()
    drawn = model.sample(3, torch.tensor([0, 1, -1]), guidance=2.0)
    assert drawn.shape == (3, 1, 4, 4) and drawn.isfinite().all()
    assert not levels or torch.equal(drawn, grid.quantise(drawn, levels))


# --------------------------------------------------------------------------------------- the pieces


@pytest.mark.parametrize(
    ("shape", "count"),
    [((2,), 0), ((1, 8, 8), 2), ((3, 28, 28), 2), ((1, 6, 6), 1), ((1, 5, 8), 0), ((1, 16, 2), 1)],
)
def test_images_are_squeezed_while_both_sides_are_even(shape, count):
    assert squeezes(shape) == count


def test_one_feature_is_refused():
    with pytest.raises(ValueError, match="at least two features"):
        Flow((1,))


def test_a_flow_can_expand_as_well_as_contract():
    """The trap of a coupling whose scale is at most one.

    It could not reach data that is wider than the latent.
    """
    for scale in (0.1, 3.0):
        x = scale * torch.randn(512, 2)
        model = Flow((2,), **TINY | {"couplings": 4})
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(60):
            optimiser.zero_grad()
            model.loss(x).mean().backward()
            optimiser.step()
        entropy = math.log(2 * math.pi * math.e) + 2 * math.log(scale)
        assert model.eval().loss(x).mean().item() < entropy + 0.2


@pytest.mark.slow
def test_a_flow_fits_the_two_moons():
    data = genzoo.data.load("moons")
    model = Flow((2,), lr=1e-2, couplings=3, width=16)
    fitted = genzoo.fit(model, data, steps=200, batch_size=128, accelerator="cpu")
    assert fitted.validation is not None
    with torch.no_grad():
        assert data.report(model.log_prob(data.test.x)).mean().item() < 1.3


# ----------------------------------------------------------------------------------------- lattices


def small(shape: tuple[int, ...], outputs: int) -> torch.nn.Module:
    return event_network(shape, 8, 8, outputs=outputs)


@pytest.mark.parametrize(
    "shape", [(2,), (7,), (1, 4, 4), (2, 6, 3), (3, 2, 8), (1, 3, 3), (1, 1, 2)]
)
def test_a_lattice_inverts_in_the_box_and_its_two_determinants_cancel(shape):
    flow = HistogramCoupling(shape, 5, small).double()
    x, e = torch.rand(6, *shape, dtype=torch.float64), torch.randn(6, 8, dtype=torch.float64)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        y, gained = flow(x, e)
        back, lost = flow.inverse(y, e)
    assert y.shape == x.shape and (y >= 0).all() and (y <= 1 + 1e-9).all()
    torch.testing.assert_close(back, x, rtol=0, atol=1e-7)
    torch.testing.assert_close(gained, -lost)


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)])
def test_a_lattice_alone_makes_the_bound_tight(shape):
    """With a uniform law behind it, its density is the same all over a bin.

    The masses of all events sum to one.
    """
    flow, levels = HistogramCoupling(shape, 3, small).double(), 3
    for parameter in flow.parameters():
        parameter.data.add_(0.5 * torch.randn_like(parameter))
    dims = math.prod(shape)
    events = grid.to_grid(
        torch.tensor(list(itertools.product(range(levels), repeat=dims))), levels
    ).view(-1, *shape)
    with torch.no_grad():
        for_noises = [
            flow(
                (grid.dequantise(events.double(), levels) + 1) / 2,
                torch.zeros(len(events), 8).double(),
            )[1]
            for _ in range(2)
        ]
    torch.testing.assert_close(*for_noises)
    assert (for_noises[0].exp() / levels**dims).sum().item() == pytest.approx(1, abs=1e-6)


def test_a_staircase_is_the_distribution_function_of_its_histogram():
    logits = torch.tensor([0.0, 2.0, -1.0, 1.0], dtype=torch.float64)
    edges = torch.linspace(0, 1, 5, dtype=torch.float64)
    y, _ = piecewise_linear_cdf(edges, logits.expand(5, -1))
    torch.testing.assert_close(y.diff(), logits.softmax(0), rtol=1e-4, atol=1e-5)
    x = torch.rand(100, dtype=torch.float64).requires_grad_(True)
    y, log_slope = piecewise_linear_cdf(x, logits.expand(100, -1))
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope.log(), log_slope)


def test_bins_lie_on_the_edges_of_levels():
    assert [bins_for(levels) for levels in (2, 17, 256, 258)] == [2, 17, 256, 129]
    assert [bins_for(levels, most=32) for levels in (2, 17, 32, 256, 34)] == [2, 17, 32, 32, 17]
    with pytest.raises(ValueError, match="discrete data"):
        Flow((4,), lattice=True)


# ----------------------------------------------------------------------------------------- pyramids


@pytest.mark.parametrize(
    ("shape", "levels", "pyramid"),
    [((1, 4, 4), 6, 2), ((2, 2, 4), 4, 1), ((1, 6, 2), 3, 1), ((1, 2, 2), 2, 1)],
)
def test_a_pyramid_inverts_and_its_determinants_are_those_of_autograd(shape, levels, pyramid):
    model = rough(shape, levels=levels, condition=2, pyramid=pyramid)
    x = grid.quantise(torch.rand(3, *shape, dtype=torch.float64) * 2 - 1, levels)
    c = torch.tensor([0, 1, -1])
    e = model.embed(c, 3)
    z, gained = model.transform(x, e)
    back, lost = model.transform.inverse(z, e)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(gained, -lost)
    torch.testing.assert_close(model.decode(model.encode(x, c), c), x, rtol=0, atol=1e-9)

    first = model.embed(c[:1], 1)
    jacobian = torch.autograd.functional.jacobian(
        lambda event: model.transform(event[None], first)[0][0], x[0]
    )
    expected = torch.linalg.slogdet(jacobian.view(model.dims, model.dims)).logabsdet
    torch.testing.assert_close(gained[0], expected)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(model.log_prob(x, c), normal + gained)


@pytest.mark.parametrize(("levels", "parts"), [(4, (2, 2)), (3, (3, 1)), (256, (2, 128))])
def test_levels_are_halves_and_their_shades(levels, parts):
    assert digits(levels) == parts


@pytest.mark.parametrize("levels", [3, 4])
def test_the_masses_of_a_pyramid_sum_to_one_so_it_is_exact(levels):
    model = rough((1, 2, 2), levels=levels, pyramid=1)
    cells = torch.tensor(list(itertools.product(range(levels), repeat=4)))
    x = grid.to_grid(cells, levels).double().view(-1, 1, 2, 2)
    with torch.no_grad():
        densities = [model.log_prob(x).exp() for _ in range(2)]
    torch.testing.assert_close(*densities)
    assert (densities[0].sum() * (2 / levels) ** 4).item() == pytest.approx(1, abs=1e-9)
    assert model.likelihood == Likelihood.EXACT


def test_samples_of_a_pyramid_follow_its_density():
    model = rough((1, 2, 2), levels=2, pyramid=1, strength=0.5).float()
    drawn = model.sample(4000).flatten(1) > 0
    cells = torch.tensor(list(itertools.product(range(2), repeat=4)))
    x = grid.to_grid(cells, 2).view(-1, 1, 2, 2)
    masses = model.log_prob(x).exp()
    shares = torch.stack([(drawn == cell.bool()).all(1).float().mean() for cell in cells])
    assert ((shares - masses).abs() < 4 * (masses / 4000).sqrt() + 1e-3).all()


def test_a_guidance_of_one_is_none_and_of_nought_forgets_the_condition():
    model = rough((1, 4, 4), levels=4, condition=3, pyramid=1)
    z, c = torch.randn(5, 16, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    given, free = model.embed(c, 5), model.embed(None, 5)
    for weight, expected in ((1.0, given), (0.0, free)):
        guided, _ = model.transform.inverse(z, Guided(given, free, weight))
        plain, _ = model.transform.inverse(z, expected)
        torch.testing.assert_close(guided, plain)
    drawn = model.sample(5, c, guidance=2.0)
    assert torch.equal(drawn, grid.quantise(drawn, 4))


@pytest.mark.parametrize(
    ("shape", "levels", "pyramid"), [((4,), 4, 1), ((1, 4, 4), 0, 1), ((1, 6, 6), 4, 2)]
)
def test_a_pyramid_is_for_discrete_images_that_can_be_halved(shape, levels, pyramid):
    with pytest.raises(ValueError, match="pyramid counts"):
        Flow(shape, levels=levels, pyramid=pyramid)
