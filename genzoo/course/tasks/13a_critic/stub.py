"""13a: the best critic there is, between data and samples from two Gaussians."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal


def critic_loss(on_data: Tensor, on_samples: Tensor) -> Tensor:
    """Mean softplus(-D) over data plus mean softplus(D) over samples: one number."""
    raise NotImplementedError("return the loss of these scores.")


def best_critic(x: Tensor, data: Normal, model: Normal) -> Tensor:
    """The score D(x), (n,), with the least loss. Both densities have a log_prob."""
    raise NotImplementedError("find the zero of the derivative on paper, and return D(x).")
