"""The likelihood of held-out events, with its error bar and with the kind of claim it is."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet, Split
from genzoo.data.names import SPLITS
from genzoo.errors import InputError, nearest
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.likelihood.estimate import LogProbEstimate, LogZ
from genzoo.evaluation.likelihood.estimators import Estimator, Own
from genzoo.evaluation.likelihood.subset import MeanStderr, Subset, all_of, choose
from genzoo.model import Likelihood, Measurable, device_of, drawing_from, evaluating
from genzoo.progress import Progress


@dataclass(frozen=True)
class Measured:
    """The likelihood of held-out events under a model, as `evaluate` returns it.

    Args:
        figure: mean of the negative log-likelihood over events, in ``unit``; less is better. Its
            kind says what it claims; its error is that of test events and Monte Carlo samples. A
            model without a likelihood has a dash and a reason.
        unit: bits/dim, or nats per event for real-valued data.
        direction: the side on which the figure errs, in words.
        gap: how much likelier the data is under the truth, KL(p_data || p_model) in the same unit:
            on data whose density is known, for an unconditional model. It inherits the claim of the
            figure: a bound on one is a bound on both.
        details: settings and diagnostics, plain values.
        log_prob: of each event, ``(n,)`` nats; under the middle of an interval of log Z.
        events: their indices in the split, ``(n,)``.
        log_z: the estimate that the figure rests on, where one log Z was annealed; see
            `genzoo.evaluation.likelihood.partition.keep_log_z`.
    """

    figure: Figure
    unit: str
    direction: str = ""
    gap: Figure | None = None
    details: dict[str, Any] = field(default_factory=dict)
    log_prob: Tensor | None = field(default=None, repr=False, compare=False)
    events: Tensor | None = field(default=None, repr=False, compare=False)
    log_z: LogZ | None = None

    @property
    def value(self) -> float | None:
        """The figure's value, or None: see `genzoo.evaluation.figures.Figure`."""
        return self.figure.value

    @property
    def stderr(self) -> float | None:
        """The figure's standard error."""
        return self.figure.stderr

    @property
    def kind(self) -> Likelihood:
        """The kind of claim that the figure makes."""
        return Likelihood.NONE if self.figure.kind is None else self.figure.kind

    def __str__(self) -> str:
        return f"{self.figure} {self.unit}" if self.figure.is_known else self.figure.text()


def evaluate(
    model: Measurable,
    data: DataSet,
    *,
    by: Estimator | None = None,
    split: str = "test",
    seed: int = 0,
    controls: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Measured:
    """The likelihood of the events of one split of ``data``.

    Args:
        model: of the zoo, or a baseline. It is left as it is.
        data: the data set, in whose unit the figure is.
        by: the estimator, one of `genzoo.evaluation.likelihood.estimators`: by default `Own`, the
            model's own log-probability.
        split: "train", "validation" or "test".
        seed: of all random numbers; the caller's random state is left as it was.
        controls: further control variates, where some events are measured: log-densities of
            *every* event of the split under other models, ``(N,)`` nats each.
        progress: called with (level, levels, log-weight and error) as an annealing goes, or (events
            done, events, a few words).

    Returns:
        the figure in the data's unit; for a model that states no likelihood, value None, kind NONE
        and the reason.

    Raises:
        InputError: there is no such split, or a control is not one number for each event.
    """
    if split not in SPLITS:
        raise InputError(f"There is no split {split!r}. {nearest(split, SPLITS)}")
    everything: Split = getattr(data, split)
    started = time.perf_counter()
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        evaluating(model),
        drawing_from(seed, device_of(model)),
    ):
        estimator = (by or Own()).for_model(model)
        most = estimator.most_events(model)
        subset = all_of(len(everything))
        if most is not None:
            subset = choose(data, split, most, controls)
        events = Split(*everything[subset.chosen.to(everything.x.device)])
        try:
            estimate = estimator.estimate(model, data, events, progress)
        except NotImplementedError as reason:
            details = {"reason": str(reason), "n": len(events)}
            return Measured(Figure.dash(str(reason), len(events)), data.unit, details=details)
    details = {"split": split, "seconds": time.perf_counter() - started}
    return _measured(model, data, events, subset, estimate, details)


def _measured(
    model: Measurable,
    data: DataSet,
    events: Split,
    subset: Subset,
    estimate: LogProbEstimate,
    details: dict[str, Any],
) -> Measured:
    """The mean over events, and the gap to the truth where that is known."""
    details = {**estimate.details, **subset.details, **details}
    if estimate.kind == Likelihood.NONE:
        figure = Figure.dash(estimate.reason, len(events))
        return Measured(figure, data.unit, details={**details, "reason": estimate.reason})
    log_prob = estimate.log_prob.cpu()
    reported = data.report(log_prob).double()
    mean = subset.mean(reported)
    if not subset.is_all:
        details |= {"subset_stderr": mean.of_subset, "variance_ratio": mean.variance_ratio}
    gap = None
    if data.log_density is not None and not model.condition:
        truth = data.report(data.log_density(events.x).cpu()).double()
        gap = _figure(subset.mean(reported - truth), subset.n, estimate, data)
    return Measured(
        figure=_figure(mean, subset.n, estimate, data),
        unit=data.unit,
        direction=estimate.direction,
        gap=gap,
        details=details,
        log_prob=log_prob,
        events=subset.chosen,
        log_z=estimate.log_z,
    )


def _figure(mean: MeanStderr, n: int, estimate: LogProbEstimate, data: DataSet) -> Figure:
    """The mean over events, measured on ``n`` of them, as a figure in the data's unit.

    Its error includes the errors that all events share. Where every event may be off by
    ``half_width`` nats, so may the mean: the figure is then an interval.
    """
    zero_nats = data.report(torch.zeros(()))
    minus_one_nat = data.report(torch.ones(()))
    one_nat = (zero_nats - minus_one_nat).item()
    stderr = math.hypot(mean.stderr, one_nat * estimate.extra_stderr)
    half_width = one_nat * estimate.half_width
    if not half_width:
        return Figure(mean.value, stderr, kind=estimate.kind, n=n)
    low = mean.value - half_width
    high = mean.value + half_width
    return Figure(None, stderr, low, high, estimate.kind, n)
