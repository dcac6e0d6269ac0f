"""A model on disk is one folder, in the Hub's layout: weights, configuration, card. Nothing in it
is ever executed.

The folder::

    model.safetensors    the weights and persistent buffers
    config.json          the family's name and its constructor's arguments, nested models included
    README.md            the model card: what it is, what it was trained on, how to load it
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from genzoo import __version__, families
from genzoo.errors import InputError, nearest
from genzoo.files import discard_drafts, state, whole
from genzoo.model import Trainable, plain

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

Families = Sequence[type[Trainable]]

# annotation of an argument -> what may be given for it, and in words; YAML takes 1e-3 for text
NUMBERS = {int: (int, "a whole number"), float: (int | float, "a number, such as 0.001")}


def save(
    model: Trainable, folder: str | Path, card: Mapping[str, Any] | None = None, half: bool = False
) -> Path:
    """Write ``model`` to ``folder`` (made if need be) and return it; other files there stay.

    Args:
        card: facts for the model card beside what the model knows itself, such as ``{"data":
            "digits", "seed": 0}``.
        half: keep the weights in 16 bits (float16, 3 decimal digits) instead of 32; `load` gives 32
            again.

    Every file is written whole or not at all, weights first, so that an interruption leaves no
    broken model behind.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    discard_drafts(folder)
    weights = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }
    if half:
        weights = {
            name: value.half() if value.is_floating_point() else value
            for name, value in weights.items()
        }
    config = {"genzoo": __version__, **model.config()}
    with whole(folder / WEIGHTS) as path:
        try:
            save_file(weights, path, metadata={"format": "pt"})
        except (
            SafetensorError
        ) as error:  # what it calls a full disk, and whatever else goes wrong in writing
            raise OSError(None, str(error), str(folder)) from error
    with whole(folder / CARD) as path:
        path.write_text(_card(model, card or {}), encoding="utf-8")
    with whole(folder / CONFIG) as path:
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def load(path: str | Path, families: Families | None = None) -> Any:
    """Rebuild a model, nested ones included, from what is on disk alone, ready to use (in
    evaluation mode, on the CPU).

    Args:
        path: a folder written by `save`, a run's folder that holds one, or a Lightning checkpoint
            (``.ckpt``).
        families: the classes that may be built; by default `genzoo.FAMILIES`, their hybrids and the
            parts of `genzoo.unclip`.

    Raises:
        InputError: a file is missing, empty or corrupt, names a family or an argument that does not
            exist, or holds weights that do not fit.
    """
    path = Path(path)
    config, weights = _read_checkpoint(path) if path.suffix == ".ckpt" else _read_folder(path)
    model = build(config, families, path)
    _fill(model, weights, path)
    return model.eval()


def build(
    config: Any, families: Families | None = None, path: str | Path = "this configuration"
) -> Any:
    """A new, untrained model from ``{"family": ..., "arguments": {...}}``, whose values may be such
    mappings again.

    Raises:
        InputError: unknown family or argument, or a value the family refuses.
    """
    if (
        not isinstance(config, Mapping)
        or not isinstance(config.get("arguments"), Mapping)
        or "family" not in config
    ):
        raise InputError(
            f"Cannot build a model from {path}: expected a mapping with the keys family and arguments."
        )
    family = named(str(config["family"]), families or _all())
    parameters = inspect.signature(family).parameters
    arguments = {}
    for name, value in config["arguments"].items():
        if name not in parameters:
            raise InputError(
                f"{family.__name__} has no argument {name!r} (in {path}). {nearest(name, parameters)}"
            )
        nested = isinstance(value, Mapping)
        arguments[name] = (
            build(value, families, path) if nested else _typed(value, parameters[name], path)
        )
    try:
        return family(**arguments)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{family.__name__} cannot be built from {path}: {error}") from error


