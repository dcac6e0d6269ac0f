"""The file for SLURM in the docs asks for what its command uses."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "docs" / "train.slurm"


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_the_tasks_that_are_asked_for_are_those_of_the_command(tmp_path):
    """The script is run with an ``srun`` that writes down what it was told."""
    (tmp_path / "srun").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", FILE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    told = done.stdout.split()
    options = dict(pairwise(told))
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", FILE.read_text(), re.MULTILINE))
    assert told[:2] == ["genzoo", "train"]
    assert asked["nodes"] == options["--nodes"]
    assert asked["ntasks-per-node"] == asked["gpus-per-node"] == options["--devices"]
