"""The gate: what is too large is refused by a named limit, and nothing that is read runs."""

import io
import json
import os
import pickle
import shutil
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from genzoo.benchmark.codec import from_plain
from genzoo.benchmark.run import load_run, sibling_runs
from genzoo.cli import main
from genzoo.data import load as load_data
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure, root
from genzoo.evaluation.results import Cost
from genzoo.families import Flow
from genzoo.files import held, remove
from genzoo.gate import arrays, limits, memory, pictures, schema, tensors, text
from genzoo.serialization import CONFIG, FORMAT, WEIGHTS, build, load, save
from genzoo.training import fit
from genzoo.unclip.training import train_unclip

# ------------------------------------------------------------------------------- text and numbers

NOT_WHOLE = ["0x10", "1_000", "1:30", "0b1", "0o7", "1e3", ".5"]


@pytest.mark.parametrize("word", NOT_WHOLE)
def test_no_word_is_a_whole_number_that_does_not_look_like_one(word):
    value = text.from_yaml(f"a: {word}")["a"]
    assert not isinstance(value, int)


@pytest.mark.parametrize("number", [0, 7, -3, 0.5, 1e-3, 1e300, -2.5e-7])
def test_numbers_are_read_as_python_and_yaml_write_them(number):
    assert text.from_yaml(repr(number)) == number
    assert text.from_yaml(yaml.safe_dump({"a": number})) == {"a": number}


def test_what_is_no_number_is_null_in_json():
    written = text.to_json({"a": [float("inf"), (float("nan"), 1.5)], "b": "inf"})
    assert json.loads(written) == {"a": [None, [None, 1.5]], "b": "inf"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39, 1e-300, 10**18, [1, 10**400]])
def test_a_number_that_no_machine_holds_is_refused(value):
    assert schema.misfit(value) and len(schema.short(value)) < 100


@pytest.mark.parametrize("value", [0, 0.0, -1.5, 1e-30, 10**17, [1, 2.5], "text", None, True])
def test_all_else_fits(value):
    assert schema.misfit(value) == ""


def test_a_row_with_a_number_of_hundreds_of_digits_is_refused():
    with pytest.raises(InputError, match="expected a whole number of at most 18 digits"):
        from_plain(Cost, {"parameters": 10**400, "train_seconds": 1.0, "steps": 1}, "row.json")


def test_a_root_of_what_is_not_known_is_not_known():
    assert not root(Figure(float("nan"))).is_known


def test_a_file_that_is_too_large_or_has_no_end_is_not_read(tmp_path):
    large = tmp_path / "row.json"
    with large.open("wb") as file:
        file.truncate(limits.TEXT.most + 1)
    with pytest.raises(InputError, match=r"row\.json has 64 MiB: expected at most 64 MiB"):
        text.of_run(large)
    with pytest.raises(InputError, match="no ordinary file"):
        text.read(tmp_path)


# ----------------------------------------------------------------------------------------- arrays


def header(shape: str, kind: str = "<f8") -> bytes:
    words = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words)) + words.encode()


BAD = {
    "more claimed than there is": {"x.npy": header("(10, 10)") + bytes(8)},
    "less claimed than there is": {"x.npy": header("(1, 1)") + bytes(800)},
    "beyond all memory": {"x.npy": header("(1000000000000, 2)")},
    "objects": {"x.npy": header("(1,)", "|O") + pickle.dumps([print])},
    "no array": {"x.npy": b"hello"},
}


@pytest.mark.parametrize("name", BAD)
def test_an_array_that_is_not_what_it_claims_is_refused(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for member, content in BAD[name].items():
            archive.writestr(member, content)
    with pytest.raises(InputError, match=r"Cannot read .*a\.npz"):
        arrays.read(tmp_path / "a.npz", ("x",))


def test_arrays_that_would_not_fit_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10_000))
    monkeypatch.setattr(limits, "ARRAYS", limits.Limit(1000, "bytes", ""))
    monkeypatch.setattr(arrays, "_array", None)
    with pytest.raises(InputError, match=r"a\.npz has 78\.25 KiB: expected at most 1,000 bytes"):
        arrays.read(tmp_path / "a.npz", ("x",))


def test_good_arrays_come_through(tmp_path):
    given = {"x": np.arange(6.0).reshape(2, 3, order="F"), "y": np.array(["a", "é"])}
    np.savez_compressed(tmp_path / "a.npz", **given)
    found = arrays.read(tmp_path / "a.npz", ("x", "y"))
    assert all(np.array_equal(found[name], given[name]) for name in given)


# --------------------------------------------------------------------------------------- pictures


def test_a_photograph_is_read_the_right_way_up(tmp_path):
    image = Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12))
    turned = image.getexif()
    turned[0x0112] = 6  # lying on its side
    image.save(tmp_path / "a.jpg", exif=turned)
    assert pictures.size(tmp_path / "a.jpg") == (8, 12)
    assert pictures.read(tmp_path / "a.jpg").shape == (12, 8, 3)


