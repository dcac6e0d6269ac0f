"""What is measured of a model, typed: the parts of a row of the scorecard.

Each is one answer, made by one function of this package: the likelihood of held-out events, the
disagreement with a known truth, the quality of samples, what a representation knows, whether
conditions are obeyed, and what all of it costs. Every number in them is a `Figure`.
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
        observation: what had to be added to give the model a density, as "noise 0.48".
        chains: annealed chains of an estimate, and
        effective_chains: how many of them carry the weight.
        simulated_gap: how far the bounds from both sides lie apart, in nats, on events that the
            model made; of a bound by annealing.
        diagnostics: settings of the estimator, and how it went, for the record.
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
    """Where a model and a known truth disagree: the lecture's points A and B.

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
    """Samples held against as many unseen events.

    Args:
        space: the features in which they are compared, and
        about: what these are.
        n: samples, and events.
        reference: what the events are, as "447 of 447 test events".
        figures: by name: distances, then shares such as "precision"; empty with a ``reason``.
        floor: the same of training events in place of samples.
        reason: why there are no figures.
        seconds: that sampling and comparing took.
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
    """Samples of every class under guidance: the same questions as in `ClassFidelity`."""

    guidance: float
    accuracy: Figure
    coverage: Figure | None = None
    cas: Figure | None = None


@dataclass(frozen=True)
class SweptGuidance(Guided):
    """One strength of a guidance sweep.

    Args:
        spread: mean distance of two samples of a class, as a share of that of two real ones.
    """

    spread: float = 1.0


@dataclass(frozen=True)
class ClassFidelity:
    """Whether samples are of the class that they were drawn for.

    Args:
        accuracy: share of samples that a classifier of real events takes for their class.
        per_class: the same for each class.
        coverage: share of unseen events with a sample of their class near.
        cas: accuracy on real events of a classifier fitted on samples alone.
        coverage_real, cas_real: both of training events in place of samples.
        unconditional: share of each class among samples drawn without a condition.
        classifier: accuracy of the classifier on real test events.
        each: samples of each class.
        guided: the same questions under guidance, of models that can be guided.
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
    """How far samples are from the numbers that were asked for.

    Args:
        errors: mean absolute error of each number, such as height and width of a tin.
        exact: share of samples on which each is less than half a unit off.
        exact_real: that share of real test events, by the same ruler.
    """

    errors: Mapping[str, Figure]
    exact: Figure
    exact_real: Figure


# --------------------------------------------------------------------------------- representation


@dataclass(frozen=True)
class Probe:
    """What a linear probe reads off ``width`` features of an event.

    Args:
        width: how many features it reads.
        accuracy: of classes; None where numbers are read.
        r2: of each number that describes an event; empty where classes are read.
    """

    width: int
    accuracy: Figure | None = None
    r2: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class LatentPair:
    """The two dimensions of a latent that tell most of an event, and the R² of what they tell."""

    dimensions: tuple[int, int]
    r2: Mapping[str, Figure]


@dataclass(frozen=True)
class TallerTins:
    """What a latent step meant to add ``asked`` pixels of height did to tins, in pixels.

    Args:
        asked: pixels of height that the step was to add.
        height, width: mean change of each.
        width_moved: mean of the width's absolute change.
    """

    asked: float
    height: Figure
    width: Figure
    width_moved: Figure


@dataclass(frozen=True)
class Representation:
    """What a model knows of an event.

    Args:
        latent: the kind of its latent, see `genzoo.Latent`.
        round_trip: error of an event encoded and decoded, as a share of the data's spread.
        features, encoded, pixels: linear probes of the network's features, of the latent, and of
            the raw event.
        pair, taller: of tins, see `LatentPair` and `TallerTins`.
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
    """Most bytes that tensors take at once.

    Args:
        batch: events in the step that was measured.
        training: bytes of a training step.
        sampling: bytes of drawing as many samples.
    """

    batch: int
    training: int
    sampling: int


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Args:
        parameters: trainable ones.
        train_seconds: wall-clock time of training.
        steps: batches that it was trained on.
        best_step: the step whose weights were kept.
        validation_nats: mean negative log-likelihood of validation events under these weights.
        samples_per_second: in batches, on an otherwise quiet machine.
        evaluations_per_sample: of the network.
        memory: bytes, see `Memory`.
    """

    parameters: int
    train_seconds: float
    steps: int
    best_step: int | None = None
    validation_nats: float | None = None
    samples_per_second: float | None = None
    evaluations_per_sample: float | None = None
    memory: Memory | None = None
