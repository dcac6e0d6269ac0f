"""Distances against closed forms and independent code.

Planted faults of samples, each of which must show where it should.
"""

import json
import math
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from prdc import compute_prdc
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance
from torch import Tensor

from genzoo.benchmark.codec import from_plain
from genzoo.benchmark.report.cells import digits_for, number, percent
from genzoo.benchmark.report.quality_table import OTHERS, quality_table
from genzoo.data import DataSet, Split, load
from genzoo.data.images.digits_net import digits_net, framed, read
from genzoo.data.synthetic import biscuits
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure, combine, share_of, share_with
from genzoo.evaluation.results import Quality
from genzoo.evaluation.samples import distances, neighbours, quality
from genzoo.evaluation.samples import feature_spaces as spaces
from genzoo.families.baselines import Gaussian, fitted


def cloud(n: int, dims: int, spread: float = 1.0, shift: float = 0.0) -> Tensor:
    return shift + spread * torch.randn(n, dims)


def correlated(n: int, dims: int) -> Tensor:
    """Skewed, correlated features of very different scales, as those of a network are."""
    mix = torch.randn(dims, dims) * torch.logspace(-2, 1, dims)
    return (cloud(n, dims) @ mix).sinh().clamp(-50, 50)


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return load("digits")


# ---------------------------------------------------------------------------------------- distances


def frechet_by_scipy(x: Tensor, y: Tensor) -> float:
    """The formula as it stands, in numpy, with scipy's square root of a matrix."""
    a, b = x.double().numpy(), y.double().numpy()
    covariances = [np.cov(z, rowvar=False) for z in (a, b)]
    root = np.asarray(sqrtm(covariances[0] @ covariances[1])).real
    return float(
        ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    )


def test_frechet_distance_is_scipy_s_on_three_sets_of_features(digits):
    net = digits_net()
    sets = {
        "digits-net": (net(digits.test.x), net(F.avg_pool2d(F.pad(digits.train.x, [1] * 4), 3, 1))),
        "pixels": (digits.test.x.flatten(1)[:, 9:15], digits.train.x.flatten(1)[:, 17:23]),
        "correlated": (correlated(300, 20), correlated(400, 20)),
    }
    for name, (x, y) in sets.items():
        assert distances.frechet(x, y) == pytest.approx(frechet_by_scipy(x, y), rel=1e-4), name


def test_frechet_distance_of_gaussians_is_the_closed_form():
    """Between N(0, 1) and N(m, s²) in each of d dimensions, it is d (m² + (1 - s)²)."""
    found = distances.frechet(cloud(100_000, 3), cloud(100_000, 3, spread=2.0, shift=0.5))
    assert found == pytest.approx(3 * (0.25 + 1.0), rel=0.03)


def test_frechet_distance_keeps_its_digits_far_from_the_origin():
    x, y = cloud(200, 4).double(), cloud(200, 4, 1.5).double()
    assert distances.frechet(x + 1e4, y + 1e4) == pytest.approx(distances.frechet(x, y), rel=1e-6)


def test_kernel_distance_is_the_unbiased_formula():
    x, y = cloud(30, 5).double(), cloud(30, 5, 1.3).double()
    total = 0.0
    for i in range(30):
        for j in range(30):
            k = [
                ((a @ b / 5 + 1) ** 3).item() for a, b in ((x[i], x[j]), (y[i], y[j]), (x[i], y[j]))
            ]
            total += (k[0] + k[1]) / (30 * 29) * (i != j) - 2 * k[2] / 30**2
    assert distances.kernel_distance(x, y) == pytest.approx(total, rel=1e-9)


def test_discrepancy_is_the_unbiased_formula():
    x, y, h = cloud(12, 2).double(), cloud(9, 2, 1.5).double(), 0.8

    def kernel(a: Tensor, b: Tensor) -> float:
        squared = (a - b).square().sum().item()
        return sum(math.exp(-squared / (2 * (h / 2**i) ** 2)) for i in range(4)) / 4

    def mean(a: Tensor, b: Tensor, same: bool) -> float:
        found = [
            kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)
        ]
        return sum(found) / len(found)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert distances.discrepancy(h)(x, y) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("distance", [distances.discrepancy(1.0), distances.kernel_distance])