# --------------------------------------------------------------------------------- models, weights


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(Flow((2,), width=8, couplings=1), tmp_path_factory.mktemp("model"))


def edited(model, target, **changes):
    """A copy of a model's folder with other entries or arguments in its configuration."""
    config = json.loads((model / CONFIG).read_text())
    for name, value in changes.items():
        place = config if name in ("format", "genzoo") else config["arguments"]
        place[name] = value
    (target / CONFIG).write_text(json.dumps(config))
    (target / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes())
    return target


@pytest.mark.parametrize(
    "change",
    [{"width": 10**8}, {"width": 50_000}, {"couplings": 10**9}, {"depth": 1000}, {"bins": 10**9}],
)
def test_a_model_much_larger_than_its_weights_is_not_built(change, model, tmp_path):
    with pytest.raises(InputError, match="describes a model of more than"):
        load(edited(model, tmp_path, **change))


def test_a_model_is_counted_before_it_is_made():
    with memory.no_larger_than("this", 1000, 3):
        torch.zeros(100)
    too_large = pytest.raises(InputError, match="this describes a model of more than 1,000 bytes")
    with too_large, memory.no_larger_than("this", 1000, 3):
        torch.empty(10**15)
    too_many = pytest.raises(InputError, match="this describes a model of more than 3 tensors")
    with too_many, memory.no_larger_than("this", 1000, 3):
        [torch.ones(1) for _ in range(4)]


def test_a_counted_model_is_drawn_by_the_same_random_numbers():
    config = {"family": "Flow", "arguments": {"event_shape": [2], "width": 8, "couplings": 1}}
    torch.manual_seed(0)
    counted = build(config).state_dict()
    torch.manual_seed(0)
    plain = Flow((2,), width=8, couplings=1).state_dict()
    assert all(torch.equal(counted[name], plain[name]) for name in plain)


@pytest.mark.parametrize("shape", [[2.5], "ab", 3.0, [True], [10**8], {}])
def test_a_shape_is_made_of_sizes(shape):
    with pytest.raises(InputError, match="event_shape"):
        build({"family": "Flow", "arguments": {"event_shape": shape}})


@pytest.mark.parametrize(
    "network",
    [{"network": "UNet"}, {"network": []}, {"network": "UNet", "arguments": {"width": 0}}],
)
def test_a_network_that_says_too_little_is_not_built(network):
    arguments = {"event_shape": [1, 8, 8], "network": network}
    with pytest.raises(InputError, match="network"):
        build({"family": "Diffusion", "arguments": arguments})


