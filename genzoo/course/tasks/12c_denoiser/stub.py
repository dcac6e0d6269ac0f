"""12c: the ideal denoiser of finitely many points.    noisy = alpha x + sigma eps

noisy is (m, d), data is (n, d), alpha and sigma are numbers.
"""

import torch
from torch import Tensor


def denoise(noisy: Tensor, data: Tensor, alpha: float, sigma: float) -> Tensor:
    """The mean of all points that noisy could have come from, by their weights: (m, d)."""
    # TODO: the weight of each point for each noisy observation, then the weighted mean
    raise NotImplementedError("return the weighted mean of the data.")
