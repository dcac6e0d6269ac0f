"""unCLIP: the mathematics of its parts, and the whole chain in miniature."""

import itertools
import json
import math
import random

import pytest
import torch
import torch.nn.functional as F
import yaml

import genzoo
from genzoo import Autoregressive, Diffusion, grid
from genzoo.cli import main
from genzoo.data.scenes.captions import LENGTH, VOCABULARY, caption, tokenise
from genzoo.data.scenes.scene import Kind, Meaning, Scene, arrange, is_held_out
from genzoo.errors import InputError
from genzoo.families.diffusion import alpha, ancestral, ddim, sigma
from genzoo.model import slerp
from genzoo.unclip import CLIP, PCA, QuantizedPCA, UnCLIP
from genzoo.unclip.clip import CAP, contrastive, same
from genzoo.unclip.measures import accuracy
from genzoo.unclip.prior import best_of
from genzoo.unclip.training import Twins, reword, train_unclip, twins

DIMS = 12


def a_clip(**kwargs) -> CLIP:
    small = {"dims": DIMS, "width": 8, "patch": 4, "text_width": 8, "layers": 1, "heads": 2}
    return CLIP((3, 32, 32), LENGTH, len(VOCABULARY), **small | kwargs).eval()


def a_whole() -> UnCLIP:
    """An untrained unCLIP none of whose parameters is at a special value."""
    prior = Diffusion((DIMS,), DIMS, width=8, fourier=0, steps=2)
    decoder = Diffusion((3, 32, 32), DIMS, width=8, fourier=0, patch=4, steps=2)
    whole = UnCLIP(a_clip(), prior, decoder).eval()
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    whole.pca.fit(torch.randn(50, DIMS))
    return whole


# --------------------------------------------------------------------------------------------- CLIP


@pytest.mark.equation("contrastive")
def test_the_contrastive_loss_is_the_mean_of_two_cross_entropies():
    logits, n = torch.randn(5, 5).double(), torch.arange(5)
    expected = (
        F.cross_entropy(logits, n, reduction="none")
        + F.cross_entropy(logits.T, n, reduction="none")
    ) / 2
    torch.testing.assert_close(contrastive(logits, torch.eye(5).bool()), expected)


def test_equal_captions_share_the_target_which_is_the_mean_over_whose_caption_is_whose():
    """In expectation over the pictures' order, it is the loss with spread targets."""
    logits = torch.randn(4, 4).double()
    tokens = torch.tensor([[1, 2], [1, 2], [3, 0], [1, 2]])
    orders = [[*order[:2], 2, order[2]] for order in itertools.permutations([0, 1, 3])]
    one_hot = torch.stack(
        [contrastive(logits[:, order], torch.eye(4).bool()).mean() for order in orders]
    )
    torch.testing.assert_close(contrastive(logits, same(tokens)).mean(), one_hot.mean())


def test_captions_that_are_all_the_same_leave_nothing_to_learn():
    logits = torch.zeros(3, 3, requires_grad=True)
    contrastive(logits, torch.ones(3, 3).bool()).mean().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(3, 3))


def test_clip_embeds_in_unit_vectors_and_never_multiplies_cosines_by_more_than_a_hundred():
    clip = a_clip()
    images, texts = (
        clip.embed_images(torch.randn(3, 3, 32, 32)),
        clip.embed_texts(tokenise(["a red circle"] * 2)),
    )
    assert images.shape == (3, DIMS)
    assert texts.shape == (2, DIMS)
    torch.testing.assert_close(torch.cat([images, texts]).norm(dim=1), torch.ones(5))
    assert clip.scale.item() == pytest.approx(1 / 0.07)
    torch.nn.init.constant_(clip.log_scale, 20.0)
    assert clip.scale.item() == CAP


def test_a_text_is_read_in_order():
    one, other = tokenise(
        ["a red circle left of a blue square", "a blue square left of a red circle"]
    )
    clip = a_clip()
    assert not torch.allclose(clip.embed_texts(one[None]), clip.embed_texts(other[None]), atol=1e-4)


# ------------------------------------------------------------------------------------------- priors


def test_principal_components_are_those_of_the_singular_value_decomposition():
    z = torch.randn(200, 6).double() * torch.tensor([5.0, 4, 3, 2, 1, 0.5]) + 7
    pca = PCA(6, 6).double().fit(z)
    torch.testing.assert_close(pca.axes @ pca.axes.T, torch.eye(6).double())
    axes = torch.linalg.svd(z - z.mean(0), full_matrices=False).Vh
    torch.testing.assert_close((axes * pca.axes).sum(1).abs(), torch.ones(6).double())
    torch.testing.assert_close(pca.rebuild(pca.project(z)), z)
    errors = [(pca.rebuild(pca.project(z)[:, :k]) - z).square().mean().item() for k in range(7)]
    assert errors == sorted(errors, reverse=True)


