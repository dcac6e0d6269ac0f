"""A mean with its standard error, as rows of the scorecard hold it: ``{value, stderr}``."""

import numpy as np
from torch import Tensor

Average = dict[str, float | None]


def mean(values: Tensor) -> Average:
    """The mean of ``values`` (n,) with its standard error, None where a single value has no spread."""
    n = len(values)
    return {"value": values.mean().item(), "stderr": values.std().item() / n**0.5 if n > 1 else None}


def share(hits: np.ndarray | Tensor) -> Average:
    """The share of ``hits`` (n,) that are true, with its binomial standard error."""
    return share_of(float(np.asarray(hits, dtype=float).mean()), len(hits))


def share_of(p: float, n: int) -> Average:
    """A share ``p`` that was found among ``n``, with its binomial standard error."""
    return {"value": p, "stderr": (p * (1 - p) / n) ** 0.5}
