r"""What a chapter must have, and what its prose may not hold, read from its Markdown.

* the skeleton: goals, needs, the family chapters' headings in their order, and how many of each
  directive (`skeleton`); a family chapter may have a part "Going further: …" after its last
  argument, which its main line does not need and its count of words leaves out;
* numbers: a decimal that carries a sign (``≤ 1.34``) or a unit (``1.34 nats``) was measured, and
  what was measured comes from a cell of the page, never from the keyboard (`typed_numbers`);
* notation: every symbol of every formula is in ``notation.yaml``, or named by the page as its own:
  ``<!-- local: a, b -->`` (`unknown_symbols`).

The build prints what it finds as warnings. ``python docs/_ext/lint.py PAGE…`` prints it at once.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import yaml

FAMILIES = range(8, 15)  # numbers of the chapters that are about one family each
WORDS = {True: (2000, 3500), False: (1000, 3000)}  # of a family chapter, of another
FURTHER, MOST_FURTHER = "Going further: ", 1500  # its heading, and words
CODE = {
    "code-cell",
    "code",
    "code-block",
    "literalinclude",
    "eval-rst",
    "raw",
    "exercise",
    "mermaid",
}
HEADINGS = [
    "Predict", "Play", "Derive", "In code", "Train it", "What its number means", "Where it fails",
    "Exercises", "In one minute", "History and further reading",
]  # fmt: skip
LEAST = {
    "goals": 1, "needs": 1, "predict": 1, "play": 1, "derive": 1, "equation": 1, "scheme": 1,
    "curves": 1, "exercise": 2, "minute": 1, "quiz": 1,
}  # fmt: skip
ONCE = ("goals", "needs", "minute", "quiz", "curves")
STEPS, ITEMS = 3, 3


@dataclass
class Block:
    """A directive of the page, or (``name`` empty) the page itself."""

    name: str
    argument: str = ""
    line: int = 1
    options: dict[str, str] = field(default_factory=dict)
    prose: list[tuple[int, str]] = field(default_factory=list)  # lines that are no child's
    children: list["Block"] = field(default_factory=list)

    def __iter__(self) -> Iterator["Block"]:
        yield self
        for child in self.children:
            yield from child

    def text(self) -> str:
        return "\n".join(line for _, line in self.prose)


FENCE = re.compile(r"^\s*(`{3,}|:{3,}|~{3,})\s*(?:\{([\w:-]+)\})?[ \t]*(.*?)\s*$")
OPTION = re.compile(r"^\s*:([\w-]+):\s?(.*)$")


def read(text: str) -> Block:
    """The page as blocks within blocks.

    Its front matter and comments are left out, and what ``experiments/render.py`` fills in from the
    records between two of them.
    """
    lines = text.split("\n")
    start = 0
    if lines and lines[0] == "---":
        start = lines.index("---", 1) + 1
    comment = re.compile(r"<!-- (\w+:[\w-]+) -->.*?<!-- /\1 -->|<!--.*?-->", re.S)
    body = "\n".join(lines[start:])
    body = comment.sub(lambda m: "\n" * m[0].count("\n"), body)
    return inside(Block("", line=start + 1), body.split("\n"), start + 1)


def inside(block: Block, lines: list[str], first: int) -> Block:
    """Fill the block from its lines, of which the first is line ``first`` of the file."""
    i = 0
    if block.name:
        while i < len(lines) and (option := OPTION.match(lines[i])):
            block.options[option[1]] = option[2].strip()
            i += 1
    while i < len(lines):
        fence = FENCE.match(lines[i])
        if not fence or (fence[1][0] == ":" and not fence[2]):
            block.prose.append((first + i, lines[i]))
            i += 1
            continue
        mark, end = fence[1], i + 1
        closing = re.compile(rf"^\s*{re.escape(mark[0])}{{{len(mark)},}}\s*$")
        while end < len(lines) and not closing.match(lines[end]):
            end += 1
        name = fence[2] or "code"
        child = Block(name, fence[3], first + i)
        held = lines[i + 1 : end]
        if name in CODE or name == "quiz":
            child.prose = [(first + i + 1 + k, line) for k, line in enumerate(held)]
        else:
            inside(child, held, first + i + 1)
        block.children.append(child)
        i = end + 1
    return block


def prose(page: Block) -> Iterator[tuple[int, str]]:
    """Every line that a reader reads as text, with its number: no code, no formula's directive, and
    of a directive its title and its question too.
    """
    for block in page:
        if block.name in CODE or block.name in ("equation", "math"):
            continue
        if block.argument and block.name in ("predict", "derive", "algebra", "admonition"):
            yield block.line, block.argument
        for option in ("question", "choices", "unit"):
            if option in block.options and block.name in ("play", "predict"):
                yield block.line, block.options[option]
        yield from block.prose


ROLE = re.compile(r"\{[\w:-]+\}`[^`]*`")
SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.S)
DISPLAY = re.compile(r"\$\$(.*?)\$\$", re.S)
INLINE = re.compile(r"(?<![\\$])\$(?=\S)((?:[^$\\]|\\.)+?)(?<=\S)\$(?![\d$])", re.S)


def without_code(text: str) -> str:
    """The text without roles and code spans, its lines where they were."""
    blank = lambda m: "\n" * m[0].count("\n")  # noqa: E731
    return SPAN.sub(blank, ROLE.sub(blank, text))


def formulas(page: Block) -> list[str]:
    """Every formula of the page."""
    found = [block.text() for block in page if block.name in ("equation", "math")]
    text = without_code("\n".join(line for _, line in prose(page)))
    found += DISPLAY.findall(text)
    return found + INLINE.findall(DISPLAY.sub("", text))


# ------------------------------------------------------------------------------------- the skeleton


def number_of(path: Path) -> int | None:
    """The number of a chapter by its file's name."""
    found = re.match(r"(\d\d)-", path.name)
    return int(found[1]) if found else None


