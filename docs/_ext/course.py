r"""The directives that make a page a chapter: ``goals``, ``needs``, ``predict``, ``derive``,
``algebra``, ``equation``, ``play``, ``exercise``, ``quiz``, ``minute``, ``scheme`` and ``curves``.

Every one of them is readable without JavaScript and on paper; ``_static/course.js`` adds what is
hidden until the reader asks for it. What is wrong on a page is a warning of the build, and the
build takes warnings for errors. What another part of the project has yet to make (an exercise, a
figure to play with, a recorded run) is passed over with a sentence, unless ``course_strict`` is
set.
"""

import ast
import functools
import html
import importlib.util
import json
import os
import re
import socket
import sys
import time
from multiprocessing.util import Finalize
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import ClassVar

import curves
import schemes
import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from pygments.lexers.python import PythonLexer
from pygments.token import STANDARD_TYPES
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

TERMS = range(1, 6)  # colours of an equation
logger = logging.getLogger(__name__)


# ------------------------------------------------------------------------------ what pages are of


class part(nodes.General, nodes.Element):
    """An HTML element that holds blocks."""


class words(nodes.General, nodes.TextElement):
    """An HTML element that holds text, which a translation can replace."""


def visit(self, node):
    self.body.append(self.starttag(node, node["tag"], "", **node["attributes"]))


def depart(self, node):
    self.body.append(f"</{node['tag']}>\n")


def pass_over(self, node):
    pass


class Course(SphinxDirective):
    """What the directives have in common."""

    has_content = True

    def element(self, tag: str, *children: nodes.Node, classes: str = "", ids=(), **attributes):
        """``<tag class="classes" …>children</tag>``."""
        attributes = {name.rstrip("_").replace("_", "-"): v for name, v in attributes.items()}
        node = part("", *children, tag=tag, attributes=attributes)
        node["classes"] += classes.split()
        node["ids"] += ids
        self.set_source_info(node)
        return node

    def words(self, tag: str, text: str, classes: str = "", **attributes):
        """``<tag>`` with Markdown of one line in it."""
        children, _ = self.state.inline_text(str(text), self.lineno)
        node = words(text, "", *children, tag=tag, attributes=attributes)
        node["classes"] += classes.split()
        self.set_source_info(node)
        return node

    def markdown(self, text: str | None = None) -> list[nodes.Node]:
        """The directive's body, or another Markdown text, as nodes."""
        container = nodes.Element()
        content = self.content
        if text is not None:
            content = nodes_list(text, self.state_machine.document["source"])
        self.state.nested_parse(content, self.content_offset if text is None else 0, container)
        return container.children

    def html(self, text: str):
        return nodes.raw("", text, format="html")

    def box(self, kind: str, title: str, *children: nodes.Node, **more):
        head = [self.words("p", title, "co-title")] if title else []
        return self.element("div", *head, *children, classes=f"co co-{kind}", **more)

    def fold(self, summary: str, *children: nodes.Node, classes: str = ""):
        return self.element("details", self.words("summary", summary), *children, classes=classes)

    def code(self, text: str):
        node = nodes.literal_block(text, text, language="python")
        self.set_source_info(node)
        return node

    def path(self, name: str) -> Path:
        """A file of the repository, on which the page is noted to depend."""
        path = Path(self.config.course_root) / name
        if path.is_file():
            self.env.note_dependency(str(path))
        return path

    def later(self, sentence: str) -> list[nodes.Node]:
        """What stands in the place of what is not there yet."""
        if self.config.course_strict:
            raise self.error(sentence)
        return [self.words("p", sentence, "co-later")]


def nodes_list(text: str, source: str):
    from docutils.statemachine import StringList

    return StringList(text.splitlines(), source=source)


# -------------------------------------------------------------------------------- boxes of a page


class Goals(Course):
    """What the reader will be able to do."""

    def run(self):
        return [self.box("goals", "You will be able to", *self.markdown())]


