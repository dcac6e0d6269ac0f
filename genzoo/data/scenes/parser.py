"""Finds the scene that a picture shows.

By rule, so that what a generated picture shows is measured and not judged by taste.

The inverse of `genzoo.data.scenes.scene.render`. What differs from the border's colour falls into
connected patches; each patch is compared with every shape drawn at the same place over the same
area, and named after the nearest shape and colour, or after none where it is like none.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from genzoo.data.scenes.scene import (
    AREAS,
    BACKGROUNDS,
    COLOURS,
    RADII,
    SHAPES,
    SIDE,
    Meaning,
    Scene,
    Thing,
    coverage,
    in_order,
)

STANDS_OUT = (
    0.2  # distance in colour space (the cube of side 1) from which a pixel is no background
)
SPECK = 10  # patches of fewer pixels are none
UNLIKE_COLOUR = 0.25  # distance from its colour beyond which a thing is of no colour with a name
# Share of a thing's area that may be amiss (squared error of coverage) before it has no shape with
# a name.
UNLIKE_SHAPE = 0.15
TOGETHER = 500  # pictures read at a time


def parse(images: Tensor) -> list[Scene]:
    """The scene that each picture ``(n, 3, 32, 32)`` shows.

    Things are listed in reading order of their topmost pixels.

    A thing whose colour or shape is like none that has a name gets None for it. Noise (0.1 in [-1,
    1]), blur and small specks do no harm; two things that touch are taken for one.
    """
    return [scene for part in images.split(TOGETHER) for scene in _parse(part)]


def _parse(images: Tensor) -> list[Scene]:
    picture = (images.detach().cpu().float() + 1) / 2
    ground = _border(picture).median(2).values.view(-1, 3, 1, 1)
    which, patches = _patches((picture - ground).norm(dim=1) > STANDS_OUT)
    colour, covered = _unmix(picture[which], ground[which], patches)
    things = _named(colour, covered)
    found: list[list[Thing]] = [[] for _ in images]
    for i, thing in zip(which.tolist(), things, strict=True):
        found[i].append(thing)
    brightness = torch.tensor(list(BACKGROUNDS.values()))
    nearest = (ground.flatten(1).unsqueeze(1) - brightness.view(1, -1, 1)).norm(dim=2).argmin(1)
    names = list(BACKGROUNDS)
    return [
        Scene(tuple(things), names[i]) for things, i in zip(found, nearest.tolist(), strict=True)
    ]


def _border(picture: Tensor) -> Tensor:
    """The outermost pixels of pictures ``(n, 3, h, w)``, ``(n, 3, m)``."""
    return torch.cat(
        [picture[:, :, 0], picture[:, :, -1], picture[:, :, :, 0], picture[:, :, :, -1]], 2
    )


def _patches(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The connected parts of masks ``(n, h, w)``.

    Returns which mask each part is from, ``(m,)``, and its pixels, ``(m, h, w)``.
    """
    from scipy.ndimage import label  # a third of a second to import

    within = np.zeros((3, 3, 3), dtype=int)
    within[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]  # neighbours share an edge, and a picture
    numbered = np.zeros(mask.shape, dtype=np.int32)
    label(mask.numpy(), within, output=numbered)
    labels = torch.from_numpy(numbered).long()
    sizes = torch.bincount(labels.flatten(), minlength=1)
    sizes[0] = 0  # the ground
    large = torch.where(sizes >= SPECK)[0]
    which = torch.zeros_like(sizes)
    which[labels.flatten()] = torch.arange(len(mask)).repeat_interleave(mask.shape[1:].numel())
    return which[large], labels[which[large]] == large.view(-1, 1, 1)


