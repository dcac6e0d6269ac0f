"""The measures of text-to-image models, on painters whose quality is known.

Then ``genzoo imagine`` and ``genzoo vary``.
"""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import genzoo
import genzoo.errors
from genzoo.cli import main
from genzoo.data.scenes.captions import LENGTH, VOCABULARY, captioned, understand
from genzoo.data.scenes.scene import Meaning, arrange, draw, render
from genzoo.evaluation.figures import share_of
from genzoo.evaluation.samples.distances import frechet
from genzoo.gate.pictures import read as read_image
from genzoo.unclip import CLIP, UnCLIP
from genzoo.unclip import measures as by_rule
from genzoo.unclip import pretrained as shipped

# ------------------------------------------------------------------------------------- the measures


def paint(captions):
    """A painter that draws by rule."""
    generator = torch.Generator().manual_seed(3)
    return render([arrange(understand(text), random.Random(text)) for text in captions], generator)


def test_a_painter_by_rule_is_faithful_and_one_that_does_not_listen_is_not():
    for accuracy in by_rule.faithfulness(paint, 200).values():
        assert accuracy.attributes.value == accuracy.whole.value == 1 and accuracy.n == 50
        # fifty pictures are no certainty
        assert accuracy.whole == share_of(1.0, 50) and accuracy.whole.low < 0.95
    deaf = by_rule.faithfulness(lambda captions: paint(captions[1:] + captions[:1]), 400)[
        "seen, one thing"
    ]
    assert (
        0.15 < deaf.attributes.value < 0.4
        and deaf.whole.value < 0.1
        and 0 < deaf.attributes.stderr < 0.05
    )
    assert deaf.each["size"].value > deaf.each["shape"].value > 0 and set(deaf.each) == {
        "size",
        "colour",
        "shape",
        "place",
        "background",
    }


def test_the_standard_error_is_that_of_repeated_measurements():
    def measure(seed):
        some = captioned(50, seed)
        return by_rule.accuracy([scene.meaning for scene in some.scenes], some.images.roll(1, 0))

    measured = [measure(seed) for seed in range(20)]
    spread = np.std([accuracy.attributes.value for accuracy in measured])
    assert np.mean([accuracy.attributes.stderr for accuracy in measured]) == pytest.approx(
        spread, rel=0.5
    )


