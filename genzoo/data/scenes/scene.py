"""Small coloured scenes with known attributes: one or two things on a background, 32x32 pixels.

A `Scene` has the position and the look of every thing; `render` draws it, each time a little
differently, and `Scene.meaning` are the attributes that words can express
(`genzoo.data.scenes.captions` writes them as a caption, `genzoo.data.scenes.parser` finds them in a
picture). Some combinations are held out by rule: training scenes have none of them, so a model that
shows them has combined attributes that it has never seen together.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet

SIDE = 32  # pixels
LEVELS = 256

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = {  # red, green and blue from 0 to 1
    "red": (0.86, 0.14, 0.14),
    "orange": (0.96, 0.50, 0.08),
    "yellow": (0.97, 0.87, 0.18),
    "green": (0.16, 0.66, 0.26),
    "blue": (0.16, 0.34, 0.88),
    "purple": (0.60, 0.22, 0.76),
}
BACKGROUNDS = {"white": 0.96, "grey": 0.55, "black": 0.06}  # brightness from 0 to 1
ODDS = {"white": 2, "grey": 2, "black": 1}  # relative frequencies of backgrounds
RADII = {"small": 3.8, "large": 6.0}  # in pixels

# (x, y) in pixels
PLACES = {
    "left": (8, 16),
    "right": (24, 16),
    "top": (16, 8),
    "bottom": (16, 24),
    "centre": (16, 16),
}
# the places of the first thing and of the second
RELATIONS = {
    "left of": ("left", "right"),
    "above": ("top", "bottom"),
}

# largest distance, in pixels, of a thing from its place along the axis that distinguishes places
ALONG = 0.8
ACROSS = 2.5  # and across it
STRETCH = 0.05  # largest relative deviation of a radius from that of its size
TINT = 0.04  # largest deviation of each channel of a colour from that of its name

TOGETHER = 500  # pictures drawn at a time: more do not fit a processor's cache

HELD_OUT_THINGS = {
    ("large", "green", "triangle"),
    ("small", "purple", "square"),
    ("large", "orange", "cross"),
}
HELD_OUT_PAIRS = {
    frozenset({("red", "circle"), ("blue", "square")}),
    frozenset({("yellow", "triangle"), ("purple", "cross")}),
}


@dataclass(frozen=True)
class Kind:
    """The look of a thing, as far as it is given; None: left open."""

    size: str | None
    colour: str | None
    shape: str | None


@dataclass(frozen=True)
class Meaning:
    """The attributes of a scene that words express; None: left open.

    ``layout`` of one thing is its place (a key of `PLACES`), of two the relation of the first to
    the second (a key of `RELATIONS`). The thing on the left, or above, always comes first: "b right
    of a" and "a left of b" mean the same.
    """

    things: tuple[Kind, ...]
    layout: str | None = None
    background: str | None = None


@dataclass(frozen=True)
class Thing:
    """One thing, with the position of its middle in pixels from the left and from the top.

    A field is None where it is not clear from a picture (`genzoo.data.scenes.parser`), which does
    not occur in a scene that is drawn.
    """

    shape: str | None
    colour: str | None
    size: str
    x: float
    y: float

    @property
    def kind(self) -> Kind:
        return Kind(self.size, self.colour, self.shape)

    @property
    def place(self) -> str:
        """The nearest of `PLACES`."""

        def squared_distance(name: str) -> float:
            x, y = PLACES[name]
            return (self.x - x) ** 2 + (self.y - y) ** 2

        return min(PLACES, key=squared_distance)


@dataclass(frozen=True)
class Scene:
    """One or two things on a background.

    A picture, read by `genzoo.data.scenes.parser`, may show none or more.
    """

    things: tuple[Thing, ...]
    background: str

    @property
    def meaning(self) -> Meaning:
        """All attributes of this scene that words can express."""
        things = self.things
        layout = None
        if len(things) == 1:
            layout = things[0].place
        elif len(things) == 2:
            things, layout = in_order(*things)
        kinds = tuple(thing.kind for thing in things)
        return Meaning(kinds, layout, self.background)


def in_order(one: Thing, other: Thing) -> tuple[tuple[Thing, Thing], str]:
    """Two things, the left or upper one first, and the relation between them.

    It is that along the axis on which they are further apart.
    """
    if abs(one.x - other.x) >= abs(one.y - other.y):
        relation = "left of"
        forward = one.x <= other.x
    else:
        relation = "above"
        forward = one.y <= other.y
    pair = (one, other) if forward else (other, one)
    return pair, relation


# -------------------------------------------------------------------------------- drawing at random


def draw(
    n: int, rng: random.Random, things: int | None = None, held_out: bool = False
) -> list[Scene]:
    """Random scenes.

    Args:
        n: number of scenes.
        rng: of random numbers.
        things: number of things in each, 1 or 2; None: two in three fifths of the scenes.
        held_out: True: all scenes are held out by rule; False: none is.
    """
    chosen: list[Scene] = []
    while len(chosen) < n:
        for _ in range(n):
            count = things or rng.choice((1, 1, 2, 2, 2))
            anything = Meaning((Kind(None, None, None),) * count)
            scene = arrange(anything, rng)
            if is_held_out(scene.meaning) == held_out:
                chosen.append(scene)
    return chosen[:n]


def arrange(meaning: Meaning, rng: random.Random) -> Scene:
    """A random scene of which ``meaning`` is true.

    Attributes that are left open are random, and so are the exact positions of things.
    """
    kinds = meaning.things
    if len(kinds) == 1:
        place = meaning.layout or rng.choice(list(PLACES))
        places = (place,)
    else:
        relation = meaning.layout or rng.choice(list(RELATIONS))
        places = RELATIONS[relation]

    # two things are never of one colour by chance
    taken = {kind.colour for kind in kinds}
    free = [name for name in COLOURS if name not in taken]
    colours = rng.sample(free, len(kinds))

    things = []
    for kind, place in zip(kinds, places, strict=True):
        colour = kind.colour or colours.pop(0)
        things.append(_put(kind, place, colour, rng))

    background = meaning.background
    if not background:
        (background,) = rng.choices(list(ODDS), list(ODDS.values()))
    return Scene(tuple(things), background)


def _put(kind: Kind, place: str, colour: str, rng: random.Random) -> Thing:
    """A thing near ``place``; shape and size are random where ``kind`` leaves them open."""
    beside = place in ("left", "right")
    stacked = place in ("top", "bottom")
    x, y = PLACES[place]
    x += rng.uniform(-1, 1) * (ACROSS if stacked else ALONG)
    y += rng.uniform(-1, 1) * (ACROSS if beside else ALONG)
    shape = kind.shape or rng.choice(SHAPES)
    size = kind.size or rng.choice(list(RADII))
    return Thing(shape, colour, size, x, y)


def is_held_out(meaning: Meaning) -> bool:
    """True of a meaning that training scenes never have, by rule.

    A held-out thing or pair is so in any arrangement. A meaning that leaves open an attribute of
    the rule is not held out: "a green triangle" may be small.
    """
    kinds = {(kind.size, kind.colour, kind.shape) for kind in meaning.things}
    if kinds & HELD_OUT_THINGS:
        return True
    pair = frozenset((colour, shape) for _, colour, shape in kinds)
    return pair in HELD_OUT_PAIRS


# ---------------------------------------------------------------------------------------- rendering


def render(scenes: Sequence[Scene], generator: torch.Generator | None = None) -> Tensor:
    """Pictures ``(n, 3, 32, 32)`` on the grid of 256 levels in [-1, 1], with smooth edges.

    Later things cover earlier ones. With a ``generator`` every radius and every colour deviates a
    little, so that pictures of a scene differ; without one they are exactly those of their names.
    """
    pictures = [torch.empty(0, 3, SIDE, SIDE)]
    for start in range(0, len(scenes), TOGETHER):
        part = scenes[start : start + TOGETHER]
        pictures.append(_render(part, generator))
    return torch.cat(pictures)


def _render(scenes: Sequence[Scene], generator: torch.Generator | None) -> Tensor:
    """The pictures of scenes that fit a processor's cache."""
    greys = torch.tensor([BACKGROUNDS[scene.background] for scene in scenes])
    grey = greys.view(-1, 1, 1, 1)
    grey = grey + TINT / 2 * _wobble(grey.shape, generator)
    picture = grey.repeat(1, 3, SIDE, SIDE)

    layers = max(len(scene.things) for scene in scenes)
    for layer in range(layers):
        rows = [i for i, scene in enumerate(scenes) if len(scene.things) > layer]
        things = [scenes[i].things[layer] for i in rows]
        picture[rows] = _on_top(picture[rows], things, generator)
    x = 2 * picture.clamp(0, 1) - 1
    return grid.quantise(x, LEVELS)


