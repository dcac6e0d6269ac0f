"""Data sets by their names, or from paths."""

from collections.abc import Callable
from pathlib import Path

from genzoo.config import parameters
from genzoo.data import arrays, stream
from genzoo.data.dataset import DataSet
from genzoo.data.images import digits, folder
from genzoo.data.images import torchvision as images
from genzoo.data.names import NAMES
from genzoo.data.scenes import captions
from genzoo.data.scenes import scene as scenes
from genzoo.data.synthetic import biscuits, gaussians, ising, landmass, moons
from genzoo.errors import InputError, nearest

__all__ = ["load"]

MADE_HERE: dict[str, Callable[..., DataSet]] = {
    "landmass": landmass.landmass,
    "moons": moons.moons,
    "gaussians": gaussians.gaussians,
    "biscuits": biscuits.biscuits,
    "ising": ising.ising,
    "digits": digits.digits,
    "digits-index": digits.digits_index,
    "scenes": scenes.scenes,
    "captions": captions.captions,
}
DOWNLOADED: dict[str, Callable[..., DataSet]] = {
    "mnist": images.mnist,
    "mnist-binary": images.mnist_binary,
    "fashion-mnist": images.fashion_mnist,
    "cifar10": images.cifar10,
}


def load(name: str | Path, root: str | Path = "data", **options) -> DataSet:
    """A data set by its name, or from a path.

    Names are those of `genzoo.data.names`; a path is that of a ``.npz`` file, of a folder of
    images, or of a ``.npy`` file, which is read batch by batch (`genzoo.data.stream`).

    Args:
        name: a registered name, which wins over a path; write ``./digits`` for a folder that is
            called digits.
        root: the folder of downloaded data sets.
        options: of the data set's own function, such as ``size`` for a folder of images.

    Raises:
        InputError: the name, the path, an option or the data itself cannot be used; the message
            says what to do.
    """
    name = str(name)
    if name in MADE_HERE:
        make = MADE_HERE[name]
        arguments = ()
    elif name in DOWNLOADED:
        make = DOWNLOADED[name]
        arguments = (root,)
    else:
        make = _reader(name)
        arguments = (name,)
    _check_options(name, make, options, given=len(arguments))
    return make(*arguments, **options)


def _reader(name: str) -> Callable[..., DataSet]:
    """The function that reads the user's own data at the path ``name``."""
    path = Path(name)
    if name and path.is_dir():
        return folder.from_folder
    if path.suffix == ".npz":
        return arrays.from_npz
    if path.suffix == ".npy" and path.is_file():
        return stream.stream
    if path.is_file():
        raise InputError(
            f"Cannot read {name}: expected a .npz file with an array x, or a folder of images."
        )
    if len(path.parts) > 1:
        raise InputError(
            f"There is no file or folder {name}: expected a .npz file or a folder of images."
        )
    raise InputError(
        f"There is no data set, file or folder called {name!r}. {nearest(name, NAMES)}"
    )


def _check_options(name: str, make: Callable, options: dict, given: int) -> None:
    valid = list(parameters(make))[given:]
    for option in options:
        if option not in valid:
            hint = nearest(option, valid) if valid else "It takes no options."
            raise InputError(f"Data set {name!r} has no option {option!r}. {hint}")
