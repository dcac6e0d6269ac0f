"""The lecture's biscuit tins.

256 pixels each, yet two numbers, height and width, say all there is to say about a tin.

A tin is drawn from its height and width, then every pixel gets independent noise of known law.
There are 72 tins, so the true probability of any image is a sum over all of them, and a model of
the pixels can be held against the truth::

    p(x) = 1/72 · sum over (height, width) of prod over pixels i of P(x_i | clean pixel i of that
    tin)
"""

import math
from functools import cache

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet, FeatureSpace

SIDE = 16  # pixels
LEVELS = 16
HEIGHTS = range(3, 11)  # of the tin's wall, in pixels
WIDTHS = range(6, 15)  # in pixels
NO_TIN = 2.58  # noise scores, on either side, beyond which about 1 % of real tins lie
NOISE = 0.3  # scale of the logistic noise, in grey levels; its standard deviation is 1.8 times that


def biscuits(
    train: int = 10_000, validation: int = 1_000, test: int = 2_000, seed: int = 0
) -> DataSet:
    """Noisy pictures of biscuit tins.

    Events have shape (1, 16, 16) and 16 levels; the condition is (height, width), from -1 (least)
    to 1 (most).
    """
    generator = torch.Generator().manual_seed(seed)
    n = train + validation + test
    tins = _tins()
    which = torch.randint(len(tins), (n,), generator=generator)
    height, width = tins[which].unbind(1)
    x = photograph(height, width, generator)
    c = describe(height, width)
    return DataSet.split(
        "biscuits",
        x,
        c,
        sizes=(train, validation, test),
        levels=LEVELS,
        condition=2,
        features=("height", "width"),
        log_density=log_density,
        entropy=entropy(),
        about="16x16 grey biscuit tins, fully described by height and width",
        source="drawn by genzoo after the lecture's example",
        read=read,
        in_units=sizes,
        feature_space=TINS,
    )


def describe(height: Tensor, width: Tensor) -> Tensor:
    """Heights (n,) and widths (n,) in pixels as conditions (n, 2), each range mapped to [-1, 1]."""
    columns = [_to_unit(height, HEIGHTS), _to_unit(width, WIDTHS)]
    return torch.stack(columns, 1).float()


def sizes(c: Tensor) -> Tensor:
    """Heights and widths in pixels, ``(n, 2)``, of conditions (n, 2): the inverse of `describe`."""
    height, width = c.unbind(1)
    columns = [_from_unit(height, HEIGHTS), _from_unit(width, WIDTHS)]
    return torch.stack(columns, 1).round()


def _to_unit(size: Tensor, span: range) -> Tensor:
    """Sizes in pixels, mapped so that ``span`` becomes [-1, 1]."""
    return 2 * (size - span[0]) / (span[-1] - span[0]) - 1


def _from_unit(part: Tensor, span: range) -> Tensor:
    """The inverse of `_to_unit`."""
    return span[0] + (span[-1] - span[0]) * (part + 1) / 2


