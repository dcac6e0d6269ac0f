"""Data sets state the truth about themselves.

Units, splits, densities, and what is wrong with a bad input.
"""

import hashlib
import math
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from torch.distributions import MixtureSameFamily, Normal

from genzoo import grid
from genzoo.data import Data, DataSet, Split, load
from genzoo.data.images.digits import stratified
from genzoo.data.loading import DOWNLOADED, MADE_HERE
from genzoo.data.names import NAMES
from genzoo.data.scenes.scene import BACKGROUNDS
from genzoo.data.synthetic import biscuits, gaussians, ising, landmass
from genzoo.errors import InputError, nearest
from genzoo.gate import pictures

LEVELS = st.integers(2, 4096)


def all_splits(dataset: DataSet):
    return dataset.train, dataset.validation, dataset.test


# ----------------------------------------------------------------------------------------- the grid


@settings(deadline=None)
@given(LEVELS, st.data())
def test_a_level_survives_the_grid_and_its_noise(levels, data):
    k = torch.tensor(data.draw(st.lists(st.integers(0, levels - 1), min_size=1, max_size=20)))
    x = grid.to_grid(k, levels)
    assert torch.equal(grid.to_level(x, levels), k)
    assert torch.equal(grid.quantise(x, levels), x)
    noisy = grid.dequantise(x.double(), levels)
    assert ((noisy - x).abs() <= grid.bin_width(levels) / 2 + 1e-7).all()
    assert noisy.abs().max() <= 1 + 1e-6


@pytest.mark.equation("bits-per-dim")
@settings(deadline=None)
@given(LEVELS, st.integers(1, 1000))
def test_a_uniform_pmf_costs_log2_levels_bits_per_dim(levels, dims):
    log_pmf = torch.tensor(-dims * math.log(levels)).double()
    density = log_pmf - dims * math.log(grid.bin_width(levels))
    assert math.isclose(grid.bits_per_dim(density, dims, levels), math.log2(levels), rel_tol=1e-5)


@pytest.mark.equation("dequantisation-bound")
@pytest.mark.parametrize("std", [0.2, 0.5, 3.0])
def test_the_mean_over_the_noise_in_a_bin_bounds_the_mass_of_the_bin(std):
    """E[log p(x + noise)] is at most log(P(x) / width), and equal where p is flat in the bin."""
    levels, draws = 8, 4000
    half = grid.bin_width(levels) / 2
    p = Normal(torch.tensor(0.2).double(), torch.tensor(std).double())
    x = grid.to_grid(torch.arange(levels), levels).double()
    mass = p.cdf(x + half) - p.cdf(x - half)
    of_bin = (mass / grid.bin_width(levels)).log()
    log_p = p.log_prob(grid.dequantise(x.expand(draws, levels), levels))
    error = log_p.std(0) / draws**0.5
    assert (log_p.mean(0) <= of_bin + 4 * error).all()
    if std > 1:
        torch.testing.assert_close(log_p.mean(0), of_bin, atol=0.01, rtol=0)


def test_real_values_pass_the_grid_unchanged():
    x = torch.randn(5, 2)
    assert torch.equal(grid.dequantise(x, 0), x) and torch.equal(grid.quantise(x, 0), x)


# --------------------------------------------------------------------------- every data set by name


