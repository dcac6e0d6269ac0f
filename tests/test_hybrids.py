"""Hybrids: their names, the claims computed of them, and training in two stages."""

import json
import math
from typing import Any

import pytest
import torch

from genzoo import GAN, VAE, VAEGAN, Autoregressive, Energy, Flow, FlowMatching, Likelihood, grid
from genzoo.benchmark import plan as planning
from genzoo.benchmark import run as runs
from genzoo.benchmark.hybrids import parts
from genzoo.benchmark.row import Row
from genzoo.data.dataset import DataSet, Split
from genzoo.distributions import (
    DiscretisedLogisticMixture,
    FiniteScalarQuantized,
    SmoothedBoxMixture,
    quantized,
)
from genzoo.errors import InputError
from genzoo.evaluation import AIS, Own, evaluate
from genzoo.evaluation.cost import peak_memory
from genzoo.evaluation.likelihood.partition import keep_log_z
from genzoo.families.gan import generator_loss
from genzoo.families.priors import PlainPrior
from genzoo.training.two_stage import encoded, fit_in_stages, trained

TINY: dict[str, Any] = {"width": 8, "components": 2}


def made_up(
    shape: tuple[int, ...] = (3,), levels: int = 0, n: int = 64, condition: int = 0
) -> DataSet:
    splits = [
        Split(
            grid.quantise(0.5 * torch.randn(size, *shape), levels),
            torch.arange(size) % 3 if condition else None,
        )
        for size in (n, n // 2, n // 2)
    ]
    return DataSet("made up", *splits, levels=levels, condition=condition)


# -------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "classes", "spoken"),
    [
        ("flow", (Flow, None), "Flow"),
        ("VAE+Flow", (VAE, Flow), "VAE+Flow"),
        ("vae+ar", (VAE, Autoregressive), "VAE+Autoregressive"),
        ("vae+flowmatching", (VAE, FlowMatching), "VAE+FlowMatching"),
        ("vaegan", (VAEGAN, None), "VAEGAN"),
    ],
)
def test_a_name_says_its_parts(name, classes, spoken):
    assert tuple(parts(name)) == classes
    assert parts(name).name == spoken
    assert parts(spoken) == parts(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("vae+flo", "vae[+]flow"),
        ("vae_gan", "vaegan"),
        ("flow+vae", "write vae[+]FAMILY"),
        ("vae+flow+gan", "vae[+]flow"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(InputError, match=hint):
        parts(name)


# ------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("name", "claim", "in_stages"),
    [
        ("vae+flow", Likelihood.BOUND, False),
        ("vae+vae", Likelihood.BOUND, False),
        ("vae+diffusion", Likelihood.BOUND, False),
        ("vae+autoregressive", Likelihood.BOUND, False),
        ("vae+energy", Likelihood.ESTIMATE, True),
        ("vae+flowmatching", Likelihood.ESTIMATE, True),
        ("vae+gan", Likelihood.NONE, True),
        ("vaegan", Likelihood.BOUND, False),
    ],
)
def test_the_claim_follows_from_the_parts_and_so_does_the_need_of_a_second_stage(
    name, claim, in_stages, tmp_path
):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{name}: {{model: {{width: 8}}}}\n", encoding="utf-8")
    plan = planning.plan(name, "digits", recipe=recipe)
    assert runs.new_model(plan, made_up((1, 8, 8), 17)).likelihood == claim
    assert bool(plan.prior) == in_stages


def test_a_recipe_may_ask_for_a_second_stage_and_its_mistakes_are_named(tmp_path):
    recipe = tmp_path / "recipe.yaml"

    def planned(prior: str, model: str = "{}") -> planning.Plan:
        recipe.write_text(f"vae+flow: {{model: {model}, prior: {prior}}}\n", encoding="utf-8")
        return planning.plan("vae+flow", "digits", recipe=recipe)

    plan = planned("{model: {width: 8}, train: {steps: 7}}")
    assert plan.prior["steps"] == 7 and plan.model["prior"]["arguments"]["width"] == 8
    assert "prior" in plan.stated and "prior" not in planned("{model: {width: 8}}").stated
    for wrong, words in [
        ("{model: {widht: 8}}", "Did you mean 'width'"),
        ("{train: {step: 8}}", "Did you mean 'steps'"),
        ("{modle: {}}", "Did you mean 'model'"),
        ("{train: {steps: 0}}", "steps must be"),
    ]:
        with pytest.raises(InputError, match=words):
            planned(wrong)


# -------------------------------------------------------------------------------------------- codes


def test_a_point_mass_on_the_grid_is_a_density_on_its_bin_and_passes_gradients_straight_through():
    raw = torch.randn(6, 3, requires_grad=True)
    q = quantized(raw, (3,), levels=5)
    z = q.rsample()
    assert torch.equal(grid.quantise(z, 5), z.detach()) or torch.allclose(grid.quantise(z, 5), z)
    (gradient,) = torch.autograd.grad(z.sum(), raw)
    torch.testing.assert_close(gradient, 1 - raw.detach().tanh() ** 2)
    levels = grid.to_grid(torch.arange(5), 5)
    density = FiniteScalarQuantized(torch.tensor(0.3), 5).log_prob(levels).exp()
    torch.testing.assert_close(
        density * grid.bin_width(5), (levels == grid.quantise(torch.tensor(0.3), 5)).float()
    )
    assert q.log_prob(z.detach()).tolist() == pytest.approx([-3 * math.log(2 / 5)] * 6)


def coded(prior: bool) -> VAE:
    """Of 2 x 2 pixels of 3 levels, with 2 codes of 4 levels.

    81 events and 16 codes, so that all can be summed.
    """
    torch.manual_seed(0)
    part = Autoregressive((2,), levels=4, width=8, depth=1, components=2) if prior else None
    model = VAE((1, 2, 2), levels=3, latent_shape=(2,), codes=4, prior=part, **TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("prior", [False, True])
@torch.no_grad()
def test_the_bound_of_a_coded_vae_is_below_the_sum_over_all_codes(prior):
    model = coded(prior)
    x = grid.to_grid(torch.cartesian_prod(*[torch.arange(3)] * 4), 3).view(-1, 1, 2, 2)
    codes = grid.to_grid(torch.cartesian_prod(*[torch.arange(4)] * 2), 4)
    log_p_code = model.log_prior(codes) + 2 * math.log(grid.bin_width(4))
    assert torch.logsumexp(log_p_code, 0).item() == pytest.approx(0, abs=1e-5)
    joint = torch.stack(
        [
            log_p + model.p(z.expand(len(x), 2)).log_prob(x)
            for z, log_p in zip(codes, log_p_code, strict=True)
        ]
    )
    truth, bound = torch.logsumexp(joint, 0), model.bound(x, k=3)
    volume = 4 * math.log(grid.bin_width(3))
    assert torch.logsumexp(truth + volume, 0).item() == pytest.approx(0, abs=1e-5)
    assert (bound <= truth + 1e-5).all()
    which = grid.to_level(model.encode(x), 4)  # and it is the term of the event's own code
    torch.testing.assert_close(bound, joint[which[:, 0] * 4 + which[:, 1], torch.arange(len(x))])


@torch.no_grad()
def test_a_coded_vae_samples_through_codes_alone():
    for model in (coded(False), coded(True)):
        seen, p = [], model.p
        model.p = lambda z, c=None, p=p, seen=seen: (seen.append(z), p(z, c))[1]
        assert model.sample(50).shape == (50, 1, 2, 2)
        torch.testing.assert_close(seen[0], grid.quantise(seen[0], 4))


def test_codes_and_their_prior_must_agree():
    with pytest.raises(ValueError, match="3 levels, but the latent has 4 codes"):
        VAE((2,), latent_shape=(2,), codes=4, prior=Autoregressive((2,), levels=3, width=8))
    with pytest.raises(ValueError, match="at least 2"):
        VAE((2,), codes=1)


# ------------------------------------------------------------------------------------------- stages


def test_the_map_to_latents_draws_from_the_encoder():
    data = made_up(n=30, condition=3)
    model = VAE((3,), condition=3, latent_shape=(2,), **TINY).eval()
    latents = encoded(data, model, draws=400)
    assert latents.event_shape == (2,) and latents.levels == 0 and latents.condition == 3
    assert (len(latents.train), len(latents.validation), len(latents.test)) == (30 * 400, 15, 15)
    draws = latents.train.x.view(400, 30, 2)
    with torch.no_grad():
        q = model.q(data.train.x, data.train.c).base_dist
    assert ((draws.mean(0) - q.mean).abs() < 5 * q.stddev / 20).all()
    torch.testing.assert_close(draws.std(0), q.stddev, rtol=0.25, atol=0)
    assert torch.equal(latents.train.c.view(400, 30), data.train.c.expand(400, 30))
    assert torch.equal(encoded(data, model, draws=400).train.x, latents.train.x)


def test_with_codes_the_latents_are_discrete_data():
    latents = encoded(made_up(), VAE((3,), latent_shape=(2,), codes=5, **TINY))
    assert latents.levels == 5 and len(latents.train) == 64
    assert torch.equal(latents.train.x, grid.quantise(latents.train.x, 5))


STAGES: dict[str, Any] = {
    "train": {"steps": 8, "batch_size": 16, "check_every": 4},
    "prior": {"steps": 12, "batch_size": 64, "check_every": 4},
}


def staged(family: Any, **options) -> VAE:
    torch.manual_seed(0)
    return VAE((3,), latent_shape=(4,), prior=family((4,), width=8, **options), **TINY)


def test_a_prior_in_its_own_stage_tightens_the_bound(tmp_path):
    """The encoder's aggregate is not a standard Gaussian; a flow that has seen it is nearer."""
    data = made_up(n=256)
    model = staged(Flow, couplings=2, bins=4, lr=1e-2)
    with torch.no_grad():
        model.encoder.head.bias[:4] = 1.5  # latents far from where a standard Gaussian expects them
    settings: dict[str, Any] = {
        "train": {"steps": 1},
        "prior": {"steps": 100, "batch_size": 128, "check_every": 50},
    }
    fitted = fit_in_stages(model, data, tmp_path, **settings)
    assert (
        fitted.model is model
        and fitted.steps > 100
        and (fitted.best_step, fitted.validation) == (None, None)
    )
    with torch.no_grad():
        after = model.bound(data.test.x, k=16).mean()
        model.prior = model.plain_prior()
        before = model.bound(data.test.x, k=16).mean()
    assert after > before + 1


def test_an_interruption_in_either_stage_changes_nothing(tmp_path, monkeypatch):
    data = made_up()
    whole = staged(GAN, latent_shape=(2,))
    fit_in_stages(whole, data, tmp_path / "whole", seed=3, **STAGES)
    # report every step
    monkeypatch.setattr("genzoo.training.callbacks.Reporter.__init__.__defaults__", (0.0,))

    class Interruption(Exception):
        pass

    def interrupt_at(step: int, of_prior: bool):
        def report(done: int, total: int, text: str) -> None:
            if text.startswith("prior") == of_prior and done >= step:
                raise Interruption

        return report

    for report in (interrupt_at(5, of_prior=False), interrupt_at(6, of_prior=True)):
        model = staged(GAN, latent_shape=(2,))
        with pytest.raises(Interruption):
            fit_in_stages(model, data, tmp_path / "resumed", seed=3, progress=report, **STAGES)
        assert not isinstance(model.prior, PlainPrior)
    first_log = (tmp_path / "resumed" / "log.csv").read_text(encoding="utf-8")
    resumed = staged(GAN, latent_shape=(2,))
    fitted = fit_in_stages(resumed, data, tmp_path / "resumed", seed=3, **STAGES)
    assert fitted.steps == 20
    assert (tmp_path / "resumed" / "log.csv").read_text(
        encoding="utf-8"
    ) == first_log  # nothing was trained twice
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_without_a_prior_there_is_no_second_stage(tmp_path):
    with pytest.raises(ValueError, match="no prior"):
        fit_in_stages(VAE((3,), **TINY), made_up(), tmp_path, train={}, prior={})


# ---------------------------------------------------------------------------------- energy as prior


def test_the_annealed_prior_of_an_energy_hybrid_gives_the_figure_of_the_vae_whose_prior_it_is():
    """An energy of |z|²/2 is a standard Gaussian that does not know its normaliser."""
    data = made_up(n=128)
    prior = Energy((2,), width=8, buffer=256)
    with torch.no_grad():
        prior.network.head.weight.zero_()
        prior.network.head.bias.fill_(0.7)
        prior.chains.normal_()
    model = VAE((3,), latent_shape=(2,), prior=prior, **TINY).eval()
    silent = evaluate(model, data)
    assert silent.kind == Likelihood.NONE and "log Z" in silent.details["reason"]
    found = evaluate(model, data, by=AIS(levels=60, chains=32, k=8))
    assert found.kind == Likelihood.ESTIMATE and "does not flatter" in found.direction
    log_z = found.details["log_z"]
    assert log_z["lower"] - 0.01 < math.log(2 * math.pi) - 0.7 < log_z["upper"] + 0.01
    assert prior.log_z.isnan()  # measuring a model leaves it as it was
    keep_log_z(model, found.log_z)
    again = evaluate(model, data, by=Own(k=8))
    width, width_again = (figure.high - figure.low for figure in (found.figure, again.figure))
    assert width_again == pytest.approx(width, abs=1e-4)
    assert again.figure.middle == pytest.approx(found.figure.middle, abs=4 * found.figure.stderr)
    model.prior = model.plain_prior()
    plain = evaluate(model, data, by=Own(k=8))
    assert plain.kind == Likelihood.BOUND
    assert found.figure.middle == pytest.approx(plain.value, abs=0.1)


# ------------------------------------------------------------------------------------------ VAE-GAN


def test_a_vaegan_states_the_bound_of_its_vae():
    model, x = VAEGAN((3,), width=8, latent_shape=(2,)).eval(), torch.randn(5, 3)
    torch.manual_seed(1)
    ours = model.bound(x, k=4)
    torch.manual_seed(1)
    torch.testing.assert_close(ours, model.vae.bound(x, k=4))
    assert model.likelihood == model.vae.likelihood == Likelihood.BOUND


@pytest.mark.equation("vae-gan")
def test_the_loss_of_a_vaegan_is_minus_its_bound_and_what_the_critic_says_of_both_draws():
    model, x = VAEGAN((3,), width=8, latent_shape=(2,), adversary=0.7), torch.randn(5, 3)
    elbo, drawn = model.draws(x, None)
    of_prior, of_reconstruction = model.score(drawn).view(2, 5)
    fooled = -torch.sigmoid(of_prior).log() - torch.sigmoid(of_reconstruction).log()
    torch.testing.assert_close(model.vae_loss(elbo, drawn, None), 0.7 * fooled - elbo)
    model.adversary = 0.0
    torch.testing.assert_close(model.vae_loss(elbo, drawn, None), -elbo)


def test_either_player_learns_from_its_own_loss_alone():
    """The critic's loss says nothing to the VAE.

    The VAE's, without an adversary, is minus the ELBO.
    """
    model, x = VAEGAN((3,), width=8, latent_shape=(2,), adversary=0.0), torch.randn(5, 3)
    elbo, drawn = model.draws(x, None)
    grads = torch.autograd.grad(
        model.critics_loss(x, drawn, None).sum(), list(model.vae.parameters()), allow_unused=True
    )
    assert all(g is None for g in grads)
    through = torch.autograd.grad(
        generator_loss(model.score, drawn, None).sum(),
        list(model.vae.decoder.parameters()),
        allow_unused=True,
    )
    assert any(g is not None and g.abs().sum() > 0 for g in through)
    assert elbo.shape == (5,) and drawn.shape == (10, 3)


@pytest.mark.parametrize("levels", [0, 7])
def test_draws_with_gradients_have_the_law_of_those_without(levels):
    n, shape = 40_000, (3,)
    logits, loc, log_scale = (
        torch.randn(*shape, 2),
        0.5 * torch.randn(*shape, 2),
        torch.full((*shape, 2), -1.5),
    )
    logits.requires_grad_(True)
    loc.requires_grad_(True)
    parameters = (logits, loc, log_scale)
    p = (
        DiscretisedLogisticMixture(*parameters, levels)
        if levels
        else SmoothedBoxMixture(*parameters, log_scale + 1)
    )
    drawn, plain = p.rsample((n,)), p.sample((n,))
    cuts = torch.linspace(-0.8, 0.8, 9)
    for cut in cuts:
        a, b = (drawn < cut).float().mean(0), (plain < cut).float().mean(0)
        assert ((a - b).abs() < 5 * (0.5 / n) ** 0.5).all()
    if levels:
        torch.testing.assert_close(drawn, grid.quantise(drawn, levels))
    gradients = torch.autograd.grad(drawn.sum(), parameters[:2])
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in gradients)
    # a shift of both shifts all draws
    torch.testing.assert_close(gradients[1].sum(-1), torch.full(shape, float(n)))


# ----------------------------------------------------------------------------------------- as a row


def test_hybrids_are_rows_of_a_comparison(tmp_path, capsys, undrawn):
    from genzoo.cli import main

    recipe = tmp_path / "recipe.yaml"
    lines = [
        "vae+ar: {}",
        "vae+autoregressive: {model: {width: 8, codes: 4}, train: {steps: 2},"
        " prior: {model: {width: 8, depth: 1}, train: {steps: 2}}, evaluate: {k: 1}}",
        "vae+energy: {model: {width: 8}, train: {steps: 2}, prior: {model: {width: 8, buffer: 32}, "
        "train: {steps: 2}},"
        " evaluate: {k: 1, ais_levels: 60, ais_chains: 32}}",
    ]
    recipe.write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "out"
    command = [
        "compare",
        "--families",
        "vae+ar",
        "vae+energy",
        "--recipe",
        str(recipe),
        "--jobs",
        "1",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "VAE+Autoregressive" in printed and "VAE+Energy" in printed
    model, plan = runs.load_run(out / "vae+energy-seed0")
    assert (
        isinstance(model, VAE) and isinstance(model.prior, Energy) and not model.prior.log_z.isnan()
    )
    assert plan["family"] == "VAE+Energy" and plan["prior"]["steps"] == 2
    assert main(command) == 0
    assert "2 of 2 runs were finished before" in capsys.readouterr().out
    assert not list(out.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("prior", "model"),
    [("gan", "{width: 8}"), ("energy", "{width: 8, buffer: 32, steps: 2, sample_steps: 2}")],
)
def test_a_prior_without_a_likelihood_of_its_own_makes_a_whole_run(prior, model, tmp_path):
    """Its memory is that of what was trained, the VAE or its prior, whichever took more."""
    from genzoo.cli import main

    settings = "--data moons --steps 2 --batch-size 8 --latent-shape [2]".split()  # noqa: SIM905
    recipe = tmp_path / "recipe.yaml"
    stage = f"{{model: {model}, train: {{steps: 2, batch_size: 8}}}}"
    recipe.write_text(f"vae+{prior}: {{prior: {stage}}}\n", encoding="utf-8")
    out = tmp_path / "run"
    command = ["train", f"vae+{prior}", *settings, "--recipe", str(recipe), "--out", str(out)]
    assert main(command) == 0
    row = Row.from_json(json.loads((out / "row.json").read_text(encoding="utf-8")))
    assert row.likelihood.unit == "nats" and row.figure.value is None
    assert row.memory is not None and row.memory.training > row.memory.sampling > 0


def test_the_memory_of_two_stages_is_that_of_the_one_that_takes_more(tmp_path):
    for width in (4, 64):
        prior = Energy((2,), width=width, buffer=16, steps=2, sample_steps=2)
        model = VAE((1, 4, 4), levels=3, latent_shape=(2,), width=16, prior=prior)
        x = model.on_grid(torch.randn(8, 1, 4, 4))
        alone = VAE((1, 4, 4), levels=3, latent_shape=(2,), width=16)
        parts = [(alone, x), (prior, torch.randn(8, 2))]
        each = [peak_memory(part, events)["training"] for part, events in parts]
        found = peak_memory(model, x, None, trained(model, x, None, None))
        assert found["training"] == max(each)
        assert found["sampling"] == peak_memory(model, x, None, parts)["sampling"]
        assert not isinstance(model.prior, PlainPrior)


def test_a_prior_that_can_be_trained_along_was_so_unless_the_run_has_a_stage_of_it(tmp_path):
    model, x = VAE((2,), latent_shape=(2,), width=8, prior=Flow((2,), width=8)), torch.randn(4, 2)
    assert [part for part, _ in trained(model, x, None, tmp_path)] == [model]
    fit_in_stages(model, made_up((2,), 0), tmp_path, **STAGES)
    first, second = (part for part, _ in trained(model, x, None, tmp_path))
    assert isinstance(first.prior, PlainPrior) and second is model.prior


def test_an_unknown_hybrid_is_refused_by_the_command_line(capsys):
    from genzoo.cli import main

    assert main(["compare", "--families", "vae+flwo"]) == 2
    assert "Did you mean 'vae+flow'?" in capsys.readouterr().err
