"""Measurements of biscuit tins: the best pair of latent dimensions, and a step towards taller tins.

Both entries are added to those of `genzoo.evaluation.representation`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from genzoo.data.dataset import DataSet
from genzoo.data.synthetic import biscuits
from genzoo.errors import InputError
from genzoo.evaluation.figures import mean
from genzoo.evaluation.representation import (
    Entry,
    best_pair,
    described,
    encodes,
    flat,
    latent_step,
    through,
)
from genzoo.model import GenerativeModel, Latent

PROBED = 2000  # training events from whose latents the direction of a step is computed


def are_tins(data: DataSet) -> bool:
    """True if a data set shows tins that can be measured."""
    return data.read is biscuits.read and data.test.c is not None


def of_tins(model: GenerativeModel, data: DataSet, most: int, seed: int) -> Entry:
    """The entries ``pair`` and ``taller``; None of other data, or of a model without an encoder.

    Args:
        model: the model.
        data: the data set that it was trained on.
        most: largest number of events of each split, on which the pair is chosen and scored.
        seed: of random numbers.
    """
    if not (are_tins(data) and encodes(model)):
        return {"pair": None, "taller": None}
    pair = best_pair(model, data, most, seed)
    return {"pair": pair, "taller": taller(model, data, seed=seed)}


def taller(
    model: GenerativeModel, data: DataSet, pixels: float = 1.0, n: int = 200, seed: int = 0
) -> Entry:
    """Effect of one latent step that should raise the height of tins, and nothing else.

    It is measured on the decoded tins, by `genzoo.data.synthetic.biscuits.measure`.

    Args:
        model: a model with an encoder and a decoder.
        data: `genzoo.data.synthetic.biscuits`.
        pixels: height that the step should add.
        n: number of test tins, all below the greatest height.
        seed: of random numbers.

    Returns:
        ``asked`` (pixels), and the effect in pixels: the mean change of ``height`` and of
        ``width``, and ``width_moved``, the mean of the width's *absolute* change.
    """
    _, decoded = taller_tins(model, data, (0.0, pixels), n, seed)
    before, after = (torch.stack(biscuits.measure(tins), 1).double() for tins in decoded)
    height, width = (after - before).unbind(1)
    return {
        "asked": pixels,
        "height": mean(height).to_json(),
        "width": mean(width).to_json(),
        "width_moved": mean(width.abs()).to_json(),
    }


def taller_tins(
    model: GenerativeModel, data: DataSet, pixels: Sequence[float], n: int = 200, seed: int = 0
) -> tuple[Tensor, list[Tensor]]:
    """Test tins below the greatest height, and tins that a model decodes after latent steps.

    Args:
        model: a model with an encoder and a decoder.
        data: `genzoo.data.synthetic.biscuits`.
        pixels: height that each of the steps should add.
        n: number of tins.
        seed: of random numbers.

    Returns:
        the tins ``(n, 1, 16, 16)``, and as many decoded ones for each of ``pixels``.

    Raises:
        InputError: the data does not show tins, or the family has no latent.
    """
    if not are_tins(data) or data.test.c is None:
        raise InputError(f"Only tins can be made taller, and {data.name} has none: use biscuits.")
    if model.latent == Latent.NONE:
        raise InputError(
            f"{type(model).__name__} has no latent in which a tin could be made taller."
        )
    two_heights = biscuits.describe(torch.tensor([0, 1]), torch.tensor([0, 0]))
    pixel = two_heights.diff(dim=0)[0]  # of height, as a description
    tallest = data.test.c[:, 0] + max(pixels) * pixel[0]
    has_room = tallest <= 1 + 1e-6
    x = data.test.x[has_room][:n]
    train = data.train.some(PROBED)
    train_z = flat(model.encode, train.x, model, seed)
    step = latent_step(train_z, described(train), pixel.numpy())
    z = through(model.encode, x, model, seed)
    along = torch.as_tensor(step).to(z).view(1, *z.shape[1:])
    decoded = [through(model.decode, z + amount * along, model, seed) for amount in pixels]
    return x, decoded
