"""The course: its extension, the skeleton of its chapters, and what their prose may not hold."""

import ast
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
if importlib.util.find_spec("sphinx") is None:
    pytest.skip("needs pip install -e '.[docs]'", allow_module_level=True)
sys.path.insert(0, str(DOCS / "_ext"))

import course  # noqa: E402
import curves  # noqa: E402
import figures  # noqa: E402
import lint  # noqa: E402
import nbformat  # noqa: E402
import notebooks  # noqa: E402
import schemes  # noqa: E402
import signs  # noqa: E402
import terms  # noqa: E402
from docutils import nodes  # noqa: E402

OLD = {"00-what", "01-framework"}  # pages that become chapters
CHAPTERS = sorted(page for page in (DOCS / "course").glob("[0-9]*.md") if page.stem not in OLD)
NOTATION = DOCS / "notation.yaml"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)


def markdown(page: Path) -> lint.Block:
    return lint.read(page.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------ the chapters


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_a_chapter_has_what_a_chapter_must_have_and_types_no_number(page):
    faults = lint.faults(page, page.read_text(encoding="utf-8"), NOTATION)
    assert [f"line {line}: {fault}" for line, fault in faults] == []


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_every_equation_of_a_chapter_has_its_code_and_its_test(page):
    for block in markdown(page):
        if block.name == "equation":
            literals = {i: block.options[f"t{i}"] for i in course.TERMS if f"t{i}" in block.options}
            _, code = course.source_of(ROOT, block.options["code"])
            course.spans(code, literals)
            course.check_terms(block.text(), literals)
            course.test_of(ROOT, block.options["test"])


def test_the_equations_of_the_docs_are_those_that_tests_are_marked_with():
    told = set()
    for page in DOCS.rglob("*.md"):
        if "_build" not in page.parts:
            for block in markdown(page):
                if block.name == "equation":
                    told.add((block.argument, block.options["test"]))
    assert len({label for label, _ in told}) == len(told), "one label, one test"
    marked = set()
    for file in (ROOT / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for label in labels(node):
                    marked.add((label, f"tests/{file.name}::{node.name}"))
    assert marked == told


def labels(function: ast.FunctionDef) -> list[str]:
    """The arguments of its marks ``pytest.mark.equation("label")``."""
    calls = [one for one in function.decorator_list if isinstance(one, ast.Call)]
    return [
        argument.value
        for call in calls
        if ast.unparse(call.func) == "pytest.mark.equation"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    ]


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_a_chapter_says_what_its_terms_mean(page):
    """By links to the glossary, whose first sentence is shown beside the pointer."""
    used = re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", page.read_text(encoding="utf-8"))
    assert len(set(map(str.lower, used))) >= 5
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    known = re.findall(r"^(\w[^:`\n]*)\n  \S", glossary, re.M)
    assert set(map(str.lower, used)) <= set(map(str.lower, known))


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_every_question_of_a_quiz_has_one_right_answer_and_a_reason_for_each_wrong_one(page):
    for block in markdown(page):
        if block.name == "quiz":
            for item in course.read_quiz(block.text()):
                answers = [item["right"], *(answer for answer, _ in item["wrong"])]
                assert len({str(answer).strip() for answer in answers}) == len(answers)


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_pictures_of_a_chapter_have_a_sentence_for_those_who_do_not_see_them(page):
    for block in markdown(page):
        if block.name in ("scheme", "play"):
            assert len(block.options.get("alt", "").split()) >= 4, f"line {block.line}"


def test_every_reference_leads_to_its_paper():
    text = (DOCS / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"@\w+\{([^,]+),(.*?)\n\}", text, re.S)
    keys = [key for key, _ in entries]
    assert len(keys) == len(set(keys))
    bare = [key for key, body in entries if not re.search(r"^\s*(doi|url|eprint)\s*=", body, re.M)]
    assert bare == []


# ------------------------------------------------------------------------------------------ faults

CHAPTER = """
# A chapter

```{goals}
- say it
```
```{needs}
Nothing.
```
```{predict} How many?
:range: 0 10
{glue:text}`n:.0f` of them.
```

## Body

PROSE

## In one minute

```{minute}
- One.
```
```{quiz}
- {ask: "Is it?", right: Very, wrong: [[Hardly, It is.]]}
- {ask: "Is it?", right: Very, wrong: [[Hardly, It is.]]}
- {ask: "Is it?", right: Very, wrong: [[Hardly, It is.]]}
```

## History and further reading

It was.
"""


def found(prose: str, path: str = "02-x.md") -> list[str]:
    """What the lint says of a chapter with this prose, long enough otherwise."""
    text = CHAPTER.replace("PROSE", "word " * 1000 + "\n\n" + prose)
    return [fault for _, fault in lint.faults(Path(path), text, NOTATION)]


def test_a_whole_chapter_has_no_fault():
    assert found("Half of 0.5 is 0.25, and $x \\mid c$ is {glue:text}`a:.2f` nats.") == []


@pytest.mark.parametrize(
    "prose",
    [
        "It is 1.34 nats.",
        "It costs ≤ 1.34 of them.",
        "About 12.5 % are lost.",
        "(= −0.44)",
        ":::{note}\nIt is 1.34 bits.\n:::",
    ],
)
def test_a_typed_number_is_a_fault(prose):
    faults = found(prose)
    assert len(faults) == 1 and "typed" in faults[0]


def test_numbers_that_come_from_the_records_are_not_typed():
    assert found("<!-- unclip:unclip -->\n98.1 %\n<!-- /unclip:unclip -->\n") == []


def test_numbers_of_code_of_formulas_and_of_cells_are_none():
    prose = "`x = 1.5` and $x = 1.5$ and {glue:text}`m:.2f` nats\n\n```python\ny = 0.5  # nats\n```"
    assert found(prose) == []


@pytest.mark.skipif(not NOTATION.is_file(), reason="no docs/notation.yaml yet")
def test_a_formula_with_a_line_like_an_item_of_a_list_is_a_fault():
    in_a_line = "1. A sum:\n   $$x = a\n   + b .$$\n"
    [(line, start)] = lint.formulas_taken_for_lists(lint.read(in_a_line))
    assert (line, start) == (2, "$$x = a")
    for sound in ("A sum:\n\n$$\nx = a\n+ b\n$$\n", "$$x = a +\nb$$\n", "$x = a$\n- an item\n"):
        assert not lint.formulas_taken_for_lists(lint.read(sound))


def test_an_unknown_symbol_is_a_fault_unless_the_page_names_it_as_its_own():
    faults = found("The $\\digamma$ of $x$.")
    assert len(faults) == 1 and "\\digamma" in faults[0]
    assert found("<!-- local: \\digamma -->\nThe $\\digamma$ of $x$.") == []


def test_the_symbols_of_a_formula():
    formula = r"\term{1}{\mathbb{E}_{q}[\log p_\theta(x \mid z)]} - \hat x_{\text{of it}} \frac1n"
    known = {r"\mathbb{E}", "q", "p", r"\theta", "x", "z", r"\hat{x}", "n"}
    assert set(lint.atoms(formula)) == known


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("```{goals}\n- say it\n```", "", "0 {goals}"),
        ("## In one minute", "## In a minute", "ends with"),
        ('- {ask: "Is it?", right: Very, wrong: [[Hardly, It is.]]}\n```', "```", "2 items"),
        ("word " * 1000, "", "words"),
    ],
)
def test_a_chapter_that_lacks_a_part_is_a_fault(old, new, fault):
    text = CHAPTER.replace("PROSE", "word " * 1000)
    assert old in text
    faults = lint.faults(Path("02-x.md"), text.replace(old, new, 1), NOTATION)
    assert any(fault in one for _, one in faults)