def test_names_cost_no_torch():
    code = (
        "import sys, genzoo.data.names, genzoo.errors; sys.exit('torch' in sys.modules or 'numpy' "
        "in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_name_has_a_loader_and_a_description():
    assert {**MADE_HERE, **DOWNLOADED}.keys() == NAMES.keys()


@pytest.mark.parametrize("name", MADE_HERE)
def test_the_same_call_gives_the_same_tensors(name):
    one, two = load(name), load(name)
    for a, b in zip(all_splits(one), all_splits(two), strict=True):
        assert torch.equal(a.x, b.x)
        assert a.c is b.c is None or torch.equal(a.c, b.c)


@pytest.mark.parametrize("name", MADE_HERE)
def test_a_data_set_is_what_it_says(name):
    dataset = load(name)
    assert dataset.name == name and dataset.about and dataset.source
    for split in all_splits(dataset):
        assert split.x.dtype == torch.float32 and split.x.isfinite().all()
        assert torch.equal(grid.quantise(split.x, dataset.levels), split.x)
        if dataset.classes:
            assert (
                set(split.c.tolist()) == set(range(dataset.condition))
                and len(dataset.classes) == dataset.condition
            )
        elif dataset.condition:
            assert split.c.shape == (len(split), dataset.condition) and split.c.abs().max() <= 1


@pytest.mark.parametrize("name", ["landmass", "moons", "gaussians", "biscuits"])
def test_splits_share_no_event(name):
    events = torch.cat([split.x for split in all_splits(load(name))]).flatten(1)
    assert len(events.unique(dim=0)) == len(events)


@pytest.mark.parametrize("name", ["landmass", "moons", "gaussians", "biscuits", "ising"])
def test_another_seed_is_other_data_and_sizes_are_options(name):
    one, two = (load(name, train=30, validation=20, test=10, seed=seed) for seed in (0, 1))
    assert [len(split) for split in all_splits(one)] == [30, 20, 10]
    assert not torch.isin(one.train.x, two.train.x).flatten(1).all(1).any() or one.levels


@pytest.mark.parametrize("name", ["digits", "landmass", "biscuits"])
def test_batches_are_events_and_conditions(name):
    dataset = load(name)
    data = Data(dataset, batch_size=32)
    x, c = next(iter(data.train_dataloader()))
    assert x.shape == (32, *dataset.event_shape)
    assert (c is None) == (dataset.condition == 0) and (c is None or len(c) == 32)
    for loader, split in (
        (data.val_dataloader(), dataset.validation),
        (data.test_dataloader(), dataset.test),
    ):
        assert torch.equal(torch.cat([x for x, _ in loader]), split.x)


def test_some_events_are_drawn_from_all_of_a_sorted_file_and_keep_their_conditions():
    c = torch.arange(4).repeat_interleave(100)
    split = Split(c.float()[:, None], c)
    some = split.some(40)
    assert len(some) == 40 and some.c is not None and set(some.c.tolist()) == {0, 1, 2, 3}
    assert torch.equal(some.x[:, 0], some.c.float()) and torch.equal(some.x, split.some(40).x)
    assert split.some(400) is split


def test_digits_split_by_index_are_the_file_in_its_order():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    dataset = load("digits", split="index")
    assert dataset.name == "digits-index"
    assert [len(split) for split in all_splits(dataset)] == [1000, 350, 447]
    assert dataset.event_shape == (1, 8, 8) and dataset.levels == 17
    levels = torch.cat([grid.to_level(split.x, 17) for split in all_splits(dataset)]).flatten(1)
    assert torch.equal(levels, torch.from_numpy(pixels).long())
    assert torch.equal(
        torch.cat([split.c for split in all_splits(dataset)]), torch.from_numpy(labels)
    )


def test_the_random_split_of_digits_deals_every_event_out_once_and_each_class_its_share():
    dataset, by_index = load("digits"), load("digits-index")
    ours, file = (
        torch.cat([split.x for split in all_splits(each)]).flatten(1)
        for each in (dataset, by_index)
    )
    assert len(ours.unique(dim=0)) == len(ours) == 1797
    assert torch.equal(ours.unique(dim=0), file.unique(dim=0))
    assert [len(split) for split in all_splits(dataset)] == [1000, 350, 447]
    counts = torch.stack([split.c.bincount() for split in all_splits(dataset)]).double()
    fair = counts.sum(0) * counts.sum(1, keepdim=True) / counts.sum()
    assert (counts - fair).abs().max() <= 1


def test_the_random_split_of_digits_is_the_same_for_ever():
    """Whatever the versions of Python, numpy and torch: records are compared by it."""
    from sklearn.datasets import load_digits

    rows = stratified(load_digits().target.tolist())
    assert (
        hashlib.sha256(" ".join(map(str, torch.cat(rows).tolist())).encode()).hexdigest()[:16]
        == "01dbee1670664ddd"
    )


def test_the_random_split_is_drawn_within_each_class():
    """In runs of one class, neither early nor late events are preferred."""
    train, validation, test = (part.double() for part in stratified([0] * 900 + [1] * 897))
    for part in (train, validation, test):
        for first, n in ((0, 900), (900, 897)):
            inside = part[(part >= first) & (part < first + n)] - first
            assert abs(inside.mean() / n - 0.5) < 5 / (12 * len(inside)) ** 0.5


def test_an_unknown_split_of_digits_is_named():
    with pytest.raises(InputError, match=r"cannot be split by 'indx'\. Did you mean 'index'\?"):
        load("digits", split="indx")


@pytest.mark.parametrize("name", ["landmass", "digits"])
def test_what_is_held_out_is_validation_then_test_with_their_conditions(name):
    dataset = load(name)
    assert torch.equal(dataset.held_out.x, torch.cat([dataset.validation.x, dataset.test.x]))
    assert (dataset.held_out.c is None) == (dataset.test.c is None)
    assert dataset.test.c is None or torch.equal(
        dataset.held_out.c[-len(dataset.test) :], dataset.test.c
    )  # type: ignore[index]


# ----------------------------------------------------------------------------------------- landmass


def cell_centres():
    rows, columns = landmass.mask().shape
    longitude = math.pi * ((2 * torch.arange(columns) + 1) / columns - 1)
    sine = 1 - (2 * torch.arange(rows) + 1) / rows
    return torch.cartesian_prod(sine, longitude).flip(1).double()


def test_landmass_density_integrates_to_one():
    density = landmass.log_density(cell_centres()).exp()
    assert math.isclose(density.mean() * landmass.MAP_AREA, 1, rel_tol=1e-12)


def test_landmass_entropy():
    dataset = load("landmass")
    assert math.isclose(dataset.entropy, 1.289, abs_tol=0.003)
    assert all(landmass.is_land(split.x).all() for split in all_splits(dataset))
    assert math.isclose(-dataset.log_density(dataset.test.x).mean(), dataset.entropy, rel_tol=1e-6)


def test_landmass_points_are_uniform_over_land():
    """Ten thousand points fall into the two halves of the land in proportion to area."""
    x, centres = load("landmass").test.x, cell_centres()
    land = centres[landmass.is_land(centres)]
    for column in range(2):
        middle = land[:, column].median()
        share = (x[:, column] < middle).float().mean()
        expected = (land[:, column] < middle).double().mean()
        assert abs(share - expected) < 4 * 0.5 / len(x) ** 0.5


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "land"),
    [
        ("Sofia", 23.3, 42.7, True),
        ("South Pole", 0, -89.9, True),
        ("North Pole", 0, 89.9, False),
        ("Chukotka, west of the antimeridian", 179.0, 67.8, True),
        ("Chukotka, east of it", -173.0, 66.0, True),
        ("Siberia, 68 degrees north", 100.0, 68.0, True),
        ("Gulf of Guinea", 0, 0, False),
        ("Caspian Sea", 50.5, 42.0, False),
    ],
)
def test_places_on_the_map(place, longitude, latitude, land):
    point = torch.tensor([[math.radians(longitude), math.sin(math.radians(latitude))]])
    assert landmass.is_land(point).item() == land


