"""Principal components."""

import torch
from torch import Tensor


def principal_axes(centred: Tensor, components: int) -> Tensor:
    """The directions in which vectors vary most, largest variance first: ``(components, d)``.

    Args:
        centred: vectors of mean zero, ``(n, d)``.
        components: number of directions; fewer are returned where there are fewer events or
            dimensions.
    """
    n, dims = centred.shape
    if n < dims:  # the smaller of two problems that have the same solution
        axes = torch.linalg.svd(centred, full_matrices=False).Vh
        return axes[:components]
    doubles = centred.double()
    gram = doubles.T @ doubles
    rising = torch.linalg.eigh(gram).eigenvectors.T
    axes = rising.flip(0)
    return axes[:components].to(centred)
