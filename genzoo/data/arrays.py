"""Your own data: arrays in a ``.npz`` file, or in memory.

========================  ==========================================================================
array                     meaning
========================  ==========================================================================
``x`` (or ``x_train``)    events, first axis n: (n, d) vectors, or images (n, h, w), (n, h, w, c)
                          or (n, c, h, w)
``y`` (or ``y_train``)    optional integer labels (n,)
``c`` (or ``c_train``)    optional conditions (n, width), instead of ``y``
``x_validation`` ...      optional; a split that is not given is drawn from ``x``, a tenth of it,
                          always the same
``x_test`` ...            likewise
``levels``                optional: ``x`` holds integers 0 ... levels-1; bytes have 256 levels
                          unless told otherwise
``classes``               optional names of the labels
========================  ==========================================================================

Integers stay discrete and are reported in bits/dim. Floats are real-valued: they are standardised
feature by feature, and `DataSet.report` puts the Jacobian of that back, so that figures are nats of
the data as you gave it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.data.names import SPLITS
from genzoo.errors import InputError
from genzoo.gate import arrays as gate
from genzoo.gate.limits import CLASSES, LEVELS

CHANNELS = (1, 3, 4)  # grey, colour, colour and transparency
SHORT = ("x", "y", "c")  # for x_train, y_train, c_train
ARRAYS = ("levels", "classes", *(f"{kind}_{split}" for kind in "xyc" for split in SPLITS))


def from_npz(path: str | Path, levels: int | None = None, seed: int = 0) -> DataSet:
    """The data set in a ``.npz`` file; see this module's table of arrays.

    Args:
        path: of the file.
        levels: in place of the array of that name.
        seed: fixes the splits that are drawn.

    Raises:
        InputError: the file or an array in it cannot be used.
    """
    return _data_set(_read(Path(path)), path, Path(path).resolve().stem, levels, seed)


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    c: Any = None,
    validation: Any = None,
    test: Any = None,
    levels: int | None = None,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    seed: int = 0,
) -> DataSet:
    """A data set of arrays or tensors, with the rules of this module's table.

    Args:
        x: events, first axis n. Integers are discrete data; so are floats on the grid of
            ``levels``, see `genzoo.data.ToGrid`. Other floats are real-valued and standardised.
        y: labels (n,).
        c: conditions (n, width), in place of labels.
        validation, test: events, or events and conditions ``(x, c)``; None to draw a tenth of x.
        levels: number of values a feature may take; needed for integers other than bytes.
        classes: names of the labels.
        name: of the data set.
        seed: fixes the splits that are drawn.

    Raises:
        InputError: the arrays cannot be used; the message says what was expected.
    """
    kind = "c" if y is None else "y"
    described = c if y is None else y
    given = {"train": (x, described), "validation": validation, "test": test}
    arrays = {}
    for split, part in given.items():
        if part is None:
            continue
        events, conditions = _pair(part) if isinstance(part, tuple) else (part, None)
        arrays[f"x_{split}"] = _levels_of(_array(events), levels)
        if conditions is not None:
            arrays[f"{kind}_{split}"] = _array(conditions)
    if classes is not None and kind == "y":
        arrays["classes"] = np.array(classes)
    return _data_set(arrays, f"the data set {name!r}", name, levels, seed)


def from_torch(dataset: Any, *, test: Any = None, **options: Any) -> DataSet:
    """A data set of a `torch.utils.data.Dataset`, such as one of torchvision's, read into memory.

    Args:
        dataset: its items are events, or events with a label or a condition: ``x``, ``(x,)``,
            ``(x, y)``, or a mapping with the keys x and y or c. Events are tensors, arrays or PIL
            images.
        test: another one for the test split; None to draw it from ``dataset``.
        options: as in `from_arrays`. ``levels`` is needed where a transform gave grid points.
    """
    events, conditions = _collected(dataset)
    labelled = conditions is not None and conditions.ndim == 1
    names = getattr(dataset, "classes", None)
    if labelled and names is not None:
        options.setdefault("classes", [str(each) for each in names])
    options.setdefault("name", type(dataset).__name__.lower())
    options["y" if labelled else "c"] = conditions
    if test is not None:
        test = _collected(test)
    return from_arrays(events, test=test, **options)


def _collected(dataset: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """All events of a torch data set, and their conditions."""
    items = [_pair(dataset[i]) for i in range(len(dataset))]
    events = np.stack([_array(x) for x, _ in items])
    if not items or items[0][1] is None:
        return events, None
    return events, np.stack([_array(c) for _, c in items])


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        return item["x"], item.get("c", item.get("y"))
    if isinstance(item, tuple | list):
        x, *conditions = item
        if not conditions:
            return x, None
        return x, conditions[0]
    return item, None


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _levels_of(x: np.ndarray, levels: int | None) -> np.ndarray:
    """Grid points as their levels, whole numbers; anything else unchanged."""
    if not levels or x.dtype.kind != "f":
        return x
    values = torch.from_numpy(x)
    if not values.isfinite().all() or grid.is_between(values, levels).any():
        raise InputError(
            f"x is {x.dtype}, and not on the grid of {levels} levels: expected integers "
            f"0 ... {levels - 1}, or what the transform genzoo.data.ToGrid({levels}) gives."
        )
    return grid.to_level(values, levels).numpy()


def _data_set(
    arrays: dict[str, np.ndarray], path: str | Path, name: str, levels: int | None, seed: int
) -> DataSet:
    """The data set of arrays under their full names; ``path`` says where they are from."""
    events = {}
    conditions = {}
    for split in SPLITS:
        if f"x_{split}" in arrays:
            events[split] = _events(path, arrays, split)
            conditions[split] = _conditions(path, arrays, split, len(events[split]))
    _check_alike(path, events, conditions)
    if levels is None:
        levels = _whole(path, arrays.get("levels"))
    levels = _levels(path, events, levels)
    classes = _classes(path, arrays.get("classes"), conditions)
    parts = hold_out(path, events, conditions, seed)
    about = {"name": name, "classes": classes, "source": str(path)}
    if levels:
        return discrete(parts, levels, about)
    return _standardised(path, parts, about)


def hold_out(path: str | Path, events: dict, conditions: dict, seed: int) -> dict[str, tuple]:
    """(x, c) of every split; one that is missing takes a tenth of the training events.

    Args:
        path: where the data is from, for the sentence of an error.
        events, conditions: by split, those of "train" at least.
        seed: fixes which events are taken.
    """
    parts = {split: (x, conditions[split]) for split, x in events.items()}
    missing = [split for split in SPLITS if split not in parts]
    x, c = parts["train"]
    if missing and len(x) < 10:
        raise InputError(
            f"{path} has {len(x)} events: expected at least 10, to hold some out for validation "
            "and test."
        )
    if not missing:
        return parts
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=draw).numpy()
    tenth = len(x) // 10
    ends = [tenth * (i + 1) for i in range(len(missing))]
    for split, chosen in zip([*missing, "train"], np.split(order, ends), strict=True):
        parts[split] = (x[chosen], None if c is None else c[chosen])
    return parts


def discrete(parts: dict[str, tuple], levels: int, about: dict) -> DataSet:
    """A data set of integer arrays.

    Args:
        parts: (x, c) of each split, x from 0 to levels - 1.
        levels: number of values that a feature takes.
        about: the other fields of a `DataSet`.
    """
    splits = {}
    for name, (x, c) in parts.items():
        events = grid.to_grid_in_parts(torch.from_numpy(x), levels)
        splits[name] = _split(events, c)
    condition = _width(about, splits["train"].c)
    return DataSet(**splits, **about, levels=levels, condition=condition)


def _standardised(path: str | Path, parts: dict[str, tuple], about: dict) -> DataSet:
    """A data set whose features have mean 0 and standard deviation 1 over the training events."""
    x, _ = parts["train"]
    x = x.astype(np.float64)
    shift = x.mean(0)
    scale = x.std(0)
    constant = np.argwhere(scale <= 1e-12 * np.abs(shift))
    if len(constant):
        raise InputError(
            f"Feature {_place(constant[0])} of x in {path} is constant, so it has no density: "
            "leave it out, or store integers with an array levels."
        )
    splits = {}
    for name, (x, c) in parts.items():
        standardised = (x - shift) / scale
        splits[name] = _split(_float(standardised), c)
    return DataSet(
        **splits,
        **about,
        shift=_float(shift),
        scale=_float(scale),
        condition=_width(about, splits["train"].c),
    )


def _float(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x.astype(np.float32))


def _split(x: Tensor, c: np.ndarray | None) -> Split:
    return Split(x, None if c is None else torch.from_numpy(c))


def _width(about: dict, c: Tensor | None) -> int:
    if c is None:
        return 0
    return len(about["classes"]) or c.shape[1]


# -------------------------------------------------------------------- reading and checking the file


def _read(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file, under its full name (x is x_train).

    Arrays that mean nothing here are refused.
    """
    arrays = gate.read(path, (*SHORT, *ARRAYS))
    for name in SHORT:
        if name in arrays and f"{name}_train" in arrays:
            raise InputError(f"{path} has both {name} and {name}_train, which mean the same.")
    arrays = {f"{name}_train" if name in SHORT else name: array for name, array in arrays.items()}
    if "x_train" not in arrays:
        found = f"only {', '.join(arrays)}" if arrays else "no arrays at all"
        raise InputError(f"{path} has no array x: found {found}.")
    for name in arrays:
        if name[:2] in ("y_", "c_") and f"x{name[1:]}" not in arrays:
            raise InputError(
                f"{path} has an array {name!r} but no array {'x' + name[1:]!r} that it would "
                "describe."
            )
    return arrays