def test_there_is_no_land_off_the_map():
    off = torch.tensor([[4.0, 0.0], [0.0, 1.1], [-4.0, -1.1], [math.nan, 0.0]])
    assert (landmass.log_density(off) == -math.inf).all()


# ----------------------------------------------------------------------------------------- biscuits


def test_every_pixel_of_a_tin_has_a_pmf():
    assert torch.allclose(
        biscuits._log_pmf().exp().sum(-1), torch.ones(72, 256).double(), atol=1e-12
    )


def test_biscuit_density_is_the_sum_over_tins():
    """Against the formula written out with loops, in float64."""
    x = load("biscuits", train=2, validation=1, test=3).test.x.double()
    levels = grid.to_level(x, 16).flatten(1)
    for event, density in zip(levels, biscuits.log_density(x), strict=True):
        total = []
        for height in biscuits.HEIGHTS:
            for width in biscuits.WIDTHS:
                clean = (
                    15
                    * biscuits.draw(torch.tensor([height]), torch.tensor([width]))
                    .double()
                    .flatten()
                )
                cdf = [
                    torch.zeros(256),
                    *(((k + 0.5 - clean) / biscuits.NOISE).sigmoid() for k in range(15)),
                ]
                pmf = torch.stack([*cdf, torch.ones(256)]).double().diff(dim=0)
                total.append(pmf.gather(0, event[None]).clamp(min=1e-300).log().sum())
        expected = torch.stack(total).logsumexp(0) - math.log(72) - 256 * math.log(2 / 16)
        assert math.isclose(density, expected, rel_tol=1e-9)


def test_biscuit_entropy_is_minus_the_mean_log_density():
    dataset = load("biscuits")
    density = dataset.log_density(dataset.test.x)
    assert abs(-density.mean() - dataset.entropy) < 4 * density.std() / len(density) ** 0.5


def test_a_tin_can_be_measured_and_made_taller():
    dataset = load("biscuits", train=10, validation=10, test=500)
    height, width = biscuits.measure(dataset.test.x)
    assert torch.equal(biscuits.describe(height, width), dataset.test.c)
    taller = biscuits.photograph(height.clamp(max=9) + 1, width, torch.Generator().manual_seed(0))
    assert all(map(torch.equal, biscuits.measure(taller), (height.clamp(max=9) + 1, width)))


def test_a_tin_s_drawing_stays_on_its_picture():
    height, width = biscuits._tins().unbind(1)
    clean = biscuits.draw(height, width)
    assert clean.shape == (72, 1, 16, 16) and clean.min() >= 0 and clean.max() <= 1
    border = torch.cat([clean[..., 0, :], clean[..., :, 0], clean[..., :, -1]])
    assert (border == 1).all()
    ink = (1 - clean).sum((1, 2, 3)).view(len(biscuits.HEIGHTS), len(biscuits.WIDTHS))
    assert (ink.diff(dim=0) > 0).all() and (ink.diff(dim=1) > 0).all()  # taller, wider: more tin


def test_biscuit_density_is_zero_off_the_grid():
    assert biscuits.log_density(torch.full((1, 1, 16, 16), 1.1)) == -math.inf


# ---------------------------------------------------------------------------------------- gaussians


