"""Scenes, their captions and the parser that reads them off pictures.

Each is checked against the other two.
"""

import random
import re
from dataclasses import replace
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from genzoo import grid
from genzoo.data.scenes import captions
from genzoo.data.scenes import parser as sight
from genzoo.data.scenes import scene as scenes
from genzoo.data.scenes.captions import (
    VOCABULARY,
    caption,
    captioned,
    leave_out,
    prompts,
    spell,
    tokenise,
    understand,
)
from genzoo.data.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    RADII,
    RELATIONS,
    SHAPES,
    Kind,
    Meaning,
    Scene,
    Thing,
)
from genzoo.errors import InputError

KIND = st.builds(
    Kind, st.sampled_from([None, *RADII]), st.sampled_from(list(COLOURS)), st.sampled_from(SHAPES)
)
GROUND = st.sampled_from([None, *BACKGROUNDS])
ONE = st.builds(Meaning, st.tuples(KIND), st.sampled_from([None, *PLACES]), GROUND)
TWO = st.builds(Meaning, st.tuples(KIND, KIND), st.sampled_from(list(RELATIONS)), GROUND)


@pytest.fixture(scope="module")
def pictures() -> captions.Captioned:
    return captioned(1500, seed=7)


# ---------------------------------------------------------------------------------------- rendering


def test_a_picture_lies_on_the_grid_and_wobbles_only_with_a_generator(pictures):
    some = pictures.scenes[:50]
    still = scenes.render(some)
    assert still.shape == (50, 3, 32, 32) and torch.equal(
        still, grid.quantise(still, scenes.LEVELS)
    )
    assert torch.equal(still, scenes.render(some))
    wobbling = scenes.render(some, torch.Generator().manual_seed(0))
    assert (wobbling != still).flatten(1).any(1).all() and (wobbling - still).abs().mean() < 0.05
    assert scenes.render([]).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", RADII.values())
def test_coverage_is_what_counting_points_gives(shape, radius):
    x, y, r = (torch.tensor([value]) for value in (15.3, 16.8, radius))
    covered = scenes.coverage(shape, x, y, r)[0]
    fine = 24  # points a pixel, each way
    point = (torch.arange(32 * fine) + 0.5) / fine
    inside = scenes.DISTANCES[shape](point[None] - x, point[:, None] - y, r) <= 0
    counted = F.avg_pool2d(inside.float()[None], fine)[0]
    assert (covered - counted).abs().max() < 0.3 and (covered - counted).abs().mean() < 0.003
    assert counted.sum().item() == pytest.approx(scenes.AREAS[shape] * radius**2, rel=0.01)
    assert covered.sum().item() == pytest.approx(counted.sum().item(), rel=0.03)
    for axis, middle in enumerate((x, y)):
        centroid = counted.sum(axis) @ (torch.arange(32) + 0.5) / counted.sum()
        assert centroid.item() == pytest.approx(middle.item(), abs=0.03)


def test_things_stand_apart_and_wholly_inside(pictures):
    x = (pictures.images + 1) / 2
    corners = x[:, :, ::31, ::31].flatten(2)
    assert (corners.amax(2) - corners.amin(2)).max() < 0.02  # no thing reaches a corner
    for scene in pictures.scenes:
        for one, other in combinations(scene.things, 2):
            assert (
                max(abs(one.x - other.x), abs(one.y - other.y)) > 14 and one.colour != other.colour
            )


# ----------------------------------------------------------------------------------------- held out


def test_training_has_nothing_held_out_and_prompts_say_what_is():
    drawn = scenes.draw(4000, random.Random(0))
    kinds = {(t.size, t.colour, t.shape) for s in drawn for t in s.things}
    assert not kinds & scenes.HELD_OUT_THINGS and not any(
        scenes.is_held_out(s.meaning) for s in drawn
    )
    # and everything else
    assert len(kinds) == len(RADII) * len(COLOURS) * len(SHAPES) - len(scenes.HELD_OUT_THINGS)
    for pair in (0, 1), (0, 2), (1, 2):  # no *pair* of attributes is new: only their combination is
        known = {(kind[pair[0]], kind[pair[1]]) for kind in kinds}
        assert all((kind[pair[0]], kind[pair[1]]) in known for kind in scenes.HELD_OUT_THINGS)
    for things in (1, 2):
        texts, asked = prompts(40, things, held_out=True)
        assert all(scenes.is_held_out(understand(text)) for text in texts)
        assert all(len(meaning.things) == things for meaning in asked)
        assert [understand(text) for text in texts] == asked
        assert not any(scenes.is_held_out(meaning) for meaning in prompts(40, things)[1])


def test_what_a_meaning_leaves_open_is_not_held_out():
    green = Kind(None, "green", "triangle")
    assert not scenes.is_held_out(Meaning((green,)))
    assert scenes.is_held_out(Meaning((replace(green, size="large"),)))
    pair = Kind(None, "blue", "square"), Kind(None, "red", "circle")
    assert scenes.is_held_out(Meaning(pair, "above")) and scenes.is_held_out(
        Meaning(pair[::-1], "left of")
    )
    assert not scenes.is_held_out(Meaning(pair[:1]))


