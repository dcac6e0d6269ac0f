"""The spaces in which samples are compared with data: features, pixels or points.

================  ==============================================  ================================
data              compared in                                     distances
================  ==============================================  ================================
digits, mnist     64 features of `genzoo.data.images.digits_net`  FD (digits-net), KID (digits-net)
biscuits          height, width and noise score of the most       TV (tins), beside the share
                  probable tin                                    "no tin"
colour images     2,048 features of Inception, if its weights     FID, KID
                  are available
other images      64 features of a network that names their       FD (animals-net), ...
with labels       classes, `genzoo.evaluation.samples.judge`
other images      pixels, or the leading 64 principal components  FD (pixels), KID (pixels)
                  of these
points, vectors   themselves, in units of their standard          MMD², sliced W₁
                  deviation
================  ==============================================  ================================

The first two are the data sets' own (`genzoo.data.DataSet.feature_space`), and a comparison gives
labelled images without one a network of theirs, as it does colour images where Inception cannot be
had. A distance is named
after the space, for figures from different spaces cannot be compared.

FD (pixels) compares means and covariances of pixels. A Gaussian that has both is at distance zero,
whatever its samples look like. So where the distribution of images is known, as that of tins is,
images are compared by it: by the most probable of the 72 tins, and by the likelihood of the noise.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from torch import Tensor

from genzoo.data.dataset import DataSet, FeatureSpace
from genzoo.errors import InputError
from genzoo.evaluation.batches import batched
from genzoo.evaluation.pca import principal_axes
from genzoo.evaluation.samples import distances

COMPONENTS = 64  # at most, of pixels
AXES_FROM = 10_000  # number of training events from which the principal axes are computed
INCEPTION_BATCH = 100

Features = Callable[[Tensor], Tensor]  # events (n, *event_shape) -> (n, d)


def space_of(data: DataSet) -> FeatureSpace:
    """The space in which samples of ``data`` are compared with it, distances included."""
    if data.feature_space is not None:
        return with_distances(data.feature_space)
    if len(data.event_shape) < 3:
        return points(data)
    if data.event_shape[0] != 3:
        return pixels(data)
    try:
        return inception()
    except InputError as error:
        fallback = pixels(data)
        about = f"{fallback.about}; not Inception's features, as usual, for {error}"
        return replace(fallback, about=about)


def features_of_copies(data: DataSet, space: FeatureSpace) -> Features:
    """The features in which copies are searched for: pixels, if those of ``space`` do not do."""
    if space.tells_copies:
        return space.features
    return pixels(data).features


def with_distances(space: FeatureSpace) -> FeatureSpace:
    """A space with the Fréchet and the kernel distance, named after it, if it has no distances."""
    if space.distances:
        return space
    names = f"FD ({space.name})", f"KID ({space.name})"
    if space.name == "inception":
        names = "FID", "KID"
    usual = (distances.frechet, distances.kernel_distance)
    return replace(space, distances=dict(zip(names, usual, strict=True)))


def pixels(data: DataSet) -> FeatureSpace:
    """Images as they are, or, with more than 64 pixels, their leading principal components.

    The axes are those of the training split. Both distances compare means and correlations of
    pixels there, not strokes, parts or meaning.
    """
    if data.dims <= COMPONENTS:
        about = f"the {data.dims} pixels"
        return with_distances(FeatureSpace("pixels", about, lambda x: x.flatten(1)))
    train = data.train.x.flatten(1)
    mean = train.mean(0)
    axes = principal_axes(train[:AXES_FROM] - mean, COMPONENTS).T
    about = f"the leading {COMPONENTS} principal components of {data.dims} pixels"
    return with_distances(FeatureSpace("pixels", about, lambda x: (x.flatten(1) - mean) @ axes))


def points(data: DataSet) -> FeatureSpace:
    """Points and vectors, each feature in units of its standard deviation in training events."""
    flat = data.train.x.flatten(1)
    mean = flat.mean(0)
    scale = flat.std(0).clamp(min=1e-9)

    def standardised(x: Tensor) -> Tensor:
        return (x.flatten(1) - mean) / scale

    bandwidth = distances.median_distance(standardised(data.train.x))
    about = (
        "in units of the standard deviation; MMD²: mean of Gaussian kernels of widths "
        f"{bandwidth:.2f}, 1/2, 1/4 and 1/8 of that; sliced W₁ over {distances.DIRECTIONS} "
        "directions"
    )
    usual = {"MMD²": distances.discrepancy(bandwidth), "sliced W₁": distances.sliced_wasserstein}
    return FeatureSpace("points", about, standardised, usual)


@lru_cache(maxsize=1)
def inception() -> FeatureSpace:
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
            "Inception's weights are not available: install torch-fidelity, and let it download "
            "them once."
        ) from error

    def of_bytes(x: Tensor) -> Tensor:
        return net((127.5 * (x + 1)).byte())

    def features(x: Tensor) -> Tensor:
        return batched(of_bytes, x, device=x.device, size=INCEPTION_BATCH)

    return with_distances(FeatureSpace("inception", "2,048 features of Inception-v3", features))
