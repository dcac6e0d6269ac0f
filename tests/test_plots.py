"""Charts are drawn from rows, whatever is missing in them; images stand in labelled rows."""

import matplotlib.image
import numpy as np
import pytest

from genzoo.benchmark.report import plots
from genzoo.benchmark.report.pictures import strips


def rows() -> list[dict]:
    """Two families of two seeds, one without quality and one that was never timed."""
    figures = {"value": 2.0, "stderr": 0.1}
    shares = {"precision": {"value": 0.8, "stderr": 0.1}, "recall": {"value": 0.6, "stderr": 0.1}}
    full = {"quality": {"figures": {"FD": figures, **shares}}, "samples_per_second": 100.0}
    return [
        {"family": "Flow", **full},
        {"family": "Flow", **full, "samples_per_second": 120.0},
        {"family": "GAN", "quality": None, "samples_per_second": 5.0},
        {"family": "VAE", **full, "samples_per_second": None},
    ]


def looks_drawn(path) -> np.ndarray:
    image = matplotlib.image.imread(path)[..., :3]
    assert image.min() < 0.5 < image.max()
    return image


def test_a_path_leads_to_a_figure_and_its_error_or_to_none():
    row = {
        "a": {"b": {"value": 2, "stderr": 0.5}, "c": {"value": 3.0}},
        "d": 4,
        "e": None,
        "f": {"value": None},
    }
    assert plots.figure_at(row, "a.b") == (2.0, 0.5)
    assert plots.figure_at(row, "a.c") == (3.0, 0.0)
    assert plots.figure_at(row, "d") == (4.0, 0.0)
    assert [plots.figure_at(row, path) for path in ("e", "f", "g", "a.g", "d.g", "e.g")] == [
        None
    ] * 6


def test_rows_without_the_figure_are_left_out():
    found = plots._by_family(rows(), "samples_per_second", "quality.figures.FD")
    assert found == {"Flow": [(100.0, 0.0, 2.0, 0.1), (120.0, 0.0, 2.0, 0.1)]}


@pytest.mark.parametrize("some", [rows(), rows()[2:3], []])
def test_charts_of_rows_are_drawn_whatever_is_missing(tmp_path, some):
    plots.quality_against_cost(tmp_path / "cost.png", some, "quality.figures.FD")
    plots.precision_and_recall(tmp_path / "pr.png", some)
    plots.against(
        tmp_path / "own.png",
        some,
        "samples_per_second",
        "quality.figures.FD",
        floor={"real data": 1.0},
    )
    for name in ("cost", "pr", "own"):
        looks_drawn(tmp_path / f"{name}.png")


def test_an_estimate_below_zero_is_not_lost_on_a_logarithmic_axis(monkeypatch):
    scales = []
    monkeypatch.setattr(plots, "against", lambda *_, log: scales.append(log))
    for least in (0.1, -0.1):
        some = [
            {"family": "VAE", "samples_per_second": 9.0, "MMD²": {"value": value}}
            for value in (1.0, least)
        ]
        plots.quality_against_cost("cost.png", some, "MMD²")
    assert scales == ["xy", "x"]


def test_maps_are_drawn_for_classes_and_for_scales(tmp_path):
    places = np.random.randn(30, 2)
    plots.latent_map(tmp_path / "one.png", {"A": (places, np.arange(30) % 3)})
    plots.latent_map(
        tmp_path / "four.png", {name: (places, np.random.rand(30)) for name in "ABCD"}, "height"
    )
    one, four = (looks_drawn(tmp_path / f"{name}.png") for name in ("one", "four"))
    assert four.shape[0] > one.shape[0]


def test_a_sweep_is_drawn(tmp_path):
    share = {"value": 0.5, "stderr": 0.1}
    sweep = [
        {"guidance": g, "accuracy": share, "coverage": share, "spread": 1.0}
        for g in (0.0, 1.0, 3.0)
    ]
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
