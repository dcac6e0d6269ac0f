"""Jobs, their outcomes, and the observer that is told of their progress.

The module imports nothing heavy until a job is carried out.
"""

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genzoo.progress import Progress

if TYPE_CHECKING:
    from genzoo.benchmark.plan import Plan
    from genzoo.benchmark.row import Row
    from genzoo.data.dataset import DataSet


@dataclass(frozen=True)
class Job:
    """A run to be carried out.

    Args:
        plan: of the run.
        folder: of the run.
        data: the data set, if it cannot be loaded by the name in the plan.
    """

    plan: "Plan"
    folder: Path
    data: "DataSet | None" = None


@dataclass(frozen=True)
class Outcome:
    """A run's row, or the sentence that says why there is none."""

    row: "Row | None" = None
    failure: str | None = None


Message = tuple[int, int, str] | str  # progress of a run, or a line that it has printed


class Observer:
    """Receiver of a comparison's progress; this base class ignores it, subclasses show it.

    Runs are named by their index among the plans.
    """

    def planned(self, plans: "Sequence[Plan]", finished: int) -> None:
        """Called once with all plans; ``finished`` of them were carried out before."""

    def progress(self, i: int, done: int, total: int, text: str) -> None:
        """Called with the progress of a run.

        Args:
            i: index of its plan.
            done: number of steps that are done.
            total: number of all steps.
            text: a few words about it.
        """

    def note(self, i: int, text: str) -> None:
        """Called with a line that a run has printed."""

    def outcome(self, i: int, outcome: Outcome) -> None:
        """Called when a run has ended."""

    def remark(self, text: str) -> None:
        """Called with a sentence about the comparison as a whole."""

    def stage(self, name: str, done: int, total: int, text: str) -> None:
        """Called with the progress of work that is done once for all runs.

        Args:
            name: of the work, such as timing or drawing.
            done: number of its parts that are done.
            total: number of all parts.
            text: a few words about it.
        """

    def message(self, i: int, message: Message) -> None:
        """Pass on a message from the process of a run."""
        if isinstance(message, str):
            self.note(i, message)
        else:
            self.progress(i, *message)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def longest_last(jobs: Sequence[Job]) -> list[int]:
    """The indices of ``jobs``, to be popped: those with most steps are begun first."""
    return sorted(range(len(jobs)), key=lambda i: jobs[i].plan.steps)


def carry_out(job: Job, progress: Progress) -> Outcome:
    """Carry out one job in this process; any error becomes a sentence."""
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
        report = job.folder / "error.txt"
        report.write_text(traceback.format_exc(), encoding="utf-8")
        first = (str(error).splitlines() or [""])[0]
        return Outcome(failure=f"{type(error).__name__}: {first} (see {report})")


@contextmanager
def forwarding(send: Callable[[Message], object]) -> Iterator[Progress]:
    """Send each line that is printed inside; yields a function that sends progress."""

    def progress(done: int, total: int, text: str) -> None:
        send((done, total, text))

    with redirect_stdout(StdoutForwarder(send)):  # type: ignore[type-var]
        yield progress


class StdoutForwarder:
    """A stream that sends each line printed to it, so that it appears above the progress bars."""

    def __init__(self, send: Callable[[str], object]):
        self.send = send

    def write(self, text: str) -> int:
        """Send the lines of ``text``."""
        for line in filter(str.strip, text.splitlines()):
            self.send(line)
        return len(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""
