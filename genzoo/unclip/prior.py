r"""Two priors over image embeddings, given a caption's.

The zoo's own diffusion and autoregressive models at work on vectors.

A caption says only a part of what a picture shows, so many image embeddings z go with one text
embedding t, and to put t in z's place is a mistake: both are close, but they are not the same kind
of thing. The prior is the distribution p(z | t).

*Diffusion prior*: a `genzoo.Diffusion` over z with t as its condition. It predicts v, from which
the unnoised embedding follows, :math:`\hat z = \alpha z_\lambda - \sigma \hat v`; under the cosine
schedule the squared error of v is that of :math:`\hat z`, weighted by SNR + 1 (Salimans & Ho 2022).
The paper's prior predicts the unnoised embedding itself.

*Autoregressive prior*: `QuantizedPCA` turns z into its principal components, each rounded to a grid
of levels, and a `genzoo.Autoregressive` models that vector of levels, the component of the largest
variance first.

Reference: Ramesh et al. 2022, *Hierarchical text-conditional image generation with CLIP latents*
(section 2.2).
"""

import torch
from torch import Tensor, nn

from genzoo import grid
from genzoo.evaluation.pca import principal_axes
from genzoo.model import GenerativeModel, Likelihood


class PCA(nn.Module):
    """The first ``components`` principal axes of vectors ``(n, dims)``, largest variance first.

    Before `fit` there are no axes at all.
    """

    mean: Tensor
    axes: Tensor
    reach: Tensor

    def __init__(self, dims: int, components: int):
        super().__init__()
        if not 1 <= components <= dims:
            raise ValueError(
                f"Vectors of {dims} dimensions have 1 to {dims} principal components, "
                f"got {components=}."
            )
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("axes", torch.zeros(components, dims))
        # the largest component of the data, either side of the mean
        self.register_buffer("reach", torch.ones(components))

    def fit(self, z: Tensor) -> "PCA":
        """Learn the axes from vectors ``(n, dims)``."""
        self.mean.copy_(z.mean(0))
        self.axes.copy_(principal_axes(z - self.mean, len(self.axes)))
        self.reach.copy_(self.project(z).abs().amax(0).clamp(min=1e-6))
        return self

    def project(self, z: Tensor) -> Tensor:
        """The components ``(n, components)`` of vectors ``(n, dims)``."""
        return (z - self.mean) @ self.axes.T

    def rebuild(self, y: Tensor) -> Tensor:
        """The vectors ``(n, dims)`` of the first components ``y`` (n, k), the others being zero."""
        return self.mean + y @ self.axes[: y.shape[1]]


class QuantizedPCA(GenerativeModel):
    """A distribution over vectors that lie on a grid in the space of their principal components.

    ``codes`` is a trained model of the rounded components; the vectors themselves have no density,
    for they fill no volume.

    Args:
        event_shape: ``(dims,)`` of the vectors.
        codes: a model of ``(components,)`` levels, such as `genzoo.Autoregressive`.
    """

    likelihood = Likelihood.NONE
    guidable = True

    def __init__(self, event_shape: tuple[int, ...], codes: GenerativeModel):
        super().__init__(event_shape, codes.condition, lr=codes.lr)
        if len(self.event_shape) != 1 or len(codes.event_shape) != 1 or not codes.levels:
            raise ValueError(
                "QuantizedPCA models vectors (dims,) by a model of (components,) levels, "
                f"got vectors {self.event_shape} and a model of {codes.event_shape} "
                f"with {codes.levels} levels."
            )
        self.codes, self.latent_shape = codes, codes.event_shape
        self.pca = PCA(self.dims, codes.dims)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The components ``(n, components)`` of vectors, on the grid of the codes' levels."""
        return grid.quantise(self.pca.project(x) / self.pca.reach, self.codes.levels)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The vectors ``(n, dims)`` that components on the grid stand for."""
        return self.pca.rebuild(z * self.pca.reach)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """Vectors ``(n, dims)``; ``guidance`` is the codes', see `genzoo.Autoregressive.guided`."""
        options = {} if guidance == 1.0 else {"guidance": guidance}
        return self.decode(self.codes.sample(n, c, **options))

    @property
    def evaluations_per_sample(self) -> int:
        return self.codes.evaluations_per_sample


def best_of(draws: Tensor, text: Tensor) -> Tensor:
    """The nearest of k ``draws`` (n, k, dims) to each ``text`` embedding (n, dims).

    Nearest means the largest dot product. The result has shape ``(n, dims)``.
    """
    best = (draws @ text.unsqueeze(-1)).squeeze(-1).argmax(1)
    return draws[torch.arange(len(draws), device=draws.device), best]