def test_kernel_estimates_are_zero_on_average_for_one_distribution(distance):
    values = torch.tensor([distance(cloud(60, 2), cloud(60, 2)) for _ in range(60)])
    assert abs(values.mean()) < 4 * values.std() / 60**0.5 and values.min() < 0 < values.max()


def test_sliced_wasserstein_is_scipy_s_in_every_direction():
    x, y = cloud(200, 2), cloud(200, 2, 0.7, 0.3)
    angles = np.pi * np.arange(64) / 64
    lines = [(np.cos(a), np.sin(a)) for a in angles]
    expected = np.mean(
        [
            wasserstein_distance((x @ torch.tensor(v).float()), (y @ torch.tensor(v).float()))
            for v in lines
        ]
    )
    assert distances.sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-5)
    shifted = distances.sliced_wasserstein(x, x + torch.tensor([1.0, 0.0]))
    assert shifted == pytest.approx(2 / math.pi, rel=1e-3)  # the mean of |cos| over directions


def test_extrapolation_takes_the_bias_out():
    """Of one distribution the line through 1/n ends near zero.

    The plain distance is far above zero at this n.
    """
    plain, infinite = [], []
    for _ in range(5):
        x, y = cloud(400, 16), cloud(400, 16)
        plain.append(distances.frechet(x, y))
        infinite.append(distances.extrapolated(x, y))
    assert np.mean(plain) > 0.1 and abs(np.mean(infinite)) < 0.2 * np.mean(plain)


def test_the_error_bar_is_the_spread_over_fresh_samples():
    def statistic(x: Tensor, y: Tensor) -> dict[str, float]:
        return {"FD": distances.frechet(x, y), "MMD": distances.discrepancy(1.0)(x, y)}

    found = [
        distances.with_errors(statistic, cloud(200, 3), cloud(200, 3, shift=0.6)) for _ in range(30)
    ]
    for name in ("FD", "MMD"):
        errors = [f[name].stderr for f in found]
        assert np.mean(errors) == pytest.approx(np.std([f[name].value for f in found]), rel=0.35)


# ------------------------------------------- how often do the printed intervals hold? by simulation


def held(figures: list[Figure], truth: float) -> float:
    """Share of intervals that hold the truth.

    The ends where there are any, else 1.96 errors on either side.
    """
    ends = [
        (f.value - 1.96 * f.stderr, f.value + 1.96 * f.stderr) if f.low is None else (f.low, f.high)
        for f in figures
    ]
    return float(np.mean([low <= truth <= high for low, high in ends]))


def plane(n: int, spread: float = 1.0) -> Tensor:
    return spread * torch.randn(n, 2)


@pytest.mark.parametrize("spread", [0.8, 1.3], ids=["timid", "overdispersed"])
def test_shares_of_neighbours_have_intervals_that_hold(spread):
    """Both sets are drawn afresh, so that the truth is the mean over all trials."""
    trials = [
        distances.with_errors(neighbours.support, cloud(200, 3), cloud(200, 3, spread), halves=25)
        for _ in range(300)
    ]
    for name in ("precision", "recall", "coverage"):
        values, errors = zip(
            *((trial[name].value, trial[name].stderr) for trial in trials), strict=True
        )
        truth = float(np.mean(values))
        found = [share_with(value, error, 200) for value, error in zip(values, errors, strict=True)]
        assert 0.92 <= held(found, truth) <= 0.985, name
        counted = [share_of(value, 200) for value in values]  # as if the balls were known
        assert held(counted, truth) < held(found, truth)
    density = [trial["density"] for trial in trials]
    assert 0.92 <= held(density, float(np.mean([figure.value for figure in density]))) <= 0.99


def test_distances_have_errors_that_hold():
    def statistic(x: Tensor, y: Tensor) -> dict[str, float]:
        # FD of independent features
        mean, variance = (
            x.mean(0) - y.mean(0),
            x.var(0).sqrt() - y.var(0).sqrt(),
        )
        return {
            "FD": (mean.square() + variance.square()).sum().item(),
            "MMD": distances.discrepancy(1.0)(x, y),
            "W": distances.sliced_wasserstein(x, y),
        }

    trials = [distances.with_errors(statistic, plane(100), plane(100) + 0.8) for _ in range(300)]
    for name in ("FD", "MMD", "W"):
        found = [trial[name] for trial in trials]
        assert 0.92 <= held(found, float(np.mean([figure.value for figure in found]))) <= 0.98, name


