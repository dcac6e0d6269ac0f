r"""Distances of two sets of events: over features (Fréchet, kernel), and over points.

Sets are ``(n, d)``: features of images, or points. In the limit all four distances are zero for two
samples of one distribution; at finite n none of them is, so a figure means nothing without n and
without the *floor*, the distance of real data from real data at the same n.

Fréchet distance (Heusel et al. 2017, eq. 6), between Gaussians that have the moments of the
features:

.. math::

    \|\mu_1 - \mu_2\|^2
    + \operatorname{tr}\big(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2}\big)

It compares two moments only, and its bias falls as 1/n: `extrapolated` removes it (Chong and
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
from torchmetrics.image.kid import KernelInceptionDistance

from genzoo.evaluation.figures import Figure

# number of random halves, from whose spread an error is estimated
HALVES = 40

# Gaussian kernels, each half as wide as the one before: coarse to fine
KERNELS = 4

# number of lines onto which the sliced distance projects
DIRECTIONS = 64

Distance = Callable[[Tensor, Tensor], float]
# reference and samples to numbers by their names
Statistic = Callable[[Tensor, Tensor], Mapping[str, float]]


class Given(nn.Module):
    """A stand-in for torchmetrics' network, for features that are computed already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


# ------------------------------------------------------------------------------------ over features


def frechet(reference: Tensor, samples: Tensor) -> float:
    """Fréchet distance of features ``(n, d)`` and ``(m, d)``, in float64.

    The product of two covariances is not symmetric, so its root takes long and may turn out
    complex. With S the first and R R' = S, the product has the eigenvalues of R' T R, T the second,
    which is symmetric.
    """
    real = reference.double()
    fake = samples.double()
    shift = real.mean(0) - fake.mean(0)
    squared_shift = shift @ shift
    real_covariance = torch.atleast_2d(real.T.cov())
    fake_covariance = torch.atleast_2d(fake.T.cov())

    variances, axes = torch.linalg.eigh(real_covariance)
    root = axes * variances.clamp(min=0).sqrt()
    product = root.T @ fake_covariance @ root
    eigenvalues = torch.linalg.eigvalsh(product)
    overlap = eigenvalues.clamp(min=0).sqrt().sum()

    spread = real_covariance.trace() + fake_covariance.trace()
    distance = squared_shift + spread - 2 * overlap
    return distance.item()


def kernel_distance(reference: Tensor, samples: Tensor) -> float:
    """KID of features ``(n, d)`` and ``(m, d)``, by torchmetrics, in float64.

    It is computed on one subset, of min(n, m) events.
    """
    size = min(len(reference), len(samples))
    features = Given(reference.shape[1])
    with warnings.catch_warnings():
        about_memory = "Metric `Kernel Inception Distance` will save"
        warnings.filterwarnings("ignore", about_memory, UserWarning)
        metric = KernelInceptionDistance(feature=features, subsets=1, subset_size=size)
    metric.update(reference.double(), real=True)
    metric.update(samples.double(), real=False)
    mean, _ = metric.compute()
    return mean.item()


def extrapolated(reference: Tensor, samples: Tensor, sizes: int = 8, draws: int = 4) -> float:
    """Fréchet distance at n = infinity (Chong and Forsyth 2020, sec. 3).

    A line is fitted to its values at smaller n, against 1/n. Both sets are reduced to n events, so
    that the bias of either falls as 1/n, and two samples of one distribution have distance zero up
    to noise, which is far larger than that of the plain distance. (The paper reduces the samples
    only, beside a reference of 50,000.)

    Args:
        reference: features of real events, ``(n, d)``.
        samples: features of samples, ``(m, d)``.
        sizes: number of values of n, down to a quarter of the smaller set.
        draws: number of random subsets at each n, whose distances are averaged.
    """
    most = min(len(reference), len(samples))
    inverse = torch.linspace(4 / most, 1 / most, sizes, dtype=torch.float64)
    numbers = (1 / inverse).round().int().tolist()
    means = []
    for n in numbers:
        distances = [frechet(some(reference, n), some(samples, n)) for _ in range(draws)]
        mean = torch.tensor(distances).mean()
        means.append(mean.double())

    # least squares for distance = intercept + slope / n; the intercept is where 1/n is 0
    ones = torch.ones_like(inverse)
    design = torch.stack([ones, inverse], 1)
    targets = torch.stack(means)[:, None]
    fit = torch.linalg.lstsq(design, targets)
    intercept, _ = fit.solution
    return intercept.item()


