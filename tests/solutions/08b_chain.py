"""8b: the chain rule on three pixels."""

import torch
from torch import Tensor


def log_prob(x: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    x1, x2, _ = x.T
    probs = torch.stack([first.expand(len(x)), second[x1], third[x1, x2]], dim=1)
    return torch.where(x == 1, probs, 1 - probs).log().sum(1)


def conditionals(joint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    p1 = joint.sum((1, 2))
    p12 = joint.sum(2)
    return p1[1], p12[:, 1] / p1, joint[:, :, 1] / p12