@pytest.mark.parametrize("luck", [0.0, 0.1], ids=["alike", "by luck"])
def test_three_seeds_against_one_reference_have_an_interval_that_holds(luck):
    """Their samples are their own and the reference is not.

    To add a whole run's error again would hold everything.
    """
    found: dict[str, list[Figure]] = {}
    for _ in range(150):
        reference, runs = plane(100), []
        for _ in range(3):
            samples = plane(100, 1.2 + luck * float(torch.randn(())))
            runs.append(distances.with_errors(neighbours.support, reference, samples, halves=20))
        for name in ("precision", "coverage"):
            shares = [share_with(run[name].value, run[name].stderr, 100) for run in runs]
            found.setdefault(name, []).append(combine(shares, shared=False))
    for name, figures in found.items():
        assert (
            0.92 <= held(figures, float(np.mean([figure.value for figure in figures]))) <= 0.995
        ), name


@pytest.mark.parametrize(
    ("samples", "held_out", "nearer"), [(400, 400, 1.0), (400, 800, 0.8), (800, 400, 0.5)]
)
def test_copies_have_an_interval_that_holds_though_a_few_events_decide_the_threshold(
    samples, held_out, nearer
):
    law = torch.distributions.Gamma(4.0, 1.0)  # of the distance to the nearest training event
    many = law.sample((1_000_000,))
    truth = (nearer * many < many.kthvalue(10_000).values).double().mean().item()
    found = [
        neighbours.copying(nearer * law.sample((samples,)), law.sample((held_out,)))["copies"]
        for _ in range(300)
    ]
    assert 0.92 <= held(found, truth) <= 0.99


def test_the_chance_to_lie_nearer_has_an_error_that_holds():
    found = [neighbours.copying(0.1 + torch.rand(60), torch.rand(90))["nearer"] for _ in range(400)]
    assert 0.92 <= held(found, 0.9**2 / 2) <= 0.98


def test_a_share_is_no_surer_than_its_error_allows_and_never_surer_than_its_events():
    assert share_with(0.5, 0.05, 1000).high == pytest.approx(share_of(0.5, 100).high)
    assert share_with(0.5, 1e-9, 100).high == share_of(0.5, 100).high
    assert share_with(1.0, 0.0, 100).low == share_of(1.0, 100).low < 0.97


# --------------------------------------------------------------------------------------- neighbours


@pytest.mark.equation("support")
def test_neighbours_of_points_that_can_be_counted():
    """Real events 0, 1, ..., 19 on a line, samples beside the first.

    Balls reach 3 (k = 3), and 5, 4, 3, 3, ... (k = 5).
    """
    real, samples = torch.arange(20.0)[:, None], torch.tensor([[0.1], [0.2], [0.3], [0.4]])
    found = neighbours.support(real, samples)
    assert found["precision"] == 1.0
    assert found["recall"] == pytest.approx(1 / 20)  # only 0 lies in a ball of a sample
    assert found["density"] == pytest.approx(4 / 5)  # each lies in the balls of 0, 1, 2 and 3
    assert found["coverage"] == pytest.approx(4 / 20)


@pytest.mark.parametrize("k", [3, 5])
def test_neighbours_are_those_of_the_package_by_the_authors_of_density_and_coverage(
    digits, k, monkeypatch
):
    monkeypatch.setattr(neighbours, "NEAREST", k)
    monkeypatch.setattr(neighbours, "NEAREST_COVERED", k)
    net = digits_net()
    sets = {
        "clouds": (cloud(300, 8), cloud(250, 8, spread=1.2, shift=0.3)),
        "correlated": (correlated(200, 5), correlated(200, 5)),
        "digits-net": (net(digits.test.x), net(digits.train.x)),
    }
    for name, (real, samples) in sets.items():
        with redirect_stdout(StringIO()):  # it prints
            theirs = compute_prdc(real.double().numpy(), samples.double().numpy(), k)
        ours = neighbours.support(real.double(), samples.double())
        for what, value in ours.items():
            assert value == pytest.approx(theirs[what], abs=1e-9), (name, what)


