"""12c: the ideal denoiser of finitely many points."""

import torch
from torch import Tensor


def denoise(noisy: Tensor, data: Tensor, alpha: float, sigma: float) -> Tensor:
    distance = torch.cdist(noisy, alpha * data)
    weights = (-(distance**2) / (2 * sigma**2)).softmax(1)
    return weights @ data
