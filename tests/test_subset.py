"""The mean of all events from some of them.

Simulated, so that errors and coverage can be counted.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from genzoo import grid
from genzoo.data import load
from genzoo.data.dataset import DataSet, Split
from genzoo.data.synthetic import biscuits
from genzoo.errors import InputError
from genzoo.evaluation import Own, evaluate
from genzoo.evaluation.likelihood import subset
from genzoo.evaluation.likelihood.subset import MeanStderr, Subset, all_of, choose
from genzoo.model import Likelihood, Measurable

CLASSES = tuple("0123456789")
OF_CLASS = torch.linspace(-1.5, 1.5, 10, dtype=torch.float64)  # how hard each class is


def made_up(n: int, labels: Tensor | None = None) -> DataSet:
    """Events without spread.

    No baseline can be fitted, so there are only the controls that a test gives.
    """
    split = Split(torch.zeros(n, 1), labels)
    return DataSet("made up", split, split, split, classes=CLASSES if labels is not None else ())


@dataclass
class World:
    """Events of which a model says y and two others say g, drawn anew each time.

    The mean of y over all worlds is known.
    """

    events: int
    noise: float = 1.0
    curved: bool = False
    labelled: bool = False
    tails: bool = False

    def draw(self) -> tuple[DataSet, dict[str, Tensor], Tensor]:
        labels = torch.randint(10, (self.events,)) if self.labelled else None
        hard = torch.randn(self.events, dtype=torch.float64)
        if labels is not None:
            hard += OF_CLASS[labels]
        controls = {name: hard + 0.5 * torch.randn_like(hard) for name in ("one", "other")}
        scatter = torch.randn_like(hard)
        if self.tails:
            scatter = scatter / torch.rand_like(hard).sqrt() / 2
        y = 6 * torch.exp(hard / 2) if self.curved else 2 * hard
        return made_up(self.events, labels), controls, y + self.noise * scatter

    @property
    def mean(self) -> float:
        return 6 * math.exp(1 / 8) if self.curved else 0.0


def estimated(world: World, n: int) -> tuple[MeanStderr, float]:
    """What n events of a world say of all, and what all say."""
    data, controls, y = world.draw()
    chosen = choose(data, "test", n, controls)
    return chosen.mean(y[chosen.chosen]), y.mean().item()


# ------------------------------------------------------------------------------------- which events


def test_every_class_has_its_share():
    torch.manual_seed(3)
    labels = torch.multinomial(torch.arange(1.0, 11), 447, replacement=True)
    for n in (30, 100, 300):
        chosen = choose(made_up(447, labels), "test", n, {"g": torch.randn(447)}).chosen
        assert len(chosen.unique()) == n
        shares = torch.bincount(labels[chosen], minlength=10)
        expected = torch.bincount(labels, minlength=10) * n / 447
        assert ((shares - expected).abs() < 1).all()


def test_without_classes_easy_and_hard_events_have_theirs():
    torch.manual_seed(4)
    g = torch.randn(2000, dtype=torch.float64)
    chosen = choose(made_up(2000), "test", 100, {"g": g}).chosen
    rank = g.argsort().argsort()[chosen].sort().values
    assert torch.equal(rank // 20, torch.arange(100))  # one of each hundredth


def test_the_draw_is_random_and_repeatable():
    data, g = made_up(447), {"g": torch.randn(447)}
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(choose(data, "test", 100, g).chosen)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_every_event_is_as_likely_to_be_drawn():
    data, g = made_up(10), {"g": torch.arange(10.0)}
    torch.manual_seed(0)
    counts = torch.zeros(10)
    for _ in range(1000):
        counts[choose(data, "test", 4, g).chosen] += 1
    assert ((counts - 400).abs() < 4 * (1000 * 0.4 * 0.6) ** 0.5).all()


# ------------------------------------------------------------------------------------ what they say


WORLDS = {
    "plain": (World(447), 100),
    "classes": (World(447, labelled=True), 100),
    "curved": (World(2000, curved=True, noise=0.5), 100),
    "heavy tails": (World(447, tails=True), 100),
    "a large part": (World(447), 300),
    "few": (World(447), 30),
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_figure_is_unbiased_and_its_error_holds(name):
    """1.96 printed errors hold the truth in 95 % of worlds.

    1.96 errors of the subset hold what all events say.
    """
    torch.manual_seed(0)
    world, n = WORLDS[name]
    worlds = 2000 if name == "heavy tails" else 500
    found = [estimated(world, n) for _ in range(worlds)]
    value, stderr, of_subset, _ = np.array([mean for mean, _ in found]).T
    off_truth, off_all = value - world.mean, value - np.array([of_all for _, of_all in found])
    for off, error in ((off_truth, stderr), (off_all, of_subset)):
        assert abs(off.mean()) < 3.5 * off.std() / len(off) ** 0.5
        assert 0.92 <= (abs(off) < 1.96 * error).mean() <= 0.98


def test_controls_save_as_many_events_as_they_say():
    """Two controls that are noisy in their own ways: R² = 4 · 2/2.25 of a variance of 5."""
    torch.manual_seed(1)
    world = World(20_000)
    found = [estimated(world, 100) for _ in range(300)]
    predicted = 1 - 4 * (2 / 2.25) / 5
    spread = np.var([mean.value - of_all for mean, of_all in found])
    assert np.mean([mean.variance_ratio for mean, _ in found]) == pytest.approx(predicted, rel=0.05)
    assert spread == pytest.approx(predicted * 5 / 100, rel=0.3)


def test_a_control_that_says_all_leaves_the_error_of_a_plain_mean():
    torch.manual_seed(2)
    y = torch.randn(447, dtype=torch.float64)
    chosen = choose(made_up(447), "test", 50, {"itself": 3 - 2 * y})
    found = chosen.mean(y[chosen.chosen])
    assert found.value == pytest.approx(y.mean().item()) and found.of_subset < 1e-9
    assert found.stderr == pytest.approx(y.std().item() / 447**0.5, rel=0.3)


def test_all_events_need_no_controls():
    y = torch.randn(60, dtype=torch.float64)
    for every in (all_of(60), choose(made_up(60), "test", 60, {"g": torch.randn(60)})):
        assert every.details == {"n": 60, "of": 60} and torch.equal(every.chosen, torch.arange(60))
        found = every.mean(y)
        assert found.value == pytest.approx(y.mean().item())
        assert found.stderr == pytest.approx((y.std() / 60**0.5).item())
        assert (found.of_subset, found.variance_ratio) == (0.0, 1.0)


def test_few_events_take_few_controls_and_useless_ones_are_left_out():
    data, g = made_up(100), torch.randn(100, dtype=torch.float64)
    controls = {
        "flat": torch.full((100,), 0.1),
        "ruled out": g.log(),
        "first": g,
        "second": g.square(),
        "again": 1 - g,
    }
    assert choose(data, "test", 9, controls).details == {"n": 9, "of": 100, "controls": []}
    assert choose(data, "test", 25, controls).details["controls"] == ["first", "second"]
    both = choose(data, "test", 50, controls)
    assert both.details["controls"] == ["first", "second", "again"]
    y = torch.randn(100, dtype=torch.float64)[both.chosen]
    once = Subset(both.chosen, 100, {name: both.controls[name] for name in ("first", "second")})
    assert both.mean(y) == pytest.approx(once.mean(y))


def test_an_event_that_is_ruled_out_costs_everything():
    chosen = choose(made_up(100), "test", 20, {"g": torch.randn(100)})
    found = chosen.mean(torch.tensor([math.inf] + 19 * [0.0]))
    assert found.value == math.inf and math.isnan(found.stderr)


def test_a_control_for_other_events_is_refused():
    with pytest.raises(
        InputError,
        match=r"'ar' should be one log-density for each of 100 events, not of shape \(99,\)",
    ):
        choose(made_up(100), "test", 20, {"ar": torch.zeros(99)})


# -------------------------------------------------------------------------------- against the truth


class Tins(Measurable):
    """An exact model of the biscuits that is wrong by a known recipe.

    Every pixel may be any level, now and then.
    """

    likelihood = Likelihood.EXACT

    def __init__(self, astray: float = 0.03):
        self.log_pmf = (biscuits._log_pmf().exp() * (1 - astray) + astray / biscuits.LEVELS).log()

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        levels = grid.to_level(x, biscuits.LEVELS).flatten(1)
        pixels = torch.arange(levels.shape[1])
        of_tins = torch.stack([tin[pixels, levels].sum(1) for tin in self.log_pmf], 1)
        volume = levels.shape[1] * math.log(grid.bin_width(biscuits.LEVELS))
        return of_tins.logsumexp(1) - math.log(of_tins.shape[1]) - volume


class SomeEvents(Own):
    """What a model states of a hundred events, as if each had to be annealed."""

    def most_events(self, model: Measurable) -> int:
        return 100


def test_a_gap_from_some_tins_is_that_of_all():
    """As if the model had to be annealed.

    Its printed figure and gap agree with those of all, and with one another.
    """
    data, model = load("biscuits"), Tins()

    whole = evaluate(model, data)
    assert whole.gap is not None and whole.gap.value is not None and whole.value is not None
    off = []
    for seed in range(8):
        few = evaluate(model, data, by=SomeEvents(), seed=seed)
        assert few.details["n"] == few.figure.n == 100 and few.details["of"] == 2000
        assert few.details["controls"][0] == "Truth" and few.details["variance_ratio"] < 0.5
        assert few.gap is not None and few.gap.value is not None and few.value is not None
        truth = data.report(torch.tensor(-data.entropy)).item()
        assert few.value - few.gap.value == pytest.approx(whole.value - whole.gap.value, abs=1e-6)
        assert few.value - few.gap.value == pytest.approx(truth, abs=0.01)
        off.append((few.value - whole.value) / few.details["subset_stderr"])
    assert max(map(abs, off)) < 3.5 and sum(o**2 for o in off) < 22  # chi² with 8 degrees, 99.5 %


def test_the_baselines_are_controls_and_further_ones_may_be_given():
    data = load("digits")
    known = subset.stated_of_all(data, data.test)
    assert list(known) == ["IndependentPixels", "Gaussian"]
    for log_prob in known.values():
        assert log_prob.shape == (len(data.test),) and log_prob.isfinite().all()
    given = {"ar": known["Gaussian"] + torch.randn(len(data.test))}
    assert choose(data, "test", 100, given).details["controls"] == ["ar", *known]
