"""Charts are drawn from rows, whatever is missing in them; images stand in labelled rows."""

import matplotlib.image
import numpy as np
import pytest
from rows import cost, row

from genzoo.benchmark import Row
from genzoo.benchmark.report import plots
from genzoo.benchmark.report.learning import curve
from genzoo.benchmark.report.pictures import strips
from genzoo.benchmark.report.plots import Axis
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.results import Quality, SweptGuidance

SHARES = {"precision": Figure(0.8, 0.1), "recall": Figure(0.6, 0.1)}


def judged(distance: float = 2.0) -> Quality:
    """Samples at such a distance."""
    figures = {"FD": Figure(distance, 0.1), **SHARES}
    return Quality("mine", "a space", 100, "100 events", figures, figures)


def rows() -> list[Row]:
    """Two families of two seeds, one without quality and one that was never timed."""
    return [
        row("Flow", quality=judged(), cost=cost(samples_per_second=100.0)),
        row("Flow", quality=judged(), cost=cost(samples_per_second=120.0)),
        row("GAN", cost=cost(samples_per_second=5.0)),
        row("VAE", quality=judged()),
    ]


def looks_drawn(path) -> np.ndarray:
    image = matplotlib.image.imread(path)[..., :3]
    assert image.min() < 0.5 < image.max()
    return image


def test_rows_without_the_figure_are_left_out():
    found = plots.points(rows(), plots.cost_axis("samples_per_second"), plots.quality_axis("FD"))
    assert found == {"Flow": [(100.0, 0.0, 2.0, 0.1), (120.0, 0.0, 2.0, 0.1)]}


def test_the_mark_of_an_interval_is_in_its_middle():
    between = Axis("likelihood", lambda row: Figure(None, 0.1, 1.0, 3.0))
    steps = Axis("steps", lambda row: Figure(row.cost.steps))
    assert plots.points([row("VAE")], steps, between) == {"VAE": [(100, 0.0, 2.0, 1.0)]}


def test_a_cost_that_there_is_not_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'parameters'"):
        plots.cost_axis("parameter")


@pytest.mark.parametrize("some", [rows(), rows()[2:3], []])
def test_charts_of_rows_are_drawn_whatever_is_missing(tmp_path, some):
    speed, distance = plots.cost_axis("samples_per_second"), plots.quality_axis("FD")
    charts = {
        "cost": plots.quality_against_cost(some, "FD"),
        "shares": plots.precision_and_recall(some),
        "own": plots.against(some, speed, distance, floor={"real data": 1.0}),
    }
    for name, chart in charts.items():
        plots.write(chart, tmp_path / f"{name}.png")
        looks_drawn(tmp_path / f"{name}.png")


def test_an_estimate_below_zero_is_not_lost_on_a_logarithmic_axis():
    for least, scale in ((0.1, "log"), (-0.1, "linear")):
        timed = cost(samples_per_second=9.0)
        some = [row("VAE", quality=judged(value), cost=timed) for value in (1.0, least)]
        (axis,) = plots.quality_against_cost(some, "FD").axes
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", scale)


def test_learning_is_drawn_against_seconds(tmp_path):
    """A log with seconds says when; one without has those of the whole run in proportion."""
    log = tmp_path / "log.csv"
    log.write_text("step,seconds,val_nats\n9,2.0,5.0\n19,8.0,4.0\n")
    timed = curve(log)
    assert timed == ([2.0, 8.0], [5.0, 4.0])
    log.write_text("step,val_nats\n10,5.0\n20,4.0\n")
    assert curve(log, 30.0) == ([15.0, 30.0], [5.0, 4.0])
    log.write_text("step,train_loss\n10,5.0\n")
    assert curve(log, 30.0) is None
    chart = plots.learning_curves({"VAE": [timed]}, "nats per event")
    assert chart.axes[0].get_xlabel() == "seconds of training"
    plots.write(chart, tmp_path / "learning.png")
    looks_drawn(tmp_path / "learning.png")


def test_maps_are_drawn_for_classes_and_for_scales(tmp_path):
    places = np.random.randn(30, 2)
    plots.latent_map(tmp_path / "one.png", {"A": (places, np.arange(30) % 3)})
    plots.latent_map(
        tmp_path / "four.png", {name: (places, np.random.rand(30)) for name in "ABCD"}, "height"
    )
    one, four = (looks_drawn(tmp_path / f"{name}.png") for name in ("one", "four"))
    assert four.shape[0] > one.shape[0]


def test_a_sweep_is_drawn(tmp_path):
    share = Figure(0.5, 0.1)
    sweep = [SweptGuidance(strength, share, share) for strength in (0.0, 1.0, 3.0)]
    plots.guidance(tmp_path / "sweep.png", {"One": sweep, "Other": sweep})
    looks_drawn(tmp_path / "sweep.png")


def test_each_label_has_a_row_and_all_share_one_scale(tmp_path):
    """A row half as bright as another is half as bright in the picture too."""
    dark, bright = np.full((3, 1, 4, 4), 0.5), np.ones((3, 1, 4, 4))
    strips(tmp_path / "rows.png", {"dark": dark, "bright": bright, "black": 0 * dark}, emphasis=1)
    image = looks_drawn(tmp_path / "rows.png")
    right = image[:, 160:]  # of the labels
    levels = {round(float(value), 1) for value in np.unique(right.round(1))}
    assert {0.0, 0.5, 1.0} <= levels
    strips(tmp_path / "two.png", {"dark": dark, "bright": bright}, limits=(0, 1))
    assert looks_drawn(tmp_path / "two.png").shape[0] < image.shape[0]
