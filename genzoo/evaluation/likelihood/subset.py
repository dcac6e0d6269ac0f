r"""An estimate of the mean over all events of a split from some of them.

Where each event needs an annealing or an ODE, only a hundred are measured, while other rows of the
table are measured on all. Two things make them comparable.

**Which events.** They are sorted by class, where there are classes, and within a class by a
log-density that is known of every event; then every (N/n)-th is taken, from a random start
(*systematic sampling*). So every class, and easy and hard events, have their share.

**Control variates.** The closed-form baselines, and the truth where it is known, have a log-density
g of *every* event. Events that are hard for them are mostly hard for the model as well, and they
tell by how much these n events are harder than all N:

.. math::

    \bar y = \frac1n \sum_{i \in \text{subset}} y_i
        + b \cdot \Big( \frac1N \sum_{i} g_i - \frac1n \sum_{i \in \text{subset}} g_i \Big) ,

with b by least squares on the subset (the *regression estimator*). It is a weighted mean,
:math:`\sum_i w_i y_i`, and its error has two parts: that of the n events among the N, and that of
the N among all there could be,

.. math::

    \mathrm{stderr}^2 = s_e^2 \Big( \sum_i w_i^2 - \frac1N \Big) + \frac{s_y^2}{N} .

s_e is the standard deviation of what g leaves unexplained. It is computed from differences of
neighbours in the order in which the events were taken, so that a slow change along the order does
not widen it. With n = N only the standard error of a plain mean is left.

References: Cochran 1977, *Sampling techniques*, chapters 7, 8 and 12; Wolter 1984, *Investigation
of some estimators of variance for systematic sampling*; von Neumann 1941, *Distribution of the
ratio of the mean square successive difference to the variance*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from genzoo.data.dataset import DataSet, Split
from genzoo.errors import InputError
from genzoo.evaluation.figures import Z95
from genzoo.families.baselines import Baseline, fitted

EVENTS_A_CONTROL = 10  # with fewer, a coefficient costs more than it brings
SAME = 1e-8  # relative to its size: a control that varies by less is constant, or repeats another


class MeanStderr(NamedTuple):
    """The mean over all events, as estimated from some of them.

    Args:
        value: the mean.
        stderr: its standard error as the mean of all events there could be; 1.96 of it hold 95 %.
        of_subset: the part of it that measuring all N events would take away.
        variance_ratio: variance of this estimate among the N events, over that of n random ones
            without control variates: the factor by which fewer events are needed.
    """

    value: float
    stderr: float
    of_subset: float = 0.0
    variance_ratio: float = 1.0


@dataclass(frozen=True)
class Subset:
    """Some events of a split, and control variates of all.

    Args:
        chosen: indices of the n events in the split, in the order they were taken in, ``(n,)``.
        of: N, number of events in the split.
        controls: log-densities of all events in nats, ``(N,)`` each, by the name of their model.
    """

    chosen: Tensor
    of: int
    controls: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of events that are measured."""
        return len(self.chosen)

    @property
    def is_all(self) -> bool:
        """True if no event is left out."""
        return self.n == self.of

    @property
    def details(self) -> dict[str, Any]:
        """n and N, and the names of the control variates where some events are left out."""
        details: dict[str, Any] = {"n": self.n, "of": self.of}
        if not self.is_all:
            details["controls"] = list(self.controls)
        return details

    def mean(self, y: Tensor) -> MeanStderr:
        """The mean over all N events, from measurements ``y`` (n,) of the chosen ones.

        If one of them is infinite, so is the mean, and its error is NaN.
        """
        measured = y.double().cpu().numpy()
        mean = float(measured.mean())
        if not np.isfinite(measured).all():
            return MeanStderr(mean, float("nan"))
        if self.n == 1:
            return MeanStderr(mean, 0.0)
        if self.is_all:
            deviation = float(measured.std(ddof=1))
            return MeanStderr(mean, deviation / self.n**0.5)
        return self._regressed(measured)

    def _regressed(self, y: np.ndarray) -> MeanStderr:
        """The regression estimator of the module's docstring."""
        controls = [self._standardised(g) for g in self.controls.values()]
        design = np.column_stack([np.ones(self.n), *controls])
        basis, scale, axes = np.linalg.svd(design, full_matrices=False)
        new = scale > SAME * scale[0]  # a control that repeats the others adds no direction
        basis = basis[:, new]
        scale = scale[new]
        axes = axes[new]
        # the controls' means over all events are 0, so the line's height there is the intercept
        weights = basis @ (axes[:, 0] / scale)
        value = float(weights @ y)

        # the error of the n events among the N
        unexplained = _variance(y, basis)
        among_all = max(0.0, float(weights @ weights) - 1 / self.of)
        freedom = 2 / 3 * max(1, self.n - len(scale))
        few = float(stdtrit(freedom, 0.975)) / Z95  # the variance itself is uncertain
        of_subset = few * (unexplained * among_all) ** 0.5

        # and that of the N among all there could be
        variance = float(y.var(ddof=1))
        of_all = (variance / self.of) ** 0.5
        stderr = float(np.hypot(of_subset, of_all))
        ratio = unexplained / variance if variance else 1.0
        return MeanStderr(value, stderr, of_subset, ratio)

    def _standardised(self, control: Tensor) -> np.ndarray:
        """A control of the chosen events, ``(n,)``; over all it has mean 0 and deviation 1."""
        g = control.double().cpu()
        standardised = (g[self.chosen] - g.mean()) / g.std()
        return standardised.numpy()


