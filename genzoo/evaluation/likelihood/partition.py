r"""The normaliser of an energy model, between two ends, and the likelihood that it gives.

.. math::

    \log p(x \mid c) = -E(x, c) - \log Z(c), \qquad Z(c) = \int e^{-E(x, c)} dx

Where the model's log Z is a sum that can be carried out, it is, and the likelihood is exact.
Otherwise it comes from annealed importance sampling (`genzoo.evaluation.likelihood.annealing`) and
is an *interval*, each end widened by two errors:

* the lower end is a forward run from the base, which under-estimates log Z and so *flatters* the
  model. Few long chains can all miss a mode that many short ones find, so there are both, and the
  larger log Z counts. The short ones start from a wider base;
* the upper end is a reverse run. It would over-estimate log Z if it started from exact draws.
  Long-run chains stand in, of two kinds, and again the larger log Z counts: those that go on from
  the ends of the forward runs, drawn by their weights, and those that go on from training's, which
  may know a mode that no forward run has found.

The error is the larger of the delta method's and the spread of four independent blocks of chains.
There is no figure (`Interval.doubt`) where an end rests on fewer than ten effective chains, where
the ends contradict each other, or where they are too far apart to be called a figure. What remains
uncounted is a mode that no chain has met; it would flatter.

Chains of discrete data walk the path of the model itself (`genzoo.Energy.path`). Those of
real-valued data start from a Gaussian fitted to data and chains, and run in the coordinates u in
which it is standard, x = m + L u: narrow and wide directions then ask for the same step, and the
volume, the log-determinant of L, enters log Z once.

References: Salakhutdinov & Murray 2008, *On the quantitative analysis of deep belief networks*;
Burda et al. 2015, *Accurate and conservative estimates of MRF log-likelihood using reverse
annealing*; Pang et al. 2020, *Learning latent space energy-based prior model*.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.distributions import standard_normal
from genzoo.evaluation.batches import BATCH, batched, on_device_of
from genzoo.evaluation.likelihood.annealing import (
    SCHEDULES,
    Annealed,
    Estimate,
    Geometric,
    follow,
    in_blocks,
    share,
    walk,
)
from genzoo.evaluation.likelihood.estimate import LogProbEstimate, LogZ
from genzoo.families.baselines import Gaussian
from genzoo.families.energy import SOFTENED, distinct
from genzoo.model import Likelihood, Measurable, Unnormalised
from genzoo.progress import Progress

MOST_CONDITIONS = 100  # normalisers that are annealed for one figure
LEAST_ESS = 10  # effective chains behind either end
WIDEST_BITS = 0.02  # bits/dim between the ends of a figure of discrete data
WIDEST_NATS = 0.1  # nats between those of real-valued data
SHORT_LEVELS, SHORT_CHAINS = (
    300,
    2000,
)  # at most, of the run that looks for what few long chains miss
WIDER = 3.0  # standard deviations of its base, in those of the long run's


@dataclass(frozen=True)
class Interval:
    """log Z of each of n problems between two ends, in nats, and the four annealings behind it."""

    forward: Estimate
    short: Estimate
    reverse: Estimate
    onward: Estimate

    @property
    def below(self) -> Estimate:
        """Of the two forward runs the one whose log Z is surely larger, problem by problem."""
        long, short = self.forward, self.short
        longer = long.value - 2 * long.stderr >= short.value - 2 * short.stderr
        return pick(longer, long, short)

    @property
    def above(self) -> Estimate:
        """Of the two reverse runs the one that counts: whose log Z may be larger."""
        ends, chains = self.reverse, self.onward
        larger = ends.value + 2 * ends.stderr >= chains.value + 2 * chains.stderr
        return pick(larger, ends, chains)

    @property
    def lower(self) -> Tensor:
        """``(n,)``, widened by two errors."""
        return self.below.value - 2 * self.below.stderr

    @property
    def upper(self) -> Tensor:
        """``(n,)``, widened by two errors, and not below the lower end.

        That a forward run lies above by its noise alone widens nothing; if by more, the ends
        contradict each other.
        """
        return torch.maximum(self.above.value + 2 * self.above.stderr, self.lower)

    @property
    def middle(self) -> Tensor:
        return (self.lower + self.upper) / 2

    @property
    def half_width(self) -> Tensor:
        return (self.upper - self.lower) / 2

    @property
    def ess(self) -> Tensor:
        """Effective chains behind the worse end, ``(n,)``."""
        return torch.minimum(self.below.ess, self.above.ess)

    @property
    def log_z(self) -> LogZ:
        """The interval of a single problem."""
        return LogZ(self.lower.item(), self.upper.item(), self.ess.min().item())

    @property
    def contradicted(self) -> Tensor:
        """Where a forward run, which errs below, lies above both reverse runs, ``(n,)``.

        It does so by two errors of its own.
        """
        return self.lower > self.above.value + 2 * self.above.stderr

    def doubt(self, widest: float, weights: Tensor | None = None) -> str:
        """Why this is no figure, or nothing.

        Args:
            widest: nats between the ends of the mean over problems.
            weights: of that mean, ``(n,)``, summing to 1; all alike by default.
        """
        if not (self.lower.isfinite() & self.upper.isfinite()).all():
            return "log Z is not finite"
        ess = self.ess.min().item()
        if ess < LEAST_ESS:
            return (
                f"the annealing of log Z rests on {ess:.1f} effective chains, fewer than "
                f"{LEAST_ESS}"
            )
        if self.contradicted.any():
            gap = (self.below.value - self.above.value).max().item()
            return f"the annealings of log Z contradict each other by {gap:.2f} nats"
        width = 2 * self.mean(self.half_width, weights)
        if width > widest:
            return f"log Z is known to {width:.2f} nats only, more than {widest:.2f}"
        return ""

    @staticmethod
    def mean(values: Tensor, weights: Tensor | None = None) -> float:
        return (values.mean() if weights is None else (weights.to(values) * values).sum()).item()

    def details(self, weights: Tensor | None = None) -> dict[str, Any]:
        """Plain values for JSON: means over problems, and the fewest effective chains.

        The ends are widened by their errors.
        """

        def plain(run: Estimate) -> dict[str, float]:
            return {
                "value": self.mean(run.value, weights),
                "stderr": self.mean(run.stderr, weights),
                "ess": run.ess.min().item(),
            }

        return {
            "lower": self.mean(self.lower, weights),
            "upper": self.mean(self.upper, weights),
            "stderr": self.mean(torch.maximum(self.below.stderr, self.above.stderr), weights),
            "ess": self.ess.min().item(),
            "forward": plain(self.forward),
            "short": plain(self.short),
            "reverse": plain(self.reverse),
            "onward": plain(self.onward),
        }


# ----------------------------------------------------------------------------------- the normaliser


def pick(which: Tensor, a: Estimate, b: Estimate) -> Estimate:
    """``a`` of the problems for which ``which`` holds, ``b`` of the others."""
    return Estimate(*(torch.where(which, one, other) for one, other in zip(a, b, strict=True)))


def log_partition(
    model: Unnormalised,
    data: Tensor,
    c: Tensor | None = None,
    *,
    chains: int = 64,
    scouts: int | None = None,
    moves: int | None = None,
    levels: int = 1000,
    progress: Progress | None = None,
    **settings: Any,
) -> Interval:
    """log Z(c) of an energy model, n problems with an interval each.

    Args:
        data: events ``(m, *event_shape)`` that the base of real-valued data is fitted to.
        c: conditions, one for each normaliser, ``(n,)`` or ``(n, width)``; None is one, without
            condition.
        chains: of each normaliser, in the long runs.
        scouts: further ones that set the steps, where there are steps; a quarter as many by
            default.
        moves: from the chains' start to that of the reverse run; as many as ``levels`` by default.
        levels: temperatures of the long runs. The short ones have a quarter, at most 300, and as
            many chains as make the same work, at most 2,000.
        progress: told as the annealings go.
        settings: of `genzoo.evaluation.likelihood.annealing.Geometric`, for real-valued data.
    """
    with torch.inference_mode(False), torch.no_grad():
        c = None if c is None else c.clone()
        road: Road = (
            Lattice(model, c) if model.levels else Space(model, data.clone(), c, **settings)
        )
        scouts = (max(2, chains // 4) if scouts is None else scouts) if road.has_steps else 0
        betas = SCHEDULES["sigmoid"](levels)
        each = chains + scouts
        forward = road.forward(each, betas, scouts, share(progress, 0, 6))
        few = min(SHORT_LEVELS, max(1, levels // 4))
        many = min(SHORT_CHAINS, max(chains, chains * levels // few))
        short_betas = SCHEDULES["sigmoid"](few)
        short = road.forward(many + scouts, short_betas, scouts, share(progress, 1, 6), wide=True)
        backward = []
        for i, start in enumerate((resampled([forward, short], each), road.chains(each))):
            part = 2 + 2 * i
            settled = road.settle(start, moves or levels, share(progress, part, 6))
            run = road.reverse(settled, betas[::-1], scouts, share(progress, part + 1, 6))
            backward.append(run)
    up = [in_blocks(run.log_weights) for run in (forward, short)]
    down = [in_blocks(run.log_weights) for run in backward]
    return Interval(*up, *(each._replace(value=-each.value) for each in down))


def resampled(runs: list[Annealed], n: int) -> Tensor:
    """Ends of all weighed chains, drawn by their weights: nearly draws of the target.

    Shape ``(n * problems, ...)``.
    """
    problems = runs[0].log_weights.shape[1]
    ends = [run.x.view(-1, problems, *run.x.shape[1:])[-len(run.log_weights) :] for run in runs]
    log_weights = torch.cat([run.log_weights - math.log(len(run.log_weights)) for run in runs])
    weights = (log_weights - log_weights.amax(0)).exp().nan_to_num(nan=1.0)
    drawn = torch.multinomial(weights.T, n, replacement=True).T
    return torch.cat(ends)[drawn, torch.arange(problems, device=drawn.device)].flatten(0, 1)


class Road(Protocol):
    """A path between base and target for n problems, with where it starts at either end."""

    has_steps: bool

    def forward(
        self,
        each: int,
        betas: list[float],
        scouts: int,
        progress: Progress | None,
        wide: bool = False,
    ) -> Annealed: ...

    def chains(self, each: int) -> Tensor: ...

    def settle(self, start: Tensor, moves: int, progress: Progress | None) -> Tensor: ...

    def reverse(
        self, start: Tensor, betas: list[float], scouts: int, progress: Progress | None
    ) -> Annealed: ...


class Lattice:
    """Discrete data: the model's own path, from independent features."""

    def __init__(self, model: Any, c: Tensor | None):
        self.model = model
        self.c = c
        self.problems = 1 if c is None else len(c)
        self.has_steps = self.path(1).wanted < 1
        self.step = model.subset.item()

    def path(self, each: int, soften: float = 0.0) -> Any:
        return self.model.path(each * self.problems, repeated(self.c, each), soften=soften)

    def along(
        self, path: Any, start: Tensor, betas: list[float], scouts: int, progress: Progress | None
    ) -> Annealed:
        """The weights count from the base, whose Z the path knows."""
        settings = {"problems": self.problems, "scouts": scouts, "step": self.step}
        run = follow(path, start, betas, progress=progress, **settings)
        log_z0 = path.log_z0[: self.problems].to(run.log_weights)
        from_base = betas[0] == 0
        log_weights = run.log_weights + log_z0 if from_base else run.log_weights - log_z0
        return run._replace(log_weights=log_weights)

    def forward(
        self,
        each: int,
        betas: list[float],
        scouts: int,
        progress: Progress | None,
        wide: bool = False,
    ) -> Annealed:
        path = self.path(each, SOFTENED if wide else 0.0)
        start = path.draw(each * self.problems)
        return self.along(path, start, betas, scouts, progress)

    def chains(self, each: int) -> Tensor:
        return self.model.nearest_chains(each * self.problems, repeated(self.c, each))[0]

    def settle(self, start: Tensor, moves: int, progress: Progress | None) -> Tensor:
        each = len(start) // self.problems
        at_target = [1.0] * (moves + 1)
        run = self.along(self.path(each), start, at_target, each, progress)
        return run.x

    def reverse(
        self, start: Tensor, betas: list[float], scouts: int, progress: Progress | None
    ) -> Annealed:
        return self.along(self.path(len(start) // self.problems), start, betas, scouts, progress)


class Space:
    """Real-valued data: from a Gaussian fitted to data and chains.

    Chains walk in the coordinates in which that is standard.
    """

    has_steps = True

    def __init__(self, model: Unnormalised, data: Tensor, c: Tensor | None, **settings: Any):
        self.model = model
        self.c = c
        self.problems = 1 if c is None else len(c)
        self.settings = settings
        self.event_shape = data.shape[1:]
        given = None if c is None else c[torch.arange(len(data)) % len(c)]
        chains, _ = model.nearest_chains(len(data), given)
        fitted = Gaussian().fit(torch.cat([data.to(chains), chains])).normal
        self.mean = fitted.loc.to(chains)
        self.root = fitted.scale_tril.to(chains)
        self.log_volume = fitted.scale_tril.diagonal().log().sum().item()

    def target(self, each: int) -> Any:
        """log f(x(u)) with the volume of the change from x to u; ``each`` chains a problem."""
        given = repeated(self.c, each)

        def log_target(u: Tensor) -> Tensor:
            x = (self.mean + u @ self.root.T).view(-1, *self.event_shape)
            return self.log_volume - self.model.energy(x, given).double()

        return log_target

    def forward(
        self,
        each: int,
        betas: list[float],
        scouts: int,
        progress: Progress | None,
        wide: bool = False,
    ) -> Annealed:
        by = WIDER if wide else 1.0
        rows = each * self.problems
        dims = len(self.mean)

        def log_base(u: Tensor) -> Tensor:
            return standard_normal(u / by) - dims * math.log(by)

        start = by * torch.randn(rows, dims).to(self.mean)
        path = Geometric(log_base, self.target(each), **self.settings)
        return follow(path, start, betas, problems=self.problems, scouts=scouts, progress=progress)

    def chains(self, each: int) -> Tensor:
        x, _ = self.model.nearest_chains(each * self.problems, repeated(self.c, each))
        centred = x.flatten(1) - self.mean
        return torch.linalg.solve_triangular(self.root, centred.T, upper=False).T

    def settle(self, start: Tensor, moves: int, progress: Progress | None) -> Tensor:
        """Walk on from ``start``, first at a pace of its own for each chain.

        With one pace for all, a chain that starts far off would be limited by the steps of the
        others.
        """
        log_target = self.target(len(start) // self.problems)
        half = moves // 2
        alone = walk(
            log_target,
            start,
            half,
            problems=len(start),
            progress=share(progress, 0, 2),
            **self.settings,
        )
        return walk(
            log_target,
            alone,
            moves - half,
            problems=self.problems,
            progress=share(progress, 1, 2),
            **self.settings,
        )

    def reverse(
        self, start: Tensor, betas: list[float], scouts: int, progress: Progress | None
    ) -> Annealed:
        path = Geometric(standard_normal, self.target(len(start) // self.problems), **self.settings)
        return follow(path, start, betas, problems=self.problems, scouts=scouts, progress=progress)


def repeated(c: Tensor | None, each: int) -> Tensor | None:
    """Conditions of ``each`` chains of every problem: row r belongs to problem ``r % n``."""
    return None if c is None else c.repeat(each, *[1] * (c.dim() - 1))


# ----------------------------------------------------------------------------------- the likelihood


def widest(data: DataSet) -> float:
    """Nats between the ends of a figure that may still be called one."""
    return WIDEST_BITS * data.dims * math.log(2) if data.levels else WIDEST_NATS


def between(interval: Interval, weights: Tensor | None = None) -> str:
    """The direction in which a figure under an interval errs, in words."""
    lower, upper = (Interval.mean(end, weights) for end in (interval.lower, interval.upper))
    return (
        f"log Z lies between {lower:.2f} and {upper:.2f}; not counted: a mode that no chain has "
        "met, which would flatter"
    )


def energy_log_likelihood(model: Any, x: Tensor, log_z: Tensor, c: Tensor | None = None) -> Tensor:
    """-E(x, c) - log Z(c), ``(n,)`` nats, given log Z of each event or of all.

    With levels it is of a pmf over the volume of a bin.
    """
    log_width = x[0].numel() * math.log(grid.bin_width(model.levels))
    return -model.energy(x, c).double() - log_z - log_width


def anneal_energy(
    model: Any,
    data: DataSet,
    events: Split,
    *,
    k: int,
    levels: int,
    chains: int,
    progress: Progress | None = None,
) -> LogProbEstimate:
    """log p(x | c) of events under an energy model, in an interval; one normaliser per condition.

    Args:
        model: an energy model.
        data: whose training events the base of real-valued chains is fitted to.
        events: those to be measured.
        k: draws that were asked for; there is nothing to draw.
        levels: temperatures.
        chains: of each normaliser.
        progress: told as the annealings go.

    Raises:
        NotImplementedError: there are too many conditions.
    """
    x, c = on_device_of(model, events)
    conditions, which = distinct(c, len(x))
    if conditions is not None and len(conditions) > MOST_CONDITIONS:
        raise NotImplementedError(
            "Every condition has a normaliser of its own, and "
            f"{len(conditions)} are too many to anneal."
        )
    found = log_partition(
        model, data.train.x.to(x), conditions, chains=chains, levels=levels, progress=progress
    )
    log_z = found.middle.cpu()[which.cpu()]
    log_prob = batched(
        lambda x, c, log_z: energy_log_likelihood(model, x, log_z, c), x, c, log_z, device=x.device
    )
    weights = torch.bincount(which.cpu(), minlength=len(found.middle)).to(found.middle) / len(x)
    doubt = found.doubt(widest(data), weights)
    return LogProbEstimate(
        log_prob,
        Likelihood.NONE if doubt else Likelihood.ESTIMATE,
        between(found, weights),
        half_width=Interval.mean(found.half_width, weights),
        reason=doubt,
        log_z=None if model.condition else found.log_z,
        details={
            "k": k,
            "ais_levels": levels,
            "ais_chains": chains,
            "normalisers": len(found.middle),
            "log_z": found.details(weights),
        },
    )


def anneal_prior(
    model: Any,
    data: DataSet,
    events: Split,
    *,
    k: int,
    levels: int,
    chains: int,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> LogProbEstimate:
    """A VAE whose prior is an energy model: its bound under the prior's annealed log Z.

    Args:
        model: the VAE, which stays as it was; `keep_log_z` stores what was found.
        data: whose encoded training events the base of real-valued chains is fitted to.
        events: those to be measured.
        k: draws of z for the bound of each.
        levels: temperatures.
        chains: of the normaliser.
        batch: events at a time.
        progress: told as the annealings go.

    Raises:
        NotImplementedError: the prior has conditions.
    """
    if model.prior.condition:
        raise NotImplementedError(
            "A prior with conditions has a normaliser for each; those are not annealed."
        )
    x, c = on_device_of(model, events)
    z = model.q(*on_device_of(model, data.train)).sample()
    found = log_partition(model.prior, z, chains=chains, levels=levels, progress=progress)
    twin = copy.deepcopy(model)
    keep_log_z(twin, found.log_z)
    log_prob = batched(lambda x, c: twin.bound(x, c, k), x, c, device=x.device, size=batch)
    doubt = found.doubt(widest(data))
    return LogProbEstimate(
        log_prob,
        Likelihood.NONE if doubt else model.likelihood,
        f"the VAE's bound does not flatter; the prior's {between(found)}",
        half_width=found.half_width.item(),
        reason=doubt,
        log_z=found.log_z,
        details={"k": k, "ais_levels": levels, "ais_chains": chains, "log_z": found.details()},
    )


def keep_log_z(model: Measurable, log_z: LogZ | None) -> None:
    """Store an annealed log Z with the energy model, or the VAE's prior, that it belongs to.

    Args:
        model: of whose likelihood ``log_z`` is a part (`genzoo.evaluation.Measured.log_z`).
        log_z: what was found; None, such as of a model with a normaliser for each condition, leaves
            all as it is.
    """
    if log_z is not None and model.unnormalised is not None:
        model.unnormalised.set_log_z(*log_z)
