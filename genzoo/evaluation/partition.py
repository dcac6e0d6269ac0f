r"""The normaliser of an energy model, between two bounds, and the likelihood that it gives.

.. math::

    \log p(x \mid c) = -E(x, c) - \log Z(c), \qquad Z(c) = \int e^{-E(x, c)} dx

log Z comes from annealed importance sampling (`genzoo.evaluation.annealing`) out of a Gaussian that is fitted to data and
chains. All of it runs in the coordinates u in which that Gaussian is standard, x = m + L u: narrow and wide directions then
ask for the same step, and the volume, the log-determinant of L, enters log Z once.

The forward run under-estimates log Z, and so it *flatters* the model. The reverse run would over-estimate it if it started
from exact samples; long-run chains stand in for those, which makes the upper end a heuristic. The likelihood reported is the
one under the **larger** log Z, the less flattering, and the other is kept beside it. The energy model may also be a part: the
prior of a VAE (Pang et al. 2020), whose bound it then completes.

References: Salakhutdinov & Murray 2008, *On the quantitative analysis of deep belief networks*; Burda et al. 2015, *Accurate
and conservative estimates of MRF log-likelihood using reverse annealing*; Pang et al. 2020, *Learning latent space energy-based
prior model*.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from genzoo import grid
from genzoo.baselines import Gaussian
from genzoo.data.dataset import DataSet
from genzoo.evaluation.annealing import Bracket, bracket, log_mean_exp, share, standard_normal, walk
from genzoo.evaluation.stated import Stated
from genzoo.model import Likelihood
from genzoo.progress import Report

MOST_CONDITIONS = 100  # normalisers that are annealed for one figure


class HasEnergy(Protocol):
    """What is asked of an energy model: E(x, c), and chains to start long walks from."""

    condition: int
    levels: int

    def energy(self, x: Tensor, c: Tensor | None = None) -> Tensor: ...

    def nearest_chains(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]: ...


def log_partition(model: HasEnergy, data: Tensor, c: Tensor | None = None, *, chains: int = 64, scouts: int = 16,
                  moves: int | None = None, levels: int = 1000, progress: Report | None = None,
                  **settings: Any) -> Bracket:  # fmt: skip
    """log Z(c) of an energy model between a stochastic lower and a (heuristic) upper bound, ``(n,)`` nats.

    Args:
        data: events ``(m, *event_shape)`` that the base is fitted to, with as many chains of the model beside them.
        c: conditions, one for each normaliser wanted, ``(n,)`` or ``(n, width)``; None is one normaliser, without condition.
        chains, scouts: of each condition: weighed chains, and those that set their step.
        moves: Hamiltonian moves from the model's chains to the start of the reverse run; as many as ``levels`` by default.
        levels, progress, settings: of `genzoo.evaluation.annealing.anneal`.
    """
    with torch.inference_mode(False), torch.no_grad():
        n, each = 1 if c is None else len(c), chains + scouts
        given = None if c is None else c.clone().repeat(each, *[1] * (c.dim() - 1))
        samples, _ = model.nearest_chains(each * n, given)
        events = grid.dequantise(data.clone(), model.levels)
        as_many = samples[torch.randint(len(samples), (len(events),))]
        base = Gaussian().fit(torch.cat([events.to(samples), as_many])).normal
        mean, root = base.loc.to(samples), base.scale_tril.to(samples)
        log_volume = base.scale_tril.diagonal().log().sum().item()

        def log_target(u: Tensor) -> Tensor:
            x = (mean + u @ root.T).view(-1, *data.shape[1:])
            return log_volume - model.energy(x, given).double()

        start = torch.linalg.solve_triangular(root, (samples.flatten(1) - mean).T, upper=False).T
        # first at a pace of its own for each chain, or one that starts far off would be held by the steps of the others
        x = walk(
            log_target, start, (moves or levels) // 2, problems=len(start), progress=share(progress, 0, 4), **settings
        )
        x = walk(log_target, x, (moves or levels) // 2, problems=n, progress=share(progress, 1, 4), **settings)
        return bracket(standard_normal, log_target, torch.randn_like(start), x, problems=n, levels=levels, scouts=scouts,
                       progress=share(progress, 1, 2), **settings)  # fmt: skip


def energy_log_likelihood(model: HasEnergy, x: Tensor, log_z: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
    """-E(x, c) - log Z(c), ``(n,)`` nats, given log Z of each event or of all.

    Discrete data is dequantised by k draws, whose log-mean-exp (Burda et al. 2016) is a lower bound of the discrete figure.
    """
    draws = [-model.energy(grid.dequantise(x, model.levels), c).double() for _ in range(k if model.levels else 1)]
    return log_mean_exp(torch.stack(draws)).value - log_z


def anneal_energy(model: Any, data: DataSet, x: Tensor, c: Tensor | None, *, k: int, levels: int, chains: int,
                  progress: Report | None = None) -> Stated:  # fmt: skip
    """log p(x | c) of events under an energy model, with the bracket of log Z in the details; one normaliser per condition."""
    conditions, which = (
        (None, torch.zeros(len(x), dtype=torch.long)) if c is None else c.unique(dim=0, return_inverse=True)
    )
    if conditions is not None and len(conditions) > MOST_CONDITIONS:
        raise NotImplementedError(
            f"Every condition has a normaliser of its own, and {len(conditions)} are too many to anneal."
        )
    found = log_partition(model, data.train.x.to(x), conditions, chains=chains, scouts=max(2, chains // 4), levels=levels,
                          progress=progress)  # fmt: skip
    less_flattering = torch.maximum(found.lower, found.upper)
    share = torch.bincount(which.cpu(), minlength=len(found.lower)).to(found.lower) / len(x)
    parts = zip(x.split(250), which.split(250), [None] * len(x) if c is None else c.split(250), strict=False)
    log_p = [energy_log_likelihood(model, rows, less_flattering[z], given, k) for rows, z, given in parts]
    return Stated(
        torch.cat(log_p),
        Likelihood.ESTIMATE,
        "log Z is bracketed and its larger end taken; forward annealing alone would flatter",
        extra_stderr=(share * found.stderr).square().sum().sqrt().item(),
        details={
            "k": k, "ais_levels": levels, "ais_chains": chains, "normalisers": len(found.lower),
            "log_z": {"lower": (share * found.lower).sum().item(), "upper": (share * found.upper).sum().item(),
                      "stderr": (share * found.stderr).square().sum().sqrt().item(), "ess": found.ess.min().item()},
        },
    )  # fmt: skip


def anneal_prior(model: Any, data: DataSet, x: Tensor, c: Tensor | None, *, k: int, levels: int, chains: int, batch: int = 250,
                 progress: Report | None = None) -> Stated:  # fmt: skip
    """A VAE whose prior is an energy model: its bound with ``k`` draws of z, under the prior's annealed log Z.

    The larger end of the bracket is kept in the prior, ``model.prior.log_z``, and with its weights.
    """
    if model.prior.condition:
        raise NotImplementedError("A prior with conditions has a normaliser for each; those are not annealed.")
    given = data.train.c if model.condition else None
    z = model.q(data.train.x.to(x), None if given is None else given.to(x.device)).sample()
    found = log_partition(model.prior, z, chains=chains, scouts=max(2, chains // 4), levels=levels, progress=progress)
    log_z = torch.maximum(found.lower, found.upper).item()
    model.prior.log_z.fill_(log_z)
    parts = [model.bound(x[rows], None if c is None else c[rows], k) for rows in torch.arange(len(x)).split(batch)]
    return Stated(
        torch.cat(parts),
        model.likelihood,
        "the VAE's bound does not flatter; the prior's log Z is bracketed and its larger end taken",
        extra_stderr=found.stderr.item(),
        details={
            "k": k, "ais_levels": levels, "ais_chains": chains,
            "log_z": {"lower": found.lower.item(), "upper": found.upper.item(), "stderr": found.stderr.item(),
                      "ess": found.ess.item()},
        },
    )  # fmt: skip
