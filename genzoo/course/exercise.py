"""Exercises of the course, and the files that each consists of.

Each has a folder of its own in ``tasks``, named by its chapter, its letter and a word::

    tasks/09a_coupling/exercise.md    title, statement and hints
    tasks/09a_coupling/stub.py        what the reader begins with
    tasks/09a_coupling/check.py       check(answer): returns, or raises `NotYet` with a sentence

Solutions are not shipped: in a checkout they lie in ``tests/solutions``.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from genzoo.errors import InputError, nearest

TASKS = Path(__file__).parent / "tasks"
SOLUTIONS = Path(__file__).parents[2] / "tests" / "solutions"


@dataclass(frozen=True)
class Exercise:
    """One exercise of the course.

    Args:
        id: as in "9a".
        name: of its folder and of the reader's file, as in "09a_coupling".
        title: a few words.
        chapter: number of the chapter it belongs to.
        statement: of the task, in Markdown with formulas between dollar signs.
        hints: in the order in which they are shown.
        stub: the text of the file that the reader begins with.
        kind: "code", or "quiz" where the answers are words in a dictionary.
        test: the test of the library that guards the same statement, as pytest names it, or "".
    """

    id: str
    name: str
    title: str
    chapter: int
    statement: str
    hints: tuple[str, ...]
    stub: str
    kind: str = "code"
    test: str = ""

    @property
    def file(self) -> str:
        """Name of the reader's file."""
        return f"{self.name}.py"

    @property
    def solution(self) -> str | None:
        """The text of a solution, where the checkout has it."""
        path = SOLUTIONS / self.file
        return path.read_text(encoding="utf-8") if path.is_file() else None

    @property
    def check(self) -> Callable[[Any], None]:
        """The function that looks at an answer; what it needs is imported now."""
        return import_module(f"genzoo.course.tasks.{self.name}.check").check


@cache
def exercises() -> dict[str, Exercise]:
    """All exercises by their ids, in the order of the book."""
    folders = sorted(path.parent for path in TASKS.glob("*/exercise.md"))
    return {exercise.id: exercise for exercise in map(_read, folders)}


def find(id: str) -> Exercise:
    """The exercise of that id; "09A" will do for "9a".

    Raises:
        InputError: there is none, with the nearest ones.
    """
    known = exercises()
    plain = id.strip().lower().lstrip("0")
    if plain in known:
        return known[plain]
    chapter = re.match(r"\d*", plain)[0]  # type: ignore[index]
    beside = [other for other in known if chapter and other.startswith(chapter)]
    hint = f"Chapter {chapter} has {', '.join(beside)}." if beside else nearest(plain, known)
    raise InputError(f"There is no exercise {id!r}. {hint}")


def _read(folder: Path) -> Exercise:
    text = (folder / "exercise.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    statement, *hints = re.split(r"^## Hint\n", body, flags=re.MULTILINE)
    chapter, letter = re.match(r"(\d+)([a-z])_", folder.name).groups()  # type: ignore[union-attr]
    about = yaml.safe_load(head)
    stub = (folder / "stub.py").read_text(encoding="utf-8")
    if about.get("kind") == "quiz":
        statement = f"{statement.rstrip()}\n\n```text\n{_what_to_judge(stub)}\n```"
    return Exercise(
        id=f"{int(chapter)}{letter}",
        name=folder.name,
        chapter=int(chapter),
        statement=statement.strip(),
        hints=tuple(hint.strip() for hint in hints),
        stub=stub,
        **about,
    )


def _what_to_judge(stub: str) -> str:
    """The table or the descriptions in the stub of a quiz: its docstring without the first line."""
    _, _, rest = (ast.get_docstring(ast.parse(stub)) or "").partition("\n\n")
    return rest
