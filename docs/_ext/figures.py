"""Let wide figures scroll on narrow screens, where their letters would be too small to read.

A figure wider than ``WIDE`` pixels gets a class, to which ``site.css`` gives a least width.
"""

from pathlib import Path

from docutils import nodes
from PIL import Image

WIDE = 560  # pixels; what is narrower fits a phone nearly as it is


def mark(app, doctree, docname):
    """Wide pictures lie in a box that scrolls."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        if is_wide(Path(app.srcdir, image["uri"])):
            box = nodes.container("", classes=["wide-figure"])
            image.parent.replace(image, box)
            box += image


def is_wide(path: Path) -> bool:
    if path.suffix != ".png" or not path.is_file():
        return False
    with Image.open(path) as image:
        return image.width > WIDE


def setup(app):
    app.connect("doctree-resolved", mark)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
