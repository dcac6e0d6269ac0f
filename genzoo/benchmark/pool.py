"""Many runs at once, each in a process of its own: one that fails, or is killed for its memory,
takes no other with it.

Imports nothing heavy; the processes do.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from genzoo.benchmark.plan import Plan

LONGEST_FIRST = ("energy", "diffusion", "autoregressive", "gan", "flow", "vae")


@dataclass(frozen=True)
class Outcome:
    """A run's row, or the sentence that says why there is none."""

    row: dict[str, Any] | None = None
    failure: str | None = None


class Watcher(Protocol):
    """Is told what happens to the runs, by their index."""

    def progress(self, i: int, done: int, total: int, text: str) -> None: ...

    def note(self, i: int, text: str) -> None: ...

    def outcome(self, i: int, outcome: Outcome) -> None: ...


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(plans: Sequence["Plan"], out: Path, jobs: int, watcher: Watcher) -> list[Outcome]:
    """Carry out all plans, ``jobs`` at a time, each in its folder ``out/<plan.name>``; outcomes in
    the order of plans.

    On KeyboardInterrupt the processes are ended at once (their checkpoints are whole) and the
    exception goes on.
    """
    jobs = max(1, min(jobs, len(plans)))
    context = _context()
    waiting = sorted(range(len(plans)), key=lambda i: _place(plans[i].family), reverse=True)
    outcomes: dict[int, Outcome] = {}
    running: dict[Connection, tuple[int, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                i = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(  # type: ignore[attr-defined]
                    target=_work,
                    args=(plans[i], out / plans[i].name, max(1, cores() // jobs), sender),
                    daemon=True,
                )
                process.start()
                sender.close()
                running[receiver] = (i, process)
            for connection in wait(list(running), timeout=1.0):
                i, process = running[connection]  # type: ignore[index]
                message = _receive(connection)  # type: ignore[arg-type]
                if isinstance(message, Outcome):
                    outcomes[i] = message
                    watcher.outcome(i, message)
                    del running[connection]  # type: ignore[arg-type]
                    process.join()
                elif isinstance(message, str):
                    watcher.note(i, message)
                else:
                    watcher.progress(i, *message)
    finally:
        for _, process in running.values():
            process.kill()
            process.join()
    return [outcomes[i] for i in range(len(plans))]


def _receive(connection: Connection) -> Outcome | str | tuple[int, int, str]:
    """The next message: progress, a line of text, or the outcome, which is also what the end of the
    line means.
    """
    try:
        return connection.recv()
    except (EOFError, OSError):
        return Outcome(
            failure="its process was ended from outside, perhaps for lack of memory; run again to resume it."
        )


def _work(plan: "Plan", folder: Path, threads: int, sender: Connection) -> None:
    """In the process: carry out one plan, send progress, then the outcome. Ctrl-C is the parent's
    business.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from genzoo.benchmark.run import execute
    from genzoo.errors import InputError, TrainingError, refused

    if "OMP_NUM_THREADS" not in os.environ:  # which the user may have set for a reason
        torch.set_num_threads(threads)
    try:
        with redirect_stdout(Lines(sender)):  # type: ignore[type-var]
            outcome = Outcome(row=execute(plan, folder, lambda *progress: sender.send(progress)))
    except (InputError, TrainingError) as error:
        outcome = Outcome(failure=str(error))
    except OSError as error:
        outcome = Outcome(failure=refused(error, folder))
    except Exception as error:  # a bug in one family must not cost the others their results
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        first = (str(error).splitlines() or [""])[0]
        outcome = Outcome(failure=f"{type(error).__name__}: {first} (see {folder / 'error.txt'})")
    with suppress(BrokenPipeError):  # the parent was killed: there is nobody left to tell
        sender.send(outcome)


class Lines:
    """A stream that sends each line printed to it, so that it does not run across the parent's
    progress bars.
    """

    def __init__(self, sender: Connection):
        self.sender = sender

    def write(self, text: str) -> int:
        for line in filter(str.strip, text.splitlines()):
            self.sender.send(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _place(family: str) -> int:
    return LONGEST_FIRST.index(family.lower()) if family.lower() in LONGEST_FIRST else -1


def _context() -> BaseContext:
    """Fresh processes; on Linux forked from one server that has imported the heavy modules once,
    before any thread.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["genzoo.benchmark.run"])
    return context
