"""Plans of runs: what counts as the same run, also for a genzoo that has learned more since."""

import json

import pytest
import yaml

from genzoo import planning, runs
from genzoo.errors import InputError


def stored(folder, **sections):
    """A finished run whose plan lacks the given arguments, as one of an older genzoo would."""
    plan = planning.plan("vae", "digits", model={"width": 8})
    before = plan.stated
    for section, names in sections.items():
        before[section] = {name: value for name, value in before[section].items() if name not in names}
    (folder / "config.yaml").write_text(yaml.safe_dump(before))
    (folder / "row.json").write_text(json.dumps({"family": "VAE"}))
    return plan


def test_a_run_from_before_an_argument_was_added_is_the_run_with_its_default(tmp_path):
    plan = stored(tmp_path, model=["codes"], train=["jitter"])
    assert runs.finished(plan, tmp_path) == {"family": "VAE"}
    with pytest.raises(InputError, match=r"train\.jitter 0\.0 instead of 0\.1"):
        runs.finished(planning.plan("vae", "digits", model={"width": 8}, train={"jitter": 0.1}), tmp_path)


def test_that_holds_for_a_prior_inside_as_well(tmp_path):
    plan = planning.plan("vae+flow", "digits", budget="full")
    before = plan.stated
    del before["model"]["prior"]["arguments"]["lattice"], before["prior"]["jitter"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(before))
    assert runs.finished(plan, tmp_path) is None  # not finished, but it may be resumed
    before["model"]["prior"]["arguments"]["width"] = 9
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(before))
    with pytest.raises(InputError, match=r"model\.prior\.arguments\.width 9 instead of"):
        runs.finished(plan, tmp_path)


def test_a_run_of_another_plan_is_not_taken_for_this_one(tmp_path):
    stored(tmp_path, model=["width"])  # whose default is not 8
    with pytest.raises(InputError, match=r"model\.width \d+ instead of 8"):
        runs.finished(planning.plan("vae", "digits", model={"width": 8}), tmp_path)
    with pytest.raises(InputError, match="family VAE instead of Flow"):
        runs.finished(planning.plan("flow", "digits"), tmp_path)
    (tmp_path / "config.yaml").write_text("model: 3\n")
    with pytest.raises(InputError, match="instead of"):
        runs.finished(planning.plan("vae", "digits"), tmp_path)
    assert runs.finished(planning.plan("vae", "digits"), tmp_path / "nowhere") is None
