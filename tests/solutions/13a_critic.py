"""13a: the best critic there is."""

import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal


def critic_loss(on_data: Tensor, on_samples: Tensor) -> Tensor:
    return F.softplus(-on_data).mean() + F.softplus(on_samples).mean()


def best_critic(x: Tensor, data: Normal, model: Normal) -> Tensor:
    return data.log_prob(x) - model.log_prob(x)