class Needs(Course):
    """What the reader has to know."""

    def run(self):
        return [self.box("needs", "You need", *self.markdown())]


class Minute(Course):
    """The chapter once more, in a minute."""

    def run(self):
        return [self.box("minute", "", *self.markdown())]


class Predict(Course):
    """A question whose answer is asked for before it is seen; the truth is a number that a cell of
    the page has glued, or one of the choices.
    """

    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {
        name: directives.unchanged for name in ("unit", "range", "choices", "right")
    }

    def run(self):
        if ("range" in self.options) == ("choices" in self.options):
            raise self.error("a prediction has either :range: or :choices:")
        unit = self.options.get("unit", "").strip()
        body = self.markdown()
        if "range" in self.options:
            ask, facts = self.slider(body, unit)
        else:
            ask, facts = self.choice()
        question = self.words("p", self.arguments[0], "co-question")
        answer = self.fold("Show the answer", *body, classes="co-answer")
        verdict = self.element("p", classes="co-verdict", role="status", hidden="hidden")
        return [self.box("predict", "Predict first", question, ask, verdict, answer, **facts)]

    def slider(self, body: list[nodes.Node], unit: str):
        try:
            low, high, *step = map(float, self.options["range"].split())
        except ValueError:
            raise self.error(":range: wants two numbers, the ends of the slider") from None
        whole = low.is_integer() and high.is_integer() and high - low >= 10
        by = step[0] if step else 1 if whole else (high - low) / 100
        glued = [
            node.astext()
            for top in body
            for node in top.findall(nodes.inline)
            if "pasted-text" in node["classes"]
        ]
        numbers = [
            re.search(r"[-−]?\d[\d,]*\.?\d*", text.replace("\N{MINUS SIGN}", "-")) for text in glued
        ]
        facts = {"data_kind": "range", "data_unit": unit}
        if numbers and numbers[0]:
            facts["data_truth"] = numbers[0][0].replace(",", "")
        elif self.config.nb_execution_mode != "off":
            raise self.error(
                "the answer holds no {glue:text} number to compare the prediction with"
            )
        control = (
            f'<label class="co-slider"><span>Your prediction</span> <input type="range" '
            f'min="{low:g}" max="{high:g}" step="{by:g}" value="{(low + high) / 2:g}"> '
            f'<output>?</output> <span class="co-unit">{html.escape(unit)}</span></label>'
        )
        return self.guess(self.html(control)), facts

    def choice(self):
        choices = [choice.strip() for choice in self.options["choices"].split("|")]
        right = self.options.get("right", "").strip()
        if not right.isdigit() or not 1 <= int(right) <= len(choices):
            raise self.error(":right: is the place of the right choice, counted from 1")
        name = f"predict-{self.env.new_serialno('co-predict')}"
        rows = [
            self.element(
                "label",
                self.html(f'<input type="radio" name="{name}" value="{i}"> '),
                self.words("span", text),
            )
            for i, text in enumerate(choices, 1)
        ]
        legend = self.words("legend", "Your prediction")
        ask = self.guess(self.element("fieldset", legend, *rows))
        return ask, {"data_kind": "choice", "data_truth": right}

    def guess(self, control: nodes.Node):
        button = self.html(
            '<button type="button" class="co-button">Compare with the answer</button>'
        )
        return self.element("div", control, button, classes="co-guess co-live")


class Derive(Course):
    """A derivation whose steps are shown one at a time."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self):
        body = self.markdown()
        lists = [node for node in body if isinstance(node, nodes.enumerated_list)]
        if len(lists) != 1:
            raise self.error("a derivation is one ordered list, a step an item")
        lists[0]["classes"].append("co-steps")
        title = "Step by step" + (f": {self.arguments[0]}" if self.arguments else "")
        return [self.box("derive", title, *body)]


class Algebra(Course):
    """Lines that a reader may leave folded."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self):
        title = self.arguments[0] if self.arguments else "The algebra, line by line"
        return [self.fold(title, *self.markdown(), classes="co co-algebra")]


