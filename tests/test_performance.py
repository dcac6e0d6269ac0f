"""Benchmarks against other libraries: fair turns, and a page that hides no lost row."""

import importlib.util
import json
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
import torch

from genzoo import VAE

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def script(path: Path):
    """A script as a module: it is no part of the package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def paired():
    return script(EXPERIMENTS / "benchmarks" / "paired.py")


@pytest.fixture(scope="module")
def render():
    return script(EXPERIMENTS / "render.py")


def test_a_race_takes_turns_and_tells_how_many_times_as_fast_we_are(paired, monkeypatch):
    now, order = [0.0], []

    def takes(name: str, cost: float):
        def action() -> None:
            order.append(name)
            now[0] += cost

        return action

    monkeypatch.setattr(paired.time, "process_time", lambda: now[0])
    row = paired.race("task", takes("ours", 0.1), takes("theirs", 0.3), rounds=4)
    assert row["ours"] == pytest.approx(100) and row["theirs"] == pytest.approx(300)
    assert list(row["ratio"].values()) == pytest.approx([3, 3, 3])
    assert order[4:] == ["ours", "theirs", "theirs", "ours"] * 2  # after warming up and pacing


def test_the_overhead_of_an_unknown_family_is_refused_with_the_nearest():
    overhead = script(EXPERIMENTS / "benchmarks" / "training_overhead.py")
    assert overhead.known("vae") is overhead.known("VAE") is VAE
    with pytest.raises(ArgumentTypeError, match="Did you mean 'vae'"):
        overhead.known("vaee")


def test_short_calls_make_long_turns(paired, monkeypatch):
    now = [0.0]

    def action() -> None:
        now[0] += 0.001

    monkeypatch.setattr(paired.time, "process_time", lambda: now[0])
    row = paired.race("task", action, action, rounds=2)
    assert row["ours"] == pytest.approx(1)
    assert now[0] >= 4 * paired.TURN


def test_a_loop_ends_with_its_seconds(paired, monkeypatch):
    now = [0.0]
    model = torch.nn.Linear(1, 1)

    def loss(x):
        now[0] += 1.0
        return model(x).square().mean()

    monkeypatch.setattr(paired.time, "process_time", lambda: now[0])
    loop = paired.Loop(model, loss, torch.ones(4, 1), batch=2, rate=0.1)
    assert loop.train(5) == 5
    assert loop.optimizer.param_groups[0]["lr"] < 0.1 and not model.training


def a_record(*rows: dict) -> dict:
    return {
        "peer": "peer",
        "peer_version": "1.2",
        "script": "a_peer.py",
        "equal": ["seconds"],
        "unequal": ["parameters"],
        "rows": rows,
    }


def a_race(low: float, middle: float, high: float) -> dict:
    ratio = {"low": low, "middle": middle, "high": high}
    return {"task": "step", "unit": "ms", "ours": 1.0, "theirs": middle, "ratio": ratio, "n": 9}


def test_the_page_shows_lost_rows_and_what_is_not_equal(render, tmp_path):
    measured = {"task": "nats", "unit": "nats", "better": "less", "ours": 0.2, "theirs": 0.1}
    rows = (a_race(2, 3, 4), a_race(0.3, 0.5, 0.6), measured | {"errors": (0.01, 0.01)})
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "mine.json").write_text(json.dumps(a_record(*rows)))
    shown = render.bench("mine", tmp_path, "records")
    won, lost, worse = shown.splitlines()[2:5]
    assert "**1**" in won and "3.00 (2.00–4.00)" in won
    assert "**0.5**" in lost and "**1**" not in lost
    assert "**0.100 ± 0.010**" in worse
    assert "Not equal: parameters" in shown and "peer 1.2" in shown and "a_peer.py" in shown
    summary = render.races("all", tmp_path, "records")
    assert "ahead in 1;" in summary and "is ahead in 2: peer (step); peer (nats)" in summary
    assert render.bench("none", tmp_path, "records") == render.NOTHING


def test_what_lies_within_the_spread_is_nobody_s(render):
    equal = {"better": "less", "ours": 0.20, "theirs": 0.19, "errors": (0.01, 0.01)}
    assert render._winner(equal) is None
    assert render._winner(a_race(0.9, 1.0, 1.1)) is None
    assert render._winner({"better": "equal", "ours": 1.0, "theirs": 2.0}) is None
    assert render._winner({"better": "more", "ours": 2, "theirs": 1}) == 0


def test_growth_tells_costs_with_exponents(render, tmp_path):
    costs = dict.fromkeys(render.COSTS, 4.0)
    record = {
        "sides": {"flow": {"16": costs, "64": costs}},
        "events": {"flow": {"1000": costs, "64000": costs}},
        "exponents": {"sides": {"flow": dict.fromkeys(costs, 0.97)}, "events": {"flow": costs}},
        "batch": 8,
        "width": 32,
        "moves": 10,
        "script": "cost.py",
    }
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "cost.json").write_text(json.dumps(record))
    shown = render.growth("cost", tmp_path, "records")
    assert "64x64" in shown and "4 (0.97)" in shown and "1,000 to 64,000" in shown


def test_an_exponent_is_the_slope_of_logarithms():
    cost = script(EXPERIMENTS / "benchmarks" / "cost.py")
    rows = {side: {"step_ms": 3.0 * side**2} for side in (16, 32, 64)}
    assert cost.exponent(rows, "step_ms", [side**2 for side in rows]) == pytest.approx(1)
