"""Precision, recall, density, coverage and copies of samples, by nearest neighbours.

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

# k of precision and recall, as in their paper
NEAREST = 3

# k of density and coverage, as in theirs
NEAREST_COVERED = 5

# share of held-out events that lie as near to training events as a copy must
ALIKE = 0.01


def support(reference: Tensor, samples: Tensor) -> dict[str, float]:
    """``precision``, ``recall``, ``density`` and ``coverage``.

    Args:
        reference: real events, ``(n, d)``.
        samples: ``(m, d)``.
    """
    distance = torch.cdist(reference, samples)
    radius, wider_radius = radii(reference, NEAREST, NEAREST_COVERED)
    (sample_radius,) = radii(samples, NEAREST)

    # (n, m): each real event with each sample
    in_real_ball = distance <= radius[:, None]
    in_wider_ball = distance <= wider_radius[:, None]
    in_sample_ball = distance <= sample_radius

    real_looking = in_real_ball.any(0)
    within_reach = in_sample_ball.any(1)
    wider_balls = in_wider_ball.double().sum(0)
    covered = in_wider_ball.any(1)
    return {
        "precision": _share(real_looking),
        "recall": _share(within_reach),
        "density": wider_balls.mean().item() / NEAREST_COVERED,
        "coverage": _share(covered),
    }


def in_balls(centres: Tensor, points: Tensor, k: int) -> Tensor:
    """Whether each of ``points`` (m, d) lies in the ball of each of ``centres`` (n, d): (n, m)."""
    distance = torch.cdist(centres, points)
    (radius,) = radii(centres, k)
    return distance <= radius[:, None]


def radii(x: Tensor, *ks: int) -> list[Tensor]:
    """Distance of each event of ``(n, d)`` to the k-th nearest other one, ``(n,)`` for each k."""
    distance = torch.cdist(x, x)
    # each event is itself the first of its neighbours
    neighbours = max(ks) + 1
    nearest_first = distance.topk(neighbours, dim=1, largest=False).values
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
    distances = []
    which = []
    for rows in torch.arange(len(x)).split(200):
        distance = torch.cdist(x[rows], among, compute_mode="donot_use_mm_for_euclid_dist")
        if own is not None:
            each = torch.arange(len(rows))
            distance[each, own[rows]] = torch.inf
        least = distance.min(1)
        distances.append(least.values)
        which.append(least.indices)
    return torch.cat(distances), torch.cat(which)


def copying(samples: Tensor, held_out: Tensor) -> dict[str, Figure]:
    """``copies`` and ``nearer``, from distances to the nearest training event.

    The error of ``copies`` is that of the samples and of the threshold, which a few held-out events
    decide; that of ``nearer`` is DeLong's (DeLong et al. 1988). Ties count half: of data on a grid,
    held-out events may equal a training event too.

    Args:
        samples: distances of samples, ``(m,)``.
        held_out: distances of held-out events, ``(n,)``.
    """
    # (n, m): 1 where a sample is the nearer one, 1/2 where both are as near
    difference = held_out[:, None] - samples
    wins = (torch.sign(difference).double() + 1) / 2

    of_samples = wins.mean(0)
    of_held_out = wins.mean(1)
    variance = of_samples.var() / len(samples) + of_held_out.var() / len(held_out)
    error = variance.sqrt().item()
    return {
        "copies": _copies(samples, held_out),
        "nearer": Figure(wins.mean().item(), error, n=len(samples)),
    }


def _copies(samples: Tensor, held_out: Tensor) -> Figure:
    """The share of samples below the threshold, and where it lies with 95 %.

    The true threshold lies between two of the held-out distances, whose ranks the binomial law
    tells whatever the distances are; the shares below these are the ends for given samples.
    Wilson's are those for a given threshold. Their reaches add up in quadrature (Zou & Donner 2008,
    *Construction of confidence limits about effect measures*).
    """
    n = len(held_out)
    value = _share_below(samples, held_out.quantile(ALIKE))

    # of the threshold: it may lie from the one rank to the other, rank 0 being below all
    first, last = binom.ppf([0.025, 0.975], n, ALIKE).astype(int)
    below_all = held_out.new_tensor([-torch.inf])
    in_order = torch.cat([below_all, held_out.sort().values])
    least = _share_below(samples, in_order[first])
    most = _share_below(samples, in_order[min(last + 1, n)])

    # of the samples
    low, high = wilson(value, len(samples))

    down = math.hypot(value - low, value - least)
    up = math.hypot(high - value, most - value)
    low = max(0.0, value - down)
    high = min(1.0, value + up)
    error = (high - low) / (2 * Z95)
    return Figure(value, error, low, high, n=len(samples))


def _share_below(samples: Tensor, threshold: Tensor) -> float:
    return _share(samples < threshold)


def _share(which: Tensor) -> float:
    return which.double().mean().item()
