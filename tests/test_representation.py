"""Latents, probes and steps, on models whose latents are known in closed form."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genzoo import FAMILIES, GAN, VAE, Autoregressive, Diffusion, Energy, Flow, Latent
from genzoo.benchmark.codec import from_plain
from genzoo.benchmark.report.knowledge_tables import representation_table
from genzoo.benchmark.tins import taller
from genzoo.data import DataSet, Split
from genzoo.data.synthetic import biscuits
from genzoo.errors import InputError
from genzoo.evaluation import representation
from genzoo.evaluation.figures import mean, root
from genzoo.evaluation.representation import (
    best_pair,
    latent_map,
    latent_step,
    linear_probe,
    r_squared,
    r_squared_error,
    round_trip,
)
from genzoo.evaluation.results import Representation
from genzoo.model import GenerativeModel, slerp


class Turned(GenerativeModel):
    """A rotation of the data as its latent: the exact inverse is known."""

    latent = Latent.EXACT

    def __init__(
        self, event_shape: tuple[int, ...], loss: float = 0.0, levels: int = 0, condition: int = 0
    ):
        super().__init__(event_shape, condition, levels)
        self.latent_shape, self.loss_ = (self.dims,), loss
        self.turn = torch.linalg.qr(torch.randn(self.dims, self.dims)).Q

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return self.decode(torch.randn(n, self.dims))

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return x.flatten(1) @ self.turn

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return (1 - self.loss_) * (z @ self.turn.T).view(-1, *self.event_shape)


def described(n: int = 600, dims: int = 4) -> DataSet:
    """Events that a linear map of (height, width) gives, and noise of a hundredth."""
    mix = torch.randn(2, dims)
    c = torch.rand(3, n, 2) * 2 - 1
    splits = [Split(part @ mix + 0.01 * torch.randn(n, dims), part) for part in c]
    return DataSet("described", *splits, condition=2, features=("first", "second"))


def blobs(n: int = 300, apart: float = 6.0) -> DataSet:
    """Three classes of points, ``apart`` standard deviations from one another on a circle."""
    angle = torch.arange(3) * 2 * math.pi / 3
    centres = apart * torch.stack([angle.cos(), angle.sin()], 1)
    labels = torch.randint(3, (3, n))
    splits = [Split(centres[c] + torch.randn(n, 2), c) for c in labels]
    return DataSet("blobs", *splits, condition=3, classes=("a", "b", "c"))


# ---------------------------------------------------------------------------------------- the verbs


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_declares_a_latent_has_one_and_no_other_has(family):
    model = family((1, 4, 4), width=8).eval()
    x = 0.5 * torch.randn(2, 1, 4, 4)
    if model.latent == Latent.NONE:
        for verb in (model.encode, model.decode, model.reconstruct):
            with pytest.raises(NotImplementedError, match=family.__name__):
                verb(x)
        with pytest.raises(NotImplementedError):
            model.interpolate(x, x)
    else:
        assert model.encode(x).shape == (2, *model.latent_shape)
        assert model.reconstruct(x).shape == x.shape
        assert model.interpolate(x, x.flip(0), steps=3).shape == (2, 3, 1, 4, 4)


def test_the_declarations_are_those_of_the_lecture():
    kinds = {
        family: family.latent for family in (Autoregressive, Flow, VAE, Energy, Diffusion, GAN)
    }
    assert [str(kind) for kind in kinds.values()] == [
        "none",
        "exact",
        "approximate",
        "none",
        "exact",
        "optimised",
    ]


def test_a_great_circle_keeps_its_radius_and_meets_both_ends():
    z1, z2 = (torch.nn.functional.normalize(torch.randn(5, 12), dim=1) for _ in range(2))
    angle = (z1 * z2).sum(1).acos()
    for t in (0.0, 0.25, 0.5, 1.0):
        z = slerp(z1, z2, t)
        torch.testing.assert_close(z.norm(dim=1), torch.ones(5))
        torch.testing.assert_close(
            (z * z1).sum(1).clamp(-1, 1).acos(), t * angle, atol=1e-3, rtol=0
        )
    torch.testing.assert_close(slerp(z1, z2, 0.0), z1)
    torch.testing.assert_close(slerp(z1, z2, 1.0), z2)


def test_where_there_is_no_one_circle_the_way_is_straight():
    z = torch.randn(3, 2, 4)
    torch.testing.assert_close(slerp(z, 3 * z, 0.5), 2 * z)
    torch.testing.assert_close(slerp(z, -z, 0.25), 0.5 * z)
    assert slerp(torch.zeros(2, 4), torch.ones(2, 4), 0.5).isfinite().all()


def test_interpolation_begins_and_ends_with_the_reconstructions():
    model = Turned((3,), loss=0.1)
    x1, x2 = torch.randn(4, 3), torch.randn(4, 3)
    way = model.interpolate(x1, x2, steps=5)
    assert way.shape == (4, 5, 3)
    torch.testing.assert_close(way[:, 0], model.reconstruct(x1))
    torch.testing.assert_close(way[:, -1], model.reconstruct(x2))


def test_a_gan_finds_the_latent_of_what_it_made_itself():
    """The search solves the problem it states.

    No draw of z explains the event nearly as well, under inference mode too.
    """
    model = GAN((1, 4, 4), condition=3, latent_shape=(4,), width=16).eval()
    with torch.no_grad():
        model.generator.head.weight.mul_(5)
    c = torch.tensor([0, 1, 2])
    x = model.decode(torch.randn(3, 4), c).detach()
    with torch.inference_mode():
        z = model.encode(x.clone(), c)
        others = (
            torch.stack([model.mismatch(torch.randn(3, 4), x, c, 0.1) for _ in range(200)])
            .min(0)
            .values
        )
        assert (model.mismatch(z, x, c, 0.1) < others).all()
        assert (model.decode(z, c) - x).square().mean() < 0.01 * (x - x.mean(0)).square().mean()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_rows_that_no_condition_enters_and_that_tell_events_apart(family):
    for shape in ((1, 8, 8), (3, 5, 6), (5,)):
        model = family(shape, condition=3).eval()
        x = 0.5 * torch.randn(2, *shape)
        with torch.no_grad():
            features = model.features(x)
        assert features.dim() == 2 and len(features) == 2 and features.isfinite().all()
        assert not torch.allclose(features[0], features[1])


def test_autoregressive_features_are_those_the_conditionals_are_made_of():
    """Averaged over a grid with one cell a position, the head reads what `conditionals` reads."""
    model = Autoregressive((1, 4, 4), width=8, depth=2).eval()
    x = torch.randn(3, 1, 4, 4)
    r = torch.zeros(3, dtype=torch.long)
    h = model.features(x).view(3, 8, 4, 4)
    expected = model.conditional(model.network.head(h).flatten(2).mT).log_prob(x.flatten(1))
    torch.testing.assert_close(
        model.conditionals(x.flatten(1), None, r).log_prob(x.flatten(1)), expected
    )


# -------------------------------------------------------------------------------- probes and errors


def test_a_round_trip_is_measured_in_shares_of_the_spread():
    data = described()
    exact, halved = Turned((4,)), Turned((4,), loss=0.5)
    assert round_trip(exact, data)["value"] < 1e-5
    x = data.test.x[:64]
    spread = (data.train.x - data.train.x.mean(0)).square().mean()
    found = round_trip(halved, data)
    assert found["value"] == pytest.approx(
        ((0.5 * x).square().mean() / spread).sqrt().item(), rel=1e-4
    )
    assert found["kind"] == "exact" and 0 < found["stderr"] < 0.2 * found["value"]


def test_a_probe_reads_what_is_linear_and_says_so_of_pixels_as_well():
    data, model = described(), Turned((4,))
    for source in representation.SOURCES:
        found = linear_probe(model, data, source)
        assert set(found["r2"]) == {"first", "second"} and found["width"] == 4
        assert all(0.99 < explained["value"] <= 1 for explained in found["r2"].values())


def test_a_probe_does_not_read_what_is_not_there():
    data = described()
    noise = [
        Split(torch.randn_like(split.x), split.c)
        for split in (data.train, data.validation, data.test)
    ]
    found = linear_probe(
        Turned((4,)), DataSet("noise", *noise, condition=2, features=data.features)
    )
    assert all(abs(explained["value"]) < 0.05 for explained in found["r2"].values())


def test_classes_apart_are_told_apart_up_to_the_error_of_the_best_rule():
    model = Turned((2,))
    far, mixed = (linear_probe(model, blobs(apart=apart)) for apart in (6.0, 0.0))
    assert far["accuracy"]["value"] > 0.99
    assert abs(mixed["accuracy"]["value"] - 1 / 3) < 4 * mixed["accuracy"]["stderr"] + 0.03


def test_the_best_pair_is_the_one_that_was_planted():
    c = torch.rand(3, 400, 2)
    splits = [
        Split(torch.cat([torch.randn(400, 3), part], 1)[:, [0, 3, 1, 4, 2]], part) for part in c
    ]
    model = Turned((5,))
    model.turn = torch.eye(5)
    found = best_pair(model, DataSet("planted", *splits, condition=2, features=("a", "b")))
    assert found["dimensions"] == [1, 3]
    assert min(explained["value"] for explained in found["r2"].values()) > 0.999


def test_r_squared_is_one_of_the_truth_and_zero_of_the_mean():
    c = np.random.randn(50, 2)
    np.testing.assert_allclose(r_squared(c, c), 1)
    np.testing.assert_allclose(r_squared(np.broadcast_to(c.mean(0), c.shape), c), 0, atol=1e-12)


@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_the_error_of_r_squared_holds(noise):
    """Predictions that miss by as much, over test events drawn afresh.

    1.96 errors hold the true share in 95 % of cases.
    """
    truth = 1 - noise**2 / (1 + noise**2)
    c = np.random.randn(300, 2000)
    events = c + noise * np.random.randn(300, 2000)
    predicted = truth * events  # the best linear reading of c
    off = np.abs(r_squared(predicted, c) - truth)
    assert 0.92 < np.mean(off < 1.96 * r_squared_error(predicted, c)) < 0.98


def test_the_error_of_a_round_trip_holds():
    square = np.random.gamma(2.0, 0.5, (2000, 64))
    found = [root(mean(torch.from_numpy(events))) for events in square]
    assert (
        0.92 < np.mean([abs(figure.value - 1.0) < 1.96 * figure.stderr for figure in found]) < 0.98
    )


def test_what_does_not_vary_cannot_be_read_and_costs_no_run_its_row():
    constant = np.ones((9, 1))
    assert np.isnan(r_squared(constant, constant)).all()
    x, c = torch.randn(3, 30, 4), torch.randn(3, 30, 2) * torch.tensor([1.0, 0.0])
    half = DataSet("half", *map(Split, x, c), condition=2, features=("a", "b"))
    assert list(linear_probe(Turned((4,)), half)["r2"]) == ["a"]
    alike = DataSet(
        "alike",
        *map(Split, x, torch.zeros(3, 30, dtype=torch.long)),
        condition=1,
        classes=("only",),
    )
    with pytest.raises(InputError, match="alike"):
        linear_probe(Turned((4,)), alike)
    single = DataSet(
        "single",
        half.train,
        half.validation,
        Split(x[2, :1], c[2, :1]),
        condition=2,
        features=("a", "b"),
    )
    for data in (half, alike, single):
        entry = representation.representation(Turned((4,)), data)
        assert json.dumps(entry, allow_nan=False)
        known = from_plain(Representation, entry)
        assert representation_table({"Turned": [known]}) is not None


def test_the_step_is_predicted_to_do_what_was_asked_and_is_the_least_unusual_such_step():
    z = np.random.randn(3000, 5) @ np.random.randn(5, 5)
    weights = np.random.randn(5, 2)
    change = np.array([0.7, -0.2])
    step = latent_step(z, z @ weights, change)
    np.testing.assert_allclose(step @ weights, change, rtol=1e-2, atol=1e-2)
    precision = np.linalg.inv(np.cov(z, rowvar=False))
    free = np.linalg.svd(weights.T)[2][2:]  # steps that change nothing a probe reads
    for other in free:
        assert abs(step @ precision @ other) < 0.05 * abs(step @ precision @ step) ** 0.5


def test_the_step_follows_what_makes_events_and_not_the_weights_that_read_them():
    """Two latents share a disturbance.

    The reader must subtract it, but to change the cause is to move the first alone.
    """
    cause, disturbance = np.random.randn(2, 4000, 1)
    z = np.concatenate([cause + disturbance, disturbance], 1) + 1e-2 * np.random.randn(4000, 2)
    step = latent_step(z, cause, np.array([1.0]))
    np.testing.assert_allclose(step, [1, 0], atol=0.05)


def test_tins_grow_as_asked_in_a_model_that_knows_nothing_but_height_and_width():
    data = biscuits.biscuits(train=1500, validation=10, test=200)

    class Tins(GenerativeModel):
        latent, latent_shape = Latent.EXACT, (2,)

        def sample(self, n: int, c: Tensor | None = None) -> Tensor:
            return self.decode(torch.rand(n, 2))

        def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
            return torch.stack(biscuits.measure(x), 1).float() @ torch.tensor(
                [[1.0, 2.0], [-1.0, 1.0]]
            )

        def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
            return (
                2
                * biscuits.draw(*(z @ torch.tensor([[1.0, 2.0], [-1.0, 1.0]]).inverse()).unbind(1))
                - 1
            )

    for asked in (1.0, 2.0):
        found = taller(Tins((1, 16, 16)), data, asked, n=100)
        assert found["asked"] == asked
        assert abs(found["height"]["value"] - asked) < 0.1
        assert found["width_moved"]["value"] < 0.1


def test_what_cannot_be_asked_is_refused_in_a_sentence():
    data, model = described(), Turned((4,))
    bare = DataSet("bare", *[Split(torch.randn(20, 4))] * 3)
    with pytest.raises(InputError, match="Did you mean 'latent'"):
        linear_probe(model, data, "latents")
    with pytest.raises(InputError, match="bare"):
        linear_probe(model, bare)
    with pytest.raises(InputError, match="described"):
        taller(model, data)
    with pytest.raises(InputError, match="Energy"):
        round_trip(Energy((4,)), data)
    with pytest.raises(InputError, match="blobs"):
        best_pair(Turned((2,)), blobs())


def test_the_map_of_one_dimension_is_a_line():
    places, _ = latent_map(VAE((4,), latent_shape=(1,), width=8), described(), n=20)
    assert places.shape == (20, 2) and (places[:, 1] == 0).all()


def test_the_map_shows_the_plane_of_greatest_variance():
    data, model = described(), Turned((4,))
    places, known = latent_map(model, data, n=300)
    assert places.shape == (300, 2) and known.shape == (300, 2)
    x = data.test.some(300).x
    # the data is a plane and 1 % noise
    assert places.var() * 2 == pytest.approx(x.var(0, correction=0).sum().item(), rel=1e-3)


def test_the_entry_of_a_row_is_complete_for_every_kind_of_latent():
    data = blobs(60)
    for model in (
        Turned((2,)),
        VAE((2,), latent_shape=(3,), width=8),
        Energy((2,), width=8, buffer=16),
    ):
        entry = representation.representation(model, data)
        assert entry["latent"] == str(model.latent)
        assert {"accuracy", "width"} == set(entry["features"]) == set(entry["pixels"])
        assert (
            (entry["encoded"] is None)
            == (entry["round_trip"] is None)
            == (model.latent == Latent.NONE)
        )
    bare = DataSet("bare", *[Split(torch.randn(70, 2))] * 3)
    assert representation.representation(Turned((2,)), bare)["features"] is None


def test_a_denoiser_is_asked_at_the_level_it_is_told():
    model = Diffusion((1, 8, 8), width=8, levels=17).eval()
    x = torch.zeros(4, 1, 8, 8)
    with torch.no_grad():
        torch.nn.init.normal_(model.network.head.weight)  # type: ignore[union-attr]
        clean, noisy = model.features(x, log_snr=9.0), model.features(x, log_snr=-5.0)
    # nearly no noise is left to tell equal events apart
    assert clean.var(0).mean() < 0.1 * noisy.var(0).mean()
