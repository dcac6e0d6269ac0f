r"""Normalizing flow: an invertible map f from data to a Gaussian, and the volume it changes on the
way.

.. math::

    \log p(x \mid c) = \log \mathcal N\big(f(x; c); 0, I\big) + \log\left|\det \frac{\partial f(x;
    c)}{\partial x}\right|

f is a chain of *couplings*: half of the features passes unchanged and tells a network which
monotone spline to apply to the other half, so the Jacobian is triangular, its determinant a
product, and the inverse one pass as well. Images are squeezed (space into channels), each coupling
is preceded by ActNorm and an invertible 1x1 convolution, and half of the channels leaves at every
scale.

A density on the real line can be infinite on a grid, so discrete data is dequantised: x + u fills
[-1, 1], and what is exact for x + u is, by Jensen, a lower bound for x (Theis et al. 2016). The box
is left through a spline per feature (the feature's own distribution function, learned) and a logit,
so that samples cannot leave it either.

What the noise costs is a matter of shape: x + u has a *staircase* for a density, which smooth
splines round off. ``lattice`` puts couplings of piecewise-linear splines in front, inside the box,
with knots at the bins' edges: those can be staircases.

References: Dinh et al. 2017, *RealNVP*; Kingma & Dhariwal 2018, *Glow*; Durkan et al. 2019, *Neural
spline flows*; Müller et al. 2019, *Neural importance sampling* (piecewise-linear couplings, which
here become the lattice). Built on nflows, whose conventions end in this file.
"""

import copy

import torch
from nflows import transforms as nf
from torch import Tensor, nn
from torch.distributions import Normal

from genzoo import grid
from genzoo.distributions import guided_choice
from genzoo.model import GenerativeModel, Latent, Likelihood, require
from genzoo.nets import Condition, Field, is_image, waves

CANDIDATES = 16  # of each density, for a guided sample
LEAST = 1e-6  # mass of a bin of a histogram
TAIL = 5.0  # splines act on [-TAIL, TAIL] and are the identity outside