def skeleton(page: Block, family: bool) -> list[str]:
    """What the chapter lacks, in words."""
    faults = []
    count = Counter(block.name for block in page)
    titles = [line for _, line in page.prose if line.startswith("#")]
    least = LEAST if family else {"goals": 1, "needs": 1, "predict": 1, "minute": 1, "quiz": 1}
    for name, n in least.items():
        if count[name] < n:
            faults.append(f"has {count[name]} {{{name}}}, and wants {n}")
    for name in ONCE:
        if count[name] > 1:
            faults.append(f"has {count[name]} {{{name}}}, and wants one")
    if family:
        every = [title[3:] for title in titles if title.startswith("## ")]
        seen = [title for title in every if not title.startswith(FURTHER)]
        for before, title in pairwise(every):
            if title.startswith(FURTHER) and before != "Where it fails":
                faults.append(f"“{title}” comes after “{before}”, not after “Where it fails”")
        if seen != HEADINGS:
            missing = [title for title in HEADINGS if title not in seen]
            more = [title for title in seen if title not in HEADINGS]
            faults.append(
                f"headings: lacks {missing}, has {more} besides" if missing or more
                else f"headings are not in their order: {seen}"
            )  # fmt: skip
        steps = sum(map(steps_of, (block for block in page if block.name == "derive")))
        if steps < STEPS:
            faults.append(f"derives in {steps} steps, and wants {STEPS}")
    else:
        seen = [title[3:] for title in titles if title.startswith("## ")]
        last = [title for title in seen if title in HEADINGS[-3:]]
        wanted = [title for title in HEADINGS[-3:] if title in last or title != "Exercises"]
        if last != wanted or seen[-len(wanted) :] != wanted:
            faults.append(f"ends with {seen[-3:]}, and not with {wanted}")
        if count["exercise"] and "Exercises" not in seen:
            faults.append("has exercises, and no such heading")
    for block in page:
        if block.name == "quiz":
            items = yaml.safe_load(block.text()) or []
            if len(items) < ITEMS:
                faults.append(f"quiz has {len(items)} items, and wants {ITEMS}")
    further = going_further(page)
    more = count_words(further)
    words, (few, many) = count_words(page) - more, WORDS[family]
    if not few <= words <= many:
        faults.append(f"has {words} words, and wants {few} to {many}")
    if more > MOST_FURTHER:
        faults.append(f"has {more} words that go further, and wants at most {MOST_FURTHER}")
    return faults


def going_further(page: Block) -> Block:
    """The part of the page whose heading starts with `FURTHER`; empty where there is none."""
    titles = [(line, text) for line, text in page.prose if text.startswith("## ")]
    first = next((line for line, text in titles if text.startswith(f"## {FURTHER}")), math.inf)
    end = next((line for line, _ in titles if line > first), math.inf)
    part = Block("")
    part.prose = [(line, text) for line, text in page.prose if first <= line < end]
    part.children = [block for block in page.children if first <= block.line < end]
    return part


def steps_of(derivation: Block) -> int:
    """Items of the derivation's list."""
    return sum(bool(re.match(r"\d+[.)]\s", line)) for _, line in derivation.prose)


def count_words(page: Block) -> int:
    """Words of prose, formulas and roles not among them."""
    text = without_code("\n".join(line for _, line in prose(page)))
    text = INLINE.sub(" ", DISPLAY.sub(" ", text))
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return len(re.findall(r"[^\W\d_][\w’'-]*", text))


# ------------------------------------------------------------------------------- numbers, notation

DECIMAL = r"[-−]?\d+\.\d+"
UNIT = r"(?:\s|-)*(?:nats?\b|bits?\b|%|percent\b)"
TYPED = re.compile(rf"[=≤≥≈±<>~]\s*{DECIMAL}|{DECIMAL}{UNIT}")


def typed_numbers(page: Block) -> list[tuple[int, str]]:
    """Measured numbers that stand in the prose as typed, with their lines."""
    faults = []
    lines = list(prose(page))
    text = without_code("\n".join(line for _, line in lines))
    text = DISPLAY.sub(lambda m: "\n" * m[0].count("\n"), text)
    text = INLINE.sub(lambda m: "\n" * m[0].count("\n"), text)
    for (number, _), line in zip(lines, text.split("\n"), strict=True):
        faults += [(number, match[0]) for match in TYPED.finditer(line)]
    return faults


LISTED = re.compile(r"\n[ \t]*[-+*>] ")
AFTER_A_BLANK_LINE = re.compile(r"(^|\n[ \t]*\n)[ \t]*$")


def formulas_taken_for_lists(page: Block) -> list[tuple[int, str]]:
    """Formulas of a paragraph with a later line that Markdown takes for an item of a list, with
    their lines. Such a formula is printed as it was typed.
    """
    lines = list(prose(page))
    text = without_code("\n".join(line for _, line in lines))
    faults = []
    for pattern in (DISPLAY, INLINE):
        for match in pattern.finditer(text):
            stands_alone = AFTER_A_BLANK_LINE.search(text[: match.start()])
            if LISTED.search(match[1]) and not stands_alone:
                number, _ = lines[text.count("\n", 0, match.start())]
                faults.append((number, match[0].split("\n")[0]))
        text = pattern.sub(lambda m: "\n" * m[0].count("\n"), text)
    return faults


ACCENTS = {"hat", "tilde", "bar", "vec", "dot", "widehat", "widetilde", "overline", "check"}
STYLES = {"mathbb", "mathcal", "mathbf", "mathrm", "boldsymbol", "mathsf", "operatorname", "mathit"}
WORDS_OF = {"text", "textit", "textbf", "textrm", "mbox", "htmlClass", "tag", "begin", "end",
            "color", "textcolor", "hspace", "label", "operatorname*"}  # fmt: skip
SIGNS = set(
    re.findall(
        r"\w+",
        """
        frac tfrac dfrac sqrt left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl
        Biggr middle cdot cdots ldots dots dotsc dotsb vdots ddots times div pm mp le leq ge geq ne
        neq approx sim simeq equiv propto in notin subset subseteq cup cap setminus to gets mapsto
        rightarrow leftarrow Rightarrow Leftarrow Leftrightarrow longrightarrow Longrightarrow
        xrightarrow downarrow uparrow iff implies infty sum prod int iint smallint oint lim max min
        arg argmax argmin sup inf log ln exp sin cos tan tanh cosh sinh det Pr mid parallel Vert
        vert lVert rVert lvert rvert langle rangle lfloor rfloor lceil rceil lbrace rbrace lbrack
        rbrack quad qquad space enspace thinspace nonumber underbrace overbrace underset overset
        stackrel substack binom partial nabla forall exists land lor lnot neg not top bot perp circ
        ast star dagger oplus otimes odot colon coloneqq doteq triangleq displaystyle textstyle
        scriptstyle limits nolimits term phantom vphantom hphantom smash because therefore ll gg
        prime cr hline boxed bmod mod
        """,
    )
)
TOKEN = re.compile(r"\\([A-Za-z]+\*?)|\\(.)|([^\W\d_])|(.)", re.S)


