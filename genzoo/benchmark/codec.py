"""Dataclasses as plain values of JSON and back, by the types of their fields.

Fields at their defaults are left out. A `Figure` writes and reads itself.
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
    """A dataclass, and whatever it holds, as mappings, lists, numbers and words."""
    if isinstance(value, Figure):
        return value.to_json()
    if isinstance(value, Enum):
        return value.name.lower()
    if is_dataclass(value):
        entry = {}
        for each in fields(value):
            content = getattr(value, each.name)
            if content != _default(each):
                entry[each.name] = to_plain(content)
        return entry
    if isinstance(value, Mapping):
        return {str(name): to_plain(content) for name, content in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(content) for content in value]
    return value


def from_plain(kind: Any, value: Any, source: str = "this file") -> Any:
    """What `to_plain` wrote of a value of the type ``kind``.

    Args:
        kind: a dataclass, or the type of one of its fields.
        value: plain values.
        source: where they are from, for errors.

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
        return {name: from_plain(inner[1], each, source) for name, each in content.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(from_plain(inner[0], each, source) for each in value)
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
    """A figure reads itself, once its entries are known to be of the right types."""
    for name, kind in (_types(Figure) | {"kind": str | None}).items():
        if name in content:
            from_plain(kind, content[name], source)
    return Figure.from_json(content)


def _instance(kind: Any, content: Mapping[str, Any], source: str) -> Any:
    types = _types(kind)
    for name in content:
        if name not in types:
            raise InputError(f"{source}: {kind.__name__} has no {name!r}. {nearest(name, types)}")
    for each in fields(kind):
        if each.name not in content and each.default is each.default_factory is MISSING:
            raise InputError(f"{source}: {kind.__name__} lacks {each.name!r}.")
    arguments = {name: from_plain(types[name], each, source) for name, each in content.items()}
    return kind(**arguments)


@lru_cache
def _types(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _default(each: Field) -> Any:
    """The default of a field; an object that equals nothing where there is none."""
    if each.default is not MISSING:
        return each.default
    if each.default_factory is not MISSING:
        return each.default_factory()
    return object()


def _alternative(kinds: tuple[Any, ...], value: Any) -> Any:
    """The member of a union that ``value`` belongs to.

    Of several dataclasses, it is the first that has all fields of ``value``.
    """
    known = [kind for kind in kinds if kind is not NoneType]
    for kind in known:
        if _fits(kind, value):
            return kind
    return known[0]  # whose error says what is wrong


def _fits(kind: Any, value: Any) -> bool:
    if is_dataclass(kind):
        return isinstance(value, Mapping) and set(value) <= set(_types(kind))
    return isinstance(kind, type) and isinstance(value, _accepted(kind))


def _accepted(kind: type) -> type | tuple[type, ...]:
    """JSON writes a float that happens to be whole as it likes."""
    return (int, float) if kind is float else kind


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
        for each in fields(value):
            content = getattr(value, each.name)
            yield from flat(content, f"{prefix}.{each.name}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, content in value.items():
            yield from flat(content, f"{prefix}.{name}")
    elif isinstance(value, Enum):
        yield prefix, value.name.lower()
    elif isinstance(value, tuple | list):
        yield prefix, ", ".join(map(str, value))
    else:
        yield prefix, value
