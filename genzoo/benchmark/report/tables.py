"""A table of the scorecard, before it is printed in a terminal, in Markdown or on the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One row: its cells, the first a name; ``muted`` for what is there to compare with; ``opens``
    a new group.
    """

    cells: tuple[str, ...]
    muted: bool = False
    opens: bool = False


@dataclass(frozen=True)
class Table:
    """Headers, lines, and the sentences without which they would be misread."""

    title: str
    headers: tuple[str, ...]
    lines: Sequence[Line]
    legend: Sequence[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table in Markdown, names bold, muted ones in italics, and its legend as one
        paragraph.
        """
        rule = ("---", *["---:"] * (len(self.headers) - 1))
        named = [
            (f"*{n}*" if line.muted else f"**{n}**", *rest)
            for line in self.lines
            for n, *rest in [line.cells]
        ]
        return (
            "\n".join(map(_row, [self.headers, rule, *named]))
            + "\n\n"
            + "; ".join(self.legend)
            + "\n"
        )


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
