"""12a: three ways to say the same.    noisy = alpha x + sigma eps,    v = alpha eps - sigma x

noisy, x, eps and v are (n, d); log_snr, alpha and sigma are (n, 1).
"""

import torch
from torch import Tensor


def strengths(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma: alpha^2 + sigma^2 = 1, and log(alpha^2 / sigma^2) = log_snr."""
    raise NotImplementedError("return alpha and sigma.")


def x_from_eps(noisy: Tensor, eps: Tensor, log_snr: Tensor) -> Tensor:
    raise NotImplementedError("return the clean x.")


def eps_from_x(noisy: Tensor, x: Tensor, log_snr: Tensor) -> Tensor:
    raise NotImplementedError("return the noise.")


def x_from_v(noisy: Tensor, v: Tensor, log_snr: Tensor) -> Tensor:
    raise NotImplementedError("return the clean x.")
