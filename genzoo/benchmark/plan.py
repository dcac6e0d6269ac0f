"""A plan: what a run will do, in plain values with nothing left to defaults.

It is put together from what the user gives, the recipe of the data set, and the defaults of
constructor, training and evaluation, in this order; and it is what tells whether a folder holds the
run that is wanted.
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genzoo.benchmark import hybrids, recipes
from genzoo.config import differences, to_plain
from genzoo.errors import InputError, nearest
from genzoo.evaluation.likelihood.estimators import DEFAULTS, completed_settings
from genzoo.model import Likelihood
from genzoo.optim import optimizer_of
from genzoo.serialization import build, completed
from genzoo.training.fitting import RETIRED, check_settings, fit
from genzoo.training.processes import Hardware

FROM_DATA = ("event_shape", "condition", "levels")  # arguments that the data set decides
NOT_SETTINGS = (  # arguments of `fit` that are not the recipe's business
    "model",
    "data",
    "folder",
    "seed",
    "scheduler",
    "callbacks",
    "logger",
    "progress",
    "trainer_options",
)
HARDWARE = ("accelerator", "devices", "nodes", "strategy")
ELSEWHERE = ("compile", *HARDWARE)
COMPUTING = ("precision", *ELSEWHERE)
# A run may go on with other settings of `ELSEWHERE`: they are where and how fast it is trained. A
# batch is shared by the processes, whatever their number, so the steps are the same. Precision is
# not among them: it changes what is computed.
# All of `COMPUTING` hold for a prior's own stage as well.


@dataclass(frozen=True)
class Plan:
    """Everything that a run does, in plain values, with all defaults filled in.

    Equal plans give equal runs, on any machine: `genzoo.benchmark.run.run` carries one out in
    a folder, and called again, goes on there or finds it done.

    Args:
        family: as tables print it.
        data: a name or a path; of a `DataSet` that was given as an object, its name.
        seed: of everything random.
        budget: which recipe, and how much is measured.
        conditional: whether the model is told labels or conditions.
        model, train, evaluate: arguments of the constructor, of `fit` and of `evaluate`.
        prior: settings of `fit` for a prior's own stage; empty where all is trained at once.
        source: the import path of a family outside the registry, "module:Class".
        fingerprint: of the events of a data set that was given as an object.
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
    source: str = ""
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """Of the run, and of its folder: "vae-seed0"."""
        return f"{self.family.lower()}-seed{self.seed}"

    @property
    def parts(self) -> hybrids.Parts:
        """The classes of the model and of its prior."""
        return hybrids.parts(self.source or self.family)

    @property
    def minutes(self) -> float | None:
        """Minutes of all stages of training together; None where they are given steps."""
        given = [stage.get("minutes") for stage in (self.train, self.prior)]
        known = [minutes for minutes in given if minutes is not None]
        return sum(known) if known else None

    @property
    def steps(self) -> int:
        """Batches of all stages of training."""
        return sum(stage.get("steps", 0) for stage in (self.train, self.prior))

    @property
    def stated(self) -> dict[str, Any]:
        """Content of config.yaml: everything, but optional entries only where there are some."""
        optional = ("prior", "source", "fingerprint")
        return {
            name: value for name, value in asdict(self).items() if name not in optional or value
        }

    @property
    def digest(self) -> str:
        """A hash of what the plan computes: equal for equal plans, on any hardware."""
        content = json.dumps(_anywhere(self.stated), sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()


def plan(
    family: str,
    data: str,
    seed: int = 0,
    budget: str = "quick",
    conditional: bool = False,
    recipe: str | Path | None = None,
    model: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    fingerprint: str = "",
    dims: int | None = None,
) -> Plan:
    """Resolve a plan: what is given goes before the recipe, and that before the defaults.

    A hybrid by composition, such as ``vae+flow``, has a recipe for its prior inside its own.

    Args:
        family: a name, or the import path of a class, "module:Class".
        data: a name or a path.
        seed: of everything random.
        budget: which recipe, "quick" or "full"; of some data also "cpu" or "gpu".
        conditional: whether the model is told labels or conditions.
        recipe: a YAML file in place of ours.
        model, train: arguments of the constructor and of `fit`.
        minutes: of training, in place of the recipe's steps.
        fingerprint: of a data set that was given as an object.
        dims: features of an event, by which sizes are chosen where minutes are given and no recipe
            was made for the data.

    Raises:
        InputError: unknown family, hybrid, budget or argument, with the nearest valid choice.
    """
    made, part = hybrid = hybrids.parts(family)
    found = recipes.find(data, budget, hybrid.name, recipe)
    complaint = f"{made.__name__} has no argument"
    arguments = resolve(made, found["model"] | dict(model or {}), FROM_DATA, complaint)
    is_default = not recipes.has_own(data, budget, recipe)
    if is_default and minutes is not None and dims is not None:
        _scale(arguments, model or {}, dims, minutes)
    if part is not None:
        given = found["prior"].get("model", {})
        complaint = f"The prior, {part.__name__}, has no argument"
        own = resolve(part, given, FROM_DATA, complaint)
        arguments["prior"] = {"family": part.__name__, "arguments": own}
    given = found["train"] | dict(train or {})
    _check_prior(arguments, found["prior"], hybrid.name)
    settings = resolve(fit, given, NOT_SETTINGS, "Training has no setting")
    _check_training(settings, seed)
    if "lr" in arguments:
        check_settings(lr=arguments["lr"])
    prior = _second_stage(arguments, found["prior"].get("train"), seed)
    if prior:
        prior |= {name: settings[name] for name in COMPUTING if name in (train or {})}
    if minutes is not None:
        settings, prior = _timed(settings, prior, minutes)
    return Plan(
        family=hybrid.name,
        data=data,
        seed=seed,
        budget=budget,
        conditional=conditional,
        model=arguments,
        train=settings,
        evaluate=completed_settings(found["evaluate"]),
        prior=prior,
        source=family if ":" in family else "",
        fingerprint=fingerprint,
    )


def _check_prior(arguments: Mapping[str, Any], section: Mapping[str, Any], name: str) -> None:
    """Raise `InputError` for a prior that is no model, or for settings of one that there is not."""
    prior = arguments.get("prior")
    if prior is None and section:
        raise InputError(
            f"The recipe has a section prior for {name}, which has no prior: name a hybrid, such "
            "as vae+flow."
        )
    is_model = isinstance(prior, Mapping) and isinstance(prior.get("arguments", {}), Mapping)
    if prior is not None and not is_model:
        example = "{family: flow, arguments: {width: 32}}"
        raise InputError(f"A prior must be a mapping such as {example}, got {prior!r}.")


def _scale(arguments: dict[str, Any], given: Mapping[str, Any], dims: int, minutes: float) -> None:
    """Fit the sizes that the user has not ``given`` to the events and the minutes."""
    if "width" in arguments and "width" not in given:
        arguments["width"] = recipes.width_for(arguments["width"], dims, minutes)


OF_PRIOR = 1 / 3  # share of the minutes that a prior's own stage gets


def _timed(
    train: dict[str, Any], prior: dict[str, Any], minutes: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of both stages, given minutes in place of steps."""
    if not prior:
        return train | {"minutes": minutes}, prior
    of_prior = OF_PRIOR * minutes
    return train | {"minutes": minutes - of_prior}, prior | {"minutes": of_prior}


def _second_stage(
    arguments: Mapping[str, Any], given: Mapping[str, Any] | None, seed: int
) -> dict[str, Any]:
    """Settings for a prior's own stage.

    There are some where the recipe gives them, or where the prior's claim is too weak to train
    through a bound.
    """
    if not isinstance(arguments.get("prior"), Mapping):
        return {}
    if given is None and build(prior_of(arguments)).likelihood <= Likelihood.BOUND:
        return {}
    settings = resolve(fit, given or {}, NOT_SETTINGS, "Training of the prior has no setting")
    _check_training(settings, seed)
    return settings


def _check_training(settings: Mapping[str, Any], seed: int) -> None:
    """Raise `InputError` for a setting of `fit` that is out of range, or an unknown name."""
    given = {name: value for name, value in settings.items() if value is not None}
    optimizer_of(given.pop("optimizer", "adamw"))
    check_settings(**given, seed=seed)
    Hardware(**{name: settings[name] for name in HARDWARE}).check_asked()


def resolve(
    function: Any, given: Mapping[str, Any], without: tuple[str, ...], complaint: str = ""
) -> dict[str, Any]:
    """The defaults of a signature, overridden by what is given, in the plain values of YAML.

    Args:
        function: whose signature it is, or a class.
        given: arguments by name.
        without: arguments that are left out, and may not be given.
        complaint: begins the sentence about an argument that there is not.

    Raises:
        InputError: there is no such argument.
    """
    known = {
        n: p.default for n, p in inspect.signature(function).parameters.items() if n not in without
    }
    for name in given:
        if name not in known:
            raise InputError(f"{complaint} {name!r}. {RETIRED.get(name) or nearest(name, known)}")
    return {name: to_plain(given.get(name, default)) for name, default in known.items()}


def with_prior(arguments: Mapping[str, Any], condition: int) -> dict[str, Any]:
    """A model's arguments with its prior, where one is named.

    It is made up for the latents and given the same condition.
    """
    named = isinstance(arguments.get("prior"), Mapping)
    return {**arguments, "prior": prior_of(arguments, condition)} if named else dict(arguments)


def prior_of(arguments: Mapping[str, Any], condition: int = 0) -> dict[str, Any]:
    """A prior named in a recipe, as a model of latents.

    A recipe has ``{family: flow, arguments: {...}}``. The model is given what the VAE is given.
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
    """ "model.width 32 instead of 64, ...": how a stored plan differs; "" if it is the same run.

    What genzoo had no argument for when the other was stored is taken at the argument's default.
    """
    return differences(_anywhere(_completed(before, now)), _anywhere(now.stated))


def _anywhere(stated: dict[str, Any]) -> dict[str, Any]:
    """A plan without the settings of training that a run may change on its way."""
    kept = {}
    for name, value in stated.items():
        if name in ("train", "prior") and isinstance(value, dict):
            value = {key: each for key, each in value.items() if key not in ELSEWHERE}
        kept[name] = value
    return kept


def _completed(stored: dict[str, Any], now: Plan) -> dict[str, Any]:
    """A stored plan with the defaults of arguments that there are only now."""
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
        made = {"family": now.parts.family.__name__, "arguments": arguments}
        filled["model"] = completed(made, FROM_DATA)["arguments"]
    return stored | filled