def all_of(n: int) -> Subset:
    """Every event of a split of ``n``."""
    return Subset(torch.arange(n), n)


def choose(
    data: DataSet,
    split: str,
    most: int,
    controls: Mapping[str, Tensor] | None = None,
) -> Subset:
    """Some events of a split by systematic sampling, with control variates of all.

    Args:
        data: the data set.
        split: "train", "validation" or "test".
        most: largest number of events to choose.
        controls: log-densities of every event under other models, ``(N,)`` nats each, by name; the
            truth and the baselines are added.

    Raises:
        InputError: a control does not have N numbers.
    """
    events: Split = getattr(data, split)
    of = len(events)
    log_densities = {}
    for name, values in (controls or {}).items():
        log_densities[name] = _checked(name, values, of)
    if most >= of:
        return all_of(of)
    log_densities |= stated_of_all(data, events)
    useful = {name: g for name, g in log_densities.items() if _says_something(g)}
    affordable = most // EVENTS_A_CONTROL
    kept = dict(list(useful.items())[:affordable])

    by = next(iter(useful.values()), torch.zeros(of))
    order = _in_order(data, events, by)
    start = torch.rand((), dtype=torch.float64)
    steps = (torch.arange(most) + start) * (of / most)
    chosen = order[steps.long().clamp(max=of - 1)]
    return Subset(chosen, of, kept)


def stated_of_all(data: DataSet, events: Split) -> dict[str, Tensor]:
    """Log-densities of each event under the baselines and, if known, the truth, ``(N,)`` nats."""
    stated = {}
    if data.log_density is not None:
        stated["Truth"] = data.log_density(events.x)
    for baseline in _baselines(data):
        stated[type(baseline).__name__] = baseline.log_prob(events.x)
    return {name: log_prob.double().cpu() for name, log_prob in stated.items()}


@lru_cache(maxsize=2)  # data sets are compared by identity
def _baselines(data: DataSet) -> tuple[Baseline, ...]:
    """The closed-form baselines, if they can be fitted."""
    try:
        return fitted(data)
    except InputError:  # a feature without spread
        return ()


def _in_order(data: DataSet, events: Split, log_density: Tensor) -> Tensor:
    """Indices ``(N,)`` of events sorted by class, and within a class by ``log_density``.

    It rises in one class and falls in the next, so that neighbours across their border are alike.
    """
    label = np.zeros(len(events), dtype=int)
    if data.classes and events.c is not None and events.c.dim() == 1:
        label = events.c.cpu().numpy()
    falling = label % 2 == 1
    g = log_density.cpu().numpy()
    within = np.where(falling, -g, g)
    order = np.lexsort((within, label))  # by its last key first
    return torch.from_numpy(order)


def _variance(y: np.ndarray, basis: np.ndarray) -> float:
    """Variance of what an orthonormal ``basis`` (n, p) leaves of ``y``, by ordered differences."""
    residual = y - basis @ (basis.T @ y)
    differences = np.square(np.diff(residual)).sum()
    # what they would sum to where the variance is 1
    expected = 2 * (len(y) - 1) - np.square(np.diff(basis, axis=0)).sum()
    return float(differences / expected)


def _says_something(control: Tensor) -> bool:
    """True of a control that is finite and varies by more than rounding."""
    if not control.isfinite().all():
        return False
    return bool(control.std() > SAME * control.abs().max())


def _checked(name: str, values: Tensor, of: int) -> Tensor:
    if values.shape != (of,):
        raise InputError(
            f"The control {name!r} should be one log-density for each of {of} events, "
            f"not of shape {tuple(values.shape)}."
        )
    return values.double().cpu()
