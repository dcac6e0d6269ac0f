"""Where a model and the truth disagree.

The lecture's points A and B as two shares, on data whose density is known.

A
    The model puts mass where the truth has none, as a rectangle over the map does in the sea: the
    share of its *samples* whose true density is zero. Accuracy fails; it is one minus the
    precision.

B
    The truth has mass where the model has almost none: the share of *test events* to which the
    model gives less than a tenth of their true density. What is true there is hardly ever
    generated; it is one minus the recall.

A needs samples only, so every family has it. B inherits the claim of the log-density that it is
computed from: of a lower bound on log p it is an upper bound. A diffusion model's bound is an
average of random draws whose noise, for a single event, would be taken for holes in the model; its
B is computed from the density of its probability flow instead (see `of_each`).
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
    """Which samples ``x`` lie where the truth has no mass, ``(n,)`` booleans (A)."""
    return truth(x, data).isneginf()


def is_missed(x: Tensor, log_prob: Tensor, data: DataSet) -> Tensor:
    """Which events the model gives almost nothing, ``(n,)`` booleans (B).

    Args:
        x: events, ``(n, *event_shape)``.
        log_prob: their log-densities under the model, ``(n,)`` nats.
        data: whose true density is known.
    """
    return log_prob.double() < truth(x, data) + torch.tensor(ALMOST_NOTHING).log()


def truth(x: Tensor, data: DataSet) -> Tensor:
    """The true log-density of events, ``(n,)`` nats; ValueError where it is not known."""
    if data.log_density is None:
        raise ValueError(
            f"The true density of {data.name} is not known, so nothing can be held against it."
        )
    return data.log_density(x).double()


def land(
    data: DataSet, rows: int = 360, columns: int = 720
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Where the truth of two-dimensional data has mass, on a raster over the test points.

    Args:
        data: points of known density.
        rows, columns: of the raster.

    Returns:
        booleans ``(rows, columns)``, and the raster's frame (left, right, bottom, top).
    """
    left, bottom = data.test.x.amin(0).tolist()
    right, top = data.test.x.amax(0).tolist()
    across, down = (torch.linspace(0.5, n - 0.5, n) / n for n in (columns, rows))
    y, x = top + (bottom - top) * down, left + (right - left) * across
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
    """What can be said about single test events.

    That is ``measured``, or in its place a diffusion model's density by its probability flow: where
    the truth can be held against it, for points of known density, and for up to 2,000 test events.

    Args:
        model: an unconditional one gets a density of single events.
        measured: what `evaluate` found of the model.
        data: what it was measured on.
        progress: told as the flow is followed.
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

    Points have them. Of an image's noise, which no model gets exactly right, hundreds of pixels add
    up to more than a tenth.

    Args:
        measured: log-densities of test events under the model.
        samples: of the model, ``(n, *event_shape)``.
        data: what both are held against.
        conditional: whether the model is; the truth of single conditions is not known.

    Returns:
        two figures, the second with the kind of its claim; None where there is none.
    """
    if not _known(data):
        return {"astray": None, "missed": None}
    missed = None
    if measured.log_prob is not None and measured.events is not None and not conditional:
        which = is_missed(data.test.x[measured.events], measured.log_prob, data)
        missed = replace(share(which), kind=measured.kind).to_json()
    return {"astray": share(is_off_support(samples, data)).to_json(), "missed": missed}


def _known(data: DataSet) -> bool:
    return data.log_density is not None and len(data.event_shape) == 1
