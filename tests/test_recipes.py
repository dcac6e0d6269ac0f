"""Recipes: the file that was named, then that of the data set, then the default one.

Mistakes are named.
"""

from pathlib import Path

import pytest
import torch

from genzoo.benchmark import recipes
from genzoo.benchmark.plan import plan
from genzoo.benchmark.run import new_model
from genzoo.data.dataset import DataSet, Split
from genzoo.data.images.torchvision import draw
from genzoo.errors import InputError
from genzoo.families import names
from genzoo.training.fitting import fit


def test_a_family_that_a_file_leaves_out_is_trained_by_the_recipe_of_its_data(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("VAE: {train: {steps: 7}}")
    assert recipes.find("digits", "full", "vae", mine)["train"] == {"steps": 7}
    assert recipes.find("digits", "full", "flow", mine) == recipes.find("digits", "full", "flow")


def test_data_without_a_recipe_has_the_default_one_and_an_unknown_family_an_empty_one():
    assert (
        recipes.find("yours.npz", "quick", "gan")
        == recipes.read(recipes.folder() / "default-quick.yaml")["gan"]
    )
    assert recipes.find("digits", "quick", "nobody") == {
        section: {} for section in recipes.SECTIONS
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("vae: {trian: {steps: 7}}", "no section 'trian'.*train"),
        ("vae: {train: 7}", "train should be a mapping"),
        ("- vae", "expected one entry for each family"),
        ("vae: {", "is not YAML"),
        ("vae: {model: {1: 2}}", "expected text for a key, got 1"),
        ("veae: {train: {steps: 7}}", "an entry 'veae', and none for 'vae'"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(tmp_path, text, sentence):
    Path(tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=sentence):
        recipes.find("digits", "full", "vae", tmp_path / "mine.yaml")


def test_the_same_digits_in_another_split_are_trained_by_the_same_recipe():
    for family in ("vae", "diffusion"):
        assert recipes.find("digits-index", "quick", family) == recipes.find(
            "digits", "quick", family
        )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("vae: {model: {prior: flow}}", "A prior must be a mapping such as .*, got 'flow'"),
        ("vae: {model: {prior: 1}}", "A prior must be a mapping"),
        ("vae: {model: {prior: {family: flow, arguments: 3}}}", "A prior must be a mapping"),
        ("vae: {prior: {model: {width: 3}}}", "section prior for VAE, which has no prior"),
    ],
)
def test_a_prior_that_is_none_is_refused_before_anything_is_built(tmp_path, text, sentence):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=sentence):
        plan("vae", "moons", recipe=tmp_path / "mine.yaml")


OF_REAL_SIZE = ("mnist", "mnist-binary", "fashion-mnist", "cifar10")


@pytest.mark.parametrize("budget", recipes.TAILORED)
@pytest.mark.parametrize("data", OF_REAL_SIZE)
def test_an_hour_is_enough_for_every_family(data, budget):
    """50 minutes of training leave ten for the figures, which keep to their share of them.

    Where the number of steps is fixed, so that a run can be repeated, the record tells the time.
    """
    for family in names.TAXONOMY:
        made = plan(family, data, budget=budget)
        if made.minutes is None:
            assert made.train["steps"] > 0
        else:
            assert made.minutes <= 50


def test_data_without_a_recipe_for_an_hour_says_which_have_one():
    with pytest.raises(InputError, match=r"no recipe 'cpu' for digits.*cifar10, fashion-mnist"):
        plan("vae", "digits", budget="cpu")
    assert recipes.tailored() == sorted(OF_REAL_SIZE)


@pytest.mark.parametrize("family", names.TAXONOMY)
def test_two_steps_of_a_recipe_for_a_gpu(family):
    """On small images of noise, for the weights are what is too large, if anything."""
    made = plan(family, "mnist-binary", budget="gpu")
    grey = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8)
    parts = [Split(draw(grey[i : i + 4])) for i in (0, 4, 8)]
    data = DataSet("noise", *parts, levels=2, in_nats=True)
    settings = made.train | {"minutes": None, "steps": 2, "batch_size": 2, "check_every": 2}
    fitted = fit(new_model(made, data), data, **settings)
    assert fitted.steps == 2


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"compile": "maybe"}, "compile must be true or false, got 'maybe'"),
        ({"optimizer": {"a": 1}}, "There is no optimizer"),
        ({"precision": 64}, "There is no precision '64'"),
    ],
)
def test_a_setting_of_another_kind_is_refused_before_training(setting, sentence):
    with pytest.raises(InputError, match=sentence):
        plan("vae", "moons", train=setting)
