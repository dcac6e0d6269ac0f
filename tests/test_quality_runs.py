"""Measures of a finished run.

Each taken once from the stored model, of old runs too, and shown in a table of its own.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from genzoo.benchmark import Row, read
from genzoo.benchmark import run as runs
from genzoo.benchmark.measures import Measure
from genzoo.benchmark.plan import Plan
from genzoo.cli import main

VAE = "--data digits --steps 3 --width 8 --check-every 3 --batch-size 16".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run that was finished before there was anything to measure but its likelihood."""
    folder = tmp_path_factory.mktemp("before") / "run"
    with pytest.MonkeyPatch.context() as before:
        before.setattr(runs, "MEASURES", ())
        assert main(["train", "vae", *VAE, "--out", str(folder)]) == 0
    assert stored(folder).quality is None
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch) -> Path:
    """A copy of it, in the folder where commands write."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(finished, "run"))


def stored(folder: Path) -> Row:
    return Row.from_json(json.loads((folder / "row.json").read_text()))


def plan_of(folder: Path) -> Plan:
    return Plan(**yaml.safe_load((folder / "config.yaml").read_text()))


def distance(row: Row) -> float:
    assert row.quality is not None
    value = row.quality.figures["FD (digits-net)"].value
    assert value is not None
    return value


def test_an_old_run_gets_what_it_lacks_from_its_stored_model_and_keeps_it(run):
    weights = (run / "model" / "model.safetensors").read_bytes()
    assert main(["train", "vae", *VAE, "--out", "run"]) == 0  # the same command goes on
    row = stored(run)
    assert row.quality is not None
    assert row.quality.n == 400 and row.quality.space == "digits-net" and distance(row) > 0
    assert (run / "quality.npz").is_file()
    assert (run / "model" / "model.safetensors").read_bytes() == weights
    written = (run / "row.json").stat().st_mtime_ns
    assert runs.measure_missing(plan_of(run), run) == row
    assert (run / "row.json").stat().st_mtime_ns == written


def test_a_measure_is_one_entry_and_an_interruption_costs_one(run, monkeypatch):
    taken = []

    def measure(row, subject):
        taken.append((type(subject.model).__name__, subject.data.name, row.budget, subject.folder))
        return replace(row, minutes=4.0)

    def interrupted(row, subject):
        raise KeyboardInterrupt

    plan, first = plan_of(run), Measure("length", measure)
    monkeypatch.setattr(runs, "MEASURES", (first, Measure("width", interrupted)))
    with pytest.raises(KeyboardInterrupt):
        runs.measure_missing(plan, run)
    assert stored(run).minutes == 4.0 and stored(run).measured == ("length",)
    monkeypatch.setattr(runs, "MEASURES", (first, Measure("width", measure)))
    assert runs.measure_missing(plan, run).measured == ("length", "width")
    assert taken == [("VAE", "digits", "quick", run)] * 2


def test_every_run_is_judged_by_samples_of_its_own(run):
    """The same weights under another seed.

    Were the samples the same, the spread over seeds would not show their luck.
    """
    plan = plan_of(run)
    first = runs.measure_missing(plan, run)
    other = replace(first, quality=None, measured=(), seed=7)
    (run / "row.json").write_text(json.dumps(other.to_json()))
    second = runs.measure_missing(plan, run)
    assert distance(first) != distance(second)


def test_compare_judges_new_runs_old_runs_and_baselines(run, capsys):
    Path("out").mkdir()
    run.rename("out/vae-seed0")
    Path("tiny.yaml").write_text("gan: {model: {width: 8}, train: {steps: 3, batch_size: 16}}")
    assert (
        main(
            ["compare", "--families", "gan", "--recipe", "tiny.yaml", "--out", "out", "--jobs", "1"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    for part in (
        "Quality of samples",
        "FD (digits-net)",
        "Real data",
        "recall",
        "copies.png",
        "the floor",
    ):
        assert part in printed, part
    rows = read("out/scorecard.json") + read("out/baselines.json")
    judged = {row.family: row.quality for row in rows if row.quality and row.quality.figures}
    assert judged.keys() == {"GAN", "VAE", "Independent pixels", "Gaussian"}
    assert len({quality.floor["precision"].value for quality in judged.values()}) == 1
    page = Path("out/report.html").read_text()
    assert "Quality of samples" in page and "The samples nearest to what was trained on" in page
    assert Path("out/copies.png").stat().st_size > 10_000


def test_evaluate_shows_quality_where_it_is_asked_to(run, capsys):
    assert main(["evaluate", "run", "--k", "1", "--quality"]) == 0
    printed = capsys.readouterr().out
    assert "Real data" in printed and "at n = ∞" in printed and "447" in printed
