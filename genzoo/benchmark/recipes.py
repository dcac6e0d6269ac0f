"""Recipes: settings for each data set, budget and family, in YAML files.

``experiments/recipes/<data>-<budget>.yaml`` maps a family to ``{model: {...}, train: {...},
evaluate: {...}}``: the arguments of its constructor, of `genzoo.fit` and of
`genzoo.evaluation.evaluate`. A hybrid such as ``vae+flow`` has in addition ``prior: {model: {...},
train: {...}}``, of its prior; where ``train`` is left out, it is trained together with the whole.
``default-<budget>.yaml`` is for data without a file of its own, and `ALIKE` lists data sets that
share one.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from genzoo.errors import InputError, nearest
from genzoo.families import names
from genzoo.gate import text

BUDGETS = ("quick", "full", "cpu", "gpu")
TAILORED = ("cpu", "gpu")  # an hour of two cores or of a GPU a family: of data with such a recipe
SECTIONS = ("model", "train", "evaluate", "prior")
OF_PRIOR = ("model", "train")
FEATURES_A_MINUTE = 64  # of an event, for which the default width of a network is suited
ALIKE = {
    "digits-index": "digits",  # the same events, split otherwise
    "fashion-mnist": "mnist",  # as many, of the same shape
}

Recipe = dict[str, dict[str, Any]]


def find(data: str, budget: str, family: str, file: str | Path | None = None) -> Recipe:
    """The recipe of a family, with all sections.

    Args:
        data: name of the data set; its recipe is used, or else the default one.
        budget: one of `BUDGETS`.
        family: name of a family or hybrid, or of a stage of unCLIP.
        file: a recipe file that is used first.

    Raises:
        InputError: unknown budget, one that this data has no recipe of, or a file that is missing
            or is not a recipe.
    """
    check_budget(budget)
    if budget in TAILORED and not has_own(data, budget, file):
        raise InputError(
            f"There is no recipe {budget!r} for {data}: expected one of {', '.join(tailored())}, "
            "or a file of your own."
        )
    paths = []
    if file is not None:
        paths.append(Path(file))
    for name in (ALIKE.get(data, data), "default"):
        path = folder() / f"{name}-{budget}.yaml"
        if path.is_file():
            paths.append(path)
    for path in paths:
        families = read(path)
        _check_names(families, family.lower(), path)
        if family.lower() in families:
            return families[family.lower()]
    return {section: {} for section in SECTIONS}


def _check_names(families: Iterable[str], family: str, path: Path) -> None:
    """Raise `InputError` if the family is missing, but there is an unknown name similar to it."""
    hybrids = [f"vae+{name}" for name in names.names()]
    known = {*names.names(), *names.HYBRIDS, *hybrids}
    if family not in known or family in families:  # stages of unCLIP have names of their own
        return
    unknown = [name for name in families if name not in known]
    close = get_close_matches(family, unknown, n=1)
    if close:
        raise InputError(
            f"The recipe {path} has an entry {close[0]!r}, and none for {family!r}. "
            f"Did you mean {family!r}?"
        )


def check_budget(budget: str) -> None:
    """Raise `InputError` for a budget that does not exist."""
    if budget not in BUDGETS:
        raise InputError(f"There is no budget {budget!r}. {nearest(budget, BUDGETS)}")


def tailored() -> list[str]:
    """The data sets that have recipes of the budgets `TAILORED`."""
    files = folder().glob(f"*-{TAILORED[0]}.yaml")
    own = {file.stem.removesuffix(f"-{TAILORED[0]}") for file in files}
    return sorted({*own, *(data for data, other in ALIKE.items() if other in own)})


def folder() -> Path:
    """The folder of the recipes of genzoo: inside an installed package, beside it in a checkout."""
    installed = Path(__file__).parent.parent / "_recipes"
    if installed.is_dir():
        return installed
    return Path(__file__).parents[2] / "experiments" / "recipes"


def read(path: str | Path) -> dict[str, Recipe]:
    """All recipes of a file, by family in lower case.

    Raises `InputError` if it is not a recipe file.
    """
    path = Path(path)
    try:
        content = text.from_yaml(text.read(path))
    except InputError:  # too large, or no ordinary file
        raise
    except OSError as error:
        raise InputError(f"Cannot read the recipe {path}: {error.strerror}.") from error
    except ValueError as error:  # not YAML, or not UTF-8
        raise InputError(f"The recipe {path} is not YAML: {error}.") from error
    if not isinstance(content, Mapping):
        raise InputError(
            f"The recipe {path} is empty or no mapping: expected one entry for each family."
        )
    recipes = {}
    for family, entry in content.items():
        recipes[str(family).lower()] = _recipe(family, entry, path)
    return recipes


def _recipe(family: str, entry: Any, path: Path) -> Recipe:
    recipe = _sections(family, entry, SECTIONS, path)
    prior = _sections(f"{family}: prior", recipe["prior"], OF_PRIOR, path)
    present = {name: content for name, content in prior.items() if name in recipe["prior"]}
    return recipe | {"prior": present}


def _sections(what: str, entry: Any, sections: tuple[str, ...], path: Path) -> Recipe:
    """Each of ``sections`` of an entry as a mapping, empty where it is missing."""
    if not isinstance(entry, Mapping):
        raise InputError(f"In the recipe {path}, {what} should map to {', '.join(sections)}.")
    for section, content in entry.items():
        if section not in sections:
            raise InputError(
                f"In the recipe {path}, {what} has no section {section!r}. "
                f"{nearest(section, sections)}"
            )
        if not isinstance(content, Mapping):
            raise InputError(
                f"In the recipe {path}, {what}: {section} should be a mapping, such as "
                f"{{width: 64}}."
            )
    return {section: dict(entry.get(section, {})) for section in sections}


def width_for(width: int, dims: int, minutes: float) -> int:
    """The width of a network for which enough steps fit into a limited time.

    A step costs about dims times the square of the width. For larger events and less time the
    network is narrower, so that the number of steps stays about the same.

    Args:
        width: suited for 64 features and one minute.
        dims: number of features of an event.
        minutes: of training.

    Returns:
        a multiple of 8, or ``width``, which is the largest.
    """
    share = min(1.0, (FEATURES_A_MINUTE * minutes / dims) ** 0.5)
    narrower = 8 * round(width * share / 8)
    return min(width, max(8, narrower))


def has_own(data: str, budget: str, file: str | Path | None = None) -> bool:
    """True if there is a recipe for this data set, so that the default one is not needed.

    Args:
        data: name of the data set.
        budget: one of `BUDGETS`.
        file: a recipe file of the user, which counts as one.
    """
    ours = folder() / f"{ALIKE.get(data, data)}-{budget}.yaml"
    return file is not None or ours.is_file()