class Quiz(Course):
    """Questions with one right answer each and a reason for every wrong one."""

    def run(self):
        try:
            items = read_quiz("\n".join(self.content))
        except ValueError as problem:
            raise self.error(f"quiz: {problem}") from None
        return [self.box("quiz", "Check yourself", *map(self.item, items))]

    def item(self, item: dict):
        name = f"quiz-{self.env.new_serialno('co-quiz')}"
        answers = [(item["right"], item.get("because", ""), True)]
        answers += [(answer, reason, False) for answer, reason in item["wrong"]]
        # not always the first; the same each build
        place = sum(map(ord, item["ask"])) % len(answers)
        answers.insert(place, answers.pop(0))
        rows, reasons = [], []
        for i, (answer, reason, right) in enumerate(answers):
            mark = self.html(f'<input type="radio" name="{name}" value="{i}"> ')
            rows.append(self.element("label", mark, self.words("span", answer)))
            verdict = "Right." if right else "Not quite."
            kind = "co-right" if right else "co-wrong"
            text = f"{verdict} {reason}".strip()
            reasons.append(
                self.element(
                    "li",
                    self.words("span", answer, "co-said"),
                    self.words("span", text, "co-reason"),
                    classes=kind,
                    data_answer=str(i),
                )
            )
        button = self.html('<button type="button" class="co-button co-live">Check</button>')
        verdict = self.element("p", classes="co-verdict", role="status", hidden="hidden")
        return self.element(
            "fieldset",
            self.words("legend", item["ask"]),
            *rows,
            button,
            verdict,
            self.fold("Answers", self.element("ul", *reasons), classes="co-answer"),
            classes="co-item",
        )


def read_quiz(text: str) -> list[dict]:
    """The items of a quiz; ``wrong`` becomes a list of pairs, the answer and why it is wrong."""
    try:
        items = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise ValueError(str(problem).replace("\n", " ")) from None
    if not isinstance(items, list) or not items:
        raise ValueError("a list of items is wanted, each with ask, right and wrong")
    for item in items:
        if not isinstance(item, dict) or not {"ask", "right", "wrong"} <= set(item):
            raise ValueError(f"{str(item)[:60]!r} lacks ask, right or wrong")
        if unknown := set(item) - {"ask", "right", "because", "wrong"}:
            raise ValueError(f"{item['ask']!r} has unknown parts: {', '.join(sorted(unknown))}")
        if not isinstance(item["wrong"], list) or not item["wrong"]:
            raise ValueError(f"{item['ask']!r} has no wrong answer")
        for pair in item["wrong"]:
            if not (isinstance(pair, list) and len(pair) == 2 and all(pair)):
                raise ValueError(
                    f"{item['ask']!r}: a wrong answer is a pair [answer, reason]; "
                    f"quote what holds a comma or a colon: {pair!r}"
                )
    return items


class Exercise(Course):
    """An exercise of ``genzoo exercise``, as far as the library knows it."""

    required_arguments = 1
    has_content = False

    def run(self):
        name = self.arguments[0]
        command = f"genzoo exercise start {name}\ngenzoo exercise check {name}"
        shell = nodes.literal_block(command, command, language="console")
        self.set_source_info(shell)
        known = exercises()
        if name not in known:
            head = self.words("p", f"Exercise {name}", "co-title")
            later = self.later(f"Exercise {name} is not in the library yet.")
            box = self.element("div", head, *later, shell, classes="co co-exercise")
            return [box]
        exercise = known[name]
        parts = self.markdown(exercise.statement)
        if exercise.stub:
            parts.append(self.fold("The file you start from", self.code(exercise.stub)))
        for i, hint in enumerate(exercise.hints, 1):
            number = f" {i}" if len(exercise.hints) > 1 else ""
            parts.append(self.fold(f"Hint{number}", *self.markdown(hint)))
        if exercise.solution:
            parts.append(self.fold("A solution", self.code(exercise.solution)))
        title = f"Exercise {name}: {exercise.title}"
        return [self.box("exercise", title, shell, *parts, ids=[f"exercise-{name}"])]


