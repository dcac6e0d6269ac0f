"""``genzoo doctor``: what is wrong with an environment, a machine or a folder, and what to do."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from genzoo.benchmark.environment import Finding, environment, unloadable
from genzoo.cli.help import Parser, console

WELL, NOTE, WRONG = ("✓", "green"), ("!", "yellow"), ("✗", "bold red")


def doctor(arguments: Sequence[str]) -> int:
    """Look at everything, print what was found; 1 if something is wrong."""
    options = _options(arguments)
    screen = console()
    with screen.status("Looking"):
        broken = unloadable()
        found = {"Environment": [*environment(), *broken]}
        if not broken:
            found |= _beyond(options.folder)
    for title, findings in found.items():
        screen.print(title, style="help.heading")
        _print(findings, screen)
    wrong = sum(each.wrong for findings in found.values() for each in findings)
    things = "1 thing is" if wrong == 1 else f"{wrong} things are"
    screen.print("Nothing is wrong." if not wrong else f"{things} wrong; see {WRONG[0]}.")
    return 1 if wrong else 0


def _beyond(folder: str | None) -> dict[str, list[Finding]]:
    """The machine and the folder, which are looked at through packages that load."""
    from genzoo.benchmark import checkup

    path = Path(folder or ".")
    found = {"Machine": checkup.machine(path)}
    if folder is not None:
        found["Folder"] = checkup.folder(path)
    return found


def _print(findings: Sequence[Finding], screen: Console) -> None:
    table = Table(Column(no_wrap=True), "", "", box=None, show_header=False, padding=(0, 1))
    for each in findings:
        sign, style = WRONG if each.wrong else NOTE if each.advice else WELL
        found = Text(each.found)
        if each.advice:
            found.append(f"\n{each.advice}", style="dim")
        table.add_row(Text(sign, style), Text(each.what, "help.option"), found)
    screen.print(Padding(table, (0, 0, 1, 1)))


def _options(arguments: Sequence[str]):
    parser = Parser(
        "doctor",
        "Looks at this environment, this machine and a folder, and says what is wrong and what to "
        "do. Nothing is changed. The exit code is 0 if nothing is wrong, else 1.",
    )
    parser.add_argument(
        "folder",
        type=str,
        nargs="?",
        default=None,
        help="of a run, of a comparison or of a saved model",
    )
    return parser.parse(arguments)
