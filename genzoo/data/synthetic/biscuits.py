"""The lecture's biscuit tins: images of 256 pixels that two numbers, height and width, describe.

A tin is drawn from its height and width, then every pixel gets independent noise of a known
distribution. There are 72 tins, so the true probability of any image is a sum over all of them, and
a model of the pixels can be compared with the truth::

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
    train: int = 10_000,
    validation: int = 1_000,
    test: int = 2_000,
    seed: int = 0,
) -> DataSet:
    """Noisy pictures of biscuit tins.

    Observations have shape (1, 16, 16) and 16 levels; the condition is (height, width), from -1
    (least) to 1 (most).

    Args:
        train: number of training events.
        validation: number of validation events.
        test: number of test events.
        seed: of random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    n = train + validation + test
    tins = _tins()
    rows = torch.randint(len(tins), (n,), generator=generator)
    height, width = tins[rows].unbind(1)
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
    columns = [
        _to_unit(height, HEIGHTS),
        _to_unit(width, WIDTHS),
    ]
    return torch.stack(columns, 1).float()


def sizes(c: Tensor) -> Tensor:
    """Heights and widths in pixels, ``(n, 2)``, of conditions (n, 2): the inverse of `describe`."""
    height, width = c.unbind(1)
    columns = [
        _from_unit(height, HEIGHTS),
        _from_unit(width, WIDTHS),
    ]
    return torch.stack(columns, 1).round()


def _to_unit(size: Tensor, span: range) -> Tensor:
    """Sizes in pixels, mapped so that ``span`` becomes [-1, 1]."""
    least = span[0]
    reach = span[-1] - least
    return 2 * (size - least) / reach - 1


def _from_unit(part: Tensor, span: range) -> Tensor:
    """The inverse of `_to_unit`."""
    least = span[0]
    reach = span[-1] - least
    return least + reach * (part + 1) / 2


def draw(height: Tensor, width: Tensor, detail: int = 8) -> Tensor:
    """Clean tins, one for each height (n,) and width (n,) in pixels.

    A tin is a cylinder seen slightly from above, lit from the left, with a lid. Each pixel is the
    mean over several points, so that edges are smooth and sizes need not be whole numbers.

    Args:
        height: of the walls, in pixels, ``(n,)``.
        width: in pixels, ``(n,)``.
        detail: a pixel is the mean of ``detail`` x ``detail`` points.

    Returns:
        brightness in [0, 1], ``(n, 1, 16, 16)``.
    """
    place = (torch.arange(SIDE * detail) + 0.5) / detail
    y, x = torch.meshgrid(place, place, indexing="ij")
    height = height.view(-1, 1, 1).float()
    radius = width.view(-1, 1, 1).float() / 2
    line = 0.5  # thickness of lines, in pixels
    lid = 1.6  # how far the lid reaches down

    # -1 at the left edge of the wall, 1 at the right
    across = (x - SIDE / 2) / radius
    # how far a rim dips towards the viewer
    circle = (1 - across.square()).clamp(min=0).sqrt()
    sag = 0.3 * radius * circle
    # where the bottom rim and the top rim are at the left and right edge
    floor = SIDE - 0.8 - 0.3 * radius
    rim = floor - height

    # the outline of the tin, and the area within the line along it
    highest = rim - sag
    lowest = floor + sag
    from_middle = across.abs()
    tin = (from_middle <= 1) & (y >= highest) & (y <= lowest)
    inside = from_middle <= 1 - line / radius
    inside = inside & (y >= highest + line) & (y <= lowest - line)

    # the lines in front: around the top, and along the lower end of the lid
    front_rim = y - rim - sag
    around_top = front_rim.abs() <= line / 2
    below_lid = (front_rim - lid).abs() <= line / 2
    seam = around_top | below_lid
    top = y <= rim + sag
    band = y <= rim + sag + lid

    lit = (across + 0.35).square()
    light = 0.75 - 0.28 * lit + 0.12 * band
    light = torch.where(top, 0.9, light)
    drawn = torch.where(inside & ~seam, light, 0.1)
    picture = torch.where(tin, drawn, 1.0)
    squares = picture.unflatten(2, (SIDE, detail)).unflatten(1, (SIDE, detail))
    return squares.mean((2, 4)).unsqueeze(1)


