"""YAML and JSON from outside, read into plain values.

Whatever a file holds, reading it is cheap, and what is wrong is one `ValueError` of a few words:
nothing is nested, repeated or numbered beyond what a configuration of ours could be.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from genzoo.errors import InputError
from genzoo.files import state

DEEPEST = 50  # a hybrid's configuration, the deepest of ours, has six levels
MOST = 1_000_000  # values, each counted as often as an alias repeats it


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which stops where nesting gets too deep."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(_too_deep())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def from_yaml(text: str) -> Any:
    """The plain values of a YAML document."""
    try:
        content = yaml.load(text, _Loader)  # a safe one
    except Exception as error:  # it fails in a dozen ways, and all mean the same to users
        raise ValueError(_why(error)) from error
    return _bounded(content)


def from_json(text: str) -> Any:
    """The plain values of a JSON document."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(_why(error)) from error
    return _bounded(content)


def of_run(path: Path) -> dict[str, Any] | None:
    """The mapping in a run's YAML or JSON file; None where there is no such file.

    Raises:
        InputError: the file is corrupt.
    """
    if not path.is_file():
        return None
    parse = from_json if path.suffix == ".json" else from_yaml
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except ValueError:  # not JSON or YAML, or not UTF-8
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is {state(path)}: delete that run, or choose another folder.")
    return content


def _bounded(content: Any) -> Any:
    """``content``, if it is no larger or deeper than allowed and its keys are text."""
    level, seen = [content], 0
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            below.extend(_inside(value))
            if seen + len(below) > MOST:
                raise ValueError(f"more than {MOST:,} values")
        if not below:
            return content
        level, seen = below, seen + len(below)
    raise ValueError(_too_deep())


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"expected text for a key, got {key!r}")
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value


def _too_deep() -> str:
    return f"nested deeper than {DEEPEST} levels"


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _too_deep()
    return " ".join(str(error).split())[:300] or type(error).__name__
