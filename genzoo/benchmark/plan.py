"""A plan: everything that a run does, in plain values, with all defaults filled in.

It combines the user's arguments, the recipe of the data set, and the defaults of constructor,
training and evaluation; the earlier ones win. By its plan a run in a folder is recognised.
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
OF_PRIOR = 1 / 3  # share of the minutes that a prior's own stage gets
HARDWARE = ("accelerator", "devices", "nodes", "strategy")
ELSEWHERE = ("compile", *HARDWARE)
COMPUTING = ("precision", *ELSEWHERE)
# A run may be resumed with other settings of `ELSEWHERE`, which decide where and how fast it is
# trained: any number of processes share the same batches. Precision is not among them, because it
# changes results. All of `COMPUTING` hold for a prior's own stage, too.


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
        conditional: True of a model that is given labels or conditions.
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
        """Name of the run, and of its folder: "vae-seed0"."""
        return f"{self.family.lower()}-seed{self.seed}"

    @property
    def parts(self) -> hybrids.Parts:
        """The classes of the model and of its prior."""
        return hybrids.parts(self.source or self.family)

    @property
    def minutes(self) -> float | None:
        """Minutes of all stages of training together; None if their steps are given instead."""
        given = [stage.get("minutes") for stage in (self.train, self.prior)]
        known = [minutes for minutes in given if minutes is not None]
        if not known:
            return None
        return sum(known)

    @property
    def steps(self) -> int:
        """Batches of all stages of training."""
        return sum(stage.get("steps", 0) for stage in (self.train, self.prior))

    @property
    def stated(self) -> dict[str, Any]:
        """Content of config.yaml: everything, but optional entries only where there are some."""
        stated = asdict(self)
        for name in ("prior", "source", "fingerprint"):
            if not stated[name]:
                del stated[name]
        return stated

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
        conditional: give the model labels or conditions.
        recipe: a YAML file in place of ours.
        model, train: arguments of the constructor and of `fit`.
        minutes: of training, in place of the recipe's steps.
        fingerprint: of a data set that was given as an object.
        dims: features of an event, by which sizes are chosen where minutes are given and no recipe
            was made for the data.

    Raises:
        InputError: unknown family, hybrid, budget or argument, with the nearest valid choice.
    """
    model = dict(model or {})
    train = dict(train or {})
    hybrid = hybrids.parts(family)
    section = recipes.find(data, budget, hybrid.name, recipe)

    complaint = f"{hybrid.family.__name__} has no argument"
    arguments = resolve(hybrid.family, section["model"] | model, FROM_DATA, complaint)
    is_default = not recipes.has_own(data, budget, recipe)
    if is_default and minutes is not None and dims is not None:
        _scale(arguments, model, dims, minutes)
    if hybrid.prior is not None:
        name = hybrid.prior.__name__
        complaint = f"The prior, {name}, has no argument"
        own = resolve(hybrid.prior, section["prior"].get("model", {}), FROM_DATA, complaint)
        arguments["prior"] = {"family": name, "arguments": own}
    _check_prior(arguments, section["prior"], hybrid.name)
    if "lr" in arguments:
        check_settings(lr=arguments["lr"])

    settings = resolve(fit, section["train"] | train, NOT_SETTINGS, "Training has no setting")
    _check_training(settings, seed)
    prior = _second_stage(arguments, section["prior"].get("train"), seed)
    if prior:
        prior |= {name: settings[name] for name in COMPUTING if name in train}
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
        evaluate=completed_settings(section["evaluate"]),
        prior=prior,
        source=family if ":" in family else "",
        fingerprint=fingerprint,
    )


def _check_prior(arguments: Mapping[str, Any], section: Mapping[str, Any], name: str) -> None:
    """Raise `InputError` for a prior that is no model, or for settings of a missing prior."""
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

    A prior has its own stage if the recipe gives it settings, or if its claim is too weak to be
    trained through a bound.
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
        complaint: beginning of the sentence about an unknown argument.

    Raises:
        InputError: there is no such argument.
    """
    known = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in without:
            known[name] = parameter.default
    for name in given:
        if name not in known:
            hint = RETIRED.get(name) or nearest(name, known)
            raise InputError(f"{complaint} {name!r}. {hint}")
    return {name: to_plain(given.get(name, default)) for name, default in known.items()}


def with_prior(arguments: Mapping[str, Any], condition: int) -> dict[str, Any]:
    """A model's arguments, in which a prior that is named becomes a model of the latents."""
    if not isinstance(arguments.get("prior"), Mapping):
        return dict(arguments)
    return {**arguments, "prior": prior_of(arguments, condition)}


def prior_of(arguments: Mapping[str, Any], condition: int = 0) -> dict[str, Any]:
    """A prior as a recipe names it, ``{family: flow, arguments: {...}}``, as a model of latents.

    Args:
        arguments: of the VAE, with the prior.
        condition: width of the VAE's condition, which the prior has, too.
    """
    prior = arguments["prior"]
    latent = {
        "event_shape": arguments["latent_shape"],
        "levels": arguments.get("codes", 0),
        "condition": condition,
    }
    return {**prior, "arguments": {**latent, **prior.get("arguments", {})}}


# ------------------------------------------------------------------------------ comparison of plans


def changes(before: dict[str, Any], now: Plan) -> str:
    """Differences of a stored plan in words, "model.width 32 instead of 64"; "" if there are none.

    An argument that is newer than the stored plan counts at its default.
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
    """A stored plan with the defaults of arguments that are newer than itself."""
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
