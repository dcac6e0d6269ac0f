"""How a command ends when memory is short, a terminal is closed or a process is killed."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from genzoo import cli
from genzoo.cli import main
from genzoo.errors import InputError, too_large
from genzoo.files import held, whole
from genzoo.gate import arrays, pictures, tensors, text


@pytest.fixture(autouse=True)
def signals():
    """Put back how signals are handled, for `main` sets that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


READERS = {
    "weights.safetensors": tensors.weights,
    "data.npz": lambda path: arrays.read(path, ("x",)),
    "a.png": pictures.read,
    "row.json": text.of_run,
}
TOO_MUCH = {
    "numpy": lambda: np.empty(10**15),
    "torch": lambda: torch.empty(10**15),
    "beyond 64 bits": lambda: torch.empty(2**62),
    "Python": lambda: [0] * 10**15,
}


@pytest.mark.parametrize("by", TOO_MUCH)
def test_what_does_not_fit_into_memory_is_a_sentence(by, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_run", lambda _: TOO_MUCH[by]())
    assert main(["sample", "run"]) == 2
    assert capsys.readouterr().err.startswith("genzoo: not enough memory for this")


@pytest.mark.parametrize("why", ["", ": Cannot allocate memory", ": Operation not permitted"])
def test_a_library_that_memory_does_not_suffice_for_is_a_sentence(why, monkeypatch, capsys):
    def load(_):
        raise ImportError(f"libtorch_cpu.so: failed to map segment from shared object{why}")

    monkeypatch.setattr(cli, "_run", load)
    if "not permitted" in why:  # by whoever mounted the drive: more memory would not help
        with pytest.raises(ImportError):
            main(["list"])
        return
    assert main(["list"]) == 2
    assert "not enough memory to load" in capsys.readouterr().err


def test_another_error_stays_the_bug_that_it_is(monkeypatch):
    monkeypatch.setattr(cli, "_run", lambda _: torch.zeros(2) @ torch.zeros(3))
    assert not too_large(ValueError("size"))
    with pytest.raises(RuntimeError, match="size"):
        main(["sample", "run"])


def test_a_long_sentence_loses_its_middle(monkeypatch, capsys):
    def refuse(_):
        raise InputError(f"There is no {'x' * 1_000_000}. Choose another.")

    monkeypatch.setattr(cli, "_run", refuse)
    assert main(["sample", "run"]) == 2
    said = capsys.readouterr().err
    assert len(said) < 1100 and "There is no x" in said and "Choose another." in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("lines", [1, 10_000])  # found out at the end, and in the middle
def test_what_cannot_be_printed_is_a_sentence(lines, monkeypatch, capsys):
    def say(_):
        for _ in range(lines):
            print("a line of text")
        return 0

    monkeypatch.setattr(cli, "_run", say)
    with open("/dev/full", "w") as full:  # closing it would fail if it still held a line
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["list"]) == 2
    assert "No space left" in capsys.readouterr().err


def test_without_anybody_to_tell_nothing_is_told_elsewhere(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["lst"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("columns", ["0", "1"])
def test_no_screen_is_so_narrow_that_nothing_can_be_read(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["--help"]) == 0
    assert "begin with: genzoo compare" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_an_end_from_outside_is_like_ctrl_c(name, monkeypatch, capsys):
    def work(_):
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(5)

    signal.signal(getattr(signal, name), signal.SIG_DFL)  # the tests may run under nohup
    monkeypatch.setattr(cli, "_run", work)
    assert main(["train", "vae"]) == 128 + getattr(signal, name)
    assert "Run the same command again to go on" in capsys.readouterr().err


def test_what_nohup_has_silenced_stays_silent(monkeypatch):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(cli, "_run", lambda _: os.kill(os.getpid(), signal.SIGHUP) or 0)
    assert main(["train", "vae"]) == 0


PARENT = """
import multiprocessing, time
from genzoo.benchmark.engines.local import end_with_parent

def work():
    end_with_parent()
    print("at work", flush=True)
    time.sleep(60)  # a stage that reports nothing

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
"""


def test_a_killed_parent_takes_a_silent_worker_with_it():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"at work\n"
        parent.kill()
        parent.communicate(timeout=30)  # the worker holds the line open until it ends


def test_a_full_disk_is_told_of_the_file_and_not_of_its_draft(tmp_path):
    path = tmp_path / "figures.npz"
    with pytest.raises(OSError, match=r"No space left on device: .*/figures\.npz'$"), whole(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as numpy says it
    nowhere = tmp_path / "nowhere" / "figures.npz"
    with pytest.raises(FileNotFoundError, match=r"/nowhere/figures\.npz'$"), whole(nowhere):
        pass


def locked(read, path):
    """What is said of a file that may not be read, in a process of nobody's."""
    path.write_bytes(b"x")
    path.chmod(0)
    pid = os.fork()
    if pid == 0:
        code = 1
        with suppress(BaseException):
            if os.getuid() == 0:
                os.seteuid(65534)
            try:
                read(path)
            except PermissionError as error:
                code = 0 if str(path) in str(error) else 2
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has other permissions")
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_may_not_be_read_is_not_called_corrupt(name):
    with tempfile.TemporaryDirectory() as folder:  # which nobody can enter, unlike a test's own
        Path(folder).chmod(0o755)
        assert locked(READERS[name], Path(folder) / name) == 0


HOLDER = """
import sys, time
from pathlib import Path
from genzoo.files import held

with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_and_a_killed_one_lets_go(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="Another genzoo is at work in"), held(tmp_path):
            pass
        other.kill()
    with held(tmp_path):
        assert not list(tmp_path.iterdir())  # no lock file is left behind


def test_neither_a_run_nor_a_comparison_is_made_twice_at_once(tmp_path, capsys):
    run = ["train", "flow", "--data", "moons", "--steps", "1", "--out", str(tmp_path)]
    comparison = ["compare", "--data", "moons", "--families", "vae", "--out", str(tmp_path)]
    for command in (run, comparison):
        with held(tmp_path):
            assert main(command) == 2
        assert f"Another genzoo is at work in {tmp_path}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
