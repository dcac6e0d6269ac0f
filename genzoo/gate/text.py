"""YAML and JSON from outside: whatever such text holds, reading it is cheap.

What is wrong is one `ValueError` of a few words. Nothing is nested, repeated or numbered beyond
what a configuration of ours could be (`genzoo.gate.limits`).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from genzoo.errors import InputError
from genzoo.gate import limits

ODD = re.compile(r"[-+]?[0-9][0-9a-zA-Z_:.]{0,40}")  # what begins like a number
WHOLE = re.compile(r"[-+]?[0-9]+")
REAL = re.compile(
    r"""[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)


class TooMuch(ValueError):
    """Text that is deeper or longer than any of ours, whatever it says."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which stops where nesting gets too deep.

    Numbers are those of JSON, with ``1e-3`` and ``.5``: not 0x10, 1_000, 1:30 (which is 90 in YAML
    1.1) and 010 (which is 8).
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own way)
        first: [
            (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":int", ":float"))
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > limits.DEPTH.most:
            raise TooMuch(_too_deep())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_yaml_int(self, node: Any) -> int:
        return int(self.construct_scalar(node))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(f"^(?:{WHOLE.pattern})$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"^(?:{REAL.pattern})$", re.X), list("-+.0123456789")
)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def from_yaml(text: str) -> Any:
    """The plain values of a YAML document."""
    try:
        content = yaml.load(text, _Loader)  # a safe one
    except TooMuch:
        raise
    except Exception as error:  # it fails in a dozen ways, and all mean the same to users
        raise ValueError(_why(error)) from error
    return bounded(content)


def taken_for(word: str) -> int | float | None:
    """The number that YAML 1.1 takes a word for which here is text: 16 for 0x10, 90 for 1:30."""
    if not ODD.fullmatch(word):
        return None
    number = yaml.safe_load(word)
    is_odd = isinstance(number, int | float) and isinstance(from_yaml(word), str)
    return number if is_odd else None


def from_json(text: str) -> Any:
    """The plain values of a JSON document, in which infinity and NaN are no numbers."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(_why(error)) from error
    return bounded(content)


def to_json(content: Any) -> str:
    """The JSON document of plain values.

    What is no number is null: JSON has neither infinity nor NaN, and a run must not fail by a
    figure of which it did not depend.
    """
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(content) for content in value]
    is_number = not isinstance(value, float) or abs(value) < float("inf")
    return value if is_number else None


def read(path: Path) -> str:
    """The text of an ordinary file that is not too large.

    Raises:
        InputError: it is too large, or no ordinary file.
        ValueError: it is not UTF-8.
        OSError: there is no such file, or it cannot be read.
    """
    limits.size(path, limits.TEXT)
    return path.read_text(encoding="utf-8")


def of_run(path: Path) -> dict[str, Any] | None:
    """The mapping in a run's YAML or JSON file; None where there is no such file.

    Raises:
        InputError: the file is corrupt.
    """
    if not path.is_file():
        return None
    parse = from_json if path.suffix == ".json" else from_yaml
    try:
        content = parse(read(path))
    except InputError:
        raise
    except ValueError:  # not JSON or YAML, or not UTF-8
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is {state(path)}: delete that run, or choose another folder.")
    return content


def state(path: Path) -> str:
    """The state of a file that cannot be read: "corrupt" or "empty"."""
    return "corrupt" if path.stat().st_size else "empty"


def bounded(content: Any) -> Any:
    """``content``, if it is no larger or deeper than allowed and its keys are text."""
    level, seen = [content], 0
    for _ in range(limits.DEPTH.most):
        below: list[Any] = []
        for value in level:
            below.extend(_inside(value))
            if seen + len(below) > limits.VALUES.most:
                raise TooMuch(f"more than {limits.VALUES}")
        if not below:
            return content
        level, seen = below, seen + len(below)
    raise TooMuch(_too_deep())


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"expected text for a key, got {key!r}")
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value


def _too_deep() -> str:
    return f"nested deeper than {limits.DEPTH}"


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _too_deep()
    if isinstance(error, AttributeError | LookupError | TypeError):  # PyYAML's own, of its tags
        return "a value is not of the kind that its tag says"
    return " ".join(str(error).split())[:300] or type(error).__name__