def test_density_of_real_data_is_one_and_crowding_is_above():
    real, same, crowd = cloud(600, 8), cloud(600, 8), cloud(600, 8, spread=0.3)
    assert neighbours.support(real, same)["density"] == pytest.approx(1.0, abs=0.1)
    assert neighbours.support(real, crowd)["density"] > 1.1


def test_nearest_is_the_nearest():
    x, among = cloud(500, 3), cloud(300, 3)
    apart, which = neighbours.nearest(x, among)
    brute = (x[:, None] - among).square().sum(2).sqrt()
    assert torch.allclose(apart, brute.min(1).values, atol=1e-6) and torch.equal(
        which, brute.argmin(1)
    )
    assert neighbours.nearest(among, among)[0].max() == 0.0


def test_an_event_is_no_neighbour_of_its_own():
    x = cloud(300, 3)
    rows = torch.randperm(300)[:250]
    apart, which = neighbours.nearest(x[rows], x, own=rows)
    brute = (x[rows][:, None] - x).square().sum(2).sqrt()
    brute[torch.arange(250), rows] = torch.inf
    assert torch.allclose(apart, brute.min(1).values, atol=1e-6) and torch.equal(
        which, brute.argmin(1)
    )


def test_copying_knows_fresh_draws_copies_and_a_few_copies_among_many():
    train = cloud(1000, 4)
    held_out = neighbours.nearest(cloud(800, 4), train)[0]
    sets = {
        "fresh": cloud(800, 4),
        "copies": train[:800],
        "few": torch.cat([cloud(740, 4), train[:60]]),
    }
    found = {
        name: neighbours.copying(neighbours.nearest(x, train)[0], held_out)
        for name, x in sets.items()
    }
    fresh, few = found["fresh"], found["few"]
    assert fresh["copies"].low < 0.01 < fresh["copies"].high
    assert fresh["nearer"].value == pytest.approx(0.5, abs=0.05)
    assert found["copies"]["copies"].value == found["copies"]["nearer"].value == 1.0
    # which the share sees, and the mean rank does not
    assert few["copies"].low > 0.01 and few["nearer"].value < 0.6


def test_where_held_out_events_equal_training_events_nothing_is_called_a_copy():
    """On a coarse grid every event comes again: being equal is no evidence."""
    found = neighbours.copying(torch.zeros(50), torch.zeros(80))
    assert found["copies"].value == 0.0 and found["nearer"].value == 0.5


# --------------------------------------------------------------------------------------- digits-net


def test_digits_net_reads_digits_it_was_not_trained_on(digits):
    right = (read(digits.test.x) == digits.test.c).double().mean()
    assert right > 0.97
    assert not digits_net().training and not any(p.requires_grad for p in digits_net().parameters())


def test_both_sizes_come_into_one_frame(digits):
    small = framed(digits.test.x[:3])
    assert small.shape == (3, 1, 28, 28) and small.min() >= 0 and small.max() <= 1
    assert small[..., :4, :].abs().max() == 0 == small[..., :, -4:].abs().max()  # MNIST's margin
    large = torch.rand(2, 1, 28, 28) * 2 - 1
    assert torch.equal(framed(large), (large + 1) / 2)


def test_missing_weights_are_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("genzoo.data.images.digits_net.WEIGHTS", tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"nothing.safetensors.*experiments/digits_net.py"):
        digits_net.__wrapped__()


# ------------------------------------------------------------------------------------------- spaces


def images(*shape: int, n: int = 120, name: str = "mine") -> DataSet:
    train, validation, test = (Split(torch.rand(n, *shape) * 2 - 1) for _ in range(3))
    return DataSet(name, train, validation, test)


