"""The site builds without a network and without a warning, and every page's cells run while it does."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from genzoo import FAMILIES

DOCS = Path(__file__).parents[1] / "docs"


def test_every_family_has_a_page():
    pages = {page.stem for page in (DOCS / "families").glob("*.md")}
    assert pages == {family.__module__.rpartition(".")[2] for family in FAMILIES}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs pip install -e '.[docs]'")
def test_the_site_builds(tmp_path):
    site = tmp_path / "site"
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(site)]
    done = subprocess.run(build, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (site / "families" / "vae.html").read_text(encoding="utf-8")
    assert 'class="katex"' in page, "formulas are not rendered by the build"
    assert "cdn.jsdelivr" not in page, "the page asks a server for something"