class Flow(GenerativeModel):
    """Coupling flow of rational-quadratic splines: exact density, exact inverse, one pass each way.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`; at least two
            features.
        width, dropout: of the networks inside the couplings.
        depth: residual stages of each of those networks.
        couplings: coupling steps (of each scale, on images).
        bins: pieces of each spline.
        frequencies: of the sines and cosines that the networks see beside the features that pass,
            in radians per unit.
        lattice: whether couplings in the box come first (discrete data only).
    """

    latent = Latent.EXACT
    guidable = True

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 1e-3,
        width: int = 64,
        depth: int = 1,
        couplings: int = 6,
        bins: int = 8,
        dropout: float = 0.0,
        frequencies: tuple[float, ...] = (),
        lattice: bool = False,
    ):
        super().__init__(event_shape, condition, levels, lr)
        if self.dims < 2:
            raise ValueError(
                f"A coupling flow needs at least two features, got event_shape={self.event_shape}."
            )
        require(1, width=width, couplings=couplings, bins=bins)
        require(0, depth=depth)
        if lattice and not levels:
            raise ValueError(
                "lattice=True is for discrete data: real-valued data has no bins to fit its splines to."
            )
        self.width, self.depth, self.couplings, self.bins, self.dropout = (
            width,
            depth,
            couplings,
            bins,
            dropout,
        )
        self.frequencies, self.lattice, self.latent_shape = (
            tuple(frequencies),
            lattice,
            (self.dims,),
        )
        self.embed = Condition(condition, width)
        self.transform = nf.CompositeTransform([*self.unbox(), self.couple()])

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """Exact for real-valued data; a bound for discrete data, because of dequantisation."""
        return Likelihood.BOUND if self.levels else Likelihood.EXACT

    # --------------------------------------------------------------------------------------- layers

    def unbox(self) -> list[nn.Module]:
        """[-1, 1] to the real line, for dequantised data: to [0, 1], one learned monotone spline
        per feature, logit.
        """
        if not self.levels:
            return []
        return [
            nf.PointwiseAffineTransform(shift=0.5, scale=0.5),
            *(
                [Lattice(self.event_shape, self.levels, self.width, self.depth, self.dropout)]
                if self.lattice
                else []
            ),
            nf.PiecewiseRationalQuadraticCDF(list(self.event_shape), num_bins=2 * self.bins),
            nf.Logit(),
        ]

    def couple(self) -> nn.Module:
        """Real events to latents ``(n, D)``: multi-scale on images with an even side, a chain of
        couplings on the rest.
        """
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
            net = Waves(
                inputs, shape[1:], self.frequencies, outputs, self.width, self.depth, self.dropout
            )
            # nflows scales the raw heights and widths of the splines down by the root of this
            net.hidden_features = self.width  # type: ignore[assignment]
            return net

        return nf.PiecewiseRationalQuadraticCouplingTransform(
            mask, network, num_bins=self.bins, tails="linear", tail_bound=TAIL, min_derivative=1e-2
        )

    # ----------------------------------------------------------------------------------- likelihood

    def log_density(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Exact log-density of real-valued ``x`` by change of variables: ``(n,)``, nats per event."""
        z, log_determinant = self.transform(x, self.embed(c, len(x)))
        return Normal(0.0, 1.0).log_prob(z).sum(1) + log_determinant

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """`log_density` of ``x``, dequantised by one draw of noise if the data is discrete:
        ``(n,)``, nats per event.
        """
        self.require_events(x)
        return self.log_density(inside(grid.dequantise(x, self.levels)) if self.levels else x, c)

    @property
    def unbiased(self) -> bool:
        """Yes: over dequantisation noise, the mean density of a bin is the bin's probability
        divided by its volume.
        """
        return True

    # ----------------------------------------------------------------------- samples and the latent

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """``(n, *event_shape)``: Gaussian noise through the inverse; see `guided` for a
        ``guidance`` other than 1.
        """
        return self.on_grid(self.draw(n, c) if guidance == 1.0 else self.guided(n, c, guidance))

    def draw(self, n: int, c: Tensor | None) -> Tensor:
        """``(n, *event_shape)`` of the density, before it is held to the data's levels."""
        return self.decode(
            torch.randn(n, self.dims, device=self.embed.null.device, dtype=self.embed.null.dtype), c
        )

    def guided(self, n: int, c: Tensor | None, guidance: float) -> Tensor:
        """Draws ``(n, *event_shape)`` of p(x | c)^w p(x)^(1 - w): each is the one picked by weight
        among `CANDIDATES` of both.

        A flow knows both densities exactly and draws in one pass, so it can afford to choose.
        """
        x = torch.stack([self.draw(n, way) for way in (c, None) for _ in range(CANDIDATES)])
        seen = inside(x) if self.levels else x
        log_given, log_free = (
            torch.stack([self.log_density(each, way) for each in seen]) for way in (c, None)
        )
        return x[guided_choice(log_given, log_free, guidance), torch.arange(n, device=x.device)]

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """z = f(x; c), ``(n, D)``; discrete data is taken at the centre of its bins."""
        self.require_events(x, decoded=True)
        return self.transform(inside(x) if self.levels else x, self.embed(c, len(x)))[0]

    @torch.no_grad()
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """x = f^-1(z; c), ``(n, *event_shape)``, in float64: the root inside a spline's inverse
        needs the digits.
        """
        double = copy.deepcopy(self.transform).double()
        return double.inverse(z.double(), self.embed(c, len(z)).double())[0].to(z.dtype)


class Waves(nn.Module):
    """The network inside a coupling: a `Field` that sees, beside its inputs, sines and cosines of
    them.
    """

    def __init__(
        self,
        inputs: int,
        size: tuple[int, ...],
        frequencies: tuple[float, ...],
        outputs: int,
        width: int,
        depth: int,
        dropout: float,
    ):
        super().__init__()
        self.frequencies, seen = frequencies, inputs * (1 + 2 * len(frequencies))
        self.field = Field((inputs, *size), width, width, depth, dropout, seen, outputs)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return self.field(torch.cat([x, waves(x, self.frequencies)], 1), e)


class Lattice(nf.Transform):
    """Nested couplings on [0, 1]^D: every other feature given the ones between, every other one of
    those given the rest, ...

    A coupling is a piecewise-linear distribution function with a knot at each edge of the levels'
    bins (Müller et al. 2019), that is a histogram of the odd features given the even ones. Images
    are cut along their longer side, columns or rows in turn; what cannot be cut so is taken as a
    line. After log2 D couplings one feature is left, which has a histogram of its own.
    """

    def __init__(self, shape: tuple[int, ...], levels: int, width: int, depth: int, dropout: float):
        super().__init__()
        self.shape, self.levels, self.bins = line(shape), levels, bins_for(levels)
        self.axis = 2 if is_image(self.shape) and self.shape[1] > self.shape[2] else len(self.shape)
        even, self.odd = (
            tuple(half.shape[1:]) for half in self.halves(torch.empty(1, *self.shape))
        )
        several = torch.Size(self.shape).numel() > 1
        outputs = self.bins * (even[0] if is_image(even) else self.odd[0])
        self.network = (
            Field(even, width, width, depth, dropout, outputs=outputs) if several else None
        )
        self.rest = Lattice(even, levels, width, depth, dropout) if several else None
        self.alone = None if several else nn.Parameter(torch.zeros(self.bins))

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The even and the odd places along the axis that is cut."""
        places = torch.arange(x.shape[self.axis], device=x.device)
        return x.index_select(self.axis, places[0::2]), x.index_select(self.axis, places[1::2])

    def joined(self, even: Tensor, odd: Tensor) -> Tensor:
        places = torch.arange(even.shape[self.axis] + odd.shape[self.axis], device=even.device)
        return torch.cat([even, odd], self.axis).index_select(
            self.axis, places // 2 + places % 2 * even.shape[self.axis]
        )

    def histograms(self, even: Tensor, e: Tensor) -> Tensor:
        """Log-masses of the odd features given the *levels* of the even ones, ``(n, *odd.shape,
        bins)``, not normalised.

        Not given their noise, which says nothing about the data: so the bound of a lattice is
        tight.
        """
        raw = self.network(grid.quantise(2 * even - 1, self.levels), e)  # type: ignore[misc]
        return (
            raw.unflatten(1, (self.bins, -1)).movedim(1, -1).view(len(even), *self.odd, self.bins)
        )

    def forward(self, inputs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        x = inputs.reshape(-1, *self.shape)
        if self.rest is None:
            y, log_slopes = staircase(x, self.alone.expand(*x.shape, -1))  # type: ignore[union-attr]
            return y.view_as(inputs), log_slopes.flatten(1).sum(1)
        even, odd = self.halves(x)
        odd, log_slopes = staircase(odd, self.histograms(even, context))
        even, log_determinant = self.rest(even, context)
        y = self.joined(even, odd)
        return y.view_as(inputs), log_determinant + log_slopes.flatten(1).sum(1)

    def inverse(self, inputs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        y = inputs.reshape(-1, *self.shape)
        if self.rest is None:
            x, log_slopes = staircase(y, self.alone.expand(*y.shape, -1), inverse=True)  # type: ignore[union-attr]
            return x.view_as(inputs), log_slopes.flatten(1).sum(1)
        even, odd = self.halves(y)
        even, log_determinant = self.rest.inverse(even, context)
        odd, log_slopes = staircase(odd, self.histograms(even, context), inverse=True)
        x = self.joined(even, odd)
        return x.view_as(inputs), log_determinant + log_slopes.flatten(1).sum(1)


def staircase(x: Tensor, logits: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """The distribution function on [0, 1] of histograms ``logits`` (..., bins), at x (...): its
    values and its log-slopes.

    No bin is emptier than `LEAST`, so that the inverse exists everywhere.
    """
    bins = logits.shape[-1]
    mass = (1 - bins * LEAST) * logits.softmax(-1) + LEAST
    upper = mass.cumsum(-1)
    if inverse:
        k = (x.unsqueeze(-1) >= upper[..., :-1]).sum(-1, keepdim=True)
    else:
        k = (x * bins).long().clamp(0, bins - 1).unsqueeze(-1)
    m, below = mass.gather(-1, k).squeeze(-1), (upper - mass).gather(-1, k).squeeze(-1)
    k, log_slope = k.squeeze(-1), torch.log(m * bins)
    return (
        ((k + (x - below) / m) / bins, -log_slope)
        if inverse
        else (below + (x * bins - k) * m, log_slope)
    )


def line(shape: tuple[int, ...]) -> tuple[int, ...]:
    """An image whose longer side is even stays one; every other shape becomes a line of features."""
    return shape if is_image(shape) and max(shape[1:]) % 2 == 0 else (torch.Size(shape).numel(),)


def bins_for(levels: int, most: int = 32) -> int:
    """As many bins as there are levels, or the largest divisor of their number that is at most
    ``most``.
    """
    return (
        max(bins for bins in range(1, most + 1) if levels % bins == 0) if levels > most else levels
    )


class Flatten(nf.Transform):
    """Events of any shape as vectors, and back."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs.flatten(1), inputs.new_zeros(len(inputs))

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs.reshape(-1, *self.shape), inputs.new_zeros(len(inputs))


class Solved:
    """Inverse of nflows' LU maps by `torch.linalg`; theirs calls a function that PyTorch is about
    to remove.
    """

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
    """How often an image can be squeezed (2 x 2 pixels into 4 channels): while both sides are even,
    at most ``most``.
    """
    count = 0
    while (
        is_image(shape) and count < most and all(side % 2 ** (count + 1) == 0 for side in shape[1:])
    ):
        count += 1
    return count