def test_a_number_of_components_beyond_the_dimensions_is_refused():
    with pytest.raises(ValueError, match="1 to 4 principal components"):
        PCA(4, 5)


def test_rounded_components_come_back_within_half_a_bin():
    levels, z = 32, torch.randn(500, 6)
    model = QuantizedPCA((6,), Autoregressive((6,), levels=levels, width=8, depth=1))
    model.pca.fit(z)
    codes = model.encode(z)
    torch.testing.assert_close(codes, grid.quantise(codes, levels))
    error = (model.pca.project(model.decode(codes)) - model.pca.project(z)).abs()
    assert (error <= model.pca.reach * grid.bin_width(levels) / 2 + 1e-4).all()
    torch.testing.assert_close(model.encode(model.decode(codes)), codes)


def test_vectors_from_components_lie_in_the_space_that_these_span():
    model = QuantizedPCA((6,), Autoregressive((2,), 3, levels=16, width=8, depth=1)).eval()
    model.pca.fit(torch.randn(100, 6))
    z = model.sample(5, torch.randn(5, 3))
    assert z.shape == (5, 6)
    torch.testing.assert_close(model.pca.rebuild(model.pca.project(z)), z)


def test_components_want_vectors_and_levels():
    with pytest.raises(ValueError, match="levels"):
        QuantizedPCA((6,), Autoregressive((2,), width=8, depth=1))


def test_the_better_draw_has_the_larger_dot_product():
    draws, text = torch.randn(7, 4, 5), torch.randn(7, 5)
    best = best_of(draws, text)
    assert ((draws * text[:, None]).sum(-1).amax(1) - (best * text).sum(1)).abs().max() < 1e-5


# ---------------------------------------------------------------------------------------- diffusion


def test_ddim_with_all_noise_fresh_is_ancestral_sampling():
    model = a_whole().decoder.double()
    z, times, c = (
        torch.randn(2, 3, 32, 32).double(),
        torch.linspace(model.log_snr_min, model.log_snr_max, 6).double(),
        torch.randn(2, DIMS).double(),
    )
    found = []
    for solver, options in ((ancestral, {}), (ddim, {"eta": 1.0})):
        torch.manual_seed(3)
        with torch.no_grad():
            found.append(solver(model.denoiser(c), z, times, **options))
    torch.testing.assert_close(*found)


def test_a_network_that_says_nothing_is_the_best_denoiser_of_normal_data():
    """E[x | z] of x ~ N(0, s^2) is alpha s^2 z / (alpha^2 s^2 + sigma^2).

    A network corrects that, s being its ``sigma_data``.
    """
    model = Diffusion((4,), width=8, fourier=0, sigma_data=0.3).double()
    torch.nn.init.zeros_(model.network.head.bias)
    z, log_snr = torch.randn(9, 4).double(), torch.linspace(-5, 5, 9).double()
    a, s = alpha(log_snr, z), sigma(log_snr, z)
    torch.testing.assert_close(model.denoiser()(z, log_snr), a * 0.09 * z / (a**2 * 0.09 + s**2))


def test_squares_of_pixels_are_a_matter_of_the_image_alone():
    model = Diffusion((2, 8, 12), width=8, fourier=1, patch=4, steps=2)
    assert model.sample(3).shape == (3, 2, 8, 12)
    for shape, patch in (((1, 6, 8), 4), ((5,), 2)):
        with pytest.raises(ValueError, match="cannot be cut into squares"):
            Diffusion(shape, width=8, patch=patch)


# ---------------------------------------------------------------------------------------- the whole


def test_slerp_keeps_the_length_and_turns_at_an_even_pace():
    one, other = (3 * F.normalize(torch.randn(1, 8).double(), dim=1) for _ in range(2))
    share = torch.linspace(0, 1, 11).double()
    path = slerp(one.expand(11, -1), other.expand(11, -1), share)
    torch.testing.assert_close(path[[0, -1]], torch.cat([one, other]))
    torch.testing.assert_close(path.norm(dim=1), torch.full((11,), 3.0).double())
    angles = torch.acos((path[1:] * path[:-1]).sum(1) / 9)
    torch.testing.assert_close(angles, angles[:1].expand(10))
    back = slerp(other.expand(11, -1), one.expand(11, -1), share)
    torch.testing.assert_close(back, path.flip(0))


def test_slerp_between_parallel_vectors_stays_on_their_line():
    one = torch.randn(2, 3, 4).double()
    torch.testing.assert_close(slerp(one, one, torch.tensor([0.0, 0.7])), one)


