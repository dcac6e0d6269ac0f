"""Where samples are compared with data: in features of a network, among pixels, in the plane
itself, or by what they show.

=====================  ==============================================================  ==================================
data                   compared in                                                     distances
=====================  ==============================================================  ==================================
digits, mnist          64 features of `genzoo.data.images.digits_net`                   FD (digits-net), KID (digits-net)
biscuits               height, width and noise score of the most probable tin          TV (tins), beside the share "no tin"
colour images          2,048 features of Inception, if its weights can be had          FID, KID
other images           pixels, or the leading 64 principal components of these         FD (pixels), KID (pixels)
points, vectors        themselves, in units of their standard deviation                MMD², sliced W₁
=====================  ==============================================================  ==================================

A distance is named after the space, for figures from different ones have nothing to do with each
other.

FD (pixels) compares means and covariances of pixels, and a Gaussian that has both is at no distance
at all, whatever its samples look like. So where the truth about a picture is known, as it is of
tins, that is compared instead: which of the 72 tins it shows, and whether its noise is that of a
tin.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet
from genzoo.data.images.digits_net import digits_net
from genzoo.data.synthetic import biscuits
from genzoo.errors import InputError
from genzoo.evaluation.samples import distances
from genzoo.evaluation.samples.distances import Distance

# What digits-net can read, by name and shape: a folder of your own may have such a name, too.
# Not digits-index, some of whose held-out events it was trained on.
DIGITS = {"digits": (1, 8, 8), "mnist": (1, 28, 28)}
COMPONENTS = 64  # at most, of pixels
NO_TIN = 2.58  # noise scores, on either side, beyond which about 1 % of real tins lie

Features = Callable[[Tensor], Tensor]  # events (n, *event_shape) -> (n, d)


@dataclass(frozen=True)
class Space:
    """Where events are compared.

    Args:
        name, about: of the table, and one phrase on what the features are.
        features: where distances, precision and the like are measured.
        distances: by name, each of two sets of features.
        shares: name -> features (n, d) -> which events have the property that it names, (n,).
        likeness: features by which copies are told, where ``features`` say too little.
    """

    name: str
    about: str
    features: Features
    distances: Mapping[str, Distance]
    shares: Mapping[str, Features] = field(default_factory=dict)
    likeness: Features | None = None

    @property
    def copied_in(self) -> Features:
        return self.likeness or self.features


def space_of(data: DataSet) -> Space:
    """The space in which samples of ``data`` are compared with it."""
    if len(data.event_shape) < 3:
        return points(data)
    if data.log_density is biscuits.log_density:
        return tins(data)
    if DIGITS.get(data.name) == data.event_shape:
        return _over(
            "digits-net", "64 features of a network trained to name digits", _batched(digits_net())
        )
    if data.event_shape[0] != 3:
        return pixels(data)
    try:
        return inception()
    except InputError as error:
        return replace(
            pixels(data),
            about=f"{pixels(data).about}; not Inception's features, as usual, for {error}",
        )


def _over(name: str, about: str, features: Features) -> Space:
    """A space of features, with Fréchet and kernel distance named after it."""
    names = ("FID", "KID") if name == "inception" else (f"FD ({name})", f"KID ({name})")
    return Space(
        name,
        about,
        features,
        dict(zip(names, (distances.frechet, distances.kernel_distance), strict=True)),
    )


def pixels(data: DataSet) -> Space:
    """Images as they are, or, with more than 64 pixels, their leading principal components over the
    training split.

    What both distances see there are means and correlations of pixels: no strokes, no parts, no
    meaning.
    """
    train = data.train.x.flatten(1)
    if data.dims <= COMPONENTS:
        return _over("pixels", f"the {data.dims} pixels", lambda x: x.flatten(1))
    mean = train.mean(0)
    centred = train[:10_000] - mean
    axes = torch.linalg.eigh((centred.T @ centred).double())[1][:, -COMPONENTS:].to(train)
    return _over(
        "pixels",
        f"the leading {COMPONENTS} principal components of {data.dims} pixels",
        lambda x: (x.flatten(1) - mean) @ axes,
    )


def tins(data: DataSet) -> Space:
    """Biscuit tins by what they are: height and width in pixels, and the score of their noise.

    The distance is the total variation between the distributions over the 72 tins and "no tin", so
    that it is 1 where no sample is a tin. Of finite sets it is never 0, which the floor shows.
    """
    return Space(
        "tins",
        "height, width and noise score of the most probable of 72 tins; TV (tins): total variation "
        'between the distributions over these and "no tin"; no tin: noise that 1 % of real tins have',
        _tin_and_noise,
        {"TV (tins)": _total_variation},
        shares={"no tin": _is_no_tin},
        likeness=pixels(data).features,
    )


def _tin_and_noise(x: Tensor) -> Tensor:
    height, width = biscuits.measure(x)
    return torch.stack([height, width, biscuits.noise_score(x)], 1)


def _is_no_tin(features: Tensor) -> Tensor:
    return features[:, 2].abs() > NO_TIN


def _total_variation(reference: Tensor, samples: Tensor) -> float:
    """Half the sum of |p - q| over the tins and "no tin": the mass that lies in the wrong place."""
    p, q = (_over_tins(features) for features in (reference, samples))
    return (p - q).abs().sum().item() / 2


def _over_tins(features: Tensor) -> Tensor:
    """The share of events of each tin, ``(72,)``, and of those that are none."""
    columns = len(biscuits.WIDTHS)
    tins = len(biscuits.HEIGHTS) * columns
    height, width = features[:, 0].long(), features[:, 1].long()
    which = columns * (height - biscuits.HEIGHTS[0]) + width - biscuits.WIDTHS[0]
    which = torch.where(_is_no_tin(features), tins, which)
    return torch.bincount(which, minlength=tins + 1).double() / len(features)


def points(data: DataSet) -> Space:
    """Points and vectors, each feature in units of its standard deviation over the training split."""
    flat = data.train.x.flatten(1)
    mean, scale = flat.mean(0), flat.std(0).clamp(min=1e-9)

    def standardised(x: Tensor) -> Tensor:
        return (x.flatten(1) - mean) / scale

    bandwidth = distances.median_distance(standardised(data.train.x))
    kernel = f"mean of Gaussian kernels of widths {bandwidth:.2f}, 1/2, 1/4 and 1/8 of that"
    return Space(
        "points",
        f"in units of the standard deviation; MMD²: {kernel}; sliced W₁ over {distances.DIRECTIONS} directions",
        standardised,
        {"MMD²": distances.discrepancy(bandwidth), "sliced W₁": distances.sliced_wasserstein},
    )


@lru_cache(maxsize=1)
def inception() -> Space:
    """Inception-v3's pool features, by torchmetrics, of colour images on [-1, 1].

    Raises:
        InputError: torch-fidelity is not installed, or its weights can neither be found nor
            downloaded.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        net = NoTrainInceptionV3("inception-v3-compat", ["2048"])
    except (ModuleNotFoundError, OSError) as error:  # a download that fails is an OSError
        raise InputError(
            "Inception's weights cannot be had here: install torch-fidelity, and let it download them once."
        ) from error
    features = _batched(lambda x: net((127.5 * (x + 1)).byte()), 100)
    return _over("inception", "2,048 features of Inception-v3", features)


def _batched(net: Features, size: int = 1000) -> Features:
    def features(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([net(part) for part in x.split(size)])

    return features
