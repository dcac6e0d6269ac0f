"""Typed results of the measurements of a model: the parts of a row of the scorecard.

Each is the result of one function of this package: the likelihood of held-out events, the
disagreement with a known truth, the quality of samples, the content of the representation, the
fidelity to conditions, and the cost. Every number in them is a `Figure`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from genzoo.evaluation.figures import Figure

Plain = bool | int | float | str | list | dict | None  # a value of JSON


# -------------------------------------------------------------------------------------- likelihood


@dataclass(frozen=True)
class HeldOutLikelihood:
    """The negative log-likelihood of test events; less is better.

    Args:
        figure: the mean over events, in ``unit``; a dash with its reason where there is none.
        nats: the same in nats per event.
        unit: bits/dim, or nats of real-valued data.
        direction: the side on which the figure errs, in words.
        gap: KL(p_data || p_model) in ``unit``, where the true density is known.
        of: events in the split, of which ``figure.n`` were measured.
        observation: addition that gives the model a density, as "noise 0.48".
        chains: number of annealed chains of an estimate.
        effective_chains: their effective number, given their weights.
        simulated_gap: distance in nats between the bounds from both sides, on events that the model
            generated; of a bound by annealing.
        diagnostics: settings and diagnostics of the estimator, for the record.
    """

    figure: Figure
    nats: Figure
    unit: str
    direction: str = ""
    gap: Figure | None = None
    of: int | None = None
    observation: str = ""
    chains: int | None = None
    effective_chains: float | None = None
    simulated_gap: Figure | None = None
    diagnostics: Mapping[str, Plain] = field(default_factory=dict)


@dataclass(frozen=True)
class Disagreement:
    """Disagreement of a model with a known truth: the lecture's points A and B.

    Args:
        off_support: A, share of samples where the truth has no mass.
        missed: B, share of test events to which the model gives almost nothing; it has the claim
            of the likelihood that it is computed from. None without one.
    """

    off_support: Figure
    missed: Figure | None = None


# ------------------------------------------------------------------------------------------ samples


@dataclass(frozen=True)
class Quality:
    """Samples compared with as many unseen events.

    Args:
        space: name of the features in which they are compared.
        about: description of these features.
        n: number of samples, and of events.
        reference: description of the events, as "447 of 447 test events".
        figures: by name: distances, then shares such as "precision"; empty with a ``reason``.
        floor: the same for training events in place of samples.
        reason: why there are no figures.
        seconds: time that sampling and comparing took.
    """

    space: str
    about: str
    n: int
    reference: str
    figures: Mapping[str, Figure]
    floor: Mapping[str, Figure]
    reason: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Guided:
    """Scores of samples of every class under guidance, as in `ClassFidelity`."""

    guidance: float
    accuracy: Figure
    coverage: Figure | None = None
    cas: Figure | None = None


@dataclass(frozen=True)
class SweptGuidance(Guided):
    """One strength of a guidance sweep.

    Args:
        spread: mean distance between two samples of a class, over that between two real ones.
    """

    spread: float = 1.0


@dataclass(frozen=True)
class ClassFidelity:
    """Fidelity of samples to the class that was their condition.

    Args:
        accuracy: share of samples that a classifier of real events assigns to their class.
        per_class: the same for each class.
        classifier: accuracy of the classifier on real test events.
        coverage: share of unseen events that have a sample of their class nearby.
        cas: accuracy on real events of a classifier fitted on samples alone.
        coverage_real: coverage by training events in place of samples.
        cas_real: accuracy of a classifier fitted on training events in place of samples.
        unconditional: share of each class among samples without a condition.
        each: number of samples of each class.
        guided: the same scores under guidance, of models that can be guided.
    """

    accuracy: Figure
    per_class: Mapping[str, Figure]
    classifier: Figure
    coverage: Figure | None = None
    cas: Figure | None = None
    coverage_real: Figure | None = None
    cas_real: Figure | None = None
    unconditional: Mapping[str, Figure] = field(default_factory=dict)
    each: int | None = None
    guided: Guided | None = None


@dataclass(frozen=True)
class NumberFidelity:
    """Distance of samples from the numbers that were their condition.

    Args:
        errors: mean absolute error of each number, such as height and width of a tin.
        exact: share of samples on which each number is less than half a unit off.
        exact_real: the same share of real test events, measured in the same way.
    """

    errors: Mapping[str, Figure]
    exact: Figure
    exact_real: Figure


# --------------------------------------------------------------------------------- representation


@dataclass(frozen=True)
class Probe:
    """Scores of a linear probe of ``width`` features of an event.

    Args:
        width: number of features that it takes.
        accuracy: of classes; None where it predicts numbers.
        r2: of each number that describes an event; empty where it predicts classes.
    """

    width: int
    accuracy: Figure | None = None
    r2: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class LatentPair:
    """The two dimensions of a latent that describe an event best, and the R² of each number."""

    dimensions: tuple[int, int]
    r2: Mapping[str, Figure]


@dataclass(frozen=True)
class TallerTins:
    """Effect on tins of a latent step that should add ``asked`` pixels of height, in pixels.

    Args:
        asked: pixels of height that the step should add.
        height, width: mean change of each.
        width_moved: mean of the width's absolute change.
    """

    asked: float
    height: Figure
    width: Figure
    width_moved: Figure


@dataclass(frozen=True)
class Representation:
    """Content of a model's representation of an event.

    Args:
        latent: the kind of its latent, see `genzoo.Latent`.
        round_trip: error of an event encoded and decoded, as a share of the data's spread.
        features: linear probe of the network's features.
        encoded: linear probe of the latent.
        pixels: linear probe of the raw event.
        pair: of tins, see `LatentPair`.
        taller: of tins, see `TallerTins`.
    """

    latent: str
    round_trip: Figure | None = None
    features: Probe | None = None
    encoded: Probe | None = None
    pixels: Probe | None = None
    pair: LatentPair | None = None
    taller: TallerTins | None = None


# --------------------------------------------------------------------------------------------- cost


@dataclass(frozen=True)
class Memory:
    """Peak memory of tensors.

    Args:
        batch: number of events in the step that was measured.
        training: bytes, to train on a batch.
        sampling: bytes, to sample as many events.
    """

    batch: int
    training: int
    sampling: int


@dataclass(frozen=True)
class Cost:
    """The cost of a model.

    Args:
        parameters: number of trainable ones.
        train_seconds: wall-clock time of training.
        steps: number of training batches.
        best_step: the step whose weights were kept.
        validation_nats: mean negative log-likelihood of validation events under these weights.
        samples_per_second: in batches, on an otherwise quiet machine.
        evaluations_per_sample: of the network.
        memory: bytes, see `Memory`.
        precision: what networks computed in while they were trained, "32" or "bf16".
    """

    parameters: int
    train_seconds: float
    steps: int
    best_step: int | None = None
    validation_nats: float | None = None
    samples_per_second: float | None = None
    evaluations_per_sample: float | None = None
    memory: Memory | None = None
    precision: str = "32"
