"""``genzoo list`` and ``genzoo info``: families, data sets and trained models."""

import inspect
import re
import sys
from collections.abc import Sequence

from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from genzoo import pretrained
from genzoo.cli.help import Parser, console, known_model
from genzoo.data.names import NAMES, YOURS
from genzoo.families import names


def list_(arguments: Sequence[str]) -> int:
    """The families with their claims, how hybrids are named, and the data sets."""
    parser = Parser(
        "list",
        "Lists the families, each with the claim that its likelihood makes, and the data sets.",
    )
    parser.parse(arguments)
    out = console()
    with out.status("Looking at the families"):
        from genzoo import families

        rows = [_family_row(family) for family in families.FAMILIES]
    table = _table("family", "on levels", "on reals", "")
    for row in rows:
        table.add_row(*row)
    out.print(table)
    out.print("\n  likelihood:  = exact   ≤ bound   ≈ estimate   — none", style="dim")
    composed = "vae+FAMILY, a VAE whose prior is of that family; vaegan, a VAE before a critic"
    out.print(f"  hybrids:     {composed}\n", style="dim")
    table = _table("data", "")
    for name, line in NAMES.items():
        table.add_row(name, line)
    table.add_row("your own", YOURS)
    out.print(table)
    if trained := pretrained.names():
        out.print(f"\n  come trained: {' '.join(trained)}", style="dim")
    return 0


def _table(first: str, *others: str, header_style: str = "help.heading") -> Table:
    """A table without lines, whose first column has names."""
    names = Column(first, style="help.option")
    return Table(names, *others, box=None, header_style=header_style, padding=(0, 2))


def _family_row(family) -> tuple[str, str, str, str]:
    """The claim depends on the data: dequantisation weakens a flow's from exact to a bound."""
    claims = [family((2,), levels=levels).likelihood.symbol for levels in (2, 0)]
    about = (inspect.getdoc(sys.modules[family.__module__]) or "").split("\n")[0]
    return family.__name__.lower(), *claims, about.partition(": ")[2]


def info(arguments: Sequence[str]) -> int:
    """A family's equations, constructor and references, from its own file; or a model's card."""
    parser = Parser(
        "info",
        "Shows a family's equations, its constructor's arguments and its references; or the card "
        "of a trained model.",
    )
    models = "or a trained model, such as digits/vae or the folder of a run"
    parser.add_argument("family", type=str, help=f"{', '.join(names.names())}; {models}")
    name = parser.parse(arguments).family
    out = console()
    if "/" in name:
        out.print(Markdown(pretrained.card(name)))
        return 0
    with out.status(Text(f"Opening {name}")):
        from genzoo.benchmark.hybrids import parts

        family = parts(known_model(name)).family
    equations = inspect.getdoc(sys.modules[family.__module__]) or ""
    out.print(f"genzoo.{family.__name__}\n", style="bold")
    out.print(Padding(_readable(equations), (0, 2)))
    out.print("\nArguments", style="help.heading")
    table = _table("name", "type", "default", header_style="dim")
    for parameter in inspect.signature(family).parameters.values():
        default = (
            "(from the data)" if parameter.default is parameter.empty else repr(parameter.default)
        )
        table.add_row(parameter.name, _type(parameter.annotation), default)
    out.print(table)
    out.print()
    out.print(Padding(inspect.getdoc(family) or "", (0, 2)))
    return 0


def _type(annotation) -> str:
    plain = inspect.isclass(annotation) and not hasattr(annotation, "__args__")
    return (annotation.__name__ if plain else str(annotation)).replace("genzoo.model.", "")


def _readable(text: str) -> str:
    """reStructuredText without its marks: equations stay in LaTeX, indented."""
    text = re.sub(r"\n\.\. math::\n", "\n", text)
    text = re.sub(r":math:`([^`]*)`", r"\1", text)
    return re.sub(r"\n{3,}", "\n\n", text).replace("``", "")
