"""Whether samples look real, cover all that is real, or are copies: asked of nearest neighbours.

Around every event of a set lies a ball that reaches to its k-th nearest neighbour in that set; the
balls together stand for the region where the distribution lives.

=========  =========================================================================================
precision  share of samples in a ball of a real event (Kynkäänniemi et al. 2019, eq. 2): they look
           real
recall     share of real events in a ball of a sample (likewise, eq. 2 with the sets exchanged):
           they could be drawn. Samples that are too far apart have large balls, so a figure above
           real data's own means that they are spread too widely, not that they are better
density    how many balls of real events a sample lies in, over k (Naeem et al. 2020, eq. 5): 1 for
           real data, and above 1 where samples crowd in the middle; unlike precision it is not
           fooled by one outlier with a huge ball
coverage   share of real events whose ball holds a sample (likewise, eq. 6): unlike recall not
           fooled by stray samples
copies     share of samples nearer to a *training* event than 99 % of held-out events are; what real
           data does is the share of training events that lie so near to *another* training event
nearer     the chance that a sample lies nearer to the training events than a held-out event does:
           1/2 where nothing is copied and the splits are alike
=========  =========================================================================================

``nearer`` is the statistic of Meehan et al. 2020 (Mann and Whitney's U, over the number of pairs).
A blurred or a timid model draws from the middle of the data only, and lies nearer to everything; a
copy is told from that by its picture.
"""

import math

import torch
from scipy.stats import binom
from torch import Tensor

from genzoo.evaluation.figures import Z95, Figure, wilson

NEAREST = 3  # k of precision and recall, as in their paper
NEAREST_COVERED = 5  # k of density and coverage, as in theirs
ALIKE = 0.01  # share of held-out events that lie as near to training events as a copy must


def support(reference: Tensor, samples: Tensor) -> dict[str, float]:
    """``precision``, ``recall``, ``density`` and ``coverage``.

    Args:
        reference: real events, ``(n, d)``.
        samples: ``(m, d)``.
    """
    between = torch.cdist(reference, samples)
    of_real = radii(reference, NEAREST, NEAREST_COVERED)
    of_samples = radii(samples, NEAREST)
    in_real_ball, in_wider_ball = (between <= reach[:, None] for reach in of_real)
    in_sample_ball = between <= of_samples[0]
    return {
        "precision": in_real_ball.any(0).double().mean().item(),
        "recall": in_sample_ball.any(1).double().mean().item(),
        "density": in_wider_ball.double().sum(0).mean().item() / NEAREST_COVERED,
        "coverage": in_wider_ball.any(1).double().mean().item(),
    }


def in_balls(centres: Tensor, points: Tensor, k: int) -> Tensor:
    """Whether each of ``points`` (m, d) lies in the ball of each of ``centres`` (n, d): (n, m)."""
    return torch.cdist(centres, points) <= radii(centres, k)[0][:, None]


def radii(x: Tensor, *ks: int) -> list[Tensor]:
    """Distance of each event of ``(n, d)`` to the k-th nearest other one, ``(n,)`` for each k."""
    apart = torch.cdist(x, x)
    nearest_first = apart.topk(max(ks) + 1, dim=1, largest=False).values  # itself before all others
    return [nearest_first[:, k] for k in ks]


def nearest(x: Tensor, among: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The nearest neighbour of each event.

    Args:
        x: events, ``(n, d)``.
        among: those that can be neighbours, ``(m, d)``.
        own: where each event of ``x`` itself stands among them, ``(n,)``: that one does not count.

    Returns:
        the distance ``(n,)``, and which one it is ``(n,)``.
    """
    least, which = [], []
    for rows in torch.arange(len(x)).split(200):
        apart = torch.cdist(x[rows], among, compute_mode="donot_use_mm_for_euclid_dist")
        if own is not None:
            apart[torch.arange(len(rows)), own[rows]] = torch.inf
        found = apart.min(1)
        least.append(found.values)
        which.append(found.indices)
    return torch.cat(least), torch.cat(which)


def copying(samples: Tensor, held_out: Tensor) -> dict[str, Figure]:
    """``copies`` and ``nearer``, from distances to the nearest training event.

    The error of ``copies`` is that of the samples and of the threshold, which a few held-out events
    decide; that of ``nearer`` is DeLong's (DeLong et al. 1988). Ties count half: of data on a grid,
    held-out events may equal a training event too.

    Args:
        samples: distances of samples, ``(m,)``.
        held_out: distances of held-out events, ``(n,)``.
    """
    wins = (torch.sign(held_out[:, None] - samples).double() + 1) / 2  # (n, m)
    variance = wins.mean(0).var() / len(samples) + wins.mean(1).var() / len(held_out)
    nearer = Figure(wins.mean().item(), variance.sqrt().item(), n=len(samples))
    return {"copies": _copies(samples, held_out), "nearer": nearer}


def _copies(samples: Tensor, held_out: Tensor) -> Figure:
    """The share of samples below the threshold, and where it lies with 95 %.

    The true threshold lies between two of the held-out distances, whose ranks the binomial law
    tells whatever the distances are; the shares below these are the ends for given samples.
    Wilson's are those for a given threshold. Their reaches add up in quadrature (Zou & Donner 2008,
    *Construction of confidence limits about effect measures*).
    """
    n = len(held_out)
    in_order = torch.cat([held_out.new_tensor([-torch.inf]), held_out.sort().values])
    first, last = binom.ppf([0.025, 0.975], n, ALIKE).astype(int)
    below = [_share_below(samples, in_order[rank]) for rank in (first, min(last + 1, n))]

    value = _share_below(samples, held_out.quantile(ALIKE))
    low, high = wilson(value, len(samples))
    low = value - math.hypot(value - low, value - below[0])
    high = value + math.hypot(high - value, below[1] - value)
    low, high = max(0.0, low), min(1.0, high)
    return Figure(value, (high - low) / (2 * Z95), low, high, n=len(samples))


def _share_below(samples: Tensor, threshold: Tensor) -> float:
    return (samples < threshold).double().mean().item()
