"""Parser of pictures: finds the scene that a picture shows, by rule.

So the content of a generated picture is measured, not a matter of taste. The parser is the inverse
of `genzoo.data.scenes.scene.render`. Pixels that differ from the border's colour form connected
patches; each patch is compared with every shape drawn at the same place over the same area, and
gets the name of the nearest shape and colour, or none if it is far from all of them.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import permutations

import numpy as np
import torch
import torch.nn.functional as F
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

# distance in colour space (the cube of side 1) from which a pixel is not background
STANDS_OUT = 0.2

# patches of fewer pixels are ignored
SPECK = 10

# distance from the nearest colour beyond which the colour of a thing has no name
UNLIKE_COLOUR = 0.25

# share of a thing's area that may be amiss (squared error of coverage) before its shape has no name
UNLIKE_SHAPE = 0.15

# pictures parsed at a time
TOGETHER = 500


def parse(images: Tensor) -> list[Scene]:
    """The scene that each picture ``(n, 3, 32, 32)`` shows.

    Things are listed in reading order of their topmost pixels. A colour or shape that is far from
    all that have a name is None. Noise (0.1 in [-1, 1]), blur and small specks do not matter; two
    things that touch are taken for one.
    """
    scenes = []
    for part in images.split(TOGETHER):
        scenes += _parse(part)
    return scenes


def _parse(images: Tensor) -> list[Scene]:
    """The scenes of pictures that fit into memory together."""
    picture = (images.detach().cpu().float() + 1) / 2
    border = _border(picture)
    ground = border.median(2).values.view(-1, 3, 1, 1)
    contrast = (picture - ground).norm(dim=1)
    which, patches = _patches(contrast > STANDS_OUT)

    colour, covered = _unmix(picture[which], ground[which], patches)
    things_of: list[list[Thing]] = [[] for _ in images]
    for i, thing in zip(which.tolist(), _named(colour, covered), strict=True):
        things_of[i].append(thing)

    backgrounds = _backgrounds(ground)
    scenes = []
    for things, background in zip(things_of, backgrounds, strict=True):
        scenes.append(Scene(tuple(things), background))
    return scenes


def _border(picture: Tensor) -> Tensor:
    """The outermost pixels ``(n, 3, m)`` of pictures ``(n, 3, h, w)``."""
    top = picture[:, :, 0]
    bottom = picture[:, :, -1]
    left = picture[:, :, :, 0]
    right = picture[:, :, :, -1]
    return torch.cat([top, bottom, left, right], 2)


def _backgrounds(ground: Tensor) -> list[str]:
    """The name of the background whose brightness is nearest to each colour ``(n, 3, 1, 1)``."""
    names = list(BACKGROUNDS)
    brightness = torch.tensor(list(BACKGROUNDS.values()))
    brightness = brightness.view(1, -1, 1)
    colour = ground.flatten(1).unsqueeze(1)
    distance = (colour - brightness).norm(dim=2)
    nearest = distance.argmin(1)
    return [names[i] for i in nearest.tolist()]


def _patches(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The connected parts of masks ``(n, h, w)``.

    Returns:
        the mask that each part is from, ``(m,)``, and its pixels, ``(m, h, w)``.
    """
    from scipy.ndimage import label  # a third of a second to import

    # neighbours share an edge, and a picture
    neighbours = np.zeros((3, 3, 3), dtype=int)
    neighbours[1] = [
        [0, 1, 0],
        [1, 1, 1],
        [0, 1, 0],
    ]

    numbered = np.zeros(mask.shape, dtype=np.int32)
    label(mask.numpy(), neighbours, output=numbered)
    labels = torch.from_numpy(numbered).long()
    flat_labels = labels.flatten()

    sizes = torch.bincount(flat_labels, minlength=1)
    sizes[0] = 0  # the ground, which all pictures share
    (large,) = torch.where(sizes >= SPECK)

    # no label but the ground's is in two pictures, so each pixel may write its own
    pixels = mask.shape[1:].numel()
    pictures = torch.arange(len(mask))
    picture_of_label = torch.zeros_like(sizes)
    picture_of_label[flat_labels] = pictures.repeat_interleave(pixels)

    which = picture_of_label[large]
    patches = labels[which] == large.view(-1, 1, 1)
    return which, patches


