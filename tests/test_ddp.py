"""Training in several processes, on the CPU: each comes to its end, and with the same model."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genzoo.training.averaging import power_average

HERE = Path(__file__).parent


def test_the_average_of_weights_can_be_sent_to_another_process():
    averaged, newest = [torch.zeros(3)], [torch.ones(3)]
    pickle.loads(pickle.dumps(power_average(0.05)))(averaged, newest, 4)
    expected = [torch.zeros(3)]
    power_average(0.05)(expected, newest, 4)
    assert torch.equal(averaged[0], expected[0]) and 0 < averaged[0][0] < 1


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked here")
@pytest.mark.parametrize(
    ("strategy", "ranks"),
    [("ddp", 2), ("ddp_fork", 1)],
)
def test_two_processes_train_one_model(strategy, ranks, tmp_path):
    """Of those that are launched as programs, both report; of others the one that launched them."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / "ddp.py"), strategy, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    reports = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("rank*.json"))]
    assert len(reports) == ranks and all(report == reports[0] for report in reports)
    for name, fitted in reports[0].items():
        assert fitted["steps"] == 6 and not fitted["stopped_early"] and fitted["seconds"], name
        chosen = name.startswith("VAE")
        assert (fitted["best_step"] in (3, 6)) == chosen, name
        assert (fitted["validation"] is not None) == chosen, name
    for name in ("VAE", "GAN"):  # with a folder or without, the same
        if f"{name} not kept" in reports[0]:
            assert reports[0][f"{name} not kept"] == reports[0][f"{name} kept"]
    for folder in filter(Path.is_dir, tmp_path.iterdir()):
        assert (folder / "log.csv").is_file() and not (folder / "log").exists()
