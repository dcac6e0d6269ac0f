"""Measurements of a text-to-image model, by rule.

The meaning of a caption is known, and that of a picture is found by a parser::

    faithfulness  share of the requested attributes that pictures show, of seen and of held-out
                  combinations, one thing and two
    retrieval     share of captions for which CLIP finds their picture in a pool, and the reverse
    zero_shot     share of pictures for which CLIP finds the true caption among those that differ
                  from it in one attribute
    variation     attributes that variations of a picture keep, and how much else they change
    sense         share of pictures on the way from one to another that are scenes
    some_edits    edits by words, which should change one attribute and keep the others

Every share is a `Figure` with its 95 % interval. Pictures are independent of each other, the
answers about one are not, so the errors of shares of answers are those of a ratio of two sums over
pictures.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genzoo.data.scenes.captions import Captioned, caption, prompts, tokenise, understand
from genzoo.data.scenes.parser import compare_attributes, parse
from genzoo.data.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    RADII,
    RELATIONS,
    SHAPES,
    Meaning,
    Scene,
    arrange,
    draw,
    render,
)
from genzoo.evaluation.figures import Figure, root, share, share_with

Imagine = Callable[[list[str]], Tensor]  # captions to pictures (n, 3, 32, 32), one each
Embed = Callable[[Tensor], Tensor]  # pictures, or tokens, to embeddings (n, dims)


# ------------------------------------------------------------------------------------- faithfulness


@dataclass(frozen=True)
class Accuracy:
    """Agreement of pictures with the meaning of their captions.

    Args:
        attributes: share of the requested attributes that pictures show.
        whole: share of pictures that show all of them.
        each: the first share by attribute.
        n: number of pictures.
    """

    attributes: Figure
    whole: Figure
    each: dict[str, Figure]
    n: int


def accuracy(asked: Sequence[Meaning], images: Tensor, together: int = 1) -> Accuracy:
    """Agreement of pictures with a requested meaning.

    The rule is that of `genzoo.data.scenes.parser.compare_attributes`.

    Args:
        asked: the requested meaning of each picture.
        images: ``(n, 3, 32, 32)``.
        together: number of pictures, one after the other, that have one origin, and so count as one
            independent picture in errors.
    """
    verdicts = []  # of each picture, pairs of an attribute and whether it is right
    for meaning, scene in zip(asked, parse(images), strict=True):
        verdicts.append(compare_attributes(meaning, scene))
    names = dict.fromkeys(name for verdict in verdicts for name, _ in verdict if name != "surplus")

    of_all = [[right for _, right in verdict] for verdict in verdicts]
    by_attribute = {}
    for attribute in names:
        answers = [[right for name, right in verdict if name == attribute] for verdict in verdicts]
        by_attribute[attribute] = _right(answers, together)
    return Accuracy(
        attributes=_right(of_all, together),
        whole=_right([[all(answers)] for answers in of_all], together),
        each=by_attribute,
        n=len(verdicts),
    )


def _right(answers: Sequence[Sequence[bool]], together: int = 1) -> Figure:
    """The share of right ``answers``, any number about each picture.

    The error is that of a ratio of sums over pictures.
    """
    right_of_each = np.array([float(sum(of_picture)) for of_picture in answers])
    count_of_each = np.array([float(len(of_picture)) for of_picture in answers])
    right = right_of_each.reshape(-1, together).sum(1)
    count = count_of_each.reshape(-1, together).sum(1)
    total = count.sum()
    value = right.sum() / total
    stderr = np.sqrt(np.square(right - value * count).sum()) / total
    return share_with(float(value), float(stderr), int(total))


KINDS = {  # of prompts: number of things, and whether the combination is held out
    "seen, one thing": (1, False),
    "seen, two things": (2, False),
    "held out, one thing": (1, True),
    "held out, two things": (2, True),
}


def faithfulness(imagine: Imagine, n: int = 1000, seed: int = 0) -> dict[str, Accuracy]:
    """`accuracy` of pictures, for each of `KINDS` of prompts.

    Args:
        imagine: the model, captions to pictures.
        n: number of prompts in all, a quarter of each kind.
        seed: of the prompts.
    """
    measured = {}
    for kind, (things, held_out) in KINDS.items():
        captions, asked = prompts(n // len(KINDS), things, held_out, seed)
        measured[kind] = accuracy(asked, imagine(captions))
    return measured


# --------------------------------------------------------------------------------------------- CLIP


class Retrieval(NamedTuple):
    """Top-1 accuracies of retrieval."""

    image_of_text: Figure
    """Share of captions whose own picture is the nearest."""

    text_of_image: Figure
    """Share of pictures whose own caption is the nearest."""

    pool: int
    """Number of candidates."""

    n: int
    """Number of captions, and of pictures."""


def retrieval(
    embed_images: Embed, embed_texts: Embed, data: Captioned, pool: int = 100
) -> Retrieval:
    """Top-1 retrieval by cosine, in pools in which each caption is true of one picture alone.

    Args:
        embed_images: of the model.
        embed_texts: of the model.
        data: captioned pictures.
        pool: number of pictures, and of captions, in a pool.
    """
    image_found = []
    text_found = []
    answers = torch.arange(pool)
    for indices in distinct(data, pool):
        texts = embed_texts(data.tokens[indices])
        images = embed_images(data.images[indices])
        scores = cosines(texts, images).cpu()
        image_found.append(scores.argmax(1) == answers)
        text_found.append(scores.argmax(0) == answers)
    if not image_found:
        raise ValueError(
            f"{len(data)} pictures are too few for a pool of {pool} that no two captions confuse."
        )
    return Retrieval(
        image_of_text=share(torch.cat(image_found)),
        text_of_image=share(torch.cat(text_found)),
        pool=pool,
        n=pool * len(image_found),
    )


def distinct(data: Captioned, pool: int) -> list[list[int]]:
    """As many pools of indices as possible in which each caption is true of its own scene only."""
    meanings = [understand(text) for text in data.captions]
    scenes = [scene.meaning for scene in data.scenes]

    def confused(i: int, j: int) -> bool:
        return true_of(meanings[i], scenes[j]) or true_of(meanings[j], scenes[i])

    pools = []
    indices: list[int] = []
    for i in range(len(data)):
        if any(confused(i, j) for j in indices):
            continue
        indices.append(i)
        if len(indices) == pool:
            pools.append(indices)
            indices = []
    return pools


def true_of(meaning: Meaning, whole: Meaning) -> bool:
    """True if a scene with the ``whole`` meaning has every attribute that ``meaning`` names."""
    if len(meaning.things) != len(whole.things):
        return False
    pairs = zip(_said(meaning), _said(whole), strict=False)
    return all(named in (None, actual) for named, actual in pairs)


def _said(meaning: Meaning) -> list[str | None]:
    """All attributes of a meaning, None where it does not name one."""
    attributes: list[str | None] = []
    for kind in meaning.things:
        attributes += [kind.size, kind.colour, kind.shape]
    return [*attributes, meaning.layout, meaning.background]


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of the angles between rows of ``one`` (n, d) and of ``other`` (m, d): ``(n, m)``."""
    return F.normalize(one, dim=1) @ F.normalize(other, dim=1).T


