"""Conditions kept and conditions ignored, by models that do the one or the other on purpose."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genzoo import GAN, VAE, Diffusion, Energy
from genzoo.data import DataSet, Split
from genzoo.data.scenes.scene import scenes
from genzoo.data.synthetic import biscuits
from genzoo.errors import InputError
from genzoo.evaluation.figures import share_of
from genzoo.evaluation.samples.conditional import (
    check_guidance,
    class_accuracy,
    class_coverage,
    classification_accuracy_score,
    condition_errors,
    condition_fidelity,
    draw,
    fit_classifier,
    guidance_sweep,
)
from genzoo.model import GenerativeModel

CLASSES = 3


def blobs(n: int = 240, apart: float = 12.0) -> DataSet:
    """Three classes of unit Gaussians, ``apart`` from the middle."""
    splits = [
        Split(centres(c, apart) + torch.randn(n, 2), c) for c in torch.randint(CLASSES, (3, n))
    ]
    return DataSet("blobs", *splits, condition=CLASSES, classes=("a", "b", "c"))


def centres(labels: Tensor, apart: float = 12.0) -> Tensor:
    angle = labels * 2 * math.pi / CLASSES
    return apart * torch.stack([angle.cos(), angle.sin()], 1)


class Blobs(GenerativeModel):
    """The truth about `blobs`, but for a ``share`` of samples of the wrong class.

    Guidance divides their spread.
    """

    def __init__(self, share: float = 0.0, spread: float = 1.0, condition: int = CLASSES):
        super().__init__((2,), condition)
        self.share, self.spread = share, spread

    guidable = True

    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        labels = torch.randint(CLASSES, (n,)) if c is None or guidance == 0 else c
        wrong = torch.rand(n) < self.share
        labels = torch.where(wrong, (labels + 1) % CLASSES, labels)
        return centres(labels) + self.spread / max(1.0, guidance) * torch.randn(n, 2)


class Tins(GenerativeModel):
    """Real tins, ``taller`` by so many pixels than was asked for."""

    def __init__(self, taller: int = 0):
        super().__init__((1, 16, 16), 2, biscuits.LEVELS)
        self.taller = taller

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        height, width = biscuits.sizes(c).long().unbind(1)  # type: ignore[arg-type]
        return biscuits.photograph((height + self.taller).clamp(max=biscuits.HEIGHTS[-1]), width)


def test_the_judge_is_as_good_as_the_classes_are_apart_and_knows_the_training_split_alone():
    data = blobs()
    assert (fit_classifier(data)(data.test.x) == data.test.c.numpy()).mean() > 0.99  # type: ignore[union-attr]
    shuffled = data.train.c[torch.randperm(len(data.train))]  # type: ignore[index]
    confused = fit_classifier(
        DataSet(
            "shuffled",
            Split(data.train.x, shuffled),
            data.validation,
            data.test,
            classes=data.classes,
        )
    )
    assert (confused(data.test.x) == data.test.c.numpy()).mean() < 0.6  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_accuracy_is_the_share_of_samples_of_the_class_asked_for(share):
    found = class_accuracy(Blobs(share), blobs(), each=80)
    assert abs(found["accuracy"]["value"] - (1 - share)) < 4 * max(
        found["accuracy"]["stderr"], 0.01
    )
    assert found["judge"]["value"] > 0.99
    mean = sum(of_class["value"] for of_class in found["per_class"].values()) / CLASSES
    assert mean == pytest.approx(found["accuracy"]["value"])
    assert sum(part["value"] for part in found["unconditional"].values()) == pytest.approx(1)
    assert all(0.15 < part["value"] < 0.55 for part in found["unconditional"].values())


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_classifier_fitted_on_samples_names_real_events_as_well_as_samples_are_named(share):
    found = class_accuracy(Blobs(share), blobs(), each=80)
    assert found["cas_real"]["value"] > 0.99
    if share == 0.4:  # most samples are of the class asked for, and that is what is learned
        assert found["cas"]["value"] > 0.9
    else:
        assert found["cas"]["value"] == pytest.approx(1 - share, abs=0.01)


def test_samples_that_lack_a_part_of_their_class_teach_less_than_real_events():
    """Each class has two far apart halves, of which only one is drawn.

    The other lies beyond the next class.
    """
    c = torch.randint(2, (3, 400))
    side = torch.randint(2, (3, 400))
    x = torch.stack([(8.0 * c + 16.0 * side)[..., None] + torch.randn(3, 400, 1)], -1).flatten(2)
    data = DataSet("halves", *map(Split, x, c), condition=2, classes=("a", "b"))
    one = side[0] == 0
    partial = classification_accuracy_score(data, x[0][one], c[0][one])
    real = classification_accuracy_score(data, x[0], c[0])
    assert partial is not None and real is not None and partial.value < 0.85 < 0.95 < real.value


def test_a_classifier_cannot_be_fitted_on_samples_of_one_class_or_of_none():
    data = blobs()
    assert (
        classification_accuracy_score(data, torch.zeros(5, 2), torch.zeros(5, dtype=torch.long))
        is None
    )
    assert (
        classification_accuracy_score(data, torch.full((9, 2), math.nan), torch.arange(9) % 3)
        is None
    )


def test_coverage_of_classes_has_an_interval_that_holds(monkeypatch):
    """Events and samples are drawn afresh, so the truth is the mean over trials.

    The events alone would seem surer.
    """
    monkeypatch.setattr("genzoo.evaluation.samples.conditional.HALVES", 20)
    found, counted = [], 0
    for _ in range(150):
        data, samples = blobs(300), blobs(60).train
        found.append(class_coverage(data, samples.x, samples.c))  # type: ignore[arg-type]
    truth = np.mean([figure.value for figure in found])
    assert 0.92 <= np.mean([figure.low <= truth <= figure.high for figure in found]) <= 0.99
    for figure in found:
        alone = share_of(figure.value, figure.n)
        counted += alone.low <= truth <= alone.high
    assert counted / 150 < 0.92


def test_one_good_sample_over_and_over_is_accurate_and_covers_next_to_nothing():
    data = blobs()
    real, collapsed = (
        class_accuracy(Blobs(spread=spread), data, each=80) for spread in (1.0, 1e-3)
    )
    assert collapsed["accuracy"]["value"] == 1
    assert collapsed["coverage"]["value"] < 0.2 < 0.6 < real["coverage"]["value"]
    assert abs(real["coverage"]["value"] - real["coverage_real"]["value"]) < 0.12


def test_coverage_counts_events_of_the_same_class_only_and_a_set_covers_itself():
    data = blobs()
    x, c = data.held_out.x, data.held_out.c
    assert class_coverage(data, x, c).value == 1  # type: ignore[union-attr, arg-type]
    assert class_coverage(data, x, (c + 1) % CLASSES).value == 0  # type: ignore[union-attr, operator]


def test_to_have_learned_the_training_events_by_heart_covers_no_more_than_new_data_does():
    """A quarter of the events, by heart.

    Of training events themselves they would cover 0.15 more than new ones do.
    """
    data, fresh = blobs(1500), blobs(1500)
    by_heart, new = (
        class_coverage(data, from_.train.x, from_.train.c, each=125).value
        for from_ in (data, fresh)
    )  # type: ignore[union-attr, arg-type]
    assert abs(by_heart - new) < 0.08


def test_nothing_is_covered_where_nothing_is_held_out_of_a_class():
    data, bare = blobs(), Split(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))
    alone = DataSet(
        "alone",
        data.train,
        bare,
        Split(bare.x, bare.c + 1),
        condition=CLASSES,
        classes=data.classes,
    )
    assert class_coverage(alone, data.train.x, data.train.c) is None  # type: ignore[arg-type]


def test_a_class_without_events_is_neither_asked_for_nor_covered_and_one_class_is_none():
    data = blobs()
    x, c = data.train.x[data.train.c != 1], data.train.c[data.train.c != 1]  # type: ignore[index]
    found = class_accuracy(
        Blobs(), DataSet("gap", Split(x, c), data.validation, data.test, classes=data.classes)
    )
    assert list(found["per_class"]) == ["a", "c"] and found["accuracy"]["value"] > 0.99
    assert found["coverage"]["value"] > 0.5
    same = Split(x, torch.zeros(len(x), dtype=torch.long))
    single = DataSet("single", same, same, same, classes=("a",), condition=1)
    assert condition_fidelity(Blobs(condition=1), single) is None
    with pytest.raises(InputError, match="single"):
        fit_classifier(single)


def test_samples_that_are_no_numbers_are_of_no_class_and_cover_nothing():
    class Lost(Blobs):
        def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0) -> Tensor:
            return torch.full((n, 2), math.nan)

    found = class_accuracy(Lost(), blobs())
    assert found["accuracy"]["value"] == found["coverage"]["value"] == 0 and found["cas"] is None
    assert all(part["value"] == 0 for part in found["unconditional"].values())


def test_draws_are_the_same_for_a_seed_and_leave_the_random_state_alone():
    before = torch.random.get_rng_state()
    first, again, other = (draw(Blobs(), 5, None, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_sweep_shows_what_guidance_gains_and_loses():
    rows = guidance_sweep(Blobs(), blobs(), (0.0, 1.0, 4.0), each=60)
    assert [row["guidance"] for row in rows] == [0.0, 1.0, 4.0]
    ignored, plain, strong = rows
    assert ignored["accuracy"]["value"] < 0.6 < 0.95 < plain["accuracy"]["value"]
    assert plain["spread"] == pytest.approx(1, abs=0.15) and strong["spread"] == pytest.approx(
        0.25, abs=0.05
    )
    assert strong["coverage"]["value"] < plain["coverage"]["value"]


def test_what_can_be_guided_is_measured_with_and_without():
    entry = condition_fidelity(Blobs(), blobs())
    assert entry is not None and entry["guided"]["guidance"] == 2
    assert entry["guided"]["accuracy"]["value"] == pytest.approx(
        entry["accuracy"]["value"], abs=0.05
    )
    assert entry["guided"]["coverage"]["value"] < entry["coverage"]["value"]
    unguided = condition_fidelity(GAN((2,), condition=CLASSES, width=8), blobs())
    assert unguided is not None and unguided["guided"] is None


@pytest.mark.parametrize("taller", [0, 2])
def test_tins_are_measured_against_what_was_asked_for(taller):
    data = biscuits.biscuits(train=1, validation=1, test=100)
    found = condition_fidelity(Tins(taller), data)
    room = biscuits.HEIGHTS[-1] - biscuits.sizes(data.test.c)[:, 0]  # type: ignore[arg-type]
    assert found is not None
    assert found["height"]["value"] == pytest.approx(room.clamp(max=taller).mean().item(), abs=0.05)
    assert found["width"]["value"] < 0.05
    assert found["judge"]["value"] > 0.97
    assert (found["exact"]["value"] > 0.97) == (taller == 0)


def test_scenes_are_measured_by_the_same_function_as_tins_with_one_error_for_all_numbers():
    """Pictures drawn to the condition are read as it; shuffled ones are not, and real ones are."""
    data = scenes(train=1, validation=1, test=30)

    class Drawn(GenerativeModel):
        def __init__(self, shuffled: bool):
            super().__init__((3, 32, 32), data.condition, 256)
            self.rows = torch.randperm(30) if shuffled else torch.arange(30)

        def sample(self, n: int, c: Tensor | None = None) -> Tensor:
            return data.test.x[self.rows]

    found, lost = (condition_fidelity(Drawn(shuffled), data) for shuffled in (False, True))
    assert found is not None and lost is not None
    assert set(found) == {"error", "exact", "judge"}
    assert found["exact"] == found["judge"] and found["exact"]["value"] > 0.7
    assert lost["exact"]["value"] < 0.2 and lost["error"]["value"] > 2 * found["error"]["value"]


def test_sizes_undo_the_description():
    height, width = torch.tensor(list(biscuits.HEIGHTS)), torch.tensor(list(biscuits.WIDTHS)[:8])
    described = biscuits.describe(height, width)
    assert torch.equal(biscuits.sizes(described), torch.stack([height, width], 1).float())


def test_a_diffusion_model_can_be_guided_and_what_cannot_is_refused_in_a_sentence():
    check_guidance(Diffusion((2,), condition=3, width=8))
    with pytest.raises(InputError, match=r"GAN.*Diffusion"):
        check_guidance(GAN((2,), condition=3, width=8))
    with pytest.raises(InputError, match="unconditional"):
        check_guidance(Diffusion((2,), width=8))
    gan = GAN((2,), condition=3, width=8)
    with pytest.raises(InputError, match=r"prior of this VAE.*Gaussian"):
        check_guidance(VAE((2,), condition=3, width=8, latent_shape=(2,), prior=gan))
    with pytest.raises(InputError, match="--conditional"):
        class_accuracy(Blobs(condition=0), blobs())
    bare = DataSet("bare", *[Split(torch.randn(20, 2))] * 3)
    with pytest.raises(InputError, match="bare"):
        fit_classifier(bare)
    with pytest.raises(InputError, match="bare"):
        condition_errors(Blobs(), bare)
    assert condition_fidelity(Blobs(condition=0), blobs()) is None
    assert condition_fidelity(Blobs(), bare) is None


def test_chains_without_a_condition_stay_as_many_as_events_without_one():
    """Else the energies of events without one would fall for ever.

    They would have nothing to hold against.
    """
    model = Energy((2,), condition=CLASSES, width=8, buffer=400, steps=1, refresh=0.2)
    for _ in range(60):
        labels = torch.randint(CLASSES, (100,)).masked_fill(torch.rand(100) < 0.3, -1)
        model.advance(100, labels)
    without = model.chain_conditions.isnan().all(1).float().mean().item()
    assert abs(without - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 400)
