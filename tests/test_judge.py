"""The judge of labelled images: what it learns, where it is kept, and what it leaves alone."""

from dataclasses import replace

import pytest
import torch

import genzoo
from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation.samples import judge
from genzoo.evaluation.samples.conditional import fit_classifier
from genzoo.evaluation.samples.feature_spaces import space_of
from genzoo.evaluation.samples.judge import judge_of, moved, with_judge


def animals(n: int = 300, seed: int = 0) -> DataSet:
    """Noisy 8x8 images with a light upper, lower or left half."""
    draw = torch.Generator().manual_seed(seed)
    x = -0.8 + 0.2 * torch.randn(n, 1, 8, 8, generator=draw)
    c = torch.arange(n) % 3
    x[c == 0, :, :4] += 1
    x[c == 1, :, 4:] += 1
    x[c == 2, :, :, :4] += 1
    sizes = (n - 100, 50, 50)
    return DataSet.split("animals", x, c, sizes, classes=("cat", "dog", "eel"), condition=3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder of runs with a judge of `animals` in it."""
    folder = tmp_path_factory.mktemp("runs")
    judge_of(animals(), folder / "judge")
    return folder


def test_it_names_what_the_training_split_taught_and_gives_both_scores_their_network(kept):
    judged = with_judge(animals(), kept)
    named = fit_classifier(judged)(judged.test.x)
    assert (named == judged.test.c.numpy()).mean() > 0.95  # type: ignore[union-attr]
    space = space_of(judged)
    assert set(space.distances) == {"FD (animals-net)", "KID (animals-net)"}
    assert space.features(judged.test.x).shape == (50, judge.FEATURES)


def test_it_is_trained_once_and_again_for_other_events(kept, monkeypatch):
    def never(*_):
        raise AssertionError("trained again")

    first = judge_of(animals(), kept / "judge")
    monkeypatch.setattr(judge, "trained", never)
    again = judge_of(animals(), kept / "judge")
    x = animals().test.x
    assert torch.equal(first.features(x), again.features(x))
    with pytest.raises(AssertionError, match="trained again"):
        judge_of(animals(seed=1), kept / "judge")


def test_what_needs_none_stays_as_it_is(tmp_path):
    digits = genzoo.data.load("digits")
    one_class = replace(animals(), train=Split(animals().train.x, torch.zeros(200).long()))
    for data in (digits, genzoo.data.load("moons"), one_class, replace(animals(), classes=())):
        assert with_judge(data, tmp_path) is data
    assert not list(tmp_path.iterdir())


def test_an_image_is_moved_and_keeps_its_size():
    x = torch.arange(64.0).view(1, 1, 8, 8)
    torch.manual_seed(0)
    for _ in range(10):
        y = moved(x)
        assert y.shape == x.shape
        middle = y[0, 0, 3, 3]  # what was at most two pixels away
        assert (x[0, 0, 1:6, 1:6] == middle).any()