def completed(config: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """A configuration with the default of every argument that a constructor has got since, but for
    those ``without``.

    A new argument's default leaves a family as it was, so a model or a run of an older genzoo is
    the same as one of today. A family that is not genzoo's own is left as it is.
    """
    ours = [family for family in _all() if family.__name__ == config["family"]]
    parameters = inspect.signature(ours[0]).parameters.values() if ours else ()
    defaults = {
        p.name: plain(p.default)
        for p in parameters
        if p.default is not p.empty and p.name not in without
    }
    given = {
        k: completed(v, without) if isinstance(v, Mapping) else v
        for k, v in config.get("arguments", {}).items()
    }
    return {**config, "arguments": defaults | given}


def _all() -> Families:
    from genzoo.unclip import (
        PARTS,
    )  # here, because they are built from the families and loaded by this module

    return (*families.FAMILIES, *families.HYBRIDS, *PARTS)


def named(name: str, among: Families | None = None) -> Any:
    """The family called ``name``, in whatever case it is written; raises `InputError` with the
    nearest one.
    """
    known = {
        family.__name__.lower(): family
        for family in (among or (*families.FAMILIES, *families.HYBRIDS))
    }
    if name.lower() not in known:
        raise InputError(f"There is no family {name!r}. {nearest(name, known)}")
    return known[name.lower()]


# ------------------------------------------------------------------------------------------ reading


def _read_folder(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Configuration and weights of a model's folder, or of a run's folder that holds one."""
    if not path.is_dir():
        raise InputError(
            f"There is no folder {path}: expected a saved model or a run of genzoo train or compare."
        )
    if (path / "model" / CONFIG).is_file():
        path = path / "model"
    elif (path / "config.yaml").is_file() and not (path / CONFIG).is_file():
        raise InputError(
            f"The run in {path} is not finished: run the same train or compare command again to resume it."
        )
    runs = sorted(child.parent.name for child in path.glob("*/config.yaml"))
    if runs and not (path / CONFIG).is_file():
        raise InputError(f"{path} holds several runs: name one of them, such as {path / runs[0]}.")
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise InputError(
                f"{path} holds no {name}: expected a saved model or a run of genzoo train or compare."
            )
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path / CONFIG} is {state(path / CONFIG)}: expected JSON ({error})."
        ) from error
    try:
        return config, load_file(path / WEIGHTS)
    except (SafetensorError, ValueError) as error:
        raise InputError(
            f"{path / WEIGHTS} is {state(path / WEIGHTS)}: expected safetensors ({error})."
        ) from error


def _read_checkpoint(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Configuration and (averaged) weights of a Lightning checkpoint of a genzoo model."""
    if not path.is_file():
        raise InputError(
            f"There is no file {path}: expected a Lightning checkpoint of a genzoo model."
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return checkpoint["genzoo"], checkpoint["state_dict"]
    except (
        Exception
    ) as error:  # torch.load fails in a dozen ways, and each means the same to the user
        raise InputError(
            f"{path} is {state(path)}: expected a Lightning checkpoint of a genzoo model."
        ) from error


def _fill(model: Trainable, weights: dict[str, torch.Tensor], path: Path) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        first = (str(error).splitlines()[1:2] or [str(error)])[0].strip()
        raise InputError(
            f"The weights in {path} do not fit the {type(model).__name__} it describes: {first}"
        ) from error


def _typed(value: Any, parameter: inspect.Parameter, path: str | Path) -> Any:
    """A value of JSON or YAML as the constructor wants it: a list becomes a tuple where it says so,
    a number must be one.
    """
    accepted, expected = NUMBERS.get(parameter.annotation, (object, ""))
    if not isinstance(value, accepted) or (accepted is not object and isinstance(value, bool)):
        raise InputError(f"{parameter.name} must be {expected}, got {value!r} (in {path}).")
    wants_tuple = isinstance(parameter.default, tuple) or "tuple" in str(parameter.annotation)
    return tuple(value) if isinstance(value, list) and wants_tuple else value


# --------------------------------------------------------------------------------------------- card


def _card(model: Trainable, facts: Mapping[str, Any]) -> str:
    """The model card: YAML front matter for the Hub, a table of facts, and how to load the model."""
    name = type(model).__name__
    about = {
        "family": name,
        **model.facts(),
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        **facts,
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in about.items())
    summary = (inspect.getdoc(type(model)) or "").split("\n")[0]
    return f"""---
library_name: genzoo
tags: [generative-model, {name.lower()}]
---

# {name}{f" of {facts['data']}" if "data" in facts else ""}

{summary}

| | |
|---|---|
{rows}

```python
import genzoo

model = genzoo.load("path/to/this/folder")
{model.usage}
```

Written by genzoo {__version__}.
"""
