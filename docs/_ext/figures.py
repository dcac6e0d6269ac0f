"""Let wide figures and tables scroll on narrow screens, instead of becoming too narrow to read.

A figure wider than ``WIDE`` pixels and a table's cell of ``PROSE`` words get a class, to which
``site.css`` gives a least width.
"""

from pathlib import Path

from docutils import nodes
from PIL import Image

WIDE = 560  # pixels; what is narrower fits a phone nearly as it is
PROSE = 5  # words; a column of one word a line is no text


def mark(app, doctree, docname):
    """Wide pictures lie in a box that scrolls, and cells of prose keep their width."""
    if app.builder.format != "html":
        return
    for cell in doctree.findall(nodes.entry):
        if len(cell.astext().split()) >= PROSE:
            cell["classes"].append("prose")
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
