"""The book for readers who have no genzoo: a zip of the site, and a PDF of its chapters.

    sphinx-build docs docs/_build/html
    python experiments/release_book.py --site docs/_build/html --out dist [--pdf]

The zip needs nothing but a browser: unpack it and open ``index.html``, or say
``genzoo docs --site FOLDER``. The PDF is what Chromium prints of each chapter, in the order of the
front page's lists, with one bookmark a chapter; figures to touch appear as still pictures.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from rich.progress import track

import genzoo
from genzoo import files
from genzoo.errors import InputError

ROOT = Path(__file__).parents[1]
PRINTED = ("First ideas", "The families", "Putting them to work", "Companions")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
UNREAD = (".doctrees", "_sources")  # in a build's folder, and of no use to a reader


def chapters(index: str) -> list[str]:
    """The pages under the `PRINTED` captions of the front page's lists, in order."""
    lists = re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    found = []
    for entries in lists:
        caption = re.search(r":caption: (.+)", entries)
        if caption and caption[1] in PRINTED:
            found += [line for line in entries.splitlines() if line and not line.startswith(":")]
    return found


def pack(site: Path, path: Path) -> None:
    """Write the site as a zip, in one folder of the zip's name."""
    with files.whole(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(site.rglob("*")):
            inside = file.relative_to(site)
            if file.is_file() and inside.parts[0] not in UNREAD:
                archive.write(file, Path(path.stem) / inside)


def print_book(site: Path, pages: list[str], path: Path) -> None:
    """Print the pages, and join them.

    Raises:
        InputError: there is no browser.
    """
    from bs4 import BeautifulSoup
    from pypdf import PdfReader, PdfWriter

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise InputError("Printing needs a browser: apt-get install chromium.")
    book = PdfWriter()
    with tempfile.TemporaryDirectory() as scratch:
        for page in track(pages, "printing"):
            html = site / f"{page}.html"
            part = Path(scratch) / "part.pdf"
            printed(browser, html, part, Path(scratch) / "profile")
            heading = BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser").h1
            title = heading.get_text().rstrip("#¶ ") if heading else page
            first = len(book.pages)
            book.append(PdfReader(part), import_outline=False)
            book.add_outline_item(title, first)
    with files.whole(path) as draft:
        book.write(draft)


def printed(browser: str, page: Path, path: Path, profile: Path) -> None:
    """Let a browser print one page."""
    alone = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    task = ["--no-pdf-header-footer", f"--print-to-pdf={path}", page.as_uri()]
    subprocess.run([browser, *alone, *offline, *task], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pack the built book for readers.")
    parser.add_argument("--site", type=Path, default=ROOT / "docs" / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--pdf", action="store_true", help="print the chapters, too")
    asked = parser.parse_args()
    site = asked.site.resolve()
    if not (site / "index.html").is_file():
        parser.error(f"there is no built site in {asked.site}: run sphinx-build docs {asked.site}")
    asked.out.mkdir(parents=True, exist_ok=True)
    name = f"genzoo-book-{genzoo.__version__}"
    pack(site, asked.out / f"{name}.zip")
    if asked.pdf:
        index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
        print_book(site, chapters(index), asked.out / f"{name}.pdf")
    for path in sorted(asked.out.glob(f"{name}.*")):
        print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
