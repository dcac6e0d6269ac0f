r"""How far apart two sets of events are: Fréchet and kernel distances over features, and two that
need no features.

Sets are ``(n, d)``: features of images, or points. In the limit all four distances are zero for two
samples of one distribution; at finite n none of them is, which is why a figure is worth nothing
without n and without the *floor*, the distance of real data from real data at the same n.

Fréchet distance (Heusel et al. 2017, eq. 6), between Gaussians that have the moments of the
features:

.. math:: \|\mu_1 - \mu_2\|^2 + \operatorname{tr}\big(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1
\Sigma_2)^{1/2}\big)

It sees two moments and no more, and its bias falls as 1/n: `extrapolated` takes that out (Chong and
Forsyth 2020).

Kernel distance, the squared maximum mean discrepancy (Gretton et al. 2012, eq. 3), whose unbiased
estimate may be negative:

.. math:: E[k(x, x')] + E[k(y, y')] - 2 E[k(x, y)]

with the kernel :math:`(x \cdot y / d + 1)^3` over features (KID, Bińkowski et al. 2018), a mean of
Gaussians over points.
"""

import math
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from genzoo.evaluation.figures import Figure

HALVES = 40  # random halves, by whose spread an error is estimated
KERNELS = 4  # Gaussian, each half as wide as the one before: coarse to fine
DIRECTIONS = 64  # onto which the sliced distance projects

Distance = Callable[[Tensor, Tensor], float]
# reference and samples to numbers by their names
Statistic = Callable[[Tensor, Tensor], Mapping[str, float]]


class Given(nn.Module):
    """Features that are computed already, as torchmetrics wants them: from a network."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


# ------------------------------------------------------------------------------------ over features


def frechet(reference: Tensor, samples: Tensor) -> float:
    """Fréchet distance of features ``(n, d)`` and ``(m, d)``, by torchmetrics, in float64."""
    metric = FrechetInceptionDistance(feature=Given(reference.shape[1]))
    # no distance changes, and sums of squares keep their digits
    centre = reference.double().mean(0)
    metric.update(reference.double() - centre, real=True)
    metric.update(samples.double() - centre, real=False)
    return metric.compute().item()


def kernel_distance(reference: Tensor, samples: Tensor) -> float:
    """KID of features ``(n, d)`` and ``(m, d)``, by torchmetrics, in float64.

    It is over all of min(n, m) events at once.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Metric `Kernel Inception Distance` will save", UserWarning
        )
        size = min(len(reference), len(samples))
        metric = KernelInceptionDistance(
            feature=Given(reference.shape[1]), subsets=1, subset_size=size
        )
    metric.update(reference.double(), real=True)
    metric.update(samples.double(), real=False)
    return metric.compute()[0].item()


def extrapolated(reference: Tensor, samples: Tensor, sizes: int = 8, draws: int = 4) -> float:
    """Fréchet distance at n = infinity (Chong and Forsyth 2020, sec. 3).

    A line is drawn through its values at smaller n, against 1/n.

    Both sets are thinned to n, so that the bias of either falls as 1/n, and two samples of one
    distribution come to zero but for noise, of which it has far more than the plain distance. (The
    paper thins the samples only, beside a reference of 50,000.)
    """
    most = min(len(reference), len(samples))
    inverse = torch.linspace(4 / most, 1 / most, sizes, dtype=torch.float64)
    means = []
    for n in (1 / inverse).round().int().tolist():
        found = [frechet(some(reference, n), some(samples, n)) for _ in range(draws)]
        means.append(torch.tensor(found).mean().double())
    design = torch.stack([torch.ones_like(inverse), inverse], 1)
    line = torch.linalg.lstsq(design, torch.stack(means)[:, None]).solution
    return line[0].item()  # where 1/n is 0


# -------------------------------------------------------------------------------------- over points


