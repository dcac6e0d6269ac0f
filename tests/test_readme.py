"""The README keeps its word.

Its table is what the record says, its snippet runs, its commands are whole.
"""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from rows import row

from genzoo.benchmark import scorecard

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def render():
    """`experiments/render.py`, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("render", ROOT / "experiments" / "render.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_blocks_are_what_the_records_say(render):
    assert render.BLOCK.search(README), "README has no block for a record"
    for page in render.PAGES:
        assert render.render(page) == page.read_text(encoding="utf-8"), (
            "run python experiments/render.py"
        )


def test_a_block_is_rewritten_from_its_record(render, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table:mine -->\nstale\n<!-- /table:mine -->\nafter\n")
    records = tmp_path / "records"
    records.mkdir()
    assert "(no record yet)" in render.render(page, records)
    scorecard.write([row("Flow", data="digits")], records / "mine.json")
    once = render.render(page, records)
    assert (
        "≤ 1.500" in once
        and "stale" not in once
        and once.startswith("before\n")
        and once.endswith("after\n")
    )
    assert "mine.png" not in once and "(records/mine.json)" in once
    (records / "mine.png").touch()
    assert "(records/mine.png)" in render.render(page, records)
    page.write_text(once)
    (records / "mine.png").unlink()
    assert render.render(page, records) == once


def test_two_commands_of_one_line_each():
    compare, test = (block.strip() for block in blocks("bash"))
    for command in (compare, test):
        assert "\n" not in command
        assert shlex.split(command)[:4] == ["python3", "-m", "venv", ".venv"]
    assert compare.endswith(".venv/bin/genzoo compare")
    assert test.endswith(".venv/bin/pytest")


def test_the_snippet_runs(tmp_path, monkeypatch, capsys):
    (snippet,) = blocks("python")
    assert len([line for line in snippet.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(snippet.replace("steps=500", "steps=20"), names)
    assert capsys.readouterr().out.startswith("≤ ")
    assert names["threes"].shape == (16, 1, 8, 8)
    assert names["model"].config()["family"] == "VAE"


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