@pytest.mark.parametrize("right", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("alike", [0.5, 10.0], ids=["answers go together", "answers apart"])
def test_the_interval_of_answers_about_the_same_pictures_holds(right, alike):
    """Each picture has a luck of its own, by which three to eight answers about it are right.

    250 pictures, a thousand times.
    """
    random = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        of = random.integers(3, 9, size=250)
        luck = random.beta(alike * right, alike * (1 - right), size=250)
        hits = random.binomial(of, luck)
        found.append(
            by_rule._right(
                [[True] * hit + [False] * (n - hit) for hit, n in zip(hits, of, strict=True)]
            )
        )
    assert 0.92 <= np.mean([figure.low <= right <= figure.high for figure in found]) <= 0.98


def test_pictures_of_one_origin_count_as_one(data):
    """The same pictures five times over are no surer than once."""
    asked, images = [scene.meaning for scene in data.scenes[:80]], data.images[:80].roll(1, 0)
    once = by_rule.accuracy(asked, images)
    five = by_rule.accuracy(
        [meaning for meaning in asked for _ in range(5)], images.repeat_interleave(5, 0), together=5
    )
    assert five.attributes.value == pytest.approx(once.attributes.value) and five.n == 400
    assert five.attributes.stderr == pytest.approx(once.attributes.stderr)


def test_the_error_of_a_ratio_holds():
    random = np.random.default_rng(0)
    other = random.gamma(4.0, 1.0, size=(1000, 60, 3))
    one = 0.6 * other + random.gamma(2.0, 0.4, size=(1000, 60, 3))
    found = [by_rule._ratio(*pair) for pair in zip(one, other, strict=True)]
    truth = 0.6 + 0.8 / 4
    assert (
        0.92
        <= np.mean([abs(figure.value - truth) < 1.96 * figure.stderr for figure in found])
        <= 0.98
    )


@pytest.fixture(scope="module")
def data():
    return captioned(400, seed=11)


def test_in_a_pool_every_caption_is_true_of_its_own_picture_alone(data):
    pools = by_rule.distinct(data, 40)
    assert len(pools) >= 3 and all(len(pool) == 40 for pool in pools)
    assert len({i for pool in pools for i in pool}) == 40 * len(pools)
    for pool in pools:
        for i in pool:
            said = understand(data.captions[i])
            assert [j for j in pool if by_rule.true_of(said, data.scenes[j].meaning)] == [i]


def embeddings(meanings):
    """What a perfect CLIP may see: a one-hot vector for each attribute."""
    names = sorted(
        {str(value) for meaning in meanings for value in enumerate(by_rule._said(meaning))}
    )
    rows = [
        [str(value) in map(str, enumerate(by_rule._said(meaning))) for value in names]
        for meaning in meanings
    ]
    return torch.tensor(rows).float()


def test_retrieval_by_a_perfect_eye_and_by_a_blind_one(data):
    seen = embeddings([scene.meaning for scene in data.scenes])
    numbered = replace(data, images=torch.arange(len(data)), tokens=torch.arange(len(data)))
    look = seen.__getitem__
    perfect = by_rule.retrieval(look, look, numbered, pool=40)
    assert (
        perfect.image_of_text.value > 0.97
        and perfect.text_of_image.value > 0.97
        and perfect.n >= 120
    )
    blind = by_rule.retrieval(
        look, lambda numbers: torch.randn(len(numbers), seen.shape[1]), numbered, pool=40
    )
    assert (
        blind.image_of_text.value < 0.15
        and blind.text_of_image.low < 0.025 < blind.text_of_image.high
    )
    with pytest.raises(ValueError, match="too few for a pool of 1000"):
        by_rule.retrieval(look, look, numbered, pool=1000)


def test_alternatives_differ_in_one_attribute(data):
    for scene in data.scenes[:50]:
        meaning = scene.meaning
        for name, options in by_rule.alternatives(meaning):
            assert options.count(meaning) == 1 and len(set(options)) == len(options)
            if name != "relation":
                changed = [
                    sum(map(np.not_equal, by_rule._said(o), by_rule._said(meaning)))
                    for o in options
                ]
                assert sorted(changed) == [0] + [1] * (len(options) - 1)


def test_zero_shot_by_a_blind_eye_is_chance(data):
    blind = lambda rows: torch.nn.functional.normalize(torch.randn(len(rows), 8), dim=1)  # noqa: E731
    read = by_rule.zero_shot(blind, blind, captioned(200, seed=12))
    for name, options in {
        "colour": 6,
        "shape": 4,
        "size": 2,
        "place": 5,
        "relation": 4,
        "background": 3,
    }.items():
        assert read[name].value == pytest.approx(1 / options, abs=0.1)
    assert set(read) == {"colour", "shape", "size", "place", "relation", "background", "mean"}


def test_the_frechet_distance_is_that_of_gaussians():
    torch.manual_seed(0)
    x = torch.randn(40_000, 3, dtype=torch.float64)
    spread, shift = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.0, 1.0, -1.0])
    exact = (shift.square() + (spread - 1).square()).sum().item()
    assert frechet(x, torch.randn_like(x) * spread + shift) == pytest.approx(exact, rel=0.03)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    y = torch.randn_like(x) * spread
    assert frechet(x @ turn + 1, y @ turn + 1) == pytest.approx(frechet(x, y), rel=1e-6)
    assert frechet(y, y) == pytest.approx(0, abs=1e-6)


def test_variation_of_copies_and_of_pictures_drawn_anew(data):
    scenes, images = data.scenes[:60], data.images[:60]
    copies = by_rule.variation(scenes, images, images.unsqueeze(1))
    assert (
        copies.kept.whole.value == 1
        and copies.moved_share.value < 0.05
        and copies.difference.value == 0
    )
    anew = torch.stack(
        [render([arrange(scene.meaning, random.Random(i)) for scene in scenes]) for i in range(3)],
        1,
    )
    varied = by_rule.variation(scenes, images, anew)
    assert varied.kept.whole.value == 1 and varied.kept.n == 180 and varied.difference_share.n == 60
    for figure in (varied.moved_share, varied.difference_share):
        assert abs(figure.value - 1) < 4 * figure.stderr < 0.4


