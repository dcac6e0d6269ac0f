"""Whoever is killed, and whenever: nothing is left running, and nothing is lost."""

import errno
import importlib.util
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from test_engines import SMALL, forks  # noqa: F401 (a fixture)

from genzoo.cli import main

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and finds them in /proc"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # it waits with no other thread
]
SCRIPT = Path(__file__).parents[1] / "experiments" / "benchmarks" / "kill.py"


@pytest.fixture
def command(tmp_path):
    """A comparison of one run."""
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"patient": SMALL}))
    line = ["compare", "--data", "moons", "--families", "patient:Patient", "--recipe", str(recipe)]
    return [*line, "--out", str(tmp_path / "out")]


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    """A file that gets the id of a process when it falls silent."""
    path = tmp_path / "quiet"
    monkeypatch.setenv("PATIENT_QUIET", str(path))
    return path


def forked(command, stdout: int | None = None, stderr: Path | None = None) -> int:
    """The id of a fork of this process that carries out a command and ends with its code."""
    pid = os.fork()
    if pid == 0:
        if stdout is not None:
            sys.stdout = os.fdopen(os.dup(stdout), "w")
        if stderr is not None:
            sys.stderr = stderr.open("w", buffering=1)
        for name in ("SIGTERM", "SIGHUP"):  # the tests may run under nohup
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        # and in the background of a shell, which switches Ctrl-C off
        signal.signal(signal.SIGINT, signal.default_int_handler)
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
    tmp_path,
    capsys,
):
    """It says how to go on, and what it has begun is not taken for finished."""
    parent = forked(command, stderr=tmp_path / "said")
    worker = content(quiet)
    os.kill(parent, getattr(signal, name))
    _, status = os.waitpid(parent, 0)
    if ENDS[name] is None:
        assert os.WTERMSIG(status) == signal.SIGKILL
    else:
        assert os.waitstatus_to_exitcode(status) == ENDS[name]
        said = (tmp_path / "said").read_text()
        assert "Run the same command again" in said and "Traceback" not in said
    assert has_ended(worker)
    run = tmp_path / "out" / "patient-seed0"
    assert (run / "config.yaml").is_file() and not (run / "row.json").exists()
    assert main(["sample", str(run), "--family", "patient:Patient"]) == 2
    assert "is not finished" in capsys.readouterr().err


def test_a_disk_that_takes_no_more_is_a_sentence_and_costs_nothing(
    command,
    forks,  # noqa: F811
    monkeypatch,
    capsys,
):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "out/model")

    with monkeypatch.context() as patch:
        patch.setattr("genzoo.benchmark.run.save", refuse)
        assert main(command) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "failed: cannot read or write out/model: Read-only file system." in said
    assert main(command) == 0


def test_without_a_home_or_a_terminal_a_run_is_what_it_is_elsewhere(command, monkeypatch, capsys):
    monkeypatch.delenv("HOME")
    line = ["train", "flow", "--data", "moons", "--steps", "1", "--width", "8", "--couplings", "1"]
    assert main([*line, "--out", command[-1]]) == 0
    assert "\x1b" not in capsys.readouterr().out  # no bars, no colours


@pytest.mark.parametrize("line", ["list", "info vae", "--help"])
def test_a_reader_who_goes_away_is_no_fault(line):
    reader, writer = os.pipe()
    os.close(reader)
    pid = forked(line.split(), stdout=writer)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


# ------------------------------------------------------------------------------ at random moments


@pytest.fixture(scope="module")
def kill():
    """`experiments/benchmarks/kill.py`, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("kill", SCRIPT)
    assert spec is not None and spec.loader is not None
    sys.modules["kill"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["kill"]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a quarter of a minute of one core, which others may want as well
def test_after_ten_kills_the_same_command_gives_the_same_rows(kill, forks, tmp_path):  # noqa: F811
    """Two in each stage, of the family that keeps most beside its weights.

    The script itself kills comparisons of all six, two hundred times.
    """
    found = kill.attack_all(("energy",), kills=10, seed=0, scratch=tmp_path)
    assert len(found.kills) == 10 and len({each.stage for each in found.kills}) >= 3
    assert found.differing == []
    assert [each for each in found.kills if each.lived_on] == []
