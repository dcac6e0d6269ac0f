"""The likelihood of held-out events, with its error bar and with the kind of claim it is."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet, Split
from genzoo.data.names import SPLITS
from genzoo.errors import InputError, nearest
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.likelihood.stated import BETWEEN, DIRECTION, Stated
from genzoo.evaluation.likelihood.subset import Mean, Subset, all_of, choose
from genzoo.model import Likelihood, device_of, evaluating
from genzoo.progress import Report


class HasLikelihood(Protocol):
    """A model of the zoo, or a baseline beside it."""

    @property
    def likelihood(self) -> Likelihood: ...

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor: ...


@dataclass(frozen=True)
class Measured:
    """The likelihood of held-out events under a model, as `evaluate` found it.

    Args:
        figure: mean of the negative log-likelihood over events, in ``unit``; less is better. Its
            kind says what it claims; its error is that of test events and Monte Carlo draws. A
            model without a likelihood has a dash and a reason.
        unit: bits/dim, or nats per event for real-valued data.
        direction: the side on which the figure errs, in words.
        gap: how much likelier the data is under the truth, KL(p_data || p_model) in the same unit:
            on data whose density is known, for an unconditional model. It inherits the claim of the
            figure: a bound on one is a bound on both.
        details: settings and diagnostics, plain values.
        log_prob: what was stated of each event, ``(n,)`` nats; under the middle of an interval.
        events: their places in the split, ``(n,)``.
    """

    figure: Figure
    unit: str
    direction: str = ""
    gap: Figure | None = None
    details: dict[str, Any] = field(default_factory=dict)
    log_prob: Tensor | None = field(default=None, repr=False, compare=False)
    events: Tensor | None = field(default=None, repr=False, compare=False)

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
        """What the figure claims."""
        return Likelihood.NONE if self.figure.kind is None else self.figure.kind

    def __str__(self) -> str:
        return f"{self.figure} {self.unit}" if self.figure.is_known else self.figure.text()


def evaluate(
    model: HasLikelihood,
    data: DataSet,
    split: str = "test",
    *,
    k: int = 16,
    batch: int = 250,
    seed: int = 0,
    ais_levels: int = 0,
    ais_chains: int = 0,
    ode_tolerance: float = 0.0,
    ais_most_levels: int = 0,
    most: int = 100,
    controls: Mapping[str, Tensor] | None = None,
    progress: Report | None = None,
) -> Measured:
    """The likelihood of the events of one split of ``data``.

    Args:
        split: "train", "validation" or "test".
        k: draws for a bound that is random; an exact density ignores it. State it beside the
            figure.
        batch: events at a time.
        seed: of those draws; the caller's random state is left as it was.
        ais_levels: temperatures of annealed importance sampling, by which an energy model, a GAN
            and, where asked for, a VAE get a figure; 0 leaves it out. It takes minutes.
        ais_chains: chains of each normaliser (energy) or of each event (GAN, VAE); 0: 64 of the
            former, 8 of the latter.
        ais_most_levels: of a GAN or VAE. Where fewer than three chains are effective on validation
            events, levels are doubled up to this many; 0: up to four times ``ais_levels``.
        ode_tolerance: of the solver, where the figure of a diffusion model is to be that of its
            probability flow instead of its bound, or that of flow matching is to be had in steps
            chosen by their error; 0 leaves it out. ``k`` is then the number of solutions, each with
            fresh noise. It takes minutes.
        most: how many events are measured where each takes an annealing (GAN, VAE) or an ODE. The
            figure is that of all, as estimated with control variates
            (`genzoo.evaluation.likelihood.subset`).
        controls: further control variates: log-densities of *every* event of the split under other
            models, ``(N,)`` nats each.
        progress: told of (level, levels, log-weight and error) as the annealing goes, or (events
            done, events, a few words).

    Returns:
        the figure in the data's unit; for a model that states no likelihood, value None, kind NONE
        and the reason.

    Raises:
        InputError: there is no such split, a setting is out of range, or a control is not one
            number for each event.
    """
    if split not in SPLITS:
        raise InputError(f"There is no split {split!r}. {nearest(split, SPLITS)}")
    check_measuring(
        k=k,
        batch=batch,
        ais_levels=ais_levels,
        ais_chains=ais_chains,
        ais_most_levels=ais_most_levels,
        ode_tolerance=ode_tolerance,
        most=most,
    )
    everything: Split = getattr(data, split)
    started = time.perf_counter()
    how = _method(model, ais_levels > 0, ode_tolerance > 0)
    with torch.random.fork_rng(), torch.inference_mode(), evaluating(model):
        torch.manual_seed(seed)
        subset = all_of(len(everything))
        if how in (_anneal_decoder, _follow_flow):
            subset = choose(data, split, most, controls)
        events = Split(*everything[subset.chosen.to(everything.x.device)])
        try:
            settings = {
                "k": k,
                "batch": batch,
                "levels": ais_levels,
                "chains": ais_chains,
                "most_levels": ais_most_levels,
                "tolerance": ode_tolerance,
            }
            stated = how(model, data, events, progress=progress, **settings)
        except NotImplementedError as reason:
            details = {"reason": str(reason), "n": len(events)}
            return Measured(Figure.dash(str(reason), len(events)), data.unit, details=details)
        details = {"split": split, "seconds": time.perf_counter() - started}
        return _measured(model, data, events, subset, stated, details)


LEAST = {"k": 1, "batch": 1, "most": 1, "ais_levels": 0, "ais_chains": 0, "ais_most_levels": 0}


def check_measuring(**settings: Any) -> None:
    """Raise `InputError` for a setting of `evaluate` that is out of range."""
    for name, value in settings.items():
        if name == "ode_tolerance":
            expected = "a number from 0 up to, but not, 1"
            right = isinstance(value, int | float) and 0 <= value < 1
        else:
            expected = f"a whole number of at least {LEAST[name]}"
            right = isinstance(value, int) and value >= LEAST[name]
        if not right or isinstance(value, bool):
            raise InputError(f"To evaluate, {name} must be {expected}, got {value!r}.")


def _measured(
    model: HasLikelihood,
    data: DataSet,
    events: Split,
    subset: Subset,
    stated: Stated,
    details: dict[str, Any],
) -> Measured:
    """The mean over events, and the gap to the truth where that is known."""
    details = {**stated.details, **subset.details, **details}
    if stated.kind == Likelihood.NONE:
        figure = Figure.dash(stated.reason, len(events))
        return Measured(figure, data.unit, details={**details, "reason": stated.reason})
    log_prob = stated.log_prob.cpu()
    reported = data.report(log_prob).double()
    mean = subset.mean(reported)
    if not subset.is_all:
        details |= {"subset_stderr": mean.of_subset, "variance_ratio": mean.variance_ratio}
    gap = None
    if data.log_density is not None and not getattr(model, "condition", 0):
        truth = data.report(data.log_density(events.x).cpu()).double()
        gap = _figure(subset.mean(reported - truth), subset.n, stated, data)
    return Measured(
        figure=_figure(mean, subset.n, stated, data),
        unit=data.unit,
        direction=stated.direction,
        gap=gap,
        details=details,
        log_prob=log_prob,
        events=subset.chosen,
    )


def _figure(mean: Mean, n: int, stated: Stated, data: DataSet) -> Figure:
    """The mean over events, measured on ``n`` of them; errors that all events share are added to
    its own.

    Where every event may be off by ``half_width`` nats, so may the mean: the figure is then an
    interval.
    """
    of_a_nat = (data.report(torch.zeros(())) - data.report(torch.ones(()))).item()
    stderr = math.hypot(mean.stderr, of_a_nat * stated.extra_stderr)
    half_width = of_a_nat * stated.half_width
    if half_width:
        return Figure(
            None, stderr, mean.value - half_width, mean.value + half_width, stated.kind, n
        )
    return Figure(mean.value, stderr, kind=stated.kind, n=n)


# ----------------------------------------------------------------------------- ways to a likelihood


def _method(model: object, ais: bool, ode: bool) -> Callable[..., Stated]:
    """How a model gets its likelihood: by itself, or where it is asked for and fits, by annealing
    or by an ODE.
    """
    if ode and (hasattr(model, "denoiser") or hasattr(model, "velocity")):
        return _follow_flow
    if ais and hasattr(model, "energy"):
        return _anneal_energy
    if ais and hasattr(getattr(model, "prior", None), "energy"):
        return _anneal_prior
    states_none = getattr(model, "likelihood", None) == Likelihood.NONE and hasattr(model, "decode")
    return _anneal_decoder if ais and (states_none or hasattr(model, "log_prior")) else _ask


def _ask(
    model: HasLikelihood,
    data: DataSet,
    events: Split,
    *,
    k: int,
    batch: int,
    progress: Report | None,
    **_: Any,
) -> Stated:
    """The model's own best statement about each event."""
    if model.likelihood == Likelihood.NONE:
        raise NotImplementedError(
            f"{type(model).__name__} states no likelihood: it has samples, but no log p(x)."
        )
    parts = []
    for rows in torch.arange(len(events)).split(batch):
        parts.append(model.bound(*_given(model, Split(*events[rows.to(events.x.device)])), k).cpu())
        if progress is not None:
            progress(int(rows[-1]) + 1, len(events), "evaluating")
    half_width = getattr(model, "half_width", 0.0)
    direction = BETWEEN if half_width else DIRECTION[model.likelihood]
    return Stated(
        torch.cat(parts), model.likelihood, direction, half_width=half_width, details={"k": k}
    )


