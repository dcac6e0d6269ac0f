"""18a: the loss that ties captions to pictures."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(images: Tensor, captions: Tensor, temperature: float) -> Tensor:
    images = F.normalize(images, dim=1)
    captions = F.normalize(captions, dim=1)
    logits = images @ captions.T / temperature
    own = torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
