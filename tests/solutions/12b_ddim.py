"""12b: a DDIM sampler."""

from itertools import pairwise

import torch
from torch import Tensor


def strengths(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def ddim(denoise, noisy: Tensor, log_snrs: Tensor) -> Tensor:
    for now, then in pairwise(log_snrs):
        alpha, sigma = strengths(now)
        next_alpha, next_sigma = strengths(then)
        x = denoise(noisy, now)
        eps = (noisy - alpha * x) / sigma
        noisy = next_alpha * x + next_sigma * eps
    return noisy
