"""The normaliser of energy models whose integral is known: by a grid, or by enumeration."""

import math

import pytest
import torch
from torch import Tensor

from genzoo import Energy
from genzoo.evaluation.partition import energy_log_likelihood, log_partition

FAST = {"levels": 150, "chains": 60, "scouts": 20, "leapfrogs": 5}


class Known:
    """An energy in closed form. Its "chains" are poor ones, so that the walk to the reverse run has something to do."""

    condition, levels = 0, 0

    def __init__(self, energy, dims: int):
        self.energy, self.dims = energy, dims

    def nearest_chains(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return 1.5 * torch.randn(n, self.dims, dtype=torch.float64), c


def on_a_grid(energy, c: Tensor | None = None, reach: float = 9.0, points: int = 241) -> float:
    side = torch.linspace(-reach, reach, points, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    with torch.no_grad():
        log_f = -energy(x) if c is None else -energy(x, c.expand(len(x)))
    return (torch.logsumexp(log_f, 0) + 2 * torch.log(side[1] - side[0])).item()


def holds(bracket, truth: float, width: float) -> None:
    """The truth lies between the ends, give or take their errors, and the ends are not far apart."""
    assert bracket.lower.item() - 4 * bracket.stderr.item() - 0.01 < truth
    assert truth < bracket.upper.item() + 4 * bracket.stderr.item() + 0.01
    assert abs(bracket.gap.item()) < width
    assert bracket.ess.item() > 10


def four_wells(x: Tensor, c: Tensor | None = None) -> Tensor:
    return (x.square() - 1).square().sum(1) + 0.5 * x[:, 0] * x[:, 1] - 0.7


def test_the_bracket_holds_log_z_of_an_energy_with_four_wells():
    bracket = log_partition(Known(four_wells, 2), torch.randn(500, 2), **FAST)
    holds(bracket, on_a_grid(four_wells), width=0.3)


def test_the_bracket_holds_log_z_of_a_restricted_boltzmann_machine():
    """Gaussian visibles and ten hidden bits h: a mixture of 2^10 Gaussians, so Z is a sum over all h.

    Z = sum_h exp(b h + |a + W h|² / 2 - |a|² / 2) (2 pi)^{D/2}, and -E(x) = -|x - a|²/2 + sum_j softplus(b_j + W_j x).
    """
    dims, hidden = 6, 10
    weights = 0.7 * torch.randn(hidden, dims, dtype=torch.float64)
    a, b = 0.3 * torch.randn(dims, dtype=torch.float64), torch.randn(hidden, dtype=torch.float64)

    def energy(x: Tensor, c: Tensor | None = None) -> Tensor:
        return 0.5 * (x - a).square().sum(1) - torch.nn.functional.softplus(b + x @ weights.T).sum(1)

    h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * hidden)
    centre = a + h @ weights
    log_terms = h @ b + 0.5 * (centre.square().sum(1) - a.square().sum())
    truth = torch.logsumexp(log_terms, 0).item() + 0.5 * dims * math.log(2 * math.pi)
    data = centre[torch.multinomial(log_terms.softmax(0), 500, replacement=True)] + torch.randn(500, dims)
    holds(log_partition(Known(energy, dims), data, **FAST), truth, width=0.5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_zoo_s_energy_model_gets_its_log_z_under_each_condition(mode):
    model = Energy((2,), condition=2, width=16, buffer=64).double().eval()
    with torch.no_grad():  # an energy that depends on its condition
        model.embed.embed.weight.normal_(0, 2)  # type: ignore[union-attr]
        for name, weights in model.network.named_parameters():
            weights.mul_(8 if "film" in name or "second" in name else 1)
    labels = torch.tensor([0, 1])
    truths = [on_a_grid(model.energy, label.view(1)) for label in labels]
    with mode():
        bracket = log_partition(model, torch.randn(200, 2), labels.clone(), **FAST)
    assert abs(truths[0] - truths[1]) > 0.05
    for i, truth in enumerate(truths):
        assert bracket.lower[i] - 4 * bracket.stderr[i] < truth < bracket.upper[i] + 4 * bracket.stderr[i]
        assert bracket.gap[i].abs() < 0.3
    assert all(parameter.grad is None for parameter in model.parameters())


def test_events_of_any_shape_keep_it():
    model = Energy((1, 4, 4), levels=4, width=8, buffer=32).eval()
    data = torch.randint(4, (50, 1, 4, 4)) / 2 - 0.75
    bracket = log_partition(model, data, levels=20, chains=4, scouts=2, leapfrogs=3)
    assert bracket.lower.shape == (1,) and bracket.lower.isfinite().all()


def test_a_uniform_density_over_the_levels_costs_what_it_costs():
    """E = 0 on the box [-1, 1]^D of four levels: log Z = D log 2, and two bits for each dimension."""
    box = Known(lambda x, c=None: torch.zeros(len(x)), 3)
    box.levels = 4
    x = torch.randint(4, (5, 3)) / 2 - 0.75
    log_p = energy_log_likelihood(box, x, torch.tensor(3 * math.log(2)), k=7)
    torch.testing.assert_close(log_p, torch.full((5,), -3 * math.log(2)).double())


def test_more_draws_of_dequantisation_never_loosen_the_bound():
    steep = Known(lambda x, c=None: 8 * x.square().sum(1), 16)
    steep.levels = 3
    x = torch.zeros(200, 16)
    one, many = (energy_log_likelihood(steep, x, torch.tensor(0.0), k=k).mean() for k in (1, 50))
    inside = torch.linspace(-1 / 3, 1 / 3, 2001, dtype=torch.float64)
    truth = 16 * torch.exp(-8 * inside.square()).mean().log()
    assert one < many - 0.1 and many < truth + 0.1
