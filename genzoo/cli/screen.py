"""Output of several verbs: bars while they work, and tables when they are done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich.progress
from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as RichTable

from genzoo.progress import Progress

if TYPE_CHECKING:
    from genzoo.benchmark.report.tables import Table


def bars(screen: Console) -> rich.progress.Progress:
    """One bar for each run: steps, time so far and left, loss.

    A log file has none, a narrow terminal short ones.
    """
    return rich.progress.Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=max(4, min(28, screen.width - 71))),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
        console=screen,
        disable=not screen.is_terminal,
    )


@contextmanager
def bar(screen: Console, name: str) -> Iterator[Progress]:
    """One progress bar, as a function that is called with (done, total, text).

    Before that it is not shown.
    """
    with bars(screen) as shown:
        task = shown.add_task(name, total=None, text="", visible=False)

        def show(done: int, total: int, text: str) -> None:
            shown.update(task, completed=done, total=total, text=text, visible=True)

        yield show


def print_table(table: "Table", screen: Console) -> None:
    """The table, then its legend."""
    shown = RichTable(box=SIMPLE, header_style="dim", padding=(0, 1), show_edge=False)
    shown.add_column(table.headers[0], no_wrap=True)
    for header in table.headers[1:]:
        shown.add_column(header, justify="right", no_wrap=True)
    for line in table.lines:
        if line.opens:
            shown.add_section()
        shown.add_row(*line.cells, style="dim" if line.muted else "")
    # a narrower terminal may break the lines, but not lose a column
    unlimited = screen.options.update(max_width=200)
    needed = Measurement.get(screen, unlimited, shown).maximum
    screen.width = max(screen.width, needed)
    screen.print(shown)
    for sentence in table.legend:
        screen.print(Padding(sentence, (0, 2)), style="dim")