# -------------------------------------------------------------------------------------- over points


def discrepancy(bandwidth: float) -> Distance:
    """The unbiased squared maximum mean discrepancy under a mean of four Gaussian kernels.

    The kernels are exp(-|x - y|² / 2 h²), with h = ``bandwidth`` times 1, 1/2, 1/4 and 1/8.
    """

    def distance(reference: Tensor, samples: Tensor) -> float:
        within_reference = _mean_kernel(reference, reference, bandwidth, distinct=True)
        within_samples = _mean_kernel(samples, samples, bandwidth, distinct=True)
        between = _mean_kernel(reference, samples, bandwidth)
        return within_reference + within_samples - 2 * between

    return distance


def median_distance(x: Tensor) -> float:
    """The median distance between two events of ``(n, d)``.

    It is the usual bandwidth of a kernel (Gretton et al. 2012, sec. 8).
    """
    first = x[:1000].double()
    median = torch.pdist(first).median().item()
    # it is 0 where most events are the same
    return max(median, 1e-9)


def _mean_kernel(x: Tensor, y: Tensor, bandwidth: float, distinct: bool = False) -> float:
    """Mean of the kernel over all pairs.

    If ``distinct``, ``x`` and ``y`` are the same set, and pairs of an event with itself are left
    out.
    """
    distance = torch.cdist(x.double(), y.double())
    exponent = -distance.square() / (2 * bandwidth**2)
    kernel = exponent.exp()
    total = kernel.sum().item()
    for _ in range(KERNELS - 1):
        # its fourth power is a kernel of half the width
        kernel = kernel.square().square()
        total += kernel.sum().item()
    total = total / KERNELS

    n = len(x)
    pairs = n * len(y)
    if distinct:
        # the kernel of an event with itself is 1
        total -= n
        pairs -= n
    return total / pairs


def sliced_wasserstein(reference: Tensor, samples: Tensor) -> float:
    """The sliced Wasserstein-1 distance of two sets of one size ``(n, d)`` (Bonneel 2015).

    Both are projected on lines, and the Wasserstein distances there are averaged. In the plane the
    directions are evenly spaced; else they are random, but always the same.
    """
    directions = _directions(reference.shape[1]).to(reference)
    real = reference @ directions.T
    fake = samples @ directions.T
    # optimal transport on a line pairs the events by their ranks
    moved = real.sort(0).values - fake.sort(0).values
    return moved.abs().mean().item()


def _directions(dims: int) -> Tensor:
    if dims == 2:
        angles = math.pi * torch.arange(DIRECTIONS) / DIRECTIONS
        return torch.stack([angles.cos(), angles.sin()], 1)
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(DIRECTIONS, dims, generator=generator)
    return directions / directions.norm(dim=1, keepdim=True)


# ---------------------------------------------------------------------------------------- its error


def with_errors(
    statistic: Statistic, reference: Tensor, samples: Tensor, halves: int = HALVES
) -> dict[str, Figure]:
    """Every figure of a statistic of two sets, with its standard error by half-sampling.

    Over random halves of both sets, sampled without replacement, an average varies as it does over
    whole new sets (Politis & Romano 1994). With replacement, events would have copies at distance
    zero, which would change kernels and neighbours. The error is that at this n, around the mean
    over new sets of this n; both sets must consist of independent samples. If samples come in
    clusters, as those of one Markov chain do, the error is too small.

    Args:
        statistic: reference and samples to numbers by their names.
        reference: features of real events, ``(n, d)``.
        samples: features of samples, ``(m, d)``.
        halves: number of random halves; with 0 there is no error.
    """
    n = min(len(reference), len(samples)) // 2
    of_halves = [statistic(some(reference, n), some(samples, n)) for _ in range(halves)]
    figures = {}
    for name, value in statistic(reference, samples).items():
        error = _spread([numbers[name] for numbers in of_halves])
        figures[name] = Figure(value, error, n=len(samples))
    return figures


def _spread(values: list[float]) -> float | None:
    """The standard deviation of values; None if there are none."""
    if not values:
        return None
    return torch.tensor(values, dtype=torch.float64).std().item()


def some(x: Tensor, n: int) -> Tensor:
    """``n`` different rows of ``x``, at random."""
    order = torch.randperm(len(x), device=x.device)
    return x[order[:n]]
