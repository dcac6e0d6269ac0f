"""Estimates of each event's log-probability, before they are averaged to one figure."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from genzoo.model import Likelihood

DIRECTION = {
    Likelihood.EXACT: "none: it is exact",
    Likelihood.BOUND: "never flatters: the true figure is at most this",
    Likelihood.ESTIMATE: "unknown",
    Likelihood.NONE: "",
}
BETWEEN = (
    "log Z lies between two ends; not counted: a mode that no chain has met, which would flatter"
)


class LogZ(NamedTuple):
    """An estimate of log Z: an interval that it lies in."""

    lower: float
    """Nats."""

    upper: float
    """Nats."""

    ess: float
    """Effective number of chains behind the worse of the two ends."""


@dataclass(frozen=True)
class LogProbEstimate:
    """log p of each event, with the kind of claim that the estimator makes.

    Args:
        log_prob: ``(n,)`` nats, one for each event.
        kind: what is claimed; NONE, with a ``reason``, where the estimator cannot be trusted after
            all.
        direction: on which side it errs, in words.
        extra_stderr: standard error in nats that all events share, such as that of random numbers
            common to them.
        half_width: nats by which every ``log_prob`` may be off in either direction, for all events
            alike: an annealed log Z is known between two ends, and ``log_prob`` is stated under
            their middle. 0: a value, no interval.
        reason: why there is no figure, where ``kind`` is NONE.
        log_z: the one log Z that all events share, where there is one and it was estimated.
        details: settings and diagnostics, plain values for JSON.
    """

    log_prob: Tensor
    kind: Likelihood
    direction: str
    extra_stderr: float = 0.0
    half_width: float = 0.0
    reason: str = ""
    log_z: LogZ | None = None
    details: dict[str, Any] = field(default_factory=dict)