@pytest.mark.parametrize("dims", [1, 2])
def test_gaussian_density_integrates_to_one(dims):
    side = torch.linspace(-8, 8, 801, dtype=torch.float64)
    x = torch.cartesian_prod(*[side] * dims).view(-1, dims)
    assert math.isclose(gaussians.log_density(x).exp().sum() * 0.02**dims, 1, abs_tol=1e-6)


@pytest.mark.parametrize("dims", [2, 16])
def test_gaussian_density_is_the_sum_over_components(dims):
    """Against SciPy, one component at a time."""
    from scipy.stats import multivariate_normal

    _, law = gaussians.components(dims)
    x = load("gaussians", dims=dims).test.x[:50].double().numpy()
    moments = zip(law.loc.numpy(), law.covariance_matrix.numpy(), strict=True)
    density = sum(
        (k + 1) / 15 * multivariate_normal(*moment).pdf(x) for k, moment in enumerate(moments)
    )
    np.testing.assert_allclose(
        gaussians.log_density(torch.from_numpy(x)).numpy(), np.log(density), rtol=1e-9
    )


@pytest.mark.parametrize("dims", [1, 2, 16])
def test_gaussians_are_standardised_and_drawn_from_their_density(dims):
    dataset, world = load("gaussians", dims=dims), MixtureSameFamily(*gaussians.components(dims))
    assert dataset.event_shape == (dims,) and len(dataset.features) == dims
    torch.testing.assert_close(world.mean, torch.zeros(dims).double())
    torch.testing.assert_close(world.variance, torch.ones(dims).double())
    assert (dataset.train.x.std(0) - 1).abs().max() < 0.05 and dataset.train.x.mean(
        0
    ).abs().max() < 0.05
    density = dataset.log_density(dataset.test.x)
    assert abs(-density.mean() - dataset.entropy) < 4 * density.std() / len(density) ** 0.5
    mine = gaussians.components(dims)[1].loc[dataset.test.c]
    assert (dataset.test.x - mine).square().sum(
        1
    ).mean() < 0.8 * dims  # labels are the components: nearer than the origin


def test_no_dimensions_are_refused():
    with pytest.raises(InputError, match="dims is 0: expected"):
        load("gaussians", dims=0)


# -------------------------------------------------------------------------------------------- ising


def test_ising_worlds_are_all_there_are_and_their_masses_sum_to_one():
    x = ising.worlds()
    assert (
        x.shape == (512, 1, 3, 3)
        and len(x.unique(dim=0)) == 512
        and torch.equal(grid.quantise(x, 2), x)
    )
    mass = ising.log_density(x.double()).exp() * grid.bin_width(2) ** 9
    assert math.isclose(mass.sum(), 1, rel_tol=1e-12)
    assert math.isclose(
        -(mass * ising.log_density(x.double())).sum(), ising.entropy(), rel_tol=1e-12
    )


def test_ising_density_is_the_energy_of_the_spins():
    """Ratios of two masses, written out with loops: they need no Z."""
    x = ising.worlds()[torch.randperm(512)[:20]]
    exponents = []
    for s in x.sign().view(-1, 3, 3).tolist():
        pairs = [(s[i][j], s[i][j + 1]) for i in range(3) for j in range(2)]
        pairs += [(s[i][j], s[i + 1][j]) for i in range(2) for j in range(3)]
        field = ising.FIELD * sum(map(sum, s))
        exponents.append((sum(a * b for a, b in pairs) + field) / ising.TEMPERATURE)
    density = ising.log_density(x.double())
    torch.testing.assert_close(
        density - density[0], torch.tensor(exponents).double() - exponents[0]
    )


def test_ising_draws_have_their_masses_and_there_is_nothing_off_the_grid():
    x = load("ising", train=100_000).train.x
    worlds, mass = ising.worlds(), ising.log_pmf().exp()
    which = ((x.flatten(1) > 0) * 2 ** torch.arange(8, -1, -1)).sum(1)
    assert torch.equal(worlds[which], x)
    share = torch.bincount(which, minlength=512) / len(x)
    assert ((share - mass).abs() < 5 * (mass / len(x)).sqrt() + 1e-4).all()
    assert ising.log_density(torch.full((1, 1, 3, 3), 1.1)) == -math.inf


