r"""A flow of discrete images from the coarse to the fine, made of staircases alone.

The level of a feature is split into two digits, like the tens and units of a number: which half of
the levels it lies in (dark or light, the *ink*), and which level of that half (its *shade*). The
ink of the whole image comes first, then the shades.

* *Ink*. One pixel of each square of 2 x 2 makes a coarser picture, which is drawn first, in the
  same way. At the bottom its pixels are drawn one after another. Then follow the other three
  pixels of all squares, one place of the square after the other.
* *Shades*. They are drawn given the whole ink, again one place of the square after the other.

Each of these steps is a *coupling*. What is known passes unchanged, and a network turns it into a
histogram for every feature that follows. The distribution function of a histogram is a monotone map
of [0, 1] onto itself (Müller et al. 2019), and its output is uniform if the histogram is right.
Within a coupling the features are independent, given what is known. That costs little, because they
are two pixels apart and their neighbours are known. It is also what sets a pyramid apart from an
autoregressive model: that takes D steps for a sample, this one only as many as the coarsest picture
has pixels, and a few more.

There is no smooth spline in it, so the density is constant over the bin of a level. It is therefore
the probability of the level itself, and no bound:

.. math::

    \log P(x) = \sum_{i=1}^{D} \log P(\text{half}_i \mid \text{ink before}) +
                \log P(\text{level}_i \mid \text{all ink, shades before})

References: Müller et al. 2019, *Neural importance sampling*; Reed et al. 2017, *Parallel multiscale
autoregressive density estimation* (the order of pixels); Menick & Kalchbrenner 2019, *Generating
high fidelity images with subscale pixel networks and multidimensional upscaling* (the two digits).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genzoo import grid
from genzoo.families.autoregressive import CausalConvolutions
from genzoo.families.lattice import LEAST, Networks, bins_for, piecewise_linear_cdf

# places of a square of 2 x 2 pixels (0 1 / 2 3) in the order in which they are drawn:
# after a corner the one across, then those that have all their neighbours
PLACES = (0, 3, 1, 2)

# of the causal convolutions at the bottom
DEPTH = 6

# a mass outside of this has no finite Gaussian quantile
OUTERMOST = 1e-12


class Guided(NamedTuple):
    """Two embeddings ``(n, width)``, with the condition and without, and the guidance."""

    given: Tensor
    free: Tensor
    weight: float


class Pyramid(nn.Module):
    """Events ``(n, c, h, w)`` to latents ``(n, D)``, Gaussian if the histograms are right.

    Args:
        shape: of an event, whose features are in [-1, 1].
        levels: of the data.
        width: of the embedding, and of the causal convolutions at the bottom.
        squeezes: number of times that the sides of the ink are halved before its features are
            drawn one by one.
        network: makes the network of a coupling, see `genzoo.nets`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        levels: int,
        width: int,
        squeezes: int,
        network: Networks,
    ):
        super().__init__()
        self.shape = shape
        halves, shades = digits(levels)
        self.exact = halves * shades == levels
        ink = Ink(shape, halves, width, squeezes, network)
        if shades == 1:
            self.stages = nn.ModuleList([ink])
        else:
            self.stages = nn.ModuleList([Places(shape, halves, shades, 0, width, network), ink])

    @property
    def steps(self) -> int:
        """Number of histograms, or sets of them, that a sample draws from one after another."""
        return sum(stage.steps for stage in self.stages)  # type: ignore[misc]

    def log_density(self, x: Tensor, e: Tensor) -> Tensor:
        """Log-density of events in [-1, 1], ``(n,)`` nats: `forward` without the latents."""
        place = (x + 1) / 2
        slopes = [stage.log_determinant(place, e) for stage in self.stages]  # type: ignore[operator]
        return torch.stack(slopes).sum(0) - x[0].numel() * math.log(2)

    def forward(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        log_determinant = -x[0].numel() * math.log(2)
        y = (x + 1) / 2
        for stage in self.stages:
            y, log_slopes = stage(y, e)
            log_determinant = log_determinant + log_slopes
        z = torch.special.ndtri(y.clamp(OUTERMOST, 1 - OUTERMOST))
        log_normal = torch.distributions.Normal(0.0, 1.0).log_prob(z)
        return z.flatten(1), log_determinant - log_normal.flatten(1).sum(1)

    def inverse(self, z: Tensor, e: Tensor | Guided) -> tuple[Tensor, Tensor]:
        log_normal = torch.distributions.Normal(0.0, 1.0).log_prob(z)
        log_determinant = log_normal.sum(1) + z.shape[1] * math.log(2)
        y = torch.special.ndtr(z).view(-1, *self.shape)
        for stage in reversed(self.stages):
            y, log_slopes = stage.inverse(y, e)  # type: ignore[operator]
            log_determinant = log_determinant + log_slopes
        return 2 * y - 1, log_determinant


def digits(levels: int) -> tuple[int, int]:
    """Halves, and shades of a half, into which levels are parted; an odd number has no halves."""
    if levels % 2:
        return bins_for(levels), 1
    return 2, bins_for(levels // 2)


class Places(nn.Module):
    """Couplings of the places of a square of 2 x 2 pixels: each given those before, in `PLACES`.

    One network serves them all: it sees what is known, zeros for the rest, and is told by the
    embedding which place is asked for. Of a colour image each channel has a coupling of its own.

    Args:
        shape: of an image.
        cells: into which [0, 1] is parted, and of which each feature's own is known.
        bins: into which each cell is parted.
        given: places that are known as a whole, and left as they are.
        width: of the embedding.
        network: makes the network, see `genzoo.nets`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        cells: int,
        bins: int,
        given: int,
        width: int,
        network: Networks,
    ):
        super().__init__()
        channels, rows, columns = shape
        self.cells = cells
        self.bins = bins
        self.order = [4 * channel + place for place in PLACES for channel in range(channels)]
        self.asked = range(channels * given, len(self.order))
        seen = len(self.order) if cells == 1 else 2 * len(self.order)
        self.network = network((seen, rows // 2, columns // 2), bins)
        self.place = nn.Parameter(torch.randn(len(self.asked), width))

    @property
    def steps(self) -> int:
        """Number of sets of histograms that are drawn from one after another."""
        return len(self.asked)

    def known(self, folded: Tensor, i: int) -> Tensor:
        """The first i channels in order, to the level, and of all others the cells."""
        values = torch.zeros_like(folded)
        before = self.order[:i]
        values[:, before] = grid.quantise(2 * folded[:, before] - 1, self.cells * self.bins)
        if self.cells == 1:
            return values
        cells = grid.quantise(2 * folded - 1, self.cells)
        return torch.cat([cells, values], 1)

    def all_logits(self, folded: Tensor, e: Tensor) -> Tensor:
        """Log-masses of all channels that are asked for, ``(n, asked, h, w, bins)``, at once."""
        seen = torch.cat([self.known(folded, i) for i in self.asked])
        told = (e + self.place[:, None]).flatten(0, 1)
        logits = self.network(seen, told)
        each = logits.unflatten(0, (len(self.asked), -1))
        return each.permute(1, 0, 3, 4, 2)

    def log_determinant(self, x: Tensor, e: Tensor) -> Tensor:
        """The log-determinant of `forward`, without its values."""
        folded = F.pixel_unshuffle(x, 2)
        asked = folded[:, [self.order[i] for i in self.asked]]
        log_slopes = log_slope(within(asked, self.cells), self.all_logits(folded, e))
        return log_slopes.flatten(1).sum(1)

    def forward(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        folded = F.pixel_unshuffle(x, 2)
        which = [self.order[i] for i in self.asked]
        asked = folded[:, which]
        moved, log_slopes = self.move(asked, self.all_logits(folded, e))
        y = folded.index_copy(1, torch.tensor(which, device=x.device), moved)
        return F.pixel_shuffle(y, 2), log_slopes.flatten(1).sum(1)

    def inverse(self, y: Tensor, e: Tensor | Guided) -> tuple[Tensor, Tensor]:
        channels = list(F.pixel_unshuffle(y, 2).unbind(1))
        total = y.new_zeros(len(y))
        for i, place in zip(self.asked, self.place, strict=True):
            seen = self.known(torch.stack(channels, 1), i)
            logits = log_masses(self.network, seen, e, place).movedim(1, -1)
            which = self.order[i]
            channels[which], log_slopes = self.move(channels[which], logits, inverse=True)
            total = total + log_slopes.flatten(1).sum(1)
        return F.pixel_shuffle(torch.stack(channels, 1), 2), total

    def move(self, x: Tensor, logits: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Move features within their cells.

        Args:
            x: features in [0, 1], ``(...)``.
            logits: log-masses of the bins of each cell, ``(..., bins)``.
            inverse: apply the inverse of the map.

        Returns:
            the moved features, and the log-slope of the map at each.
        """
        place = within(x, self.cells)
        y, log_slopes = piecewise_linear_cdf(place, logits, inverse)
        return x + (y - place) / self.cells, log_slopes


class Ink(nn.Module):
    """The coarse digit of each feature: of a coarser picture first, then of the places between.

    The arguments are those of `Pyramid`, with ``bins`` for the levels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        bins: int,
        width: int,
        squeezes: int,
        network: Networks,
    ):
        super().__init__()
        channels, rows, columns = shape
        self.coarser = self.between = None
        if squeezes == 0:
            self.pixels = InTurn(shape, bins, width)
            return
        coarser = (channels, rows // 2, columns // 2)
        self.between = Places(shape, 1, bins, 1, width, network)
        self.coarser = Ink(coarser, bins, width, squeezes - 1, network)

    @property
    def steps(self) -> int:
        """Number of histograms, or sets of them, that are drawn from one after another."""
        if self.coarser is None or self.between is None:
            return self.pixels.steps
        return self.coarser.steps + self.between.steps

    def log_determinant(self, x: Tensor, e: Tensor) -> Tensor:
        """The log-determinant of `forward`, without its values."""
        if self.coarser is None or self.between is None:
            return self.pixels.log_determinant(x, e)
        between = self.between.log_determinant(x, e)
        return between + self.coarser.log_determinant(corners(x), e)

    def forward(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        if self.coarser is None or self.between is None:
            return self.pixels(x, e)
        y, between = self.between(x, e)
        coarse, log_determinant = self.coarser(corners(x), e)
        return with_corners(y, coarse), between + log_determinant

    def inverse(self, y: Tensor, e: Tensor | Guided) -> tuple[Tensor, Tensor]:
        if self.coarser is None or self.between is None:
            return self.pixels.inverse(y, e)
        coarse, log_determinant = self.coarser.inverse(corners(y), e)
        x, between = self.between.inverse(with_corners(y, coarse), e)
        return x, between + log_determinant


def corners(x: Tensor) -> Tensor:
    """The first place of each square of 2 x 2 pixels, ``(n, c, h / 2, w / 2)``."""
    return x[:, :, ::2, ::2]


def with_corners(x: Tensor, corner: Tensor) -> Tensor:
    """Images ``x`` whose `corners` are others."""
    folded = F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4))
    joined = torch.cat([corner.unsqueeze(2), folded[:, :, 1:]], 2)
    return F.pixel_shuffle(joined.flatten(1, 2), 2)


class InTurn(nn.Module):
    """Features of a picture one after another, in reading order, by causal convolutions."""

    def __init__(self, shape: tuple[int, ...], bins: int, width: int):
        super().__init__()
        self.shape = shape
        self.bins = bins
        self.network = CausalConvolutions(shape, bins, width, DEPTH, frequencies=(), gated=False)

    @property
    def steps(self) -> int:
        """One for each feature."""
        return math.prod(self.shape)

    def in_order(self, x: Tensor) -> Tensor:
        """Images as features ``(n, D)``, the channels of a pixel side by side."""
        return x.movedim(1, -1).flatten(1)

    def image(self, features: Tensor) -> Tensor:
        """The inverse of `in_order`."""
        channels, rows, columns = self.shape
        return features.view(-1, rows, columns, channels).movedim(-1, 1)

    def values(self, features: Tensor) -> Tensor:
        """Values that the network sees, of features in [0, 1]."""
        return grid.quantise(2 * features - 1, self.bins)

    def log_determinant(self, x: Tensor, e: Tensor) -> Tensor:
        """The log-determinant of `forward`, without its values."""
        features = self.in_order(x)
        logits = self.network(self.values(features), e)
        return log_slope(features, logits).sum(1)

    def forward(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        features = self.in_order(x)
        logits = self.network(self.values(features), e)
        y, log_slopes = piecewise_linear_cdf(features, logits)
        return self.image(y), log_slopes.sum(1)

    def inverse(self, y: Tensor, e: Tensor | Guided) -> tuple[Tensor, Tensor]:
        predict = self.predictor(e)
        masses = self.in_order(y)
        features = torch.zeros_like(masses)
        total = y.new_zeros(len(y))
        for i in range(masses.shape[1]):
            logits = predict(i, self.values(features))
            feature, log_slopes = piecewise_linear_cdf(masses[:, i], logits, inverse=True)
            features = features.index_copy(1, torch.tensor([i]).to(y.device), feature[:, None])
            total = total + log_slopes
        return self.image(features), total

    def predictor(self, e: Tensor | Guided) -> Callable[[int, Tensor], Tensor]:
        """A function that gives log-masses of feature i, ``(n, bins)``, called for each in turn."""
        if isinstance(e, Guided):
            given = self.predictor(e.given)
            free = self.predictor(e.free)
            return lambda i, seen: torch.lerp(free(i, seen), given(i, seen), e.weight)
        cache = self.network.init_cache(len(e), e)
        return lambda i, seen: self.network.step(i, seen, cache)


def log_masses(network: nn.Module, seen: Tensor, e: Tensor | Guided, place: Tensor) -> Tensor:
    """The network's log-masses, not normalised; under guidance w those of p(x | c)^w p(x)^(1-w).

    Args:
        network: of a coupling.
        seen: its input.
        e: embedding of each row, ``(n, width)``, or both of a guided one.
        place: embedding of the place that is drawn, which is added to it.
    """
    if not isinstance(e, Guided):
        return network(seen, e + place)
    return torch.lerp(network(seen, e.free + place), network(seen, e.given + place), e.weight)


def within(x: Tensor, cells: int) -> Tensor:
    """The place in [0, 1] of the cell that ``x`` in [0, 1] lies in."""
    scaled = x * cells
    return scaled - scaled.floor().clamp(0, cells - 1)


def log_slope(x: Tensor, logits: Tensor) -> Tensor:
    """The log-slope of `piecewise_linear_cdf`, without its value, and so in half of the time."""
    bins = logits.shape[-1]
    k = (x * bins).long().clamp(0, bins - 1)
    chosen = logits.gather(-1, k.unsqueeze(-1)).squeeze(-1)
    share = (chosen - logits.logsumexp(-1)).exp()
    mass = (1 - bins * LEAST) * share + LEAST
    return torch.log(mass * bins)
