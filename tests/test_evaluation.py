"""Figures carry their kind, their error and their unit.

Tables, pictures and pages keep them apart.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rows import figure, likelihood, row
from torch import Tensor

from genzoo import GAN, VAE, Energy, Flow, Likelihood
from genzoo.benchmark import Row, Scorecard, markdown, picture, read, write
from genzoo.benchmark.baselines import baseline_rows
from genzoo.benchmark.report.likelihood_table import legend, summarise
from genzoo.benchmark.report.page import Page, Picture
from genzoo.benchmark.report.pictures import Panel, maps
from genzoo.benchmark.row import held_out
from genzoo.compression.figure import AsFile
from genzoo.data import DataSet, Split
from genzoo.errors import InputError
from genzoo.evaluation import Own, evaluate, samples_per_second
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.results import Disagreement
from genzoo.model import GenerativeModel


def points(scale: Tensor | None = None) -> DataSet:
    train, validation, test = (Split(torch.randn(400, 2)) for _ in range(3))
    return DataSet("points", train, validation, test, scale=scale)


def levels() -> DataSet:
    """Fair coins on a grid of two levels."""
    train, validation, test = (Split(torch.randint(2, (60, 1, 4, 4)) - 0.5) for _ in range(3))
    return DataSet("coins", train, validation, test, levels=2)


class Known(GenerativeModel):
    """A standard Gaussian on real data, fair coins on a grid: the truth about the data above."""

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        return Likelihood.EXACT

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return self.on_grid(torch.randn(n, *self.event_shape))

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        if self.levels:
            return torch.full((len(x),), -self.dims * math.log(2.0))  # pmf 1/2 over bins of width 1
        return torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)


def test_fair_coins_cost_one_bit_per_dimension_exactly():
    measured = evaluate(Known((1, 4, 4), levels=2), levels())
    assert measured.value == pytest.approx(1.0) and measured.stderr == pytest.approx(0.0, abs=1e-6)
    assert (measured.unit, str(measured)[0]) == ("bits/dim", "=")


def test_real_data_is_reported_in_nats_of_the_raw_data():
    entropy = math.log(2 * math.pi * math.e)
    plain, scaled = (
        evaluate(Known((2,)), points()),
        evaluate(Known((2,)), points(torch.tensor([2.0, 3.0]))),
    )
    for measured, truth in ((plain, entropy), (scaled, entropy + math.log(6.0))):
        assert measured.value is not None and measured.stderr is not None
        assert abs(measured.value - truth) < 4 * measured.stderr
        assert measured.unit == "nats"


def test_the_error_bar_is_the_spread_over_data_sets():
    values = [evaluate(Known((2,)), points()) for _ in range(200)]
    spread = np.std([measured.value for measured in values])
    assert np.mean([measured.stderr for measured in values]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("family", [GAN, Energy])
def test_a_model_without_a_density_gets_no_figure(family):
    measured = evaluate(family((2,), width=8), points())
    assert measured.value is None and measured.kind == Likelihood.NONE
    assert measured.figure.reason and str(measured) == "—"


def test_evaluation_tells_how_far_it_is():
    told = []
    evaluate(
        Known((2,)),
        points(),
        by=Own(batch=150),
        progress=lambda done, total, text: told.append((done, total)),
    )
    assert told == [(150, 400), (300, 400), (400, 400)]


def test_evaluation_is_repeatable_and_leaves_the_random_state_alone():
    model, data = VAE((2,), width=8), points()
    before = torch.get_rng_state()
    first, second = (evaluate(model, data, by=Own(k=2)) for _ in range(2))
    assert first.value == second.value and torch.equal(before, torch.get_rng_state())
    more = evaluate(model, data, by=Own(k=64))
    assert more.value is not None and first.value is not None and more.value < first.value


def test_a_split_that_there_is_not_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"no split 'tset'. Did you mean 'test'"):
        evaluate(Known((2,)), points(), split="tset")


def test_an_unconditional_model_ignores_the_data_s_labels():
    data = points()
    labelled = replace(
        data, test=Split(data.test.x, torch.zeros(400, dtype=torch.long)), condition=3
    )
    assert evaluate(Known((2,)), labelled).value == evaluate(Known((2,)), data).value


def test_samples_per_second_counts_samples():
    assert samples_per_second(Flow((2,), width=8, couplings=1), seconds=0.01) > 10


# ---------------------------------------------------------------------------------------- scorecard


ROWS = [
    row("GAN", "none", None),
    row("VAE", "bound", 1.5),
    row("Autoregressive", "exact", 1.9),
    row("VAE", "bound", 1.7, seed=1),
    row("Diffusion", "bound", 1.4),
]


def test_kinds_are_grouped_before_figures_are_ordered():
    summaries = summarise(ROWS)
    assert [s.name for s in summaries] == ["Autoregressive", "Diffusion", "VAE", "GAN"]
    assert [s.figure.text() for s in summaries] == ["= 1.900", "≤ 1.400", "≤ 1.600", "—"]


def test_seeds_are_averaged_and_the_least_and_the_greatest_are_shown():
    (vae,) = (s for s in summarise(ROWS) if s.name == "VAE")
    assert (vae.seeds, vae.figure.value) == (2, pytest.approx(1.6))
    assert vae.over_seeds == "1.500 … 1.700 (2)"
    assert vae.figure.stderr == pytest.approx(math.hypot(0.01, 12.7062 / 1.96 * 0.1), rel=1e-3)


def test_the_error_of_seeds_never_replaces_that_of_events():
    """Three seeds that agree to the last digit are as uncertain as their test events.

    They share the same ones.
    """
    (gan,) = summarise([row("GAN", "estimate", 2.376, seed=seed) for seed in range(3)])
    assert gan.figure.stderr == pytest.approx(0.01)


def test_an_interval_is_printed_as_one_and_a_dash_says_why():
    interval = figure("estimate", None, low=1.94, high=1.95, n=447)
    dash = Figure.dash("the two annealings contradict each other")
    text = markdown([row("Energy", likelihood=likelihood(interval)), row("Flow", "bound", 1.8)])
    assert "| **Energy** | ≈ 1.940 … 1.950 | 0.010 |" in text and "low … high" in text
    text = markdown([row("Energy", likelihood=likelihood(dash)), row("Flow", "bound", 1.8)])
    assert "| **Energy** | — |  |" in text
    assert "**— of Energy**: the two annealings contradict each other" in text
    assert "low … high" not in text


def test_n_is_a_column_where_it_differs_and_said_once_where_it_does_not():
    def of(n, family, **more):
        return row(family, likelihood=likelihood(figure("bound", 1.5, 0.1, n=n), **more))

    differs = markdown([of(100, "GAN", of=447, observation="noise 0.48"), of(447, "VAE")])
    assert "| n |" in differs
    assert "| **GAN + noise 0.48** | ≤ 1.500 | 0.100 | 100 of 447 |" in differs
    assert "**n**: number of test events measured" in differs
    same = markdown([of(447, "Flow"), of(447, "VAE")])
    assert "| n |" not in same and "**n**: 447 test events in every row" in same


def test_the_legend_says_nothing_that_no_row_bears_out():
    """Each sentence about a column or a symbol stands only where that does."""
    bare = " ".join(legend(summarise([row("Flow", "exact", 1.0)])))
    for word in (
        "≤",
        "≈",
        "—",
        "gap",
        "file",
        "A:",
        "seeds:",
        "low …",
        "chains",
        "p(x | c)",
        "brackets",
    ):
        assert word not in bare
    assert "±" in bare and "=: the exact" in bare
    without = row("Flow", likelihood=likelihood(figure("exact", 1.0, None)))
    assert "±" not in " ".join(legend(summarise([without])))


def test_a_likelihood_that_was_cashed_stands_beside_its_claim():
    file = AsFile(
        n=447,
        bytes=6800,
        header_bytes=31,
        initial_bits=0,
        bits_per_dim=1.904,
        stated=1.9,
        kind=Likelihood.EXACT,
    )
    text = markdown([row("Autoregressive", "exact", 1.9, file=file), row("GAN", "none", None)])
    first = text.split("\n\n")[0]
    assert "| as a file |" in first and "| 1.904 |" in first and "read back bit for bit" in text


def test_a_table_says_under_which_protocol_its_rows_were_made():
    assert "test figures were in sight" in markdown([row("Flow", "exact", 1.0, protocol=1)])
    now = markdown([row("Flow", "exact", 1.0, protocol=2)])
    assert "print no test figure" in now and "in sight" not in now


def test_a_conditional_likelihood_is_said_to_be_one():
    assert any(
        "log p(x | c)" in line
        for line in legend(summarise([row("Flow", "exact", 1.0, conditional=True)]))
    )
    assert not any("log p(x | c)" in line for line in legend(summarise(ROWS)))


def test_unlike_kinds_in_one_family_make_the_weakest_claim():
    (summary,) = summarise([row("Flow", "exact", 1.0), row("Flow", "bound", 1.0, seed=1)])
    assert summary.kind == Likelihood.BOUND


def test_a_model_that_rules_an_event_out_is_infinite_and_not_silent():
    data = points()
    far = replace(data, test=Split(torch.full((3, 2), 99.0)))
    rows = baseline_rows(far)
    rectangle = next(r for r in rows if r.family == "Rectangle")
    assert rectangle.likelihood.nats == Figure(None, kind=Likelihood.EXACT, n=3)
    assert "= ∞" in markdown(rows)
    assert json.dumps([r.to_json() for r in rows], allow_nan=False)


def test_baselines_of_coins_are_as_good_as_coins_can_be():
    pixels = next(r for r in baseline_rows(levels()) if r.family == "Independent pixels")
    assert pixels.baseline and pixels.figure.value == pytest.approx(1.0, abs=0.05)
    nats = pixels.likelihood.nats.value
    assert nats == pytest.approx((pixels.figure.value or 0.0) * 16 * math.log(2))


def test_figures_of_real_data_are_in_nats():
    data = points()
    found = held_out(evaluate(Known((2,)), data), data)
    assert found.figure == found.nats and found.nats.kind == Likelihood.EXACT
    assert found.unit == "nats"


def test_the_table_explains_its_symbols():
    text = markdown(ROWS)
    for part in (
        "| **VAE** | ≤ 1.600 | 0.648 | 1.500 … 1.700 (2) |",
        "| bits/dim |",
        "**≤**: an upper bound",
        "**—**: no value",
        "not ranked against each other",
    ):
        assert part in text


def test_the_gap_to_the_truth_is_a_column_only_where_it_is_known():
    def with_gap(family, found, gap, **more):
        return row(family, likelihood=likelihood(found, gap=gap), **more)

    gap, infinite = figure("bound", 0.25), figure("exact", None, None)
    rows = [
        *ROWS[:3],
        with_gap("Flow", figure("bound", 1.6), gap),
        with_gap("Flow", figure("bound", 1.6), gap, seed=1),
        with_gap("Rectangle", infinite, infinite),
    ]
    text = markdown(rows)
    assert "| ± | seeds | gap | params |" in text and "= ∞ |" in text
    assert "| **Flow** | ≤ 1.600 | 0.010 | 1.600 … 1.600 (2) | ≤ 0.250 ± 0.010 |" in text
    assert "how much likelier" in text and "gap" not in markdown(ROWS)


def test_an_estimate_says_on_which_side_it_errs_and_how_many_chains_carry_it():
    def annealed(effective):
        return likelihood(
            figure("estimate", 1.9), direction="flatters", chains=8, effective_chains=effective
        )

    rows = [
        row("Energy", likelihood=annealed(3.25)),
        row("Energy", likelihood=annealed(5.0), seed=1),
        row("VAE", likelihood=likelihood(figure("bound", 1.5), direction="never flatters")),
    ]
    assert "≈ of Energy: flatters; 3.2 of 8 chains carry the weight" in legend(summarise(rows))
    assert not any("never" in line for line in legend(summarise(rows)))


def test_an_annealed_decoder_says_how_loose_its_bound_is():
    """How many chains carry the weight, and how far apart the bounds are.

    These come from both sides, on events of the model's own.
    """

    def gan(effective: float | None, gap: Figure | None, seed: int = 0) -> Row:
        found = likelihood(
            figure("bound", 2.25),
            observation="noise 0.3",
            chains=8,
            effective_chains=effective,
            simulated_gap=gap,
        )
        return row("GAN", likelihood=found, seed=seed)

    def caveat(*rows: Row) -> str:
        (line,) = [line for line in legend(summarise([*rows, row("VAE")])) if "GAN" in line]
        return line

    one, two = gan(1.94, Figure(3.72, 1.01, n=16)), gan(1.81, Figure(5.56, n=16), seed=1)
    line = caveat(one)
    assert line.startswith("≤ of GAN + noise 0.3: 1.9 of 8 chains carry the weight of an event")
    assert "lower and upper bound are 3.72 ± 1.01" in line
    line = caveat(one, two)
    assert "1.8 to 1.9 of 8 chains carry" in line and "3.72 to 5.56 nats apart" in line
    line = caveat(gan(1.94, None))
    assert "1.9 of 8 chains carry" in line and "apart" not in line
    assert not any("GAN" in line for line in legend(summarise([gan(None, None)])))


def test_points_a_and_b_are_columns_and_b_has_the_claim_of_its_density():
    off_support, missed = Figure(0.031, 0.01), figure("bound", 0.2)
    text = markdown(
        [
            row("VAE", disagreement=Disagreement(off_support, missed)),
            row("GAN", "none", None, disagreement=Disagreement(off_support)),
        ]
    )
    assert "| A | B |" in text and "| 3.1 % ± 1.0 | ≤ 20.0 % ± 1.0 |" in text
    assert "**A**: share of samples" in text
    assert "| A | B |" not in markdown(ROWS)


def test_a_scorecard_is_read_back_and_what_is_none_is_refused(tmp_path):
    path = tmp_path / "scorecard.json"
    write(ROWS, path)
    assert read(path) == ROWS
    wrong = {"{": "is not JSON", '{"a": 1}': "is no scorecard", "[1]": "is no row"}
    for content, sentence in wrong.items():
        path.write_text(content)
        with pytest.raises(InputError, match=sentence):
            read(path)
    with pytest.raises(InputError, match="Cannot read"):
        read(tmp_path / "nothing.json")


# ---------------------------------------------------------------------------- pictures and the page


@pytest.mark.parametrize("shape", [(2,), (16,), (1, 8, 8), (3, 16, 16)], ids=str)
def test_a_picture_has_a_row_or_a_panel_for_each_model(shape, tmp_path):
    from matplotlib.image import imread

    sizes = []
    for models in (1, 5):
        samples = {f"model {i}": np.random.rand(30, *shape) for i in range(models + 1)}
        picture(tmp_path / "samples.png", samples)
        image = imread(tmp_path / "samples.png")
        sizes.append(image.shape[0])
        assert image[..., :3].std() > 0.02  # not blank
    assert sizes[1] > 1.5 * sizes[0]


def test_small_images_come_in_two_rows_and_large_ones_in_one(tmp_path):
    from matplotlib.image import imread

    heights = {}
    for n, side in ((20, 8), (40, 8), (20, 80), (40, 80)):
        picture(tmp_path / "samples.png", {"Real data": np.random.rand(n, 1, side, side)})
        heights[n, side] = imread(tmp_path / "samples.png").shape[0]
    assert heights[40, 8] > heights[20, 8] + 40 and heights[40, 80] == heights[20, 80]


def test_maps_show_land_and_both_kinds_of_error(tmp_path):
    from matplotlib.image import imread

    land = np.zeros((20, 40), dtype=bool)
    land[:, :20] = True
    samples = np.random.uniform((-2, -1), (2, 1), (200, 2))
    panels = {f"model {i}": Panel(samples, samples[:, 0] > 0, samples[:9]) for i in range(4)}
    maps(tmp_path / "maps.png", panels, land, (-2, 2, -1, 1))
    colours = {
        tuple(pixel)
        for pixel in (255 * imread(tmp_path / "maps.png")[..., :3]).astype(int).reshape(-1, 3)
    }
    assert (200, 16, 46) in colours and (242, 142, 28) in colours  # A and B


def test_the_page_holds_everything_itself(tmp_path):
    picture(tmp_path / "samples.png", {"Real data": np.random.rand(4, 1, 8, 8)})
    log = tmp_path / "log.csv"
    log.write_text("epoch,step,train_loss,val_nats\n0,9,5.0,\n0,9,,4.0\n1,19,3.0,\n1,19,,2.5\n")
    page = Page(
        title="Coins <side by side>",
        command="genzoo compare --data coins",
        pictures=[Picture(tmp_path / "samples.png", "Samples", "Drawn at random.")],
        logs={"vae-seed0": log},
    )
    card = Scorecard(tuple(ROWS), failures={"flow-seed0": "Flow diverged."}, page=page)
    card.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    expected = (
        "Coins &lt;side by side&gt;",
        "≤ 1.600",
        "data:image/png;base64,",
        "polyline",
        "genzoo compare",
        "diverged",
    )
    assert all(part in page for part in expected)
    assert "validation 2.5" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched
