"""A model comes back from its folder alone, whatever it is made of.

What cannot come back says why in a sentence.
"""

import json
import pickle

import pytest
import torch

from genzoo import VAE, Autoregressive, Diffusion, Flow
from genzoo.errors import InputError
from genzoo.serialization import CARD, CONFIG, WEIGHTS, build, load, save


def small_vae(**options) -> VAE:
    return VAE((1, 8, 8), condition=3, levels=17, latent_shape=(4,), width=8, **options)


NESTED = {
    "one level": lambda: small_vae(prior=Diffusion((4,), width=8, log_snr_range=(-4.0, 6.0))),
    "two levels": lambda: small_vae(
        prior=VAE((4,), latent_shape=(2,), width=8, prior=Flow((2,), width=8, couplings=1))
    ),
    "no prior": small_vae,
    "buffers that are not stored": lambda: Autoregressive(
        (3, 4, 4), levels=4, width=8, depth=1, orders=8
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_loaded_model_gives_equal_outputs(name, tmp_path):
    model = NESTED[name]().eval()
    again = load(save(model, tmp_path / "model"))
    assert again.config() == model.config()
    x = model.on_grid(torch.rand(5, *model.event_shape) * 2 - 1)
    assert torch.equal(*(seeded(m.log_prob, x) for m in (model, again)))
    assert torch.equal(*(seeded(m.sample, 3) for m in (model, again)))


def seeded(function, *arguments):
    torch.manual_seed(0)
    with torch.no_grad():
        return function(*arguments)


def test_lists_become_tuples_where_the_constructor_wants_them(tmp_path):
    model = load(save(Diffusion((2,), width=8, log_snr_range=(-4.0, 6.0)), tmp_path))
    assert (
        isinstance(model, Diffusion)
        and model.log_snr_range == (-4.0, 6.0)
        and model.event_shape == (2,)
    )


def test_saving_again_replaces_the_model_and_leaves_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save(Flow((2,), width=8, couplings=1), tmp_path)
    save(Flow((2,), width=8, couplings=2), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [WEIGHTS, CONFIG, CARD, "notes.txt"]
    )
    assert load(tmp_path).config()["arguments"]["couplings"] == 2


def test_the_card_says_what_the_model_is(tmp_path):
    card = (save(small_vae(), tmp_path, {"data": "digits", "seed": 7}) / CARD).read_text()
    for fact in ("# VAE of digits", "bound (≤)", "17 levels", "| seed | 7 |", "genzoo.load"):
        assert fact in card


def test_a_run_folder_is_as_good_as_the_model_in_it(tmp_path):
    save(Flow((2,), width=8, couplings=1), tmp_path / "model")
    (tmp_path / "config.yaml").write_text("family: Flow")
    assert isinstance(load(tmp_path), Flow)


def test_a_family_of_ones_own_is_loaded_when_it_is_given(tmp_path):
    class Mine(Flow):
        """Stands for a seventh family."""

    save(Mine((2,), width=8, couplings=1), tmp_path)
    assert isinstance(load(tmp_path, families=(Mine,)), Mine)
    with pytest.raises(InputError, match="no family 'Mine'"):
        load(tmp_path)


def edit(**changes):
    def damage(folder):
        config = json.loads((folder / CONFIG).read_text())
        config.update(changes)
        (folder / CONFIG).write_text(json.dumps(config))

    return damage


def edit_arguments(**changes):
    def damage(folder):
        config = json.loads((folder / CONFIG).read_text())
        config["arguments"].update(changes)
        (folder / CONFIG).write_text(json.dumps(config))

    return damage


DAMAGES = {
    "no weights": (lambda f: (f / WEIGHTS).unlink(), f"holds no {WEIGHTS}"),
    "no config": (lambda f: (f / CONFIG).unlink(), f"holds no {CONFIG}"),
    "empty weights": (
        lambda f: (f / WEIGHTS).write_bytes(b""),
        f"{WEIGHTS} is empty: expected safetensors",
    ),
    "corrupt weights": (
        lambda f: (f / WEIGHTS).write_bytes(b"nonsense" * 9),
        "is corrupt: expected safetensors",
    ),
    "empty config": (lambda f: (f / CONFIG).write_text(""), f"{CONFIG} is empty: expected JSON"),
    "corrupt config": (lambda f: (f / CONFIG).write_text("{"), "is corrupt: expected JSON"),
    "config of something else": (
        lambda f: (f / CONFIG).write_text("[]"),
        "a mapping with the keys family and arguments",
    ),
    "unknown family": (edit(family="Flw"), "no family 'Flw'. Did you mean 'flow'?"),
    "unknown argument": (edit_arguments(widht=3), "no argument 'widht'.* Did you mean 'width'?"),
    "refused value": (edit_arguments(levels=1), "levels 0 or >= 2"),
    "a value of another type": (edit_arguments(width="8"), "width must be a whole number, got '8'"),
    "a number that is none": (
        edit_arguments(lr=float("nan")),
        "lr must be a finite number, got nan",
    ),
    "deep config": (lambda f: (f / CONFIG).write_text("[" * 10**5), "nested deeper"),
    "endless depth": (edit_arguments(depth=10**9), "depth must be between 0 and 1000"),
    "other weights": (edit_arguments(width=16), "do not fit the Flow"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_in_one_sentence(name, tmp_path):
    damage, sentence = DAMAGES[name]
    save(Flow((2,), width=8, couplings=1), tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=sentence):
        load(tmp_path)


def test_what_is_not_there_or_not_finished_says_so(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        load(tmp_path / "nothing")
    (tmp_path / "flow-seed0").mkdir()
    (tmp_path / "flow-seed0" / "config.yaml").write_text("family: Flow")
    with pytest.raises(InputError, match="not finished"):
        load(tmp_path / "flow-seed0")
    with pytest.raises(InputError, match=r"holds several runs.*flow-seed0"):
        load(tmp_path)


def test_a_checkpoint_that_carries_code_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "bad.ckpt").write_bytes(pickle.dumps({"genzoo": Trap(), "state_dict": {}}))
    with pytest.raises(InputError, match="expected a Lightning checkpoint"):
        load(tmp_path / "bad.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_no_space_leaves_the_model_that_was_there(tmp_path, monkeypatch):
    save(Flow((2,), width=8, couplings=1), tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genzoo.serialization.to_bytes", full)
    with pytest.raises(OSError, match="No space"):
        save(Flow((2,), width=8, couplings=2), tmp_path)
    assert load(tmp_path).config()["arguments"]["couplings"] == 1
    assert not list(tmp_path.glob(".writing-*"))


def test_build_takes_names_in_any_case():
    assert isinstance(
        build({"family": "flow", "arguments": {"event_shape": [2], "width": 8}}), Flow
    )


@pytest.mark.parametrize("prior", [3, "flow", [1], 0.5])
def test_a_part_that_is_no_model_is_refused(prior):
    with pytest.raises(InputError, match="prior must be a mapping such as"):
        build({"family": "VAE", "arguments": {"event_shape": [2], "prior": prior}})


@pytest.mark.parametrize("family", ["autoregressive", "flow", "vae", "energy", "diffusion", "gan"])
def test_a_network_too_deep_to_be_built_is_refused(family):
    with pytest.raises(InputError, match="depth must be between 0 and 1000"):
        build({"family": family, "arguments": {"event_shape": [2], "depth": 10**6}})


def test_what_does_not_fit_into_memory_is_not_taken_for_a_wrong_argument():
    config = {"family": "VAE", "arguments": {"event_shape": [2], "width": 10**13}}
    with pytest.raises(InputError, match=r"describes a model of more than [\d.]+ GiB"):
        build(config)


@pytest.mark.parametrize("weights", [[1, 2], {"a": 3}, 4, None])
def test_a_checkpoint_without_weights_is_named(weights, tmp_path):
    model = Flow((2,), width=8, couplings=1)
    torch.save({"genzoo": model.config(), "state_dict": weights}, tmp_path / "my.ckpt")
    with pytest.raises(InputError, match=r"my\.ckpt is corrupt: expected a Lightning checkpoint"):
        load(tmp_path / "my.ckpt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value, tmp_path):
    model = Flow((2,), width=8, couplings=1)
    with torch.no_grad():
        next(model.parameters()).fill_(value)
    save(model, tmp_path)
    with pytest.raises(InputError, match="are not all numbers, the first such in "):
        load(tmp_path)