def test_a_family_chapter_needs_the_whole_skeleton():
    faults = found("", "10-x.md")
    assert any("0 {play}" in fault for fault in faults)
    assert any("headings" in fault for fault in faults)
    assert any("0 steps" in fault for fault in faults)


def test_what_goes_further_is_no_word_of_the_main_line_and_has_its_place():
    def headings(*titles: str) -> lint.Block:
        return lint.read("\n\n".join(f"## {title}\n\nTwo words." for title in titles))

    page = headings("Where it fails", "Going further: more", "Exercises")
    assert lint.count_words(lint.going_further(page)) == 5  # three of them in the heading
    assert lint.count_words(lint.going_further(headings("Where it fails", "Exercises"))) == 0
    assert not any("Going further" in fault for fault in lint.skeleton(page, family=True))
    elsewhere = lint.skeleton(headings("Predict", "Going further: more"), family=True)
    assert any("not after “Where it fails”" in fault for fault in elsewhere)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- ask: Why?",
        "- {ask: Why?, right: So., wrong: []}",
        "- {ask: Why?, right: So., wrong: [[a, b, c]]}",
        "- {ask: Why?, right: So., wrong: [[a]]}",
        "- {ask: Why?, right: So., wrong: [[a, b]], hint: c}",
        "- {ask",
    ],
)
def test_a_faulty_quiz_is_refused(text):
    with pytest.raises(ValueError):
        course.read_quiz(text)