def zero_shot(
    embed_images: Embed, embed_texts: Embed, data: Captioned, seed: int = 0
) -> dict[str, Figure]:
    """Share of attributes that CLIP recognises, by attribute and over all ("mean").

    For each attribute of each scene, the candidates are its full description and those that differ
    from it in this attribute alone (so a guess is right one time in 6 for colours, 4 for shapes, 2
    for sizes); the nearest to the picture is CLIP's answer.

    Args:
        embed_images: of the model.
        embed_texts: of the model.
        data: captioned pictures.
        seed: of the wording of captions.
    """
    questions = []
    texts = []
    for i, scene in enumerate(data.scenes):
        for name, options in alternatives(scene.meaning):
            questions.append((i, name, options))
            # all options in the same words, but for the attribute
            texts += [caption(option, random.Random(seed + i)) for option in options]
    vectors = torch.cat([embed_texts(tokens) for tokens in tokenise(texts).split(1000)])
    images = torch.cat([embed_images(x) for x in data.images.split(500)])
    sizes = [len(options) for _, _, options in questions]
    of_questions = F.normalize(vectors, dim=1).split(sizes)

    # of each attribute, answers about each scene
    answers: dict[str, list[list[bool]]] = defaultdict(lambda: [[] for _ in data.scenes])
    for (i, name, options), of_options in zip(questions, of_questions, strict=True):
        nearest = int((of_options @ images[i]).argmax())
        right = options[nearest] == data.scenes[i].meaning
        answers[name][i].append(right)
        answers["mean"][i].append(right)
    return {name: _right(of_scenes) for name, of_scenes in answers.items()}


