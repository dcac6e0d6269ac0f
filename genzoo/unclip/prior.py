r"""Two priors over image embeddings given a text embedding, p(z | t).

They are the zoo's own diffusion and autoregressive models of vectors.

A caption tells only a part of what an image shows, so many image embeddings z fit one text
embedding t. To use t in place of z would be a mistake: both are close, but not of the same kind.

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

    Before `fit` the axes are zero.
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
        # largest absolute value of each component in the data
        self.register_buffer("reach", torch.ones(components))

    def fit(self, z: Tensor) -> "PCA":
        """Learn the axes from vectors ``(n, dims)``."""
        self.mean.copy_(z.mean(0))
        axes = principal_axes(z - self.mean, len(self.axes))
        self.axes.copy_(axes)
        reach = self.project(z).abs().amax(0)
        self.reach.copy_(reach.clamp(min=1e-6))
        return self

    def project(self, z: Tensor) -> Tensor:
        """The components ``(n, components)`` of vectors ``(n, dims)``."""
        return (z - self.mean) @ self.axes.T

    def rebuild(self, y: Tensor) -> Tensor:
        """Vectors ``(n, dims)`` with the first components ``y`` (n, k); the others are zero."""
        return self.mean + y @ self.axes[: y.shape[1]]


class QuantizedPCA(GenerativeModel):
    """A distribution over vectors that lie on a grid in the space of their principal components.

    The vectors themselves have no density, for such a grid has no volume.

    Args:
        event_shape: ``(dims,)`` of the vectors.
        codes: a model of the rounded components, ``(components,)`` levels, such as
            `genzoo.Autoregressive`.
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
        self.codes = codes
        self.latent_shape = codes.event_shape
        self.pca = PCA(self.dims, codes.dims)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The components ``(n, components)`` of vectors, on the grid of the codes' levels."""
        scaled = self.pca.project(x) / self.pca.reach
        return grid.quantise(scaled, self.codes.levels)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Vectors ``(n, dims)`` of components on the grid."""
        return self.pca.rebuild(z * self.pca.reach)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """Vectors ``(n, dims)``.

        Args:
            n: number of vectors.
            c: a condition for each, ``(n, condition)``.
            guidance: of the codes, see `genzoo.Autoregressive.guided`.
        """
        options = {}
        if guidance != 1.0:
            options["guidance"] = guidance
        codes = self.codes.sample(n, c, **options)
        return self.decode(codes)

    @property
    def evaluations_per_sample(self) -> int:
        return self.codes.evaluations_per_sample


def best_of(samples: Tensor, text: Tensor) -> Tensor:
    """The one of k ``samples`` (n, k, dims) that is nearest to each ``text`` embedding (n, dims).

    Nearest means the largest dot product. The result has shape ``(n, dims)``.
    """
    products = (samples @ text.unsqueeze(-1)).squeeze(-1)
    best = products.argmax(1)
    rows = torch.arange(len(samples), device=samples.device)
    return samples[rows, best]