# --------------------------------------------------------------------------------------- equations


def test_the_source_of_an_equation_is_read_without_its_docstring_and_without_linters_comments():
    _, code = course.source_of(ROOT, "genzoo.families.vae.VAE.terms")
    assert code.startswith("def terms(self") and '"""' not in code
    compile(code, "terms", "exec")


@pytest.mark.parametrize("name", ["genzoo.families.vae.VAE.nothing", "genzoo.nothing", "nothing"])
def test_an_equation_of_no_code_is_refused(name):
    with pytest.raises(LookupError):
        course.source_of(ROOT, name)


@pytest.mark.parametrize("name", ["tests/test_vae.py::test_nothing", "tests/no.py::test_a", "a"])
def test_an_equation_without_its_test_is_refused(name):
    with pytest.raises(LookupError):
        course.test_of(ROOT, name)


def test_terms_of_an_equation_are_found_in_the_code_and_a_missing_one_is_refused():
    code = "z = f(x)\nreturn g(z) + f(x)"
    colours = course.spans(code, {1: "f(x)", 2: "g(z)"})
    assert "".join(map(str, colours)) == "000011110" + "0000000" + "2222" + "000" + "1111"
    marked = course.highlighted(code, colours)
    assert marked.count('class="t1"') == 2 and marked.count('class="t2"') == 1
    assert re.sub(r"<[^>]+>", "", marked).strip() == code
    with pytest.raises(LookupError):
        course.spans(code, {1: "h(x)"})
    with pytest.raises(LookupError):
        course.check_terms(r"\term{1}{f} + \term{2}{g}", {1: "f"})


# ---------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_a_scheme_is_well_formed_says_what_it_shows_and_stays_inside(name):
    drawn = ElementTree.fromstring(schemes.draw(name, "What it <shows>.", "../"))
    assert drawn.get("aria-label") == "What it <shows>."
    left, top, width, height = map(float, str(drawn.get("viewBox")).split())
    for element in drawn.iter():
        x = float(element.get("cx") or element.get("x") or left)
        y = float(element.get("cy") or element.get("y") or top)
        assert left <= x <= left + width and top <= y <= top + height, ElementTree.tostring(element)
    colours = {element.get("fill") for element in drawn.iter()} - {None, "none"}
    assert all(one == "currentColor" or one.startswith("var(") for one in colours if one)


SCHEME = """# A page

```{scheme} vae
:alt: An encoder, a latent and a decoder.
```
"""


def test_the_words_in_a_scheme_can_be_translated(tmp_path):
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    pages = {"index.md": SCHEME}
    done = site(tmp_path, pages, "-b", "gettext")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "site" / "index.pot").open("rb") as file:
        catalogue = read_po(file)
    for text in schemes.texts("vae"):
        assert text in catalogue, text

    catalogue["distribution over *x*"].string = "разпределение на *x*"
    catalogue["An encoder, a latent and a decoder."].string = "Кодер и декодер."
    target = tmp_path / "docs" / "locale" / "bg" / "LC_MESSAGES"
    target.mkdir(parents=True)
    with (target / "index.mo").open("wb") as file:
        write_mo(file, catalogue)
    shutil.rmtree(tmp_path / "site")
    language = ["-D", "language=bg", "-D", "locale_dirs=locale"]
    done = built_with(tmp_path, *language)
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert 'aria-label="Кодер и декодер."' in drawn
    words = re.sub(r"<[^>]+>", "", drawn.partition("<svg viewBox")[2].partition("</svg>")[0])
    assert "разпределение" in words and "distribution" not in words and "encoder" in words


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_what_is_written_in_a_scheme_keeps_its_stars_as_markdown(name):
    """Its texts go through a parser of Markdown, as every text that is translated does."""
    from markdown_it import MarkdownIt

    for text in schemes.texts(name):
        (inline,) = (one for one in MarkdownIt().parse(text) if one.type == "inline")
        assert "".join(one.markup or one.content for one in inline.children or []) == text


