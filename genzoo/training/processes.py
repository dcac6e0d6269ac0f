"""Training on several devices: one process for each, all of which take every step together.

Each process holds the whole model and computes the gradient of its part of every batch; the mean of
their gradients moves all alike (*distributed data parallel*, DDP). A batch is divided, not
multiplied: a run on two devices takes the same steps as on one, and goes on from its checkpoint.

`genzoo.fit` starts the processes itself, on one machine. On several machines, or where a launcher
has started them (``torchrun``, SLURM), every process runs the whole command, and the one of rank 0
alone writes.

When a process ends early, whatever ended it, the others are ended within seconds, and one sentence
says which it was. What was trained stays in the last checkpoint.
"""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy, Strategy, StrategyRegistry

from genzoo.data.dataset import DataSet
from genzoo.errors import InputError, TrainingError, nearest
from genzoo.progress import Progress

if TYPE_CHECKING:
    from genzoo.training.fitting import Fitted, Settings

ACCELERATORS = ("auto", "cpu", "cuda")
OURS = ("auto", "fsdp")  # strategies for which `fit` starts the processes; other names: Lightning
RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")  # how launchers tell a process which it is
MARK = "\x1e"  # begins a line of progress in what the first process prints
LOOKED = 0.05  # seconds between two looks at the processes
LAST_WORDS = 2.0  # seconds that the others have to say what they saw when one has ended


def rank() -> int:
    """Rank of this process among those of a run; 0 if there is only one."""
    if "LOCAL_RANK" not in os.environ and not SLURMEnvironment.detect():
        return 0
    return int(next(os.environ[name] for name in RANKS if name in os.environ))


def launched() -> bool:
    """True if a launcher, and not `fit`, has started this process and others."""
    return "LOCAL_RANK" in os.environ or SLURMEnvironment.detect()


def _world() -> int | None:
    """Number of processes of a launcher; None if it does not say, as Lightning's own."""
    number = os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS")
    return int(number) if number else None