# --------------------------------------------------------------------- torchvision's sets, on fakes


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(
        size.to_bytes(4, "big") for size in array.shape
    )
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def fake_mnist(folder, n=5020, size=4):
    folder.mkdir(parents=True)
    for part, count in (("train", n), ("t10k", 30)):
        pixels = np.arange(count)[:, None, None] % 256 * np.ones((1, size, size))
        write_idx(folder / f"{part}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_idx_files(tmp_path, name, folder):
    fake_mnist(tmp_path / folder / "raw")
    dataset = load(name, root=tmp_path)
    assert [len(split) for split in all_splits(dataset)] == [20, 5000, 30]
    assert (
        dataset.event_shape == (1, 4, 4)
        and dataset.levels == 256
        and len(dataset.classes) == dataset.condition == 10
    )
    assert grid.to_level(dataset.validation.x, 256)[:, 0, 0, 0].tolist() == [
        i % 256 for i in range(20, 5020)
    ]
    assert dataset.validation.c.tolist() == [i % 10 for i in range(20, 5020)]


def test_cifar_keeps_its_channels(tmp_path, monkeypatch):
    import pickle

    import torchvision.datasets.cifar as cifar

    # the fakes have no known checksum
    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5=None: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.zeros((1010, 3, 32, 32), np.uint8) + np.array([10, 20, 30], np.uint8)[:, None, None]
    batch = {"data": pixels.reshape(1010, -1), "labels": [3] * 1010}
    for file in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (folder / file).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["?"] * 10}))
    dataset = load("cifar10", root=tmp_path)
    assert [len(split) for split in all_splits(dataset)] == [50, 5000, 1010]
    assert dataset.event_shape == (3, 32, 32)
    assert grid.to_level(dataset.test.x[0, :, 5, 5], 256).tolist() == [10, 20, 30]
    assert dataset.classes[dataset.test.c[0]] == "cat"


@pytest.mark.parametrize("name", DOWNLOADED)
def test_missing_files_are_named_with_their_folder(tmp_path, name):
    source = name.removesuffix("-binary")
    folder = re.escape(str(tmp_path))
    with pytest.raises(InputError, match=rf"{source} is not in .*put the files .* into {folder}/"):
        load(name, root=tmp_path, download=False)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    def offline(self):
        raise RuntimeError("no network")

    monkeypatch.setattr(MNIST, "download", offline)
    with pytest.raises(
        InputError, match="the download failed: put the files train-images-idx3-ubyte"
    ):
        load("mnist", root=tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\10\3\0\0\0\2\0\0\0\4\0\0\0\4short", b"not an idx file"]
)
def test_damaged_files_are_called_damaged(tmp_path, content):
    fake_mnist(tmp_path / "MNIST/raw", n=10)
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load("mnist", root=tmp_path)


# ---------------------------------------------------------------------------------- your own arrays


