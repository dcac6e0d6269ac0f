"""Do the errors that are printed hold? Their coverage by simulation, where the truth is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genzoo.evaluation import figures
from genzoo.evaluation.figures import Figure, combine, share_of, wilson
from genzoo.model import Likelihood

TRIALS = 4000


def held(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    """Share of intervals that hold the truth."""
    return float(np.mean((low <= truth) & (truth <= high)))


# -------------------------------------------------------------------------- coverage, by simulation


def test_the_error_of_a_mean_over_events_holds():
    events = torch.randn(TRIALS, 200, generator=torch.Generator().manual_seed(0)).exp()
    found = [figures.mean(x) for x in events]
    low = np.array([f.value - 1.96 * f.stderr for f in found])
    high = np.array([f.value + 1.96 * f.stderr for f in found])
    assert 0.92 < held(low, high, math.exp(0.5)) < 0.98


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("of_seeds", [0.0, 0.3, 1.0, 3.0])
def test_the_error_of_several_seeds_holds_events_and_seeds_together(seeds, of_seeds):
    """Runs share their test events, whose error is 1 here, and differ by the luck of their seed."""
    random = np.random.default_rng(seeds)
    events = random.normal(size=(TRIALS, 1))
    luck = of_seeds * random.normal(size=(TRIALS, seeds))
    found = [combine([Figure(v, 1.0) for v in values]) for values in events + luck]
    low = np.array([f.value - 1.96 * f.stderr for f in found])
    high = np.array([f.value + 1.96 * f.stderr for f in found])
    # two seeds say little: cautious
    assert 0.92 < held(low, high, 0.0) < (0.98 if seeds > 2 else 0.995)


def test_two_seeds_that_agree_by_chance_do_not_make_a_figure_sure():
    agreed = combine([Figure(1.0, 0.2), Figure(1.0001, 0.2)])
    assert agreed.stderr == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("n", [100, 500])
def test_wilsons_interval_holds(p, n):
    hits = np.random.default_rng(0).binomial(n, p, size=TRIALS) / n
    low, high = np.array([wilson(share, n) for share in hits]).T
    assert 0.92 < held(low, high, p) < 0.985  # it is discrete: with few hits it jumps


def test_a_share_of_nothing_or_everything_is_not_certain():
    none, all_of_them = share_of(0.0, 250), share_of(1.0, 250)
    assert none.low == 0.0 and none.high == pytest.approx(0.0151, abs=1e-3)
    assert all_of_them.high == 1.0 and all_of_them.low == pytest.approx(0.985, abs=1e-3)


@pytest.mark.parametrize("p", [0.1, 0.9, 0.97])
def test_the_interval_of_a_share_over_seeds_holds(p):
    """Three models whose own shares differ by their seed, each judged by 200 samples."""
    random = np.random.default_rng(1)
    own = np.clip(p + 0.01 * random.normal(size=(TRIALS, 3)), 0, 1)
    hits = random.binomial(200, own) / 200
    found = [combine([share_of(share, 200) for share in shares], shared=False) for shares in hits]
    low, high = np.array([f.low for f in found]), np.array([f.high for f in found])
    # the floor under the spread makes it a little cautious
    assert 0.92 < held(low, high, p) < 0.985


# -------------------------------------------------------------------------------------- combination


def test_an_interval_among_runs_leaves_an_interval():
    known = Figure(None, 0.01, 1.94, 1.96, Likelihood.ESTIMATE)
    exact = Figure(1.90, 0.01, kind=Likelihood.EXACT)
    both = combine([known, exact])
    assert both.is_interval and (both.low, both.high) == (pytest.approx(1.92), pytest.approx(1.93))
    assert both.kind == Likelihood.ESTIMATE


def test_a_dash_among_runs_leaves_a_dash_and_says_how_many():
    known = Figure(1.9, 0.01, kind=Likelihood.ESTIMATE)
    found = combine([known, Figure.dash("3 of 32 chains carry the weight"), known])
    assert found.kind == Likelihood.NONE and not found.is_known
    assert found.reason == "1 of 3 runs: 3 of 32 chains carry the weight"


def test_a_model_that_rules_an_event_out_stays_infinitely_bad():
    infinite = Figure(None, kind=Likelihood.EXACT)
    assert combine([infinite, Figure(1.0, 0.1, kind=Likelihood.EXACT)]).text() == "= ∞"


def test_every_shape_of_a_figure_says_what_it_is():
    assert str(Figure(1.729, 0.01, kind=Likelihood.EXACT)) == "= 1.729 ± 0.010"
    assert Figure(None, 0.01, 1.948, 1.953, Likelihood.ESTIMATE).text() == "≈ 1.948 … 1.953"
    assert Figure.dash("why not").text() == "—"


# --------------------------------------------------------------------------------------------- JSON

NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6))


@given(
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.one_of(st.none(), st.sampled_from(Likelihood)),
    st.text(max_size=20),
)
def test_json_loses_nothing(value, stderr, low, high, kind, reason):
    figure = Figure(value, stderr, low, high, kind, 7, reason)
    assert Figure.from_json(figure.to_json()) == figure


def test_json_has_no_infinity():
    assert Figure(math.inf, 0.1, kind=Likelihood.EXACT).to_json()["value"] is None