def atoms(latex: str) -> list[str]:
    r"""The symbols of a formula: letters, Greek letters, and letters under a hat or in a style, as
    in ``\hat{x}`` and ``\mathrm{KL}``; indices count, words in ``\text`` do not.
    """
    latex = re.sub(r"\\term\s*\{\d\}", "", latex)
    latex = re.sub(r"(?<!\\)%.*", "", latex)
    found, at = [], 0
    while match := TOKEN.match(latex, at):
        at = match.end()
        command, letter = match[1], match[3]
        if letter:
            found.append(letter)
        elif command:
            name = command.rstrip("*")
            if name in WORDS_OF:
                at = argument(latex, at)[1]
            elif name in STYLES or name in ACCENTS:
                held, at = argument(latex, at)
                found.append(f"\\{name}{{{plain(held)}}}")
            elif name not in SIGNS:
                found.append(f"\\{name}")
    return found


def plain(latex: str) -> str:
    """Without spaces and braces."""
    return re.sub(r"\s|\\[,;! ]|[{}]", "", latex)


def argument(latex: str, at: int) -> tuple[str, int]:
    """The argument that begins at a place, in braces or a single token, and where it ends."""
    while at < len(latex) and latex[at].isspace():
        at += 1
    if latex[at : at + 1] != "{":
        token = re.compile(r"\\[A-Za-z]+|\\.|.", re.S).match(latex, at)
        return (token[0], token.end()) if token else ("", at)
    depth, start = 0, at
    while at < len(latex):
        depth += {"{": 1, "}": -1}.get(latex[at], 0) if latex[at - 1] != "\\" else 0
        at += 1
        if not depth:
            break
    return latex[start + 1 : at - 1], at


def known_symbols(notation: Path) -> set[str]:
    """Every symbol that occurs in a key of ``notation.yaml``."""
    keys = yaml.safe_load(notation.read_text(encoding="utf-8"))
    return {atom for key in keys for atom in atoms(key)}


def unknown_symbols(text: str, known: set[str]) -> dict[str, str]:
    """Symbols of the page that are not known, each with a formula in which it stands."""
    local = {
        atom
        for match in re.findall(r"<!--\s*local:(.*?)-->", text, re.S)
        for one in match.split(",")
        for atom in atoms(one)
    }
    found: dict[str, str] = {}
    for formula in formulas(read(text)):
        for atom in atoms(formula):
            if atom not in known and atom not in local:
                found.setdefault(atom, " ".join(formula.split()))
    return found


# -------------------------------------------------------------------------------------- the build


def faults(path: Path, text: str, notation: Path) -> Iterator[tuple[int | None, str]]:
    """Everything that is wrong with a chapter, with the line where there is one."""
    number = number_of(path)
    page = read(text)
    if number:
        try:
            yield from ((None, fault) for fault in skeleton(page, number in FAMILIES))
        except yaml.YAMLError as problem:
            yield None, f"quiz: {problem}".replace("\n", " ")
    for line, what in typed_numbers(page):
        yield line, f"a measured number is typed: “{what}”; glue it from a cell"
    for line, start in formulas_taken_for_lists(page):
        yield line, f"a line of the formula “{start}” begins like an item of a list"
    if notation.is_file():
        for symbol, formula in unknown_symbols(text, known_symbols(notation)).items():
            yield None, f"the symbol {symbol} is not in notation.yaml: {formula[:90]}"


def check(app, docname, source):
    """Warn of what is wrong with a chapter as it is read."""
    path = Path(app.env.doc2path(docname))
    if docname.startswith("course/") and number_of(path):
        from sphinx.util import logging

        notation = Path(app.srcdir) / "notation.yaml"
        for line, fault in faults(path, source[0], notation):
            where = (docname, line) if line else docname
            logging.getLogger(__name__).warning("chapter: %s", fault, location=where)


def setup(app):
    app.connect("source-read", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        notation = page.resolve().parents[1] / "notation.yaml"
        for line, fault in faults(page, page.read_text(encoding="utf-8"), notation):
            print(f"{name}:{line or 1}: {fault}")