def _unmix(picture: Tensor, ground: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:
    """Colour ``(m, 3)`` of each patch ``(m, h, w)``, and how far it covers each pixel.

    The cover is a share of each pixel, ``(m, h, w)``.

    A pixel at the edge mixes the thing's colour with the ground's. So the colour is a mean that
    counts pixels by the fourth power of how far they stand out, and the share is where on the line
    between the two colours a pixel lies.
    """
    contrast = picture - ground
    weight = (contrast.square().sum(1).square() * patch).unsqueeze(1)
    colour = (picture * weight).sum((2, 3)) / weight.sum((2, 3))
    line = (colour.view(-1, 3, 1, 1) - ground).expand_as(contrast)
    share = (contrast * line).sum(1) / line.square().sum(1)
    around = torch.nn.functional.max_pool2d(patch.float().unsqueeze(1), 3, 1, 1).squeeze(1)
    return colour, share.clamp(0, 1) * around


def _named(colour: Tensor, covered: Tensor) -> list[Thing]:
    """A thing for each colour ``(m, 3)`` and coverage ``(m, h, w)``."""
    area = covered.sum((1, 2))
    pixel = torch.arange(SIDE) + 0.5
    x, y = (covered.sum(1) @ pixel) / area, (covered.sum(2) @ pixel) / area
    radii = torch.stack([(area / AREAS[shape]).sqrt() for shape in SHAPES], 1)
    errors = [
        (coverage(s, x, y, r) - covered).square().sum((1, 2))
        for s, r in zip(SHAPES, radii.T, strict=True)
    ]
    error, shape = torch.stack(errors, 1).min(1)
    distance, hue = (colour.unsqueeze(1) - torch.tensor(list(COLOURS.values()))).norm(dim=2).min(1)
    large = radii.gather(1, shape[:, None]).squeeze(1) > (RADII["small"] * RADII["large"]) ** 0.5
    columns = (shape, error / area, hue, distance, large, x, y)
    return [_thing(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _thing(
    shape: int, error: float, hue: int, distance: float, large: bool, x: float, y: float
) -> Thing:
    return Thing(
        SHAPES[shape] if error < UNLIKE_SHAPE else None,
        list(COLOURS)[hue] if distance < UNLIKE_COLOUR else None,
        "large" if large else "small",
        x,
        y,
    )


# ------------------------------------------------------------------ what was asked and what is seen


def agreement(asked: Meaning, seen: Scene) -> tuple[int, int]:
    """How many attributes ``asked`` for ``seen`` has right, and out of how many: (right, of)."""
    verdict = compare_attributes(asked, seen)
    return sum(right for _, right in verdict), len(verdict)


def compare_attributes(asked: Meaning, seen: Scene) -> list[tuple[str, bool]]:
    """Each attribute that was ``asked`` for, by name, and whether ``seen`` has it right.

    The rule. Attributes are the size, colour and shape of each thing, the place of a single thing
    or the relation of two, and the background; each only if it was asked for. Things asked for are
    matched with things seen so that as many attributes as possible are right. Of a thing that is
    missing all are wrong, and so is a place or a relation of it; each thing too many counts as one
    more attribute ("surplus"), wrong.
    """
    seats = [*seen.things, *[None] * len(asked.things)]
    verdicts = [_things(asked, match) for match in set(permutations(seats, len(asked.things)))]
    best = max(verdicts, key=lambda verdict: sum(right for _, right in verdict))
    ground = [("background", asked.background == seen.background)] if asked.background else []
    return [*best, *ground, *[("surplus", False)] * (len(seen.things) - len(asked.things))]


def _things(asked: Meaning, match: Sequence[Thing | None]) -> list[tuple[str, bool]]:
    """The verdict on everything but the background.

    Each thing asked for is taken to be the one beside it in ``match``.
    """
    verdict = []
    for kind, thing in zip(asked.things, match, strict=True):
        for name, wanted in asdict(kind).items():
            if wanted:
                verdict.append((name, thing is not None and getattr(thing, name) == wanted))
    if asked.layout:
        verdict.append(("place" if len(match) == 1 else "relation", _layout(match) == asked.layout))
    return verdict


def _layout(match: Sequence[Thing | None]) -> str | None:
    """The place of one thing, or the relation of two in this order.

    It is None for any other order, and where a thing is missing.
    """
    present = [thing for thing in match if thing]
    if len(present) < len(match):
        return None
    if len(present) == 1:
        return present[0].place
    first, relation = in_order(*present)
    return relation if first[0] is present[0] else None
