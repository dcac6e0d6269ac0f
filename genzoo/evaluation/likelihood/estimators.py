"""Estimators of log p(x): the model's own, annealing, and an ODE.

An estimator is a small frozen object that holds its settings::

    evaluate(model, data)                                      # the model's own, with 16 samples
    evaluate(model, data, by=Own(k=64))                        # a tighter bound
    evaluate(model, data, by=AIS(levels=500, chains=64))       # annealed importance sampling
    evaluate(model, data, by=ODE(tolerance=1e-4))              # along the probability flow

Not every model can be annealed, and few have a flow. Where an estimator does not apply to a model,
the next one takes its place, in the end the model's own (`Estimator.for_model`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genzoo.data.dataset import DataSet, Split
from genzoo.errors import InputError, nearest
from genzoo.evaluation.batches import BATCH, batched
from genzoo.evaluation.likelihood.decoder import anneal_decoder
from genzoo.evaluation.likelihood.estimate import BETWEEN, DIRECTION, LogProbEstimate
from genzoo.evaluation.likelihood.ode import follow_flow
from genzoo.evaluation.likelihood.partition import anneal_energy, anneal_prior
from genzoo.model import Likelihood, Measurable, device_of
from genzoo.progress import Progress

CHAINS_OF_NORMALISER = 64  # by default, of each log Z
CHAINS_OF_EVENT = 8  # by default, where each event takes an annealing of its own

# A recipe's ``evaluate:`` section holds any of these.
DEFAULTS: dict[str, Any] = {
    "k": 16,
    "batch": BATCH,
    "ais_levels": 0,
    "ais_chains": 0,
    "ode_tolerance": 0.0,
    "ais_most_levels": 0,
    "most": 100,
}
LEAST = {"k": 1, "batch": 1, "most": 1, "ais_levels": 0, "ais_chains": 0, "ais_most_levels": 0}


class Estimator(ABC):
    """A method to compute or estimate log p(x | c) of events under a model."""

    def for_model(self, model: Measurable) -> "Estimator":
        """This estimator, or the one that takes its place for a model that it does not apply to."""
        return self

    def most_events(self, model: Measurable) -> int | None:
        """Largest number of events to measure, where each is costly; None: all."""
        return None

    @abstractmethod
    def estimate(
        self, model: Measurable, data: DataSet, events: Split, progress: Progress | None = None
    ) -> LogProbEstimate:
        """log p of each event.

        Args:
            model: in evaluation mode; it is left as it is.
            data: the data set; its training and validation events may choose the estimator's
                settings.
            events: those to be measured, with their conditions.
            progress: called with (done, total, a few words) now and then.

        Raises:
            NotImplementedError: the model has no such figure; the message says why.
        """


@dataclass(frozen=True)
class Own(Estimator):
    """The model's own log-probability: exact, a bound, or its own estimate.

    Args:
        k: samples for a bound that is random; an exact density ignores it. Report it beside the
            figure.
        batch: events in a batch.
    """

    k: int = 16
    batch: int = BATCH

    def __post_init__(self):
        _require_counts(1, k=self.k, batch=self.batch)

    def estimate(
        self, model: Measurable, data: DataSet, events: Split, progress: Progress | None = None
    ) -> LogProbEstimate:
        if model.likelihood == Likelihood.NONE:
            raise NotImplementedError(
                f"{type(model).__name__} states no likelihood: it has samples, but no log p(x)."
            )
        conditions = events.c if model.condition else None
        log_prob = batched(
            lambda x, c: model.bound(x, c, self.k),
            events.x,
            conditions,
            device=device_of(model),
            size=self.batch,
            progress=progress,
        )
        direction = DIRECTION[model.likelihood]
        if model.half_width:
            direction = BETWEEN
        return LogProbEstimate(
            log_prob,
            model.likelihood,
            direction,
            half_width=model.half_width,
            details={"k": self.k},
        )


@dataclass(frozen=True)
class AIS(Estimator):
    """Annealed importance sampling of an energy model, a GAN or a VAE. Takes minutes.

    For an energy model, or a VAE with an energy prior, it estimates log Z; for a GAN and any other
    VAE, each event's integral over the latent (`genzoo.evaluation.likelihood.decoder`).

    Args:
        levels: number of temperatures.
        chains: number of chains for each normaliser or event; None: 64 for the former, 8 for the
            latter.
        most_levels: for a GAN or VAE. Where fewer than three chains are effective on validation
            events, levels are doubled up to this many; None: up to four times ``levels``.
        most: for a GAN or VAE, largest number of events to measure. The figure is that of all
            events, as estimated with control variates (`genzoo.evaluation.likelihood.subset`).
        k: samples of a VAE's bound under an annealed prior, and of a model with nothing to anneal.
        batch: events in a batch, for those bounds.
    """

    levels: int = 500
    chains: int | None = None
    most_levels: int | None = None
    most: int = 100
    k: int = 16
    batch: int = BATCH

    def __post_init__(self):
        _require_counts(1, levels=self.levels, most=self.most, k=self.k, batch=self.batch)
        optional = {"chains": self.chains, "most_levels": self.most_levels}
        _require_counts(1, **{name: n for name, n in optional.items() if n is not None})

    def for_model(self, model: Measurable) -> Estimator:
        energy = model.unnormalised
        if energy is not None and energy.likelihood != Likelihood.EXACT:
            return self
        if energy is None and model.latent_joint() is not None:
            return self
        return Own(self.k, self.batch)

    def most_events(self, model: Measurable) -> int | None:
        return self.most if model.unnormalised is None else None

    def estimate(
        self, model: Measurable, data: DataSet, events: Split, progress: Progress | None = None
    ) -> LogProbEstimate:
        settings: dict[str, Any] = {"levels": self.levels, "progress": progress}
        if model.unnormalised is None:
            settings |= {"chains": self.chains or CHAINS_OF_EVENT, "most_levels": self.most_levels}
            return anneal_decoder(model, data, events, **settings)
        settings |= {"chains": self.chains or CHAINS_OF_NORMALISER, "k": self.k}
        if model.unnormalised is model:
            return anneal_energy(model, data, events, **settings)
        return anneal_prior(model, data, events, batch=self.batch, **settings)


@dataclass(frozen=True)
class ODE(Estimator):
    """The density along the probability-flow ODE of a diffusion model or of flow matching.

    It is another figure than a diffusion model's bound. The solver chooses its steps by their
    error. Takes minutes.

    Args:
        tolerance: of the solver, absolute and relative, on each event's state and log-density.
        draws: number of solutions with fresh noise that are averaged.
        most: largest number of events to measure. The figure is that of all events, as of `AIS`.
        batch: events in one system of equations, at most fifty.
        otherwise: the estimator to use for a model without such an ODE.
    """

    tolerance: float = 1e-4
    draws: int = 1
    most: int = 100
    batch: int = BATCH
    otherwise: Estimator = field(default_factory=Own)

    def __post_init__(self):
        _require_counts(1, draws=self.draws, most=self.most, batch=self.batch)
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance must be between 0 and 1, got {self.tolerance!r}.")

    def for_model(self, model: Measurable) -> Estimator:
        if model.probability_flow() is None:
            return self.otherwise.for_model(model)
        return self

    def most_events(self, model: Measurable) -> int | None:
        return self.most

    def estimate(
        self, model: Measurable, data: DataSet, events: Split, progress: Progress | None = None
    ) -> LogProbEstimate:
        return follow_flow(
            model,
            events,
            draws=self.draws,
            batch=self.batch,
            tolerance=self.tolerance,
            progress=progress,
        )


def _require_counts(least: int, **counts: Any) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < least:
            raise InputError(f"{name} must be a whole number of at least {least}, got {count!r}.")


# ------------------------------------------------------------------------------- of a recipe


def estimator(settings: Mapping[str, Any]) -> Estimator:
    """The estimator that a recipe's ``evaluate:`` section describes, in plain values.

    Args:
        settings: any of `DEFAULTS`: a positive ``ais_levels`` or ``ode_tolerance`` selects `AIS` or
            `ODE`; 0 for ``ais_chains`` or ``ais_most_levels`` selects the default; ``k`` is the
            number of samples of a bound, or of solutions of the ODE.

    Raises:
        InputError: an unknown setting, or one out of range.
    """
    chosen = completed_settings(settings)
    k = chosen["k"]
    batch = chosen["batch"]
    most = chosen["most"]
    by: Estimator = Own(k, batch)
    if chosen["ais_levels"]:
        by = AIS(
            levels=chosen["ais_levels"],
            chains=chosen["ais_chains"] or None,
            most_levels=chosen["ais_most_levels"] or None,
            most=most,
            k=k,
            batch=batch,
        )
    if chosen["ode_tolerance"]:
        by = ODE(chosen["ode_tolerance"], k, most, batch, otherwise=by)
    return by


def completed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's ``evaluate:`` section with its `DEFAULTS`; raises `InputError` for a wrong one."""
    for name in settings:
        if name not in DEFAULTS:
            raise InputError(f"Evaluation has no setting {name!r}. {nearest(name, DEFAULTS)}")
    completed = {name: settings.get(name, default) for name, default in DEFAULTS.items()}
    for name, value in completed.items():
        _require_setting(name, value)
    return completed


def _require_setting(name: str, value: Any) -> None:
    if name == "ode_tolerance":
        expected = "a number from 0 up to, but not, 1"
        right = isinstance(value, int | float) and 0 <= value < 1
    else:
        expected = f"a whole number of at least {LEAST[name]}"
        right = isinstance(value, int) and value >= LEAST[name]
    if not right or isinstance(value, bool):
        raise InputError(f"To evaluate, {name} must be {expected}, got {value!r}.")
