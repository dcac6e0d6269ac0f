"""Disagreement of a model with a known density: points A and B of the lecture, as two shares.

A
    The model puts mass where the truth has none, as a rectangle over the map does in the sea.
    Measured by the share of its *samples* whose true density is zero: one minus the precision.

B
    The truth has mass where the model has almost none, so that such events are hardly ever
    generated. Measured by the share of *test events* to which the model gives less than a tenth of
    their true density: one minus the recall.

A needs samples only, so every family has it. B inherits the claim of the log-density that it is
computed from: a lower bound on log p gives an upper bound on B. A diffusion model's bound is an
average of random terms, whose noise in a single event would look like a hole in the model; its B is
computed from the density of its probability flow instead (see `of_each`).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genzoo.data.dataset import DataSet
from genzoo.evaluation.figures import share
from genzoo.evaluation.likelihood.estimators import ODE
from genzoo.evaluation.likelihood.evaluate import Measured, evaluate
from genzoo.model import Likelihood, Measurable
from genzoo.progress import Progress

ALMOST_NOTHING = 0.1  # of the true density
FLOW_EVENTS = 2000  # test events that the probability flow follows
# of its solver; with more events, or less tolerance, B moves by less than its standard error
FLOW_TOLERANCE = 1e-3


def is_off_support(x: Tensor, data: DataSet) -> Tensor:
    """True of samples ``x`` that lie where the true density is zero, ``(n,)`` booleans (A)."""
    return truth(x, data).isneginf()


def is_missed(x: Tensor, log_prob: Tensor, data: DataSet) -> Tensor:
    """True of events to which the model gives almost no density, ``(n,)`` booleans (B).

    Args:
        x: events, ``(n, *event_shape)``.
        log_prob: their log-densities under the model, ``(n,)`` nats.
        data: a data set whose true density is known.
    """
    log_share = torch.tensor(ALMOST_NOTHING).log()
    return log_prob.double() < truth(x, data) + log_share


def truth(x: Tensor, data: DataSet) -> Tensor:
    """The true log-density of events, ``(n,)`` nats; ValueError where it is not known."""
    if data.log_density is None:
        raise ValueError(
            f"The true density of {data.name} is not known, so nothing can be compared with it."
        )
    return data.log_density(x).double()


def land(
    data: DataSet, rows: int = 360, columns: int = 720
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The support of two-dimensional data of known density, on a raster over the test points.

    Args:
        data: the data set, points whose density is known.
        rows: of the raster.
        columns: of the raster.

    Returns:
        booleans ``(rows, columns)``, and the raster's frame (left, right, bottom, top).
    """
    left, bottom = data.test.x.amin(0).tolist()
    right, top = data.test.x.amax(0).tolist()
    across = torch.linspace(0.5, columns - 0.5, columns) / columns
    down = torch.linspace(0.5, rows - 0.5, rows) / rows
    x = left + (right - left) * across
    y = top + (bottom - top) * down
    points = torch.cartesian_prod(y, x).flip(1)
    has_mass = ~is_off_support(points, data)
    return has_mass.view(rows, columns).numpy(), (left, right, bottom, top)


def of_each(
    model: Measurable,
    measured: Measured,
    data: DataSet,
    progress: Progress | None = None,
    seed: int = 0,
) -> Measured:
    """Log-densities that are fit for statements about single test events.

    These are those of ``measured``, or for a diffusion model those along its probability flow,
    where they can be compared with the truth: on points of known density, and for up to 2,000 test
    events of an unconditional model.

    Args:
        model: the model that was measured.
        measured: the likelihood of the model, by `evaluate`.
        data: the data set that it was measured on.
        progress: as of `evaluate`, while the flow is followed.
        seed: of random numbers.
    """
    random_bound = model.likelihood == Likelihood.BOUND and model.probability_flow() is not None
    if not _known(data) or not random_bound or model.condition:
        return measured
    by = ODE(FLOW_TOLERANCE, draws=1, most=FLOW_EVENTS)
    return evaluate(model, data, by=by, seed=seed, progress=progress)


def disagreement(
    measured: Measured, samples: Tensor, data: DataSet, conditional: bool = False
) -> dict[str, Any]:
    """Off-support rate and missed mass: the entries ``astray`` (A) and ``missed`` (B) of a row.

    They are measured on points. In an image small errors about the noise of hundreds of pixels,
    which every model makes, would add up to more than a factor of ten.

    Args:
        measured: log-densities of test events under the model.
        samples: of the model, ``(n, *event_shape)``.
        data: the data set that both are compared with.
        conditional: whether the model is; the true density given a condition is not known.

    Returns:
        two figures, the second with the kind of its claim; None where one cannot be measured.
    """
    if not _known(data):
        return {"astray": None, "missed": None}
    missed = None
    if measured.log_prob is not None and measured.events is not None and not conditional:
        hits = is_missed(data.test.x[measured.events], measured.log_prob, data)
        missed = replace(share(hits), kind=measured.kind).to_json()
    off_support = share(is_off_support(samples, data))
    return {"astray": off_support.to_json(), "missed": missed}


def _known(data: DataSet) -> bool:
    return data.log_density is not None and len(data.event_shape) == 1