def _events(path: str | Path, arrays: dict, split: str) -> np.ndarray:
    x = arrays[f"x_{split}"]
    name = f"x_{split}".removesuffix("_train") + f" in {path}"
    if x.dtype.kind not in "buif":
        raise InputError(f"{name} has type {x.dtype}: expected bytes, integers or floats.")
    if x.ndim not in (2, 3, 4) or not x.size:
        raise InputError(
            f"{name} has shape {x.shape}: expected (n, d), (n, h, w) or (n, c, h, w), not empty."
        )
    wrong = np.argwhere(~_usable(x))
    if len(wrong):
        raise InputError(
            f"{name} has {len(wrong)} values that are NaN, infinite or huge, the first at "
            f"{_place(wrong[0])}."
        )
    # torch reads only the machine's own order of bytes
    return channels_first(x.astype(x.dtype.newbyteorder("="), copy=False))


def _usable(x: np.ndarray) -> np.ndarray:
    """True for numbers whose square single precision still holds.

    A comparison with NaN is false.
    """
    return np.abs(x) < np.float64(1e18)


def channels_first(x: np.ndarray) -> np.ndarray:
    """Images (n, h, w) or (n, h, w, c) with c in `CHANNELS` as (n, c, h, w); all else unchanged."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[1] not in CHANNELS and x.shape[3] in CHANNELS:
        return np.moveaxis(x, 3, 1)
    return x


def _conditions(path: str | Path, arrays: dict, split: str, n: int) -> np.ndarray | None:
    """Labels (n,) int64 or vectors (n, width) float32 of a split, None where it has neither."""
    y = arrays.get(f"y_{split}")
    c = arrays.get(f"c_{split}")
    if y is not None and c is not None:
        raise InputError(
            f"{path} has both y and c for {split}: expected labels y or vectors c, not both."
        )
    if y is not None:
        if y.dtype.kind not in "bui" or y.size != n or y.min() < 0:
            raise InputError(
                f"y for {split} in {path} is {y.dtype} of shape {y.shape}: expected {n} integer "
                "labels from 0 up; float vectors go under the name c."
            )
        if y.max() >= CLASSES.most:
            raise InputError(
                f"y for {split} in {path} has a label {y.max()}: expected labels 0, 1, 2, ... "
                f"below {CLASSES.most:,}."
            )
        return y.reshape(n).astype(np.int64)  # (n, 1) is as good as (n,)
    if c is not None:
        is_table = c.dtype.kind in "buif" and c.ndim == 2 and c.size > 0
        if not is_table or len(c) != n or not _usable(c).all():
            raise InputError(
                f"c for {split} in {path} is {c.dtype} of shape {c.shape}: expected finite "
                f"vectors, ({n}, width)."
            )
        return c.astype(np.float32)
    return None


def _check_alike(path: str | Path, events: dict, conditions: dict) -> None:
    """The splits that were given must agree with ``x`` in everything but their length."""
    x = events["train"]
    c = conditions["train"]
    for split in events:
        other = events[split]
        given = conditions[split]
        if other.shape[1:] != x.shape[1:] or other.dtype != x.dtype:
            raise InputError(
                f"x_{split} in {path} has events {other.shape[1:]} of {other.dtype}: "
                f"expected {x.shape[1:]} of {x.dtype}, as in x."
            )
        one_lacks_them = (given is None) != (c is None)
        if one_lacks_them or (c is not None and given.shape[1:] != c.shape[1:]):
            raise InputError(
                f"{path} has other conditions for {split} than for train: expected y or c alike in "
                "both."
            )


def _whole(path: str | Path, levels: np.ndarray | None) -> int | None:
    if levels is None:
        return None
    if levels.size != 1 or levels.dtype.kind not in "ui":
        raise InputError(
            f"levels in {path} is {levels.dtype} of shape {levels.shape}: expected one whole "
            "number."
        )
    return int(levels.item())


def _levels(path: str | Path, events: dict, asked: int | None) -> int:
    """The number of levels, 0 for floats; integers must say theirs and keep to them."""
    kind = events["train"].dtype
    if kind.kind == "f":
        if asked:
            raise InputError(
                f"x in {path} is {kind}, but levels is {asked}: expected integers 0 ... "
                f"{asked - 1}."
            )
        return 0
    levels = asked or {"bool": 2, "uint8": 256}.get(kind.name)
    if levels is None:
        raise InputError(
            f"x in {path} is {kind}: expected an array or option levels that says how many levels "
            "it has."
        )
    if not 2 <= levels <= LEVELS.most:
        expected = f"expected 2 or more, up to {LEVELS.most:,}"
        raise InputError(f"levels for {path} is {levels}: {expected}.")
    for x in events.values():
        if x.min() < 0 or x.max() >= levels:
            raise InputError(
                f"x in {path} has values from {x.min()} to {x.max()}: expected 0 ... {levels - 1}."
            )
    return levels


def _classes(path: str | Path, names: np.ndarray | None, conditions: dict) -> tuple[str, ...]:
    """Names of the labels: those given, else "0", "1", ...; none where there are no labels."""
    labels = [c for c in conditions.values() if c is not None and c.ndim == 1]
    if not labels:
        return ()
    count = max(int(y.max()) for y in labels) + 1
    if names is None:
        return tuple(map(str, range(count)))
    if names.ndim != 1 or len(names) < count:
        raise InputError(
            f"classes in {path} has shape {names.shape}: expected {count} names, one for each "
            "label."
        )
    return tuple(map(str, names))


def _place(index: np.ndarray) -> tuple[int, ...]:
    return tuple(map(int, index))
