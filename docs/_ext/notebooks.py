"""Every chapter once more as a notebook to download, in Markdown that any notebook can show.

What only the page can do (a figure to touch, an answer that waits) becomes text, a fold or a
pointer to the page; what a cell has computed stands in the text as the build found it.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import course
import lint
import nbformat
from docutils import nodes

FOLDER = "_notebooks"
NOTE = """*This notebook is made from the chapter [{title}]({page}) of the course. Its cells are the
chapter's; figures to touch and quizzes are on the page.*"""
GLUE = '''def glue(name, value, display=True):
    """On the page this value stands in the text; here it is printed."""
    print(f"{name}: {value}")'''
RECORDS = "../../experiments"  # in a cell: it reads a record by the place of the chapter
AT_HOME = """import os
from pathlib import Path

import genzoo

# The cells below read records that lie in genzoo's clone. From here they are found.
os.chdir(Path(genzoo.__file__).parents[1] / "docs" / "course")"""
TITLES = {"goals": "You will be able to", "needs": "You need", "minute": "In one minute"}


def is_chapter(docname: str) -> bool:
    return bool(re.match(r"course/\d\d-", docname))


def convert(text: str, root: Path, page: str, values: list[str], cited: dict[str, str]):
    """The notebook of a chapter from its Markdown.

    ``values`` are those that cells have glued into the text, in their order, and ``cited`` says how
    a reference is cited.
    """
    lines = text.split("\n")
    start = lines.index("---", 1) + 1 if lines[0] == "---" else 0
    body = re.sub(r"<!--.*?-->\n?", "", "\n".join(lines[start:]), flags=re.S)
    told = iter(values)
    title = re.search(r"^# (.+)$", body, re.M)
    cells = [
        nbformat.v4.new_markdown_cell(NOTE.format(title=title[1] if title else page, page=page))
    ]
    parts = list(pieces(body.split("\n"), root))
    if any(kind == "code" and RECORDS in part for kind, part in parts):
        cells.append(nbformat.v4.new_code_cell(AT_HOME))
    for kind, part in parts:
        if kind == "code":
            part = re.sub(r"^from myst_nb import glue$", GLUE, part, flags=re.M)
            cells.append(nbformat.v4.new_code_cell(part))
        elif part := roles(part, told, cited).strip():
            cells.append(nbformat.v4.new_markdown_cell(part))
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"  # the same at every build
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def pieces(lines: list[str], root: Path) -> Iterator[tuple[str, str]]:
    """The page's text and the sources of its cells, in turn."""
    held: list[str] = []
    for part in blocks(lines):
        if isinstance(part, str):
            held.append(part)
        elif part[0] == "code-cell":
            yield "text", "\n".join(held)
            held = []
            yield "code", cell(part[2])
        else:
            held += directive(*part, root)
    yield "text", "\n".join(held)


def blocks(lines: list[str]) -> Iterator[str | tuple[str, str, list[str]]]:
    """Lines of text, and directives with their name, argument and lines."""
    i = 0
    while i < len(lines):
        fence = lint.FENCE.match(lines[i])
        if not fence or not fence[2]:
            end = closing(lines, i, fence[1]) if fence and fence[1][0] != ":" else i
            yield from lines[i : end + 1]
            i = end + 1
            continue
        end = closing(lines, i, fence[1])
        inside = textwrap.dedent("\n".join(lines[i + 1 : end])).split("\n")
        yield fence[2], fence[3], inside
        i = end + 1


def closing(lines: list[str], start: int, mark: str) -> int:
    """Where the fence ends that begins at a line."""
    pattern = re.compile(rf"^\s*{re.escape(mark[0])}{{{len(mark)},}}\s*$")
    end = start + 1
    while end < len(lines) and not pattern.match(lines[end]):
        end += 1
    return end


def cell(lines: list[str]) -> str:
    """The source of a cell without its options."""
    if lines and lines[0].strip() == "---":
        lines = lines[lines.index("---", 1) + 1 :]
    while lines and re.match(r":[\w-]+:", lines[0]):
        lines = lines[1:]
    return "\n".join(lines).strip("\n")


def directive(name: str, argument: str, lines: list[str], root: Path) -> list[str]:
    """A directive as plain Markdown."""
    options: dict[str, str] = {}
    while lines and (option := lint.OPTION.match(lines[0])):
        options[option[1]] = option[2].strip()
        lines = lines[1:]
    if name == "quiz":
        return ["", *quiz("\n".join(lines)), ""]
    if name == "exercise":
        return ["", *exercise(argument), ""]
    if name == "equation":
        formula = "\n".join(lines).strip()
        _, code = course.source_of(root, options["code"])
        return ["", "$$", formula, "$$", "", "```python", *code.split("\n"), "```",
                f"*Checked by the test* `{options['test']}`", ""]  # fmt: skip
    if name == "literalinclude":
        return ["", "```python", *included(argument, options, root), "```", ""]
    if name in ("code", "code-block", "eval-rst", "bibliography"):
        return ["", "```" + argument, *lines, "```", ""] if name.startswith("code") else []
    text = []
    for part in blocks(lines):
        text += [part] if isinstance(part, str) else directive(*part, root)
    if name in TITLES:
        return ["", f"**{TITLES[name]}**", "", *text, ""]
    if name == "predict":
        choices = [f"- {one.strip()}" for one in options.get("choices", "").split("|") if one]
        return ["", f"**Predict first.** {argument}", "", *choices, "", *fold("The answer", text)]
    if name == "derive":
        return ["", f"**{argument or 'Step by step'}**", "", *text, ""]
    if name == "algebra":
        return fold(argument or "The algebra, line by line", text)
    if name == "play":
        return ["", f"**On the page, to touch:** {options.get('question', '')}", "", *text, ""]
    if name in ("scheme", "curves"):
        return ["", *([f"*(A picture on the page: {options['alt']})*"] if "alt" in options else []),
                "", *text, ""]  # fmt: skip
    if name == "math":
        return ["", "$$", *text, "$$", ""]
    head = [f"**{argument}**", ""] if argument else []
    return ["", *("> " + line for line in head + text), ""]