def test_what_was_taken_apart_is_put_together_again():
    """The finer the steps, the closer.

    DDIM there and back are two solutions of one differential equation.
    """
    model, x = a_whole(), 0.5 * torch.randn(2, 3, 32, 32)
    errors = []
    for steps in (5, 50):
        model.decoder.steps = steps
        errors.append((model.render(*model.invert(x)) - x).square().mean().sqrt().item())
    assert errors[1] < min(0.05, errors[0] / 3)


def test_variations_keep_the_embedding_and_draw_part_of_the_noise_afresh():
    model, x = a_whole(), torch.rand(2, 3, 32, 32)
    same_again, other = model.vary(x, n=2, eta=0.0), model.vary(x, n=2, eta=1.0)
    assert other.shape == (4, 3, 32, 32)
    torch.testing.assert_close(same_again[0], same_again[1])
    assert (other[0] - other[1]).abs().mean() > 0.05


def test_interpolations_and_edits_begin_where_they_should():
    model, x = a_whole(), torch.rand(2, 3, 32, 32)
    ends = model.render(*model.invert(x))
    torch.testing.assert_close(
        model.interpolate_images(x[0], x[1], 5)[[0, -1]], ends, rtol=1e-3, atol=1e-3
    )
    for by_words in (model.edit, model.text_diff):
        edited = by_words(x, "a small red circle", "a large red circle", share=0.0, guidance=1.0)
        torch.testing.assert_close(edited, ends, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model.rebuild(x, DIMS), ends, rtol=1e-3, atol=1e-3)


def test_the_whole_lives_in_one_folder(tmp_path):
    model = a_whole()
    again = genzoo.load(genzoo.save(model, tmp_path / "whole"))
    pictures = []
    for each in (model, again):
        torch.manual_seed(1)
        pictures.append(each.imagine(["a red circle", "a blue cross at the top"], n=2))
    torch.testing.assert_close(*pictures, rtol=0, atol=0)
    assert pictures[0].shape == (4, 3, 32, 32)
    genzoo.save(model, tmp_path / "half", half=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    loaded = genzoo.load(tmp_path / "half").state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded[name], value, rtol=1e-3, atol=1e-4)


def test_without_a_caption_it_draws_anything_and_an_unknown_word_is_named():
    model = a_whole()
    assert model.sample(2).shape == (2, 3, 32, 32)
    with pytest.raises(InputError, match="hexagon"):
        model.imagine("a red hexagon")


def test_parts_of_different_spaces_do_not_go_together():
    whole = a_whole()
    with pytest.raises(ValueError, match="12 dimensions"):
        UnCLIP(whole.clip, Diffusion((5,), DIMS, width=8), whole.decoder)


# --------------------------------------------------------------------------- the chain in miniature

TINY = {
    "clip": {
        "model": {"dims": 16, "width": 16, "patch": 4, "text_width": 32, "layers": 1, "lr": 0.003},
        "train": {"steps": 200, "batch_size": 64},
    },
    "prior": {
        "model": {
            "width": 64,
            "schedule": "cosine",
            "fourier": 0,
            "log_snr_range": [-6, 8],
            "steps": 10,
        },
        "train": {"steps": 300, "batch_size": 64},
    },
    "autoregressive": {
        "model": {
            "event_shape": [8],
            "levels": 32,
            "width": 32,
            "depth": 1,
            "components": 4,
            "lr": 0.005,
        },
        "train": {"steps": 300, "batch_size": 64},
    },
    "decoder": {
        "model": {
            "width": 48,
            "patch": 4,
            "sigma_data": 0.2,
            "schedule": "cosine",
            "fourier": 0,
            "log_snr_range": [-10, 7],
            "steps": 10,
            "lr": 0.004,
        },
        "train": {"steps": 380, "batch_size": 32},
    },
}
KINDS = [
    Meaning((Kind("large", colour, "square"),), place, "white")
    for colour in ("red", "green", "blue")
    for place in ("left", "right", "top", "bottom")
]


def some_scenes(n: int) -> list[Scene]:
    """Large squares of three colours at four places."""
    rng = random.Random(0)
    return [arrange(KINDS[i % len(KINDS)], rng) for i in range(n)]


