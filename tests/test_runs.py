"""Plans of runs: what counts as the same run, also for a genzoo that has learned more since."""

import json
from dataclasses import replace

import pytest
import yaml
from rows import row

from genzoo.benchmark import plan as planning
from genzoo.benchmark import run as runs
from genzoo.errors import InputError
from genzoo.evaluation.likelihood.estimators import DEFAULTS, estimator

ROW = row("VAE")


def stored(folder, **sections):
    """A finished run whose plan lacks the given arguments, as one of an older genzoo would."""
    plan = planning.plan("vae", "digits", model={"width": 8})
    before = plan.stated
    for section, names in sections.items():
        before[section] = {
            name: value for name, value in before[section].items() if name not in names
        }
    (folder / "config.yaml").write_text(yaml.safe_dump(before))
    (folder / "row.json").write_text(json.dumps(ROW.to_json()))
    return plan


def test_a_run_from_before_an_argument_was_added_is_the_run_with_its_default(tmp_path):
    plan = stored(tmp_path, model=["codes"], train=["jitter"])
    assert runs.load_finished(plan, tmp_path) == ROW
    with pytest.raises(InputError, match=r"train\.jitter 0\.0 instead of 0\.1"):
        runs.load_finished(
            planning.plan("vae", "digits", model={"width": 8}, train={"jitter": 0.1}), tmp_path
        )


def test_that_holds_for_a_prior_inside_as_well(tmp_path):
    plan = planning.plan("vae+flow", "digits", budget="full")
    before = plan.stated
    del before["model"]["prior"]["arguments"]["lattice"], before["prior"]["jitter"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(before))
    assert runs.load_finished(plan, tmp_path) is None  # not finished, but it may be resumed
    before["model"]["prior"]["arguments"]["width"] = 9
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(before))
    with pytest.raises(InputError, match=r"model\.prior\.arguments\.width 9 instead of"):
        runs.load_finished(plan, tmp_path)


def test_a_run_may_go_on_elsewhere_but_not_in_another_precision(tmp_path):
    plan = stored(tmp_path)
    elsewhere = {"devices": 4, "strategy": "ddp", "accelerator": "cuda", "compile": True}
    moved = planning.plan("vae", "digits", model={"width": 8}, train=elsewhere)
    assert moved != plan and runs.load_finished(moved, tmp_path) == ROW
    other = planning.plan("vae", "digits", model={"width": 8}, train={"precision": "bf16"})
    with pytest.raises(InputError, match=r"train\.precision 32 instead of bf16"):
        runs.load_finished(other, tmp_path)


def test_both_stages_of_a_hybrid_are_computed_alike():
    asked = {"precision": "bf16", "devices": 2}
    plan = planning.plan("vae+flow", "digits", budget="full", train=asked)
    for stage in (plan.train, plan.prior):
        assert {name: stage[name] for name in asked} == asked


def test_a_run_of_another_plan_is_not_taken_for_this_one(tmp_path):
    stored(tmp_path, model=["width"])  # whose default is not 8
    with pytest.raises(InputError, match=r"model\.width \d+ instead of 8"):
        runs.load_finished(planning.plan("vae", "digits", model={"width": 8}), tmp_path)
    with pytest.raises(InputError, match="family VAE instead of Flow"):
        runs.load_finished(planning.plan("flow", "digits"), tmp_path)
    for odd in ("model: 3", "model: {prior: {a: 1}}", "model: {prior: {family: 3, arguments: 5}}"):
        (tmp_path / "config.yaml").write_text(odd)
        with pytest.raises(InputError, match="instead of"):
            runs.load_finished(planning.plan("vae", "digits"), tmp_path)
    assert runs.load_finished(planning.plan("vae", "digits"), tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("k: x", "k must be a whole number of at least 1, got 'x'"),
        ("k: 0", "k must be a whole number of at least 1, got 0"),
        ("k: null", "got None"),
        ("k: 1.5", "got 1.5"),
        ("k: [1]", r"got \[1\]"),
        ("batch: true", "batch must be a whole number of at least 1, got True"),
        ("most: -1", "most must be a whole number of at least 1, got -1"),
        ("ais_levels: x", "ais_levels must be a whole number of at least 0, got 'x'"),
        ("ais_chains: -2", "ais_chains must be a whole number of at least 0, got -2"),
        ("ode_tolerance: x", "ode_tolerance must be a number from 0 up to, but not, 1, got 'x'"),
        ("ode_tolerance: .nan", "got nan"),
    ],
)
def test_a_wrong_setting_of_the_evaluation_is_found_before_training(setting, sentence, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"vae: {{evaluate: {{{setting}}}}}\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"To evaluate, .*{sentence}"):
        planning.plan("vae", "digits", recipe=recipe)


def test_every_setting_of_the_evaluation_is_checked():
    for name in DEFAULTS:
        with pytest.raises(InputError, match=f"{name} must be"):
            estimator({name: "x"})


def test_how_a_run_is_evaluated_may_change_until_it_is_finished(tmp_path):
    plan = planning.plan("vae", "digits")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plan.stated))
    other = replace(plan, evaluate=plan.evaluate | {"k": 3})
    assert runs.load_finished(other, tmp_path) is None
    (tmp_path / "row.json").write_text(json.dumps(ROW.to_json()))
    with pytest.raises(InputError, match=r"evaluate\.k \d+ instead of 3"):
        runs.load_finished(other, tmp_path)


def test_a_row_of_an_earlier_genzoo_names_the_script_that_reads_it(tmp_path):
    plan = stored(tmp_path)
    (tmp_path / "row.json").write_text(json.dumps({"family": "VAE", "data": "digits"}))
    with pytest.raises(InputError, match=r"migrate_rows\.py"):
        runs.load_finished(plan, tmp_path)


def test_minutes_take_the_place_of_steps_in_every_stage():
    plan = planning.plan("vae", "digits", minutes=3)
    assert plan.train["minutes"] == plan.minutes == 3
    staged = planning.plan("vae+flow", "digits", minutes=3)
    assert staged.prior["minutes"] > 0 and staged.minutes == pytest.approx(3)
    assert planning.plan("vae", "digits").minutes is None