@pytest.mark.parametrize(
    ("shape", "width", "names"),
    [
        ((2,), 2, ("MMD²", "sliced W₁")),
        ((5,), 5, ("MMD²", "sliced W₁")),
        ((1, 3, 3), 9, ("FD (pixels)", "KID (pixels)")),
        ((1, 12, 12), 64, ("FD (pixels)", "KID (pixels)")),
    ],
    ids=str,
)
def test_what_is_compared_where(shape, width, names):
    space = spaces.space_of(images(*shape))
    assert (
        space.features(torch.rand(7, *shape)).shape == (7, width)
        and tuple(space.distances) == names
    )


def test_digits_are_seen_by_digits_net_and_nothing_else_is(digits):
    assert tuple(spaces.space_of(digits).distances) == ("FD (digits-net)", "KID (digits-net)")
    assert spaces.space_of(replace(digits, feature_space=None)).name == "pixels"
    # a folder of that name
    assert spaces.space_of(images(1, 16, 16, name="digits")).name == "pixels"


def test_colour_without_inception_s_weights_says_so_and_goes_on():
    try:
        spaces.inception()
    except InputError as error:
        assert "install torch-fidelity" in str(error)
        space = spaces.space_of(images(3, 8, 8))
        assert space.name == "pixels" and "torch-fidelity" in space.about
    else:
        pytest.skip("Inception's weights are here")


def test_colour_with_inception_s_weights_is_fid_over_bytes(monkeypatch):
    """A stand-in for the network, whose weights a test cannot have.

    What it is given, and what the distances are called.
    """
    given = []

    def net(pixels: Tensor) -> Tensor:
        given.append(pixels)
        return pixels.float().flatten(1)

    monkeypatch.setattr("torchmetrics.image.fid.NoTrainInceptionV3", lambda name, features: net)
    x = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 3, 8, 8)
    space = spaces.inception.__wrapped__()
    assert tuple(space.distances) == ("FID", "KID") and space.features(x).shape == (3, 192)
    assert given[0].dtype == torch.uint8 and given[0].flatten(1).float().mean(1).tolist() == [
        0.0,
        127.0,
        255.0,
    ]


def test_principal_components_keep_the_distances_that_matter():
    """Images of few dimensions are as far apart in these as in their pixels."""
    basis = torch.randn(10, 144)
    x = (torch.randn(200, 10) @ basis).view(200, 1, 12, 12)
    features = spaces.pixels(DataSet("flat", Split(x), Split(x), Split(x))).features(x[:50])
    assert torch.allclose(torch.pdist(features), torch.pdist(x[:50].flatten(1)), rtol=1e-3)


# ----------------------------------------------------------------------------------- planted faults


def figures(x: Tensor, data: DataSet, most: int = 2000) -> dict[str, float]:
    return {
        name: figure["value"]
        for name, figure in quality.score_samples(x, data, most)["figures"].items()
    }


def test_samples_are_held_against_events_that_chose_no_weights(digits):
    """Unless these are few: then validation events join them, and the table says so."""
    assert torch.equal(quality.unseen(digits)[0].x, digits.test.x)
    assert quality.reference(digits).about == "447 of 447 test events"
    few = DataSet("few", *[Split(torch.randn(m, 2)) for m in (300, 100, 200)])
    assert "validation and test" in quality.reference(few).about and quality.reference(few).n == 300


@pytest.fixture(scope="module")
def real(digits) -> dict[str, float]:
    """The floor: training digits held against held-out ones."""
    return {name: figure.value for name, figure in quality.reference(digits).floor.items()}


def some(x: Tensor, n: int = 447) -> Tensor:
    return x[torch.randint(len(x), (n,))] if len(x) < n else x[torch.randperm(len(x))[:n]]


def test_identical_sets_are_at_distance_zero(digits):
    found = figures(digits.test.x, digits)
    assert abs(found["FD (digits-net)"]) < 1e-6 and found["KID (digits-net)"] <= 0
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0
    assert found["copies"] == pytest.approx(0.01, abs=0.015) and found["nearer"] == pytest.approx(
        0.5, abs=0.03
    )


