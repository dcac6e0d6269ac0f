"""Models that come trained: found by name, what their cards say, from the package and the Hub."""

import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import genzoo
from genzoo import pretrained
from genzoo.benchmark.plan import Plan
from genzoo.benchmark.row import Row
from genzoo.cli import main
from genzoo.errors import InputError
from genzoo.gate.text import of_run
from genzoo.model import Likelihood

SHIPPED = pretrained.names()
MOST_MEGABYTES = 12
EVENTS = 6  # of the test split, on which figures are computed again


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# --------------------------------------------------------------------------- what is in the package


def test_six_families_of_digits_come_trained():
    families = {name.partition("/")[2] for name in pretrained.names("digits")}
    assert families >= {"autoregressive", "flow", "vae", "energy", "diffusion", "gan"}


def test_of_mnist_come_those_whose_samples_are_digits():
    assert set(pretrained.names("mnist")) >= {"mnist/autoregressive", "mnist/vae", "mnist/gan"}


def test_what_comes_trained_is_small():
    sizes = [path.stat().st_size for path in pretrained.MODELS.rglob("*")]
    assert sum(sizes) <= MOST_MEGABYTES * 1e6


@pytest.mark.parametrize("name", SHIPPED)
def test_a_trained_model_samples_with_and_without_a_label(name):
    model = genzoo.load(name)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    hurry: dict[str, Any] = (
        {"steps": 2} if isinstance(model, genzoo.Diffusion | genzoo.Energy) else {}
    )
    for c in (None, torch.tensor([7, 3])):
        x = model.sample(2, c, **hurry)
        assert x.shape == (2, *model.event_shape)
        assert not genzoo.grid.is_between(x, model.levels).any()


@pytest.mark.parametrize("name", pretrained.names("digits"))  # whose data needs no download
def test_a_trained_model_has_the_figure_of_its_card(name):
    """What was stated of each event is kept beside the model: it is stated again of a few."""
    folder = pretrained.MODELS / name
    row = Row.from_json(of_run(folder / "row.json"))
    assert str(row.figure) in pretrained.card(name)
    model = genzoo.load(name)
    if model.likelihood in (Likelihood.NONE, Likelihood.ESTIMATE):
        return  # its figure, or log Z of every label, is annealed for minutes
    data = genzoo.data.load(row.data)
    with np.load(folder / "likelihoods.npz") as kept:
        events, stated = (torch.from_numpy(kept[key])[:EVENTS] for key in ("events", "log_prob"))
    x, c = data.test[events]
    k = int(str(row.likelihood.diagnostics.get("k", 1)))
    with torch.inference_mode():
        again = model.bound(x, c if model.condition else None, k)
    off = (again - stated).double()
    noise = off.std().item() / EVENTS**0.5 if model.likelihood == Likelihood.BOUND else 0.0
    assert off.mean().abs().item() <= 4 * noise + 0.01 * abs(stated.mean().item())


def test_verbs_take_the_name_of_a_trained_model(capsys):
    assert main(["sample", "digits/gan", "--label", "7", "--n", "2", "--out", "seven.npz"]) == 0
    assert np.load("seven.npz")["x"].shape == (2, 1, 8, 8)
    assert main(["info", "digits/vae"]) == 0
    printed = capsys.readouterr().out
    assert "test bits/dim" in printed and "float16" in printed
    assert main(["list"]) == 0
    assert "digits/diffusion" in capsys.readouterr().out


