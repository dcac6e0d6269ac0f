"""``genzoo docs``: open the book of the course in a browser."""

import os
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genzoo.cli.help import Parser, console
from genzoo.errors import InputError

SITE = "GENZOO_DOCS"  # environment variable: a folder with a built site, or an address
CHECKOUT = Path(__file__).parents[2]
BUILT = ("docs/_build/html", "docs/_build")  # where a build puts it, in a checkout


def docs(arguments: Sequence[str]) -> int:
    """Open the first page, or print where it is."""
    options = _options(arguments)
    address = _address(options.site or os.environ.get(SITE))
    if not options.print:
        webbrowser.open(address)
    console().print(address if options.print else f"Opened {address}", soft_wrap=True)
    return 0


def _options(arguments: Sequence[str]) -> Any:
    parser = Parser("docs", "Opens the book of the course, as it was built here, in a browser.")
    parser.add_argument(
        "--site",
        type=str | None,
        default=None,
        help=f"folder of a built site, or an address; the variable {SITE} does the same",
    )
    parser.add_argument("--print", action="store_true", help="print the address, open nothing")
    return parser.parse(arguments)


def _address(site: str | None) -> str:
    """The address of the first page of a site, or of the one that was built in the checkout."""
    if site and "://" in site:
        return site
    folders = [Path(site)] if site else [CHECKOUT / folder for folder in BUILT]
    pages = [path if path.suffix == ".html" else path / "index.html" for path in folders]
    for page in pages:
        if page.is_file():
            return page.resolve().as_uri()
    if site:
        raise InputError(f"There is no built site in {site}: expected a folder with index.html.")
    raise InputError(
        "The book is not built here. In a checkout of the repository: pip install -e '.[docs]', "
        "then sphinx-build docs docs/_build. Or say where a built one is, with --site."
    )