def alternatives(meaning: Meaning) -> list[tuple[str, list[Meaning]]]:
    """Each attribute of a full meaning, with all meanings that differ in it at most.

    The meaning itself is one of them. The relation of two things has four values: each of
    `RELATIONS`, with either of them first.
    """
    things = meaning.things
    questions = []
    for i, kind in enumerate(things):
        for name, values in {"size": RADII, "colour": COLOURS, "shape": SHAPES}.items():
            options = []
            for value in values:
                changed = [*things]
                changed[i] = replace(kind, **{name: value})
                options.append(replace(meaning, things=tuple(changed)))
            questions.append((name, options))
    if len(things) == 1:
        questions.append(("place", [replace(meaning, layout=place) for place in PLACES]))
    else:
        options = []
        for order in (things, things[::-1]):
            options += [replace(meaning, things=order, layout=layout) for layout in RELATIONS]
        questions.append(("relation", options))
    options = [replace(meaning, background=background) for background in BACKGROUNDS]
    questions.append(("background", options))
    return questions


# --------------------------------------------------------------------- pictures from other pictures


@dataclass(frozen=True)
class Variation:
    """Agreement of variations with their originals.

    Args:
        kept: agreement of their attributes.
        moved: mean distance by which things move, in pixels.
        moved_share: the same as a share of that to another picture of the same description.
        difference: root mean square of the pixels' differences.
        difference_share: the same as a share, likewise.
    """

    kept: Accuracy
    moved: Figure
    moved_share: Figure
    difference: Figure
    difference_share: Figure


