"""16a: the score of a guided model.    p(x | c)^w p(x)^(1 - w), normalised"""

import torch
from torch import Tensor


def guided_score(given: Tensor, free: Tensor, w: float) -> Tensor:
    """Its score, (n, d), from the scores with the condition (given) and without it (free)."""
    raise NotImplementedError("return the mixture of both scores.")


def guided_gaussian(
    mean_c: Tensor, std_c: Tensor, mean: Tensor, std: Tensor, w: float
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the guided density of N(mean_c, std_c^2), N(mean, std^2)."""
    raise NotImplementedError("return mean and standard deviation.")
