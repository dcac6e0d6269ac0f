"""The engine of one machine: each run in a process of its own.

A pool of ``concurrent.futures`` or loky gives up all its futures when one of its processes is
killed. Here, that run alone has failed, and says so.

Imports nothing heavy; the processes do.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any

from genzoo.benchmark.jobs import (
    Job,
    Message,
    Observer,
    Outcome,
    carry_out,
    cores,
    forwarding,
    longest_last,
)


class Local:
    """Processes of this machine.

    Args:
        at_a_time: how many run side by side, each on its share of the cores; 0: as many as there
            are cores.
    """

    def __init__(self, at_a_time: int = 0):
        self.at_a_time = at_a_time

    def carry_out(self, jobs: Sequence[Job], observer: Observer) -> list[Outcome]:
        """Carry out all jobs, those with most steps first.

        On KeyboardInterrupt the processes are ended at once (their checkpoints are whole) and the
        exception goes on.
        """
        at_a_time = max(1, min(self.at_a_time or cores(), len(jobs)))
        threads = max(1, cores() // at_a_time)
        waiting = longest_last(jobs)
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
                    if not isinstance(message, Outcome):
                        observer.message(i, message)
                        continue
                    outcomes[i] = message
                    observer.outcome(i, message)
                    del running[connection]  # type: ignore[arg-type]
                    process.join()
        finally:
            for _, process in running.values():
                process.kill()
                process.join()
        return [outcomes[i] for i in range(len(jobs))]


class Here:
    """This process, one job after another: for what no other process can import."""

    def carry_out(self, jobs: Sequence[Job], observer: Observer) -> list[Outcome]:
        """Carry out all jobs in their order."""
        outcomes = []
        for i, job in enumerate(jobs):

            def progress(done: int, total: int, text: str, i: int = i) -> None:
                observer.progress(i, done, total, text)

            outcome = carry_out(job, progress)
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


def _receive(connection: Connection) -> Outcome | Message:
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
    """Carry out one job in a process: send progress, then the outcome.

    Ctrl-C is the parent's business.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    import torch

    if "OMP_NUM_THREADS" not in os.environ:  # which the user may have set for a reason
        torch.set_num_threads(threads)
    with forwarding(sender.send) as progress:
        outcome = carry_out(job, progress)
    with suppress(BrokenPipeError):  # the parent may have been killed
        sender.send(outcome)


PR_SET_PDEATHSIG = 1  # of prctl(2): the signal to be sent when the parent has ended


def end_with_parent() -> None:
    """End this process as soon as its parent has ended, in whatever way.

    A killed parent cannot tell, and a stage that reports nothing for minutes would not notice. A
    thread waits for the parent's end. It gets no turn in a long call that keeps Python to itself;
    on Linux the system ends the process even then. (The server that the processes are forked from
    ends with the parent.) Checkpoints are whole at every moment.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=watch, daemon=True).start()


def _context() -> BaseContext:
    """Fresh processes; on Linux forked from a server that has imported the heavy modules once."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["genzoo.benchmark.run"])
    return context
