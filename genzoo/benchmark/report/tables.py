"""A table, before it is printed in a terminal, in Markdown or as HTML."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = {  # of a table in a notebook, independent of the notebook's style sheet
    "table": "border-collapse: collapse; font-variant-numeric: tabular-nums",
    "th": "text-align: right; padding: .3em .8em; border-bottom: 2px solid #8888",
    "td": "text-align: right; padding: .3em .8em; border-bottom: 1px solid #8884",
    "group": "border-top: 2px solid #8888",
    "legend": "opacity: .7; font-size: .85em; max-width: 42em; padding-left: 1.2em",
}


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Args:
        cells: the first is a name.
        muted: True of a line that is there for comparison.
        opens: True of the first line of a group.
    """

    cells: tuple[str, ...]
    muted: bool = False
    opens: bool = False


@dataclass(frozen=True)
class Table:
    """Headers, lines, and a legend that explains them: "term: what it means" for each entry."""

    title: str
    headers: tuple[str, ...]
    lines: Sequence[Line]
    legend: Sequence[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table in Markdown: names bold, those of muted lines in italics, the legend folded."""
        rule = ("---", *["---:"] * (len(self.headers) - 1))
        rows = [self.headers, rule, *map(_emphasised, self.lines)]
        table = "\n".join(map(_row, rows))
        if not self.legend:
            return f"{table}\n"
        return f"{table}\n\n{folded(self.legend)}"

    def html(self) -> str:
        """The table with its title, its legend and its style as HTML, for a notebook."""
        headers = ""
        for i, header in enumerate(self.headers):
            headers += _html("th", header, left=i == 0)
        lines = "\n".join(map(_html_line, self.lines))
        legend = "\n".join(f"<li>{escape(entry)}</li>" for entry in self.legend)
        return (
            f"<h4>{escape(self.title)}</h4>\n"
            f'<table style="{STYLE["table"]}">\n'
            f"<thead><tr>{headers}</tr></thead>\n"
            f"<tbody>\n{lines}\n</tbody></table>\n"
            f'<ul style="{STYLE["legend"]}">\n{legend}\n</ul>\n'
        )

    def _repr_html_(self) -> str:
        return self.html()


def folded(legend: Iterable[str]) -> str:
    """A list that a click opens, its terms bold; GitHub and the book both draw it."""
    entries = "\n".join(map(_entry, legend))
    return (
        f"<details><summary>What the signs and columns mean</summary>\n\n{entries}\n\n</details>\n"
    )


def _entry(sentence: str) -> str:
    term, colon, meaning = sentence.partition(": ")
    return f"- **{term}**: {meaning}" if colon else f"- {sentence}"


def _emphasised(line: Line) -> tuple[str, ...]:
    name, *others = line.cells
    mark = "*" if line.muted else "**"
    return (f"{mark}{name}{mark}", *others)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _html_line(line: Line) -> str:
    style = STYLE["group"] if line.opens else ""
    if line.muted:
        style = f"{style}; opacity: .6".removeprefix("; ")
    cells = "".join(_html("td", cell, left=i == 0) for i, cell in enumerate(line.cells))
    return f'<tr style="{style}">{cells}</tr>' if style else f"<tr>{cells}</tr>"


def _html(tag: str, text: str, left: bool) -> str:
    align = "; text-align: left" if left else ""
    return f'<{tag} style="{STYLE[tag]}{align}">{escape(text)}</{tag}>'
