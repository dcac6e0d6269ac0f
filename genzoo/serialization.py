"""A model on disk is one folder, in the Hub's layout: weights, configuration, card.

Nothing in it is ever executed.

The folder::

    model.safetensors    the weights and persistent buffers
    config.json          the family's name and its constructor's arguments, nested models included
    README.md            the model card: what it is, what it was trained on, how to load it
"""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from genzoo import __version__, families, files
from genzoo import config as configuration
from genzoo.errors import InputError
from genzoo.files import discard_drafts, state, whole
from genzoo.model import GenerativeModel, Trainable

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

Families = Sequence[type[Trainable]]


def save(
    model: Trainable, folder: str | Path, card: Mapping[str, Any] | None = None, half: bool = False
) -> Path:
    """Write ``model`` to ``folder`` (made if need be) and return it; other files there stay.

    Args:
        model: of any family. A network of your own in it is kept if it has a ``config()``; else
            it has to be given to `load`.
        folder: where to.
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
        except SafetensorError as error:  # a full disk, and whatever else goes wrong in writing
            raise OSError(None, str(error), str(folder)) from error
    with whole(folder / CARD) as path:
        path.write_text(_card(model, card or {}), encoding="utf-8")
    with whole(folder / CONFIG) as path:
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


Model = TypeVar("Model", bound=Trainable)


@overload
def load(
    path: str | Path, *, families: Families | None = None, **given: Any
) -> GenerativeModel: ...


@overload
def load(
    path: str | Path, expect: type[Model], *, families: Families | None = None, **given: Any
) -> Model: ...


def load(
    path: str | Path,
    expect: type[Trainable] = Trainable,
    *,
    families: Families | None = None,
    **given: Any,
) -> Trainable:
    """Rebuild a model, nested ones included, from what is on disk alone, ready to use.

    It is in evaluation mode and on the CPU.

    Args:
        path: a folder written by `save`, a run's folder that holds one, or a Lightning checkpoint
            (``.ckpt``).
        expect: the class that the model must be of; type checkers know the result by it.
        families: the classes that may be built; by default `genzoo.FAMILIES`, their hybrids and the
            parts of `genzoo.unclip`.
        given: constructor's arguments that go before those on disk, such as ``network=mine`` for a
            network that has no ``config()`` to rebuild it by.

    Raises:
        InputError: a file is missing, empty or corrupt, names a family or an argument that does not
            exist, holds weights that do not fit or another model than expected.
    """
    path = Path(path)
    config, weights = _read_checkpoint(path) if path.suffix == ".ckpt" else _read_folder(path)
    known = families or known_families()
    if not inspect.isabstract(expect) and expect is not Trainable and expect not in known:
        known = (*known, expect)
    model = build(config, known, path, given)
    if not isinstance(model, expect):
        found = type(model).__name__
        raise InputError(f"{path} holds a model of class {found}: expected {expect.__name__}.")
    _fill(model, weights, path)
    return model.eval()


def build(
    config: Any,
    families: Families | None = None,
    path: str | Path = "this configuration",
    given: Mapping[str, Any] | None = None,
) -> Any:
    """A new, untrained model; `genzoo.config.build` with all known families."""
    return configuration.build(config, families or known_families(), path, given)


def completed(config: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """`genzoo.config.completed` with all known families."""
    return configuration.completed(config, known_families(), without)


def known_families() -> Families:
    """Every class that `load` can build."""
    # Here, because they are built from the families and loaded by this module.
    from genzoo.families.priors import PRIORS
    from genzoo.unclip import PARTS

    return (*families.FAMILIES, *families.HYBRIDS, *PRIORS, *PARTS)


def named(name: str, among: Families | None = None) -> Any:
    """The family called ``name`` in whatever case; raises `InputError` with the nearest one."""
    return configuration.named(name, among or (*families.FAMILIES, *families.HYBRIDS))


# ------------------------------------------------------------------------------------------ reading


def _read_folder(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Configuration and weights of a model's folder, or of a run's folder that holds one."""
    if not path.is_dir():
        raise InputError(
            f"There is no folder {path}: expected a saved model or a run of genzoo train or "
            "compare."
        )
    if (path / "model" / CONFIG).is_file():
        path = path / "model"
    elif (path / "config.yaml").is_file() and not (path / CONFIG).is_file():
        raise InputError(
            f"The run in {path} is not finished: run the same train or compare command again to "
            "resume it."
        )
    runs = sorted(child.parent.name for child in path.glob("*/config.yaml"))
    if runs and not (path / CONFIG).is_file():
        raise InputError(f"{path} holds several runs: name one of them, such as {path / runs[0]}.")
    for name in (CONFIG, WEIGHTS):
        if not (path / name).is_file():
            raise InputError(
                f"{path} holds no {name}: expected a saved model or a run of genzoo train or "
                "compare."
            )
    try:
        config = files.from_json((path / CONFIG).read_text(encoding="utf-8"))
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
        config, weights = checkpoint["genzoo"], dict(checkpoint["state_dict"])
        if not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
            raise TypeError("expected tensors")
        return config, weights
    except Exception as error:  # torch.load fails in a dozen ways, and all mean the same to users
        raise InputError(
            f"{path} is {state(path)}: expected a Lightning checkpoint of a genzoo model."
        ) from error


def _fill(model: Trainable, weights: dict[str, torch.Tensor], path: Path) -> None:
    learned = {name for name, _ in model.named_parameters()}  # a buffer may well be infinite
    for name in sorted(learned & set(weights)):
        if not weights[name].isfinite().all():
            raise InputError(
                f"The weights in {path} are not all numbers, the first such in {name}: expected a "
                "model whose training went well."
            )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        first = (str(error).splitlines()[1:2] or [str(error)])[0].strip()
        raise InputError(
            f"The weights in {path} do not fit the {type(model).__name__} it describes: {first}"
        ) from error


# --------------------------------------------------------------------------------------------- card


def _card(model: Trainable, facts: Mapping[str, Any]) -> str:
    """The model card: front matter for the Hub, a table of facts, and how to load the model."""
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