def fold(summary: str, text: list[str]) -> list[str]:
    return ["", f"<details><summary>{summary}</summary>", "", *text, "", "</details>", ""]


def quiz(text: str) -> list[str]:
    found = []
    for item in course.read_quiz(text):
        answers = [f"- {answer}: *{reason}*" for answer, reason in item["wrong"]]
        right = [f"- **{item['right']}** {item.get('because', '')}".rstrip()]
        found += ["", f"**{item['ask']}**", "", *fold("The answers", [*right, *answers])]
    return found


def exercise(name: str) -> list[str]:
    known = course.exercises()
    head = f"**Exercise {name}**" + (f": {known[name].title}" if name in known else "")
    statement = known[name].statement.split("\n") if name in known else []
    return [head, "", *statement, "", "```console", f"genzoo exercise start {name}",
            f"genzoo exercise check {name}", "```"]  # fmt: skip


def included(path: str, options: dict[str, str], root: Path) -> list[str]:
    """The quoted source, found by the end of its path."""
    file = root / path.replace("../", "")
    if "pyobject" in options:
        return course.definition(file, options["pyobject"].split("."), docstring=True).split("\n")
    return file.read_text(encoding="utf-8").split("\n")


def roles(text: str, told: Iterator[str], cited: dict[str, str]) -> str:
    """Roles as plain text: glued values, citations, terms and links."""

    def role(match: re.Match[str]) -> str:
        name, held = match[1], match[2]
        shown = re.match(r"(.*?)\s*<[^>]*>$", held, re.S)
        if name.startswith("glue"):
            return str(next(told, held.split(":")[0]))
        if name.startswith("cite"):
            return ", ".join(cited.get(key.strip(), key.strip()) for key in held.split(","))
        return str(shown[1]) if shown else held.lstrip("~!").rpartition("/")[2]

    text = re.sub(r"\{([\w:-]+)\}`([^`]*)`", role, text)
    text = re.sub(r"\\term\{\d\}", "", text)
    return re.sub(r"\]\(([^):]+)\.md(#[^)]*)?\)", r"](../course/\1.html\2)", text)


def citations(bibliography: Path) -> dict[str, str]:
    """How a reference is cited: its first author's name and the year."""
    text = bibliography.read_text(encoding="utf-8")
    found = {}
    for key, body in re.findall(r"@\w+\{([^,]+),(.*?)\n\}", text, re.S):
        author = re.search(r"author\s*=\s*\{(.*)\},?\s*$", body, re.M)
        year = re.search(r"year\s*=\s*\{(\d+)\}", body)
        names = author[1].split(" and ") if author else [key]
        names = [re.sub(r"[{}\\\"'`^~]", "", one.split(",")[0]) for one in names]
        others = " et al." if len(names) > 2 else ""
        first = " and ".join(names) if len(names) < 3 else names[0]
        found[key] = f"{first}{others} ({year[1] if year else ''})"
    return found


# -------------------------------------------------------------------------------------- the build


def link(app, doctree):
    """A link to the notebook below the chapter's title."""
    docname = app.env.docname
    title = next(iter(doctree.findall(nodes.title)), None)
    if is_chapter(docname) and title is not None and title.parent is not None:
        file = f"../{FOLDER}/{docname.rpartition('/')[2]}.ipynb"
        text = f'<p class="co-download"><a href="{file}" download>Notebook of this chapter</a></p>'
        title.parent.insert(1, nodes.raw("", text, format="html"))


def write(app, problem):
    """The notebooks of all chapters."""
    if problem or app.builder.format != "html":
        return
    env = app.env
    cited = citations(Path(app.srcdir) / "references.bib")
    for docname in filter(is_chapter, env.found_docs):
        doctree = env.get_doctree(docname)
        told = [one.astext() for one in doctree.findall(nodes.inline)
                if "pasted-text" in one["classes"]]  # fmt: skip
        source = Path(env.doc2path(docname)).read_text(encoding="utf-8")
        page = f"../{docname}.html"
        notebook = convert(source, Path(app.config.course_root), page, told, cited)
        path = Path(app.outdir) / FOLDER / f"{docname.rpartition('/')[2]}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)


def setup(app):
    app.connect("doctree-read", link)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
