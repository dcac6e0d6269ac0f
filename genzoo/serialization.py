"""A model on disk is one folder, in the Hub's layout: weights, configuration, card.

Nothing in it is ever executed.

The folder::

    model.safetensors    the weights and persistent buffers
    config.json          the family's name and its constructor's arguments, nested models included,
                         and the version of this form
    README.md            the model card: what it is, what it was trained on, how to load it
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from safetensors.torch import save as to_bytes

from genzoo import __version__, families, pretrained
from genzoo import config as configuration
from genzoo.errors import InputError
from genzoo.files import discard_drafts, whole
from genzoo.gate import memory, tensors, text
from genzoo.model import GenerativeModel, Trainable

FORMAT = 1  # of a folder; one without a format is of before there was one, and has this form
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

BESIDE = 2**26  # bytes, of buffers that are not stored

Families = Sequence[type[Trainable]]


def save(
    model: Trainable,
    folder: str | Path,
    card: Mapping[str, Any] | None = None,
    half: bool = False,
    name: str = "path/to/this/folder",
) -> Path:
    """Write ``model`` to ``folder`` (made if need be) and return it; other files there stay.

    Args:
        model: of any family. A network of your own in it is kept if it has a ``config()``; else
            it has to be given to `load`.
        folder: where to.
        card: facts for the model card beside what the model knows itself, such as ``{"data":
            "digits", "seed": 0}``.
        half: keep the parameters in 16 bits (float16, 3 decimal digits) instead of 32; `load` gives
            32 again. Buffers, such as an energy model's log Z and its chains, stay as they are.
        name: by which the card says to load the model.

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
        learned = {name for name, _ in model.named_parameters()}
        weights |= {name: weights[name].half() for name in learned & set(weights)}
    config = {"genzoo": __version__, "format": FORMAT, **model.config()}
    with whole(folder / WEIGHTS) as path:
        # by Python: only its owner may read a file that safetensors writes
        path.write_bytes(to_bytes(weights, metadata={"format": "pt"}))
    with whole(folder / CARD) as path:
        path.write_text(_card(model, card or {}, name), encoding="utf-8")
    with whole(folder / CONFIG) as path:
        path.write_text(text.to_json(config), encoding="utf-8")
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
            (``.ckpt``); or the name of a model that comes trained, in the package ("digits/vae") or
            on the Hub ("owner/name"). See `genzoo.pretrained`.
        expect: the class that the model must be of; type checkers know the result by it.
        families: the classes that may be built; by default `genzoo.FAMILIES`, their hybrids and the
            parts of `genzoo.unclip`.
        given: constructor's arguments that go before those on disk, such as ``network=mine`` for a
            network that has no ``config()`` to rebuild it by.

    Raises:
        InputError: a file is missing, empty or corrupt, names a family or an argument that does not
            exist, holds weights that do not fit or another model than expected.
    """
    path = pretrained.located(path)
    config, weights = _read_checkpoint(path) if path.suffix == ".ckpt" else _read_folder(path)
    known = families or known_families()
    if not inspect.isabstract(expect) and expect is not Trainable and expect not in known:
        known = (*known, expect)
    with memory.no_larger_than(str(path), *_room_for(weights)):
        model = build(config, known, path, given)
    if not isinstance(model, expect):
        kind = type(model).__name__
        raise InputError(f"{path} holds a model of class {kind}: expected {expect.__name__}.")
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
    """The family of a name, in any case; raises `InputError` with the nearest one."""
    return configuration.named(name, among or (*families.FAMILIES, *families.HYBRIDS))


# ------------------------------------------------------------------------------------------ reading


def _read_folder(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Configuration and weights of a model's folder, or of a run's folder that holds one."""
    if not path.is_dir():
        raise InputError(
            f"There is no folder {path}: expected a saved model or a run of genzoo train or "
            f"compare.{pretrained.hint(path)}"
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
    return _read_config(path / CONFIG), tensors.weights(path / WEIGHTS)


def _read_config(path: Path) -> Any:
    try:
        config = text.from_json(text.read(path))
    except InputError:  # too large, or no ordinary file
        raise
    except ValueError as error:
        raise InputError(f"{path} is {text.state(path)}: expected JSON ({error}).") from error
    form = config.get("format", FORMAT) if isinstance(config, dict) else FORMAT
    if form != FORMAT:
        writer = config.get("genzoo", "another version")
        raise InputError(
            f"{path} has format {form}, but this genzoo, {__version__}, reads format {FORMAT}: "
            f"load it with genzoo {writer}, which wrote it."
        )
    return config


def _read_checkpoint(path: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Configuration and (averaged) weights of a Lightning checkpoint of a genzoo model."""
    if not path.is_file():
        raise InputError(
            f"There is no file {path}: expected a Lightning checkpoint of a genzoo model."
        )
    try:
        checkpoint = tensors.checkpoint(path)
        config, weights = checkpoint["genzoo"], dict(checkpoint["state_dict"])
        if not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
            raise TypeError("expected tensors")
        return config, weights
    except InputError:  # too large
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} is {text.state(path)}: expected a Lightning checkpoint of a genzoo model."
        ) from error


def _room_for(weights: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Largest number of bytes and of tensors of a model that these weights may fill.

    Weights may be stored in half of the bits, and initial ones are drawn by way of others.
    """
    size = sum(weight.nbytes for weight in weights.values())
    return 4 * size + BESIDE, 8 * len(weights) + 500


def _fill(model: Trainable, weights: dict[str, torch.Tensor], path: Path) -> None:
    learned = {name for name, _ in model.named_parameters()}  # a buffer may well be infinite
    for name in sorted(learned & set(weights)):
        if not weights[name].isfinite().all():
            raise InputError(
                f"The weights in {path} are not all numbers, the first such in {name}: expected a "
                "model whose training went well."
            )
    wanted = model.state_dict()
    for name in wanted.keys() & weights.keys():
        if not tensors.fits(weights[name], wanted[name]):
            raise InputError(
                f"The weights in {path} do not fit the {type(model).__name__} it describes: {name} "
                f"is {weights[name].dtype}, expected {wanted[name].dtype}."
            )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        first = (str(error).splitlines()[1:2] or [str(error)])[0].strip()
        raise InputError(
            f"The weights in {path} do not fit the {type(model).__name__} it describes: {first}"
        ) from error


# --------------------------------------------------------------------------------------------- card


def _card(model: Trainable, facts: Mapping[str, Any], name: str) -> str:
    """The model card: front matter for the Hub, a table of facts, and how to load the model."""
    family = type(model).__name__
    about = {
        "family": family,
        **model.facts(),
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        **facts,
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in about.items())
    summary = (inspect.getdoc(type(model)) or "").split("\n")[0]
    return f"""---
library_name: genzoo
tags: [generative-model, {family.lower()}]
---

# {family}{f" of {facts['data']}" if "data" in facts else ""}

{summary}

| | |
|---|---|
{rows}

```python
import genzoo

model = genzoo.load("{name}")
{model.usage}
```

Written by genzoo {__version__}.
"""
