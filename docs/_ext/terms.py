r"""A link to a term of the glossary says on its own what the term means: the first sentence of the
definition is its title, which a browser shows beside the pointer and a screen reader reads.
"""

import re

from docutils import nodes
from sphinx import addnodes

SYMBOLS = {
    r"\mid": "|", r"\theta": "θ", r"\lambda": "λ", r"\alpha": "α", r"\sigma": "σ", r"\beta": "β",
    r"\varepsilon": "ε", r"\log": "log", r"\exp": "exp", r"\sim": "~", r"\le": "≤", r"\ge": "≥",
    r"\nabla": "∇", r"\infty": "∞", r"\times": "×", r"\cdot": "·", r"\Delta": "Δ", r"\mu": "μ",
    r"\pi": "π", r"\eta": "η", r"\gamma": "γ", r"\approx": "≈", r"\in": "∈", r"\sum": "Σ",
    r"\int": "∫", r"\to": "→", r"\|": "‖", r"\,": " ", r"\;": " ", r"\!": "", r"\quad": " ",
}  # fmt: skip


def plain(latex: str) -> str:
    """A small formula in letters."""
    text = re.sub(r"\\(?:math\w+|text\w*|operatorname|hat|bar|tilde)\s*\{([^{}]*)\}", r"\1", latex)
    text = re.sub(r"\\(?:math\w+|hat|bar|tilde)\s*(\w)", r"\1", text)
    text = re.sub(r"\\[A-Za-z]+|\\.", lambda m: SYMBOLS.get(m[0], m[0][1:]), text)
    return re.sub(r"\s+", " ", re.sub(r"[{}]", "", text)).strip()


def first_sentence(definition: nodes.Node) -> str:
    """The first sentence of a definition, its formulas in letters."""
    paragraph = next(iter(definition.findall(nodes.paragraph)), None)
    if paragraph is None:
        return ""
    pieces = []

    def read(node):
        for child in node.children:
            if isinstance(child, nodes.math):
                pieces.append(plain(child.astext()))
            elif isinstance(child, nodes.Text):
                pieces.append(str(child))
            else:
                read(child)

    read(paragraph)
    text = re.sub(r"\s+", " ", "".join(pieces)).strip()
    return re.split(r"(?<=[.!?])\s+(?=[A-Z“\"(])", text, maxsplit=1)[0]


def collect(app, doctree):
    """Every term of a glossary on the page with the first sentence of what it means."""
    found = {}
    for item in doctree.findall(nodes.definition_list_item):
        terms = [one for one in item.children if isinstance(one, nodes.term)]
        definition = item.children[-1]
        if isinstance(item.parent.parent, addnodes.glossary):
            sentence = first_sentence(definition)
            found |= {one: sentence for term in terms for one in term["ids"]}
    app.env.course_terms = {**getattr(app.env, "course_terms", {}), app.env.docname: found}


def merge(app, env, docnames, other):
    theirs = getattr(other, "course_terms", {})
    mine = getattr(env, "course_terms", {})
    env.course_terms = {**mine, **{name: theirs[name] for name in docnames if name in theirs}}


def explain(app, doctree, docname):
    """Links to terms get their title."""
    terms = {}
    for found in getattr(app.env, "course_terms", {}).values():
        terms |= found
    for link in doctree.findall(nodes.reference):
        if any("std-term" in one["classes"] for one in link.findall(nodes.inline)):
            anchor = link.get("refid") or link.get("refuri", "").rpartition("#")[2]
            if terms.get(anchor):
                link["reftitle"] = terms[anchor]
                link["classes"].append("co-term")


def setup(app):
    app.connect("doctree-read", collect)
    app.connect("env-merge-info", merge)
    app.connect("doctree-resolved", explain)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