def draw(height: Tensor, width: Tensor, detail: int = 8) -> Tensor:
    """Clean tins, one for each height (n,) and width (n,) in pixels.

    Brightness in [0, 1], (n, 1, 16, 16).

    A cylinder seen slightly from above, lit from the left, with a lid. Each pixel is the mean of
    ``detail`` x ``detail`` points, which makes the edges smooth and lets a size be any number, not
    only a whole one.
    """
    place = (torch.arange(SIDE * detail) + 0.5) / detail
    y, x = torch.meshgrid(place, place, indexing="ij")
    height = height.view(-1, 1, 1).float()
    radius = width.view(-1, 1, 1).float() / 2
    line = 0.5  # how thick lines are drawn, in pixels
    lid = 1.6  # how far the lid reaches down

    # -1 at the left edge of the wall, 1 at the right
    across = (x - SIDE / 2) / radius
    # how far a rim dips towards the viewer
    sag = 0.3 * radius * (1 - across.square()).clamp(min=0).sqrt()
    # where the bottom rim and the top rim are at the left and right edge
    floor = SIDE - 0.8 - 0.3 * radius
    rim = floor - height

    # the outline of the tin, and what is within the line that is drawn along it
    highest = rim - sag
    lowest = floor + sag
    tin = (across.abs() <= 1) & (y >= highest) & (y <= lowest)
    inside = (across.abs() <= 1 - line / radius) & (y >= highest + line) & (y <= lowest - line)

    # the lines in front: around the top, and along the lower end of the lid
    around_top = (y - rim - sag).abs() <= line / 2
    below_lid = (y - rim - sag - lid).abs() <= line / 2
    seam = around_top | below_lid
    top = y <= rim + sag
    band = y <= rim + sag + lid

    light = 0.75 - 0.28 * (across + 0.35).square() + 0.12 * band
    light = torch.where(top, 0.9, light)
    drawn = torch.where(inside & ~seam, light, 0.1)
    picture = torch.where(tin, drawn, 1.0)
    squares = picture.unflatten(2, (SIDE, detail)).unflatten(1, (SIDE, detail))
    return squares.mean((2, 4)).unsqueeze(1)