def test_every_leaf_of_the_tree_leads_to_a_chapter():
    for _, page, _ in schemes.LEAVES:
        assert re.match(r"\d\d-", page)
        if len(CHAPTERS) > 15:
            assert (DOCS / "course" / f"{page}.md").is_file()


def test_curves_break_where_there_is_no_value_and_say_how_far_they_leave_the_axes():
    pieces = curves.lines([0, 1, 2, 3], [1.0, float("nan"), 9.0, None])
    assert pieces == [[(0, 1.0)], [(2, 9.0)]]
    (up,) = curves.beyond(1.0, 1234.0, 0.0, 5.0)
    assert "\N{UPWARDS ARROW} 1200" in up
    assert curves.beyond(1.0, 4.0, 0.0, 5.0) == []
    assert curves.ticks(0.0, 1.0) == [0, 0.25, 0.5, 0.75, 1.0]


def test_recorded_runs_are_drawn_the_healthy_one_first(tmp_path):
    columns = {
        "step": [0, 1],
        "train": [2.0, 1.0],
        "validation": [2.0, float("inf")],
        "gap": [0, 1],
    }
    run = {"title": "A", "what": "a", "sign": "b", "columns": columns}
    record = {"unit": "nats", "runs": [{"name": "sick", **run}, {"name": "healthy", **run}]}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    panels = curves.panels(curves.read(path))
    assert [run["name"] for run, _ in panels] == ["healthy", "sick"]
    assert all(len(pictures) == 2 for _, pictures in panels)


def test_the_drawings_of_curves_hold_no_word():
    """What a curve is stands beside it, where translators find it."""
    for path in sorted((ROOT / "experiments" / "records" / "course").glob("*.json")):
        for _, pictures in curves.panels(curves.read(path)):
            for label, picture in pictures:
                drawn = ElementTree.fromstring(picture)
                letters = [text for text in drawn.itertext() if re.search(r"[^\W\d_]{2}", text)]
                assert label and letters == [], path.name


def test_a_formula_in_letters_and_the_first_sentence_of_a_definition():
    assert terms.plain(r"p_{\theta}(x \mid z)") == "p_θ(x | z)"
    assert terms.plain(r"\mathbb{E}[\hat x]") == "E[x]"


def test_a_number_stays_with_its_sign_and_its_unit():
    assert signs.joined("= 1.34 ± 0.02 nats") == "=\xa01.34\xa0±\xa00.02\xa0nats"
    assert signs.joined("a = b, 3 models") == "a = b, 3 models"
    assert signs.joined("≈ 1.85 … 1.86, 3 runs") == "≈\xa01.85\xa0…\xa01.86, 3 runs"
    whole = signs.joined("84 [82–87] / 52 [46–59]").split(" ")
    assert [part.replace("\u2060", "") for part in whole] == ["84\xa0[82–87]", "/", "52\xa0[46–59]"]
    assert whole[0].count("\u2060") == 2  # a line may not end after the dash


def test_no_full_stop_changes_its_place():
    """Two texts that are equal, “. ” after a link and “. ” after a formula, are not the same."""
    sentence = nodes.paragraph()
    for word in (nodes.reference("", "flows"), nodes.math("", "f"), nodes.math("", "g")):
        sentence += [word, nodes.Text(". ")]
    page = nodes.container("", sentence)
    signs.hold(None, page, None)
    texts = [part.astext() for part in sentence.children]
    assert texts == ["flows", ". ", r"f\textsf{.}", " ", r"g\textsf{.}", " "]


