r"""Normalizing flow: an invertible map f from data to a Gaussian, and the volume it changes on the way.

.. math::

    \log p(x \mid c) = \log \mathcal N\big(f(x; c); 0, I\big) + \log\left|\det \frac{\partial f(x; c)}{\partial x}\right|

f is a chain of *couplings*: half of the features passes unchanged and tells a network which monotone spline to apply to the
other half, so the Jacobian is triangular, its determinant a product, and the inverse one pass as well. Images are squeezed
(space into channels), each coupling is preceded by ActNorm and an invertible 1x1 convolution, and half of the channels
leaves at every scale.

A density on the real line can put infinite mass on a grid, so discrete data is dequantised: x + u fills [-1, 1], and what is
exact for x + u is, by Jensen, a lower bound for x (Theis et al. 2016). The box is left through a spline per feature (the
feature's own distribution function, learned) and a logit, so that samples cannot leave it either.

References: Dinh et al. 2017, *RealNVP*; Kingma & Dhariwal 2018, *Glow*; Durkan et al. 2019, *Neural spline flows*. Built on
nflows, whose conventions end in this file.
"""

import copy

import torch
from nflows import transforms as nf
from torch import Tensor, nn
from torch.distributions import Normal

from genzoo import grid
from genzoo.model import GenerativeModel, Likelihood
from genzoo.nets import Condition, Field, is_image

TAIL = 5.0  # splines act on [-TAIL, TAIL] and are the identity outside


