"""Data that stays on the disk trains as the same data in memory would, and is not held."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ranks
import torch
from PIL import Image

import genzoo
from genzoo import grid
from genzoo.data import Data, DataSet, Split
from genzoo.data.images import folder
from genzoo.data.stream import HELD_OUT, stream
from genzoo.errors import InputError

SETTINGS = {**ranks.SETTINGS, "batch_size": 16}


@pytest.fixture
def images(tmp_path) -> Path:
    """A hundred images in a file, of which the first pixels say the number, and their labels."""
    random = np.random.default_rng(0)
    pixels = random.integers(256, size=(100, 4, 4), dtype=np.uint8)
    pixels[:, 0, 0] = np.arange(100)
    np.save(tmp_path / "images.npy", pixels)
    np.save(tmp_path / "images.labels.npy", np.arange(100) % 3)
    return tmp_path / "images.npy"


def numbers(x: torch.Tensor) -> list[int]:
    """The numbers of `images` that are in ``x``."""
    return grid.to_level(x[:, 0, 0, 0], 256).tolist()


def in_memory(data: DataSet) -> DataSet:
    return replace(data, train=Split(*data.train[:]))


def test_splits_share_the_events_and_each_keeps_its_label(images):
    data = genzoo.data.load(images)
    assert data.event_shape == (1, 4, 4) and data.levels == 256 and data.classes == ("0", "1", "2")
    found = []
    for split in (data.train, data.validation, data.test):
        x, c = split[:]
        assert c.tolist() == [number % 3 for number in numbers(x)]
        found += numbers(x)
    assert sorted(found) == list(range(100)) and found != sorted(found)


def test_a_stream_is_indexed_like_a_split(images):
    data = genzoo.data.load(images)
    held = in_memory(data).train
    chosen = torch.tensor([3, 0, 5])
    mask = torch.arange(len(held)) % 2 == 0
    for i in (chosen, mask, slice(2, 9)):
        assert torch.equal(data.train[i][0], held[i][0])
        assert torch.equal(data.train[i][1], held[i][1])
    assert torch.equal(data.train[4][0], held[4][0])
    assert torch.equal(data.train.some(7).x, held.some(7).x)
    assert len(data.train) == len(held) == 80


def test_training_is_that_of_the_same_data_in_memory_and_goes_on_exactly(images, tmp_path):
    data = genzoo.data.load(images)

    def weights(of: DataSet, folder: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = genzoo.VAE(of.event_shape, levels=256, width=8, latent_shape=(2,))
        return list(genzoo.fit(model, of, tmp_path / folder, **SETTINGS).model.parameters())

    held = weights(in_memory(data), "held")
    torch.manual_seed(0)
    model = genzoo.VAE(data.event_shape, levels=256, width=8, latent_shape=(2,))
    with pytest.raises(KeyboardInterrupt):
        stop = [ranks.Interrupted(after=4)]
        genzoo.fit(model, data, tmp_path / "streamed", callbacks=stop, **SETTINGS)
    for mine, other in zip(weights(data, "streamed"), held, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.skipif(sys.platform != "linux", reason="what is resident is read from /proc")
def test_what_was_read_is_not_held(tmp_path):
    path = tmp_path / "many.npy"
    shape = (60_000, 28, 28)
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()
    data = genzoo.data.load(path)
    assert len(data.validation) == 6_000 <= HELD_OUT
    for batch in Data(data, 1000).train_dataloader():
        assert batch[0].shape == (1000, 1, 28, 28)
    assert resident(path) < 2**21  # bytes, of 47 million


def resident(path: Path) -> int:
    """Bytes of a mapped file that count as this process's memory."""
    held = 0
    is_ours = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            is_ours = line.endswith(str(path))
        elif is_ours and line.startswith("Rss:"):
            held += 1024 * int(line.split()[1])
    return held


def test_a_folder_of_images_is_read_file_by_file(tmp_path):
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            pixels = random.integers(256, size=(5, 6), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    data = stream(tmp_path)
    assert data.event_shape == (1, 5, 6) and data.classes == ("cat", "dog")
    x, c = data.train[:]
    assert x.shape == (16, 1, 5, 6) and set(c.tolist()) == {0, 1}
    Image.fromarray(pixels[:3]).save(tmp_path / "cat" / "small.png")
    with pytest.raises(InputError, match=r"small\.png is 6 x 3 pixels, and others are 6 x 5"):
        stream(tmp_path).train[:]


def test_a_folder_that_does_not_fit_is_streamed_by_its_name_alone(tmp_path, monkeypatch):
    for i in range(20):
        Image.fromarray(np.full((3, 4), 9 * i, np.uint8)).save(tmp_path / f"{i}.png")
    held = genzoo.data.load(tmp_path)
    monkeypatch.setattr(folder, "IN_MEMORY", 20 * 3 * 4 * 3 - 1)  # a byte less than there is
    streamed = genzoo.data.load(tmp_path)
    assert held.train.in_memory and not streamed.train.in_memory
    assert genzoo.data.load(tmp_path, size=3).train.in_memory
    assert streamed.name == held.name and streamed.event_shape == held.event_shape
    levels = [grid.to_level(data.train[:][0][:, 0, 0, 0], 256) for data in (held, streamed)]
    assert all(set(each.tolist()) < {9 * i for i in range(20)} for each in levels)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((9, 4), np.uint8), "at least 10 events"),
        (np.zeros(20, np.uint8), r"expected \(n, \.\.\.\)"),
        (np.zeros((20, 4), np.int64), "give levels"),
        (np.zeros((20, 4), complex), "whole or floating-point"),
        (np.array([{}] * 20), "expected a .npy file of numbers"),
    ],
)
def test_what_cannot_be_streamed_is_said(array, sentence, tmp_path):
    np.save(tmp_path / "odd.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=sentence):
        genzoo.data.load(tmp_path / "odd.npy")


def test_a_level_beyond_those_there_are_is_said_when_it_is_read(tmp_path):
    x = np.zeros((20, 4), np.uint8)
    x[7] = 9
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match=r"holds 9: expected 0 \.\.\. 3"):
        stream(tmp_path / "x.npy", levels=4).held_out, stream(tmp_path / "x.npy", 4).train[:]
