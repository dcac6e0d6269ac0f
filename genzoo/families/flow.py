r"""Normalizing flow: an invertible map f from data to a Gaussian.

The density is the Gaussian's, times the change of volume under f.

.. math::

    \log p(x \mid c) = \log \mathcal N\big(f(x; c); 0, I\big) + \log\left|\det \frac{\partial f(x;
    c)}{\partial x}\right|

f is a chain of *couplings*: half of the features passes unchanged and is the input of a network
that chooses a monotone spline for the other half, so the Jacobian is triangular, its determinant a
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

from collections.abc import Callable
from typing import Any

import torch
from nflows import transforms as nf
from torch import Tensor, nn
from torch.distributions import Normal
from torch.func import functional_call

from genzoo import grid
from genzoo.distributions import importance_resample
from genzoo.families.splines import Least, between_tails, of_features
from genzoo.model import DEEPEST, GenerativeModel, Latent, Likelihood, require
from genzoo.nets import Condition, event_network, is_image

# of each density, for a guided sample
CANDIDATES = 16

# mass of a bin of a histogram
LEAST = 1e-6

# splines act on [-TAIL, TAIL] and are the identity outside
TAIL = 5.0

# (shape, outputs) -> network of a coupling
Networks = Callable[[tuple[int, ...], int], nn.Module]


class Flow(GenerativeModel):
    """Coupling flow of rational-quadratic splines: exact density, exact inverse, one pass each way.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`; at least two
            features.
        width, depth, dropout: of the networks inside the couplings, each a `genzoo.nets.UNet` or
            `MLP`.
        couplings: coupling steps (of each scale, on images).
        bins: pieces of each spline.
        frequencies: of the sines and cosines that the networks see beside the features that pass,
            in radians per unit.
        lattice: whether couplings in the box come first (discrete data only).
        network: makes the networks inside the couplings in place of the default, see `genzoo.nets`.
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
        network: Networks | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        if self.dims < 2:
            raise ValueError(
                f"A coupling flow needs at least two features, got event_shape={self.event_shape}."
            )
        require(1, width=width, couplings=couplings, bins=bins)
        require(0, DEEPEST, depth=depth)
        if lattice and not levels:
            raise ValueError(
                "lattice=True is for discrete data: "
                "real-valued data has no bins to fit its splines to."
            )
        self.width = width
        self.depth = depth
        self.couplings = couplings
        self.bins = bins
        self.dropout = dropout
        self.frequencies = tuple(frequencies)
        self.lattice = lattice
        self.network = network
        self.latent_shape = (self.dims,)
        self.embed = Condition(condition, width)
        self.transform = nf.CompositeTransform([*self.unbox(), self.couple()])

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """Exact for real-valued data; a bound for discrete data, because of dequantisation."""
        return Likelihood.BOUND if self.levels else Likelihood.EXACT

    # --------------------------------------------------------------------------------------- layers

    def default_network(self, shape: tuple[int, ...], outputs: int, *frequencies: float):
        """The network of a coupling: a U-Net on images, an MLP on vectors."""
        return event_network(
            shape,
            self.width,
            self.width,
            self.depth,
            self.dropout,
            frequencies,
            outputs,
        )

    def unbox(self) -> list[nn.Module]:
        """Dequantised data in [-1, 1] to the real line.

        To [0, 1], the couplings of a lattice, one learned monotone spline per feature, logit.
        """
        if not self.levels:
            return []
        chain: list[nn.Module] = [nf.PointwiseAffineTransform(shift=0.5, scale=0.5)]
        if self.lattice:
            network = self.network or self.default_network
            chain.append(HistogramCoupling(self.event_shape, self.levels, network))
        spline = FeatureSplines(list(self.event_shape), num_bins=2 * self.bins)
        return [*chain, spline, nf.Logit()]

    def couple(self) -> nn.Module:
        """Real-valued observations to latents ``(n, D)``.

        Multi-scale on images with even sides, a chain of couplings on the rest.
        """
        scales = squeezes(self.event_shape)
        if not scales:
            return self.chain()
        pyramid = nf.MultiscaleCompositeTransform(scales)
        shape = self.event_shape
        for _ in range(scales):
            channels, height, width = shape
            squeezed = (4 * channels, height // 2, width // 2)
            stays = pyramid.add_transform(self.scale(squeezed), squeezed)
            shape = stays or squeezed  # of the last scale, nothing stays
        return pyramid

    def chain(self) -> nn.Module:
        """Couplings of vectors, each after a learned mixture of the features."""
        layers: list[nn.Module] = [Flatten(self.event_shape)]
        for i in range(self.couplings):
            layers.append(LinearMap(self.dims, identity_init=True))
            layers.append(self.coupling((self.dims,), i))
        return nf.CompositeTransform(layers)

    def scale(self, shape: tuple[int, ...]) -> nn.Module:
        """Squeezing to ``shape``, then couplings, each after ActNorm and a 1x1 convolution."""
        channels = shape[0]
        layers: list[nn.Module] = [nf.SqueezeTransform()]
        for i in range(self.couplings):
            layers.append(nf.ActNorm(channels))
            layers.append(ChannelMap(channels))
            layers.append(self.coupling(shape, i))
        return nf.CompositeTransform(layers)

    def coupling(self, shape: tuple[int, ...], parity: int) -> nn.Module:
        """Spline coupling on ``shape``; which features pass unchanged alternates by ``parity``."""
        mask = (torch.arange(shape[0]) + parity) % 2

        def network(inputs: int, outputs: int) -> nn.Module:
            passed = (inputs, *shape[1:])
            if self.network is not None:
                made = self.network(passed, outputs)
            else:
                made = self.default_network(passed, outputs, *self.frequencies)
            # nflows scales the raw heights and widths of the splines down by the root of this
            made.hidden_features = self.width  # type: ignore[assignment]
            return made

        return SplineCoupling(
            mask,
            network,
            num_bins=self.bins,
            tails="linear",
            tail_bound=TAIL,
            min_derivative=1e-2,
        )

    # ----------------------------------------------------------------------------------- likelihood

    def log_density(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Exact log-density of real-valued ``x`` by change of variables: ``(n,)`` nats."""
        z, log_determinant = self.transform(x, self.embed(c, len(x)))
        return Normal(0.0, 1.0).log_prob(z).sum(1) + log_determinant

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """`log_density` of x, ``(n,)`` nats; discrete data is dequantised by a sample of noise."""
        self.require_events(x)
        if self.levels:
            x = inside(grid.dequantise(x, self.levels))
        return self.log_density(x, c)

    @property
    def unbiased(self) -> bool:
        """True: averaged over dequantisation noise, the density is right.

        The mean density of a bin is the bin's probability divided by its volume.
        """
        return True

    @torch.no_grad()
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Of several processes, let ActNorm begin alike: by the first whole batch, not by a part.

        It takes its scale and shift from the first events that it sees.
        """
        if batch_idx or self.trainer.world_size == 1 or self.global_step:
            return
        x, c = self.prepare(batch)
        parts: Any = self.all_gather((x,) if c is None else (x, c))
        self.log_prob(*(part.flatten(0, 1) for part in parts))
        for value in (*self.parameters(), *self.buffers()):
            value.copy_(self.trainer.strategy.broadcast(value))

    # ----------------------------------------------------------------------- samples and the latent

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """``(n, *event_shape)``: Gaussian noise through the inverse.

        See `guided` for a ``guidance`` other than 1.
        """
        if guidance != 1.0:
            return self.on_grid(self.guided(n, c, guidance))
        return self.on_grid(self.draw(n, c))

    def draw(self, n: int, c: Tensor | None) -> Tensor:
        """Samples ``(n, *event_shape)`` of the density, not yet rounded to the data's levels."""
        noise = self.latent_noise(n)
        return self.decode(noise, c)

    def guided(self, n: int, c: Tensor | None, guidance: float) -> Tensor:
        """Samples ``(n, *event_shape)`` of p(x | c)^w p(x)^(1 - w), normalised.

        Each is picked by weight among `CANDIDATES` of both densities. A flow computes both exactly
        and samples in one pass, so it can afford to choose.

        Args:
            n: number of samples.
            c: a condition for each.
            guidance: w.
        """
        given = [self.draw(n, c) for _ in range(CANDIDATES)]
        free = [self.draw(n, None) for _ in range(CANDIDATES)]
        x = torch.stack(given + free)

        candidates = inside(x) if self.levels else x
        log_given = [self.log_density(each, c) for each in candidates]
        log_free = [self.log_density(each, None) for each in candidates]

        choice = importance_resample(torch.stack(log_given), torch.stack(log_free), guidance)
        rows = torch.arange(n, device=x.device)
        return x[choice, rows]

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """z = f(x; c), ``(n, D)``; discrete data is taken at the centre of its bins."""
        self.require_events(x, decoded=True)
        if self.levels:
            x = inside(x)
        z, _ = self.transform(x, self.embed(c, len(x)))
        return z

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """x = f^-1(z; c), ``(n, *event_shape)``; it can be differentiated.

        It is computed in float64: the root inside a spline's inverse needs the digits.
        """
        inverse = Inverse(self.transform)
        weights = dict(inverse.named_parameters()) | dict(inverse.named_buffers())
        for name, value in weights.items():
            if value.is_floating_point():
                weights[name] = value.double()
        e = self.embed(c, len(z))
        arguments = (z.double(), e.double())
        x = functional_call(inverse, weights, arguments)
        return x.to(z.dtype)


class Inverse(nn.Module):
    """A transform run backwards, so that `torch.func.functional_call` can give it its weights."""

    def __init__(self, transform: nf.Transform):
        super().__init__()
        self.transform = transform

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        return self.transform.inverse(z, e)[0]


class SplineCoupling(nf.PiecewiseRationalQuadraticCouplingTransform):
    """nflows' coupling, its splines by `between_tails`, which are the same and quicker."""

    def _coupling_transform(
        self, inputs: Tensor, transform_params: Tensor, inverse: bool = False
    ) -> tuple[Tensor, Tensor]:
        raw = transform_params.unflatten(1, (inputs.shape[1], -1))
        # so that the sizes of bins begin nearly equal, whatever the width of the network
        scale = raw.new_ones(raw.shape[2])
        scale[: 2 * self.num_bins] = self.transform_net.hidden_features**-0.5
        raw = raw * scale.view(-1, *[1] * (inputs.dim() - 2))
        least = Least(self.min_bin_width, self.min_derivative)
        y, log_slopes = between_tails(inputs, raw, self.tail_bound, least, inverse)
        return y, log_slopes.flatten(1).sum(1)


class FeatureSplines(nf.PiecewiseRationalQuadraticCDF):
    """nflows' splines of single features, by `of_features`."""

    def _spline(self, inputs: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        y, log_slopes = of_features(
            inputs,
            self.unnormalized_widths,
            self.unnormalized_heights,
            self.unnormalized_derivatives,
            Least(self.min_bin_width, self.min_derivative),
            inverse,
        )
        return y, log_slopes.flatten(1).sum(1)


class HistogramCoupling(nf.Transform):
    """Nested couplings on [0, 1]^D: the odd features given the even ones, half of those given ...

    A coupling is a piecewise-linear distribution function with a knot at each edge of the levels'
    bins (Müller et al. 2019), that is a histogram of the odd features given the even ones. Images
    are cut along their longer side, columns or rows in turn; what cannot be cut so is taken as a
    line. After log2 D couplings one feature is left, which has a histogram of its own.

    Args:
        shape: of an observation.
        levels: of the data.
        network: makes the network of a coupling, see `genzoo.nets`.
    """

    def __init__(self, shape: tuple[int, ...], levels: int, network: Networks):
        super().__init__()
        self.shape = line(shape)
        self.levels = levels
        self.bins = bins_for(levels)
        wide = is_image(self.shape) and self.shape[1] > self.shape[2]
        self.axis = 2 if wide else len(self.shape)
        if torch.Size(self.shape).numel() == 1:
            self.inner = None
            self.logits = nn.Parameter(torch.zeros(self.bins))
            return
        even, odd = self.halves(torch.empty(1, *self.shape))
        even_shape = tuple(even.shape[1:])
        self.odd_shape = tuple(odd.shape[1:])
        # a histogram for each channel of a pixel, or for each odd feature of a line
        histograms = even_shape[0] if is_image(even_shape) else self.odd_shape[0]
        self.network = network(even_shape, self.bins * histograms)
        self.inner = HistogramCoupling(even_shape, levels, network)

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The even and the odd places along the axis that is cut."""
        places = torch.arange(x.shape[self.axis], device=x.device)
        even = x.index_select(self.axis, places[0::2])
        odd = x.index_select(self.axis, places[1::2])
        return even, odd

    def interleave(self, even: Tensor, odd: Tensor) -> Tensor:
        """The inverse of `halves`."""
        evens = even.shape[self.axis]
        odds = odd.shape[self.axis]
        places = torch.arange(evens + odds, device=even.device)
        is_odd = places % 2
        where = places // 2 + is_odd * evens
        joined = torch.cat([even, odd], self.axis)
        return joined.index_select(self.axis, where)

    def histograms(self, even: Tensor, e: Tensor) -> Tensor:
        """Log-masses of the odd features given the *levels* of the even ones, not normalised.

        They are ``(n, *odd_shape, bins)``. The noise of the even ones carries no information about
        the data: since the network does not see it, the bound of the couplings is tight.
        """
        quantised = grid.quantise(2 * even - 1, self.levels)
        raw = self.network(quantised, e)
        each = raw.unflatten(1, (self.bins, -1))
        each = each.movedim(1, -1)
        return each.reshape(len(even), *self.odd_shape, self.bins)

    def forward(self, inputs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        x = inputs.reshape(-1, *self.shape)
        if self.inner is None:
            logits = self.logits.expand(*x.shape, -1)
            y, log_slopes = piecewise_linear_cdf(x, logits)
            log_determinant = log_slopes.flatten(1).sum(1)
            return y.view_as(inputs), log_determinant
        even, odd = self.halves(x)
        logits = self.histograms(even, context)
        odd, log_slopes = piecewise_linear_cdf(odd, logits)
        even, log_determinant = self.inner(even, context)
        log_determinant = log_determinant + log_slopes.flatten(1).sum(1)
        y = self.interleave(even, odd)
        return y.view_as(inputs), log_determinant

    def inverse(self, inputs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        y = inputs.reshape(-1, *self.shape)
        if self.inner is None:
            logits = self.logits.expand(*y.shape, -1)
            x, log_slopes = piecewise_linear_cdf(y, logits, inverse=True)
            log_determinant = log_slopes.flatten(1).sum(1)
            return x.view_as(inputs), log_determinant
        even, odd = self.halves(y)
        even, log_determinant = self.inner.inverse(even, context)
        logits = self.histograms(even, context)
        odd, log_slopes = piecewise_linear_cdf(odd, logits, inverse=True)
        log_determinant = log_determinant + log_slopes.flatten(1).sum(1)
        x = self.interleave(even, odd)
        return x.view_as(inputs), log_determinant


def piecewise_linear_cdf(
    x: Tensor,
    logits: Tensor,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The distribution function of a histogram on [0, 1], or its inverse.

    Args:
        x: places (masses, for the inverse) in [0, 1], ``(...)``.
        logits: log-masses of the bins, ``(..., bins)``. No bin is emptier than `LEAST`, so that
            the inverse exists everywhere.
        inverse: whether the inverse is asked for.

    Returns:
        its values and its log-slopes, ``(...)`` each.
    """
    bins = logits.shape[-1]
    shared = 1 - bins * LEAST
    masses = shared * logits.softmax(-1) + LEAST
    upper = masses.cumsum(-1)
    if inverse:
        passed = x.unsqueeze(-1) >= upper[..., :-1]
        k = passed.sum(-1)
    else:
        k = (x * bins).long().clamp(0, bins - 1)

    def of_bin(values: Tensor) -> Tensor:
        chosen = values.gather(-1, k.unsqueeze(-1))
        return chosen.squeeze(-1)

    mass = of_bin(masses)
    below = of_bin(upper - masses)
    log_slope = torch.log(mass * bins)
    if inverse:
        place = (k + (x - below) / mass) / bins
        return place, -log_slope
    value = below + (x * bins - k) * mass
    return value, log_slope


def line(shape: tuple[int, ...]) -> tuple[int, ...]:
    """An image whose longer side is even stays one; any other shape becomes a line of features."""
    if is_image(shape):
        longer_side = max(shape[1:])
        if longer_side % 2 == 0:
            return shape
    return (torch.Size(shape).numel(),)


def bins_for(levels: int, most: int = 256) -> int:
    """As many bins as there are levels, or the largest divisor of that up to ``most``."""
    if levels <= most:
        return levels
    divisors = [bins for bins in range(1, most + 1) if levels % bins == 0]
    return max(divisors)


class Flatten(nf.Transform):
    """Observations of any shape as vectors, and back."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs.flatten(1), inputs.new_zeros(len(inputs))

    def inverse(self, inputs: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return inputs.reshape(-1, *self.shape), inputs.new_zeros(len(inputs))


class SolvedInverse:
    """Inverse of nflows' linear maps by `torch.linalg`.

    Theirs calls a function that PyTorch is about to remove.
    """

    bias: Tensor
    weight: Callable[[], Tensor]
    logabsdet: Callable[[], Tensor]

    def inverse_no_cache(self, y: Tensor) -> tuple[Tensor, Tensor]:
        centred = y - self.bias
        x = torch.linalg.solve(self.weight(), centred.T).T
        log_determinant = -self.logabsdet()
        return x, log_determinant * x.new_ones(len(x))


class LinearMap(SolvedInverse, nf.LULinear):
    """Invertible matrix on vectors."""


class ChannelMap(SolvedInverse, nf.OneByOneConvolution):
    """Invertible matrix on the channels of each pixel (Kingma & Dhariwal 2018)."""


def inside(x: Tensor) -> Tensor:
    """Keep dequantised data off the very faces of its box, where a logit is infinite."""
    return x.clamp(1e-6 - 1, 1 - 1e-6)


def squeezes(shape: tuple[int, ...], most: int = 2) -> int:
    """Number of times that an image can be squeezed (2 x 2 pixels into 4 channels), up to ``most``.

    Both sides must be even each time.
    """
    if not is_image(shape):
        return 0
    _, height, width = shape
    count = 0
    while count < most and height % 2 == 0 and width % 2 == 0:
        height //= 2
        width //= 2
        count += 1
    return count
