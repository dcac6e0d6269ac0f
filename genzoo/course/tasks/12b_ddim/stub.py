"""12b: a DDIM sampler.    x' = alpha' x_hat + sigma' eps_hat"""

from itertools import pairwise

import torch
from torch import Tensor


def strengths(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma."""
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def ddim(denoise, noisy: Tensor, log_snrs: Tensor) -> Tensor:
    """From noise (n, d) at log_snrs[0] to the observation at log_snrs[-1].

    denoise(noisy, log_snr) gives x_hat, (n, d).
    """
    for now, then in pairwise(log_snrs):
        # TODO: x_hat, then eps_hat, then their new mixture
        raise NotImplementedError("carry the noisy observation from now to then.")
    return noisy
