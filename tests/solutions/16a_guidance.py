"""16a: the score of a guided model."""

from torch import Tensor


def guided_score(given: Tensor, free: Tensor, w: float) -> Tensor:
    return w * given + (1 - w) * free


def guided_gaussian(
    mean_c: Tensor, std_c: Tensor, mean: Tensor, std: Tensor, w: float
) -> tuple[Tensor, Tensor]:
    precision = w / std_c**2 + (1 - w) / std**2
    weighted = w * mean_c / std_c**2 + (1 - w) * mean / std**2
    return weighted / precision, precision.rsqrt()
