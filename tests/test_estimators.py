"""Estimators are settings that can be read, and evaluation asks models, not their attributes."""

import ast
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import genzoo
from genzoo import GAN, VAE, Diffusion, Energy, Flow, FlowMatching, grid
from genzoo.data.dataset import DataSet, Split
from genzoo.errors import InputError
from genzoo.evaluation import AIS, ODE, Own, decoder_log_likelihood, estimator, evaluate
from genzoo.evaluation.batches import batched
from genzoo.evaluation.likelihood.decoder import simulated_bracket
from genzoo.families.baselines import Gaussian
from genzoo.model import GenerativeModel, LatentJoint, Likelihood, ProbabilityFlow, gaussian_joint

HOUSE = Path(genzoo.__file__).parent
REFLECTION = {"hasattr", "signature", "isinstance", "vars"}
VALUES = {"bool", "int", "float", "str", "Tensor", "Mapping"}  # of which anybody may ask a type


def data(levels: int = 0, n: int = 24, condition: int = 0) -> DataSet:
    events = grid.quantise(0.4 * torch.randn(3 * n, 2).clamp(-2, 2), levels)
    labels = torch.arange(n) % condition if condition else None
    splits = [Split(part, labels) for part in events.split(n)]
    return DataSet("made up", *splits, levels=levels, condition=condition)


# ------------------------------------------------------------------------------------- the settings