def test_memorised_training_data_has_the_floor_and_is_caught(digits, real):
    found = figures(some(digits.train.x), digits)
    for name in ("precision", "recall", "density", "coverage"):
        assert found[name] == pytest.approx(real[name], abs=0.08)
    assert found["FD (digits-net)"] < 1.5 * real["FD (digits-net)"]
    assert found["copies"] == 1.0 and found["nearer"] > 0.99
    few = torch.cat([digits.test.x[:380], some(digits.train.x, 67)])
    assert figures(few, digits)["copies"] > 0.1 > real["copies"]


def test_what_real_data_copies_is_what_training_events_do_to_each_other():
    """Not 1 % by construction.

    Where half of the training events come twice, half of them have a twin.
    """
    x = torch.randn(600, 3)
    train = torch.cat([x[:400], x[:200]])
    data = DataSet("twins", Split(train), Split(torch.randn(400, 3)), Split(torch.randn(400, 3)))
    copies = quality.reference(data).floor["copies"]
    assert copies.low < 2 / 3 < copies.high and copies.low > 0.5


def test_samples_spread_too_widely_have_more_recall_than_real_data_and_less_precision():
    data = DataSet("cloud", *[Split(torch.randn(m, 6)) for m in (800, 400, 400)])
    floor = {name: figure.value for name, figure in quality.reference(data).floor.items()}
    found = figures(1.4 * torch.randn(400, 6), data)
    assert (
        found["recall"] > floor["recall"] + 0.03 and found["precision"] < floor["precision"] - 0.2
    )


# --------------------------------------------------------------------------------------------- tins


@pytest.fixture(scope="module")
def tins() -> DataSet:
    return biscuits.biscuits(train=2000, validation=400, test=600)


def test_a_real_tin_has_the_noise_of_one(tins):
    scores = biscuits.noise_score(torch.cat([tins.train.x, tins.test.x])).double()
    assert abs(scores.mean()) < 4 * scores.std() / len(
        scores
    ) ** 0.5 and scores.std() == pytest.approx(1, abs=0.05)
    assert (scores.abs() > biscuits.NO_TIN).double().mean() == pytest.approx(0.011, abs=0.006)


def test_a_gaussian_with_the_right_moments_beats_no_picture_of_tins_where_tins_are_compared(tins):
    """Held against real pictures of low tins alone.

    By FD (pixels) it is the better model by far.
    """
    gaussian = next(baseline for baseline in fitted(tins) if isinstance(baseline, Gaussian)).sample(
        600
    )
    low = some(tins.train.x[tins.train.c[:, 0] < 0], 600)
    in_pixels = spaces.pixels(tins)
    blends, pictures = (
        distances.frechet(in_pixels.features(tins.test.x), in_pixels.features(x))
        for x in (gaussian, low)
    )
    assert blends < 0.5 * pictures

    blends, pictures = figures(gaussian, tins), figures(low, tins)
    assert blends["no tin"] > 0.99 and pictures["no tin"] < 0.05
    assert blends["TV (tins)"] > pictures["TV (tins)"] + 0.3
    assert blends["precision"] < 0.01 and pictures["precision"] > 0.5


def test_missing_tins_show_in_the_distance_though_each_sample_is_a_tin(tins):
    low = tins.train.x[tins.train.c[:, 0] < 0]
    found, real = figures(some(low, 600), tins), quality.reference(tins).floor
    assert found["no tin"] < 0.05 and found["TV (tins)"] > real["TV (tins)"].value + 0.3
    assert found["TV (tins)"] == pytest.approx(0.5, abs=0.12)


def test_copies_of_tins_are_told_by_their_pixels_and_not_by_their_sizes(tins):
    """Of a hundred tins of one size and equally usual noise, none is the twin of another."""
    found = figures(torch.cat([tins.test.x[:540], tins.train.x[:60]]), tins)
    assert found["copies"] == pytest.approx(0.1, abs=0.03)
    mine, theirs = quality.closest(tins.train.x[5:8], tins, n=3)
    assert torch.equal(mine, theirs)


# ------------------------------------------------------------------------------ more planted faults


def test_dropped_modes_show_in_recall_and_coverage_and_not_in_precision(digits, real):
    found = figures(some(digits.train.x[digits.train.c < 5]), digits)
    assert found["recall"] < 0.6 * real["recall"] and found["coverage"] < 0.7 * real["coverage"]
    assert found["precision"] > 0.85 * real["precision"]
    assert (
        found["FD (digits-net)"] > 5 * real["FD (digits-net)"]
        and found["KID (digits-net)"] > real["KID (digits-net)"]
    )


