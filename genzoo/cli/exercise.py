"""``genzoo exercise``: the exercises of the course, written, checked and hinted at."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from genzoo.cli.help import Parser, console
from genzoo.course import Exercise, Progress, exercises, find
from genzoo.course.apart import SECONDS
from genzoo.course.plain import plain
from genzoo.errors import InputError, nearest


def exercise(arguments: Sequence[str]) -> int:
    """Do one of `ACTIONS`; 1 if a check says "not yet"."""
    options = _options(arguments)
    if options.action not in ACTIONS:
        hint = nearest(options.action, ACTIONS)
        raise InputError(f"genzoo exercise cannot {options.action!r}. {hint}")
    return ACTIONS[options.action](options, Progress(), console())


def _options(arguments: Sequence[str]) -> Any:
    parser = Parser(
        "exercise",
        "The exercises of the course. Start one, fill in its TODO, and have it checked: all in the "
        "folder exercises/ here, and nothing leaves the machine.",
    )
    parser.add_argument("action", type=str, help=f"one of {', '.join(ACTIONS)}")
    parser.add_argument(
        "id", type=str | None, nargs="?", default=None, help="of the exercise, such as 9a"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="after which a check is stopped"
    )
    options = parser.parse(arguments)
    if not options.seconds > 0:
        raise InputError(f"--seconds must be above 0, got {options.seconds}.")
    return options


def _asked(options: Any) -> Exercise:
    if options.id is None:
        raise InputError(
            f"Which exercise? As in: genzoo exercise {options.action} 9a. "
            "All of them: genzoo exercise list."
        )
    return find(options.id)


def _list(options: Any, progress: Progress, out: Console) -> int:
    """Every exercise with its title."""
    table = _table()
    for exercise in exercises().values():
        table.add_row(exercise.id, exercise.title, exercise.kind)
    out.print(table)
    out.print("\nbegin with: genzoo exercise start 2a", style="dim")
    return 0


def _status(options: Any, progress: Progress, out: Console) -> int:
    """Show a table of what is done and begun, and of the hints that were shown."""
    table = _table("", Column("checks", justify="right"), Column("hints", justify="right"))
    done = 0
    for exercise in exercises().values():
        entry = progress[exercise]
        state = _state(exercise, progress)
        done += entry.passed
        hints = f"{entry.hints} of {len(exercise.hints)}" if entry.hints else ""
        checks = str(entry.checks or "")
        table.add_row(exercise.id, exercise.title, state, checks, hints)
    out.print(table)
    out.print(f"\n{done} of {len(exercises())} done", style="bold")
    return 0


def _state(exercise: Exercise, progress: Progress) -> Text:
    if progress[exercise].passed:
        return Text("✓ done", style="bold green")
    return Text("begun" if progress.path(exercise).is_file() else "", style="yellow")


def _table(*others: str | Column) -> Table:
    """A table without lines; the first column has ids."""
    names = Column("id", style="help.option", no_wrap=True)
    titles = Column("", no_wrap=True, overflow="ellipsis")
    return Table(names, titles, *(others or [""]), box=None, header_style="dim", padding=(0, 1))


def _start(options: Any, progress: Progress, out: Console) -> int:
    """Write the stub, and print the statement."""
    exercise = _asked(options)
    path = progress.path(exercise)
    if path.exists():
        raise InputError(
            f"{path} is there already, and may hold your work: it is left as it is. "
            "To begin anew, move it away first."
        )
    path.parent.mkdir(exist_ok=True)
    path.write_text(exercise.stub, encoding="utf-8")
    out.print(f"{exercise.id}  {exercise.title}\n", style="bold")
    out.print(Padding(Markdown(plain(exercise.statement)), (0, 2)))
    out.print(f"\nWrote {path}. Fill in its TODO, then: genzoo exercise check {exercise.id}")
    return 0


def _check(options: Any, progress: Progress, out: Console) -> int:
    """Run the check in a process of its own, and print its sentence."""
    from genzoo.course import judge_apart

    exercise = _asked(options)
    path = _begun(exercise, progress)
    with out.status(f"Checking {path}"):
        verdict = judge_apart(exercise, path, options.seconds)
    if verdict.printed:
        out.print("Your file printed:", style="dim")
        out.print(Padding(Text(verdict.printed.rstrip()), (0, 2)), style="dim")
    entry = progress[exercise]
    entry.checks += 1
    entry.passed = verdict.passed
    progress.save()
    if verdict.passed:
        out.print(Text.assemble(("✓ ", "bold green"), f"{exercise.id} is right."))
        if exercise.test:
            out.print(f"  The same statement guards the library: {exercise.test}", style="dim")
        return 0
    out.print(Text.assemble(("Not yet. ", "bold yellow"), verdict.sentence))
    for line in verdict.lines:
        out.print(Padding(Text(line), (0, 2)), style="dim")
    if entry.hints < len(exercise.hints):
        out.print(f"  A hint: genzoo exercise hint {exercise.id}", style="dim")
    return 1


def _begun(exercise: Exercise, progress: Progress) -> Path:
    path = progress.path(exercise)
    if not path.is_file():
        raise InputError(
            f"There is no {path} here. Begin with: genzoo exercise start {exercise.id}"
        )
    return path


def _hint(options: Any, progress: Progress, out: Console) -> int:
    """The hints shown before, and one more."""
    exercise = _asked(options)
    entry = progress[exercise]
    entry.hints = min(entry.hints + 1, len(exercise.hints))
    progress.save()
    for number, hint in enumerate(exercise.hints[: entry.hints], 1):
        out.print(f"Hint {number} of {len(exercise.hints)}", style="bold")
        out.print(Padding(Markdown(plain(hint)), (0, 2)))
    if entry.hints == len(exercise.hints):
        out.print("  That was the last one.", style="dim")
    return 0


ACTIONS = {"list": _list, "start": _start, "check": _check, "hint": _hint, "status": _status}