def _on_top(picture: Tensor, things: Sequence[Thing], generator: torch.Generator | None) -> Tensor:
    """Pictures ``(n, 3, 32, 32)`` of values from 0 to 1, with one more thing on each."""
    radius = torch.tensor([RADII[thing.size] for thing in things])
    radius = radius * (1 + STRETCH * _wobble(radius.shape, generator))
    colour = torch.tensor([COLOURS[str(thing.colour)] for thing in things])
    colour = colour + TINT * _wobble(colour.shape, generator)
    colour = colour.view(-1, 3, 1, 1).expand_as(picture)
    x = torch.tensor([thing.x for thing in things])
    y = torch.tensor([thing.y for thing in things])

    covered = picture.new_empty(len(things), 1, SIDE, SIDE)
    for shape in SHAPES:
        rows = [i for i, thing in enumerate(things) if thing.shape == shape]
        covered[rows, 0] = coverage(shape, x[rows], y[rows], radius[rows])
    return torch.lerp(picture, colour, covered.expand_as(picture))


def _wobble(size: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [-1, 1), or zeros without a generator."""
    if generator is None:
        return torch.zeros(size)
    return 2 * torch.rand(size, generator=generator) - 1


def coverage(shape: str, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """The share of each pixel that a shape covers, ``(n, 32, 32)``.

    Args:
        shape: one of `SHAPES`.
        x: of its centroid, in pixels, ``(n,)``.
        y: likewise.
        radius: in pixels, ``(n,)``.
    """
    pixel = torch.arange(SIDE) + 0.5
    right = pixel.view(1, 1, -1) - x.view(-1, 1, 1)
    down = pixel.view(1, -1, 1) - y.view(-1, 1, 1)
    distance = DISTANCES[shape](right, down, radius.view(-1, 1, 1))
    return (0.5 - distance).clamp(0, 1)  # an edge through a pixel's middle covers half of it


def _circle(right: Tensor, down: Tensor, radius: Tensor) -> Tensor:
    return torch.hypot(right, down) - radius


def _square(right: Tensor, down: Tensor, radius: Tensor) -> Tensor:
    return torch.maximum(right.abs(), down.abs()) - 0.88 * radius


def _triangle(right: Tensor, down: Tensor, radius: Tensor) -> Tensor:
    """As wide as the circle, 1.7 radii high; two thirds of the height lie above the centroid."""
    top = -1.7 * 2 / 3 * radius
    bottom = 1.7 / 3 * radius
    side = (1.7 * right.abs() - (down - top)) / math.hypot(1.7, 1)
    return torch.maximum(side, down - bottom)


def _cross(right: Tensor, down: Tensor, radius: Tensor) -> Tensor:
    beam = 0.36 * radius
    lying = torch.maximum(right.abs() - radius, down.abs() - beam)
    standing = torch.maximum(right.abs() - beam, down.abs() - radius)
    return torch.minimum(lying, standing)


# The distance of a point from a shape's edge, in pixels and negative inside, given how far right of
# and below the centroid it is.
DISTANCES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}
# of radius 1
AREAS = {
    "circle": math.pi,
    "square": 1.76**2,
    "triangle": 1.7,
    "cross": 2.88 - 0.72**2,
}


# ------------------------------------------------------------------------------------- the data set


def scenes(
    train: int = 10_000, validation: int = 1_000, test: int = 2_000, seed: int = 0
) -> DataSet:
    """Pictures of scenes, none of them held out: events (3, 32, 32) in 256 levels.

    The condition are each scene's `attributes`.

    Args:
        train: number of training events.
        validation: number of validation events.
        test: number of test events.
        seed: of random numbers.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    drawn = draw(train + validation + test, rng)
    return DataSet.split(
        "scenes",
        render(drawn, generator),
        attributes(drawn),
        sizes=(train, validation, test),
        levels=LEVELS,
        condition=len(FEATURES),
        features=FEATURES,
        about="32x32 colour pictures of one or two things, whose every attribute is known",
        source="drawn by genzoo",
        read=read,
    )


def read(images: Tensor) -> Tensor:
    """The `attributes` that a parser finds in pictures (n, 3, 32, 32): ``(n, 31)``."""
    from genzoo.data.scenes.parser import parse  # which draws scenes to compare with

    return attributes(parse(images))


_OF_A_THING = (*SHAPES, *COLOURS, *RADII, "x", "y")
FEATURES = (
    *BACKGROUNDS,
    *(f"{which} {name}" for which in ("first", "second") for name in _OF_A_THING),
)


def attributes(scenes: Sequence[Scene]) -> Tensor:
    """Facts about scenes, ``(n, 31)``, in the order of `FEATURES`: 1 where one is true, else 0.

    Of more than two things the first two count. Positions x and y are from -1 (left, top) to 1; all
    facts about a missing second thing are 0.
    """
    rows = []
    for scene in scenes:
        first, second = (*scene.things, None, None)[:2]
        background = _one_hot(scene.background, BACKGROUNDS)
        rows.append(background + _of_a_thing(first) + _of_a_thing(second))
    return torch.tensor(rows)


def _of_a_thing(thing: Thing | None) -> list[float]:
    """The facts about one thing, in the order of `_OF_A_THING`."""
    if thing is None:
        return [0.0] * len(_OF_A_THING)
    shape = _one_hot(thing.shape, SHAPES)
    colour = _one_hot(thing.colour, COLOURS)
    size = _one_hot(thing.size, RADII)
    x = 2 * thing.x / SIDE - 1
    y = 2 * thing.y / SIDE - 1
    return [*shape, *colour, *size, x, y]


def _one_hot(name: str | None, among: Iterable[str]) -> list[float]:
    return [float(name == other) for other in among]
