"""Configuration: models and settings in the plain values of YAML and JSON, and back.

A constructor's signature is its configuration. `to_plain` reads it off a model, `build` makes the
model again, `completed` adds what a signature has got since, and `differences` says in words where
two configurations part.
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


# --------------------------------------------------------------------------------- what there is


def parameters(function: Any, without: Iterable[str] = ()) -> dict[str, inspect.Parameter]:
    """The named arguments of a function or a constructor, except those in ``without``."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = inspect.signature(function).parameters.items()
    return {name: p for name, p in named if name not in without and p.kind not in variadic}


def defaults(function: Any, without: Iterable[str] = ()) -> dict[str, Any]:
    """The defaults of a function or a constructor, as plain values."""
    known = parameters(function, without).items()
    return {name: to_plain(p.default) for name, p in known if p.default is not p.empty}


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
    values = {name: getattr(model, name) for name in parameters(type(model))}
    arguments = {
        name: to_plain(value)
        for name, value in values.items()
        if not getattr(value, "made_by_default", False)
    }
    return {"family": type(model).__name__, "arguments": arguments}


# ---------------------------------------------------------------------------------------- and back


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
    if not isinstance(config, Mapping) or not isinstance(config.get("arguments"), Mapping):
        raise InputError(f"{_cannot_build(path)} a mapping with the keys family and arguments.")
    if "family" not in config:
        raise InputError(f"{_cannot_build(path)} a mapping with the keys family and arguments.")
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
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{family.__name__} cannot be built from {path}: {why}") from error


def named(name: str, classes: Iterable[type]) -> Any:
    """The class of a name, in any case; raises `InputError` with the nearest one."""
    known = {each.__name__.lower(): each for each in classes}
    if name.lower() not in known:
        raise InputError(f"There is no family {name!r}. {nearest(name, known)}")
    return known[name.lower()]


def _cannot_build(path: str | Path) -> str:
    return f"Cannot build a model from {path}: expected"


def _part(
    name: str, config: Config, family: type, classes: Sequence[type], path: str | Path
) -> Any:
    """An argument that is a model or a network."""
    if "given" in config:
        raise InputError(
            f"The {family.__name__} in {path} has a {name} of its own, {config['given']}, which "
            "has "
            f"no config() to rebuild it by: give it, as in genzoo.load(path, {name}=mine)."
        )
    if "network" in config:
        return nets.build_network(dict(config))
    return build(config, classes, path)


def _typed(value: Any, parameter: inspect.Parameter, path: str | Path) -> Any:
    """A value of JSON or YAML as the constructor wants it.

    A list becomes a tuple where the constructor takes one, and a number must be one.
    """
    name = parameter.name
    got = f"got {short(value)} (in {path})"
    accepted, expected = NUMBERS.get(parameter.annotation, (object, ""))
    is_number = isinstance(value, accepted) and not isinstance(value, bool)
    if accepted is not object and not is_number:
        raise InputError(f"{name} must be {expected}, {got}.")
    if expected := misfit(value):
        raise InputError(f"{name} must be {expected}, {got}.")
    if isinstance(value, Mapping):
        raise InputError(f"{name} must be no mapping, {got}.")
    if isinstance(value, str | int | float | list) and _takes_a_part(parameter):
        example = "{family: flow, arguments: {width: 32}}"
        raise InputError(f"{name} must be a mapping such as {example}, {got}.")
    if name in SHAPES:
        sizes = value if isinstance(value, list | tuple) else [value]
        if any(type(size) is not int for size in sizes):
            raise InputError(f"{name} must be a list of sizes such as [16], {got}.")
        limits.FEATURES.check(math.prod(map(int, sizes)), f"{name} in {path}")
    return tuple(value) if isinstance(value, list) and _takes_tuple(parameter) else value


def _is_plain(parameter: inspect.Parameter) -> bool:
    """True if an argument is numbers or words, so that no mapping can stand for it."""
    is_one = parameter.annotation in (int, float, bool, str)
    return is_one or parameter.name in SHAPES or _takes_tuple(parameter)


def _takes_a_part(parameter: inspect.Parameter) -> bool:
    """True if an argument is a model or a network."""
    kinds = (parameter.annotation, *get_args(parameter.annotation))
    return any(inspect.isclass(kind) and issubclass(kind, nn.Module) for kind in kinds)


def _takes_tuple(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    is_union = isinstance(annotation, UnionType) or get_origin(annotation) is Union
    alternatives = get_args(annotation) if is_union else (annotation,)
    return isinstance(parameter.default, tuple) or any(
        get_origin(each) is tuple or each is tuple for each in alternatives
    )


# ------------------------------------------------------------------------------------- comparison


def completed(
    config: Config, classes: Iterable[type], without: Sequence[str] = ()
) -> dict[str, Any]:
    """A configuration with the default of every argument that a constructor has got since.

    A new argument's default leaves a family as it was, so a model or a run of an older genzoo is
    the same as one of today. A family that is not among ``classes`` is left as it is.

    Args:
        config: ``{"family": ..., "arguments": {...}}``.
        classes: the families whose defaults are known.
        without: arguments to leave out.
    """
    classes = tuple(classes)
    ours = [family for family in classes if family.__name__ == config.get("family")]
    known = defaults(ours[0], without) if ours else {}
    arguments = config.get("arguments")
    if not isinstance(arguments, Mapping):
        return dict(config)
    given = {
        name: completed(value, classes, without) if isinstance(value, Mapping) else value
        for name, value in arguments.items()
    }
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
    found = []
    for key in [*now, *(k for k in before if k not in now)]:
        old = before.get(key)
        new = now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            inner = differences(old, new, f"{prefix}{key}.")
            found += [inner] if inner else []
        elif old != new:
            found.append(f"{prefix}{key} {old} instead of {new}")
    return ", ".join(found)