@functools.cache
def exercises() -> dict:
    """The library's exercises by their ids, or none."""
    if importlib.util.find_spec("genzoo.course") is None:
        return {}
    from genzoo import course  # pyright: ignore[reportAttributeAccessIssue]

    return course.exercises()


# -------------------------------------------------------------------------- formula, code and test


class Equation(Course):
    """A formula beside the code that computes it, under the name of the test that guards both."""

    required_arguments = 1
    option_spec: ClassVar = {
        "code": directives.unchanged_required,
        "test": directives.unchanged_required,
    } | {f"t{i}": directives.unchanged_required for i in TERMS}

    def run(self):
        label = self.arguments[0]
        for option in ("code", "test"):
            if option not in self.options:
                raise self.error(f"equation {label}: :{option}: is missing")
        root = Path(self.config.course_root)
        literals = {i: self.options[f"t{i}"] for i in TERMS if f"t{i}" in self.options}
        formula = "\n".join(self.content).strip()
        try:
            path, code = source_of(root, self.options["code"])
            test_path, test = test_of(root, self.options["test"])
            check_terms(formula, literals)
            marked = highlighted(code, spans(code, literals))
        except LookupError as problem:
            raise self.error(f"equation {label}: {problem.args[0]}") from None
        self.env.note_dependency(str(path))
        self.env.note_dependency(str(test_path))
        displays = [self.math(text) for text in re.split(r"\n\s*\n", formula)]
        name = self.options["code"]
        where = f'<p class="co-where"><code>{html.escape(short(name))}</code></p>'
        claim = self.options["test"].rpartition("::")[2].removeprefix("test_").replace("_", " ")
        badge = self.fold(f"Checked by a test: *{claim}*", self.code(test), classes="co-badge")
        return [
            self.element(
                "div",
                self.element("div", *displays, classes="co-formula"),
                self.element("div", self.html(where + marked), classes="co-code"),
                badge,
                classes="co co-equation",
                ids=[f"equation-{label}"],
                data_label=label,
            )
        ]

    def math(self, text: str):
        node = nodes.math_block(text, text, nowrap=False, number=None, label=None)
        self.set_source_info(node)
        return node