def test_a_comma_stays_with_the_formula_before_it():
    from docutils.utils import new_document

    page = new_document("page")
    page += nodes.paragraph("", "", nodes.math("", "x_1"), nodes.Text(", then "))
    page += nodes.paragraph("", "", nodes.math("", "x_2"), nodes.Text(" is next."))
    signs.hold(None, page, "page")
    assert [paragraph.astext() for paragraph in page.children] == [
        r"x_1\textsf{,} then ",
        "x_2 is next.",
    ]


def test_a_wide_figure_scrolls_on_a_phone_and_a_narrow_one_does_not(tmp_path):
    from docutils.utils import new_document
    from PIL import Image

    page = new_document("page")
    for width in (figures.WIDE + 1, figures.WIDE):
        Image.new("L", (width, 10)).save(tmp_path / f"{width}.png")
        page += nodes.image("", uri=f"{width}.png")
    html_builder = SimpleNamespace(srcdir=tmp_path, builder=SimpleNamespace(format="html"))
    figures.mark(html_builder, page, "page")
    assert [one.get("classes") for one in page.children] == [["wide-figure"], []]


def test_every_run_s_curve_can_be_seen():
    """Also one that stays far from the healthy run's, unless it is beyond all measure."""
    runs = [{"columns": {"loss": values}} for values in ([1.0, 1.2], [3.0, 4.0, 5.0], [1e9, 1e9])]
    low, high = curves.span(runs, ["loss"])
    assert low <= 1.0 and 3.0 < high <= 1.2 + curves.FAR * 0.2 + 1e-9


def test_a_hidden_part_of_a_cell_is_called_what_it_is():
    from docutils.utils import new_document

    page = new_document("page")
    for kind in ("source", "output", "outputs"):
        page += nodes.container("", prompt_show=f"Show the {kind}", prompt_hide=f"Hide the {kind}")
    course.name_what_is_hidden(None, page, "page")
    shown = [cell["prompt_show"] for cell in page.children]
    assert shown == ["Show the code", "Show the output", "Show the output"]
    assert page[-1]["prompt_hide"] == "Hide the output"


def test_cells_of_numbers_are_not_translated():
    from docutils.utils import new_document

    cells = [nodes.entry("", nodes.paragraph(text, text)) for text in ("= 1.34 ± 0.02", "a model")]
    page = new_document("page")
    page += cells
    signs.keep(None, page)
    assert [cell[0].get("translatable", True) for cell in cells] == [False, True]


# --------------------------------------------------------------------------------------- notebooks


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_the_notebook_of_a_chapter_has_all_its_cells_and_no_directive(page):
    text = page.read_text(encoding="utf-8")
    notebook = notebooks.convert(text, ROOT, "../page.html", [], {})
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    code = [source for source in code if source != notebooks.AT_HOME]
    assert len(code) == len(re.findall(r"^`{3,}\{code-cell\}", text, re.M))
    for source in code:
        compile(source, page.stem, "exec")
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.findall(r":::.*|```\{.*|\{[\w:]+\}`.*", prose) == []


