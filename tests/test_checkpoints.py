"""A checkpoint is the one before or the one after, whole, whatever happens in between."""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genzoo import VAE, files, fit, serialization
from genzoo.data import DataSet, Split
from genzoo.data.loading import load as load_data
from genzoo.training.checkpoints import WholeCheckpoints, with_whole_checkpoints

ELSEWHERE = Path("/dev/shm")  # a file system of its own, wherever there is one
SETTINGS = {"batch_size": 10, "check_every": 3}


@pytest.fixture(scope="module")
def moons() -> DataSet:
    data = load_data("moons")
    return replace(data, train=Split(*data.train[:30]), validation=Split(*data.validation[:20]))


def small() -> VAE:
    torch.manual_seed(0)
    return VAE((2,), latent_shape=(2,), width=8)


def test_a_checkpoint_is_never_written_into(moons, tmp_path, monkeypatch):
    """Seen from a second name of the first checkpoint: the next one is another file."""
    if not ELSEWHERE.is_dir() or ELSEWHERE.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to put temporary files on")
    monkeypatch.setattr(tempfile, "tempdir", str(ELSEWHERE))
    fit(small(), moons, tmp_path, steps=3, **SETTINGS)
    before = {name: (tmp_path / f"{name}.ckpt").read_bytes() for name in ("best", "last")}
    for name in before:
        os.link(tmp_path / f"{name}.ckpt", tmp_path / f"{name}-before.ckpt")
    fit(small(), moons, tmp_path, steps=30, **SETTINGS)
    for name, content in before.items():
        assert (tmp_path / f"{name}.ckpt").read_bytes() != content
        assert (tmp_path / f"{name}-before.ckpt").read_bytes() == content


KILLED_WHILE_IT_WRITES = """
import os, sys
from pathlib import Path
import test_checkpoints as t

replace = os.replace
def kill(source, target):
    if Path(target).name == "last.ckpt" and Path(target).exists():
        os._exit(9)
    replace(source, target)

os.replace = kill
data = t.load_data("moons")
t.fit(t.small(), data, sys.argv[1], steps=30, **t.SETTINGS)
"""


def test_a_run_killed_while_it_writes_goes_on_from_the_checkpoint_before(moons, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}
    command = [sys.executable, "-c", KILLED_WHILE_IT_WRITES, str(tmp_path)]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert killed.returncode == 9, killed.stderr
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3
    assert list(tmp_path.glob(f"{files.DRAFT}*"))
    fit(small(), moons, tmp_path, steps=6, **SETTINGS)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 6
    assert not list(tmp_path.rglob(f"{files.DRAFT}*"))


def test_saving_a_model_removes_the_draft_of_a_save_that_was_killed(tmp_path):
    (tmp_path / f"{files.DRAFT}abc").mkdir()
    (tmp_path / f"{files.DRAFT}abc" / serialization.WEIGHTS).write_bytes(b"half of it")
    serialization.save(small(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        serialization.CARD,
        serialization.CONFIG,
        serialization.WEIGHTS,
    }


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_another(tmp_path, monkeypatch):
    done = []

    def noted(what, function):
        return lambda *arguments: (done.append(what), function(*arguments))[1]

    monkeypatch.setattr(os, "fsync", noted("to disk", os.fsync))
    monkeypatch.setattr(os, "replace", noted("takes its place", os.replace))
    with files.whole(tmp_path / "file") as draft:
        draft.write_text("content")
    assert done[:2] == ["to disk", "takes its place"]
    assert (tmp_path / "file").read_text() == "content"


def test_a_caller_s_own_way_to_write_checkpoints_is_respected():
    own = WholeCheckpoints()
    assert with_whole_checkpoints(own) == [own]
    assert [type(plugin) for plugin in with_whole_checkpoints(None)] == [WholeCheckpoints]
    assert with_whole_checkpoints(["something else"])[0] == "something else"