def photograph(
    height: Tensor,
    width: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Noisy tins on the grid of 16 levels, (n, 1, 16, 16).

    Logistic noise on the clean level, rounded and clipped.

    Args:
        height: in pixels, ``(n,)``.
        width: in pixels, ``(n,)``.
        generator: of the noise.
    """
    clean = _clean_levels()[_row(height, width)]  # each tin is drawn once
    uniform = torch.rand(clean.shape, generator=generator)
    uniform = uniform.clamp(1e-7, 1 - 1e-7)
    noise = NOISE * uniform.logit()
    level = (clean + noise).round().clamp(0, LEVELS - 1)
    return grid.to_grid(level, LEVELS)


def measure(x: Tensor) -> tuple[Tensor, Tensor]:
    """Height and width in pixels, (n,) each, of the likeliest tin of each image (n, 1, 16, 16)."""
    likeliest = log_likelihoods(x).argmax(1)
    tins = _tins().to(x.device)
    height, width = tins[likeliest].unbind(1)
    return height, width


def read(x: Tensor) -> Tensor:
    """Conditions ``(n, 2)`` of the likeliest tins of images (n, 1, 16, 16)."""
    height, width = measure(x)
    return describe(height, width)


def noise_score(x: Tensor) -> Tensor:
    """Standard score of the noise of images (n, 1, 16, 16) for the likeliest tin of each, ``(n,)``.

    It is log P(x | tin), less its mean over pictures of this tin, in standard deviations: over real
    pictures it has mean 0 and deviation 1. A score far below means that the image does not show a
    tin; one far above, that it has too little noise.
    """
    # of the log-probability of a pixel, over its levels: (72, 256)
    log_pmf = _log_pmf()
    pmf = log_pmf.exp()
    mean = (pmf * log_pmf).sum(2)
    second_moment = (pmf * log_pmf.square()).sum(2)
    variance = second_moment - mean.square()

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
    columns = [height, width, noise_score(x)]
    return torch.stack(columns, 1)


def is_no_tin(features: Tensor) -> Tensor:
    """True of features (n, 3) with a noise score that tins do not have, ``(n,)`` booleans."""
    score = features[:, 2]
    return score.abs() > NO_TIN


def total_variation(reference: Tensor, samples: Tensor) -> float:
    """Total variation between two sets of features (n, 3) over the 72 tins and "no tin".

    It is half the sum of |p - q|.
    """
    p = shares_of_tins(reference)
    q = shares_of_tins(samples)
    difference = (p - q).abs()
    return difference.sum().item() / 2


def shares_of_tins(features: Tensor) -> Tensor:
    """Share of the features (n, 3) of each tin, and of those without a tin: ``(73,)``."""
    tins = len(_tins())
    height, width, _ = features.unbind(1)
    row = _row(height.long(), width.long())
    rows = torch.where(is_no_tin(features), tins, row)
    counts = torch.bincount(rows, minlength=tins + 1)
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
    farthest = x.flatten(1).abs().amax(1)
    log_density = log_density.masked_fill(farthest > 1, -math.inf)
    return log_density.to(x.dtype)


def log_likelihoods(x: Tensor) -> Tensor:
    """log P(x | tin) of images (n, 1, 16, 16) for every tin of `_tins`, (n, 72) float64 nats."""
    table = _log_pmf().to(x.device)
    levels = grid.to_level(x, LEVELS).flatten(1)
    pixels = torch.arange(SIDE * SIDE, device=x.device)
    columns = []
    for tin in table:
        of_pixels = tin[pixels, levels]
        columns.append(of_pixels.sum(1))
    return torch.stack(columns, 1)


def entropy() -> float:
    """Entropy of the data as a density (nats), H(x) = H(tin) + H(x | tin) - H(tin | x).

    The last term is left out: a picture determines its tin (over the 10,000 pictures of the
    training split the term is less than 1e-40 nats).
    """
    log_pmf = _log_pmf()
    terms = log_pmf.exp() * log_pmf
    of_each_tin = -terms.sum((1, 2))
    noise = of_each_tin.mean().item()
    of_tin = math.log(len(_tins()))
    return of_tin + noise + _log_volume()


def _log_volume() -> float:
    """log of the volume of a bin of the grid of images."""
    width = grid.bin_width(LEVELS)
    return SIDE * SIDE * math.log(width)


@cache
def _tins() -> Tensor:
    """Every (height, width) in pixels, heights outermost: (72, 2)."""
    heights = torch.tensor(HEIGHTS)
    widths = torch.tensor(WIDTHS)
    return torch.cartesian_prod(heights, widths)


def _row(height: Tensor, width: Tensor) -> Tensor:
    """The row of `_tins` that has this height and width, in pixels."""
    taller = height - HEIGHTS[0]
    return len(WIDTHS) * taller + width - WIDTHS[0]


@cache
def _clean_levels() -> Tensor:
    """Every tin without noise, in grey levels 0 ... 15, not rounded: (72, 1, 16, 16) float64."""
    height, width = _tins().unbind(1)
    brightness = draw(height, width).double()
    return brightness * (LEVELS - 1)


@cache
def _log_pmf() -> Tensor:
    """log P(level | tin, pixel), (72, 256, 16) in float64.

    The logistic distribution cut at half levels, its tails at 0 and 15. This is the discretised
    logistic of Salimans et al. 2017 (PixelCNN++), eq. 2. A difference of two values near one would
    lose the upper tail, so it is taken on the side of the clean level where both are small.
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