@pytest.mark.slow
def test_the_chain_in_miniature_shows_what_is_asked_for(tmp_path):
    """CLIP, both priors and the decoder, trained one after the other in seconds.

    Resumed, refused, loaded.
    """
    recipe, out, scenes = tmp_path / "tiny.yaml", tmp_path / "run", some_scenes(600)
    recipe.write_text(yaml.safe_dump(TINY))
    told = []
    model = train_unclip(
        out, recipe=recipe, scenes=scenes, wordings=3, progress=lambda *news: told.append(news)
    )
    assert [stage for stage, _ in itertools.groupby(text.split()[0] for *_, text in told)] == [
        "clip",
        "prior",
        "autoregressive",
        "decoder",
    ]

    asked = KINDS * 4  # by chance, a third of the colours is right and a quarter of the places
    captions = [caption(meaning, random.Random(i)) for i, meaning in enumerate(asked)]
    for whole in (model, genzoo.load(out / "other")):
        shown = accuracy(asked, whole.imagine(captions)).each
        assert min(shown["colour"].value, shown["place"].value) > 0.85

    before = json.loads((out / "stages.json").read_text())
    again = train_unclip(out, recipe=recipe, scenes=scenes, wordings=3)
    assert json.loads((out / "stages.json").read_text()) == before
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=0, atol=0)
    with pytest.raises(InputError, match="another prior"):
        train_unclip(out, recipe=recipe, scenes=scenes, wordings=3, steps={"prior": 7})


class Interruption(Exception):
    """Stands for Ctrl-C."""


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    """Whether CLIP's stage or the decoder's is interrupted.

    Earlier stages are not trained again.
    """
    few = {"steps": 6, "batch_size": 16, "check_every": 2}
    recipe, scenes = tmp_path / "few.yaml", some_scenes(32)
    recipe.write_text(
        yaml.safe_dump({stage: {**plan, "train": few} for stage, plan in TINY.items()})
    )
    # report every step
    monkeypatch.setattr("genzoo.training.callbacks.Reporter.__init__.__defaults__", (0.0,))
    whole = train_unclip(tmp_path / "whole", recipe=recipe, scenes=scenes)

    for stage in ("clip", "decoder"):

        def interrupt(done: int, total: int, text: str, stage: str = stage) -> None:
            if text.startswith(stage) and done >= 5:
                raise Interruption

        with pytest.raises(Interruption):
            train_unclip(tmp_path / "resumed", recipe=recipe, scenes=scenes, progress=interrupt)
    resumed = train_unclip(tmp_path / "resumed", recipe=recipe, scenes=scenes)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_stage_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'decoder'"):
        train_unclip(tmp_path, steps={"decodr": 3})


def test_every_scene_gets_its_wordings():
    tokens = reword(some_scenes(5), wordings=4, seed=0)
    assert tokens.shape == (5, 4, LENGTH)
    assert math.prod(tokens[0].unique(dim=0).shape) > LENGTH


def test_twins_differ_in_one_attribute_and_meet_in_every_batch():
    scenes = twins(400, seed=0)
    assert len(scenes) == 400
    for one, other in zip(scenes[::2], scenes[1::2], strict=True):
        assert one.meaning != other.meaning
        assert not is_held_out(other.meaning)
        swapped = other.meaning.things == one.meaning.things[::-1]
        assert swapped or difference(one.meaning, other.meaning) == 1
    batch, _ = Twins(torch.arange(10), torch.arange(20).view(10, 2)).gather([4, 7, 0, 1])
    assert batch.tolist() == [4, 7, 5, 6]


def difference(one: Meaning, other: Meaning) -> int:
    """In how many attributes two meanings differ."""
    looks = [
        (kind.size, kind.colour, kind.shape) for meaning in (one, other) for kind in meaning.things
    ]
    half = len(looks) // 2
    pairs = [
        *zip(looks[:half], looks[half:], strict=True),
        ((one.layout, one.background), (other.layout, other.background)),
    ]
    return sum(a != b for pair in pairs for a, b in zip(*pair, strict=True))


# --------------------------------------------------------------------------------- the command line


def test_the_command_line_trains_what_the_recipe_says_and_then_measures(tmp_path, capsys):
    few = {"steps": 2, "batch_size": 8}
    recipe = tmp_path / "few.yaml"
    recipe.write_text(
        yaml.safe_dump({stage: {**plan, "train": few} for stage, plan in TINY.items()})
    )
    options = [
        "--recipe",
        str(recipe),
        "--pictures",
        "24",
        "--decoder_steps",
        "3",
        "--prompts",
        "8",
    ]
    assert main(["train", "unclip", *options, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "held out, two things" in said
    assert json.loads((tmp_path / "run" / "stages.json").read_text())["decoder"]["steps"] >= 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("unclip --picturs 3", "Did you mean '--pictures'?"),
        ("unclip --pictures 0", "--pictures must be at least 1, got 0."),
        ("unclip --budget fast", "There is no budget 'fast'."),
        ("unclp", "Did you mean 'unclip'?"),
    ],
)
def test_a_mistyped_training_is_explained(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments.split()]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
