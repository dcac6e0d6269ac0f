"""Whoever is killed, and whenever: nothing is left running, and nothing is lost."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from test_engines import SLOW, forks  # noqa: F401 (a fixture)

from genzoo.cli import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and finds them in /proc")


@pytest.fixture
def command(tmp_path):
    """A comparison of one run."""
    recipe = tmp_path / "slow.yaml"
    recipe.write_text(yaml.safe_dump({"patient": SLOW}))
    line = ["compare", "--data", "moons", "--families", "patient:Patient", "--recipe", str(recipe)]
    return [*line, "--out", str(tmp_path / "out")]


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    """A file that gets the id of a process when it falls silent."""
    path = tmp_path / "quiet"
    monkeypatch.setenv("PATIENT_QUIET", str(path))
    return path


def forked(command) -> int:
    """The id of a fork of this process that carries out a command and ends with its code."""
    pid = os.fork()
    if pid == 0:
        for name in ("SIGTERM", "SIGHUP"):  # the tests may run under nohup
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        code = 99
        with suppress(BaseException):
            code = main(command)
        os._exit(code)
    return pid


def content(path: Path) -> int:
    """The number that a file holds, once it does."""
    for _ in range(1000):
        if path.is_file() and (text := path.read_text()):
            return int(text)
        time.sleep(0.05)
    raise AssertionError(f"{path} was never written")


def has_ended(pid: int) -> bool:
    """Whether a process is gone within seconds."""
    for _ in range(200):
        if not Path(f"/proc/{pid}").is_dir() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.05)
    return False


ENDS = {"SIGKILL": None, "SIGTERM": 143, "SIGHUP": 129, "SIGINT": 130}


@pytest.mark.parametrize("name", ENDS)
def test_an_ended_comparison_takes_a_worker_with_it_that_keeps_python_to_itself(
    name,
    command,
    quiet,
    forks,  # noqa: F811
):
    parent = forked(command)
    worker = content(quiet)
    os.kill(parent, getattr(signal, name))
    _, status = os.waitpid(parent, 0)
    if ENDS[name] is None:
        assert os.WTERMSIG(status) == signal.SIGKILL
    else:
        assert os.waitstatus_to_exitcode(status) == ENDS[name]
    assert has_ended(worker)
