"""Configuration: models and settings in the plain values of YAML and JSON, and back.

A constructor's signature is its configuration. `to_plain` reads it off a model, `build` makes the
model again, `completed` adds arguments that are newer than a configuration, and `differences` puts
the differences of two configurations into words.
"""

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from torch import nn

from genzoo import nets
from genzoo.errors import InputError, nearest, too_large
from genzoo.gate import limits, memory
from genzoo.gate.schema import misfit, short

Config = Mapping[str, Any]

# annotation of an argument -> what may be given for it, and in words
NUMBERS = {int: (int, "a whole number"), float: (int | float, "a number, such as 0.001")}
SHAPES = ("event_shape", "latent_shape")


# ------------------------------------------------------------------------------------- signatures


def parameters(function: Any, without: Iterable[str] = ()) -> dict[str, inspect.Parameter]:
    """The named arguments of a function or a constructor, except those in ``without``."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    known = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in without and parameter.kind not in variadic:
            known[name] = parameter
    return known


def defaults(function: Any, without: Iterable[str] = ()) -> dict[str, Any]:
    """The defaults of a function or a constructor, as plain values."""
    values = {}
    for name, parameter in parameters(function, without).items():
        if parameter.default is not parameter.empty:
            values[name] = to_plain(parameter.default)
    return values


def to_plain(value: Any) -> Any:
    """A value as YAML and JSON hold it.

    A tuple becomes a list. A model, or a network that can tell its arguments by a ``config()``,
    becomes a mapping. Of any other network only the name of its class is kept, and `build` asks for
    the network itself.
    """
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, nn.Module):
        config = getattr(value, "config", None)
        return config() if callable(config) else {"given": type(value).__name__}
    if inspect.isfunction(value) or inspect.isclass(value):
        return {"given": value.__name__}
    return value


def of_model(model: nn.Module) -> dict[str, Any]:
    """``{"family": ..., "arguments": ...}`` of a model: enough to rebuild it.

    Networks that the constructor made by itself are left out: their sizes are arguments, too.
    """
    arguments = {}
    for name in parameters(type(model)):
        value = getattr(model, name)
        if not getattr(value, "made_by_default", False):
            arguments[name] = to_plain(value)
    return {"family": type(model).__name__, "arguments": arguments}


# -------------------------------------------------------------------------------- from plain values


def build(
    config: Any,
    classes: Sequence[type],
    path: str | Path = "this configuration",
    given: Mapping[str, Any] | None = None,
) -> Any:
    """A new, untrained model from ``{"family": ..., "arguments": {...}}``.

    Args:
        config: the mapping; arguments may be such mappings again.
        classes: the families that may be built.
        path: where the configuration is from, for the sentence of an error.
        given: arguments of the outermost model that go before those in ``config``, such as a
            network of one's own.

    Raises:
        InputError: unknown family or argument, a value that the family refuses, or a network that
            has to be given and is not.
    """
    names_family = isinstance(config, Mapping) and "family" in config
    if not names_family or not isinstance(config.get("arguments"), Mapping):
        raise InputError(
            f"Cannot build a model from {path}: expected a mapping with the keys family and "
            "arguments."
        )
    family = named(str(config["family"]), classes)
    known = parameters(family)
    given = given or {}
    arguments = {}
    for name, value in {**config["arguments"], **given}.items():
        if name not in known:
            hint = nearest(name, known)
            raise InputError(f"{family.__name__} has no argument {name!r} (in {path}). {hint}")
        if name in given:
            arguments[name] = value
        elif isinstance(value, Mapping) and not _is_plain(known[name]):
            arguments[name] = _part(name, value, family, classes, path)
        else:
            arguments[name] = _typed(value, known[name], path)
    try:
        with memory.no_larger_than(str(path)):
            return family(**arguments)
    except memory.TooLarge:
        raise
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        if too_large(error):
            raise
        why, *_ = str(error).splitlines() or [type(error).__name__]
        raise InputError(f"{family.__name__} cannot be built from {path}: {why}") from error


def named(name: str, classes: Iterable[type]) -> Any:
    """The class of a name, in any case; raises `InputError` with the nearest one."""
    known = {family.__name__.lower(): family for family in classes}
    if name.lower() not in known:
        raise InputError(f"There is no family {name!r}. {nearest(name, known)}")
    return known[name.lower()]


def _part(
    name: str, config: Config, family: type, classes: Sequence[type], path: str | Path
) -> Any:
    """An argument that is a model or a network."""
    if "given" in config:
        raise InputError(
            f"The {family.__name__} in {path} has a {name} of its own, {config['given']}, which "
            f"has no config() to rebuild it by: give it, as in genzoo.load(path, {name}=mine)."
        )
    if "network" in config:
        return nets.build_network(dict(config))
    return build(config, classes, path)


def _typed(value: Any, parameter: inspect.Parameter, path: str | Path) -> Any:
    """A value of JSON or YAML as the constructor expects it.

    A list becomes a tuple if the constructor takes one.
    """
    name = parameter.name
    expected = _expected(value, parameter)
    if expected:
        raise InputError(f"{name} must be {expected}, got {short(value)} (in {path}).")
    if name in SHAPES:
        sizes = value if isinstance(value, list | tuple) else [value]
        limits.FEATURES.check(math.prod(sizes), f"{name} in {path}")
    if isinstance(value, list) and _takes_tuple(parameter):
        return tuple(value)
    return value


def _expected(value: Any, parameter: inspect.Parameter) -> str:
    """The expectation, in words, that a value does not meet; else ""."""
    if parameter.annotation in NUMBERS:
        kind, words = NUMBERS[parameter.annotation]
        if isinstance(value, bool) or not isinstance(value, kind):
            return words
    words = misfit(value)
    if words:
        return words
    if isinstance(value, Mapping):
        return "no mapping"
    if isinstance(value, str | int | float | list) and _takes_a_part(parameter):
        return "a mapping such as {family: flow, arguments: {width: 32}}"
    if parameter.name in SHAPES:
        sizes = value if isinstance(value, list | tuple) else [value]
        if any(type(size) is not int for size in sizes):
            return "a list of sizes such as [16]"
    return ""


def _is_plain(parameter: inspect.Parameter) -> bool:
    """True if an argument is numbers or words, so that no mapping can stand for it."""
    if parameter.annotation in (int, float, bool, str):
        return True
    return parameter.name in SHAPES or _takes_tuple(parameter)


def _takes_a_part(parameter: inspect.Parameter) -> bool:
    """True if an argument is a model or a network."""
    kinds = (parameter.annotation, *get_args(parameter.annotation))
    return any(inspect.isclass(kind) and issubclass(kind, nn.Module) for kind in kinds)


def _takes_tuple(parameter: inspect.Parameter) -> bool:
    """True if an argument may be a tuple, by its default or by its annotation."""
    if isinstance(parameter.default, tuple):
        return True
    annotation = parameter.annotation
    is_union = isinstance(annotation, UnionType) or get_origin(annotation) is Union
    alternatives = get_args(annotation) if is_union else (annotation,)
    return any(kind is tuple or get_origin(kind) is tuple for kind in alternatives)


# ------------------------------------------------------------------------------------- comparison


def completed(
    config: Config, classes: Iterable[type], without: Sequence[str] = ()
) -> dict[str, Any]:
    """A configuration with the defaults of all arguments that are newer than itself.

    The default of a new argument leaves a family as it was, so a model or a run of an older genzoo
    is the same as one of today. A family that is not among ``classes`` is left as it is.

    Args:
        config: ``{"family": ..., "arguments": {...}}``.
        classes: the families whose defaults are known.
        without: arguments to leave out.
    """
    arguments = config.get("arguments")
    if not isinstance(arguments, Mapping):
        return dict(config)
    classes = tuple(classes)
    known = {}
    for family in classes:
        if family.__name__ == config.get("family"):
            known = defaults(family, without)
    given = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            value = completed(value, classes, without)
        given[name] = value
    return {**config, "arguments": known | given}


def differences(before: Config, now: Config, prefix: str = "") -> str:
    """Differences of two nested mappings in words; empty if there are none.

    Args:
        before: one mapping.
        now: the other.
        prefix: of all names, "train." say.

    Returns:
        a list such as "model.width 32 instead of 64, ...": the value of ``before``, then of
        ``now``.
    """
    parts = []
    for key in {**now, **before}:  # those of ``now`` first
        old = before.get(key)
        new = now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            parts.append(differences(old, new, f"{prefix}{key}."))
        elif old != new:
            parts.append(f"{prefix}{key} {old} instead of {new}")
    return ", ".join(filter(None, parts))
