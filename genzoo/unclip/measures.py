"""How good a text-to-image model is, measured by rule.

What was asked for is known, and what is shown is read off the picture::

    faithfulness  share of the attributes asked for that pictures show, of seen and of held-out
                  combinations, one thing and two
    retrieval     CLIP picks the one picture of a pool that a caption is true of, and the reverse
    zero_shot     CLIP picks the true caption from those that differ from it in one attribute
    variation     what variations of a picture keep, and how much of the rest they change
    sense         how many pictures on the way from one to another are scenes at all
    some_edits    edits by words: do they change what they should, and nothing else?

Every share is a `Figure` with the ends that hold 95 %. Pictures are independent of each other, the
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
    """How far pictures show what was asked for.

    Args:
        attributes: the share that is right of all attributes that were asked for.
        whole: the share of pictures in which all are right.
        each: the first by attribute.
        n: pictures.
    """

    attributes: Figure
    whole: Figure
    each: dict[str, Figure]
    n: int


def accuracy(asked: Sequence[Meaning], images: Tensor, together: int = 1) -> Accuracy:
    """How far pictures show what was asked for.

    The rule is that of `genzoo.data.scenes.parser.compare_attributes`.

    Args:
        asked: one meaning for each picture.
        images: ``(n, 3, 32, 32)``.
        together: so many pictures, one after the other, are of one origin and count as one when
            errors are told.
    """
    verdicts = [compare_attributes(*pair) for pair in zip(asked, parse(images), strict=True)]
    names = dict.fromkeys(name for verdict in verdicts for name, _ in verdict if name != "surplus")
    return Accuracy(
        attributes=_right([[ok for _, ok in verdict] for verdict in verdicts], together),
        whole=_right([[all(ok for _, ok in verdict)] for verdict in verdicts], together),
        each={
            name: _right([[ok for n, ok in verdict if n == name] for verdict in verdicts], together)
            for name in names
        },
        n=len(verdicts),
    )


def _right(answers: Sequence[Sequence[bool]], together: int = 1) -> Figure:
    """The share of right ``answers``, any number about each picture.

    The error is that of a ratio of sums over pictures.
    """
    right, of = (
        np.array([float(count(given)) for given in answers]).reshape(-1, together).sum(1)
        for count in (sum, len)
    )
    value = right.sum() / of.sum()
    stderr = np.sqrt(np.square(right - value * of).sum()) / of.sum()
    return share_with(float(value), float(stderr), int(of.sum()))


KINDS = {  # of prompts: how many things, and whether the combination is held out
    "seen, one thing": (1, False),
    "seen, two things": (2, False),
    "held out, one thing": (1, True),
    "held out, two things": (2, True),
}


def faithfulness(imagine: Imagine, n: int = 1000, seed: int = 0) -> dict[str, Accuracy]:
    """`accuracy` of pictures of ``n`` prompts in all, a quarter of each of `KINDS`."""
    measured = {}
    for kind, (things, held_out) in KINDS.items():
        captions, asked = prompts(n // len(KINDS), things, held_out, seed)
        measured[kind] = accuracy(asked, imagine(captions))
    return measured


# --------------------------------------------------------------------------------------------- CLIP


class Retrieval(NamedTuple):
    """Shares of captions that find their picture, and of pictures that find their caption.

    Each is sought among ``pool``; ``n`` of each were.
    """

    image_of_text: Figure
    text_of_image: Figure
    pool: int
    n: int


def retrieval(
    embed_images: Embed, embed_texts: Embed, data: Captioned, pool: int = 100
) -> Retrieval:
    """Top-1 retrieval by cosine, in pools in which each caption is true of one picture alone."""
    text, image = [], []
    answers = torch.arange(pool)
    for chosen in distinct(data, pool):
        scores = cosines(embed_texts(data.tokens[chosen]), embed_images(data.images[chosen])).cpu()
        text.append(scores.argmax(1) == answers)
        image.append(scores.argmax(0) == answers)
    if not text:
        raise ValueError(
            f"{len(data)} pictures are too few for a pool of {pool} that no two captions confuse."
        )
    return Retrieval(share(torch.cat(text)), share(torch.cat(image)), pool, pool * len(text))


def distinct(data: Captioned, pool: int) -> list[list[int]]:
    """Pools of indices into ``data`` in which each caption is true of its own scene only.

    As many pools as the data allows.
    """
    said = [understand(text) for text in data.captions]
    whole = [scene.meaning for scene in data.scenes]
    pools, chosen = [], list[int]()
    for i in range(len(data)):
        if any(true_of(said[i], whole[j]) or true_of(said[j], whole[i]) for j in chosen):
            continue
        chosen.append(i)
        if len(chosen) == pool:
            pools.append(chosen)
            chosen = []
    return pools


def true_of(meaning: Meaning, whole: Meaning) -> bool:
    """Whether a scene whose ``whole`` meaning this is has all that ``meaning`` says."""
    pairs = zip(_said(meaning), _said(whole), strict=False)
    return len(meaning.things) == len(whole.things) and all(
        said in (None, there) for said, there in pairs
    )


def _said(meaning: Meaning) -> list[str | None]:
    looks = [value for kind in meaning.things for value in (kind.size, kind.colour, kind.shape)]
    return [*looks, meaning.layout, meaning.background]


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """Cosines of the angles between rows of ``one`` (n, d) and of ``other`` (m, d): ``(n, m)``."""
    return torch.nn.functional.normalize(one, dim=1) @ torch.nn.functional.normalize(other, dim=1).T


def zero_shot(
    embed_images: Embed, embed_texts: Embed, data: Captioned, seed: int = 0
) -> dict[str, Figure]:
    """Share of attributes that CLIP reads right, by attribute and over all ("mean").

    For each attribute of each scene, its full description stands among those that differ from it in
    this attribute alone (so guessing is right one time in 6 for colours, 4 for shapes, 2 for
    sizes); the nearest to the picture is CLIP's answer.
    """
    questions = [
        (i, name, options)
        for i, scene in enumerate(data.scenes)
        for name, options in alternatives(scene.meaning)
    ]
    # one wording for all options
    texts = [caption(m, random.Random(seed + i)) for i, _, options in questions for m in options]
    embedded = torch.nn.functional.normalize(
        torch.cat([embed_texts(t) for t in tokenise(texts).split(1000)]), dim=1
    )
    images = torch.cat([embed_images(x) for x in data.images.split(500)])
    answers: dict[str, list[list[bool]]] = defaultdict(
        lambda: [[] for _ in data.scenes]
    )  # of each scene
    for (i, name, options), vectors in zip(
        questions, embedded.split([len(o) for _, _, o in questions]), strict=True
    ):
        right = options[int((vectors @ images[i]).argmax())] == data.scenes[i].meaning
        answers[name][i].append(right)
        answers["mean"][i].append(right)
    return {name: _right(given) for name, given in answers.items()}


def alternatives(meaning: Meaning) -> list[tuple[str, list[Meaning]]]:
    """For each attribute of a full meaning its name, and all meanings that agree in the others.

    The meaning itself is among them.

    The relation of two things has four values: each of `RELATIONS`, with either of them first.
    """
    found = []
    for i, kind in enumerate(meaning.things):
        for name, values in {"size": RADII, "colour": COLOURS, "shape": SHAPES}.items():
            kinds = (
                (*meaning.things[:i], replace(kind, **{name: value}), *meaning.things[i + 1 :])
                for value in values
            )
            found.append((name, [replace(meaning, things=things) for things in kinds]))
    if len(meaning.things) == 1:
        found.append(("place", [replace(meaning, layout=place) for place in PLACES]))
    else:
        orders = (meaning.things, meaning.things[::-1])
        found.append(
            (
                "relation",
                [replace(meaning, things=t, layout=layout) for t in orders for layout in RELATIONS],
            )
        )
    found.append(("background", [replace(meaning, background=ground) for ground in BACKGROUNDS]))
    return found


# --------------------------------------------------------------------- pictures from other pictures


@dataclass(frozen=True)
class Variation:
    """What variations keep and how far they differ from the originals otherwise.

    Args:
        kept: the originals' attributes.
        moved: the mean distance by which things move, in pixels.
        moved_share: that as a share of what it is for another picture of the same description.
        difference: the root mean square of the pixels' differences.
        difference_share: likewise, as a share.
    """

    kept: Accuracy
    moved: Figure
    moved_share: Figure
    difference: Figure
    difference_share: Figure


def variation(scenes: Sequence[Scene], images: Tensor, varied: Tensor, seed: int = 0) -> Variation:
    """What variations keep of pictures of known scenes, and how much of the rest they change.

    Args:
        scenes: of the originals.
        images: the originals, ``(n, 3, 32, 32)``.
        varied: k variations of each, ``(n, k, 3, 32, 32)``.
        seed: of the pictures of the same descriptions that both are held against.

    Errors are those of the n originals, not of the n k pictures.
    """
    n, k = varied.shape[:2]
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    originals = images.repeat_interleave(k, 0)
    scenes = [scene for scene in scenes for _ in range(k)]
    varied = varied.flatten(0, 1)
    others = render([arrange(scene.meaning, rng) for scene in scenes], generator)

    moved, moved_fully = (
        _moved(scenes, parse(pictures)).reshape(n, k) for pictures in (varied, others)
    )
    squares, squares_fully = (
        (pictures - originals).square().flatten(1).mean(1).double().numpy().reshape(n, k)
        for pictures in (varied, others)
    )
    one = np.ones((n, k))
    return Variation(
        kept=accuracy([scene.meaning for scene in scenes], varied, together=k),
        moved=_ratio(moved, one),
        moved_share=_ratio(moved, moved_fully),
        difference=root(_ratio(squares, one)),
        difference_share=root(_ratio(squares, squares_fully)),
    )


def _ratio(one: np.ndarray, other: np.ndarray) -> Figure:
    """Mean of ``one`` over that of ``other``, (n, k) each, k numbers of each origin.

    The error is by the delta method.
    """
    one, other = (np.nanmean(values, 1) for values in (one, other))
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    ratio = one.mean() / other.mean()
    off = (one - ratio * other) / other.mean()
    return Figure(float(ratio), float(off.std() / len(off) ** 0.5), n=len(off))


def _moved(before: Sequence[Scene], after: Sequence[Scene]) -> np.ndarray:
    """Mean distance in pixels from each thing to the nearest one in the other scene, ``(n,)``.

    NaN where that is empty.
    """
    found = []
    for scene, seen in zip(before, after, strict=True):
        nearest = [
            min(np.hypot(thing.x - other.x, thing.y - other.y) for other in seen.things)
            for thing in scene.things
            if seen.things
        ]
        found.append(np.mean(nearest) if nearest else np.nan)
    return np.array(found)


def sense(images: Tensor) -> Figure:
    """Share of pictures ``(n, 3, 32, 32)`` that are scenes.

    A scene is one thing or two, each of a shape and a colour that have names.
    """
    return share(np.array([_sensible(scene) for scene in parse(images)]))


def _sensible(scene: Scene) -> bool:
    return len(scene.things) in (1, 2) and all(
        thing.shape and thing.colour for thing in scene.things
    )


class Edit(NamedTuple):
    """An edit of a scene by words: captions before and after, and what must be true afterwards.

    The captions differ in one ``attribute``.

    `accuracy` of what is ``wanted`` is its measure: ``whole`` is the share of pictures in which the
    attribute changed as asked and every other one was kept.
    """

    scene: Scene
    attribute: str
    before: str
    after: str
    wanted: Meaning


def some_edits(
    n: int, attribute: str, things: int = 1, seed: int = 0, short: bool = False
) -> list[Edit]:
    """``n`` random scenes, each with another value for an attribute, and captions of both.

    Args:
        n: how many.
        attribute: a name of `alternatives`.
        things: in each scene, one or two.
        seed: of the scenes and the words.
        short: whether captions say colours, shapes and the attribute alone.

    The captions say all that can be said; ``short`` ones say the things' colours and shapes, the
    attribute, and nothing else.
    """
    rng = random.Random(seed)
    found = []
    for scene in draw(n, rng, things):
        options = rng.choice(
            [options for name, options in alternatives(scene.meaning) if name == attribute]
        )
        wanted = rng.choice(
            [option for option in options if option != scene.meaning and _drawable(option)]
        )
        said = (
            _in_short(meaning, attribute) if short else meaning
            for meaning in (scene.meaning, wanted)
        )
        before, after = (caption(meaning, random.Random(len(found))) for meaning in said)
        found.append(Edit(scene, attribute, before, after, wanted))
    return found


def _in_short(meaning: Meaning, attribute: str) -> Meaning:
    kinds = tuple(
        kind if attribute == "size" else replace(kind, size=None) for kind in meaning.things
    )
    told = (
        attribute == "place" or len(kinds) == 2
    )  # two things cannot be named without their relation
    return Meaning(
        kinds,
        meaning.layout if told else None,
        meaning.background if attribute == "background" else None,
    )


def _drawable(meaning: Meaning) -> bool:
    """Whether its things differ in colour, as those of all scenes do."""
    return len({kind.colour for kind in meaning.things}) == len(meaning.things)
