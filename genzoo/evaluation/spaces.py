"""Where samples are compared with data: in the features of a network, among the pixels, or in the plane itself.

=====================  ==============================================================  ==================================
data                   compared in                                                     distances
=====================  ==============================================================  ==================================
digits, mnist          64 features of `genzoo.evaluation.digits_net`                   FD (digits-net), KID (digits-net)
colour images          2,048 features of Inception, if its weights can be had          FID, KID
other images           pixels, or the leading 64 principal components of these         FD (pixels), KID (pixels)
points, vectors        themselves, in units of their standard deviation                MMD², sliced W₁
=====================  ==============================================================  ==================================

A distance is named after the space, for figures from different ones have nothing to do with each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation import distances
from genzoo.evaluation.digits_net import digits_net
from genzoo.evaluation.distances import Distance

# What digits-net can read, by name and shape: a folder of your own may have such a name, too. (Some events that are held out from
# digits-index it was trained on.)
DIGITS = {"digits": (1, 8, 8), "mnist": (1, 28, 28)}
COMPONENTS = 64  # at most, of pixels


@dataclass(frozen=True)
class Space:
    """Where events are compared: their ``features`` (n, *event_shape) -> (n, d), and the distances by name."""

    name: str
    about: str
    features: Callable[[Tensor], Tensor]
    distances: Mapping[str, Distance]


def space_of(data: DataSet) -> Space:
    """The space in which samples of ``data`` are compared with it."""
    if len(data.event_shape) < 3:
        return points(data)
    if DIGITS.get(data.name) == data.event_shape:
        return _over("digits-net", "64 features of a network trained to name digits", _batched(digits_net()))
    if data.event_shape[0] != 3:
        return pixels(data)
    try:
        return inception()
    except InputError as error:
        return replace(pixels(data), about=f"{pixels(data).about}; not Inception's features, as usual, for {error}")


def _over(name: str, about: str, features: Callable[[Tensor], Tensor]) -> Space:
    """A space of features, with Fréchet and kernel distance named after it."""
    names = ("FID", "KID") if name == "inception" else (f"FD ({name})", f"KID ({name})")
    return Space(name, about, features, dict(zip(names, (distances.frechet, distances.kernel_distance), strict=True)))


def pixels(data: DataSet) -> Space:
    """Images as they are, or, with more than 64 pixels, their leading principal components over the training split.

    What both distances see there are means and correlations of pixels: no strokes, no parts, no meaning.
    """
    train = data.train.x.flatten(1)
    if data.dims <= COMPONENTS:
        return _over("pixels", f"the {data.dims} pixels", lambda x: x.flatten(1))
    mean = train.mean(0)
    centred = train[:10_000] - mean
    axes = torch.linalg.eigh((centred.T @ centred).double())[1][:, -COMPONENTS:].to(train)
    return _over("pixels", f"the leading {COMPONENTS} principal components of {data.dims} pixels",
                 lambda x: (x.flatten(1) - mean) @ axes)  # fmt: skip


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
        InputError: torch-fidelity is not installed, or its weights can neither be found nor downloaded.
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


def _batched(net: Callable[[Tensor], Tensor], size: int = 1000) -> Callable[[Tensor], Tensor]:
    def features(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([net(part) for part in x.split(size)])

    return features
