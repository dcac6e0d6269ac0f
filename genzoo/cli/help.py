"""What every verb shares.

That is a parser whose errors are sentences, help in colour, and the names of the families.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.table import Column, Table
from rich.text import Text
from rich.theme import Theme

from genzoo.benchmark.hybrids import full_name
from genzoo.errors import InputError, nearest
from genzoo.families import names

THEME = Theme(
    {
        "help.option": "bold cyan",
        "help.metavar": "green",
        "help.heading": "bold yellow",
        "help.default": "dim",
    }
)


# the options that take no value
FLAGS = (
    "-h",
    "--help",
    "--conditional",
    "--ais",
    "--ode",
    "--nats",
    "--quality",
    "--text-decoder",
    "--text_decoder",
)


class HelpHighlighter(RegexHighlighter):
    base_style = "help."
    highlights = [  # noqa: RUF012 (rich's own way)
        r"(?P<option>(?<![\w-])--?[a-zA-Z][\w.-]*)",
        r"(?P<heading>^\w[\w ]*:)",
        r"(?P<default>\((?:type|required|default)[^)]*\)?\)?)",
    ]


LARGEST = 3.4028234663852886e38  # number of single precision
MOST_DIGITS = 18  # of a whole number; with more it may not fit into 64 bits
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "tuple": "a list such as [16]",
    "bool": "true or false",
}
# what jsonargparse says of a value that is of none of several types
UNION = r"Parser key \"(.+?)\".*Subtypes: [\[(](.*?)[\])].*Given value: ?(.*)"


class Parser(ArgumentParser):
    """jsonargparse's parser, with errors of one sentence.

    What is wrong becomes an `InputError` that names the nearest option.
    """

    def __init__(self, verb: str, description: str):
        super().__init__(prog=f"genzoo {verb}", description=description, allow_abbrev=False)

    def parse(self, arguments: Sequence[str], defaults: bool = True) -> Namespace:
        """Options may be written with dashes or underscores.

        Without ``defaults``, only what was given is returned.
        """
        given = self.parse_args(
            [_underscored(argument) for argument in arguments], defaults=defaults
        )
        for name, value in vars(given.as_flat()).items():
            self._check(name, value)
        return given

    def _check(self, name: str, value: Any) -> None:
        """Refuse what no option can mean: an empty name, and numbers that no machine holds."""
        for each in value if isinstance(value, list | tuple) else [value]:
            if each == "":
                raise InputError(f"{self.prog}: --{name} is empty: leave it out, or give a value.")
            if isinstance(each, float) and not abs(each) <= LARGEST:  # NaN is not, either
                expected = f"expected a number of at most {LARGEST:.4g}"
                raise InputError(f"{self.prog}: --{name}: {expected}, got {each}.")
            if isinstance(each, int) and abs(each) >= 10**MOST_DIGITS:
                expected = f"expected a whole number of at most {MOST_DIGITS} digits"
                raise InputError(f"{self.prog}: --{name}: {expected}, got {str(each)[:30]}.")

    def print_help(self, file=None) -> None:
        console().print(HelpHighlighter()(self.format_help()))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(self._sentence(message)) from ex

    def _sentence(self, message: str) -> str:
        options = [
            option
            for action in self._actions
            for option in action.option_strings
            if option.startswith("--")
        ]
        if unknown := re.search(r"[Uu]nrecognized arguments:.*?(--[\w.-]+)", message):
            return f"{self.prog} has no option {unknown[1]}. {nearest(unknown[1], options)}"
        if word := re.match(r"[Uu]nrecognized arguments: (\S+)", message):
            return f"{self.prog} has no use for {word[1]!r}: see {self.prog} --help."
        if bare := re.match(r"argument (\S+): expected (?:at least )?one argument", message):
            hint = f"write a value that begins with a dash as {bare[1]}=-1"
            return f"{self.prog}: {bare[1]} expects a value; {hint}."
        if missing := re.search(r"arguments are required: (.+)", message):
            return f"{self.prog} needs {missing[1]}: see {self.prog} --help."
        if union := re.search(UNION, message, re.DOTALL):
            kinds: list[str] = [
                kind for kind in re.findall(r"'(\w+)'", union[2]) if kind != "NoneType"
            ]
            expected = " or ".join(KINDS.get(kind, kind) for kind in kinds)
            return f"{self.prog}: --{union[1]}: expected {expected}, got {union[3] or 'nothing'}."
        if wrong := re.search(r'"(.+?)"[^:]*:\s*(.*)', message, re.DOTALL):
            expected = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", " ".join(wrong[2].split()))
            expected = re.sub(
                r"Expected an? (\w+)\. Got value: ?",
                lambda m: f"expected {KINDS.get(m[1], m[1])}, got ",
                expected,
            )
            expected = re.sub(r"got $", "got nothing", expected)
            return f"{self.prog}: --{wrong[1]}: {expected.rstrip() or 'nothing'}."
        return f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)."


def _underscored(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


def with_value(arguments: Sequence[str]) -> set[int]:
    """The positions of arguments that are values of the option before them."""
    return {
        i + 1
        for i, argument in enumerate(arguments)
        if argument.startswith("-") and "=" not in argument and argument not in FLAGS
    }


class Screen(Console):
    """A console that goes on in silence when nobody reads on, as in ``genzoo train vae | head``."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def console() -> Console:
    """The screen. Text is printed as it is, for it may hold a path with brackets or colons in it.

    What is to be bold or coloured is told by a ``style``, or by a `rich.text.Text` of several
    parts.
    """
    return Screen(theme=THEME, highlight=False, markup=False, emoji=False)


def overview(verbs: Mapping[str, str]) -> None:
    """``genzoo --help``."""
    out = console()
    about = "six families of generative models behind one interface, compared honestly."
    out.print(Text.assemble(("genzoo", "bold"), f": {about}\n"))
    usage = "genzoo VERB [OPTIONS]        genzoo VERB --help"
    out.print(Text.assemble(("usage:", "help.heading"), f" {usage}\n"))
    table = Table(Column(style="help.option"), "", box=None, show_header=False, padding=(0, 2))
    for verb, line in verbs.items():
        table.add_row(verb, line)
    out.print(table)
    out.print(Text.assemble(("\nbegin with:", "help.heading"), " genzoo compare --data digits"))


def known_model(name: str, *besides: str) -> str:
    """A family's or a hybrid's name, or one of ``besides``, in lower case and in full.

    Raises:
        InputError: there is none of that name, with the nearest one.
    """
    return full_name(name, names.names(), [*names.HYBRIDS, *besides])


def add_data(parser: ArgumentParser, default: Any = "digits") -> None:
    from genzoo.data.names import NAMES, YOURS

    parser.add_argument(
        "--data", type=str, default=default, help=f"one of {', '.join(NAMES)}, or a {YOURS}"
    )


def add_choice_of_recipe(parser: ArgumentParser) -> None:
    from genzoo.benchmark.recipes import BUDGETS

    parser.add_argument(
        "--budget", type=str, default="quick", help=f"which recipe: {' or '.join(BUDGETS)}"
    )
    parser.add_argument(
        "--recipe", type=str | None, default=None, help="a YAML file of your own instead"
    )
    parser.add_argument(
        "--conditional", action="store_true", help="give the models the data's labels or conditions"
    )
