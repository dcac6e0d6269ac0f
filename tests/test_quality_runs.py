"""Measures of a finished run: each taken once from the stored model, of old runs too, and shown in
a table of its own.
"""

import json
import shutil
from pathlib import Path

import pytest

from genzoo.benchmark import measures, read
from genzoo.benchmark import run as runs
from genzoo.benchmark.measures import Measure
from genzoo.benchmark.report.tables import Line, Table
from genzoo.benchmark.scorecard import markdown, tables
from genzoo.cli import main

VAE = "--data digits --steps 3 --width 8 --check-every 3 --batch-size 16".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run that was finished before there was anything to measure but its likelihood."""
    folder = tmp_path_factory.mktemp("before") / "run"
    with pytest.MonkeyPatch.context() as before:
        before.setattr(runs, "MEASURES", ())
        assert main(["train", "vae", *VAE, "--out", str(folder)]) == 0
    assert "quality" not in stored(folder)
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch) -> Path:
    """A copy of it, in the folder where commands write."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(finished, "run"))


def stored(folder: Path) -> dict:
    return json.loads((folder / "row.json").read_text())


def table(rows) -> Table | None:
    lines = [Line((row["family"], f"{row['length']['value']}")) for row in rows if "length" in row]
    return Table("Lengths", ("model", "length"), lines, ["in metres"]) if lines else None


def test_an_old_run_gets_what_it_lacks_from_its_stored_model_and_keeps_it(run):
    weights = (run / "model" / "model.safetensors").read_bytes()
    assert main(["train", "vae", *VAE, "--out", "run"]) == 0  # the same command goes on
    entry = stored(run)["quality"]
    assert (
        entry["n"] == 400
        and entry["space"] == "digits-net"
        and entry["figures"]["FD (digits-net)"]["value"] > 0
    )
    assert (run / "quality.npz").is_file() and (
        run / "model" / "model.safetensors"
    ).read_bytes() == weights
    written = (run / "row.json").stat().st_mtime_ns
    assert runs.appraise(run) == stored(run) and (run / "row.json").stat().st_mtime_ns == written


def test_a_measure_is_one_entry_and_an_interruption_costs_one(run, monkeypatch):
    taken = []

    def measure(model, data, budget="full", folder=None, progress=None, seed=0):
        taken.append((type(model).__name__, data.name, budget, folder, seed))
        return {"value": 4}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    first = Measure("length", measure, table)
    monkeypatch.setattr(runs, "MEASURES", (first, Measure("width", interrupted, table)))
    with pytest.raises(KeyboardInterrupt):
        runs.appraise(run)
    assert stored(run)["length"] == {"value": 4} and "width" not in stored(run)
    monkeypatch.setattr(runs, "MEASURES", (first, Measure("width", measure, table)))
    row = runs.appraise(run)
    assert row["length"] == row["width"] == {"value": 4}
    assert taken == [("VAE", "digits", "quick", run, stored(run)["seed"])] * 2


def test_every_run_is_judged_by_samples_of_its_own(run):
    """The same weights under another seed: were the samples the same, the spread over seeds would
    not show their luck.
    """
    first = runs.appraise(run)["quality"]["figures"]
    row = {name: value for name, value in stored(run).items() if name != "quality"}
    (run / "row.json").write_text(json.dumps(row | {"seed": 7}))
    second = runs.appraise(run)["quality"]["figures"]
    assert first["FD (digits-net)"]["value"] != second["FD (digits-net)"]["value"]


def test_every_measure_has_a_table_and_rows_without_it_none(monkeypatch):
    rows = [
        {
            "family": "VAE",
            "data": "digits",
            "bits_per_dim": {"value": 1.5, "kind": "bound", "stderr": 0.1},
        }
    ]
    assert [t.title for t in tables(rows)] == ["Likelihood of the test data, and what it costs"]
    before = markdown(rows)
    monkeypatch.setattr(
        "genzoo.benchmark.scorecard.MEASURES", (*measures.MEASURES, Measure("length", table, table))
    )  # type: ignore[arg-type]
    rows[0]["length"] = {"value": 7}
    assert (
        markdown(rows)
        == before + "\n| model | length |\n| --- | ---: |\n| **VAE** | 7 |\n\nin metres\n"
    )


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
    assert {row["family"] for row in rows if row["quality"]["figures"]} == {
        "GAN",
        "VAE",
        "Independent pixels",
        "Gaussian",
    }
    assert len({row["quality"]["floor"]["precision"]["value"] for row in rows}) == 1
    page = Path("out/report.html").read_text()
    assert "Quality of samples" in page and "The samples nearest to what was trained on" in page
    assert Path("out/copies.png").stat().st_size > 10_000


def test_evaluate_shows_quality_where_it_is_asked_to(run, capsys):
    assert main(["evaluate", "run", "--k", "1", "--quality"]) == 0
    printed = capsys.readouterr().out
    assert "Real data" in printed and "at n = ∞" in printed and "447" in printed