def test_blur_shows_in_precision_and_density(digits, real):
    blurred = F.avg_pool2d(F.pad(digits.train.x, [1] * 4, value=-1.0), 3, stride=1)
    found = figures(some(blurred), digits)
    assert found["precision"] < 0.5 * real["precision"] and found["density"] < 0.5 * real["density"]
    assert found["FD (digits-net)"] > 5 * real["FD (digits-net)"]


def test_points_far_from_the_truth_are_farther():
    data = load("gaussians")
    near, far = (figures(some(data.train.x, 400) + shift, data, 400) for shift in (0.0, 1.0))
    assert far["MMD²"] > 10 * abs(near["MMD²"]) and far["sliced W₁"] > 3 * near["sliced W₁"]
    assert far["precision"] < near["precision"]


# -------------------------------------------------------------------------- the entry and its table


class Coin:
    """Samples that are told their condition, and remembers what it was asked."""

    condition = 10

    def __init__(self):
        self.asked: list[Tensor] = []

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        assert c is not None and len(c) == n
        self.asked.append(c)
        return torch.rand(n, 1, 8, 8) * 2 - 1


def test_a_conditional_model_is_asked_for_the_conditions_of_the_reference(digits, tmp_path):
    model, said = Coin(), []
    entry = quality.measure(
        model, digits, quality.MOST["quick"], tmp_path, lambda *progress: said.append(progress)
    )
    asked = torch.cat(model.asked)
    assert torch.equal(asked, quality.reference(digits, 400).conditions) and entry["n"] == 400
    assert said[-1] == (400, 400, "drawing samples") and len(said) == 4
    with np.load(tmp_path / quality.SAMPLES) as file:
        assert file["x"].shape == (400, 1, 8, 8)
    again = quality.measure(Coin(), digits, quality.MOST["quick"])
    assert again["figures"] == entry["figures"] and json.dumps(entry, allow_nan=False)


@pytest.mark.parametrize("n", [60, 200, 500])
def test_any_number_of_samples_is_held_against_as_many_events(n):
    data = DataSet("points", *[Split(torch.randn(m, 2)) for m in (300, 100, 100)])
    entry = quality.score_samples(torch.randn(n, 2), data)
    assert entry["n"] == min(n, 200) and entry["reference"].startswith(f"{min(n, 200)} of 200")
    assert entry["figures"].keys() == entry["floor"].keys()


def test_the_reference_is_made_once(digits):
    assert quality.reference(digits, 100) is quality.reference(digits, 100)
    assert quality.reference(digits, 100).n == 100 and quality.reference(digits).n == 447


def test_samples_that_are_no_numbers_get_a_reason_and_no_figures(digits):
    x = digits.train.x[:100].clone()
    x[3] = math.nan
    entry = quality.score_samples(x, digits, 100)
    assert entry["figures"] == {} and entry["reason"] == "1 of 100 samples are not finite"
    table = quality_table({"Flow": [from_plain(Quality, entry)]})
    assert table is not None and set(table.lines[1].cells[1:]) == {"—"}
    assert any("1 of 100" in sentence for sentence in table.legend)


@pytest.mark.parametrize("n", [3, 10, 25])
def test_few_events_are_judged_or_it_is_said_why_not(n):
    data = images(1, 4, 4, n=n)
    entry = quality.score_samples(torch.rand(2 * n, 1, 4, 4), data)
    assert bool(entry["figures"]) == bool(entry["floor"]) == (n == 25)
    assert ("reason" in entry) == (n < 25) and json.dumps(entry, allow_nan=False)
    assert quality_table({"VAE": [from_plain(Quality, entry)]}) is not None


def test_points_that_are_all_the_same_break_nothing():
    same = Split(torch.zeros(50, 2))
    entry = quality.score_samples(torch.zeros(50, 2), DataSet("still", same, same, same))
    assert (
        entry["figures"]["MMD²"]["value"] == pytest.approx(0.0, abs=1e-9)
        and entry["figures"]["precision"]["value"] == 1.0
    )


