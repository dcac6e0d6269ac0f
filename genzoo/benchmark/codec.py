"""Dataclasses as plain values of JSON and back, by the types of their fields.

Fields at their defaults are left out. A `Figure` has its own form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from genzoo.errors import InputError, nearest
from genzoo.evaluation.figures import Figure
from genzoo.gate.schema import misfit, short


def to_plain(value: Any) -> Any:
    """A dataclass with its contents as mappings, lists, numbers and words."""
    if isinstance(value, Figure):
        return value.to_json()
    if isinstance(value, Enum):
        return value.name.lower()
    if is_dataclass(value):
        entry = {}
        for field in fields(value):
            content = getattr(value, field.name)
            if content != _default(field):
                entry[field.name] = to_plain(content)
        return entry
    if isinstance(value, Mapping):
        return {str(name): to_plain(content) for name, content in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(content) for content in value]
    return value


def from_plain(kind: Any, value: Any, source: str = "this file") -> Any:
    """The inverse of `to_plain`: a value of the type ``kind``.

    Args:
        kind: a dataclass, or the type of one of its fields.
        value: plain values.
        source: their origin, for errors.

    Raises:
        InputError: a field is unknown, missing, or of another type.
    """
    if kind is Figure:
        return _figure(_mapping(kind, value, source), source)
    if is_dataclass(kind):
        return _instance(kind, _mapping(kind, value, source), source)
    origin = get_origin(kind)
    inner = get_args(kind)
    if origin in (Union, UnionType):
        if value is None:
            return None
        return from_plain(_alternative(inner, value), value, source)
    if origin is not None and issubclass(origin, Mapping):
        content = _mapping(kind, value, source)
        return {name: from_plain(inner[1], entry, source) for name, entry in content.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(from_plain(inner[0], entry, source) for entry in value)
    if kind is Any or not isinstance(kind, type):
        return value
    if issubclass(kind, Enum) and isinstance(value, str):
        return kind[value.upper()]
    if not isinstance(value, _accepted(kind)):
        raise InputError(f"{source}: expected {kind.__name__}, got {short(value)}.")
    if isinstance(value, int) and (expected := misfit(value)):
        raise InputError(f"{source}: expected {expected}, got {short(value)}.")
    return value


def _figure(content: Mapping[str, Any], source: str) -> Figure:
    """The figure of plain values, whose types are checked first."""
    types = _types(Figure) | {"kind": str | None}
    for name, kind in types.items():
        if name in content:
            from_plain(kind, content[name], source)
    return Figure.from_json(content)


def _instance(kind: Any, content: Mapping[str, Any], source: str) -> Any:
    types = _types(kind)
    for name in content:
        if name not in types:
            raise InputError(f"{source}: {kind.__name__} has no {name!r}. {nearest(name, types)}")
    for field in fields(kind):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in content:
            raise InputError(f"{source}: {kind.__name__} lacks {field.name!r}.")
    arguments = {name: from_plain(types[name], entry, source) for name, entry in content.items()}
    return kind(**arguments)


@lru_cache
def _types(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _default(field: Field) -> Any:
    """The default of a field; if it has none, an object that is not equal to any value."""
    if field.default is not MISSING:
        return field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    return object()


def _alternative(kinds: tuple[Any, ...], value: Any) -> Any:
    """The member of a union that ``value`` belongs to.

    Of several dataclasses, it is the first that has all fields of ``value``.
    """
    members = [kind for kind in kinds if kind is not NoneType]
    for kind in members:
        if _fits(kind, value):
            return kind
    return members[0]  # its error says what is wrong


def _fits(kind: Any, value: Any) -> bool:
    if is_dataclass(kind):
        return isinstance(value, Mapping) and set(value) <= set(_types(kind))
    return isinstance(kind, type) and isinstance(value, _accepted(kind))


def _accepted(kind: type) -> type | tuple[type, ...]:
    """The types that JSON may give for a type: a whole float may be written as an integer."""
    if kind is float:
        return int, float
    return kind


def _mapping(kind: Any, value: Any, source: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        name = getattr(kind, "__name__", str(kind))
        raise InputError(f"{source}: expected {name} as a mapping, got {value!r}.")
    return value


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, bool | int | float | str | None]]:
    """The numbers and words of a dataclass, named by the path to them: ``cost.steps``.

    A figure gives its value, and its error and its ends where it has them.
    """
    if isinstance(value, Figure):
        yield prefix, value.middle
        for end in ("stderr", "low", "high"):
            number = getattr(value, end)
            if number is not None:
                yield f"{prefix}_{end}", number
        if value.kind is not None:
            yield f"{prefix}_kind", value.kind.name.lower()
    elif is_dataclass(value):
        for field in fields(value):
            content = getattr(value, field.name)
            yield from flat(content, f"{prefix}.{field.name}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, content in value.items():
            yield from flat(content, f"{prefix}.{name}")
    elif isinstance(value, Enum):
        yield prefix, value.name.lower()
    elif isinstance(value, tuple | list):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, value
