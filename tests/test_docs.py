"""The site builds offline and without a warning, with every page's cells run, and can be read."""

import html
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import genzoo
from genzoo import FAMILIES, VAEGAN

DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = (
    "genzoo.benchmark",
    "genzoo.compression",
    "genzoo.course",
    "genzoo.data",
    "genzoo.evaluation",
    "genzoo.families",
    "genzoo.training",
    "genzoo.unclip",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
WIDTHS = (390, 1280, 1440, 1600)  # pixels: a phone, and the usual windows of a laptop
LINES = 20  # of printed output that a reader can be asked to look at
SPHINX = importlib.util.find_spec("sphinx")
needs_sphinx = pytest.mark.skipif(SPHINX is None, reason="needs pip install -e '.[docs]'")


def test_every_family_has_a_chapter():
    chapters = {page.stem[3:] for page in (DOCS / "course").glob("*.md")}
    names = {family.__module__.rpartition(".")[2].replace("_", "-") for family in FAMILIES}
    assert names <= chapters


def test_every_public_name_is_in_the_reference():
    """By itself, or by its module, of which the page shows all members."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    modules = set(re.findall(r"automodule:: (\S+)\n +:members:", pages))
    single = set(re.findall(r"auto(?:class|function):: (\S+)", pages))
    missing = []
    for package in (genzoo, *map(importlib.import_module, PACKAGES)):
        for name in package.__all__:
            thing = getattr(package, name)
            full = f"{package.__name__}.{name}"
            is_shown = full in single or package.__name__ in modules
            if callable(thing) and not is_shown and thing.__module__ not in modules:
                missing.append(full)
    # families are shown where the whole package has them
    families = {f"genzoo.families.{family.__name__}" for family in (*FAMILIES, VAEGAN)}
    assert set(missing) <= families


@pytest.mark.slow(seconds=200)
@pytest.mark.timeout(1200)
@needs_sphinx
def test_the_site_builds(tmp_path, subtests):
    site = tmp_path / "site"
    done = built(DOCS, site, "-D", "course_strict=1")
    assert done.returncode == 0, done.stderr

    with subtests.test("formulas are rendered by the build, and no page asks a server for them"):
        page = (site / "course" / "10-vae.html").read_text(encoding="utf-8")
        assert 'class="katex"' in page

    checks = (raw_tables, unread, echoes, long_outputs, nameless_pictures, false_types, requests)
    faults = found((*checks, unanswered, loose_signs, white_figures), site)
    for name, those in faults.items():
        with subtests.test(name):
            assert those == []

    with subtests.test("every chapter can be downloaded as a notebook"):
        for page in (site / "course").glob("[0-9]*.html"):
            links = re.findall(r'href="([^"]+\.ipynb)" download', page.read_text(encoding="utf-8"))
            assert len(links) == 1 and (page.parent / links[0]).is_file(), page.name

    with subtests.test("pages fit a phone; a laptop shows their contents and lines of 42em"):
        if BROWSER is None:
            pytest.skip("needs a browser to measure pages with: apt-get install chromium")
        assert misfits(measured(site, tmp_path)) == []


def built(docs: Path, site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What came of building ``docs``, warnings being errors."""
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "2"]
    return run([*sphinx, *options, str(docs), str(site)])


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


# ---------------------------------------------------------------------- what a page may not contain


def pages(site: Path) -> list[Path]:
    """The pages of the site, but for the source code that they link to."""
    return [page for page in sorted(site.rglob("*.html")) if "_modules" not in page.parts]


def found(checks: Iterable[Callable[[Any], list[str]]], site: Path) -> dict[str, list[str]]:
    """What each check finds fault with, by its first line, each fault after its page's name."""
    from bs4 import BeautifulSoup

    faults: dict[str, list[str]] = {str(check.__doc__): [] for check in checks}
    for page in pages(site):
        content = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        content.folder = page.parent
        for check in checks:
            those = [f"{page.relative_to(site)}: {fault}" for fault in check(content)]
            faults[str(check.__doc__)] += those
    return faults


def raw_tables(page) -> list[str]:
    """No table is shown as a paragraph of bars."""
    paragraphs = [paragraph.get_text().strip() for paragraph in page.find_all("p")]
    return [text[:60] for text in paragraphs if text.startswith("| ")]


def echoes(page) -> list[str]:
    """No cell shows the repr of its last value: what is shown was printed, drawn or rendered."""
    return [output.get_text().strip()[:60] for output in page.select(".cell_output .text_plain")]


def long_outputs(page) -> list[str]:
    """No cell prints more lines than a reader will look at."""
    printed = [output.get_text().strip() for output in page.select(".cell_output pre")]
    return [text[:60] for text in printed if len(text.splitlines()) > LINES]


