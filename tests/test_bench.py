"""The truth bench over the families.

Trained models beside known densities, and all of their masses, where all can be summed.
"""

import math
from functools import cache
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genzoo import (
    FAMILIES,
    GAN,
    VAE,
    Autoregressive,
    Diffusion,
    Energy,
    Flow,
    FlowMatching,
    Likelihood,
    fit,
    grid,
)
from genzoo.data import DataSet, load
from genzoo.data.synthetic import ising
from genzoo.evaluation import AIS, Measured, Own, decoder_log_likelihood, evaluate
from genzoo.evaluation.likelihood import decoder
from genzoo.evaluation.likelihood.partition import energy_log_likelihood
from genzoo.model import GenerativeModel, importance_weighted

pytestmark = pytest.mark.usefixtures("few_levels")

PROBLEMS: dict[str, dict[str, Any]] = {
    "gaussians-16": {"name": "gaussians", "dims": 16},
    "landmass": {"name": "landmass"},
    "ising": {"name": "ising"},
}
SMALL: dict[type[GenerativeModel], dict[str, Any]] = {
    Autoregressive: {"width": 16, "depth": 2, "components": 4},
    Flow: {"width": 16, "couplings": 2},
    VAE: {"width": 16, "latent_shape": (2,)},
    Energy: {"width": 16, "hidden": 20, "buffer": 256, "step": 0.1, "steps": 10, "lr": 3e-3},
    Diffusion: {"width": 32, "fourier": 1},
    GAN: {"width": 16, "latent_shape": (2,)},
    FlowMatching: {"width": 16, "fourier": 1, "steps": 4},
}
# so few steps of a contrast or of a game teach little
BY_LIKELIHOOD = (
    Autoregressive,
    Flow,
    VAE,
    Diffusion,
)
CLAIM_ON_REALS = {
    Autoregressive: "EXACT",
    Flow: "EXACT",
    VAE: "BOUND",
    Diffusion: "BOUND",
    GAN: "BOUND",
}
CLAIM_ON_LEVELS = CLAIM_ON_REALS | {Flow: "BOUND"}  # because of dequantisation
# of a GAN's observation: any makes it a density, and tuning it would take most of the time
SIGMA = 0.8


@cache
def problem(name: str) -> DataSet:
    return load(**PROBLEMS[name], train=4000, validation=200, test=1000)


@cache
def trained(family: type[GenerativeModel], name: str) -> GenerativeModel:
    data, steps = problem(name), 200 if family is Diffusion else 80
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = family(data.event_shape, **{"levels": data.levels, "lr": 1e-2, **SMALL[family]})
        return fit(
            model, data, steps=steps, batch_size=128, check_every=40, accelerator="cpu"
        ).model


@cache
@patch.object(decoder, "tune_sigma", lambda *_, **__: (SIGMA, {}))
def measured(family: type[GenerativeModel], name: str) -> Measured:
    settings = {
        Energy: AIS(levels=30),
        GAN: AIS(levels=30, most=40),
        FlowMatching: Own(k=1),
    }
    return evaluate(trained(family, name), problem(name), by=settings.get(family))


def ignorance(name: str) -> float:
    """The gap of one who knows the scale of the data and nothing more.

    A standard Gaussian, or all events alike.
    """
    data = problem(name)
    log_density = Normal(0.0, 1.0).log_prob(data.test.x).flatten(1).sum(1).mean()
    if data.levels:
        log_density = torch.tensor(-data.dims * math.log(2))  # over the box [-1, 1]
    return (data.report(log_density) - data.report(torch.tensor(-data.entropy))).item()  # type: ignore[operator]


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_beats_the_truth(family, name):
    found = measured(family, name)
    if family is Energy and not found.figure.is_known:
        assert found.figure.reason  # so quick an annealing may find that it cannot be trusted
        return
    assert found.gap is not None and found.gap.middle is not None and found.gap.stderr is not None
    assert found.gap.middle > -4 * found.gap.stderr - 1e-3
    claims = CLAIM_ON_LEVELS if problem(name).levels else CLAIM_ON_REALS
    assert found.kind == Likelihood[claims.get(family, "ESTIMATE")]
    assert family not in BY_LIKELIHOOD or found.gap.middle < ignorance(name)


# ------------------------------------------------------------ all that a model claims of the magnet


def total(draws: Tensor) -> tuple[float, float]:
    """Sum over all events of exp(mean log P), and its standard error.

    Draws (n, 512) of log P / width^9 are independent.
    """
    mass = draws.double().mean(0).exp() * grid.bin_width(ising.LEVELS) ** ising.SIDE**2
    error = draws.double().std(0) / len(draws) ** 0.5
    return mass.sum().item(), (mass * error).square().sum().sqrt().item()


@torch.no_grad()
def test_exact_masses_sum_to_one():
    mass, _ = total(trained(Autoregressive, "ising").log_prob(ising.worlds()).expand(2, -1))
    assert mass == pytest.approx(1, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("family", [Flow, VAE])
def test_bounds_of_masses_sum_to_less_than_one_and_rise_towards_it_with_k(family):
    model, x = trained(family, "ising"), ising.worlds()
    sums = [total(torch.stack([model.bound(x, k=k) for _ in range(8)])) for k in (1, 4, 16)]
    assert all(mass < 1 + 4 * error for mass, error in sums)
    assert all(few[0] < many[0] + 4 * few[1] for few, many in pairwise(sums))
    assert 0.3 < sums[0][0] < sums[2][0] and sums[2][0] > 0.85


@torch.no_grad()
def test_bounds_of_a_diffusion_sum_to_less_than_one_unless_they_are_taken_for_importance_weights():
    """The planted fault.

    Terms of a sum over noise levels in a log-mean-exp, where one good term outweighs all others.
    """
    model, x = trained(Diffusion, "ising"), ising.worlds()
    draws = torch.stack([model.log_prob(x) for _ in range(128)])
    mass, error = total(draws)
    assert 0.1 < mass < 1 + 4 * error
    assert total((draws.logsumexp(0) - math.log(128)).expand(2, -1))[0] > 10


@torch.no_grad()
def test_a_diffusion_whose_draws_are_taken_for_importance_weights_beats_the_truth():
    name = "gaussians-16"
    model, x = trained(Diffusion, name), problem(name).test.x
    beaten = importance_weighted(model, x, None, 16) - problem(name).log_density(x)  # type: ignore[misc]
    assert beaten.mean() > 4 * beaten.std() / len(beaten) ** 0.5


def test_masses_of_an_energy_model_sum_to_one_within_its_interval():
    """Under the upper end of log Z to less than one, under the lower end to more."""
    model = trained(Energy, "ising")
    log_z = measured(Energy, "ising").details["log_z"]
    for end, side in (("lower", 1), ("upper", -1)):
        with torch.no_grad():
            log_p = energy_log_likelihood(model, ising.worlds(), torch.tensor(log_z[end]))
        mass, _ = total(log_p.expand(2, -1))
        assert side * math.log(mass) > -0.01 and abs(math.log(mass)) < 0.3


def test_annealed_masses_of_a_gan_sum_to_one():
    """Mean weights are unbiased however short the annealing.

    So the sum over all events is one and not merely less.
    """
    found = decoder_log_likelihood(
        trained(GAN, "ising"), ising.worlds(), SIGMA, chains=6, scouts=2, levels=20, leapfrogs=5
    )
    mass = found.value.exp() * grid.bin_width(ising.LEVELS) ** ising.SIDE**2
    error = (mass * found.stderr).square().sum().sqrt()
    assert error < 0.1 and abs(mass.sum() - 1) < 4 * error