def short(name: str) -> str:
    """``VAE.terms`` of ``genzoo.families.vae.VAE.terms``, ``lerp`` of ``genzoo.functions.lerp``."""
    parts = name.split(".")
    first = next((i for i, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return ".".join(parts[first:])


def source_of(root: Path, name: str) -> tuple[Path, str]:
    """The file and the source of a function, method or class given by its dotted name; read, not
    imported, and without its docstring.
    """
    parts = name.split(".")
    for i in range(len(parts) - 1, 0, -1):
        folder = root.joinpath(*parts[:i])
        for path in (folder.with_suffix(".py"), folder / "__init__.py"):
            if path.is_file():
                return path, definition(path, parts[i:])
    raise LookupError(f"no module of {name} in {root}")


def test_of(root: Path, name: str) -> tuple[Path, str]:
    """The file and the source of a test given by its id."""
    file, *parts = name.split("::")
    path = root / file
    if not parts or not path.is_file():
        raise LookupError(f"no test file for {name}")
    return path, definition(path, parts, docstring=True)


@functools.cache
def parsed(path: Path, changed: float) -> tuple[str, ast.Module]:
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text)


def definition(path: Path, names: list[str], docstring: bool = False) -> str:
    """The source of what ``names`` lead to in the file, dedented."""
    text, node = parsed(path, path.stat().st_mtime)
    for name in names:
        kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
        found = [one for one in node.body if isinstance(one, kinds) and one.name == name]
        if not found:
            raise LookupError(f"no {'.'.join(names)} in {path.name}")
        node = found[-1]
    lines = text.splitlines()
    assert not isinstance(node, ast.Module)
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
    kept = set(range(first, node.end_lineno or first))
    if not docstring and ast.get_docstring(node) is not None and len(node.body) > 1:
        end = node.body[0].end_lineno or 0
        kept -= set(range(node.body[0].lineno - 1, end))
        if not lines[end].strip():
            kept.discard(end)
    source = dedent("\n".join(lines[i] for i in sorted(kept)))
    return re.sub(r"[ ]*#[ ]*(type|pyright|noqa)\b.*", "", source)


def check_terms(formula: str, literals: dict[int, str]):
    """Colours of the formula are those of the code."""
    used = {int(i) for i in re.findall(r"\\term\{(\d)\}", formula)}
    if used != set(literals):
        raise LookupError(
            f"the formula has the terms {sorted(used)}, the code those of {sorted(literals)}"
        )


def spans(code: str, literals: dict[int, str]) -> list[int]:
    """For every character of the code its colour, 0 for none."""
    colours = [0] * len(code)
    for i, literal in sorted(literals.items(), key=lambda pair: -len(pair[1])):
        words = r"\s+".join(map(re.escape, literal.split()))
        if literal[0].isidentifier():
            words = r"(?<![\w.])" + words
        if re.match(r"\w", literal[-1]):
            words += r"(?!\w)"
        found = list(re.finditer(words, code))
        if not found:
            raise LookupError(f"the code does not hold {literal!r}")
        for match in found:
            colours[match.start() : match.end()] = [i] * len(match[0])
    return colours


def css_class(token) -> str:
    """The class by which Sphinx's style sheets know a token."""
    while token is not None and token not in STANDARD_TYPES:
        token = token.parent
    return STANDARD_TYPES[token] if token is not None else ""


def highlighted(code: str, colours: list[int]) -> str:
    """The code in HTML, in the colours of its grammar and of its terms."""
    pieces, now, at = [], 0, 0
    code = code.rstrip("\n")
    for token, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(code):
        kind = css_class(token)
        while value:
            colour, n = colours[at], 1
            while n < len(value) and colours[at + n] == colour:
                n += 1
            if colour != now:
                pieces += ["</span>" if now else "", f'<span class="t{colour}">' if colour else ""]
                now = colour
            text = html.escape(value[:n])
            pieces.append(f'<span class="{kind}">{text}</span>' if kind and text.strip() else text)
            value, at = value[n:], at + n
    pieces.append("</span>" if now else "")
    body = "".join(pieces)
    return (
        '<div class="highlight-python notranslate"><div class="highlight">'
        f"<pre>{body}\n</pre></div></div>"
    )


# ---------------------------------------------------------------------------------------- pictures


class play(nodes.General, nodes.Element):
    """The place of a figure to touch; the page loads its script."""


class Play(Course):
    """A figure to touch, its question above it and a still picture in its place on paper."""

    required_arguments = 1
    option_spec: ClassVar = {"question": directives.unchanged, "alt": directives.unchanged_required}

    def run(self):
        name = self.arguments[0]
        alt = self.options.get("alt", "").strip()
        if len(alt.split()) < 4:
            raise self.error(f"play {name}: :alt: says what the picture shows, in a sentence")
        folder = Path(self.env.srcdir) / "_static" / "play"
        stills = (f"{name}.svg", f"{name}.png")
        still = next((file for file in stills if (folder / file).is_file()), None)
        parts: list[nodes.Node] = []
        if question := self.options.get("question"):
            parts.append(self.words("p", question, "co-question"))
        built = (folder / f"{name}.js").is_file()
        if built:
            place = play(name=name, label=alt)
            parts.append(place)
        if still:
            source = f"{'../' * self.env.docname.count('/')}_static/play/{still}"
            kind = "co-still" if built else "co-shown"
            alone = html.escape(alt)
            parts.append(self.html(f'<img class="{kind}" src="{source}" alt="{alone}">'))
        elif built:
            parts += self.later(f"The figure “{name}” has no still picture yet.")
        else:
            parts.append(self.words("p", alt))
            parts += self.later(f"The figure “{name}” is not built yet.")
        if self.content:
            parts.append(self.element("div", *self.markdown(), classes="co-caption"))
        return [self.element("div", *parts, classes="co-figure", ids=[f"play-{name}"])]


def visit_play(self, node):
    label = html.escape(node["label"])
    self.body.append(f'<figure class="gz-play" data-play="{node["name"]}" aria-label="{label}">')


def depart_play(self, node):
    self.body.append("</figure>\n")


def load_plays(app, pagename, templatename, context, doctree):
    """The scripts and data of the figures that a page holds, and of no others."""
    names = [node["name"] for node in doctree.findall(play)] if doctree else []
    if not names:
        return
    folder = Path(app.srcdir) / "_static" / "play"
    listed = json.loads((folder / "plays.json").read_text(encoding="utf-8"))
    files = ["gz.js"]
    for name in names:
        if name not in listed:
            logger.warning("play %s is not in plays.json", name, location=pagename)
        files += [f"data/{one}.js" for one in listed.get(name, {}).get("data", [])]
        files.append(f"{name}.js")
    for file in dict.fromkeys(files):
        if not (folder / file).is_file():
            logger.warning("play: no %s", file, location=pagename)
        else:
            app.add_js_file(f"play/{file}", loading_method="defer")
    app.add_css_file("play/play.css")


class scheme(nodes.General, nodes.Element):
    """The place of a drawn scheme.

    It holds what the scheme shows and all that is written in it, as text: so these are in the
    catalogues of the translators, and when the page is written they are in its language.
    """


class Scheme(Course):
    """A scheme drawn by code, in the colours of the page."""

    required_arguments = 1
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self):
        name = self.arguments[0]
        alt = self.options.get("alt", "").strip()
        if len(alt.split()) < 4:
            raise self.error(f"scheme {name}: :alt: says what the scheme shows, in a sentence")
        self.env.note_dependency(schemes.__file__)
        if name not in schemes.SCHEMES:
            picture: list[nodes.Node] = self.later(f"The scheme “{name}” is not drawn yet. {alt}")
        else:
            picture = self.drawn(name, alt)
        if self.content:
            picture.append(self.element("figcaption", *self.markdown()))
        figure = self.element("figure", *picture, classes=f"co-scheme co-scheme-{name}")
        return [figure]

    def drawn(self, name: str, alt: str) -> list[nodes.Node]:
        """The place of the picture, which holds its texts, for a translation to replace."""
        root = "../" * self.env.docname.count("/")
        place = scheme(name=name, root=root)
        place += self.words("desc", alt)
        place += [self.words("desc", text) for text in schemes.texts(name)]
        return [place]


