"""What a model or `genzoo.fit` is given, and cannot take, is named in one sentence."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import genzoo
from genzoo.cli import main
from genzoo.errors import InputError
from genzoo.model import GenerativeModel, Likelihood

SMALL = {"width": 8, "couplings": 1, "depth": 1, "latent_shape": (2,)}


def small(family: type[GenerativeModel]) -> GenerativeModel:
    known = inspect.signature(family).parameters
    return family((2,), **{name: value for name, value in SMALL.items() if name in known}).eval()


@pytest.mark.parametrize("n", [-1, 2.5, "3", None, [2]])
@pytest.mark.parametrize("family", genzoo.FAMILIES)
def test_a_number_of_events_is_whole(family, n):
    with pytest.raises(InputError, match="n must be a whole number of at least 0, got"):
        small(family).sample(n)


@pytest.mark.parametrize("n", [2, np.int64(2), torch.tensor(2)])
def test_any_whole_number_will_do(n):
    assert small(genzoo.Flow).sample(n).shape == (2, 2)


x = torch.linspace(-1, 1, 12).view(6, 2)
OTHER = {
    "float64": (x.double(), r"computes in torch\.float32, got events in torch\.float64"),
    "numpy": (x.numpy(), "as a tensor, got ndarray"),
    "a list": (x.tolist(), "as a tensor, got list"),
    "nothing": (None, "as a tensor, got NoneType"),
    "one event": (x[0], r"takes \(n, 2\), got \(2,\)"),
    "a number": (x[0, 0], r"takes \(n, 2\), got \(\)"),
}


@pytest.mark.parametrize("kind", OTHER)
@pytest.mark.parametrize("family", genzoo.FAMILIES)
def test_events_are_tensors_of_the_models_shape_and_precision(family, kind):
    model = small(family)
    given, sentence = OTHER[kind]
    calls = [model.loss]
    calls += [model.log_prob] if model.likelihood < Likelihood.NONE else []
    calls += [model.encode] if model.latent_shape is not None else []
    for call in calls:
        with pytest.raises(InputError, match=sentence):
            call(given)


@pytest.mark.parametrize("family", genzoo.FAMILIES)
def test_a_model_in_float64_takes_float64(family):
    assert small(family).double().loss(x.double()).dtype == torch.float64


def test_under_autocast_a_model_takes_what_networks_give():
    with torch.autocast("cpu", torch.bfloat16):
        assert small(genzoo.VAE).log_prob(x.bfloat16()).isfinite().all()


def test_a_search_for_latents_counts_the_conditions_that_were_given():
    model = genzoo.GAN((2,), condition=3, width=8, latent_shape=(2,))
    with pytest.raises(InputError, match="6 events but 5 conditions"):
        model.encode(x, torch.zeros(5, dtype=torch.long))


@pytest.mark.parametrize("model", [nn.Linear(2, 2), genzoo.Flow, None])
def test_what_is_no_model_is_not_trained(model):
    with pytest.raises(InputError, match=r"fit trains models such as genzoo\.VAE, got"):
        genzoo.fit(model, genzoo.data.load("moons"))


@pytest.mark.parametrize("data", [3, "moons", np.zeros((40, 2)), x])
def test_what_is_no_data_set_is_not_trained_on(data):
    with pytest.raises(InputError, match="fit trains on a data set, got"):
        genzoo.fit(small(genzoo.Flow), data)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--strategy=dpp", "Did you mean 'ddp'"),
        ("--devices=0", "devices must be a whole number of at least 1"),
        ("--nodes=-1", "nodes must be a whole number of at least 1"),
        ("--accelerator=gpuu", "There is no accelerator 'gpuu'"),
    ],
)
def test_hardware_that_means_nothing_is_said_before_any_run_begins(
    option, sentence, tmp_path, capsys
):
    command = ["compare", "--data", "moons", "--families", "vae", "--out", str(tmp_path), option]
    assert main(command) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
