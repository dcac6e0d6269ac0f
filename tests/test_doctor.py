"""``genzoo doctor``: each kind of damage is found, named and answered, and nothing is changed."""

import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import genzoo
from genzoo.benchmark import checkup, environment
from genzoo.cli import main
from genzoo.cli.doctor import doctor
from genzoo.files import DRAFT, held

RUN = ["--data", "moons", "--steps", "2", "--width", "8", "--couplings", "1", "--batch-size", "32"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "moons-flow-seed0"
    assert main(["train", "flow", *RUN, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "moons-flow-seed0")


def wrong(findings):
    return [each.what for each in findings if each.wrong]


def test_of_a_good_run_and_of_a_comparison_nothing_is_wrong(run):
    for folder in (run, run / "model", run.parent):
        assert not wrong(checkup.folder(folder))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


DAMAGES = {
    "row.json": cut,
    "config.yaml": lambda path: path.write_text("family: 3"),
    "samples.npz": cut,
    "model/model.safetensors": cut,
    "model/config.json": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_named_with_what_to_do(name, run):
    DAMAGES[name](run / name)
    (found,) = [each for each in checkup.folder(run) if each.wrong]
    assert Path(name).parts[0] in found.what and found.advice


def test_how_far_an_unfinished_run_has_come_is_told(run, tmp_path):
    (run / "row.json").unlink()
    assert "the same train or compare command" in checkup.folder(run)[-1].advice
    (run / "last.ckpt").write_bytes(b"x")
    assert wrong(checkup.folder(run)) == ["moons-flow-seed0/last.ckpt"]


def test_drafts_and_another_process_are_notes(run):
    (run / f"{DRAFT}x").mkdir()
    with held(run):
        found = checkup.folder(run)
    assert not wrong(found)
    assert [each.found for each in found if each.advice] == ["in use", f"{DRAFT}x"]


def test_a_folder_that_is_not_ours_is_wrong(tmp_path):
    assert wrong(checkup.folder(tmp_path)) == [tmp_path.name]
    assert wrong(checkup.folder(tmp_path / "nowhere"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_is_closed_is_wrong(run):
    run.chmod(0o500)
    assert str(run) in wrong(checkup.folder(run))
    run.chmod(0o700)


def test_packages_are_held_against_what_is_needed(monkeypatch):
    assert not wrong(environment.environment())
    monkeypatch.setattr(metadata, "version", lambda name: "0.1")
    assert {"torch", "numpy"} <= {*wrong(environment.environment())}


def test_the_verb_prints_all_of_it_and_its_code_tells(run, capsys):
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    assert main(["doctor", str(run)]) == 0
    printed = capsys.readouterr().out
    for part in ("Environment", "torch", "Machine", "memory", "row.json", "Nothing is wrong."):
        assert part in printed
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    cut(run / "row.json")
    assert main(["doctor", str(run)]) == 1
    printed = capsys.readouterr().out
    assert "1 thing is wrong" in printed and "delete that run" in " ".join(printed.split())


def test_a_model_of_a_later_format_is_found(tmp_path):
    folder = genzoo.save(genzoo.Flow((2,), width=8, couplings=1), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 9, "genzoo": "3.0"}))
    (found,) = [each for each in checkup.folder(folder) if each.wrong]
    assert "load it with genzoo 3.0" in found.advice


def test_arrays_of_no_events_are_told_as_such(run):
    np.savez(run / "samples.npz", x=np.zeros((0, 2)))
    assert any(each.found == "0 events" for each in checkup.folder(run))


def test_a_link_to_itself_is_no_folder(tmp_path, capsys):
    (tmp_path / "loop").symlink_to("loop")
    assert main(["doctor", str(tmp_path / "loop")]) == 1
    assert "there is no such folder" in capsys.readouterr().out


def test_a_broken_package_is_found_and_not_used(monkeypatch, capsys):
    def break_(name):
        if name == "torch":
            raise ImportError("libtorch_cpu.so: undefined symbol")

    monkeypatch.setattr(environment.importlib, "import_module", break_)
    monkeypatch.setitem(sys.modules, "genzoo.benchmark.checkup", None)  # importing it would fail
    assert doctor([]) == 1
    said = capsys.readouterr().out
    assert "undefined symbol" in said and "pip install --force-reinstall" in said


def test_without_a_screen_there_are_no_letters(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert not wrong(checkup.machine(Path()))
