"""Several processes train as one does: the same losses, checks and checkpoints."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import ranks
import torch

import genzoo
from genzoo.errors import InputError, TrainingError
from genzoo.training import precision
from genzoo.training.processes import Hardware, rank

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A folder with runs of two processes, which torchrun has started once for all tests."""
    folder = tmp_path_factory.mktemp("two")
    ranks.interrupt("vae", folder / "begun by one", 1)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, "-W", "ignore", *launcher, str(HERE / "ranks.py"), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


def curves(folder: Path) -> dict[str, list[float]]:
    """The columns of a run's log that hold losses and checks."""
    with (folder / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("epoch", "step", "seconds", "active_units")]
    return {name: [float(row[name]) for row in rows if row[name]] for name in names}


@pytest.mark.parametrize("name", ranks.CASES)
def test_two_processes_have_the_losses_and_checks_of_one(name, two, tmp_path):
    ranks.train(name, tmp_path, 1)
    alone, together = curves(tmp_path), curves(two / name)
    assert alone.keys() == together.keys() and alone["train_loss"]
    for column in alone:
        assert together[column] == pytest.approx(alone[column], rel=1e-3, abs=1e-4), column


@pytest.mark.parametrize("begun", ["begun by one", "begun by two"])
def test_a_run_goes_on_with_another_number_of_processes(begun, two):
    if begun == "begun by two":
        ranks.train("vae", two / begun, 1)
    expected, found = curves(two / "vae"), curves(two / begun)
    assert found["val_nats"] == pytest.approx(expected["val_nats"], rel=1e-3)


@pytest.mark.parametrize("network", ranks.LARGE)
def test_shared_weights_train_as_whole_ones_and_go_on_from_a_checkpoint(network, two, tmp_path):
    """The losses of two processes with a half of each weight, interrupted, are those of one."""
    whole = ranks.train_large(network, tmp_path).model
    alone, together = curves(tmp_path), curves(two / network)
    assert together["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-3)
    last = torch.load(two / network / "last.ckpt", weights_only=True)["state_dict"]
    assert {name: value.shape for name, value in last.items()} == {
        name: value.shape for name, value in whole.state_dict().items()
    }


def test_every_process_keeps_chains_of_its_own(two):
    checkpoint = torch.load(two / "chains" / "last.ckpt", weights_only=True)
    first, second = checkpoint["chains"]["chains"]
    assert first.shape == (8, 2) and not torch.equal(first, second)
    model = ranks.CHAINS.model()
    trainer = L.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    model._trainer = trainer
    for process, chains in ((0, first), (1, second), (2, first)):
        trainer.strategy.global_rank = process
        model.on_load_checkpoint(checkpoint)
        assert torch.equal(checkpoint["state_dict"]["chains"], chains)


def test_without_a_folder_every_process_is_told_the_same(two):
    told = [(two / f"not kept {process}").read_text() for process in (0, 1)]
    assert told[0] == told[1] and told[0].endswith(" 6")


def test_a_command_that_torchrun_has_started_twice_makes_one_run(two):
    row = json.loads((two / "command" / "row.json").read_text())
    computed = row["cost"].get("precision", "32")
    assert row["family"] == "VAE" and row["cost"]["steps"] == 3
    assert computed == precision.runs_as("bf16", "cpu")


class Dies(L.Callback):
    """Ends the second process without a word, after the first checkpoint."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if rank() == 1 and trainer.global_step == 4:
            os._exit(7)


def test_when_a_process_dies_the_others_end_and_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    case = ranks.CASES["vae"]
    # whichever is seen first: the process that ended, or what the other says of it
    sentence = r"Process 2 of 2 ended early \(exit code 7\)|Process 1 lost its connection"
    with pytest.raises(TrainingError, match=sentence):
        genzoo.fit(
            case.model(), case.data(), tmp_path, devices=2, callbacks=[Dies()], **ranks.SETTINGS
        )
    fitted = genzoo.fit(case.model(), case.data(), tmp_path, **ranks.SETTINGS)
    assert fitted.steps == 6 and fitted.best_step in (3, 6)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"devices": 3}, "a multiple of that, got 20: take 18 or 21"),
        ({"devices": 0}, "devices must be a whole number of at least 1, got 0"),
        ({"nodes": 2}, "nodes=2 takes a launcher"),
        ({"accelerator": "cuad"}, "no accelerator 'cuad'. Did you mean 'cuda'"),
        ({"accelerator": "cuda", "devices": 64}, "and there are . GPUs"),
    ],
)
def test_what_hardware_there_is_not_is_said(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Hardware(**{"accelerator": "cpu"} | given).check(20 if "64" not in str(given) else 64)
