"""A fixed mixture of Gaussians in any number of dimensions, whose true density is known.

Unlike that of the map, the density is smooth and nowhere zero, and unlike tins, the data is
real-valued. A component is sampled by its weight, then a point from its Gaussian::

    p(x) = sum over components k of w_k N(x; m_k, S_k)

The mixture has exactly mean 0 and variance 1 along every axis, in any number of dimensions.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, MultivariateNormal

from genzoo.data.dataset import DataSet
from genzoo.errors import InputError

COMPONENTS = 5
APART = 2.5  # distance of a component's mean from the origin, before the mixture is standardised
WIDTHS = (0.4, 1.0)  # standard deviations along a component's own axes, least and most, before that


def gaussians(
    train: int = 10_000, validation: int = 1_000, test: int = 5_000, dims: int = 2, seed: int = 0
) -> DataSet:
    """Points of five Gaussians: events (dims,), labels 0-4 (the component), real-valued.

    Args:
        train: number of training events.
        validation: number of validation events.
        test: number of test events.
        dims: number of dimensions; the mixture is always the same for a number of dimensions.
        seed: of the points.

    Raises:
        InputError: ``dims`` is less than 1.
    """
    if dims < 1:
        raise InputError(f"dims is {dims}: expected at least 1.")
    n = train + validation + test
    generator = torch.Generator().manual_seed(seed)
    x, labels = draw(n, dims, generator)
    return DataSet.split(
        "gaussians",
        x.float(),
        labels,
        sizes=(train, validation, test),
        classes=tuple("01234"),
        condition=COMPONENTS,
        features=tuple(f"x{i + 1}" for i in range(dims)),
        log_density=log_density,
        entropy=entropy(dims),
        about=f"points of a fixed mixture of {COMPONENTS} Gaussians in {dims} dimensions",
        source="drawn by genzoo",
    )


def draw(n: int, dims: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Samples of the mixture.

    Args:
        n: number of points.
        dims: number of dimensions.
        generator: of random numbers.

    Returns:
        points ``(n, dims)`` in float64, and the component of each, ``(n,)``.
    """
    which, law = components(dims)
    k = torch.multinomial(which.probs, n, replacement=True, generator=generator)
    noise = torch.randn(n, dims, 1, dtype=torch.float64, generator=generator)
    x = law.loc[k] + (law.scale_tril[k] @ noise).squeeze(2)
    return x, k


def log_density(x: Tensor) -> Tensor:
    """The true log-density of points (n, dims), in nats."""
    return log_joint(x.cpu().double()).logsumexp(1).to(x)


def log_joint(x: Tensor) -> Tensor:
    """log w_k + log N(x; m_k, S_k) of points (n, dims), (n, 5) float64, in nats."""
    which, law = components(x.shape[1])
    return which.logits + law.log_prob(x.unsqueeze(1))


@cache
def entropy(dims: int) -> float:
    """Entropy of the mixture (nats), H(x) = H(k) + H(x | k) - H(k | x) with component k.

    The first two terms are exact. The last one, the overlap of components, has no closed form: it
    is the mean over 20,000 samples with a fixed seed, with a standard error below 0.002 nats.
    """
    which, law = components(dims)
    x, _ = draw(20_000, dims, torch.Generator().manual_seed(0))
    of_component = which.entropy()
    of_point = which.probs @ law.entropy()
    overlap = Categorical(logits=log_joint(x)).entropy().mean()
    return (of_component + of_point - overlap).item()


@cache
def components(dims: int) -> tuple[Categorical, MultivariateNormal]:
    """The mixture in ``dims`` dimensions, in float64.

    Weights are as 1 : 2 : ... : 5, means on a sphere, axes in random directions.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(COMPONENTS, dims, dims + 1, dtype=torch.float64, generator=generator)
    weights = torch.arange(1, COMPONENTS + 1, dtype=torch.float64)
    weights /= weights.sum()

    means = APART * F.normalize(noise[:, :, 0], dim=1)
    widths = torch.linspace(*WIDTHS, dims, dtype=torch.float64)
    axes = torch.linalg.qr(noise[:, :, 1:]).Q * widths
    covariances = axes @ axes.mT

    # shifted and scaled so that the mixture has mean 0 and variance 1 along every axis
    means = means - weights @ means
    within = covariances.diagonal(dim1=1, dim2=2)
    between = means.square()
    std = (weights @ (within + between)).sqrt()
    root = torch.linalg.cholesky(covariances) / std.unsqueeze(1)
    return Categorical(weights), MultivariateNormal(means / std, scale_tril=root)