def test_a_double_exposure_makes_no_sense(data):
    assert by_rule.sense(data.images).value == 1
    assert by_rule.sense((data.images[:200] + data.images[200:]) / 2).value < 0.2


@pytest.mark.parametrize("attribute", ["size", "colour", "shape", "place", "background"])
def test_an_edit_asks_for_one_other_value(attribute):
    edits = by_rule.some_edits(30, attribute)
    for edit in edits:
        before, after = understand(edit.before), understand(edit.after)
        assert before == edit.scene.meaning and after == edit.wanted and before != after
        # in the same words but for the one
        assert len(edit.before.split()) == len(edit.after.split())
    undone = by_rule.accuracy(
        [edit.wanted for edit in edits], render([edit.scene for edit in edits])
    )
    assert undone.each[attribute].value == undone.whole.value == 0
    assert undone.attributes.value == pytest.approx(0.8)
    done = by_rule.accuracy([edit.wanted for edit in edits], paint([edit.after for edit in edits]))
    assert done.whole.value == 1


def test_an_edit_in_short_names_the_thing_and_what_changes():
    for edit in by_rule.some_edits(30, "shape", short=True):
        (kind,), after = edit.scene.meaning.things, understand(edit.after)
        assert understand(edit.before) == Meaning((replace(kind, size=None),))
        assert (
            after.things[0].shape == edit.wanted.things[0].shape != kind.shape
            and after.background is None
        )
    for edit in by_rule.some_edits(30, "size", things=2, short=True):
        assert (
            understand(edit.before).things == edit.scene.meaning.things
            and understand(edit.before).layout
        )


def test_edits_change_what_the_captions_name_and_keep_the_rest():
    """Far from chance.

    Drawn anew from captions as short as these, hardly one picture in ten is as wanted.
    """
    edits = by_rule.some_edits(12, "shape", short=True, seed=7)
    x = render([edit.scene for edit in edits])
    edited = shipped.pretrained().edit(
        x, [edit.before for edit in edits], [edit.after for edit in edits]
    )
    assert by_rule.accuracy([edit.wanted for edit in edits], edited).whole.value >= 0.5