def nameless_pictures(page) -> list[str]:
    """Every picture has a text in its place, and not the name of its file."""
    pictures = page.select("img:not(.toggler)")  # a toggler folds a part of the index
    texts = [picture.get("alt", "").strip() for picture in pictures]
    return [text for text in texts if len(text) <= 15 or " " not in text]


def unread(page) -> list[str]:
    """No directive is printed instead of carried out, as one is whose title holds a backtick."""
    texts = page.get_text().splitlines()
    return [text.strip()[:60] for text in texts if re.match(r"\s*(```|:::)\{", text)]


def requests(page) -> list[str]:
    """Nothing that a page is made of is asked of a server."""
    parts = page.select("script[src], link[href], img[src], iframe[src], source[src]")
    sources = [part.get("src") or part.get("href") for part in parts]
    return [source for source in sources if re.match(r"(https?:)?//", source)]


def unanswered(page) -> list[str]:
    """Nothing that a chapter promises is still to come."""
    return [later.get_text().strip() for later in page.select(".co-later")]


def loose_signs(page) -> list[str]:
    """No cell of a table can break between a sign and its number."""
    cells = page.select("article td:not(.text_html td):not(:has(.katex))")  # HTML of cells: by CSS
    texts = [cell.get_text().strip() for cell in cells]
    return [text[:60] for text in texts if re.search(r"(^|\s)[=≤≥≈±] +\d", text)]


def white_figures(page) -> list[str]:
    """Figures of cells lie on a dark page as on a light one: their ground is transparent."""
    from PIL import Image

    faults = []
    for picture in page.select(".cell_output img[src$='.png']"):
        with Image.open(page.folder / picture["src"]) as image:
            if image.convert("RGBA").getpixel((0, 0))[3] == 255:
                faults.append(str(picture.get("alt"))[:50])
    return faults


def false_types(page) -> list[str]:
    """No property's docstring is cut in two at its colon and its first half called a type."""
    fields = [field for field in page.select("dl.field-list dt") if field.get_text() == "Type:"]
    return [field.parent.get_text().strip()[:60] for field in fields]


# ------------------------------------------------------------------------- how pages are laid out

MEASURE = """
addEventListener("load", () => {
  const found = [];
  for (const frame of document.querySelectorAll("iframe")) for (const width of WIDTHS) {
    frame.style.width = width + "px";
    const page = frame.contentDocument, root = page.documentElement;
    const content = page.querySelector(".content");
    const contents = page.querySelector(".toc-drawer:not(.no-toc)");
    const em = parseFloat(getComputedStyle(root).fontSize);
    const prose = [...page.querySelectorAll("article p")].map(p => p.getBoundingClientRect().width);
    found.push({
      page: frame.title, width, visible: root.clientWidth,
      overflow: root.scrollWidth - root.clientWidth + content.scrollWidth - content.clientWidth,
      prose: Math.max(0, ...prose) / em,
      contents: contents && contents.getBoundingClientRect(),
    });
  }
  document.body.textContent = JSON.stringify(found);
});
"""


def measured(site: Path, folder: Path) -> list[dict[str, Any]]:
    """The layout of every page at each of `WIDTHS`, by a browser that shows them in frames."""
    frame = '<iframe title="{}" src="{}" height="900"></iframe>'
    frames = "".join(frame.format(page.relative_to(site), page.as_uri()) for page in pages(site))
    script = f"<script>const WIDTHS = {list(WIDTHS)};{MEASURE}</script>"
    style = "<style>iframe { border: 0 }</style>"
    album = folder / "frames.html"
    head = f"<!doctype html><meta charset=utf-8>{style}"
    album.write_text(f"{head}<body>{frames}{script}", encoding="utf-8")
    offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    alone = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    task = ["--allow-file-access-from-files", "--dump-dom", album.as_uri()]
    done = run([str(BROWSER), *alone, *offline, *task])
    body = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    assert body is not None, done.stderr
    return json.loads(html.unescape(body[1]))


def misfits(layouts: list[dict[str, Any]]) -> list[str]:
    """What does not fit its window, in words."""
    faults = []
    for layout in layouts:
        where = f"{layout['page']} at {layout['width']} pixels"
        if layout["overflow"] > 0:
            faults.append(f"{where}: {layout['overflow']} pixels too wide")
        if layout["prose"] > 42.01:
            faults.append(f"{where}: a paragraph is {layout['prose']:.1f}em wide")
        contents = layout["contents"]
        if contents and layout["width"] >= 1280:
            in_sight = 0 < contents["left"] < contents["right"] <= layout["visible"] + 1
            if not in_sight:
                faults.append(f"{where}: its contents are cut off or out of sight")
    return faults