def test_the_samples_nearest_to_training_events_come_with_these(digits):
    x = torch.cat([digits.test.x[:50], digits.train.x[7:9]])
    mine, theirs = quality.closest(x, digits, n=2)
    assert torch.equal(mine, theirs) and {tuple(e.flatten().tolist()) for e in mine} == {
        tuple(e.flatten().tolist()) for e in digits.train.x[7:9]
    }


def judged(distance: float, n: int = 100) -> Quality:
    """Samples at such a distance from real ones."""
    figures = {name: share_of(0.5, 100) for name in OTHERS}
    floor = {name: share_of(0.9, 100) for name in OTHERS}
    figures = {"FD (mine)": Figure(distance, 0.2), **figures, "density": Figure(0.5, 0.05)}
    floor = {"FD (mine)": Figure(1.0, 0.1), **floor, "density": Figure(1.0, 0.05)}
    return Quality("mine", "a space", n, "9 events", figures, floor)


def test_the_table_begins_with_real_data_and_ranks_nobody_by_a_distance():
    models = {"VAE": [judged(4.0), judged(4.3)], "GAN": [judged(2.0)]}
    table = quality_table(models, {"Gaussian": [judged(0.5)]})
    assert table is not None
    assert [line.cells[0] for line in table.lines] == ["Real data", "VAE", "GAN", "Gaussian"]
    assert [line.muted for line in table.lines] == [True, False, False, True]
    shares = "50 % [40–60] | 50 % [40–60] | 0.50 ± 0.05 | 50 % [40–60] | 50 % [40–60]"
    assert f"| **GAN** | 2.00 ± 0.20 | {shares} |" in table.markdown()
    both = combine([Figure(4.0, 0.2), Figure(4.3, 0.2)], shared=False)
    assert table.lines[1].cells[1] == f"4.15 ± {both.stderr:.2f}"
    assert any("9 events" in sentence for sentence in table.legend)
    assert quality_table({}) is None


def test_no_cell_with_a_number_is_without_its_error():
    table = quality_table({"VAE": [judged(4.0)], "GAN": [judged(2.0)]}, {"Gaussian": [judged(9.0)]})
    assert table is not None
    assert all("±" in cell or "[" in cell for line in table.lines for cell in line.cells[1:])


def test_n_is_a_column_where_rows_differ():
    table = quality_table({"GAN": [judged(2.0)], "VAE": [judged(4.0, n=50)]})
    assert table is not None and table.headers[1] == "n"
    assert [line.cells[1] for line in table.lines] == ["100", "100", "50"]
    alike = quality_table({"GAN": [judged(2.0)], "VAE": [judged(4.0)]})
    assert alike is not None and "n" not in alike.headers


def test_what_was_not_measured_of_real_data_is_a_dash_with_its_reason():
    old = judged(4.0)
    unknown = Figure(reason="not measured when these samples were judged")
    table = quality_table({"VAE": [replace(old, floor={**old.floor, "copies": unknown})]})
    assert table is not None
    real, vae = (dict(zip(table.headers, line.cells, strict=True)) for line in table.lines)
    assert vae["precision"] == "50 % [40–60]" and real["copies"] == "—"
    assert any("not measured" in sentence for sentence in table.legend)


def test_no_zero_has_a_minus_in_front():
    table = quality_table({"Flow": [judged(-0.001)]})
    assert table is not None and table.lines[1].cells[1] == "0.00 ± 0.20"


# -------------------------------------------------------------------------------------------- cells


def test_figures_have_as_many_digits_as_they_are_worth():
    assert percent(share_of(0.54, 400)) == "54 % [49–59]"
    assert percent(share_of(1.0, 250)) == "100.0 % [98.5–100.0]"
    assert percent(Figure(0.5, 0.4, -0.3, 1.3)) == "50 % [0–100]"
    assert percent(Figure(0.5)) == "50 %" and percent(Figure()) == number(Figure()) == "—"
    assert number(Figure(10.13, 2.21), digits_for([Figure(10.13, 2.21)])) == "10.1 ± 2.2"
    assert number(Figure(0.3, 0.1), 2, signed=True) == "+0.30 ± 0.10"
