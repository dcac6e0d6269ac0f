"""Many runs at once, each in a process of its own.

One that fails, or is killed for its memory, takes no other with it.

Imports nothing heavy; the processes do.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genzoo.benchmark.plan import Plan
    from genzoo.benchmark.row import Row
    from genzoo.data.dataset import DataSet


@dataclass(frozen=True)
class Outcome:
    """A run's row, or the sentence that says why there is none."""

    row: "Row | None" = None
    failure: str | None = None


@dataclass(frozen=True)
class Job:
    """A run to be carried out.

    Args:
        plan: what it does.
        folder: where.
        data: the data set, where the plan's name does not say how to load it.
    """

    plan: "Plan"
    folder: Path
    data: "DataSet | None" = None


class Observer:
    """Is told how a comparison goes; this one does nothing with it, and is there to be overridden.

    Runs are named by their index among the plans.
    """

    def planned(self, plans: "Sequence[Plan]", finished: int) -> None:
        """The runs there will be, of which so many were finished before."""

    def progress(self, i: int, done: int, total: int, text: str) -> None:
        """A run has done so many of its steps."""

    def note(self, i: int, text: str) -> None:
        """A run has printed a line."""

    def outcome(self, i: int, outcome: Outcome) -> None:
        """A run has ended."""

    def remark(self, text: str) -> None:
        """A sentence about the comparison as a whole."""

    def stage(self, name: str, done: int, total: int, text: str) -> None:
        """What is done once for all runs, such as timing and drawing, has got so far."""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(jobs: Sequence[Job], at_a_time: int, observer: Observer) -> list[Outcome]:
    """Carry out all jobs, those with most steps first, each in a process of its own.

    On KeyboardInterrupt the processes are ended at once (their checkpoints are whole) and the
    exception goes on.

    Args:
        jobs: what to do.
        at_a_time: processes that run side by side, each on its share of the cores.
        observer: is told how it goes.

    Returns:
        an outcome for each job, in their order.
    """
    at_a_time = max(1, min(at_a_time, len(jobs)))
    threads = max(1, cores() // at_a_time)
    waiting = sorted(range(len(jobs)), key=lambda i: jobs[i].plan.steps)  # the last is taken first
    outcomes: dict[int, Outcome] = {}
    running: dict[Connection, tuple[int, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                i = waiting.pop()
                connection, process = _start(jobs[i], threads)
                running[connection] = (i, process)
            for connection in wait(list(running), timeout=1.0):
                i, process = running[connection]  # type: ignore[index]
                message = _receive(connection)  # type: ignore[arg-type]
                if isinstance(message, Outcome):
                    outcomes[i] = message
                    observer.outcome(i, message)
                    del running[connection]  # type: ignore[arg-type]
                    process.join()
                elif isinstance(message, str):
                    observer.note(i, message)
                else:
                    observer.progress(i, *message)
    finally:
        for _, process in running.values():
            process.kill()
            process.join()
    return [outcomes[i] for i in range(len(jobs))]


def run_here(jobs: Sequence[Job], observer: Observer) -> list[Outcome]:
    """Carry out all jobs one after another in this process, for what no other can import."""
    outcomes = []
    for i, job in enumerate(jobs):

        def progress(done: int, total: int, text: str, i: int = i) -> None:
            observer.progress(i, done, total, text)

        outcome = _outcome(job, progress)
        observer.outcome(i, outcome)
        outcomes.append(outcome)
    return outcomes


def _start(job: Job, threads: int) -> tuple[Connection, Any]:
    """A process that carries out ``job``, and the end of the line on which it reports."""
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(  # type: ignore[attr-defined]
        target=_work,
        args=(job, threads, sender),
        daemon=True,
    )
    with _without_main():
        process.start()
    sender.close()
    return receiver, process


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep new processes from running the user's script again, for they need nothing of it.

    They would, on their way to what the script has defined; so a script that compares would need
    its ``if __name__ == "__main__"``.
    """
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    kept = {name: getattr(main, name) for name in names if hasattr(main, name)}
    try:
        for name in kept:
            setattr(main, name, None)
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)


def _receive(connection: Connection) -> Outcome | str | tuple[int, int, str]:
    """The next message: progress, a line of text, or the outcome.

    The end of the line means an outcome as well.
    """
    try:
        return connection.recv()
    except (EOFError, OSError):
        return Outcome(
            failure="its process was ended from outside, perhaps for lack of memory; run again to "
            "resume it."
        )


def _work(job: Job, threads: int, sender: Connection) -> None:
    """In the process: carry out one job, send progress, then the outcome.

    Ctrl-C is the parent's business.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with(multiprocessing.parent_process())
    import torch

    if "OMP_NUM_THREADS" not in os.environ:  # which the user may have set for a reason
        torch.set_num_threads(threads)

    def progress(done: int, total: int, text: str) -> None:
        sender.send((done, total, text))

    with redirect_stdout(StdoutForwarder(sender)):  # type: ignore[type-var]
        outcome = _outcome(job, progress)
    with suppress(BrokenPipeError):  # the parent was killed: there is nobody left to tell
        sender.send(outcome)


def _end_with(parent: Any) -> None:
    """End this process as soon as ``parent`` has ended, however it did, and whatever goes on here.

    A killed parent cannot tell, and a stage that reports nothing for minutes would not notice.
    """

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)  # checkpoints are whole at every moment

    threading.Thread(target=watch, daemon=True).start()


def _outcome(job: Job, progress: Any) -> Outcome:
    """Carry out one job; whatever goes wrong becomes a sentence."""
    from genzoo.benchmark.run import run
    from genzoo.errors import TOO_LARGE, InputError, TrainingError, refused, too_large

    try:
        return Outcome(row=run(job.plan, job.folder, job.data, progress))
    except (InputError, TrainingError) as error:
        return Outcome(failure=str(error))
    except OSError as error:
        return Outcome(failure=refused(error, job.folder))
    except Exception as error:  # a bug in one family must not cost the others their results
        if too_large(error):
            return Outcome(failure=TOO_LARGE)
        job.folder.mkdir(parents=True, exist_ok=True)
        told = job.folder / "error.txt"
        told.write_text(traceback.format_exc(), encoding="utf-8")
        first = (str(error).splitlines() or [""])[0]
        return Outcome(failure=f"{type(error).__name__}: {first} (see {told})")


class StdoutForwarder:
    """A stream that sends each line printed to it to the parent, above whose bars it appears."""

    def __init__(self, sender: Connection):
        self.sender = sender

    def write(self, text: str) -> int:
        """Send the lines of ``text``."""
        for line in filter(str.strip, text.splitlines()):
            self.sender.send(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _context() -> BaseContext:
    """Fresh processes; on Linux forked from a server that has imported the heavy modules once."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["genzoo.benchmark.run"])
    return context
