"""The truth bench.

Where the density is known, no estimator beats it, and a faulty one is caught.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genzoo import GAN, VAE, Diffusion, Energy, Flow, Likelihood, grid
from genzoo.benchmark.baselines import baseline_rows
from genzoo.benchmark.row import held_out
from genzoo.data import DataSet, Split, load
from genzoo.data.synthetic import landmass
from genzoo.data.synthetic.biscuits import log_density as biscuit_truth
from genzoo.evaluation import evaluate
from genzoo.evaluation.likelihood import truth
from genzoo.evaluation.likelihood.estimators import AIS, ODE, Own
from genzoo.evaluation.likelihood.truth import disagreement, is_off_support
from genzoo.families.baselines import Rectangle
from genzoo.model import GenerativeModel

STD = 0.5
LEVELS = 8


def real(n: int = 4000) -> DataSet:
    """A Gaussian in 16 dimensions, standardised from a scale of 3.

    So a Jacobian has to be put back.
    """

    def log_density(x: Tensor) -> Tensor:
        return Normal(0.0, STD).log_prob(x).sum(1)

    parts = [Split(STD * torch.randn(n, 16)) for _ in range(3)]
    return DataSet("gaussian", *parts, log_density=log_density, scale=torch.full((16,), 3.0))


def table(levels: int = LEVELS) -> Tensor:
    """Masses of a coarse bell over the levels."""
    return torch.softmax(-8 * grid.to_grid(torch.arange(levels), levels).square(), 0)


def discrete(n: int = 4000) -> DataSet:
    """Independent pixels with a known pmf."""

    def log_density(x: Tensor) -> Tensor:
        return (
            (table()[grid.to_level(x, LEVELS)].log() - math.log(grid.bin_width(LEVELS)))
            .flatten(1)
            .sum(1)
        )

    parts = [
        Split(grid.to_grid(torch.multinomial(table(), n * 16, True), LEVELS).view(n, 1, 4, 4))
        for _ in range(3)
    ]
    return DataSet("bells", *parts, levels=LEVELS, log_density=log_density)


class Claim(GenerativeModel):
    """A model that knows the truth, or would but for one fault."""

    def __init__(
        self, event_shape: tuple[int, ...], levels: int = 0, log_prob=None, kind=Likelihood.EXACT
    ):
        super().__init__(event_shape, levels=levels)
        self.claimed, self.kind = log_prob, kind

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        return self.kind

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.claimed(x)


def passes(log_prob, data: DataSet, kind: Likelihood = Likelihood.EXACT) -> bool:
    """The bench's rule for one that claims to be the truth.

    At no distance from it, and above all never better.
    """
    measured = evaluate(Claim(data.event_shape, data.levels, log_prob, kind), data)
    assert (
        measured.gap is not None
        and measured.gap.value is not None
        and measured.gap.stderr is not None
    )
    return abs(measured.gap.value) <= 4 * measured.gap.stderr + 1e-6


def dequantised(x: Tensor, width: float = 1.0) -> Tensor:
    """log p(x + u) of the piecewise-constant density of the bells.

    Its support is [-1, 1], and u is ``width`` bins wide.
    """
    noisy = x + (torch.rand_like(x) - 0.5) * grid.bin_width(LEVELS) * width
    pmf, low = table(), grid.to_grid(torch.arange(LEVELS), LEVELS)
    inside = (noisy.unsqueeze(-1) - low).abs() <= grid.bin_width(LEVELS) * width / 2
    return (
        ((inside * pmf).sum(-1).log() - math.log(grid.bin_width(LEVELS) * width)).flatten(1).sum(1)
    )


# ----------------------------------------------------------------------------------- planted faults


def test_the_truth_itself_passes():
    assert passes(real().log_density, real())
    assert passes(discrete().log_density, discrete())
    assert passes(dequantised, discrete(), Likelihood.BOUND)


def test_a_wrong_sign_fails():
    data = real()
    assert not passes(lambda x: -data.log_density(x), data)
    assert not passes(lambda x: -discrete().log_density(x), discrete())


def test_a_mean_instead_of_a_sum_fails():
    data = real()
    assert not passes(lambda x: data.log_density(x) / data.dims, data)
    assert not passes(lambda x: discrete().log_density(x) / 16, discrete())


def test_a_half_width_dequantisation_fails():
    """A density on noise of half the bin is higher by D ln 2, and beats the truth."""
    measured = evaluate(
        Claim((1, 4, 4), LEVELS, lambda x: dequantised(x, 0.5), Likelihood.BOUND), discrete()
    )
    # one bit for each dimension
    assert measured.gap is not None and measured.gap.value == pytest.approx(-1.0, abs=1e-3)
    assert not passes(lambda x: dequantised(x, 0.5), discrete(), Likelihood.BOUND)


def test_a_missing_jacobian_fails():
    """A flow that maps x to x / STD and forgets log|det|.

    The data is rescaled without being told so.
    """
    data = real()
    assert not passes(lambda x: Normal(0.0, 1.0).log_prob(x / STD).sum(1), data)
    assert passes(lambda x: Normal(0.0, 1.0).log_prob(x / STD).sum(1) - 16 * math.log(STD), data)
    flow = Flow((16,), width=8, couplings=1).eval()
    with torch.no_grad():
        right = flow.log_prob(data.test.x[:500]).mean() - data.log_density(data.test.x[:500]).mean()  # type: ignore[misc]
        z = flow.encode(data.test.x[:500])
        forgotten = (
            Normal(0.0, 1.0).log_prob(z * STD).sum(1).mean()
            - data.log_density(data.test.x[:500]).mean()
        )  # type: ignore[misc]
    assert right < 0 and not math.isclose(right.item(), forgotten.item(), abs_tol=1)


def test_a_gap_needs_the_truth_and_an_unconditional_model():
    data = real(50)
    assert evaluate(Claim((16,), 0, data.log_density), replace(data, log_density=None)).gap is None
    model = VAE((16,), condition=2, width=8)
    conditional = replace(
        data, test=Split(data.test.x, torch.zeros(50, dtype=torch.long)), condition=2
    )
    assert evaluate(model, conditional, by=Own(k=1)).gap is None


def test_the_gap_is_the_divergence_and_stands_in_the_row():
    """KL of N(0, 1/4) from N(0, 1) in 16 dimensions, in nats."""
    data = real()
    measured = evaluate(Claim((16,), 0, lambda x: Normal(0.0, 1.0).log_prob(x).sum(1)), data)
    truth = 16 * (-math.log(STD) - 0.5 + STD**2 / 2)
    assert measured.gap is not None and abs((measured.gap.value or 0) - truth) < 4 * (
        measured.gap.stderr or 0
    )
    found = held_out(measured, data)
    assert found.gap == measured.gap and measured.gap.kind == Likelihood.EXACT
    assert found.direction == "none: it is exact"


def test_the_bench_s_own_data_sets_know_their_truth():
    for name in ("landmass", "biscuits"):
        data = load(name)
        small = replace(data, test=Split(data.test.x[:300]))
        own = evaluate(Claim(data.event_shape, data.levels, data.log_density), small)
        assert own.gap is not None
        assert (own.gap.value, own.gap.stderr) == (
            pytest.approx(0, abs=1e-6),
            pytest.approx(0, abs=1e-6),
        )
        for row in baseline_rows(small):
            gap = row.likelihood.gap
            assert gap is not None
            assert gap.value is None or gap.value > -4 * (gap.stderr or 0.0)
    assert biscuit_truth(load("biscuits").test.x[:2]).isfinite().all()


# ---------------------------------------------------------------------------------------- annealing


def confined() -> Energy:
    """An energy model whose network says nothing.

    Exactly N(0, STD²), and so the truth of `real`.
    """
    model = Energy((16,), base_std=STD, width=8, buffer=64).eval()
    with torch.no_grad():
        model.network.head.weight.zero_()
        model.network.head.bias.zero_()
    return model


def test_an_energy_model_gets_an_estimate_with_a_direction_and_a_bracket():
    data = real(400)
    plain = evaluate(confined(), data)
    assert plain.value is None and plain.kind == Likelihood.NONE  # only where it is asked for
    told = []
    by = AIS(levels=120, chains=128)
    measured = evaluate(confined(), data, by=by, progress=lambda *now: told.append(now))
    assert (
        measured.kind == Likelihood.ESTIMATE
        and "flatter" in measured.direction
        and str(measured)[0] == "≈"
    )
    assert (
        measured.gap is not None
        and measured.gap.middle is not None
        and measured.gap.stderr is not None
    )
    assert abs(measured.gap.middle) < 4 * measured.gap.stderr + 0.05
    log_z, truth = measured.details["log_z"], 8 * math.log(2 * math.pi) + 16 * math.log(STD)
    assert log_z["lower"] - 0.02 < truth < log_z["upper"] + 0.02
    assert any(text == "walking" for _, _, text in told)
    assert told[-1][:2] == (720, 720) and "±" in told[-1][2]


def test_annealing_is_repeatable_and_leaves_state_and_mode_alone():
    data, model = real(100), confined()
    model.train()
    before = torch.get_rng_state()
    first, second = (evaluate(model, data, by=AIS(levels=10, chains=4)) for _ in range(2))
    assert (
        first.value == second.value
        and model.training
        and torch.equal(before, torch.get_rng_state())
    )


def test_every_condition_has_a_normaliser_and_too_many_are_refused():
    model = Energy((2,), condition=3, width=8, buffer=32)
    x, labels = torch.randn(30, 2), torch.arange(30) % 3
    data = DataSet("made up", *[Split(x, labels)] * 3, condition=3)
    measured = evaluate(model, data, by=AIS(levels=10, chains=4))
    assert measured.details["normalisers"] == 3
    model = Energy((2,), condition=1, width=8, buffer=32)
    data = DataSet("made up", *[Split(torch.randn(200, 2), torch.randn(200, 1))] * 3, condition=1)
    refused = evaluate(model, data, by=AIS(levels=10, chains=4))
    assert refused.value is None and "too many" in refused.details["reason"]


@pytest.mark.parametrize("levels", [0, 4])
def test_a_gan_with_noise_gets_a_bound(levels):
    model = GAN((2,), levels=levels, latent_shape=(2,), width=8)
    parts = [Split(model.on_grid(0.5 * torch.randn(60, 2).clamp(-1.9, 1.9))) for _ in range(3)]
    data = DataSet("made up", *parts, levels=levels)
    measured = evaluate(model, data, by=AIS(levels=20, chains=4, most=20))
    assert measured.kind == Likelihood.BOUND and "the generator with noise" in measured.direction
    found = measured.details
    assert (found["n"], found["of"], found["simulated_events"]) == (20, 60, 16)
    assert found["observation"] == f"noise {found['sigma']:.2g}" and found["sigma"] > 0
    assert {"simulated_gap", "ess", "ais_stderr", "ais_levels", "ais_chains", "sigmas"} <= set(
        found
    )
    assert 20 <= found["ais_levels"] <= 80
    fixed = evaluate(model, data, by=AIS(levels=20, chains=4, most_levels=20, most=20))
    assert fixed.details["ais_levels"] == 20


def test_a_vae_is_annealed_only_where_it_is_asked_for_and_then_lies_above_its_bound():
    data = real(30)
    model = VAE((16,), latent_shape=(2,), width=8)
    bound = evaluate(model, data, by=Own(k=64))
    annealed = evaluate(model, data, by=AIS(levels=60, chains=8))
    assert bound.kind == annealed.kind == Likelihood.BOUND
    assert annealed.details["sigma"] is None and "observation" not in annealed.details
    assert (
        annealed.value is not None
        and bound.value is not None
        and annealed.value < bound.value + 0.05
    )


# ----------------------------------------------------------------------------------- points A and B


def test_points_a_and_b_of_the_lecture_are_shares():
    """Half of the model's box is sea.

    Half of its samples are astray, and of the land it misses what lies outside.
    """
    data = load("landmass")
    north = Rectangle()
    north.event_shape, north.low, north.high = (
        (2,),
        torch.tensor([-math.pi, 0.0]),
        torch.tensor([math.pi, 1.0]),
    )
    measured = evaluate(north, data)
    shares = disagreement(measured, north.sample(20_000), data)
    # of the northern hemisphere
    land = landmass.mask()[: len(landmass.mask()) // 2].double().mean().item()
    assert abs(shares["astray"]["value"] - (1 - land)) < 4 * shares["astray"]["stderr"]
    south = (data.test.x[:, 1] < 0).double().mean().item()
    assert shares["missed"]["value"] == pytest.approx(south)
    perfect = evaluate(Claim((2,), log_prob=data.log_density), data)
    none = disagreement(perfect, data.test.x, data)
    assert (
        none["astray"]["value"] == none["missed"]["value"] == 0
        and none["missed"]["kind"] == "exact"
    )
    # nothing astray among ten thousand is not nothing for certain
    assert 0 < none["astray"]["high"] < 1e-3


def test_a_tenth_of_the_true_density_is_almost_nothing():
    data = load("landmass")
    claims = {
        share: Claim((2,), log_prob=lambda x, s=share: data.log_density(x) + math.log(s))
        for share in (0.09, 0.11)
    }
    missed = {
        s: disagreement(evaluate(claim, data), data.test.x, data)["missed"]["value"]
        for s, claim in claims.items()
    }
    assert missed == {0.09: 1.0, 0.11: 0.0}


def test_shares_need_the_truth_and_points():
    nothing = {"astray": None, "missed": None}
    tins, moons = load("biscuits"), load("moons")
    assert (
        disagreement(
            evaluate(Claim(tins.event_shape, 16, tins.log_density), tins), tins.test.x, tins
        )
        == nothing
    )
    measured = evaluate(Claim((2,), log_prob=lambda x: x.sum(1)), moons)
    assert disagreement(measured, moons.test.x, moons) == nothing
    with pytest.raises(ValueError, match="not known"):
        is_off_support(moons.test.x, moons)


def test_a_model_without_a_density_still_shows_where_it_is_off_support():
    data = load("landmass")
    shares = disagreement(evaluate(GAN((2,), width=8), data), data.test.x[:50], data)
    assert shares["astray"] is not None and shares["missed"] is None


def test_b_of_a_diffusion_is_that_of_its_probability_flow(monkeypatch):
    """The draws of its bound scatter by nats around a density that is wrong by far less."""
    data = load("landmass")
    model = Diffusion((2,), width=8, log_snr_range=(-5.0, 6.0))
    monkeypatch.setattr(truth, "FLOW_EVENTS", 60)
    measured = evaluate(model, data, by=Own(k=1))
    each = truth.of_each(model, measured, data)
    assert (each.kind, len(each.events)) == (Likelihood.ESTIMATE, 60)  # type: ignore[arg-type]
    assert each.log_prob.std() < measured.log_prob.std()  # type: ignore[union-attr]
    assert disagreement(each, data.test.x[:50], data)["missed"]["kind"] == "estimate"
    exact = evaluate(Claim((2,), log_prob=data.log_density), data)
    assert truth.of_each(Claim((2,), log_prob=data.log_density), exact, data) is exact
    moons = load("moons")
    assert truth.of_each(model, measured, moons) is measured


def test_what_was_stated_of_each_event_is_kept_with_its_place():
    data = real(60)
    measured = evaluate(Claim((16,), log_prob=data.log_density), data)
    assert measured.log_prob is not None and measured.events is not None
    torch.testing.assert_close(measured.log_prob, data.log_density(data.test.x))  # type: ignore[misc]
    few = evaluate(GAN((16,), latent_shape=(2,), width=8), data, by=AIS(levels=3, chains=2, most=7))
    assert few.events is not None and few.events.shape == few.log_prob.shape == (7,)  # type: ignore[union-attr]
    assert len(few.events.unique()) == 7


# ------------------------------------------------------------------------------------------ the ODE


def test_a_diffusion_is_measured_by_its_flow_where_that_is_asked_for():
    data = replace(real(40), scale=None)
    model = Diffusion((16,), width=8, fourier=1)
    told = []
    measured = evaluate(
        model, data, by=ODE(tolerance=1e-3, most=12), progress=lambda *now: told.append(now)
    )
    assert measured.kind == Likelihood.ESTIMATE and "no known side" in measured.direction
    assert (
        measured.details["n"] == 12
        and measured.details["ode_trace"] == "exact"
        and measured.details["ode_evaluations"] > 10
    )
    assert told[-1][:2] == (12, 12)
    # has no such flow
    assert evaluate(VAE((16,), width=8), data, by=ODE(tolerance=1e-3)).kind == Likelihood.BOUND
