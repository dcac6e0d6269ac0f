"""What an estimator says about each event, before it becomes one figure."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from genzoo.model import Likelihood

DIRECTION = {
    Likelihood.EXACT: "none: it is exact",
    Likelihood.BOUND: "never flatters: the true figure is at most this",
    Likelihood.ESTIMATE: "unknown",
    Likelihood.NONE: "",
}


@dataclass(frozen=True)
class Stated:
    """log p of each event, ``(n,)`` nats, what it claims, on which side it errs, and an error that all events share."""

    log_prob: Tensor
    kind: Likelihood
    direction: str
    extra_stderr: float = 0.0
    details: dict[str, Any] = field(default_factory=dict)
