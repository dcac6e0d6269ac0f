"""Names in backticks lead to what they name.

Docstrings say `log_prob` or `genzoo.fit` as their readers would, and Sphinx knows such a thing by
the module where it is defined. So a name that Sphinx does not find is looked up by its end: in the
class that the docstring belongs to, then in `GenerativeModel`, then wherever there is one only. A
name that the library has and the reference leaves out stays code; a name that nothing has is left
to Sphinx, which warns (``nitpicky``).
"""

import ast
import functools
from pathlib import Path

from sphinx.util.nodes import make_refnode


def resolve(app, env, node, contnode):
    """What a reference of the Python domain leads to that Sphinx has not found."""
    if node.get("refdomain") != "py":
        return None
    target = node.get("reftarget", "").removeprefix("~").removeprefix(".")
    objects = env.get_domain("py").objects
    end = target.rpartition(".")[2]
    same = [name for name, entry in objects.items() if name.rpartition(".")[2] == end]
    if "." in target:  # the class or module before it says more
        owner = target.split(".")[-2]
        if owner != "genzoo":
            same = [name for name in same if name.split(".")[-2:-1] == [owner]]
    home = node.get("py:class") or ""
    for wanted in (f"{home}.{end}", f"GenerativeModel.{end}"):
        near = [name for name in same if f".{name}".endswith(f".{wanted}")]
        if len(near) == 1:
            same = near
            break
    pages = {(objects[name].docname, objects[name].node_id) for name in same}
    if len(pages) == 1:
        docname, anchor = pages.pop()
        return make_refnode(app.builder, node["refdoc"], docname, anchor, contnode, same[0])
    known = end in names(Path(app.config.course_root) / "genzoo")
    return contnode if known else None


@functools.cache
def names(package: Path) -> frozenset[str]:
    """Every name that the package defines: modules, functions, classes, attributes, arguments."""
    found = {"genzoo"}
    for file in package.rglob("*.py"):
        found |= {file.stem, file.parent.name}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    found.add(name)
                case ast.Attribute(attr=name) | ast.arg(arg=name):
                    found.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    found.add(name)
    return frozenset(found)


def setup(app):
    app.connect("missing-reference", resolve)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