def photograph(height: Tensor, width: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Noisy tins on the grid of 16 levels, (n, 1, 16, 16).

    Logistic noise on the clean level, rounded and clipped.
    """
    clean = _clean_levels()[_row(height, width)]  # each tin is drawn once
    uniform = torch.rand(clean.shape, generator=generator).clamp(1e-7, 1 - 1e-7)
    noise = NOISE * uniform.logit()
    level = (clean + noise).round().clamp(0, LEVELS - 1)
    return grid.to_grid(level, LEVELS)


def measure(x: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width in pixels, (n,) each, of the likeliest tin of each image (n, 1, 16, 16)."""
    likeliest = log_likelihoods(x).argmax(1)
    height, width = _tins().to(x.device)[likeliest].unbind(1)
    return height, width


def read(x: Tensor) -> Tensor:
    """Conditions ``(n, 2)`` of the tins that most probably gave the images (n, 1, 16, 16)."""
    return describe(*measure(x))


def noise_score(x: Tensor) -> Tensor:
    """How usual the noise of images (n, 1, 16, 16) is for the tin that most probably gave each.

    It is log P(x | tin), less its mean over pictures of this tin, in standard deviations, (n,): of
    real pictures it has mean 0 and deviation 1. Far below, the image is no picture of any tin; far
    above, it is too clean to be one.
    """
    # of the log-probability of a pixel, over its levels: (72, 256)
    log_pmf = _log_pmf()
    pmf = log_pmf.exp()
    mean = (pmf * log_pmf).sum(2)
    variance = (pmf * log_pmf.square()).sum(2) - mean.square()

    # of a whole picture, whose pixels are independent: (72,)
    tin_mean = mean.sum(1).to(x.device)
    tin_deviation = variance.sum(1).sqrt().to(x.device)

    given_tin = log_likelihoods(x)
    best = given_tin.argmax(1)
    log_p = given_tin.amax(1)
    score = (log_p - tin_mean[best]) / tin_deviation[best]
    return score.to(x.dtype)


def tin_and_noise(x: Tensor) -> Tensor:
    """Height and width in pixels and `noise_score` of images (n, 1, 16, 16): ``(n, 3)``."""
    height, width = measure(x)
    return torch.stack([height, width, noise_score(x)], 1)


def is_no_tin(features: Tensor) -> Tensor:
    """Of which features (n, 3) the noise is none that a tin has: ``(n,)`` booleans."""
    return features[:, 2].abs() > NO_TIN


def total_variation(reference: Tensor, samples: Tensor) -> float:
    """Total variation between two sets of features (n, 3) over the 72 tins and "no tin".

    Half the sum of |p - q|: the mass that lies in the wrong place.
    """
    p = shares_of_tins(reference)
    q = shares_of_tins(samples)
    return (p - q).abs().sum().item() / 2


def shares_of_tins(features: Tensor) -> Tensor:
    """Share of the features (n, 3) of each tin, and of those that are none: ``(73,)``."""
    tins = len(_tins())
    height = features[:, 0].long()
    width = features[:, 1].long()
    which = torch.where(is_no_tin(features), tins, _row(height, width))
    counts = torch.bincount(which, minlength=tins + 1)
    return counts.double() / len(features)


# The distance is 1 where no sample is a tin. Of finite sets it is never 0, which the floor shows.
TINS = FeatureSpace(
    "tins",
    "height, width and noise score of the most probable of 72 tins; TV (tins): total variation "
    'between the distributions over these and "no tin"; no tin: noise that 1 % of real tins have',
    tin_and_noise,
    distances={"TV (tins)": total_variation},
    shares={"no tin": is_no_tin},
    tells_copies=False,
)


def log_density(x: Tensor) -> Tensor:
    """The true log(P(x) / width^256) of images (n, 1, 16, 16), in nats; -inf outside [-1, 1]."""
    given_tin = log_likelihoods(x)
    log_p = given_tin.logsumexp(1) - math.log(len(_tins()))
    log_density = log_p - _log_volume()
    outside = x.flatten(1).abs().amax(1) > 1
    return log_density.masked_fill(outside, -math.inf).to(x.dtype)


def log_likelihoods(x: Tensor) -> Tensor:
    """log P(x | height, width) of images (n, 1, 16, 16) for every tin, heights outermost.

    (n, 72) float64, in nats.
    """
    table = _log_pmf().to(x.device)
    levels = grid.to_level(x, LEVELS).flatten(1)
    pixels = torch.arange(SIDE * SIDE, device=x.device)
    return torch.stack([tin[pixels, levels].sum(1) for tin in table], 1)


def entropy() -> float:
    """Entropy of the data as a density (nats): which tin, then its noise.

    H(x) = H(tin) + H(x | tin) - H(tin | x), and the last term is left out: a tin can be read off
    its picture without error (on the 10,000 pictures of the training split it comes to less than
    1e-40 nats).
    """
    log_pmf = _log_pmf()
    of_each_tin = -(log_pmf.exp() * log_pmf).sum((1, 2))
    noise = of_each_tin.mean().item()
    return math.log(len(_tins())) + noise + _log_volume()


def _log_volume() -> float:
    """log of the volume of a bin of the grid of images."""
    return SIDE * SIDE * math.log(grid.bin_width(LEVELS))


@cache
def _tins() -> Tensor:
    """Every (height, width) in pixels, heights outermost: (72, 2)."""
    return torch.cartesian_prod(torch.tensor(HEIGHTS), torch.tensor(WIDTHS))


def _row(height: Tensor, width: Tensor) -> Tensor:
    """The row of `_tins` that has this height and width, in pixels."""
    return len(WIDTHS) * (height - HEIGHTS[0]) + width - WIDTHS[0]


@cache
def _clean_levels() -> Tensor:
    """Every tin without noise, in grey levels 0 ... 15, not rounded: (72, 1, 16, 16) float64."""
    height, width = _tins().unbind(1)
    return draw(height, width).double() * (LEVELS - 1)


@cache
def _log_pmf() -> Tensor:
    """log P(level | tin, pixel), (72, 256, 16) in float64.

    The logistic law cut at half levels, its tails at 0 and 15.

    This is the discretised logistic of Salimans et al. 2017 (PixelCNN++), eq. 2. A difference of
    two values near one would lose the upper tail, so it is taken on the side of the clean level
    where both are small.
    """
    clean = _clean_levels().flatten(1).unsqueeze(2)
    edges = torch.arange(LEVELS + 1, dtype=torch.float64) - 0.5
    edges[0] = -math.inf
    edges[-1] = math.inf
    z = (edges - clean) / NOISE
    low = z[..., :-1]
    high = z[..., 1:]
    below = high.sigmoid() - low.sigmoid()
    above = (-low).sigmoid() - (-high).sigmoid()
    return torch.where(low > 0, above, below).log()
