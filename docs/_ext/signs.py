"""Keep what belongs together on one line, and numbers out of the catalogues.

A number stays with its sign, its unit and its interval, and a formula with the comma after it.
A table's cell without a word in it is no message to translate.
"""

import re

from docutils import nodes

SPACE, JOINER = "\N{NO-BREAK SPACE}", "\N{WORD JOINER}"
BEFORE = re.compile(r"(?<=[=≤≥≈±<>~…]) (?=[-−]?\d)")
AFTER = re.compile(r"(?<=\d) (?=(?:[±…%]|nats?\b|bits?\b|[kMG]iB\b|[kM]\b|min\b|s\b|h\b|\[\d))")
DASH = re.compile(r"(?<=\d)–(?=[\d.]+\])")  # of an interval: 84 [82–87]
CLOSING = re.compile(r"^[.,;:!?)\]]+")  # what may not begin a line
VERBATIM = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw)


def joined(text: str) -> str:
    text = DASH.sub(f"{JOINER}–{JOINER}", text)
    return AFTER.sub(SPACE, BEFORE.sub(SPACE, text))


def join(app, doctree, docname):
    """No-break spaces in all text but code and formulas."""
    for text in list(doctree.findall(nodes.Text)):
        if isinstance(text.parent, VERBATIM):
            continue
        new = joined(str(text))
        if new != text:
            text.parent.replace(text, nodes.Text(new))


def hold(app, doctree, docname):
    """The punctuation after a formula within a line becomes its last letter: a browser may break a
    line after the boxes that a formula is made of, whatever follows.
    """
    for formula in doctree.findall(nodes.math):
        after = formula.next_node(descend=False, siblings=True)
        closing = CLOSING.match(str(after)) if isinstance(after, nodes.Text) else None
        if closing:
            formula.children = [nodes.Text(rf"{formula.astext()}\textsf{{{closing[0]}}}")]
            # By its place: Element.replace takes the first text that is *equal*, which may be the
            # full stop of another sentence.
            place = formula.parent.index(formula) + 1
            formula.parent[place] = nodes.Text(str(after)[closing.end() :])


def keep(app, doctree):
    """Cells of numbers and signs are left out of the catalogues of translators."""
    for entry in doctree.findall(nodes.entry):
        for text in entry.findall(nodes.TextElement):
            if not re.search(r"[^\W\d_]{2}", text.astext()):
                text["translatable"] = False


def setup(app):
    app.connect("doctree-read", keep)
    app.connect("doctree-resolved", join)
    app.connect("doctree-resolved", hold)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