MISTAKES = {
    "sample digits/difusion": "'difusion' of digits comes with genzoo. Did you mean 'diffusion'?",
    "info digits/vea": "Did you mean 'vae'?",
    "evaluate digits_vae": "Did you mean 'digits/vae'?",
    "compress runs/digits/vae": "There is no folder runs/digits/vae",
    "compare --pretrained --data digit": "No trained models of 'digit'",
    "compare --pretrained --families flow vaegan": "No trained model 'digits/vaegan'",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_wrong_name_is_answered_by_the_nearest(command, capsys):
    assert main(command.split()) == 2
    errors = capsys.readouterr().err
    assert MISTAKES[command] in errors and "Traceback" not in errors


def test_a_name_wins_over_a_folder_and_a_path_means_the_folder(tmp_path):
    mine = genzoo.GAN((2,), width=8)
    genzoo.save(mine, tmp_path / "digits" / "vae")
    assert isinstance(genzoo.load("digits/vae"), genzoo.VAE)
    assert isinstance(genzoo.load("./digits/vae"), genzoo.GAN)
    assert isinstance(genzoo.load(Path("digits/vae")), genzoo.GAN)


def test_trained_models_are_compared_without_training(monkeypatch):
    from genzoo.benchmark import comparison as runs_compared
    from genzoo.pretrained import comparison

    monkeypatch.setattr(runs_compared, "gallery", lambda *_: [])  # which tests of its own draw
    monkeypatch.setattr(runs_compared, "baseline_rows", lambda *_: [])
    card = comparison.compare("digits", ["gan", "vae"], out="side by side")
    assert [row.family for row in card] == ["VAE", "GAN"]
    assert Path("side by side/report.html").is_file()
    for row in card:
        shipped = of_run(pretrained.MODELS / "digits" / row.family.lower() / "row.json")
        assert row.figure == Row.from_json(shipped).figure


# ------------------------------------------------------------------------------------------ the Hub


class Hub:
    """What huggingface_hub does, in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        (self.folder / name).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        return f"https://hub/{repo_id}"

    def snapshot_download(self, name: str, *, allow_patterns: list[str]) -> str:
        if not (self.folder / name).is_dir():
            raise OSError("404 Client Error.\nRepository Not Found")
        return str(self.folder / name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    there = Hub(tmp_path / "hub")
    functions = ("create_repo", "upload_folder", "snapshot_download")
    module = SimpleNamespace(**{name: getattr(there, name) for name in functions})
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return there


def test_a_model_comes_back_from_the_hub(hub):
    model = genzoo.Flow((2,), width=8, couplings=2)
    assert genzoo.push_to_hub(model, "ada/a-flow") == "https://hub/ada/a-flow"
    x = torch.randn(5, 2)
    again = genzoo.load("ada/a-flow")
    torch.testing.assert_close(again.log_prob(x), model.eval().log_prob(x), rtol=0, atol=0)
    assert 'genzoo.load("ada/a-flow")' in (hub.folder / "ada/a-flow/README.md").read_text()


def test_a_record_goes_along_to_the_hub(hub, capsys):
    genzoo.push_to_hub("digits/vae", "ada/digits-vae")
    folder = hub.folder / "ada" / "digits-vae"
    row = Row.from_json(json.loads((folder / "row.json").read_text()))
    assert str(row.figure) in (folder / "README.md").read_text(encoding="utf-8")
    assert main(["sample", "ada/digits-vae", "--label", "3", "--n", "2", "--out", "x.npz"]) == 0
    assert main(["info", "ada/digits-vae"]) == 0
    assert "precision" in capsys.readouterr().out


def test_what_the_hub_does_not_have_is_said(hub):
    with pytest.raises(InputError, match=r"does not give a model of that name \(404 Client"):
        genzoo.load("ada/nothing")


def test_without_the_hubs_client_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=re.escape("pip install genzoo[hub]")):
        genzoo.load("ada/a-flow")
    with pytest.raises(InputError, match=re.escape("pip install genzoo[hub]")):
        genzoo.push_to_hub(genzoo.Flow((2,)), "ada/a-flow")


def test_a_folder_of_runs_is_never_looked_for_on_the_hub(hub):
    for path in ("runs/nothing", "./ada/a-flow", "ada/a/flow"):
        with pytest.raises(InputError, match="There is no folder"):
            genzoo.load(path)


# ---------------------------------------------------------------------------------- rounded weights


def test_rounding_leaves_buffers_as_they_are(tmp_path):
    model = genzoo.Energy((1, 4, 4), levels=5, hidden=3)
    model.set_log_z(100.001, 100.003)
    genzoo.save(model, tmp_path / "half", half=True)
    again = genzoo.load(tmp_path / "half")
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(again.get_buffer(name), buffer, rtol=0, atol=0, equal_nan=True)
    for name, parameter in model.named_parameters():
        rounded = parameter.half().float()
        torch.testing.assert_close(again.get_parameter(name), rounded, rtol=0, atol=0)


# ----------------------------------------------------------------------------- how they are shipped


@pytest.fixture
def ship(monkeypatch):
    """`experiments/ship.py`, which is a script and no part of the package."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "experiments")
    return importlib.import_module("ship")


@pytest.mark.parametrize("name", ["mnist/vae", "digits/gan"])  # rounding checked, measured anew
def test_a_speed_that_is_added_later_leaves_the_weights_in_16_bits(name, ship, tmp_path):
    there, target = pretrained.MODELS / name, tmp_path / "target"
    shutil.copytree(there, target)
    before = Row.from_json(of_run(there / "row.json"))
    stored = of_run(target / "row.json") or {}
    stored["cost"]["samples_per_second"] = None
    (target / "row.json").write_text(json.dumps(stored))

    plan = Plan(**(of_run(there / "config.yaml") or {}))
    ship.add_speed(plan, before, target)
    assert of_run(target / "row.json") == of_run(there / "row.json")
    assert ship.is_half(target)
    assert ship.bits_of(target) == ship.bits_of(there) and "float16" in ship.bits_of(there)
