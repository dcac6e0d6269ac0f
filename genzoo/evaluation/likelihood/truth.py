"""Where a model and the truth disagree: the lecture's points A and B as two shares, on data whose
density is known.

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

from genzoo.benchmark.report.pictures import Panel
from genzoo.data.dataset import DataSet
from genzoo.evaluation.figures import share
from genzoo.evaluation.likelihood.estimators import ODE
from genzoo.evaluation.likelihood.evaluate import Measured, evaluate
from genzoo.model import Likelihood, Measurable
from genzoo.progress import Report

ALMOST_NOTHING = 0.1  # of the true density
FLOW_EVENTS = 2000  # test events that the probability flow follows
FLOW_TOLERANCE = 1e-3  # of its solver; with more events, or less tolerance, B moves by less than its standard error


def is_astray(x: Tensor, data: DataSet) -> Tensor:
    """Which samples ``(n, *event_shape)`` lie where the truth has no mass at all, ``(n,)`` booleans
    (A).
    """
    return truth(x, data).isneginf()


def is_missed(x: Tensor, log_prob: Tensor, data: DataSet) -> Tensor:
    """Which events ``(n, *event_shape)`` with log-densities ``log_prob`` (n,) the model gives
    almost nothing, booleans (B).
    """
    return log_prob.double() < truth(x, data) + torch.tensor(ALMOST_NOTHING).log()


def truth(x: Tensor, data: DataSet) -> Tensor:
    """The true log-density of events, ``(n,)`` nats in float64; raises ValueError where it is not
    known.
    """
    if data.log_density is None:
        raise ValueError(
            f"The true density of {data.name} is not known, so nothing can be held against it."
        )
    return data.log_density(x).double()


def panel(data: DataSet, x: Tensor, events: Tensor, log_prob: Tensor) -> Panel:
    """What `genzoo.benchmark.report.pictures.maps` shows of a model: its samples ``x`` (n, 2), and
    its ``log_prob`` (m,) of the test events at the places ``events`` (m,).
    """
    seen = data.test.x[events]
    return Panel(
        x.numpy(), is_astray(x, data).numpy(), seen[is_missed(seen, log_prob, data)].numpy()
    )


def land(
    data: DataSet, rows: int = 360, columns: int = 720
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Where the truth of two-dimensional data has mass, on a raster over the test points, and the
    raster's frame.
    """
    (left, bottom), (right, top) = data.test.x.amin(0).tolist(), data.test.x.amax(0).tolist()
    across, up = (torch.linspace(0.5, n - 0.5, n) / n for n in (columns, rows))
    y, x = torch.meshgrid(top + (bottom - top) * up, left + (right - left) * across, indexing="ij")
    mass = ~is_astray(torch.stack([x.flatten(), y.flatten()], 1), data)
    return mass.view(rows, columns).numpy(), (left, right, bottom, top)


def of_each(
    model: Measurable,
    measured: Measured,
    data: DataSet,
    progress: Report | None = None,
    seed: int = 0,
) -> Measured:
    """What can be said of single test events: ``measured``, or in its place a diffusion model's
    density by its probability flow.

    That is done where the truth can be held against it, for points of known density, with up to
    2,000 of the test events.
    """
    random_bound = model.likelihood == Likelihood.BOUND and model.probability_flow() is not None
    if not _known(data) or not random_bound or model.condition:
        return measured
    by = ODE(FLOW_TOLERANCE, draws=1, most=FLOW_EVENTS)
    return evaluate(model, data, by=by, seed=seed, progress=progress)


def disagreement(
    measured: Measured, samples: Tensor, data: DataSet, conditional: bool = False
) -> dict[str, Any]:
    """The entries ``astray`` (A) and ``missed`` (B, with the kind of its claim) of a row, both
    figures; None where there is none.

    Points have them. Of an image's noise, which no model gets exactly right, hundreds of pixels add
    up to more than a tenth.
    """
    if not _known(data):
        return {"astray": None, "missed": None}
    missed = None
    if measured.log_prob is not None and measured.events is not None and not conditional:
        which = is_missed(data.test.x[measured.events], measured.log_prob, data)
        missed = replace(share(which), kind=measured.kind).to_json()
    return {"astray": share(is_astray(samples, data)).to_json(), "missed": missed}


def _known(data: DataSet) -> bool:
    return data.log_density is not None and len(data.event_shape) == 1