def header(text: bytes) -> bytes:
    """The beginning of a .npy file that describes its array by ``text``."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return str(tmp_path / "mine.npz")


def test_bytes_have_256_levels_and_split_80_10_10(tmp_path):
    x = np.arange(200, dtype=np.uint8)[:, None].repeat(3, 1)
    dataset = load(npz(tmp_path, x=x))
    assert dataset.name == "mine" and dataset.levels == 256 and dataset.event_shape == (3,)
    assert [len(split) for split in all_splits(dataset)] == [160, 20, 20]
    seen = torch.cat([grid.to_level(split.x, 256)[:, 0] for split in all_splits(dataset)])
    assert sorted(seen.tolist()) == list(range(200))
    again, other = load(npz(tmp_path, x=x)), load(npz(tmp_path, x=x), seed=1)
    assert torch.equal(again.test.x, dataset.test.x) and not torch.equal(
        other.test.x, dataset.test.x
    )


@pytest.mark.parametrize(
    ("shape", "event_shape"),
    [
        ((20, 5), (5,)),
        ((20, 6, 7), (1, 6, 7)),
        ((20, 6, 7, 3), (3, 6, 7)),
        ((20, 6, 7, 1), (1, 6, 7)),
        ((20, 3, 6, 7), (3, 6, 7)),
        ((20, 4, 6, 7), (4, 6, 7)),
    ],
)
def test_images_get_their_channels_first(tmp_path, shape, event_shape):
    assert load(npz(tmp_path, x=np.zeros(shape, np.uint8))).event_shape == event_shape


def test_channels_last_pixels_stay_with_their_channel(tmp_path):
    x = np.zeros((10, 2, 2, 3), np.uint8) + np.array([1, 2, 3], np.uint8)
    assert grid.to_level(load(npz(tmp_path, x=x)).train.x[0, :, 0, 1], 256).tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["bool", "int64", ">i4", "uint16", "uint8"])
def test_integers_with_levels(tmp_path, dtype):
    x = (np.arange(40).reshape(20, 2) % 2).astype(dtype)
    dataset = load(npz(tmp_path, x=x, levels=2))
    assert dataset.levels == 2 and set(dataset.train.x.flatten().tolist()) == {-0.5, 0.5}
    assert load(npz(tmp_path, x=x), levels=5).levels == 5


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f8", "longdouble"])
def test_floats_are_standardised_and_reported_in_their_own_units(tmp_path, dtype):
    x = (np.random.default_rng(0).normal(size=(2000, 2)) * [0.5, 20] + [3, -7]).astype(dtype)
    dataset = load(npz(tmp_path, x=x))
    assert dataset.levels == 0 and dataset.unit == "nats"
    assert torch.allclose(dataset.train.x.mean(0), torch.zeros(2), atol=1e-3)
    assert torch.allclose(dataset.train.x.std(0), torch.ones(2), atol=1e-3)
    model = torch.distributions.Normal(0, 1)
    ours = dataset.report(model.log_prob(dataset.test.x).sum(1))
    raw = dataset.test.x * dataset.scale + dataset.shift
    theirs = -torch.distributions.Normal(dataset.shift, dataset.scale).log_prob(raw).sum(1)
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_labels_and_vectors_are_conditions(tmp_path):
    x, y = np.arange(30, dtype=np.uint8)[:, None], np.arange(30) % 3
    dataset = load(npz(tmp_path, x=x, y=y, classes=np.array(["red", "green", "blue"])))
    assert dataset.classes == ("red", "green", "blue") and dataset.condition == 3
    for split in all_splits(dataset):
        # each event keeps its label
        assert torch.equal(split.c, grid.to_level(split.x, 256).squeeze(1) % 3)
    dataset = load(npz(tmp_path, x=x, c=np.random.rand(30, 4)))
    assert (
        dataset.classes == () and dataset.condition == 4 and dataset.train.c.dtype == torch.float32
    )


def test_given_splits_are_kept(tmp_path):
    x, y = np.arange(100, dtype=np.uint8)[:, None], np.zeros(100, int)
    # the names Keras uses
    dataset = load(npz(tmp_path, x_train=x, y_train=y, x_test=x[:7], y_test=y[:7]))
    assert [len(split) for split in all_splits(dataset)] == [90, 10, 7]
    assert torch.equal(grid.to_level(dataset.test.x, 256).squeeze(1), torch.arange(7))
    dataset = load(npz(tmp_path, x=x[:3], x_validation=x[:2], x_test=x[:1]))
    assert [len(split) for split in all_splits(dataset)] == [3, 2, 1]
    assert torch.equal(grid.to_level(dataset.train.x, 256).squeeze(1), torch.arange(3))


BYTES, FLOATS = np.zeros((20, 2), np.uint8), np.random.default_rng(0).normal(size=(20, 2))


def spoilt(value):
    x = FLOATS.copy()
    x[3, 1] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": BYTES}, "an array 'X' that means nothing here. Did you mean 'x'?"),
        ({}, "has no array x: found no arrays at all."),
        (
            {"x": BYTES, "y_tets": BYTES},
            "array 'y_tets' that means nothing here. Did you mean 'y_test'?",
        ),
        ({"x": np.array(["a", "b"])}, "has type <U1: expected bytes, integers or floats."),
        ({"x": np.array([{}])}, "expected a .npz file of plain arrays"),
        ({"x": BYTES, "y": np.full(len(BYTES), 2**62)}, "a label 4611686018427387904: expected"),
        ({"x": BYTES, "levels": 2**62}, r"levels for .* expected 2 or more, up to 65,536"),
        ({"x": BYTES, "x_train": BYTES}, "has both x and x_train"),
        ({"x": np.zeros(20)}, r"has shape \(20,\): expected"),
        ({"x": np.zeros((0, 2))}, r"has shape \(0, 2\): expected .* not empty"),
        ({"x": spoilt(np.nan)}, r"1 values that are NaN, .* first at \(3, 1\)"),
        ({"x": spoilt(1e300)}, r"infinite or huge, the first at \(3, 1\)"),
        ({"x": BYTES, "y_test": np.zeros(20, int)}, "'y_test' but no array 'x_test'"),
        ({"x": BYTES, "c": np.zeros((20, 0))}, "expected finite vectors"),
        ({"x": spoilt(np.inf)}, "infinite"),
        ({"x": FLOATS * [1, 0]}, r"Feature \(1,\) of x .* is constant"),
        ({"x": FLOATS, "levels": 4}, "is float64, but levels is 4"),
        ({"x": BYTES.astype(int)}, "is int64: expected an array or option levels"),
        ({"x": BYTES.astype(int) - 1, "levels": 4}, "values from -1 to -1: expected 0 ... 3"),
        ({"x": BYTES + 9, "levels": 9}, "values from 9 to 9: expected 0 ... 8"),
        ({"x": BYTES, "levels": 1}, "levels for .* is 1: expected 2 or more"),
        ({"x": BYTES, "levels": 2.5}, "expected one whole number"),
        ({"x": BYTES[:9]}, "has 9 events: expected at least 10"),
        (
            {"x": BYTES, "y": np.zeros(19, int)},
            r"y for train .* shape \(19,\): expected 20 integer labels",
        ),
        ({"x": BYTES, "y": np.zeros(20)}, "float vectors go under the name c"),
        ({"x": BYTES, "y": np.zeros(20, int) - 1}, "labels from 0 up"),
        ({"x": BYTES, "c": np.zeros(20)}, r"expected finite vectors, \(20, width\)"),
        ({"x": BYTES, "c": np.full((20, 1), np.nan)}, "expected finite vectors"),
        ({"x": BYTES, "c": np.zeros((20, 1)), "y": np.zeros(20, int)}, "both y and c"),
        ({"x": BYTES, "y": np.zeros(20, int) + 2, "classes": np.array(["a"])}, "expected 3 names"),
        (
            {"x": BYTES, "x_test": BYTES[:, :1]},
            r"x_test .* events \(1,\) of uint8: expected \(2,\) of uint8",
        ),
        (
            {"x": BYTES, "x_test": BYTES, "y": np.zeros(20, int)},
            "other conditions for test than for train",
        ),
    ],
)
def test_every_bad_array_is_named(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message) as error:
        load(npz(tmp_path, **arrays))
    assert "mine.npz" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\3\4 torn off"])
def test_a_corrupt_npz_is_refused(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"Cannot read .*bad.npz: expected a .npz file"):
        load(str(tmp_path / "bad.npz"))


MEMBERS = {
    "no array": ("x.npy", b"hello"),
    "of no suffix": ("x", b"hello"),
    "empty": ("x.npy", b""),
    "a header that opens 9,000 brackets": ("x.npy", header(b"(" * 9000)),
    "more rows than any memory holds": (
        "x.npy",
        header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9)}"),
    ),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_is_no_array_is_refused(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr(*MEMBERS[name])
    with pytest.raises(InputError, match=r"bad.npz.*expected a"):
        load(str(tmp_path / "bad.npz"))


def test_a_truncated_or_flipped_npz_is_refused(tmp_path):
    path = npz(tmp_path, x=np.random.default_rng(0).integers(0, 255, (50, 40), dtype=np.uint8))
    good = (tmp_path / "mine.npz").read_bytes()
    for bad in (good[: len(good) // 2], good[:500] + bytes([good[500] ^ 255]) + good[501:]):
        (tmp_path / "mine.npz").write_bytes(bad)
        with pytest.raises(InputError, match="Cannot read"):
            load(path)


# ---------------------------------------------------------------------------------- your own images


def picture(path, value=0, size=(4, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_a_folder_of_grey_images(tmp_path):
    for i in range(20):
        picture(tmp_path / f"{i:02}.png", i)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not mine")
    dataset = load(str(tmp_path))
    assert dataset.event_shape == (1, 4, 4) and dataset.levels == 256 and dataset.condition == 0
    assert [len(split) for split in all_splits(dataset)] == [16, 2, 2]
    seen = torch.cat([grid.to_level(split.x, 256)[:, 0, 0, 0] for split in all_splits(dataset)])
    assert sorted(seen.tolist()) == list(range(20))


def test_sub_folders_are_labels_and_colour_is_seen(tmp_path):
    for i in range(10):
        picture(tmp_path / "blue" / f"{i}.png", (0, 0, 200), mode="RGB")
        picture(tmp_path / "grey" / f"{i}.PNG", 90)
    dataset = load(str(tmp_path))
    assert (
        dataset.event_shape == (3, 4, 4)
        and dataset.classes == ("blue", "grey")
        and dataset.condition == 2
    )
    for split in all_splits(dataset):
        blue = grid.to_level(split.x, 256)[:, 2, 0, 0] == 200
        assert torch.equal(split.c, (~blue).long())


def test_grey_stored_as_colour_is_grey(tmp_path):
    for i in range(10):
        picture(tmp_path / f"{i}.jpeg", (i, i, i), mode="RGB")
    assert load(str(tmp_path)).event_shape == (1, 4, 4)


def test_mixed_sizes_name_the_odd_file_and_the_option(tmp_path):
    for i in range(11):
        picture(tmp_path / f"{i}.png", size=(6, 4) if i == 7 else (4, 4))
    with pytest.raises(
        InputError, match=r"7.png is 6 x 4 pixels, but most images are 4 x 4: .* size="
    ):
        load(str(tmp_path))
    assert load(str(tmp_path), size=3).event_shape == (1, 3, 3)


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="There are no images in"):
        load(str(tmp_path))
    picture(tmp_path / "a.png")
    with pytest.raises(InputError, match="has 1 events: expected at least 10"):
        load(str(tmp_path))
    picture(tmp_path / "sub" / "b.png")
    with pytest.raises(InputError, match="images both in itself and in sub"):
        load(str(tmp_path))
    (tmp_path / "sub" / "b.png").unlink()
    picture(tmp_path / "b.png", mode="I;16")
    with pytest.raises(InputError, match=r"b\.png has more than 8 bits"):
        load(str(tmp_path))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:30])
    with pytest.raises(InputError, match=r"Cannot read .*b\.png"):
        load(str(tmp_path))
    for size in (0, -3):
        with pytest.raises(InputError, match=f"size is {size}: expected"):
            load(str(tmp_path), size=size)


def test_only_png_and_jpeg_are_opened_whatever_a_file_is_called(tmp_path, monkeypatch):
    """An EPS would start Ghostscript, where that is installed."""

    def started(*_, **__):
        raise AssertionError("another program was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    for kind in ("EPS", "TIFF", "BMP", "GIF", "PPM"):
        Image.new("L", (4, 4)).save(tmp_path / "a.png", kind)
        with pytest.raises(InputError, match=r"Cannot read .*a\.png: expected a PNG or JPEG image"):
            load(str(tmp_path))
        with pytest.raises(InputError, match=r"Cannot read .*a\.png: expected a PNG or JPEG image"):
            pictures.read(tmp_path / "a.png", 4)


def claiming(width: int, height: int, more: bytes = b"") -> bytes:
    """A PNG of a few bytes whose header claims so many pixels, with more chunks after it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    checked = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checked


