"""8c: draw one feature after the other.

conditional(x, i) gives the probabilities of all levels of feature i, (n, levels), after x[:, :i].
"""

import torch
from torch import Tensor


def sample(conditional, n: int, d: int) -> Tensor:
    """n samples of d features, (n, d) whole numbers."""
    # TODO: ask for the probabilities of a feature, draw it, write it down, go on
    raise NotImplementedError("return n samples, drawn feature by feature.")
