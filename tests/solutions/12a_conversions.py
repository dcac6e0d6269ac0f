"""12a: three ways to say the same."""

import torch
from torch import Tensor


def strengths(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def x_from_eps(noisy: Tensor, eps: Tensor, log_snr: Tensor) -> Tensor:
    alpha, sigma = strengths(log_snr)
    return (noisy - sigma * eps) / alpha


def eps_from_x(noisy: Tensor, x: Tensor, log_snr: Tensor) -> Tensor:
    alpha, sigma = strengths(log_snr)
    return (noisy - alpha * x) / sigma


def x_from_v(noisy: Tensor, v: Tensor, log_snr: Tensor) -> Tensor:
    alpha, sigma = strengths(log_snr)
    return alpha * noisy - sigma * v