def test_an_estimator_is_frozen_compared_by_value_and_says_what_it_is():
    assert Own(k=64) == Own(k=64) != Own()
    assert repr(AIS(levels=5, chains=3)).startswith("AIS(levels=5, chains=3")
    with pytest.raises(FrozenInstanceError):
        Own().k = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Own(k=0), "k must be a whole number of at least 1, got 0"),
        (lambda: AIS(levels=0), "levels must be"),
        (lambda: AIS(chains=0), "chains must be"),
        (lambda: AIS(most=True), "most must be"),
        (lambda: ODE(tolerance=1.0), "tolerance must be between 0 and 1"),
        (lambda: ODE(draws=0.5), "draws must be"),  # type: ignore[arg-type]
        (lambda: estimator({"ais_level": 3}), "no setting 'ais_level'. Did you mean 'ais_levels'"),
        (lambda: estimator({"ais_chains": -1}), "ais_chains must be"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(make, reason):
    with pytest.raises(InputError, match=reason):
        make()


def test_a_recipe_s_plain_section_becomes_an_estimator():
    assert estimator({}) == Own(k=16)
    assert estimator({"k": 3, "batch": 7}) == Own(k=3, batch=7)
    annealed = estimator({"ais_levels": 30, "ais_chains": 4, "ais_most_levels": 60, "most": 9})
    assert annealed == AIS(levels=30, chains=4, most_levels=60, most=9)
    assert estimator({"k": 2, "ode_tolerance": 0.1}) == ODE(0.1, draws=2, otherwise=Own(k=2))
    both = estimator({"ais_levels": 30, "ode_tolerance": 0.1})
    assert both == ODE(0.1, draws=16, otherwise=AIS(levels=30))


# ------------------------------------------------------------------------------------ what applies


def test_a_model_gets_the_estimator_that_applies_to_it_else_its_own():
    ais, ode = AIS(levels=3, k=5), ODE(0.1, otherwise=Own(k=2))
    energy = Energy((2,), width=8, buffer=8)
    for model in (
        GAN((2,), width=8),
        VAE((2,), width=8),
        VAE((2,), latent_shape=(2,), prior=energy),
    ):
        assert ais.for_model(model) is ais and ode.for_model(model) == Own(k=2)
    for model in (Diffusion((2,), width=8), FlowMatching((2,), width=8)):
        assert ais.for_model(model) == Own(k=5) and ode.for_model(model) is ode
    for model in (Flow((2,), width=8), Gaussian().fit(torch.randn(20, 2))):
        assert ais.for_model(model) == Own(k=5) and ode.for_model(model) == Own(k=2)
    assert ais.for_model(energy) is ais and ais.most_events(energy) is None
    assert ais.most_events(GAN((2,), width=8)) == 100


def test_a_sum_that_can_be_carried_out_is_not_annealed():
    machine = Energy((2,), levels=4, hidden=3, buffer=8)
    assert AIS().for_model(machine) == Own()
    coded = VAE((2,), levels=4, latent_shape=(2,), codes=4, prior=machine, width=8)
    measured = evaluate(coded, data(levels=4), by=AIS(levels=3))
    assert measured.kind == Likelihood.BOUND and not measured.figure.is_interval


def test_a_latent_with_steps_is_not_annealed_and_the_dash_says_why():
    coded = VAE((2,), levels=4, latent_shape=(2,), codes=4, width=8)
    measured = evaluate(coded, data(levels=4), by=AIS(levels=3))
    assert str(measured) == "—" and "discrete" in measured.figure.reason


# ------------------------------------------------------------------- a family of one's own enters


class Scaled(GenerativeModel):
    """x = 2 z, by a path of its own: dz/dt = -z log 2, from t = 0 to 1."""

    def __init__(self):
        super().__init__((2,))
        self.latent_shape = (2,)
        self.unused = torch.nn.Parameter(torch.zeros(()))

    likelihood = Likelihood.NONE

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return 2 * torch.randn(n, 2)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return 2 * z

    def latent_joint(self, c: Tensor | None = None) -> LatentJoint:
        return gaussian_joint(self, c)

    def probability_flow(self, c: Tensor | None = None) -> ProbabilityFlow:
        rate = torch.tensor(2.0).log()
        return ProbabilityFlow(
            lambda z, t: -rate * z, data=0.0, noise=1.0, enter=lambda x: (x, x.new_zeros(len(x)))
        )


def test_a_family_of_one_s_own_is_followed_and_annealed_by_what_it_declares():
    events = data()
    truth = -Normal(0.0, 2.0).log_prob(events.test.x).sum(1).mean().item()
    assert evaluate(Scaled(), events).kind == Likelihood.NONE
    followed = evaluate(Scaled(), events, by=ODE(1e-6))
    assert followed.value == pytest.approx(truth, abs=1e-4)
    noisy = Normal(0.0, (4 + 0.5**2) ** 0.5).log_prob(events.test.x).sum(1)
    found = decoder_log_likelihood(Scaled(), events.test.x, 0.5, levels=60, chains=16)
    assert ((found.value - noisy).abs() < 4 * found.stderr + 0.05).all()
    with pytest.raises(NotImplementedError, match="no latent to anneal over"):
        simulated_bracket(Flow((2,), width=8), 4, 0.5)


# ------------------------------------------------------------------- evaluation leaves models alone


@pytest.mark.parametrize("by", [Own(k=2), AIS(levels=3, chains=2, most=6), ODE(0.1, most=6)])
@pytest.mark.parametrize(
    "make",
    [
        lambda: VAE((2,), levels=4, latent_shape=(2,), width=8),
        lambda: VAE((2,), latent_shape=(2,), width=8, prior=Energy((2,), width=8, buffer=8)),
        lambda: GAN((2,), levels=4, latent_shape=(2,), width=8),
        lambda: Energy((2,), width=8, buffer=8),
        lambda: Energy((2,), levels=4, hidden=20, buffer=8),
        lambda: Diffusion((2,), width=8),
        lambda: FlowMatching((2,), width=8),
        lambda: Flow((2,), width=8),
    ],
)
def test_evaluation_leaves_every_bit_of_a_model_its_mode_and_the_random_state(make, by):
    model = make()
    if model.unnormalised is not None:
        model.unnormalised.set_log_z(1.0)
        model.eval()
    events = data(model.levels)
    before, state, training = bits(model), torch.get_rng_state(), model.training
    evaluate(model, events, by=by)
    assert bits(model) == before and model.training == training
    assert torch.equal(state, torch.get_rng_state())


def bits(model: GenerativeModel) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def reflections(source: str) -> list[str]:
    """Calls that ask an object what it is or has, beyond plain values."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom) and "inspect" in ast.unparse(node):
            found.append(ast.unparse(node))
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        if name == "isinstance" and set(ast.unparse(node.args[1]).split(" | ")) <= VALUES:
            continue
        if name in REFLECTION or (name == "getattr" and len(node.args) > 2):
            found.append(ast.unparse(node))
    return found


def test_the_finder_of_reflections_finds_them():
    assert reflections("hasattr(model, 'energy')") and reflections("import inspect")
    assert reflections("getattr(model, 'condition', 0)") and reflections("isinstance(m, VAE)")
    assert not reflections("isinstance(n, int)") and not reflections("getattr(data, split)")


@pytest.mark.parametrize("wing", ["evaluation", "compression", "benchmark/measures.py"])
def test_whoever_measures_asks_the_model_and_looks_for_no_attributes(wing):
    path = HOUSE / wing
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    found = {str(file): reflections(file.read_text(encoding="utf-8")) for file in files}
    assert {name: calls for name, calls in found.items() if calls} == {}


# ------------------------------------------------------------------------------- a batch at a time


def test_a_function_in_batches_is_the_function():
    x, c, told = torch.randn(10, 3), torch.arange(10), []
    result = batched(
        lambda x, c, none: x.sum(1) + c + (0 if none is None else 1),
        x,
        c,
        None,
        device=torch.device("cpu"),
        size=4,
        progress=lambda *now: told.append(now),
        doing="adding",
    )
    torch.testing.assert_close(result, x.sum(1) + c)
    assert told == [(4, 10, "adding"), (8, 10, "adding"), (10, 10, "adding")]


def test_a_seed_makes_batches_repeatable_and_leaves_the_caller_s_numbers_alone():
    state, cpu = torch.get_rng_state(), torch.device("cpu")
    first, again, other = (
        batched(torch.rand_like, torch.zeros(5), device=cpu, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())