# --------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """An unCLIP that has learned nothing."""
    torch.manual_seed(0)
    clip = CLIP(
        (3, 32, 32), LENGTH, len(VOCABULARY), dims=8, width=8, text_width=8, layers=1, heads=2
    )
    prior = genzoo.Diffusion((8,), 8, width=8, steps=2)
    decoder = genzoo.Diffusion((3, 32, 32), 8, width=8, steps=2, patch=2, fourier=0)
    model = UnCLIP(clip, prior, decoder)
    model.pca.fit(torch.randn(50, 8))
    return str(genzoo.save(model, tmp_path_factory.mktemp("unclip"), half=True))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands write where they are run."""
    monkeypatch.chdir(tmp_path)


def picture() -> str:
    still = render(draw(1, random.Random(0)))[0]
    pixels = ((still + 1) * 127.5).round().byte().movedim(0, 2).numpy()
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save("scene.png")
    return "scene.png"


def test_imagine_draws_a_grid_and_says_how_many_are_right(folder, capsys):
    command = [
        "imagine",
        "a large red circle left of a small blue square",
        "--model",
        folder,
        "--n",
        "9",
    ]
    assert main([*command, "--out", "some/one.png"]) == 0
    printed = capsys.readouterr().out
    assert "9 pictures" in printed and "of 9 show all that the caption asks for" in printed
    # the model's own
    assert main([*command, "--out", "two.png", "--steps", "2", "--guidance", "2"]) == 0
    assert main([*command, "--out", "three.png", "--seed", "1"]) == 0
    one, two, three = map(read_image, map(Path, ("some/one.png", "two.png", "three.png")))
    assert (
        one.shape == (3 * 64 + 2 * 4, 3 * 64 + 2 * 4, 3)
        and (one == two).all()
        and (one != three).any()
    )


def test_imagine_owns_up_to_a_caption_of_no_form_it_knows(folder, capsys):
    assert main(["imagine", "red circle blue", "--model", folder, "--n", "1"]) == 0
    assert "anyone's guess" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "way, pictures",
    [
        (["--n", "3", "--eta", "0.5"], 4),
        (["--n", "5", "--towards", "scene.png"], 5),
        (["--n", "3", "--edit", "a small red circle", "a large red circle"], 4),
        (["--components", "1", "2", "8"], 4),
    ],
    ids=["variations", "towards", "edit", "components"],
)
def test_vary_has_four_ways(folder, way, pictures, capsys):
    assert main(["vary", picture(), "--model", folder, *way]) == 0
    assert f"variations.png: {pictures} pictures" in capsys.readouterr().out
    across = 2 if pictures == 4 else 3
    assert read_image(Path("variations.png")).shape == (
        2 * 64 + 4,
        across * 64 + (across - 1) * 4,
        3,
    )


MISTAKES = {
    ("imagine", "a pinc circle"): "the word 'pinc', which I do not know",
    ("imagine", "a circle", "--n", "0"): "--n must be a whole number from 1 to 10,000",
    ("imagine", "a circle", "--out", "circle.jpg"): "ends in .png",
    ("imagine", "a red circle", "--model", "nowhere"): "There is no folder nowhere",
    ("vary", "nothing.png", "--model", "FOLDER"): "Cannot read nothing.png",
    ("imagine", "a circle", "--n", "100000000"): "--n must be a whole number from 1 to 10,000",
    ("imagine", "a circle", "--seed=-1"): "--seed must be a whole number from 0",
    ("imagine", "a circle", "--guidance=-5"): "--guidance must be at least 0, got -5",
    ("vary", "scene.png", "--eta", "2"): "--eta must be between 0 and 1",
    (
        "vary",
        "scene.png",
        "--components",
        "1",
        "--towards",
        "scene.png",
    ): "one of --towards, --edit and --components",
    (
        "vary",
        "scene.png",
        "--components",
        "9",
        "--model",
        "FOLDER",
    ): "--components 9: expected 1 to 8",
    (
        "vary",
        "scene.png",
        "--edit",
        "a circle",
        "a hexagon",
        "--model",
        "FOLDER",
    ): "'hexagon', which I do not know",
}


@pytest.mark.parametrize("command", MISTAKES, ids=" ".join)
def test_a_mistake_is_answered_by_a_sentence(command, folder, capsys):
    picture()
    assert main([folder if word == "FOLDER" else word for word in command]) == 2
    errors = capsys.readouterr().err
    assert (
        errors.startswith("genzoo: ") and MISTAKES[command] in errors and "Traceback" not in errors
    )


def test_weights_that_are_missing_or_of_something_else_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "none")
    with pytest.raises(genzoo.errors.InputError, match="genzoo train unclip"):
        shipped.pretrained()
    genzoo.save(genzoo.Diffusion((2,), width=8), tmp_path / "other")
    with pytest.raises(genzoo.errors.InputError, match="holds a Diffusion: expected an unCLIP"):
        shipped.pretrained(tmp_path / "other")


def test_a_model_of_captions_writes_text(tmp_path, capsys):
    model = genzoo.Autoregressive(
        (LENGTH,), levels=len(VOCABULARY), width=8, depth=1, ordered=False
    )
    genzoo.save(model, tmp_path / "run" / "model")
    (tmp_path / "run" / "config.yaml").write_text("{data: captions}")
    (tmp_path / "run" / "row.json").write_text("{}")
    assert main(["sample", "run", "--n", "12"]) == 0
    assert "are grammatical" in capsys.readouterr().out
    lines = Path("samples.txt").read_text().splitlines()
    assert len(lines) == 12 and all(set(line.split()) <= set(VOCABULARY) for line in lines)