@dataclass(frozen=True)
class Hardware:
    """The devices and processes that train a run.

    Args:
        accelerator: "cpu", "cuda", or "auto" for a GPU where there is one.
        devices: of each machine, one process for each.
        nodes: machines.
        strategy: how they share the work: "auto", by gradients (DDP); "fsdp", by the weights as
            well (`genzoo.training.sharding`); or a name or an object of Lightning's.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: Any = "auto"

    @property
    def kind(self) -> str:
        """ "cpu" or "cuda": of "auto" the one there is.

        Never Apple's: it has no float64, which a spline's inverse and annealing need.
        """
        if self.accelerator != "auto":
            return "cuda" if self.accelerator == "gpu" else self.accelerator
        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def processes(self) -> int:
        return self.devices * self.nodes

    @property
    def shares_weights(self) -> bool:
        """True if each process holds a share of the weights only (`genzoo.training.sharding`)."""
        return self.strategy == "fsdp" and self.processes > 1

    @property
    def starts_processes(self) -> bool:
        """True if `fit` has to start the processes."""
        return self.processes > 1 and self.strategy in OURS and not launched()

    def check_asked(self) -> None:
        """Raise `InputError` for numbers and names that mean nothing on any machine."""
        for name, value in (("devices", self.devices), ("nodes", self.nodes)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {value!r}.")
        if self.accelerator not in (*ACCELERATORS, "gpu"):
            hint = nearest(str(self.accelerator), ACCELERATORS)
            raise InputError(f"There is no accelerator {self.accelerator!r}. {hint}")
        known = dict.fromkeys((*OURS, *StrategyRegistry.available_strategies()))
        if isinstance(self.strategy, str) and self.strategy not in known:
            hint = nearest(self.strategy, known)
            raise InputError(f"There is no strategy {self.strategy!r}. {hint}")

    def check(self, batch_size: int) -> None:
        """Raise `InputError` for hardware that is missing, or for batches that cannot be shared."""
        self.check_asked()
        if self.kind == "cuda" and torch.cuda.device_count() < self.devices:
            there = torch.cuda.device_count()
            raise InputError(f"devices={self.devices} were asked for, and there are {there} GPUs.")
        if self.nodes > 1 and not launched():
            raise InputError(
                f"nodes={self.nodes} takes a launcher that starts this command on each machine: "
                "torchrun or srun, see docs/one-run.md."
            )
        world = _world() if launched() else None
        if world is not None and self.processes != world:
            raise InputError(
                f"The launcher has started {world} processes: give devices and nodes whose "
                f"product is that, got {self.devices} and {self.nodes}."
            )
        if batch_size % self.processes:
            less = batch_size - batch_size % self.processes
            either = f"{less} or {less + self.processes}" if less else f"{self.processes}"
            raise InputError(
                f"{self.processes} processes share each batch, so batch_size must be a multiple "
                f"of that, got {batch_size}: take {either}."
            )

    def trainer_arguments(self) -> dict[str, Any]:
        """Arguments of `lightning.Trainer`."""
        arguments = {"accelerator": self.kind, "devices": self.devices, "num_nodes": self.nodes}
        strategy = self.strategy
        if self.processes > 1 and isinstance(strategy, str) and strategy in OURS:
            strategy = self._ours()
        return arguments if strategy == "auto" else arguments | {"strategy": strategy}

    def _ours(self) -> Strategy:
        backend = "gloo" if self.kind == "cpu" else None
        if self.strategy == "fsdp":
            from genzoo.training.sharding import Sharded

            return Sharded(self.processes, backend)
        return DDPStrategy(process_group_backend=backend)


def share_rightly(strategy: Any, takes_turns: bool) -> None:
    """Set the options of DDP that our models need, before it wraps one.

    Args:
        strategy: of a Trainer; nothing is done where it is no DDP.
        takes_turns: whether a pass has the gradients of some weights only, as in a game of players.
    """
    if not isinstance(strategy, DDPStrategy):
        return
    # buffers are each process's own, as the chains of an energy model are
    strategy._ddp_kwargs.setdefault("broadcast_buffers", False)
    if takes_turns:
        strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


# -------------------------------------------------------------------------- the process that starts


def in_processes(
    hardware: Hardware,
    model: Any,
    data: DataSet,
    folder: str | Path | None,
    settings: "Settings",
    progress: Progress | None = None,
) -> "Fitted":
    """`genzoo.fit` in processes of this machine, one for each device.

    Args:
        hardware: see `Hardware`.
        model: trained in place.
        data: what to train on.
        folder: of the run; None keeps nothing.
        settings: the other arguments of `fit`, checked.
        progress: as of `fit`.

    Raises:
        InputError, TrainingError: as `fit` does.
        TrainingError: a process ended early.
    """
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        kept = room / "run" if folder is None else Path(folder)
        _put(room / "job", (hardware, model, _plain(data), kept, settings))
        children = [_start(i, hardware, room) for i in range(hardware.processes)]
        lines: SimpleQueue[str] = SimpleQueue()
        reader = threading.Thread(target=_read_lines, args=(children[0], lines), daemon=True)
        reader.start()
        try:
            _watch(children, lines, room, progress)
        finally:
            for child in children:
                child.kill()
                child.wait()
            reader.join()
            for child in children:
                child.__exit__(None, None, None)  # closes its pipes
        _pass_on(lines, progress)
        weights, fitted = _get(room / "fitted")
        model.load_state_dict(weights)
        return replace(fitted, model=model.eval())


def _plain(data: DataSet) -> DataSet:
    """A data set without what training does not need: functions, such as a true density."""
    return replace(
        data, log_density=None, read=None, in_units=None, feature_space=None, shift=None, scale=None
    )


def _put(path: Path, content: Any) -> None:
    try:
        with path.open("wb") as file:
            pickle.dump(content, file)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            "This model or its settings cannot be sent to another process, as several devices "
            f"need ({error}): define what it is made of in a module, or start the script by "
            "torchrun."
        ) from error


def _get(path: Path) -> Any:
    """Read a file that one of our own processes has written, so that a pickle is safe."""
    with path.open("rb") as file:
        return pickle.load(file)


def _start(number: int, hardware: Hardware, room: Path) -> "subprocess.Popen[str]":
    """Start a process, which ends when its input does, that is, with this process."""
    port = room / "port"
    if not port.is_file():
        port.write_text(str(_free_port()))
    places = {
        "LOCAL_RANK": str(number),
        "RANK": str(number),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(hardware.processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port.read_text(),
    }
    if sys.platform == "linux":
        places["GLOO_SOCKET_IFNAME"] = "lo"
    if hardware.kind == "cpu":
        places["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // hardware.processes))
    with (room / f"stderr{number}").open("w", encoding="utf-8") as errors:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __name__, str(room)],
            env=_environment() | places,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if number == 0 else subprocess.DEVNULL,
            stderr=errors,
            text=True,
        )


def _environment() -> dict[str, str]:
    """Environment variables of this process, with the search path of its imports."""
    paths = [path for path in sys.path if path]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _watch(
    children: "list[subprocess.Popen[str]]",
    lines: "SimpleQueue[str]",
    room: Path,
    progress: Progress | None,
) -> None:
    """Wait until all have ended well; pass on what the first tells.

    Raises:
        InputError, TrainingError: one has not.
    """
    while any(child.poll() is None for child in children):
        _pass_on(lines, progress)
        if any(child.poll() for child in children):
            first = [i for i, child in enumerate(children) if child.poll()]
            _let_speak(children)
            raise _cause(children, first, room)
        time.sleep(LOOKED)
    if failed := [i for i, child in enumerate(children) if child.returncode]:
        raise _cause(children, failed, room)


def _read_lines(child: "subprocess.Popen[str]", lines: "SimpleQueue[str]") -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line.rstrip("\n"))


def _pass_on(lines: "SimpleQueue[str]", progress: Progress | None) -> None:
    with suppress(Empty):
        while True:
            line = lines.get_nowait()
            if not line.startswith(MARK):
                print(line)
            elif progress is not None:
                progress(*json.loads(line[1:]))


def _let_speak(children: "list[subprocess.Popen[str]]") -> None:
    """Give the other processes a moment to fail by themselves, with a reason of their own."""
    end = time.monotonic() + LAST_WORDS
    while time.monotonic() < end and any(child.poll() is None for child in children):
        time.sleep(LOOKED)


def _cause(children: "list[subprocess.Popen[str]]", first: list[int], room: Path) -> Exception:
    """The error that ended the processes, of which ``first`` were seen to end first.

    An error that `fit` has a sentence for comes first. Of the others, a process that ended without
    a message is the cause; one that only lost its connection is not.
    """
    failed = [i for i, child in enumerate(children) if child.poll()]
    ended = [*first, *(i for i in failed if i not in first)]
    reports = {i: room / f"error{i}" for i in ended}
    errors = {i: _get(report) for i, report in reports.items() if report.is_file()}
    for error in errors.values():
        if isinstance(error, InputError | TrainingError):
            return error
    silent = [i for i in ended if i not in errors]
    i = silent[0] if silent else ended[0]
    how = _how(children[i].returncode) if i in silent else str(errors[i])
    return TrainingError(
        f"Process {i + 1} of {len(children)} ended early ({how}), so the others were stopped. "
        "The last checkpoint is kept: the same command goes on from there."
    )


def _how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    memory = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
    return f"signal {signal.Signals(-code).name}{memory}"


# ------------------------------------------------------------------------------ the started process


def main(room: Path) -> None:
    """Take part in the training, and write the result, or the error, into ``room``."""
    from genzoo.training.fitting import fit_here

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this
    threading.Thread(target=_end_with_input, daemon=True).start()
    me = rank()
    try:
        hardware, model, data, folder, settings = _get(room / "job")
        fitted = fit_here(hardware, model, data, folder, settings, _say if me == 0 else None)
        if me == 0:
            _put(room / "fitted", (model.state_dict(), replace(fitted, model=None)))
    except (InputError, TrainingError) as error:
        _put(room / f"error{me}", error)
        sys.exit(2)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        _put(room / f"error{me}", RuntimeError(f"{type(error).__name__}: {first}"))
        raise


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)  # checkpoints are whole at every moment


def _say(done: int, total: int, text: str) -> None:
    print(MARK + json.dumps([done, total, text]), flush=True)


@contextmanager
def one_cause() -> Iterator[None]:
    """Turn the loss of a connection, deep inside a step, into the sentence that it means."""
    try:
        yield
    except RuntimeError as error:
        lost = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")
        if not launched() or not any(words in str(error) for words in lost):
            raise
        raise TrainingError(
            f"Process {rank() + 1} lost its connection to another one, which has ended; its own "
            "last words say why. The last checkpoint is kept: the same command goes on from there."
        ) from error


if __name__ == "__main__":
    main(Path(sys.argv[1]))