def test_a_folder_without_a_format_is_read_as_the_first(model, tmp_path):
    config = json.loads((model / CONFIG).read_text())
    assert config.pop("format") == FORMAT == 1
    edited(model, tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    assert isinstance(load(tmp_path), Flow)


def test_a_folder_of_a_later_format_says_what_reads_it(model, tmp_path):
    sentence = r"has format 9, but this genzoo.* reads format 1: load it with genzoo 3\.2"
    with pytest.raises(InputError, match=sentence):
        load(edited(model, tmp_path, format=9, genzoo="3.2"))


@pytest.mark.parametrize("kind", [torch.int32, torch.bool, torch.complex64])
def test_weights_of_another_kind_are_not_cast(kind, model, tmp_path):
    edited(model, tmp_path)
    weights = {name: value.to(kind) for name, value in load_file(model / WEIGHTS).items()}
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(InputError, match=r"do not fit the Flow it describes: .* is torch"):
        load(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_a_folder_whose_name_is_not_utf_8_is_read(model, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    shutil.copytree(model, folder)
    x = torch.randn(3, 2)
    assert torch.equal(load(folder).log_prob(x), load(model).log_prob(x))


def test_a_checkpoint_of_which_a_bit_has_changed_is_not_read(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"genzoo": {}, "weight": torch.full((100,), 3.0)}, path)
    assert tensors.checkpoint(path)["weight"][50] == 3
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<f", 3.0) * 100) + 200] ^= 1
    path.write_bytes(content)
    assert torch.load(path)["weight"][50] != 3  # in silence
    with pytest.raises(ValueError, match="no checkpoint"):
        tensors.checkpoint(path)


def test_a_packed_checkpoint_is_not_unpacked(tmp_path):
    written = io.BytesIO()
    torch.save({"genzoo": {}, "state_dict": {}}, written)
    with (
        zipfile.ZipFile(written) as plain,
        zipfile.ZipFile(tmp_path / "a.ckpt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in plain.namelist():
            packed.writestr(member, plain.read(member))
    with pytest.raises(ValueError, match="no checkpoint"):
        tensors.checkpoint(tmp_path / "a.ckpt")


def of_another_shape(states):
    """Averages of an optimiser that a fused one would walk out of, and end the process."""
    for kept in states[0]["state"].values():
        kept["exp_avg"] = torch.zeros(7)
    return states


OTHER_STATES = {"none": lambda _: [], "empty": lambda _: [{}], "of another shape": of_another_shape}


@pytest.mark.parametrize("name", OTHER_STATES)
def test_a_training_does_not_go_on_from_the_state_of_another(name, tmp_path):
    def train(steps):
        model = Flow((2,), width=8, couplings=1)
        fit(model, load_data("moons"), tmp_path, steps=steps, batch_size=32)

    train(2)
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)
    stored["optimizer_states"] = OTHER_STATES[name](stored["optimizer_states"])
    torch.save(stored, tmp_path / "last.ckpt")
    refused = r"last\.ckpt (does not fit this|is no checkpoint of a) training, .* delete it"
    with pytest.raises(InputError, match=refused):
        train(4)


def one_figure_more(content):
    for state in content["callbacks"].values():
        if "best_score" in state:
            state["best_score"] = torch.zeros(5)


OTHER = {
    "weights of other shapes": ("best.ckpt", lambda c: c["state_dict"].update({"embed.null": ONE})),
    "no weights": ("best.ckpt", lambda c: c.pop("state_dict")),
    "a list of weights": ("best.ckpt", lambda c: c.update(state_dict=[ONE])),
    "no number of an epoch": ("best.ckpt", lambda c: c.update(epoch="x")),
    "five best figures": ("last.ckpt", one_figure_more),
}
ONE = torch.zeros(1)


@pytest.mark.parametrize("what", OTHER)
def test_a_run_whose_checkpoints_were_changed_says_so(what, tmp_path):
    name, change = OTHER[what]

    def train(steps):
        fit(Flow((2,), width=8, couplings=1), load_data("moons"), tmp_path, steps=steps)

    train(2)
    stored = torch.load(tmp_path / name, weights_only=True)
    change(stored)
    torch.save(stored, tmp_path / name)
    with pytest.raises(InputError, match=r"delete (it|them) to start afresh"):
        train(2 if name == "best.ckpt" else 4)


def test_two_trainings_of_unclip_do_not_share_a_folder(tmp_path):
    other = pytest.raises(InputError, match="Another genzoo is at work")
    with held(tmp_path), other:
        train_unclip(tmp_path, budget="quick")


# ------------------------------------------------------------------------------ nothing of it runs


class Trap:
    """A pickle that writes a file when it is read."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


READERS = {
    "model.ckpt": lambda path: load(path),
    "last.ckpt": lambda path: tensors.checkpoint(path, mapped=True),
    "best.ckpt": lambda path: tensors.checkpoint(path),
    "model.safetensors": lambda path: tensors.weights(path),
    "samples.npz": lambda path: arrays.read(path, ("x",)),
    "likelihoods.npz": lambda path: arrays.read(path, ("x", "log_prob")),
    "data.npz": lambda path: arrays.read(path, ("x",)),
    "row.json": lambda path: text.of_run(path),
    "config.yaml": lambda path: text.of_run(path),
    "a.png": lambda path: pictures.read(path),
}


@pytest.mark.parametrize("form", ["pickle", "torch", "npz"])
@pytest.mark.parametrize("name", READERS)
def test_planted_code_never_runs(name, form, tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / name
    trap = Trap(sprung)
    with path.open("wb") as file:
        if form == "pickle":
            pickle.dump({"genzoo": trap, "state_dict": trap}, file)
        elif form == "torch":
            torch.save({"genzoo": trap, "state_dict": {"a": trap}}, file)
        else:
            np.savez(file, x=np.array([trap], dtype=object))
    with pytest.raises(ValueError):
        READERS[name](path)
    assert not sprung.exists()


FOREIGN = {  # the plan of a run whose family is somebody's own
    "family": "Mine",
    "data": "moons",
    "seed": 0,
    "budget": "quick",
    "conditional": False,
    "model": {},
    "train": {},
    "evaluate": {},
}


def test_no_folder_can_have_code_imported(model, tmp_path, monkeypatch, capsys):
    """A run whose plan names a module that lies beside it, as a stranger's download could."""
    folder = tmp_path / "mine-seed0"
    folder.mkdir()
    edited(model, folder)
    (tmp_path / "planted.py").write_text("open('sprung', 'w')")
    (folder / "config.yaml").write_text(yaml.safe_dump(FOREIGN | {"source": "planted:Mine"}))
    (folder / "row.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="no folder can have code imported"):
        load_run(folder)
    assert sibling_runs(tmp_path, []) == []
    assert main(["sample", str(folder)]) == 2
    assert "--family planted:Mine" in capsys.readouterr().err
    assert not (tmp_path / "sprung").exists() and "planted" not in sys.modules


@pytest.mark.parametrize("source", [3, "os:system", "os:nothing", ":", "a b:c"])
def test_a_source_that_is_no_family_is_refused(source, model, tmp_path):
    edited(model, tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(FOREIGN | {"source": source}))
    with pytest.raises(InputError):
        load_run(tmp_path)


def test_of_a_link_the_link_is_removed(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "link").symlink_to(kept)
    remove(tmp_path / "link")
    assert kept.is_dir() and not (tmp_path / "link").is_symlink()