def test_a_notebook_says_in_text_what_cells_have_glued_and_who_is_cited():
    text = CHAPTER.replace("PROSE", "By {cite:t}`a` it is {glue:text}`n:.2f`; a {term}`latent`.")
    notebook = notebooks.convert(text, ROOT, "../page.html", ["7", "1.34"], {"a": "Ann (2020)"})
    prose = "\n".join(cell.source for cell in notebook.cells)
    assert "7 of them." in prose and "By Ann (2020) it is 1.34; a latent." in prose


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_a_notebook_finds_its_records_from_any_folder(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # and back
    notebook = notebooks.convert(page.read_text("utf-8"), ROOT, "../page.html", [], {})
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    if notebooks.AT_HOME in code:
        assert code.index(notebooks.AT_HOME) == 0
        exec(notebooks.AT_HOME, {})
    for path in re.findall(r'"(\.\./[^"]+)"', "\n".join(code)):
        assert Path(path).exists(), path


# ------------------------------------------------------------------------------------- the building

PAGE = """---
file_format: mystnb
kernelspec:
  name: python3
---
# A page

```{goals}
- say *why*
```
```{predict} What is $x$?
:choices: one | two
:right: 2
Two.
```
```{derive} The bound
1. First $a$.
2. Then $b$.

   :::{algebra}
   $$c = d$$
   :::
```
```{equation} elbo
:code: genzoo.families.vae.VAE.log_prob
:test: tests/test_vae.py::test_the_gap_of_the_elbo_is_the_divergence_of_the_guess
:t1: log_likelihood + minus_kl
\\term{1}{\\log p(x \\mid z)}
```
```{play} nothing_yet
:question: Where?
:alt: A map of the whole world.
```
```{scheme} vae
:alt: An encoder, a latent and a decoder.
```
```{exercise} 99z
```
```{quiz}
- ask: Why?
  right: So.
  wrong:
    - [Not so., It is.]
```
{term}`Latent` things.

```{glossary}
Latent
  A few numbers. They stand for many.
```
"""


def site(folder: Path, pages: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """What came of building the pages, without running their cells."""
    docs = folder / "docs"
    shutil.copytree(DOCS / "_static", docs / "_static", ignore=shutil.ignore_patterns("play"))
    shutil.copytree(DOCS / "_ext", docs / "_ext")
    for name in ("conf.py", "references.bib", "notation.yaml"):
        if (DOCS / name).is_file():
            shutil.copy(DOCS / name, docs)
    for name, text in pages.items():
        (docs / name).parent.mkdir(exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")
    return built_with(folder, *options)


def built_with(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What came of building the pages that lie there."""
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
    sphinx += ["-D", "nb_execution_mode=off", "-D", f"course_root={ROOT}", *options]
    command = [*sphinx, str(folder / "docs"), str(folder / "site")]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A page with one of each directive, built."""
    folder = tmp_path_factory.mktemp("course")
    done = site(folder, {"index.md": PAGE})
    assert done.returncode == 0, done.stderr
    return folder / "site" / "index.html"


def test_a_page_of_every_directive_builds_and_asks_nothing_of_a_server(built):
    text = built.read_text(encoding="utf-8")
    for kind in ("goals", "predict", "derive", "algebra", "equation", "exercise", "quiz"):
        assert f"co-{kind}" in text
    assert 'class="enclosing t1"' in text and 'class="t1"' in text
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?\b(?:src|href)="([^"]+)"', text)
    assert [one for one in loaded if one.startswith(("http:", "https:", "//"))] == []
    for sheet in built.parent.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8"))


def test_a_link_to_a_term_says_what_it_means(built):
    from bs4 import BeautifulSoup

    page = BeautifulSoup(built.read_text(encoding="utf-8"), "html.parser")
    link = page.select_one("a.co-term")
    assert link is not None and link["title"] == "A few numbers."


def test_without_javascript_the_answers_can_be_unfolded(built):
    from bs4 import BeautifulSoup

    page = BeautifulSoup(built.read_text(encoding="utf-8"), "html.parser")
    for box in page.select(".co-predict, .co-item"):
        assert box.select_one("details.co-answer > summary") is not None
    assert not page.select(".co-steps > li[hidden]")


FAULTS = {
    "a test that is not there": ("the_divergence_of_the_guess", "no_test", "is_no_test in"),
    "code that is not there": ("VAE.log_prob", "VAE.no_prob", "no VAE.no_prob in vae.py"),
    "a term that the code lacks": (
        "+ minus_kl",
        "+ other",
        "does not hold 'log_lik",
    ),
    "a colour without its term": (":t1: log_likelihood + minus_kl\n", "", "has the terms [1]"),
    "a broken formula": (r"\log p(x \mid z)}", r"\frac{1}", "KaTeX parse error"),
    "a quiz without a reason": ("[Not so., It is.]", "[Not so.]", "is a pair [answer, reason]"),
    "a prediction without its answer": (":right: 2", ":right: 3", ":right: is the place"),
    "a picture without words": (":alt: A map of the whole world.", ":alt: map", "alt"),
    "a symbol without meaning": ("First $a$.", r"First $\digamma$.", "digamma"),
    "a typed number": ("Two.", "Two, or 1.34 nats.", "a measured number is typed: “1.34 nats”"),
}


def test_planted_faults_stop_the_build(tmp_path, subtests):
    names = [f"course/{i + 1:02}-page" for i in range(len(FAULTS))]
    pages = {"index.md": "# All\n\n```{toctree}\n" + "\n".join(names) + "\n```\n"}
    body = PAGE[: PAGE.index("{term}")]
    for name, (old, new, _) in zip(names, FAULTS.values(), strict=True):
        assert body.count(old) == 1, old
        pages[f"{name}.md"] = body.replace(old, new)
    done = site(tmp_path, pages)
    assert done.returncode != 0
    for fault, (_, _, words) in FAULTS.items():
        with subtests.test(fault):
            if "symbol" in fault and not NOTATION.is_file():
                pytest.skip("no docs/notation.yaml yet")
            assert words in done.stderr


def test_what_is_not_there_yet_stops_the_build_in_the_end(tmp_path):
    done = site(tmp_path, {"index.md": PAGE}, "-D", "course_strict=1")
    assert done.returncode != 0
    assert "is not built yet" in done.stderr and "not in the library yet" in done.stderr


# ------------------------------------------------------------------------------------- the reader

TRY = """
addEventListener("load", () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, found = {};
  const window_ = frame.contentWindow;
  const one = selector => page.querySelector(selector);
  const shown = node => node.getClientRects().length > 0;
  const key = (node, name) =>
    node.dispatchEvent(new window_.KeyboardEvent("keydown", { key: name, bubbles: true }));

  const predict = one(".co-predict"), compare = predict.querySelector("button");
  found.hidden = !predict.querySelector("details").open;
  compare.click();
  found.asked = predict.querySelector(".co-verdict").textContent;
  predict.querySelector("input[value='1']").click();
  compare.click();
  found.wrong = predict.querySelector(".co-verdict").textContent;
  found.open = predict.querySelector("details").open;
  predict.querySelector("input[value='2']").click();
  compare.click();
  found.right = predict.querySelector(".co-verdict").textContent;

  const steps = () => [...page.querySelectorAll(".co-steps > li")].filter(shown).length;
  found.first = steps();
  one(".co-derive button").click();
  found.then = steps();

  const quiz = one(".co-item"), answers = [...quiz.querySelectorAll("input")];
  found.answers = answers.map(answer => {
    answer.focus();
    answer.checked = true;
    key(answer, "Enter");
    const verdict = quiz.querySelector(".co-verdict");
    return [verdict.classList.contains("co-right"), verdict.textContent.trim()];
  });

  const term = one(".co-code .t1"), formula = one(".co-formula .t1");
  term.dispatchEvent(new window_.PointerEvent("pointerenter"));
  found.lit = formula.classList.contains("co-on");
  term.dispatchEvent(new window_.PointerEvent("pointerleave"));
  found.dark = !formula.classList.contains("co-on");
  found.means = one("a.co-term").dataset.means;
  found.focusable = [...page.querySelectorAll(".co :is(button, input, summary)")]
    .every(node => node.tabIndex >= 0);
  document.body.textContent = JSON.stringify(found);
});
"""


@pytest.mark.skipif(BROWSER is None, reason="needs a browser: apt-get install chromium")
def test_predictions_derivations_and_quizzes_answer_the_mouse_and_the_keyboard(built, tmp_path):
    frame = f'<iframe src="{built.as_uri()}" width="1200" height="900"></iframe>'
    album = tmp_path / "frame.html"
    head = "<!doctype html><meta charset=utf-8>"
    album.write_text(f"{head}<body>{frame}<script>{TRY}</script>", encoding="utf-8")
    alone = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'p'}"]
    offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    task = ["--allow-file-access-from-files", "--dump-dom", album.as_uri()]
    command = [str(BROWSER), *alone, *offline, *task]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    body = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    assert body is not None, done.stderr
    seen = json.loads(html.unescape(body[1]))
    assert seen["hidden"] and seen["open"] and "Choose" in seen["asked"]
    assert "two" in seen["wrong"] and seen["right"] == "You predicted it."
    assert (seen["first"], seen["then"]) == (1, 2)
    assert sorted(seen["answers"]) == [[False, "Not quite. It is."], [True, "Right."]]
    assert seen["means"] == "A few numbers."
    assert seen["lit"] and seen["dark"] and seen["focusable"]