class Flow(GenerativeModel):
    """Coupling flow of rational-quadratic splines: exact density, exact inverse, one pass each way.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`; at least two features.
        width, dropout: of the networks inside the couplings.
        depth: residual stages of each of those networks.
        couplings: coupling steps (of each scale, on images).
        bins: pieces of each spline.
    """

    def __init__(self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0, lr: float = 1e-3, width: int = 64,
                 depth: int = 1, couplings: int = 6, bins: int = 8, dropout: float = 0.0):  # fmt: skip
        super().__init__(event_shape, condition, levels, lr)
        if self.dims < 2:
            raise ValueError(f"A coupling flow needs at least two features, got event_shape={self.event_shape}.")
        self.width, self.depth, self.couplings, self.bins, self.dropout = width, depth, couplings, bins, dropout
        self.latent_shape = (self.dims,)
        self.embed = Condition(condition, width)
        self.transform = nf.CompositeTransform([*self.unbox(), self.couple()])

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """Exact for real-valued data; a bound for discrete data, because of dequantisation."""
        return Likelihood.BOUND if self.levels else Likelihood.EXACT

    # -------------------------------------------------------------------------------------------------------- layers

    def unbox(self) -> list[nn.Module]:
        """[-1, 1] to the real line, for dequantised data: to [0, 1], one learned monotone spline per feature, logit."""
        if not self.levels:
            return []
        return [
            nf.PointwiseAffineTransform(shift=0.5, scale=0.5),
            nf.PiecewiseRationalQuadraticCDF(list(self.event_shape), num_bins=2 * self.bins),
            nf.Logit(),
        ]

    def couple(self) -> nn.Module:
        """Real events to latents ``(n, D)``: multi-scale on images with an even side, a chain of couplings on the rest."""
        scales = squeezes(self.event_shape)
        if not scales:
            chain: list[nn.Module] = [Flatten(self.event_shape)]
            for i in range(self.couplings):
                chain += [LinearMap(self.dims, identity_init=True), self.coupling((self.dims,), i)]
            return nf.CompositeTransform(chain)
        pyramid, shape = nf.MultiscaleCompositeTransform(scales), self.event_shape
        for _ in range(scales):
            shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
            steps: list[nn.Module] = [nf.SqueezeTransform()]
            for i in range(self.couplings):
                steps += [nf.ActNorm(shape[0]), ChannelMap(shape[0]), self.coupling(shape, i)]
            shape = pyramid.add_transform(nf.CompositeTransform(steps), shape) or shape
        return pyramid

    def coupling(self, shape: tuple[int, ...], parity: int) -> nn.Module:
        """Spline coupling on ``shape``; which features pass unchanged alternates with ``parity``."""
        mask = (torch.arange(shape[0]) + parity) % 2

        def network(inputs: int, outputs: int) -> nn.Module:
            net = Field((inputs, *shape[1:]), self.width, self.width, self.depth, self.dropout, inputs, outputs)
            # nflows scales the raw heights and widths of the splines down by the root of this
            net.hidden_features = self.width  # type: ignore[assignment]
            return net

        return nf.PiecewiseRationalQuadraticCouplingTransform(
            mask, network, num_bins=self.bins, tails="linear", tail_bound=TAIL, min_derivative=1e-2
        )

    # ---------------------------------------------------------------------------------------------------- likelihood

    def log_density(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Exact log-density of real-valued ``x`` by change of variables: ``(n,)``, nats per event."""
        z, log_determinant = self.transform(x, self.embed(c, len(x)))
        return Normal(0.0, 1.0).log_prob(z).sum(1) + log_determinant

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """`log_density` of ``x``, dequantised by one draw of noise if the data is discrete: ``(n,)``, nats per event."""
        return self.log_density(inside(grid.dequantise(x, self.levels)) if self.levels else x, c)

    @property
    def unbiased(self) -> bool:
        """Yes: over dequantisation noise, the mean density of a bin is the bin's probability divided by its volume."""
        return True

    # ------------------------------------------------------------------------------------------ samples and the latent

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """``(n, *event_shape)``: Gaussian noise through the inverse."""
        z = torch.randn(n, self.dims, device=self.embed.null.device, dtype=self.embed.null.dtype)
        return self.on_grid(self.decode(z, c))

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """z = f(x; c), ``(n, D)``; discrete data is taken at the centre of its bins."""
        return self.transform(inside(x) if self.levels else x, self.embed(c, len(x)))[0]

    @torch.no_grad()
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """x = f^-1(z; c), ``(n, *event_shape)``, in float64: the root inside a spline's inverse needs the digits."""
        double = copy.deepcopy(self.transform).double()
        return double.inverse(z.double(), self.embed(c, len(z)).double())[0].to(z.dtype)


class Flatten(nf.Transform):
    """Events of any shape as vectors, and back."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs.flatten(1), inputs.new_zeros(len(inputs))

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs.view(-1, *self.shape), inputs.new_zeros(len(inputs))


class Solved:
    """Inverse of nflows' LU maps by `torch.linalg`; theirs calls a function that PyTorch is about to remove."""

    def inverse_no_cache(self, y: Tensor) -> tuple[Tensor, Tensor]:
        lower, upper = self._create_lower_upper()  # type: ignore[attr-defined]
        y = torch.linalg.solve_triangular(lower, (y - self.bias).T, upper=False, unitriangular=True)  # type: ignore[attr-defined]
        x = torch.linalg.solve_triangular(upper, y, upper=True).T
        return x, -self.logabsdet() * x.new_ones(len(x))  # type: ignore[attr-defined]


class LinearMap(Solved, nf.LULinear):
    """Invertible matrix on vectors."""


class ChannelMap(Solved, nf.OneByOneConvolution):
    """Invertible matrix on the channels of each pixel (Kingma & Dhariwal 2018)."""


def inside(x: Tensor) -> Tensor:
    """Keep dequantised data off the very faces of its box, where a logit is infinite."""
    return x.clamp(1e-6 - 1, 1 - 1e-6)


def squeezes(shape: tuple[int, ...], most: int = 2) -> int:
    """How often an image can be squeezed (2 x 2 pixels into 4 channels): while both sides are even, at most ``most``."""
    count = 0
    while is_image(shape) and count < most and all(side % 2 ** (count + 1) == 0 for side in shape[1:]):
        count += 1
    return count
