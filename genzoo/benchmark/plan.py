"""A plan: what a run will do, in plain values with nothing left to defaults.

It is put together from what the user gives, the recipe of the data set, and the defaults of
constructor, training and evaluation, in this order; and it is what tells whether a folder holds the
run that is wanted.
"""

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genzoo.benchmark import hybrids, recipes
from genzoo.config import to_plain
from genzoo.errors import InputError, nearest
from genzoo.evaluation.likelihood.estimators import DEFAULTS, completed_settings
from genzoo.model import Likelihood
from genzoo.serialization import build, completed
from genzoo.training.fitting import RETIRED, check_settings, fit

FROM_DATA = ("event_shape", "condition", "levels")  # arguments that the data set decides
NOT_SETTINGS = (
    "model",
    "data",
    "folder",
    "seed",
    "optimizer",
    "scheduler",
    "callbacks",
    "logger",
    "progress",
    "trainer_options",
)  # of `fit`: not the recipe's business


@dataclass(frozen=True)
class Plan:
    """What a run will do, in plain values with nothing left to defaults; equal plans give equal
    runs.

    ``prior`` holds the settings of `fit` for a prior's own stage; where it is empty, all is trained
    at once.
    """

    family: str
    data: str
    seed: int
    budget: str
    conditional: bool
    model: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]
    prior: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.family.lower()}-seed{self.seed}"

    @property
    def stated(self) -> dict[str, Any]:
        """What config.yaml holds: everything, but of a second stage only where there is one."""
        return {name: value for name, value in asdict(self).items() if name != "prior" or value}


def plan(
    family: str,
    data: str,
    seed: int = 0,
    budget: str = "quick",
    conditional: bool = False,
    recipe: str | Path | None = None,
    model: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
) -> Plan:
    """Resolve a plan: what is given in ``model`` and ``train`` goes before the recipe, and that
    before the defaults.

    A hybrid by composition, such as ``vae+flow``, has a recipe for its prior inside its own.

    Raises:
        InputError: unknown family, hybrid, budget or argument, with the nearest valid choice.
    """
    made, part = hybrid = hybrids.parts(family)
    found = recipes.find(data, budget, hybrid.name, recipe)
    arguments = resolve(
        made, found["model"] | dict(model or {}), FROM_DATA, f"{made.__name__} has no argument"
    )
    if part is not None:
        given = found["prior"].get("model", {})
        own = resolve(part, given, FROM_DATA, f"The prior, {part.__name__}, has no argument")
        arguments["prior"] = {"family": part.__name__, "arguments": own}
    settings = resolve(
        fit, found["train"] | dict(train or {}), NOT_SETTINGS, "Training has no setting"
    )
    check_settings(**settings, seed=seed)
    if "lr" in arguments:
        check_settings(lr=arguments["lr"])
    return Plan(
        family=hybrid.name,
        data=data,
        seed=seed,
        budget=budget,
        conditional=conditional,
        model=arguments,
        train=settings,
        evaluate=completed_settings(found["evaluate"]),
        prior=_second_stage(arguments, found["prior"].get("train"), seed),
    )


def _second_stage(
    arguments: Mapping[str, Any], given: Mapping[str, Any] | None, seed: int
) -> dict[str, Any]:
    """Settings for a prior's own stage: where the recipe has some, or where its claim is too weak
    to train through a bound.
    """
    if not isinstance(arguments.get("prior"), Mapping):
        return {}
    if given is None and build(prior_of(arguments)).likelihood <= Likelihood.BOUND:
        return {}
    settings = resolve(fit, given or {}, NOT_SETTINGS, "Training of the prior has no setting")
    check_settings(**settings, seed=seed)
    return settings


def resolve(
    function: Any, given: Mapping[str, Any], without: tuple[str, ...], complaint: str = ""
) -> dict[str, Any]:
    """The defaults of a signature, overridden by what is given, in the plain values of YAML."""
    known = {
        n: p.default for n, p in inspect.signature(function).parameters.items() if n not in without
    }
    for name in given:
        if name not in known:
            raise InputError(f"{complaint} {name!r}. {RETIRED.get(name) or nearest(name, known)}")
    return {name: to_plain(given.get(name, default)) for name, default in known.items()}


def with_prior(arguments: Mapping[str, Any], condition: int) -> dict[str, Any]:
    """A model's arguments with its prior, where one is named, made up for the latents and given the
    same condition.
    """
    named = isinstance(arguments.get("prior"), Mapping)
    return {**arguments, "prior": prior_of(arguments, condition)} if named else dict(arguments)


def prior_of(arguments: Mapping[str, Any], condition: int = 0) -> dict[str, Any]:
    """A prior named in a recipe, {family: flow, arguments: {...}}, as a model of latents, given
    what the VAE is given.
    """
    latent = {
        "event_shape": arguments["latent_shape"],
        "levels": arguments.get("codes", 0),
        "condition": condition,
    }
    return {
        **arguments["prior"],
        "arguments": {**latent, **arguments["prior"].get("arguments", {})},
    }


# ------------------------------------------------------------------------------ is it the same run?


def changes(before: dict[str, Any], now: Plan) -> str:
    """ "model.width 32 instead of 64, ...": what a stored plan has that differs from this one; ""
    if it is the same run.

    What genzoo had no argument for when the other was stored is taken at the argument's default.
    """
    return _differences(_completed(before, now.family), now.stated)


def _completed(stored: dict[str, Any], family: str) -> dict[str, Any]:
    known = {
        "train": resolve(fit, {}, NOT_SETTINGS),
        "evaluate": DEFAULTS,
    }
    known["prior"] = known["train"]
    filled = {
        name: known[name] | given
        for name, given in stored.items()
        if name in known and isinstance(given, dict)
    }
    if isinstance(arguments := stored.get("model"), dict):
        made = {"family": hybrids.parts(family).family.__name__, "arguments": arguments}
        filled["model"] = completed(made, FROM_DATA)["arguments"]
    return stored | filled


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> str:
    found = []
    for key in [*now, *(k for k in before if k not in now)]:
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += [text] if (text := _differences(old, new, f"{prefix}{key}.")) else []
        elif old != new:
            found.append(f"{prefix}{key} {old} instead of {new}")
    return ", ".join(found)