def variation(scenes: Sequence[Scene], images: Tensor, varied: Tensor, seed: int = 0) -> Variation:
    """Agreement of variations with their originals, pictures of known scenes.

    Errors are those of the n originals, not of the n k pictures.

    Args:
        scenes: of the originals.
        images: the originals, ``(n, 3, 32, 32)``.
        varied: k variations of each, ``(n, k, 3, 32, 32)``.
        seed: of the other pictures of the same descriptions, which both are compared with.
    """
    n, k = varied.shape[:2]
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    originals = images.repeat_interleave(k, 0)
    scenes = [scene for scene in scenes for _ in range(k)]
    varied = varied.flatten(0, 1)
    others = render([arrange(scene.meaning, rng) for scene in scenes], generator)

    def mean_squares(pictures: Tensor) -> np.ndarray:
        squares = (pictures - originals).square().flatten(1)
        return squares.mean(1).double().numpy().reshape(n, k)

    moved = _moved(scenes, parse(varied)).reshape(n, k)
    moved_of_others = _moved(scenes, parse(others)).reshape(n, k)
    squares = mean_squares(varied)
    squares_of_others = mean_squares(others)
    one = np.ones((n, k))
    return Variation(
        kept=accuracy([scene.meaning for scene in scenes], varied, together=k),
        moved=_ratio(moved, one),
        moved_share=_ratio(moved, moved_of_others),
        difference=root(_ratio(squares, one)),
        difference_share=root(_ratio(squares, squares_of_others)),
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> Figure:
    """Ratio of two means over (n, k) numbers, k of each origin, with its error.

    The error is by the delta method, over origins.
    """
    above = np.nanmean(numerator, 1)
    below = np.nanmean(denominator, 1)
    finite = np.isfinite(above) & np.isfinite(below)
    above = above[finite]
    below = below[finite]
    ratio = above.mean() / below.mean()
    influence = (above - ratio * below) / below.mean()
    stderr = influence.std() / len(influence) ** 0.5
    return Figure(float(ratio), float(stderr), n=len(influence))


def _moved(before: Sequence[Scene], after: Sequence[Scene]) -> np.ndarray:
    """Mean distance in pixels from each thing to the nearest one in the other scene, ``(n,)``.

    NaN where that is empty.
    """
    means = []
    for scene, changed in zip(before, after, strict=True):
        if not scene.things or not changed.things:
            means.append(np.nan)
            continue
        nearest = []
        for thing in scene.things:
            distances = [np.hypot(thing.x - to.x, thing.y - to.y) for to in changed.things]
            nearest.append(min(distances))
        means.append(np.mean(nearest))
    return np.array(means)


def sense(images: Tensor) -> Figure:
    """Share of pictures ``(n, 3, 32, 32)`` that are scenes.

    A scene is one thing or two, each of a shape and a colour that have names.
    """
    return share(np.array([_sensible(scene) for scene in parse(images)]))


def _sensible(scene: Scene) -> bool:
    if len(scene.things) not in (1, 2):
        return False
    return all(thing.shape and thing.colour for thing in scene.things)


class Edit(NamedTuple):
    """An edit of a scene by words: captions before and after, and the meaning it should have.

    The captions differ in one ``attribute``. An edit is measured by `accuracy` for the meanings
    ``wanted``: ``whole`` is the share of pictures in which the attribute was changed and every
    other one was kept.
    """

    scene: Scene
    attribute: str
    before: str
    after: str
    wanted: Meaning


def some_edits(
    n: int, attribute: str, things: int = 1, seed: int = 0, short: bool = False
) -> list[Edit]:
    """Random scenes, each with another value for an attribute, and captions of both.

    Args:
        n: number of scenes.
        attribute: a name of `alternatives`.
        things: in each scene, one or two.
        seed: of the scenes and the words.
        short: name only colours, shapes and the attribute in captions, in place of all attributes.
    """
    rng = random.Random(seed)
    edits: list[Edit] = []
    for scene in draw(n, rng, things):
        questions = alternatives(scene.meaning)
        options = rng.choice([options for name, options in questions if name == attribute])
        others = [option for option in options if option != scene.meaning and _drawable(option)]
        wanted = rng.choice(others)
        captions = []
        for meaning in (scene.meaning, wanted):
            if short:
                meaning = _in_short(meaning, attribute)
            captions.append(caption(meaning, random.Random(len(edits))))
        before, after = captions
        edits.append(Edit(scene, attribute, before, after, wanted))
    return edits


def _in_short(meaning: Meaning, attribute: str) -> Meaning:
    """A meaning without all attributes but colours, shapes and the given one."""
    kinds = meaning.things
    if attribute != "size":
        kinds = tuple(replace(kind, size=None) for kind in kinds)
    # two things cannot be named without their relation
    has_layout = attribute == "place" or len(kinds) == 2
    has_background = attribute == "background"
    return Meaning(
        kinds,
        meaning.layout if has_layout else None,
        meaning.background if has_background else None,
    )


def _drawable(meaning: Meaning) -> bool:
    """True if its things differ in colour, as those of all scenes do."""
    colours = {kind.colour for kind in meaning.things}
    return len(colours) == len(meaning.things)
