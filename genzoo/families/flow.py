r"""Normalizing flow: an invertible map f from data to a Gaussian.

The density is the Gaussian's, times the change of volume under f.

.. math::

    \log p(x \mid c) = \log \mathcal N\big(f(x; c); 0, I\big) + \log\left|\det \frac{\partial f(x;
    c)}{\partial x}\right|

f is a chain of *couplings*: half of the features passes unchanged and is the input of a network
that chooses a monotone spline for the other half, so the Jacobian is triangular, its determinant a
product, and the inverse one pass as well. Images are squeezed (space into channels), each coupling
is preceded by ActNorm and an invertible 1x1 convolution, and half of the channels leave at every
scale.

A density on the real line can be infinite on a grid, so discrete data is dequantised: x + u fills
[-1, 1], and what is exact for x + u is, by Jensen, a lower bound for x (Theis et al. 2016). The box
is left through a spline per feature (the feature's own distribution function, learned) and a logit,
so that samples cannot leave it either.

What the noise costs is a matter of shape: x + u has a *staircase* for a density, which smooth
splines round off. ``lattice`` puts couplings of piecewise-linear splines in front, inside the box,
with knots at the bins' edges: those can be staircases. ``pyramid`` makes a flow of images of
nothing else, from the coarse to the fine (`genzoo.families.pyramid`): its likelihood is exact.

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
from genzoo.families.lattice import HistogramCoupling, Networks
from genzoo.families.pyramid import Guided, Pyramid
from genzoo.families.splines import Least, between_tails, of_features
from genzoo.model import DEEPEST, GenerativeModel, Latent, Likelihood, require
from genzoo.nets import Condition, event_network, is_image

# of each density, for a guided sample
CANDIDATES = 16

# splines act on [-TAIL, TAIL] and are the identity outside
TAIL = 5.0


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
        pyramid: how often an image's sides are halved in a `genzoo.families.pyramid.Pyramid`, which
            then is the whole flow; 0 for none. What is left is drawn feature by feature.
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
        pyramid: int = 0,
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
        most = squeezes(self.event_shape, most=pyramid) if levels else 0
        if not 0 <= pyramid <= most:
            raise ValueError(
                "pyramid counts how often both sides of a discrete image are halved, "
                f"at most {squeezes(self.event_shape, most=DEEPEST) if levels else 0} times in "
                f"{self.event_shape} with {levels} levels, got {pyramid}."
            )
        self.width = width
        self.depth = depth
        self.couplings = couplings
        self.bins = bins
        self.dropout = dropout
        self.frequencies = tuple(frequencies)
        self.lattice = lattice
        self.pyramid = pyramid
        self.network = network
        self.latent_shape = (self.dims,)
        self.embed = Condition(condition, width)
        self.transform = self.staircase() if pyramid else self.smooth()

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """Exact for real-valued data; a bound for discrete data, because of dequantisation.

        Of a pyramid the density is the same all over a bin, whatever the noise, and so is exact.
        """
        if isinstance(self.transform, Pyramid) and self.transform.exact:
            return Likelihood.EXACT
        return Likelihood.BOUND if self.levels else Likelihood.EXACT

    # --------------------------------------------------------------------------------------- layers

    def default_network(
        self, shape: tuple[int, ...], outputs: int, *frequencies: float, head_kernel: int = 3
    ):
        """The network of a coupling: a U-Net on images, an MLP on vectors."""
        return event_network(
            shape,
            self.width,
            self.width,
            self.depth,
            self.dropout,
            frequencies,
            outputs,
            head_kernel=head_kernel,
        )

    def staircase(self) -> Pyramid:
        """Discrete images to latents from the coarse to the fine, see `genzoo.families.pyramid`."""

        def network(shape: tuple[int, ...], outputs: int) -> nn.Module:
            if self.network is not None:
                return self.network(shape, outputs)
            return self.default_network(shape, outputs, *self.frequencies, head_kernel=1)

        return Pyramid(self.event_shape, self.levels, self.width, self.pyramid, network)

    def smooth(self) -> nf.CompositeTransform:
        """Observations to latents ``(n, D)`` by splines: out of the box, then couplings."""
        return nf.CompositeTransform([*self.unbox(), self.couple()])

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
        e = self.embed(c, len(x))
        if isinstance(self.transform, Pyramid):
            return self.transform.log_density(x, e)
        z, log_determinant = self.transform(x, e)
        return Normal(0.0, 1.0).log_prob(z).sum(1) + log_determinant

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """`log_density` of x, ``(n,)`` nats; discrete data is dequantised by a sample of noise."""
        self.require_events(x)
        if self.levels:
            x = inside(grid.dequantise(x, self.levels))
        return self.log_density(x, c)

    @property
    def evaluations_per_sample(self) -> int:
        """One of the whole chain; of a pyramid each histogram that is waited for counts."""
        if isinstance(self.transform, Pyramid):
            return self.transform.steps
        return 1

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
        if self.pyramid:  # single precision will do for a sample that nobody has to encode
            return self.transform.inverse(noise, self.embed(c, n))[0]
        return self.decode(noise, c)

    def guided(self, n: int, c: Tensor | None, guidance: float) -> Tensor:
        """Samples ``(n, *event_shape)`` of p(x | c)^w p(x)^(1 - w), normalised.

        Each is picked by weight among `CANDIDATES` of both densities. A flow computes both exactly
        and samples in one pass, so it can afford to choose. A pyramid need not: each histogram that
        it draws a feature from is tilted so, and normalised by itself, as an autoregressive model's
        conditionals are.

        Args:
            n: number of samples.
            c: a condition for each.
            guidance: w.
        """
        if self.pyramid:
            given = self.embed(c, n)
            free = self.embed(None, n)
            tilted = Guided(given, free, guidance)
            return self.transform.inverse(self.latent_noise(n), tilted)[0]
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
        e = self.embed(c, len(x))
        if not self.pyramid:
            return self.transform(x, e)[0]
        # a level's bin may be so narrow that single precision does not tell its edges apart
        z, _ = functional_call(self.transform, self.double_weights(), (x.double(), e.double()))
        return z.to(x.dtype)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """x = f^-1(z; c), ``(n, *event_shape)``; it can be differentiated.

        It is computed in float64: the root inside a spline's inverse needs the digits.
        """
        return self.inverse(z, self.embed(c, len(z)))

    def inverse(self, z: Tensor, e: Tensor | Guided) -> Tensor:
        """`decode`, of an embedding in place of a condition."""
        if isinstance(e, Guided):
            e = Guided(e.given.double(), e.free.double(), e.weight)
        else:
            e = e.double()
        weights = {f"transform.{name}": value for name, value in self.double_weights().items()}
        x = functional_call(Inverse(self.transform), weights, (z.double(), e))
        return x.to(z.dtype)

    def double_weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of the transform by name, in float64."""
        weights = dict(self.transform.named_parameters()) | dict(self.transform.named_buffers())
        for name, value in weights.items():
            if value.is_floating_point():
                weights[name] = value.double()
        return weights


class Inverse(nn.Module):
    """A transform run backwards, so that `torch.func.functional_call` can give it its weights."""

    def __init__(self, transform: nn.Module):
        super().__init__()
        self.transform = transform

    def forward(self, z: Tensor, e: Tensor | Guided) -> Tensor:
        return self.transform.inverse(z, e)[0]  # type: ignore[operator]


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