def _anneal_energy(
    model: Any,
    data: DataSet,
    events: Split,
    *,
    k: int,
    levels: int,
    chains: int,
    progress: Report | None,
    **_: Any,
) -> Stated:
    from genzoo.evaluation.likelihood.partition import anneal_energy

    with torch.inference_mode(False), torch.no_grad():
        x, c = _given(model, events)
        return anneal_energy(
            model, data, x, c, k=k, levels=levels, chains=chains or 64, progress=progress
        )


def _anneal_prior(
    model: Any,
    data: DataSet,
    events: Split,
    *,
    k: int,
    levels: int,
    chains: int,
    batch: int,
    progress: Report | None,
    **_: Any,
) -> Stated:
    from genzoo.evaluation.likelihood.partition import anneal_prior

    with torch.inference_mode(False), torch.no_grad():
        settings = {"k": k, "levels": levels, "chains": chains or 64, "batch": batch}
        return anneal_prior(model, data, *_given(model, events), progress=progress, **settings)


def _anneal_decoder(
    model: Any,
    data: DataSet,
    events: Split,
    *,
    levels: int,
    chains: int,
    most_levels: int,
    progress: Report | None,
    **_: Any,
) -> Stated:
    from genzoo.evaluation.likelihood.decoder import anneal_decoder

    with torch.inference_mode(False), torch.no_grad():
        return anneal_decoder(
            model,
            data,
            *_given(model, events),
            levels=levels,
            chains=chains or 8,
            most_levels=most_levels,
            progress=progress,
        )


def _follow_flow(
    model: Any,
    data: DataSet,
    events: Split,
    *,
    k: int,
    batch: int,
    tolerance: float,
    progress: Report | None,
    **_: Any,
) -> Stated:
    from genzoo.evaluation.likelihood.ode import follow_flow

    return follow_flow(
        model, *_given(model, events), draws=k, batch=batch, tolerance=tolerance, progress=progress
    )


def _given(model: object, events: Split) -> tuple[Tensor, Tensor | None]:
    """Events and conditions where the model is, free of inference mode; an unconditional model is
    given none.
    """
    with torch.inference_mode(False):
        x, c = Split(events.x.clone(), None if events.c is None else events.c.clone()).to(
            device_of(model)
        )[:]
    return x, c if getattr(model, "condition", 0) else None