LONG_TEXT = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(10**7)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (claiming(30_000, 30_000), "is too large an image to be safe: expected at most .* pixels"),
        (claiming(2**31 - 1, 2**31 - 1), "is too large an image to be safe"),
        (claiming(10_000, 10_000), "is too large an image to be safe"),  # of which Pillow warns
        (claiming(4, 4, LONG_TEXT), "Cannot read"),
        (claiming(0, 4), "Cannot read"),
    ],
    ids=["huge", "largest", "large", "text", "empty"],
)
def test_an_image_that_would_unpack_to_too_much_is_named(content, sentence, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    for size in (None, 4):
        with pytest.raises(InputError, match=rf"a\.png.*{sentence}|{sentence} .*a\.png"):
            load(str(tmp_path), size=size)


def test_sizes_are_compared_before_any_pixel_is_read(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(claiming(9_000, 9_000))
    monkeypatch.setattr(Image.Image, "convert", None)
    sentence = r"c\.png is 9000 x 9000 pixels, but most images are 4 x 4"
    with pytest.raises(InputError, match=sentence):
        load(str(tmp_path))


def test_images_that_do_not_fit_into_memory_are_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    for i in range(10):
        picture(tmp_path / f"{i}.png")
    monkeypatch.setattr("genzoo.data.images.folder.np.empty", full)
    with pytest.raises(InputError, match="10 images of 4 x 4 pixels do not fit into memory"):
        load(str(tmp_path))


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"Cannot read .*a\.png"):
        load(str(tmp_path))


# -------------------------------------------------------------------------------- names and options


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", "Did you mean 'digits'?"),
        ("MNIST", "Did you mean 'mnist'?"),
        ("", "There is no data set, file or folder called ''. Choose one of"),
        ("qqqq", "Choose one of: landmass, moons, gaussians, biscuits, ising"),
        ("nowhere/mine", "There is no file or folder nowhere/mine"),
        ("nowhere.npz", "There is no file nowhere.npz"),
        (__file__, "expected a .npz file with an array x, or a folder of images"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(name, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load(name)


def test_an_unknown_option_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"'digits-index' has no option 'size'\. It takes no options\."
    ):
        load("digits-index", size=3)
    with pytest.raises(InputError, match=r"'moons' has no option 'noisy'. Did you mean 'noise'\?"):
        load("moons", noisy=3)
    with pytest.raises(InputError, match=r"has no option 'levles'\. Did you mean 'levels'"):
        load(npz(tmp_path, x=BYTES), levles=3)


def test_nearest():
    assert nearest("digts", NAMES) == "Did you mean 'digits'?"
    assert nearest("zzz", ["a", "b"]) == "Choose one of: a, b."


# ------------------------------------------------------------------------- what a data set can read


@pytest.mark.parametrize(
    ("name", "options"),
    [("biscuits", {"train": 10, "validation": 10, "test": 200}), ("digits", {})],
)
def test_a_data_set_reads_the_condition_off_its_own_events(name, options):
    data = load(name, **options)
    x, c = data.test[:200]
    right = (data.read(x).view(len(x), -1) == c.view(len(x), -1)).all(1)
    assert right.float().mean() > 0.95


def test_a_parser_sees_the_attributes_of_the_scenes_that_were_drawn():
    data = load("scenes", train=10, validation=10, test=100)
    x, c = data.test[:]
    grounds = len(BACKGROUNDS)
    assert (data.read(x)[:, :grounds] == c[:, :grounds]).all(1).float().mean() > 0.95
    no_scene = torch.ones(1, 3, 32, 32)  # in which there is no thing at all
    assert data.read(no_scene).shape == (1, data.condition)


def test_tins_that_are_none_are_counted_among_those():
    data = load("biscuits", train=10, validation=10, test=300)
    space = data.feature_space
    (distance,) = space.distances.values()
    real = space.features(data.test.x)
    assert distance(real, real) == 0
    assert space.shares["no tin"](real).float().mean() < 0.05
    noise = space.features(grid.quantise(2 * torch.rand(50, 1, 16, 16) - 1, data.levels))
    assert space.shares["no tin"](noise).all() and distance(real, noise) > 0.95
