"""10a: the ELBO of a linear world.

z ~ N(0, I),  x | z ~ N(W z, s^2 I),  q(z | x) = N(mean, std^2)

x (n, d), z, noise, mean and std (n, k), W (d, k), s a number.
"""

from torch import Tensor


def draw(mean: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    """z ~ q(z | x), (n, k), made from standard Gaussian noise."""
    raise NotImplementedError("return z, so that gradients reach mean and std.")


def elbo(x: Tensor, z: Tensor, W: Tensor, s: float, mean: Tensor, std: Tensor) -> Tensor:
    """log p(x | z) + log p(z) - log q(z | x), (n,) nats."""
    # TODO: three terms, each from a Normal(...).log_prob(...)
    raise NotImplementedError("return the sum of three terms, one number for each row.")