@given(st.one_of(ONE, TWO), st.integers(0, 99))
def test_an_arranged_scene_is_one_of_which_the_meaning_is_true(meaning, seed):
    scene = scenes.arrange(meaning, random.Random(seed))
    right, of = sight.agreement(meaning, scene)
    assert right == of and all(
        v is not None for kind in scene.meaning.things for v in vars(kind).values()
    )


# ----------------------------------------------------------------------------------------- captions


@given(st.one_of(ONE, TWO), st.integers(0, 999))
def test_what_is_said_is_understood(meaning, seed):
    text = caption(meaning, random.Random(seed))
    assert understand(text) == meaning
    assert understand(f"  {text.upper().replace('GREY', 'GRAY')}. ") == meaning
    (spelt,) = spell(tokenise(text))
    assert understand(spelt) == meaning and torch.equal(tokenise(spelt), tokenise(text))


def test_a_meaning_has_many_wordings_and_every_sentence_is_used():
    meaning = Meaning(
        (Kind("large", "red", "circle"), Kind("small", "blue", "square")), "left of", "grey"
    )
    said = {caption(meaning, random.Random(seed)) for seed in range(500)}
    assert len(said) > 200 and all(understand(text) == meaning for text in said)
    assert "a large red circle left of a small blue square" in {
        caption(replace(meaning, background=None), random.Random(seed)) for seed in range(2000)
    }


@pytest.mark.parametrize(
    "one, other",
    [
        ("a red circle left of a blue square", "a blue square to the right of a red circle"),
        ("above a red circle there is a blue square", "a blue square and below it a red circle"),
        (
            "on a gray background, a big orange cross",
            "there is a large orange cross against a grey background",
        ),
        ("an orange square in the center", "in the middle, an orange square"),
    ],
)
def test_other_words_mean_the_same(one, other):
    assert understand(one) == understand(other)


NONSENSE = [
    "",
    "a",
    "red circle",
    "a large circle",
    "a circle red",
    "a orange square",
    "an red square",
    "a red circle a blue square",
    "a red circle left a blue square",
    "on a red background a red circle",
    "a red circle at the left of a blue square",
    "a red circle on a grey background on a white background",
    "a red circle and left of it",
    "there is a red circle above",
]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_no_caption(text):
    assert not captions.is_grammatical(text)
    with pytest.raises(InputError, match="expected something like"):
        understand(text)


def test_unknown_words_are_named_with_the_vocabulary():
    with pytest.raises(
        InputError,
        match=r"the words 'gren', 'hexagon', which I do not know\. Did you mean 'green'\?",
    ) as raised:
        tokenise(["a red circle", "a gren hexagon"])
    assert all(re.search(rf"\b{word}\b", str(raised.value)) for word in VOCABULARY[1:])
    assert not captions.is_grammatical("a gren circle")


def test_the_vocabulary_and_the_length_are_just_what_captions_need():
    rng = random.Random(0)
    texts = [caption(leave_out(scene.meaning, rng), rng) for scene in scenes.draw(6000, rng)]
    tokens = tokenise(texts)
    assert set(tokens.flatten().tolist()) == set(range(len(VOCABULARY)))
    assert (tokens > 0).sum(1).max() == captions.LENGTH
    with pytest.raises(InputError, match=f"has 19 words: expected at most {captions.LENGTH}"):
        tokenise(" ".join(["a"] * 19))
    assert tokenise([]).shape == (0, captions.LENGTH)


def test_captions_leave_things_open_as_often_as_they_say(pictures):
    said = [understand(text) for text in pictures.captions]
    single = [meaning for meaning in said if len(meaning.things) == 1]
    kinds = [kind for meaning in said for kind in meaning.things]
    for share, name in (
        (sum(m.background is None for m in said) / len(said), "background"),
        (sum(m.layout is None for m in single) / len(single), "place"),
        (sum(k.size is None for k in kinds) / len(kinds), "size"),
    ):
        assert share == pytest.approx(captions.UNSAID[name], abs=0.05)
    for meaning, scene in zip(said, pictures.scenes, strict=True):
        right, of = sight.agreement(meaning, scene)
        assert right == of


def test_captions_are_events_that_read_as_text():
    data = captions.captions(train=200, validation=10, test=10)
    texts = captions.read(data.train.x)
    assert all(captions.is_grammatical(text) for text in texts) and data.event_shape == (
        captions.LENGTH,
    )
    fluency = captions.fluency([*texts[:3], "a red circle", "a red"], texts)
    assert fluency.grammatical == 4 / 5 and fluency.new == 1 / 4


# ------------------------------------------------------------------------------------------ parsing


def blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    weights = torch.exp(-0.5 * (torch.arange(-3, 4) / sigma) ** 2)
    weights = (weights / weights.sum()).view(1, 1, 1, 7).expand(3, 1, 1, 7)
    x = F.pad(x, (3, 3, 3, 3), mode="replicate")
    return F.conv2d(F.conv2d(x, weights, groups=3), weights.mT, groups=3)


def share_right(pictures: captions.Captioned, images: torch.Tensor) -> float:
    scores = [
        sight.agreement(s.meaning, seen)
        for s, seen in zip(pictures.scenes, sight.parse(images), strict=True)
    ]
    return sum(right for right, _ in scores) / sum(of for _, of in scores)


def test_the_parser_reads_clean_noisy_and_blurred_pictures(pictures):
    noise = 0.1 * torch.randn(pictures.images.shape, generator=torch.Generator().manual_seed(0))
    assert share_right(pictures, pictures.images) >= 0.999
    assert share_right(pictures, pictures.images + noise) >= 0.995
    assert share_right(pictures, blurred(pictures.images, 0.6)) >= 0.995


def test_the_parser_finds_where_things_are(pictures):
    for scene, seen in zip(pictures.scenes[:300], sight.parse(pictures.images[:300]), strict=True):
        for thing in scene.things:
            assert min(abs(thing.x - o.x) + abs(thing.y - o.y) for o in seen.things) < 0.3


def test_the_parser_names_only_what_has_a_name():
    assert sight.parse(torch.zeros(0, 3, 32, 32)) == []
    assert sight.parse(torch.full((1, 3, 32, 32), 0.9)) == [Scene((), "white")]
    odd = torch.full((2, 3, 32, 32), 0.1)
    odd[0, :, 8:11, 6:26] = torch.tensor([0.7, -0.7, -0.7]).view(3, 1, 1)  # a red bar
    odd[1, :, 10:20, 10:20] = torch.tensor([-1.0, 1.0, 1.0]).view(3, 1, 1)  # a cyan square
    (bar,), (square,) = (scene.things for scene in sight.parse(odd))
    assert (bar.shape, bar.colour) == (None, "red") and (square.shape, square.colour) == (
        "square",
        None,
    )
    speck = torch.full((1, 3, 32, 32), 0.9)
    speck[..., 5:7, 5:7] = -1
    assert sight.parse(speck) == [Scene((), "white")]


# -------------------------------------------------------------------------------------- the verdict


CIRCLE, SQUARE = Thing("circle", "red", "large", 8, 16), Thing("square", "blue", "small", 24, 16)
ASKED = Meaning((CIRCLE.kind, SQUARE.kind), "left of", "grey")


@pytest.mark.parametrize(
    "seen, right, of",
    [
        (Scene((CIRCLE, SQUARE), "grey"), 8, 8),
        (Scene((SQUARE, CIRCLE), "grey"), 8, 8),  # in whatever order they are found
        (Scene((CIRCLE, SQUARE), "white"), 7, 8),
        (Scene((replace(CIRCLE, x=24), replace(SQUARE, x=8)), "grey"), 7, 8),  # the other way round
        (Scene((CIRCLE, replace(SQUARE, x=8, y=30)), "grey"), 7, 8),  # below
        (
            Scene((replace(CIRCLE, colour="blue"), replace(SQUARE, colour="red")), "grey"),
            6,
            8,
        ),  # colours swapped
        (
            Scene((CIRCLE,), "grey"),
            4,
            8,
        ),  # all of what is missing is wrong, and so is the relation to it
        (Scene((CIRCLE, SQUARE, replace(CIRCLE, y=2)), "grey"), 8, 9),  # a thing too many
        (Scene((replace(CIRCLE, shape=None), SQUARE), "grey"), 7, 8),
        (Scene((), "grey"), 1, 8),
    ],
)
def test_the_verdict_follows_its_rule(seen, right, of):
    assert sight.agreement(ASKED, seen) == (right, of)
    names = [name for name, _ in sight.compare_attributes(ASKED, seen)]
    assert names[:8] == ["size", "colour", "shape"] * 2 + ["relation", "background"]


def test_only_what_was_asked_for_counts():
    asked = Meaning((Kind(None, "red", "circle"),))
    assert sight.agreement(asked, Scene((CIRCLE,), "black")) == (2, 2)
    assert sight.agreement(replace(asked, layout="right"), Scene((CIRCLE,), "black")) == (2, 3)


def test_attributes_describe_a_scene(pictures):
    rows = scenes.attributes(pictures.scenes)
    assert rows.shape == (len(pictures), len(scenes.FEATURES)) and rows.abs().max() <= 1
    column = {name: rows[:, i] for i, name in enumerate(scenes.FEATURES)}
    for i, scene in enumerate(pictures.scenes[:100]):
        assert column[scene.background][i] == 1 and column[f"first {scene.things[0].shape}"][i] == 1
        assert column["first x"][i] == pytest.approx(scene.things[0].x / 16 - 1, abs=1e-6)
        assert sum(column[f"second {shape}"][i] for shape in SHAPES) == len(scene.things) - 1
