"""11a: the gradient that needs no normaliser."""

import torch
from torch import Tensor


def exact_loss(energy, data: Tensor, worlds: Tensor) -> Tensor:
    log_z = torch.logsumexp(-energy(worlds), 0)
    return energy(data).mean() + log_z


def contrastive_loss(energy, data: Tensor, samples: Tensor) -> Tensor:
    return energy(data).mean() - energy(samples).mean()