def _unmix(picture: Tensor, ground: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:
    """Colour of each patch ``(m, h, w)``, and how far it covers each pixel.

    A pixel at the edge mixes the thing's colour with the ground's. So the colour is a mean that
    counts pixels by the fourth power of their contrast, and the share is where on the line between
    the two colours a pixel lies.

    Returns:
        the colours, ``(m, 3)``, and the covered share of each pixel, ``(m, h, w)``.
    """
    contrast = picture - ground
    square = contrast.square().sum(1)
    fourth_power = square.square()
    weight = (fourth_power * patch).unsqueeze(1)
    weighted = picture * weight
    colour = weighted.sum((2, 3)) / weight.sum((2, 3))

    line = colour.view(-1, 3, 1, 1) - ground
    line = line.expand_as(contrast)
    along = (contrast * line).sum(1)
    share = along / line.square().sum(1)

    # the patch and the pixels next to it: a pixel that is hardly covered does not stand out
    mask = patch.float().unsqueeze(1)
    around = F.max_pool2d(mask, 3, 1, 1).squeeze(1)
    return colour, share.clamp(0, 1) * around


def _named(colour: Tensor, covered: Tensor) -> list[Thing]:
    """A thing for each colour ``(m, 3)`` and coverage ``(m, h, w)``."""
    # the middle of what is covered
    area = covered.sum((1, 2))
    pixel = torch.arange(SIDE) + 0.5
    x = (covered.sum(1) @ pixel) / area
    y = (covered.sum(2) @ pixel) / area

    # each shape, drawn there over the same area
    radii = []
    errors = []
    for name in SHAPES:
        radius = (area / AREAS[name]).sqrt()
        drawn = coverage(name, x, y, radius)
        error = (drawn - covered).square()
        radii.append(radius)
        errors.append(error.sum((1, 2)))
    error, shape = torch.stack(errors, 1).min(1)
    radius = torch.stack(radii, 1).gather(1, shape[:, None]).squeeze(1)
    middle_radius = (RADII["small"] * RADII["large"]) ** 0.5
    large = radius > middle_radius

    colours = torch.tensor(list(COLOURS.values()))
    distances = (colour.unsqueeze(1) - colours).norm(dim=2)
    distance, hue = distances.min(1)

    columns = (shape, error / area, hue, distance, large, x, y)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [_thing(*row) for row in rows]


def _thing(
    shape: int,
    error: float,
    hue: int,
    distance: float,
    large: bool,
    x: float,
    y: float,
) -> Thing:
    """The thing at (x, y) of the nearest ``shape`` and ``hue``, if these are near enough."""
    shape_name = None
    if error < UNLIKE_SHAPE:
        shape_name = SHAPES[shape]
    colour_name = None
    if distance < UNLIKE_COLOUR:
        colour_name = list(COLOURS)[hue]
    size = "large" if large else "small"
    return Thing(shape_name, colour_name, size, x, y)


# --------------------------------------------------------------------- comparison with a meaning


def agreement(asked: Meaning, seen: Scene) -> tuple[int, int]:
    """Number of the attributes ``asked`` for that ``seen`` has right, and of all: (right, of)."""
    verdict = compare_attributes(asked, seen)
    return _count_right(verdict), len(verdict)


def compare_attributes(asked: Meaning, seen: Scene) -> list[tuple[str, bool]]:
    """Each requested attribute, by name, and True if the scene has it.

    Attributes are the size, colour and shape of each thing, the place of a single thing or the
    relation of two, and the background; each only if it is requested. Requested things are matched
    with things of the scene so that as many attributes as possible are right. All attributes of a
    missing thing are wrong, and so is a place or a relation of it; each thing too many counts as
    one more attribute ("surplus"), wrong.

    Args:
        asked: the requested meaning.
        seen: the scene of a picture.
    """
    requested = len(asked.things)
    missing = [None] * requested  # any requested thing may be missing
    candidates = [*seen.things, *missing]
    matches = dict.fromkeys(permutations(candidates, requested))  # each once, and in order for ties
    verdicts = [_things(asked, match) for match in matches]
    verdict = max(verdicts, key=_count_right)
    if asked.background:
        right = asked.background == seen.background
        verdict.append(("background", right))
    surplus = len(seen.things) - requested
    return verdict + [("surplus", False)] * surplus


def _count_right(verdict: list[tuple[str, bool]]) -> int:
    return sum(right for _, right in verdict)


def _things(asked: Meaning, match: Sequence[Thing | None]) -> list[tuple[str, bool]]:
    """The verdict on all attributes but the background, if things are matched with ``match``."""
    verdict = []
    for kind, thing in zip(asked.things, match, strict=True):
        for name, value in asdict(kind).items():
            if not value:
                continue
            right = thing is not None and getattr(thing, name) == value
            verdict.append((name, right))
    if asked.layout:
        name = "place" if len(match) == 1 else "relation"
        right = _layout(match) == asked.layout
        verdict.append((name, right))
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
    (first, _), relation = in_order(*present)
    if first is not present[0]:
        return None
    return relation
