"""Principal components."""

import torch
from torch import Tensor


def principal_axes(centred: Tensor, components: int) -> Tensor:
    """The directions in which vectors vary most, largest variance first: ``(components, d)``.

    Args:
        centred: vectors of mean zero, ``(n, d)``.
        components: how many; fewer are returned where there are fewer events or dimensions.
    """
    if len(centred) < centred.shape[1]:  # the smaller of two problems with one answer
        return torch.linalg.svd(centred, full_matrices=False).Vh[:components]
    gram = centred.T.double() @ centred.double()
    rising = torch.linalg.eigh(gram).eigenvectors.T
    return rising.flip(0)[:components].to(centred)