def discrepancy(bandwidth: float) -> Distance:
    """The squared maximum mean discrepancy under a mean of four Gaussian kernels; unbiased.

    The kernels are exp(-|x - y|² / 2 h²), with h = ``bandwidth`` times 1, 1/2, 1/4 and 1/8.
    """

    def distance(reference: Tensor, samples: Tensor) -> float:
        within = [_mean_kernel(x, x, bandwidth, distinct=True) for x in (reference, samples)]
        return within[0] + within[1] - 2 * _mean_kernel(reference, samples, bandwidth)

    return distance


def median_distance(x: Tensor) -> float:
    """The median distance between two events of ``(n, d)``.

    It is the usual bandwidth of a kernel (Gretton et al. 2012, sec. 8).
    """
    median = torch.pdist(x[:1000].double()).median().item()
    return max(median, 1e-9)  # 0 where most events are the same


def _mean_kernel(x: Tensor, y: Tensor, bandwidth: float, distinct: bool = False) -> float:
    """Mean of the kernel over all pairs.

    Over all pairs of distinct events, where ``x`` and ``y`` are the same set.
    """
    kernel = torch.exp(-torch.cdist(x.double(), y.double()).square() / (2 * bandwidth**2))
    total = kernel.sum().item()
    for _ in range(KERNELS - 1):
        kernel = kernel.square().square()  # of half the width
        total += kernel.sum().item()
    total = total / KERNELS
    if distinct:  # an event with itself counts 1
        return (total - len(x)) / (len(x) * (len(x) - 1))
    return total / (len(x) * len(y))


def sliced_wasserstein(reference: Tensor, samples: Tensor) -> float:
    """The sliced Wasserstein-1 distance of two sets of one size ``(n, d)`` (Bonneel 2015).

    Both are projected on lines, and the distances there averaged.

    How far mass must be moved, seen from a random side. In the plane the directions are evenly
    spaced, else drawn once.
    """
    directions = _directions(reference.shape[1]).to(reference)
    ours, theirs = (x @ directions.T for x in (reference, samples))
    return (ours.sort(0).values - theirs.sort(0).values).abs().mean().item()


def _directions(dims: int) -> Tensor:
    if dims == 2:
        angles = math.pi * torch.arange(DIRECTIONS) / DIRECTIONS
        return torch.stack([angles.cos(), angles.sin()], 1)
    drawn = torch.randn(DIRECTIONS, dims, generator=torch.Generator().manual_seed(0))
    return drawn / drawn.norm(dim=1, keepdim=True)


# ---------------------------------------------------------------------------------------- its error


def with_errors(
    statistic: Statistic, reference: Tensor, samples: Tensor, halves: int = HALVES
) -> dict[str, Figure]:
    """Every figure of a statistic of two sets, with its standard error by half-sampling.

    Over random halves of both sets, drawn without replacement, an average spreads as it does over
    whole sets drawn afresh (Politis & Romano 1994). Drawn with replacement, events would have twins
    at distance zero, which kernels and neighbours notice. What is estimated is the error at this n,
    around what fresh sets of this n would give on average; both sets must be independent draws. If
    samples come in clusters, as those of one Markov chain do, the error is too small.

    Args:
        statistic: reference and samples to numbers by their names.
        reference, samples: ``(n, d)`` and ``(m, d)``.
        halves: how many; without any there is no error.
    """
    n = min(len(reference), len(samples)) // 2
    drawn = [statistic(some(reference, n), some(samples, n)) for _ in range(halves)]

    def error(name: str) -> float | None:
        if not drawn:
            return None
        return torch.tensor([half[name] for half in drawn], dtype=torch.float64).std().item()

    whole = statistic(reference, samples)
    return {name: Figure(value, error(name), n=len(samples)) for name, value in whole.items()}


def some(x: Tensor, n: int) -> Tensor:
    """``n`` different rows of ``x``, at random."""
    return x[torch.randperm(len(x), device=x.device)[:n]]
