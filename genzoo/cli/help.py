"""Shared by every verb: parsers whose errors are sentences, help in colour, names of families."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace, set_loader
from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.table import Column, Table
from rich.text import Text
from rich.theme import Theme

from genzoo.benchmark.hybrids import full_name
from genzoo.errors import InputError, nearest
from genzoo.families import names
from genzoo.gate import text
from genzoo.gate.schema import misfit, short

GATE = "genzoo"  # the mode in which jsonargparse reads numbers and lists as recipes are read
set_loader(GATE, text.from_yaml, exceptions=(ValueError,))

THEME = Theme(
    {
        "help.option": "bold cyan",
        "help.metavar": "green",
        "help.heading": "bold yellow",
        "help.default": "dim",
    }
)


# how a trained model is named on the command line
OF_MODEL = "folder of a run or of a saved model, or one that comes trained, such as digits/vae"

# the options that take no value
FLAGS = (
    "-h",
    "--help",
    "--conditional",
    "--ais",
    "--ode",
    "--nats",
    "--quality",
    "--pretrained",
    "--text-decoder",
    "--text_decoder",
)


class HelpHighlighter(RegexHighlighter):
    """Colours of options, headings and defaults in the text of ``--help``."""

    base_style = "help."
    highlights = [  # noqa: RUF012 (rich's own way)
        r"(?P<option>(?<![\w-])--?[a-zA-Z][\w.-]*)",
        r"(?P<heading>^\w[\w ]*:)",
        r"(?P<default>\((?:type|required|default)[^)]*\)?\)?)",
    ]


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
        super().__init__(
            prog=f"genzoo {verb}",
            description=description,
            allow_abbrev=False,
            parser_mode=GATE,
        )

    def parse(self, arguments: Sequence[str], defaults: bool = True) -> Namespace:
        """Options may be written with dashes or underscores.

        Without ``defaults``, only what was given is returned.
        """
        self._check_depth(arguments)
        words = [_underscored(argument) for argument in arguments]
        given = self.parse_args(words, defaults=defaults)
        odd = _odd_numbers(words)
        options = {word.partition("=")[0] for word in words}
        for name, value in vars(given.as_flat()).items():
            for each in value if isinstance(value, list | tuple) else [value]:
                self._check(name, each, odd if f"--{name}" in options else {})
        return given

    def _check_depth(self, arguments: Sequence[str]) -> None:
        """Refuse a list of lists of lists ..., which jsonargparse would follow without end."""
        for argument in arguments:
            try:
                text.from_yaml(argument)
            except text.TooMuch as error:
                raise InputError(f"{self.prog}: {short(argument)} is {error}.") from error
            except ValueError:  # a path or a caption need not be YAML
                continue

    def _check(self, name: str, value: Any, odd: Mapping[float, str]) -> None:
        """Refuse what no option can mean: an empty name, and numbers that no machine holds.

        jsonargparse takes some words for numbers that are none to us; ``odd`` has them.
        """
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value == "":
            raise InputError(f"{self.prog}: --{name} is empty: leave it out, or give a value.")
        if expected := misfit(value):
            raise InputError(f"{self.prog}: --{name}: expected {expected}, got {short(value)}.")
        if is_number and value in odd:
            expected = KINDS[type(value).__name__]
            raise InputError(f"{self.prog}: --{name}: expected {expected}, got {odd[value]}.")

    def print_help(self, file=None) -> None:
        console().print(HelpHighlighter()(self.format_help()))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(self._sentence(message)) from ex

    def _sentence(self, message: str) -> str:
        options = [
            option
            for action in self._actions
            for option in action.option_strings
            if option.startswith("--") and option != "--print_shtab"  # jsonargparse's
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


def _odd_numbers(arguments: Sequence[str]) -> dict[float, str]:
    """Numbers that words are taken for which are none, such as 0x10, by what they are taken for."""
    words = re.findall(r"[\w.:+-]+", " ".join(arguments))
    taken = {word: text.taken_for(word) for word in words}
    return {number: word for word, number in taken.items() if number is not None}


def _underscored(argument: str) -> str:
    """An option with underscores in place of dashes; any other argument unchanged."""
    name, equals, value = argument.partition("=")
    if not name.startswith("--"):
        return argument
    word = name.removeprefix("--").replace("-", "_")
    return f"--{word}{equals}{value}"


def with_value(arguments: Sequence[str]) -> set[int]:
    """The positions of arguments that are values of the option before them."""
    positions = set()
    for i, argument in enumerate(arguments):
        is_option = argument.startswith("-") and argument not in FLAGS
        if is_option and "=" not in argument:
            positions.add(i + 1)
    return positions


class Screen(Console):
    """A console that stays silent once its reader is gone, as in ``genzoo train vae | head``."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


NARROWEST, USUAL = 10, 80  # columns of a screen


def console() -> Console:
    """The screen. Text is printed as it is, for it may hold a path with brackets or colons in it.

    Bold and coloured text has a ``style``, or is a `rich.text.Text` of several parts.
    """
    screen = Screen(theme=THEME, highlight=False, markup=False, emoji=False)
    if screen.width < NARROWEST:  # COLUMNS=0, say: no screen is so narrow
        screen.width = USUAL
    return screen


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
    """Add the option ``--data``."""
    from genzoo.data.names import NAMES, YOURS

    parser.add_argument(
        "--data", type=str, default=default, help=f"one of {', '.join(NAMES)}, or a {YOURS}"
    )


def add_family(parser: ArgumentParser) -> None:
    """Add the option ``--family``, by which the user allows code of their own to be imported."""
    parser.add_argument(
        "--family",
        type=str | None,
        default=None,
        help="module:Class of a run whose family is your own; no folder can have code imported",
    )


def add_choice_of_recipe(parser: ArgumentParser) -> None:
    """Add the options ``--budget``, ``--recipe`` and ``--conditional``."""
    from genzoo.benchmark.recipes import BUDGETS

    parser.add_argument(
        "--budget", type=str, default="quick", help=f"which recipe: {', '.join(BUDGETS)}"
    )
    parser.add_argument(
        "--recipe", type=str | None, default=None, help="a YAML file of your own instead"
    )
    parser.add_argument(
        "--conditional", action="store_true", help="give the models the data's labels or conditions"
    )