def visit_scheme(self, node):
    alt, *said = map(with_stars, node.children)
    words = dict(zip(schemes.texts(node["name"]), said, strict=True))
    self.body.append(schemes.draw(node["name"], alt, node["root"], words))
    raise nodes.SkipNode


def with_stars(node: nodes.Node) -> str:
    """The text of a node, with the stars around what is slanted."""
    pieces = []
    for child in node.children:
        text = child.astext()
        pieces.append(f"*{text}*" if isinstance(child, nodes.emphasis) else text)
    return "".join(pieces)


class Curves(Course):
    """Recorded runs of one family, the healthy one first."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        path = self.path(f"experiments/records/course/{name}.json")
        if not path.is_file():
            parts = self.later(f"The runs of “{name}” are not recorded yet.")
        else:
            parts = self.panels(curves.read(path))
        if self.content:
            parts.append(self.element("figcaption", *self.markdown()))
        return [self.element("figure", *parts, classes="co-curves", ids=[f"curves-{name}"])]

    def panels(self, record: dict):
        panels = []
        for run, pictures in curves.panels(record):
            parts: list[nodes.Node] = [self.words("p", run["title"], "co-title")]
            for label, picture in pictures:
                parts += [self.words("p", label, "co-axis"), self.html(picture)]
            parts.append(self.words("p", run["what"], "co-what"))
            values = [self.value(*item) for item in run.get("values", {}).items()]
            if values:
                parts.append(self.words("p", " · ".join(values), "co-values"))
            parts.append(self.words("p", run["sign"], "co-sign"))
            kind = "co-healthy" if run["name"] == "healthy" else "co-sick"
            panels.append(self.element("div", *parts, classes=f"co-panel {kind}"))
        return [self.legend(), self.element("div", *panels, classes="co-panels")]

    @staticmethod
    def value(label: str, text: str) -> str:
        """“precision: 0.97”; of a run that ended early the sentence “The run was stopped. …”."""
        if label == "the run":
            return f"The run {text}"
        return f"{label}: {text}"

    def legend(self):
        keys = [self.words("span", text, f"co-key co-key-{kind}") for kind, text in KEYS.items()]
        return self.element("p", *keys, classes="co-legend")


KEYS = {
    "train": "training",
    "validation": "validation",
    "beyond": "↑ ↓ how far a curve goes beyond the axes",
    "step": "to the right: the step",
}

KINDS = {"source": "code", "outputs": "output", "content": "code and its output"}


def name_what_is_hidden(app, doctree, docname):
    """“Show the code” or “Show the output”, by what a cell hides; MyST-NB says “source”."""
    for cell in doctree.findall(lambda node: "prompt_show" in getattr(node, "attributes", {})):
        for prompt in ("prompt_show", "prompt_hide"):
            verb, the, kind = cell[prompt].split(" ", 2)
            cell[prompt] = f"{verb} {the} {KINDS.get(kind, kind)}"


class Patient(socket.socket):
    """A socket that waits until the server listens: KaTeX's is there a little before it does."""

    def connect(self, address):
        for _ in range(200):
            try:
                return super().connect(address)
            except ConnectionRefusedError:
                time.sleep(0.05)
        return super().connect(address)


