r"""The normaliser of an energy model, as an interval, and the likelihood that it gives.

.. math::

    \log p(x \mid c) = -E(x, c) - \log Z(c), \qquad Z(c) = \int e^{-E(x, c)} dx

Where the model's log Z is a sum of feasible size, it is computed, and the likelihood is exact.
Otherwise log Z comes from annealed importance sampling
(`genzoo.evaluation.likelihood.annealing`) and is an *interval*, each end widened by two standard
errors:

* the lower end is a forward run from the base, which under-estimates log Z and so *flatters* the
  model. Few long chains can all miss a mode that many short ones find, so both are run, and the
  larger log Z counts. The short ones start from a wider base;
* the upper end is a reverse run. It would over-estimate log Z if it started from exact samples.
  Long-run chains of two kinds stand in, and again the larger log Z counts: those that continue from
  the ends of the forward runs, resampled by their weights, and those that continue from the chains
  of training, which may be in a mode that no forward run has found.

The error is the larger of the delta method's and the spread of four independent blocks of chains.
There is no figure (`Interval.doubt`) where an end rests on fewer than ten effective chains, where
the ends contradict each other, or where they are too far apart. A mode that no chain has visited
remains uncounted; it would flatter.

Chains of discrete data follow the path of the model itself (`genzoo.Energy.path`). Those of
real-valued data start from a Gaussian fitted to data and chains, and run in the coordinates u in
which it is standard, x = m + L u: narrow and wide directions then need the same step size, and the
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
WIDEST_EVENT = 1.0  # nats between those of discrete data that is reported in nats
WIDEST_NATS = 0.1  # nats between those of real-valued data
# the most of the forward run that looks for modes which few long chains miss
SHORT_LEVELS = 300
SHORT_CHAINS = 2000
WIDER = 3.0  # its base is so many times as wide as that of the long run


@dataclass(frozen=True)
class Interval:
    """log Z of each of n problems between two ends, in nats, and the four annealings behind it.

    Args:
        forward: from the base, few long chains.
        short: from a wider base, many short chains.
        reverse: from the target, where chains continue from the ends of the forward runs.
        onward: from the target, where chains continue from those of training.
    """

    forward: Estimate
    short: Estimate
    reverse: Estimate
    onward: Estimate

    @property
    def below(self) -> Estimate:
        """The forward run that counts: whose log Z is larger even after two errors."""
        long = self.forward
        short = self.short
        longer = long.value - 2 * long.stderr >= short.value - 2 * short.stderr
        return pick(longer, long, short)

    @property
    def above(self) -> Estimate:
        """The reverse run that counts: whose log Z may be larger within two errors."""
        ends = self.reverse
        chains = self.onward
        larger = ends.value + 2 * ends.stderr >= chains.value + 2 * chains.stderr
        return pick(larger, ends, chains)

    @property
    def lower(self) -> Tensor:
        """Lower end, ``(n,)``, widened by two errors."""
        return self.below.value - 2 * self.below.stderr

    @property
    def upper(self) -> Tensor:
        """Upper end, ``(n,)``, widened by two errors, and not below the lower end.

        A forward run may lie above it by its noise alone, which widens nothing; if by more, the
        ends contradict each other.
        """
        widened = self.above.value + 2 * self.above.stderr
        return torch.maximum(widened, self.lower)

    @property
    def middle(self) -> Tensor:
        """Mean of both ends, ``(n,)``."""
        return (self.lower + self.upper) / 2

    @property
    def half_width(self) -> Tensor:
        """Distance from the middle to either end, ``(n,)``."""
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
        """True where a forward run, which errs below, lies above both reverse runs, ``(n,)``.

        It has to by two errors of either.
        """
        return self.lower > self.above.value + 2 * self.above.stderr

    def doubt(self, widest: float, weights: Tensor | None = None) -> str:
        """The reason why the interval is not a figure, or an empty string.

        Args:
            widest: nats between the ends of the mean over problems.
            weights: of that mean, ``(n,)``, summing to 1; equal ones by default.
        """
        finite = self.lower.isfinite() & self.upper.isfinite()
        if not finite.all():
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
        """Mean over problems ``(n,)``, weighted if there are weights."""
        if weights is None:
            return values.mean().item()
        weighted = weights.to(values) * values
        return weighted.sum().item()

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

        stderr = torch.maximum(self.below.stderr, self.above.stderr)
        return {
            "lower": self.mean(self.lower, weights),
            "upper": self.mean(self.upper, weights),
            "stderr": self.mean(stderr, weights),
            "ess": self.ess.min().item(),
            "forward": plain(self.forward),
            "short": plain(self.short),
            "reverse": plain(self.reverse),
            "onward": plain(self.onward),
        }


# ----------------------------------------------------------------------------------- the normaliser


def pick(which: Tensor, a: Estimate, b: Estimate) -> Estimate:
    """The estimates of one of two runs, chosen problem by problem.

    Args:
        which: problems that take ``a``, ``(n,)`` booleans.
        a: estimates of one run, ``(n,)`` each.
        b: those of the other.
    """
    return Estimate(
        value=torch.where(which, a.value, b.value),
        stderr=torch.where(which, a.stderr, b.stderr),
        ess=torch.where(which, a.ess, b.ess),
    )


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
        model: the energy model.
        data: events ``(m, *event_shape)`` that the base of real-valued data is fitted to.
        c: conditions, one for each normaliser, ``(n,)`` or ``(n, width)``; None: one normaliser,
            without a condition.
        chains: number of chains of each normaliser, in the long runs.
        scouts: further chains that set the step size, where there is one; a quarter as many by
            default.
        moves: number of moves before a reverse run starts; as many as ``levels`` by default.
        levels: temperatures of the long runs. The short ones have a quarter, at most 300, and as
            many chains as make the same work, at most 2,000.
        progress: as of `genzoo.evaluation.likelihood.annealing.follow`, over all annealings.
        settings: of `genzoo.evaluation.likelihood.annealing.Geometric`, for real-valued data.
    """
    with torch.inference_mode(False), torch.no_grad():
        c = None if c is None else c.clone()
        road: Road
        road = Lattice(model, c) if model.levels else Space(model, data.clone(), c, **settings)
        if not road.has_steps:
            scouts = 0
        elif scouts is None:
            scouts = max(2, chains // 4)
        each = chains + scouts

        # from the base: few long chains, and many short ones
        betas = SCHEDULES["sigmoid"](levels)
        forward = road.forward(each, betas, scouts, share(progress, 0, 6))
        few = min(SHORT_LEVELS, max(1, levels // 4))
        many = min(SHORT_CHAINS, max(chains, chains * levels // few))
        short_betas = SCHEDULES["sigmoid"](few)
        short = road.forward(many + scouts, short_betas, scouts, share(progress, 1, 6), wide=True)

        # from the target: chains that continue from those, and from the chains of training
        starts = (resampled([forward, short], each), road.chains(each))
        estimates = []
        for i, start in enumerate(starts):
            part = 2 + 2 * i
            settled = road.settle(start, moves or levels, share(progress, part, 6))
            run = road.reverse(settled, betas[::-1], scouts, share(progress, part + 1, 6))
            of_inverse = in_blocks(run.log_weights)  # log 1/Z
            estimates.append(of_inverse._replace(value=-of_inverse.value))
    reverse, onward = estimates
    return Interval(
        forward=in_blocks(forward.log_weights),
        short=in_blocks(short.log_weights),
        reverse=reverse,
        onward=onward,
    )


def resampled(runs: list[Annealed], n: int) -> Tensor:
    """Ends of all weighed chains, resampled by their weights: nearly samples of the target.

    Shape ``(n * problems, ...)``.
    """
    problems = runs[0].log_weights.shape[1]
    ends = []
    log_weights = []
    for run in runs:
        weighed = len(run.log_weights)  # chains of each problem; scouts come before them
        x = run.x.view(-1, problems, *run.x.shape[1:])
        ends.append(x[-weighed:])
        log_weights.append(run.log_weights - math.log(weighed))
    log_weights = torch.cat(log_weights)
    weights = (log_weights - log_weights.amax(0)).exp().nan_to_num(nan=1.0)
    chains = torch.multinomial(weights.T, n, replacement=True).T
    columns = torch.arange(problems, device=chains.device)
    return torch.cat(ends)[chains, columns].flatten(0, 1)


class Road(Protocol):
    """A path between base and target for n problems, with its starting points at either end."""

    has_steps: bool

    def forward(
        self,
        each: int,
        betas: list[float],
        scouts: int,
        progress: Progress | None,
        wide: bool = False,
    ) -> Annealed:
        """Anneal chains from the base to the target; their weights estimate Z.

        Args:
            each: number of chains of each problem, scouts included.
            betas: temperatures, from 0 to 1.
            scouts: chains of each problem that set the step size.
            progress: as of `genzoo.evaluation.likelihood.annealing.follow`.
            wide: start from a wider base.
        """
        ...

    def chains(self, each: int) -> Tensor:
        """Positions of ``each`` chains of training for every problem."""
        ...

    def settle(self, start: Tensor, moves: int, progress: Progress | None) -> Tensor:
        """Move chains at the target.

        Args:
            start: their positions.
            moves: number of moves.
            progress: as of `forward`.

        Returns:
            the last positions, of ``start``'s shape.
        """
        ...

    def reverse(
        self, start: Tensor, betas: list[float], scouts: int, progress: Progress | None
    ) -> Annealed:
        """Anneal chains from the target to the base; their weights estimate 1/Z.

        Args:
            start: positions at the target, scouts of each problem first.
            betas: temperatures, from 1 to 0.
            scouts: as of `forward`.
            progress: as of `forward`.
        """
        ...


class Lattice:
    """The `Road` of discrete data: the model's own path, from independent features.

    Args:
        model: the energy model.
        c: a condition for each problem, as of `log_partition`.
    """

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
        """Follow a path, and count its weights from a base whose Z is 1.

        Args:
            path: of the model, whose base has a known normaliser ``log_z0``.
            start: positions of the chains.
            betas: temperatures, from either end.
            scouts: chains of each problem that set the step size.
            progress: as of `follow`.
        """
        run = follow(
            path,
            start,
            betas,
            problems=self.problems,
            scouts=scouts,
            step=self.step,
            progress=progress,
        )
        log_z0 = path.log_z0[: self.problems].to(run.log_weights)
        if betas[0] != 0:
            log_z0 = -log_z0
        return run._replace(log_weights=run.log_weights + log_z0)

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
        x, _ = self.model.nearest_chains(each * self.problems, repeated(self.c, each))
        return x

    def settle(self, start: Tensor, moves: int, progress: Progress | None) -> Tensor:
        each = len(start) // self.problems
        at_target = [1.0] * (moves + 1)
        run = self.along(self.path(each), start, at_target, each, progress)
        return run.x

    def reverse(
        self, start: Tensor, betas: list[float], scouts: int, progress: Progress | None
    ) -> Annealed:
        path = self.path(len(start) // self.problems)
        return self.along(path, start, betas, scouts, progress)


class Space:
    """The `Road` of real-valued data: from a Gaussian fitted to data and chains.

    Chains move in the coordinates in which that is standard.

    Args:
        model: the energy model.
        data: as of `log_partition`.
        c: likewise.
        settings: of `genzoo.evaluation.likelihood.annealing.Geometric`.
    """

    has_steps = True

    def __init__(self, model: Unnormalised, data: Tensor, c: Tensor | None, **settings: Any):
        self.model = model
        self.c = c
        self.problems = 1 if c is None else len(c)
        self.settings = settings
        self.event_shape = data.shape[1:]
        conditions = None if c is None else c[torch.arange(len(data)) % len(c)]
        chains, _ = model.nearest_chains(len(data), conditions)
        fitted = Gaussian().fit(torch.cat([data.to(chains), chains])).normal
        self.mean = fitted.loc.to(chains)
        self.root = fitted.scale_tril.to(chains)
        self.log_volume = fitted.scale_tril.diagonal().log().sum().item()

    def target(self, each: int) -> Any:
        """log f(x(u)) with the volume of the change from x to u, for ``each`` chains a problem."""
        conditions = repeated(self.c, each)

        def log_target(u: Tensor) -> Tensor:
            x = (self.mean + u @ self.root.T).view(-1, *self.event_shape)
            return self.log_volume - self.model.energy(x, conditions).double()

        return log_target

    def forward(
        self,
        each: int,
        betas: list[float],
        scouts: int,
        progress: Progress | None,
        wide: bool = False,
    ) -> Annealed:
        std = WIDER if wide else 1.0
        rows = each * self.problems
        dims = len(self.mean)

        def log_base(u: Tensor) -> Tensor:
            return standard_normal(u / std) - dims * math.log(std)

        start = std * torch.randn(rows, dims).to(self.mean)
        path = Geometric(log_base, self.target(each), **self.settings)
        return follow(path, start, betas, problems=self.problems, scouts=scouts, progress=progress)

    def chains(self, each: int) -> Tensor:
        x, _ = self.model.nearest_chains(each * self.problems, repeated(self.c, each))
        centred = x.flatten(1) - self.mean
        return torch.linalg.solve_triangular(self.root, centred.T, upper=False).T

    def settle(self, start: Tensor, moves: int, progress: Progress | None) -> Tensor:
        """Move chains at the target, at first with a step size for each.

        With one step size for all, a chain that starts far off would be limited by the steps of
        the others.
        """
        log_target = self.target(len(start) // self.problems)
        half = moves // 2
        near = walk(
            log_target,
            start,
            half,
            problems=len(start),
            progress=share(progress, 0, 2),
            **self.settings,
        )
        return walk(
            log_target,
            near,
            moves - half,
            problems=self.problems,
            progress=share(progress, 1, 2),
            **self.settings,
        )

    def reverse(
        self, start: Tensor, betas: list[float], scouts: int, progress: Progress | None
    ) -> Annealed:
        log_target = self.target(len(start) // self.problems)
        path = Geometric(standard_normal, log_target, **self.settings)
        return follow(path, start, betas, problems=self.problems, scouts=scouts, progress=progress)


def repeated(c: Tensor | None, each: int) -> Tensor | None:
    """Conditions of ``each`` chains of every problem: row r belongs to problem ``r % n``."""
    return None if c is None else c.repeat(each, *[1] * (c.dim() - 1))


# ----------------------------------------------------------------------------------- the likelihood


def widest(data: DataSet) -> float:
    """The largest width, in nats, at which an interval of log Z still gives a figure."""
    if not data.levels:
        return WIDEST_NATS
    if data.in_nats:
        return WIDEST_EVENT
    return WIDEST_BITS * data.dims * math.log(2)


def between(interval: Interval, weights: Tensor | None = None) -> str:
    """The direction in which a figure under an interval errs, in words."""
    lower = Interval.mean(interval.lower, weights)
    upper = Interval.mean(interval.upper, weights)
    return (
        f"log Z lies between {lower:.2f} and {upper:.2f}; not counted: a mode that no chain has "
        "met, which would flatter"
    )


def energy_log_likelihood(model: Any, x: Tensor, log_z: Tensor, c: Tensor | None = None) -> Tensor:
    """-E(x, c) - log Z(c), ``(n,)`` nats.

    Args:
        model: an energy model.
        x: events, ``(n, *event_shape)``. On a grid the density is the pmf over the bin's volume.
        log_z: log Z of each event's condition, ``(n,)``, or of all.
        c: their conditions.
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
        data: the data set; the base of real-valued chains is fitted to its training events.
        events: those to be measured.
        k: number of samples in the settings; not used, for the energy is not random.
        levels: number of temperatures.
        chains: of each normaliser.
        progress: as of `log_partition`.

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
    interval = log_partition(
        model, data.train.x.to(x), conditions, chains=chains, levels=levels, progress=progress
    )
    normalisers = len(interval.middle)
    which = which.cpu()
    log_prob = batched(
        lambda x, c, log_z: energy_log_likelihood(model, x, log_z, c),
        x,
        c,
        interval.middle.cpu()[which],
        device=x.device,
    )
    events_of_each = torch.bincount(which, minlength=normalisers)
    weights = events_of_each.to(interval.middle) / len(x)
    doubt = interval.doubt(widest(data), weights)
    return LogProbEstimate(
        log_prob,
        Likelihood.NONE if doubt else Likelihood.ESTIMATE,
        between(interval, weights),
        half_width=Interval.mean(interval.half_width, weights),
        reason=doubt,
        log_z=None if model.condition else interval.log_z,
        details={
            "k": k,
            "ais_levels": levels,
            "ais_chains": chains,
            "normalisers": normalisers,
            "log_z": interval.details(weights),
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
    """The bound of a VAE whose prior is an energy model, under the prior's annealed log Z.

    Args:
        model: the VAE. It is left as it is; `keep_log_z` stores the log Z.
        data: the data set; the base of real-valued chains is fitted to its encoded training events.
        events: those to be measured.
        k: samples of z for the bound of each event.
        levels: number of temperatures.
        chains: of the normaliser.
        batch: events in a batch.
        progress: as of `log_partition`.

    Raises:
        NotImplementedError: the prior has conditions.
    """
    if model.prior.condition:
        raise NotImplementedError(
            "A prior with conditions has a normaliser for each; those are not annealed."
        )
    x, c = on_device_of(model, events)
    z = model.q(*on_device_of(model, data.train)).sample()
    interval = log_partition(model.prior, z, chains=chains, levels=levels, progress=progress)
    twin = copy.deepcopy(model)
    keep_log_z(twin, interval.log_z)

    def bound(x: Tensor, c: Tensor | None) -> Tensor:
        return twin.bound(x, c, k)

    log_prob = batched(bound, x, c, device=x.device, size=batch)
    doubt = interval.doubt(widest(data))
    return LogProbEstimate(
        log_prob,
        Likelihood.NONE if doubt else model.likelihood,
        f"the VAE's bound does not flatter; the prior's {between(interval)}",
        half_width=interval.half_width.item(),
        reason=doubt,
        log_z=interval.log_z,
        details={"k": k, "ais_levels": levels, "ais_chains": chains, "log_z": interval.details()},
    )


def keep_log_z(model: Measurable, log_z: LogZ | None) -> None:
    """Store an annealed log Z with the energy model, or the VAE's prior, that it belongs to.

    Args:
        model: of whose likelihood ``log_z`` is a part (`genzoo.evaluation.Measured.log_z`).
        log_z: the estimate; None, such as of a model with a normaliser for each condition, changes
            nothing.
    """
    if log_z is not None and model.unnormalised is not None:
        model.unnormalised.set_log_z(*log_z)
