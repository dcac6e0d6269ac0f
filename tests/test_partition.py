"""The normaliser of energy models whose integral or sum is known.

Also the interval it is printed in, and when there is none.
"""

import json
import math

import pytest
import torch
from torch import Tensor

from genzoo import VAE, Energy, Likelihood, fit, grid
from genzoo.benchmark.recipes import find
from genzoo.data import load
from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation import AIS, evaluate
from genzoo.evaluation.likelihood.annealing import Estimate, in_blocks, log_mean_exp
from genzoo.evaluation.likelihood.partition import (
    WIDEST_BITS,
    Interval,
    anneal_energy,
    energy_log_likelihood,
    keep_log_z,
    log_partition,
)
from genzoo.families.baselines import IndependentPixels
from genzoo.families.boltzmann import draw_levels

FAST = {"levels": 150, "chains": 60, "scouts": 20, "leapfrogs": 5}


class Known:
    """A real-valued energy in closed form.

    Its "chains" are poor ones: the walk to the reverse run has something to do.
    """

    condition, levels = 0, 0

    def __init__(self, energy, dims: int, chains: Tensor | None = None):
        self.energy, self.dims, self.chains = energy, dims, chains

    def nearest_chains(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.chains is not None:
            return self.chains[torch.randint(len(self.chains), (n,))], c
        return 1.5 * torch.randn(n, self.dims, dtype=torch.float64), c


def on_a_grid(energy, c: Tensor | None = None, reach: float = 9.0, points: int = 241) -> float:
    side = torch.linspace(-reach, reach, points, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    with torch.no_grad():
        log_f = -energy(x) if c is None else -energy(x, c.expand(len(x)))
    return (torch.logsumexp(log_f, 0) + 2 * torch.log(side[1] - side[0])).item()


def holds(found: Interval, truth: float, width: float) -> None:
    assert found.lower.item() - 0.01 < truth < found.upper.item() + 0.01
    assert 0 < 2 * found.half_width.item() < width
    assert found.doubt(width) == ""


def estimate(value: float, stderr: float = 0.01, ess: float = 50.0) -> Estimate:
    return Estimate(*(torch.tensor([number]).double() for number in (value, stderr, ess)))


def interval(forward: Estimate, short: Estimate, reverse: Estimate) -> Interval:
    """Whose second reverse run, from training's chains, has found less than the first."""
    return Interval(forward, short, reverse, estimate(-9.0))


class Copies:
    """One machine many times, as if under conditions: one annealing is many independent ones."""

    def __init__(self, model: Energy, times: int):
        self.model, self.times = model, times
        self.levels, self.subset = model.levels, model.subset

    def path(self, n: int, c: Tensor | None, **settings):
        return self.model.path(n, **settings)

    def nearest_chains(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        of_each = [self.model.nearest_chains(n // self.times, None)[0] for _ in range(self.times)]
        return torch.stack(of_each, 1).flatten(0, 1), c


def machine(
    hidden: int, dims: int, levels: int, strength: float, condition: int = 0, seed: int = 0
) -> Energy:
    """A Boltzmann machine with random weights and settled chains.

    Its hidden units can be enumerated.
    """
    torch.manual_seed(seed)
    model = Energy((dims,), condition, levels, hidden=hidden, buffer=2000)
    model.set_base(grid.quantise(0.3 + 0.5 * torch.randn(500, dims), levels))
    with torch.no_grad():
        model.network.weight.normal_(0, strength / dims**0.5)
        model.bias.normal_(0, 0.2)
        for weights in model.embed.parameters():
            weights.add_(0.5 * strength * torch.randn_like(weights))
    model.chain_conditions.copy_(torch.randn(2000, condition))
    model.advance(2000)
    return model.double().eval()


# -------------------------------------------------------------------------------------- real values


def four_wells(x: Tensor, c: Tensor | None = None) -> Tensor:
    return (x.square() - 1).square().sum(1) + 0.5 * x[:, 0] * x[:, 1] - 0.7


def test_the_interval_holds_log_z_of_an_energy_with_four_wells():
    found = log_partition(Known(four_wells, 2), torch.randn(500, 2), **FAST)
    holds(found, on_a_grid(four_wells), width=0.5)


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
        found = log_partition(model, torch.randn(200, 2), labels.clone(), **FAST)
    assert abs(truths[0] - truths[1]) > 0.05
    for i, truth in enumerate(truths):
        assert found.lower[i] - 0.01 < truth < found.upper[i] + 0.01
        assert found.half_width[i] < 0.3
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_gaussian_visible_machine_is_calibrated():
    """Forty machines in one annealing, mixtures of 2^6 Gaussians.

    The interval holds the truth of at least 38.

    Z = sum_h exp(b h + |a + W h|² / 2 - |a|² / 2) (2 pi)^{D/2}, and -E(x) = -|x - a|²/2 + sum_j
    softplus(b_j + W_j x).
    """
    dims, hidden, n = 5, 6, 40
    weights = 0.7 * torch.randn(n, hidden, dims, dtype=torch.float64)
    a, b = (
        0.3 * torch.randn(n, dims, dtype=torch.float64),
        torch.randn(n, hidden, dtype=torch.float64),
    )

    def energy(x: Tensor, c: Tensor | None = None) -> Tensor:
        i = c.long()  # type: ignore[union-attr]
        units = torch.einsum("nhd,nd->nh", weights[i], x)
        return 0.5 * (x - a[i]).square().sum(1) - torch.nn.functional.softplus(b[i] + units).sum(1)

    h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * hidden)
    centre = a[:, None] + torch.einsum("sh,nhd->nsd", h, weights)
    log_terms = b @ h.T + 0.5 * (centre.square().sum(2) - a.square().sum(1, keepdim=True))
    truth = log_terms.logsumexp(1) + 0.5 * dims * math.log(2 * math.pi)
    drawn = torch.multinomial(log_terms.softmax(1), 25, replacement=True)
    data = centre.gather(1, drawn[..., None].expand(-1, -1, dims)).flatten(0, 1)
    found = log_partition(
        Known(energy, dims),
        data + torch.randn_like(data),
        torch.arange(n),
        chains=32,
        levels=60,
        leapfrogs=3,
    )
    held = (found.lower < truth) & (truth < found.upper)
    assert held.sum() >= 38
    assert found.half_width.mean() < 0.5  # and it says something


# ------------------------------------------------------------------------------------------- levels


@pytest.mark.parametrize("hidden, dims, levels", [(4, 9, 2), (8, 12, 5), (12, 30, 4)])
def test_annealing_finds_the_enumerated_log_z_of_a_boltzmann_machine(hidden, dims, levels):
    model = machine(hidden, dims, levels, strength=1.0)
    with torch.no_grad():
        truth = model.exact_log_z().item()
    found = log_partition(model, model.chains, levels=200, chains=100)
    holds(found, truth, width=0.5)


def test_discrete_annealings_are_calibrated_at_the_budget_of_the_quick_recipes():
    """Forty machines in one annealing, as forty conditions of one model.

    The interval holds the truth of at least 38.
    """
    model = machine(8, 16, 4, strength=1.5, condition=6)
    c = torch.randn(40, 6).double()
    with torch.no_grad():
        truth = model.exact_log_z(c)
    found = log_partition(model, model.chains, c, levels=100, chains=64)
    assert ((found.lower < truth) & (truth < found.upper)).sum() >= 38
    assert (found.upper - found.lower).mean() < 1  # and it says something
    assert truth.std() > 10 * found.half_width.mean()  # of quite different machines


def test_annealings_of_a_trained_machine_are_calibrated_at_a_quick_budget(monkeypatch):
    """Digits in black and white, learned by persistent chains as machines of many units learn:
    forty printed intervals.

    ``experiments/trials/calibration.py`` does the same with grey digits and the budgets of their
    recipes.
    """
    monkeypatch.setattr("genzoo.families.energy.FOR_UPDATES", 0)  # or the gradient would be exact,
    monkeypatch.setattr("genzoo.families.energy.FOR_DRAWS", 0)  # and the chains
    digits = load("digits")
    black, held_out = (
        Split(grid.quantise(part.x, 2)) for part in (digits.train, digits.validation)
    )
    torch.manual_seed(0)
    model = Energy(digits.event_shape, levels=2, hidden=12, lr=5e-3, steps=5, buffer=200)
    fit(
        model,
        DataSet("black and white", black, held_out, held_out, levels=2),
        steps=400,
        batch_size=100,
    )
    model.double()
    with torch.no_grad():
        truth = model.exact_log_z().item()
        better = model.log_prob(held_out.x) - IndependentPixels(2).fit(black.x).log_prob(held_out.x)
    assert better.mean() > 3  # nats: it has learned something
    budget = find("some data", "quick", "energy")["evaluate"]
    found = log_partition(
        Copies(model, 40),
        black.x,
        torch.arange(40),
        levels=budget["ais_levels"],
        chains=budget["ais_chains"],
    )
    assert found.doubt(WIDEST_BITS * 64 * math.log(2)) == ""  # all would be printed
    assert (found.half_width < 0.3).all()  # and they say something
    assert ((found.lower < truth) & (truth < found.upper)).sum() >= 38


@pytest.mark.parametrize("hidden", [0, 6])
def test_informed_moves_and_block_gibbs_weigh_alike(hidden):
    """Of a network by enumeration of all events.

    Of a machine by guidance, whose chains move by informed moves.
    """
    dims, levels = 5, 4
    model = (
        machine(6, dims, levels, 1.0)
        if hidden
        else Energy((dims,), levels=levels, hidden=0, width=8)
    )
    model = model.double().eval()
    if not hidden:
        model.set_base(grid.quantise(torch.randn(200, dims), levels))
        with torch.no_grad():
            model.network.head.weight.mul_(10)
    x = grid.to_grid(torch.cartesian_prod(*[torch.arange(levels)] * dims), levels).double()
    if hidden:  # a guidance that is none, but takes the other kind of path
        plain = model.path
        model.path = lambda n, c=None, w=1.0, soften=0.0: plain(n, c, 1.0 + 1e-9, soften)  # type: ignore[method-assign]
    with torch.no_grad():
        truth = (-model.energy(x)).logsumexp(0).item()
    found = log_partition(model, model.chains, levels=150, chains=200)
    holds(found, truth, width=0.6)


def test_a_mode_that_long_chains_miss_is_caught_on_levels():
    """Twenty spins, nearly all down in the data.

    A unit that no chain has switched on holds 98 % of the mass, all up.
    """
    dims = 20
    model = Energy((dims,), levels=2, hidden=1, buffer=200).double().eval()
    model.set_base(torch.where(torch.rand(1000, dims) < 0.02, 0.5, -0.5))
    with torch.no_grad():
        up, low = model.network.table[1], model.network.table[0]
        model.network.weight.fill_(5 / (up - low).item())
        model.network.centre.zero_()
        model.embed.null.zero_()
        base = model.histogram.exp()
        log_mass = (base[:, 1] * math.exp(5) + base[:, 0]).log().sum() + (
            model.network.weight * low
        ).sum()
        model.embed.null[0] = math.log(0.98 / 0.02) - log_mass
        truth = model.exact_log_z().item()
    model.chains.copy_(model.fresh(200))
    found = log_partition(model, model.chains, levels=400, chains=64)
    blind = found.onward.value.item()
    assert truth == pytest.approx(math.log(50), abs=0.05) and blind < truth - 2
    assert found.doubt(widest=0.5) or found.lower.item() < truth < found.upper.item()


def test_a_mode_that_long_chains_miss_is_caught_on_reals():
    """The audit's example.

    Two Gaussians of weights .02 and .98, 12 standard deviations apart, all chains in the small one.
    """
    dims = 4
    apart = 12 / dims**0.5

    def energy(x: Tensor, c: Tensor | None = None) -> Tensor:
        here = math.log(0.02) - 0.5 * x.square().sum(1)
        there = math.log(0.98) - 0.5 * (x - apart).square().sum(1)
        return -torch.logaddexp(here, there)

    data = torch.randn(500, dims).double()
    found = log_partition(Known(energy, dims, data), data, levels=300, chains=32, leapfrogs=5)
    truth = 0.5 * dims * math.log(2 * math.pi)
    assert found.onward.value.item() < truth - 2  # as chains of training alone would have it
    assert found.doubt(widest=0.5) or found.lower.item() < truth < found.upper.item()


def test_what_no_chain_met_is_said_to_be_uncounted():
    data, model = binary(), Energy((4,), levels=2, hidden=20, buffer=64).eval()
    model.set_base(data.train.x)
    stated = anneal_energy(model, data, data.test, k=1, levels=60, chains=32)
    assert "not counted: a mode that no chain has met, which would flatter" in stated.direction


# ------------------------------------------------------------------------------------- the interval


def test_ends_are_widened_by_two_errors_and_the_larger_log_z_counts():
    found = interval(estimate(5.0), estimate(4.9), estimate(5.1))
    assert found.lower.item() == pytest.approx(4.98) and found.upper.item() == pytest.approx(5.12)
    found = interval(estimate(5.0), estimate(5.2, 0.02), estimate(5.18, 0.02))
    assert found.lower.item() == pytest.approx(5.16) and found.upper.item() == pytest.approx(5.22)
    assert found.ess.item() == 50 and found.details()["forward"]["value"] == pytest.approx(5.0)
    json.dumps(found.details())


@pytest.mark.parametrize(
    "found, words",
    [
        (
            interval(estimate(5.0), estimate(5.0), estimate(5.0, ess=9.0)),
            "9.0 effective chains, fewer than 10",
        ),
        (
            interval(estimate(5.0, ess=2.0), estimate(4.0, ess=40), estimate(5.0)),
            "2.0 effective chains",
        ),
        (
            interval(estimate(5.1), estimate(5.0), estimate(5.0)),
            "contradict each other by 0.10 nats",
        ),
        (
            interval(estimate(5.0), estimate(15.0), estimate(5.0)),
            "contradict each other by 10.00 nats",
        ),
        (
            interval(estimate(5.0), estimate(5.0), estimate(5.7)),
            "known to 0.74 nats only, more than 0.50",
        ),
        (interval(estimate(5.0), estimate(5.0), estimate(math.inf)), "not finite"),
        (interval(estimate(5.0), estimate(5.0), estimate(5.1)), ""),
    ],
)
def test_a_figure_that_cannot_be_trusted_is_a_dash_with_its_reason(found, words):
    assert words in found.doubt(widest=0.5) and bool(words) == bool(found.doubt(widest=0.5))


def test_one_chain_that_outweighs_all_is_known_by_its_block():
    """The delta method says one nat at most; the blocks without that chain lie nine below."""
    log_weights = torch.zeros(40, 1).double()
    log_weights[7] = 12.0
    assert log_mean_exp(log_weights).stderr.item() <= 1
    assert in_blocks(log_weights).stderr.item() > 2
    even = 0.3 * torch.randn(4000, 200, dtype=torch.float64)
    ratio = in_blocks(even).stderr / log_mean_exp(even).stderr
    assert (ratio >= 1).all() and ratio.mean() < 1.5


def test_several_normalisers_make_one_interval_by_their_shares():
    found = Interval(
        *(
            Estimate(
                torch.tensor(value).double(),
                torch.tensor([0.0, 0.0]).double(),
                torch.tensor([20.0, 30.0]),
            )
            for value in ([1.0, 10.0], [1.0, 10.0], [1.2, 11.0], [0.0, 0.0])
        )
    )
    weights = torch.tensor([0.9, 0.1])
    assert Interval.mean(found.half_width, weights) == pytest.approx(0.9 * 0.1 + 0.1 * 0.5)
    # half and half they are too far apart
    assert found.doubt(0.5, weights) == "" and found.doubt(0.5) != ""
    assert found.details(weights)["lower"] == pytest.approx(0.9 * 1 + 0.1 * 10)


# ----------------------------------------------------------------------------------- the likelihood


def binary(n: int = 300) -> DataSet:
    """Four spins that mostly agree."""
    x = torch.where(torch.rand(n, 1) < 0.5, 0.5, -0.5) * torch.where(
        torch.rand(n, 4) < 0.9, 1.0, -1.0
    )
    parts = x.split(n // 3)
    return DataSet(
        "made up",
        *[Split(part, torch.arange(len(part)) % 2) for part in parts[:3]],
        levels=2,
        condition=2,
    )


@pytest.mark.parametrize("hidden", [6, 25])
def test_the_figure_of_a_machine_is_exact_or_an_interval_around_the_enumerated_one(hidden):
    data, model = binary(), Energy((4,), levels=2, hidden=hidden, buffer=64).eval()
    model.set_base(data.train.x)
    with torch.no_grad():
        model.network.weight.normal_(0, 0.3)
    x = grid.to_grid(torch.cartesian_prod(*[torch.arange(2)] * 4), 2)
    with torch.no_grad():
        log_z = (-model.energy(x)).logsumexp(0)
        truth = data.report(model.log_prob_under(log_z, data.test.x)).mean().item()
    measured = evaluate(model, data, by=AIS(levels=100, chains=64))
    if hidden == 6:
        assert measured.kind == Likelihood.EXACT and measured.value == pytest.approx(
            truth, abs=1e-5
        )
    else:
        assert measured.kind == Likelihood.ESTIMATE and measured.value is None
        assert measured.figure.low < truth < measured.figure.high  # type: ignore[operator]
        width = measured.figure.high - measured.figure.low  # type: ignore[operator]
        ends = measured.details["log_z"]
        assert width == pytest.approx((ends["upper"] - ends["lower"]) / 4 / math.log(2), rel=1e-3)
    assert model.log_z.isnan()  # evaluation writes nothing into the model


def test_each_condition_is_stated_under_its_own_normaliser():
    data, model = binary(), Energy((4,), 2, 2, hidden=25, buffer=64).eval()
    model.set_base(data.train.x, data.train.c)
    with torch.no_grad():
        model.network.weight.normal_(0, 0.15)
        model.embed.embed.weight.normal_(0, 0.5)  # type: ignore[union-attr]
    x = grid.to_grid(torch.cartesian_prod(*[torch.arange(2)] * 4), 2)
    with torch.no_grad():
        log_z = torch.stack(
            [(-model.energy(x, label.expand(16))).logsumexp(0) for label in torch.arange(2)]
        )
        want = model.log_prob_under(log_z[data.test.c], data.test.x, data.test.c)
    stated = anneal_energy(model, data, data.test, k=1, levels=300, chains=128)
    assert stated.reason == "" and stated.kind == Likelihood.ESTIMATE
    assert stated.details["normalisers"] == 2
    assert (stated.log_prob - want).abs().max() < 2 * stated.half_width + 0.02
    assert (log_z[0] - log_z[1]).abs() > 0.1
    keep_log_z(model, stated.log_z)
    assert model.log_z.isnan()  # there is no one log Z to keep


def test_too_small_a_budget_prints_a_dash():
    data, model = binary(), Energy((4,), levels=2, hidden=25, buffer=64).eval()
    with torch.no_grad():
        model.network.weight.normal_(0, 4)
    measured = evaluate(model, data, by=AIS(levels=2, chains=8))
    assert measured.kind == Likelihood.NONE and measured.figure.reason and str(measured) == "—"


def test_what_was_found_is_kept_only_where_it_is_asked_for():
    data, model = binary(), Energy((4,), levels=2, hidden=25, buffer=64).eval()
    model.set_base(data.train.x)
    measured = evaluate(model, data, by=AIS(levels=60, chains=32))
    assert model.log_z.isnan()
    keep_log_z(model, measured.log_z)
    again = evaluate(model, data)  # without annealing
    assert again.kind == Likelihood.ESTIMATE
    assert again.figure.low == pytest.approx(measured.figure.low, abs=1e-5)
    assert again.figure.high == pytest.approx(measured.figure.high, abs=1e-5)
    # has none, and no harm is done
    keep_log_z(VAE((4,), levels=2, latent_shape=(2,), width=8), measured.log_z)


def test_a_uniform_density_over_the_levels_costs_what_it_costs():
    """E = 0 on four levels: log Z = D log 4, and two bits for each dimension."""
    flat = Known(lambda x, c=None: torch.zeros(len(x)), 3)
    flat.levels = 4
    x = torch.randint(4, (5, 3)) / 2 - 0.75
    log_p = energy_log_likelihood(flat, x, torch.tensor(3 * math.log(4)))
    torch.testing.assert_close(grid.bits_per_dim(log_p, 3, 4), torch.full((5,), 2.0).double())


def test_events_of_any_shape_keep_it():
    for hidden in (0, 20):
        model = Energy((1, 4, 4), levels=4, hidden=hidden, width=8, buffer=32).eval()
        data = torch.randint(4, (50, 1, 4, 4)) / 2 - 0.75
        found = log_partition(model, data, levels=20, chains=8)
        assert found.lower.shape == (1,) and found.lower.isfinite().all()
    model = Energy((1, 4, 4), width=8, buffer=32).eval()
    found = log_partition(model, data, levels=20, chains=4, scouts=2, leapfrogs=3)
    assert found.lower.shape == (1,) and found.lower.isfinite().all()
    assert draw_levels(torch.zeros(3, 5, 4)).shape == (3, 5)