def report_faults(katex):
    """A faulty formula is a warning that quotes it, and so are the other faulty ones; KaTeX's
    extension would stop at the first and not say where. Every process of a parallel build asks a
    KaTeX of its own.
    """
    katex.socket = SimpleNamespace(**{**vars(socket), "socket": Patient})
    render, server = katex.render_latex, katex.KaTeXServer
    owner = os.getpid()

    def render_latex(latex, *rest):
        nonlocal owner
        if owner != os.getpid():
            owner, server.katex_server = os.getpid(), server.start()
            Finalize(None, server.katex_server.terminate, exitpriority=1)
        try:
            return render(latex, *rest)
        except katex.KaTeXError as problem:
            logger.warning("%s\nin the formula: %s", problem, latex)
            return f'<span class="co-later">{html.escape(latex)}</span>'

    katex.render_latex = render_latex


# ------------------------------------------------------------------------------------------- setup

DIRECTIVES = {
    "goals": Goals,
    "needs": Needs,
    "predict": Predict,
    "derive": Derive,
    "algebra": Algebra,
    "equation": Equation,
    "play": Play,
    "exercise": Exercise,
    "quiz": Quiz,
    "minute": Minute,
    "scheme": Scheme,
    "curves": Curves,
}


def setup(app):
    app.add_config_value("course_root", str(Path(app.confdir).resolve().parent), "env", (str,))
    app.add_config_value("course_strict", False, "env", (bool,))
    others = {builder: (pass_over, pass_over) for builder in ("latex", "text", "man", "texinfo")}
    app.add_node(part, html=(visit, depart), **others)
    app.add_node(words, html=(visit, depart), **others)
    app.add_node(play, html=(visit_play, depart_play), **others)
    app.add_node(scheme, html=(visit_scheme, pass_over), **others)
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.connect("html-page-context", load_plays)
    app.connect("doctree-resolved", name_what_is_hidden)
    if katex := sys.modules.get("sphinxcontrib.katex"):
        report_faults(katex)
    app.add_js_file("course.js", loading_method="defer")
    app.add_css_file("course.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
