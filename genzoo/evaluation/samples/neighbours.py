"""Precision, recall, density, coverage and copies of samples, by nearest neighbours.

Around every observation of a set lies a ball that reaches to its k-th nearest neighbour in that
set; the balls together are an estimate of the support of the distribution.

=========  =========================================================================================
precision  share of samples in a ball of a real observation (Kynkäänniemi et al. 2019, eq. 2): they
           look real
recall     share of real observations in a ball of a sample (likewise, eq. 2 with the sets
           exchanged): the model could have generated them. Samples that are too far apart have
           large balls, so a value above real data's own means that they are spread too widely, not
           that they are better
density    number of balls of real observations that a sample lies in, over k (Naeem et al. 2020,
           eq. 5): 1 for real data, and above 1 where samples crowd in the middle; unlike precision
           it is not misled by one outlier with a huge ball
coverage   share of real observations whose ball contains a sample (likewise, eq. 6): unlike recall
           not misled by stray samples
copies     share of samples nearer to a *training* observation than 99 % of held-out observations
           are; the value of real data is the share of training observations that lie so near to
           *another* training observation
nearer     the probability that a sample lies nearer to the training data than a held-out
           observation does: 1/2 where nothing is copied and the splits are alike
=========  =========================================================================================

``nearer`` is the statistic of Meehan et al. 2020 (Mann and Whitney's U, over the number of pairs).
Blurred samples, or samples of few kinds, lie in the middle of the data and so nearer to everything;
whether they are copies can be seen in the picture of neighbours.
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

# share of held-out observations that lie as near to training observations as a copy must
ALIKE = 0.01


def support(reference: Tensor, samples: Tensor) -> dict[str, float]:
    """``precision``, ``recall``, ``density`` and ``coverage``.

    Args:
        reference: real observations, ``(n, d)``.
        samples: ``(m, d)``.
    """
    distance = torch.cdist(reference, samples)
    radius, wider_radius = radii(reference, NEAREST, NEAREST_COVERED)
    (sample_radius,) = radii(samples, NEAREST)

    # (n, m): each real observation with each sample
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
    """True of pairs of a ball and a point that lies in it, ``(n, m)`` booleans.

    Args:
        centres: of the balls, ``(n, d)``.
        points: ``(m, d)``.
        k: a ball reaches to the k-th nearest other centre.
    """
    distance = torch.cdist(centres, points)
    (radius,) = radii(centres, k)
    return distance <= radius[:, None]


def radii(x: Tensor, *ks: int) -> list[Tensor]:
    """Distance of each row of ``x`` (n, d) to the k-th nearest other one, ``(n,)`` for each k."""
    distance = torch.cdist(x, x)
    # each row is itself the first of its neighbours
    neighbours = max(ks) + 1
    nearest_first = distance.topk(neighbours, dim=1, largest=False).values
    return [nearest_first[:, k] for k in ks]


def nearest(
    x: Tensor,
    among: Tensor,
    own: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The nearest neighbour of each observation.

    Args:
        x: observations, ``(n, d)``.
        among: those that can be neighbours, ``(m, d)``.
        own: the row of ``among`` that each observation of ``x`` has itself, ``(n,)``: that one does
            not count.

    Returns:
        the distance ``(n,)``, and the row of ``among`` ``(n,)``.
    """
    distances = []
    neighbours = []
    for rows in torch.arange(len(x)).split(200):
        distance = torch.cdist(x[rows], among, compute_mode="donot_use_mm_for_euclid_dist")
        if own is not None:
            observations = torch.arange(len(rows))
            distance[observations, own[rows]] = torch.inf
        least = distance.min(1)
        distances.append(least.values)
        neighbours.append(least.indices)
    return torch.cat(distances), torch.cat(neighbours)


def copying(samples: Tensor, held_out: Tensor) -> dict[str, Figure]:
    """``copies`` and ``nearer``, from distances to the nearest training observation.

    The error of ``copies`` is that of the samples and of the threshold, which depends on a few
    held-out observations; that of ``nearer`` is DeLong's (DeLong et al. 1988). Ties count half: on
    a grid, held-out observations may equal a training observation too.

    Args:
        samples: distances of samples, ``(m,)``.
        held_out: distances of held-out observations, ``(n,)``.
    """
    # (n, m): 1 where a sample is the nearer one, 1/2 where both are as near
    difference = held_out[:, None] - samples
    wins = (torch.sign(difference).double() + 1) / 2

    of_samples = wins.mean(0)
    of_held_out = wins.mean(1)
    sample_variance = of_samples.var() / len(samples)
    held_out_variance = of_held_out.var() / len(held_out)
    error = (sample_variance + held_out_variance).sqrt()

    value = wins.mean().item()
    return {
        "copies": _copies(samples, held_out),
        "nearer": Figure(value, error.item(), n=len(samples)),
    }


def _copies(samples: Tensor, held_out: Tensor) -> Figure:
    """The share of samples below the threshold, with its 95 % interval.

    The true threshold lies between two of the held-out distances, whose ranks the binomial
    distribution gives whatever the distances are; the shares below these are the ends for given
    samples. Wilson's are those for a given threshold. Their reaches add up in quadrature (Zou &
    Donner 2008, *Construction of confidence limits about effect measures*).
    """
    n = len(held_out)
    threshold = held_out.quantile(ALIKE)
    value = _share_below(samples, threshold)

    # the error of the threshold, which lies between these ranks; rank 0 is below all
    first, last = binom.ppf([0.025, 0.975], n, ALIKE).astype(int)
    below_all = held_out.new_tensor([-torch.inf])
    in_order = torch.cat([below_all, held_out.sort().values])
    least = _share_below(samples, in_order[first])
    most = _share_below(samples, in_order[min(last + 1, n)])

    # the error of the samples
    low, high = wilson(value, len(samples))

    down = math.hypot(value - low, value - least)
    up = math.hypot(high - value, most - value)
    low = max(0.0, value - down)
    high = min(1.0, value + up)
    error = (high - low) / (2 * Z95)
    return Figure(value, error, low, high, n=len(samples))


def _share_below(samples: Tensor, threshold: Tensor) -> float:
    below = samples < threshold
    return _share(below)


def _share(which: Tensor) -> float:
    share = which.double().mean()
    return share.item()
