"""The audit's own checks.

Does what is claimed of all events of a small world add up to no more than one?

A world of 3 x 3 black and white pixels has 512 events. An exact likelihood gives them masses that
sum to one; the exponential of an expected lower bound sums to less. Densities in the plane are
integrated on a grid.
"""

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from genzoo import VAE, VAEGAN, Autoregressive, Diffusion, Flow, FlowMatching, Likelihood, fit, grid
from genzoo.data import DataSet, Split, load
from genzoo.data.synthetic import ising
from genzoo.model import GenerativeModel

WORLD = (1, ising.SIDE, ising.SIDE)
LATENT = (2,)
Make = Callable[[], GenerativeModel]


@cache
def magnet() -> DataSet:
    return load("ising", train=4000, validation=200, test=1000)


def vae(**more) -> VAE:
    return VAE(WORLD, levels=ising.LEVELS, lr=1e-2, width=16, **{"latent_shape": LATENT, **more})


def small_flow() -> Flow:
    return Flow(LATENT, width=16, couplings=2, lr=1e-2)


def codes(prior: type[GenerativeModel], **more) -> VAE:
    return vae(codes=4, prior=prior(LATENT, levels=4, lr=1e-2, width=16, **more))


EXACT: dict[str, Make] = {
    "eight orders": lambda: Autoregressive(
        WORLD, levels=ising.LEVELS, width=16, depth=2, orders=8, lr=1e-2
    ),
    "unordered levels": lambda: Autoregressive(
        WORLD, levels=ising.LEVELS, width=16, depth=2, ordered=False, lr=1e-2
    ),
}
WEIGHTED: dict[
    str, Make
] = {  # their draws are importance weights: more draws bring the sum nearer to one
    "lattice flow": lambda: Flow(
        WORLD, levels=ising.LEVELS, width=16, couplings=1, lattice=True, lr=1e-2
    ),
    "vae+flow": lambda: vae(prior=small_flow()),
    "vae+autoregressive": lambda: vae(
        prior=Autoregressive(LATENT, width=16, depth=2, components=4, lr=1e-2)
    ),
    "vae+vae": lambda: vae(prior=VAE(LATENT, latent_shape=(2,), width=16, lr=1e-2)),
    "vaegan": lambda: VAEGAN(WORLD, levels=ising.LEVELS, latent_shape=LATENT, width=16, lr=1e-2),
    "codes+autoregressive": lambda: codes(Autoregressive, depth=2),
}
AVERAGED: dict[
    str, Make
] = {  # terms of a sum over noise levels: they are averaged and nothing else
    "vae+diffusion": lambda: vae(prior=Diffusion(LATENT, width=32, lr=1e-2)),
    "codes+diffusion": lambda: codes(Diffusion),
}


@cache
def trained(name: str) -> GenerativeModel:
    model = (EXACT | WEIGHTED | AVERAGED)[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fit(
            model(), magnet(), steps=80, batch_size=128, check_every=40, accelerator="cpu"
        ).model


def total(log_prob: Tensor) -> tuple[float, float]:
    """Sum over the world of exp(E[log P]), and its standard error.

    It is from independent draws ``(k, 512)`` of log P.

    The exponential of a noisy mean is too large on average, by half the noise's variance in the
    exponent.
    """
    error = log_prob.double().std(0) / len(log_prob) ** 0.5
    expected = log_prob.double().mean(0) - error.square() / 2
    mass = expected.exp() * grid.bin_width(ising.LEVELS) ** ising.SIDE**2
    return mass.sum().item(), (mass * error).square().sum().sqrt().item()


@torch.no_grad()
@pytest.mark.parametrize("name", EXACT)
def test_exact_masses_sum_to_one(name):
    model = trained(name)
    assert model.likelihood == Likelihood.EXACT
    assert total(model.log_prob(ising.worlds()).expand(2, -1))[0] == pytest.approx(1, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("label", [0, 1, -1])
def test_masses_given_a_condition_sum_to_one(label):
    torch.manual_seed(0)
    model = Autoregressive(WORLD, condition=2, levels=ising.LEVELS, width=16, depth=2).eval()
    x = ising.worlds()
    log_prob = model.log_prob(x, torch.full((len(x),), label))
    assert total(log_prob.expand(2, -1))[0] == pytest.approx(1, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", WEIGHTED)
def test_bounds_of_hybrids_sum_to_less_than_one_and_rise_with_the_number_of_draws(name):
    model, x = trained(name), ising.worlds()
    torch.manual_seed(0)
    assert model.likelihood == Likelihood.BOUND and model.unbiased
    sums = [total(torch.stack([model.bound(x, k=k) for _ in range(8)])) for k in (1, 4, 16)]
    assert all(mass < 1 + 4 * error for mass, error in sums)
    # codes have no draws
    assert all(few[0] < many[0] + 4 * few[1] + 1e-6 for few, many in pairwise(sums))
    assert sums[-1][0] > 0.2


@torch.no_grad()
@pytest.mark.parametrize("name", AVERAGED)
def test_bounds_of_hybrids_with_a_diffusion_sum_to_less_than_one(name):
    model = trained(name)
    torch.manual_seed(0)
    assert model.likelihood == Likelihood.BOUND and not model.unbiased
    mass, error = total(torch.stack([model.log_prob(ising.worlds()) for _ in range(256)]))
    assert 0.01 < mass < 1 + 4 * error


# --------------------------------------------------------------------------- densities in the plane


def annuli(n: int) -> Tensor:
    """Two rings, one in the other."""
    radius = torch.where(torch.rand(n) < 0.5, 0.8, 1.8) + 0.06 * torch.randn(n)
    angle = 2 * math.pi * torch.rand(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


def spiral(n: int) -> Tensor:
    """A Swiss roll."""
    turn = 1.5 * math.pi * (1 + 2 * torch.rand(n).sqrt())
    return torch.stack([turn * turn.cos(), turn * turn.sin()], 1) / 7 + 0.05 * torch.randn(n, 2)


PLANE: dict[str, Make] = {
    "autoregressive": lambda: Autoregressive(
        (2,), width=16, depth=2, orders=2, components=16, lr=1e-2
    ),
    "flow": lambda: Flow((2,), width=16, couplings=3, lr=5e-3),
}


@pytest.mark.parametrize("shape", [annuli, spiral])
@pytest.mark.parametrize("name", PLANE)
def test_densities_in_the_plane_integrate_to_one(name, shape):
    torch.manual_seed(0)
    x = shape(5000)
    parts = [Split(part) for part in x.split([4000, 500, 500])]
    model = fit(
        PLANE[name](), DataSet("plane", *parts), steps=60, batch_size=256, accelerator="cpu"
    ).model
    edge, cells = 9.0, 450
    axis = (torch.arange(cells) + 0.5) / cells * 2 * edge - edge
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = torch.cat([model.log_prob(part).double().exp() for part in points.split(20_000)])
    assert density.sum().item() * (2 * edge / cells) ** 2 == pytest.approx(1, abs=5e-3)


def test_a_stream_s_bound_is_no_bound_and_says_so():
    assert FlowMatching((2,), width=8).likelihood == Likelihood.ESTIMATE
