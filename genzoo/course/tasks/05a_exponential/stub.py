"""5a: maximum likelihood for waiting times.    p(x) = theta exp(-theta x)

x holds n waiting times, (n,); theta is a tensor of one number.
"""

import torch
from torch import Tensor


def log_likelihood(theta: Tensor, x: Tensor) -> Tensor:
    """log of the likelihood of all waiting times together: one number."""
    raise NotImplementedError("return the sum of log p(x_i).")


def mle(x: Tensor) -> Tensor:
    """The theta that makes the log-likelihood largest: one number."""
    raise NotImplementedError("solve 'slope = 0' on paper, and return theta.")
