"""5b: the KL divergence of two Gaussians."""

from torch import Tensor


def kl(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    apart = (mean_p - mean_q) ** 2
    return (std_q / std_p).log() + (std_p**2 + apart) / (2 * std_q**2) - 0.5
