"""Recipes: what to train with, for each data set, budget and family.

YAML files, so that a choice needs no code.

``experiments/recipes/<data>-<budget>.yaml`` maps a family to ``{model: {...}, train: {...},
evaluate: {...}}``: the arguments of its constructor, of `genzoo.fit` and of
`genzoo.evaluation.evaluate`. A hybrid, ``vae+flow`` say, has besides ``prior: {model: {...}, train:
{...}}``, of its prior; where ``train`` is left out, it trains along with the whole.
``default-<budget>.yaml`` serves data without a file of its own, and `ALIKE` says which data share
one.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from genzoo.errors import InputError, nearest
from genzoo.families import names
from genzoo.gate import text

BUDGETS = ("quick", "full")
SECTIONS = ("model", "train", "evaluate", "prior")
OF_PRIOR = ("model", "train")
FEATURES_A_MINUTE = 64  # of an event, for which the default width of a network is made
ALIKE = {"digits-index": "digits"}  # the same events, split otherwise

Recipe = dict[str, dict[str, Any]]


def find(data: str, budget: str, family: str, file: str | Path | None = None) -> Recipe:
    """The recipe of ``family``, each section present.

    From ``file``, else of that data set, else the default one.

    Raises:
        InputError: unknown budget, or a file that is missing or is not a recipe.
    """
    check_budget(budget)
    given = [] if file is None else [Path(file)]
    ours = [folder() / f"{name}-{budget}.yaml" for name in (ALIKE.get(data, data), "default")]
    for path in [*given, *(path for path in ours if path.is_file())]:
        families = read(path)
        _check_names(families, family.lower(), path)
        if family.lower() in families:
            return families[family.lower()]
    return {section: {} for section in SECTIONS}


def _check_names(families: Iterable[str], asked: str, path: Path) -> None:
    """Raise `InputError` where ``asked`` is there under a mistyped name that nobody would read."""
    known = {*names.names(), *names.HYBRIDS, *(f"vae+{name}" for name in names.names())}
    if asked not in known or asked in families:  # stages of unCLIP have names of their own
        return
    strangers = [name for name in families if name not in known]
    if close := get_close_matches(asked, strangers, n=1):
        raise InputError(
            f"The recipe {path} has an entry {close[0]!r}, and none for {asked!r}. "
            f"Did you mean {asked!r}?"
        )


def check_budget(budget: str) -> None:
    """Raise `InputError` for a budget that there is not."""
    if budget not in BUDGETS:
        raise InputError(f"There is no budget {budget!r}. {nearest(budget, BUDGETS)}")


def folder() -> Path:
    """Where the recipes that come with genzoo are.

    Inside an installed package, beside it in a checkout.
    """
    installed = Path(__file__).parent.parent / "_recipes"
    return (
        installed if installed.is_dir() else Path(__file__).parents[2] / "experiments" / "recipes"
    )


def read(path: str | Path) -> dict[str, Recipe]:
    """All recipes of a file, by family in lower case.

    Raises `InputError` where it is no recipe file.
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
    return {str(family).lower(): _recipe(family, given, path) for family, given in content.items()}


def _recipe(family: str, given: Any, path: Path) -> Recipe:
    recipe = _sections(family, given, SECTIONS, path)
    prior = _sections(f"{family}: prior", recipe["prior"], OF_PRIOR, path)
    return recipe | {
        "prior": {name: content for name, content in prior.items() if name in recipe["prior"]}
    }


def _sections(what: str, given: Any, sections: tuple[str, ...], path: Path) -> Recipe:
    """Each of ``sections`` as a mapping, empty where it is not given."""
    if not isinstance(given, Mapping):
        raise InputError(f"In the recipe {path}, {what} should map to {', '.join(sections)}.")
    for section, content in given.items():
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
    return {section: dict(given.get(section, {})) for section in sections}


def width_for(width: int, dims: int, minutes: float) -> int:
    """The width of a network for events of ``dims`` features that is trained for ``minutes``.

    A step costs about dims times the square of the width. The default ``width`` is made for 64
    features and a minute; larger events and less time get a narrower one, so that about as many
    steps fit in, in multiples of 8.
    """
    share = min(1.0, (FEATURES_A_MINUTE * minutes / dims) ** 0.5)
    return min(width, max(8, 8 * round(width * share / 8)))


def has_own(data: str, budget: str, file: str | Path | None = None) -> bool:
    """Whether a recipe was made for this very data, so that nothing about it need be guessed."""
    ours = folder() / f"{ALIKE.get(data, data)}-{budget}.yaml"
    return file is not None or ours.is_file()
