"""The pages that lead through the book: its glossary, its notation, its map of the lecture."""

import re
import unicodedata
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).parents[1] / "docs"
NAMES = {"DDIM", "CLIP", "unCLIP"}  # terms that are names, the same in every language


def script(letter: str) -> str:
    """``CYRILLIC``, ``ARABIC``, ``LATIN`` …"""
    return unicodedata.name(letter).split()[0]


def terms() -> dict[str, str]:
    """Every term of the glossary with all that is said of it."""
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    found = {}
    for body in re.findall(r"```\{glossary\}\n(.*?)```", text, re.S):
        for item in re.split(r"\n\n(?=\S)", body.strip()):
            term, _, said = item.partition("\n")
            assert term not in found, f"{term} stands twice"
            found[term] = said
    return found


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Every anchor of a page: its labels, and its headings but for those in cells."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```\{code-cell\}.*?^```$", "", text, flags=re.M | re.S)
    labels = re.findall(r"^\(([\w-]+)\)=$", text, re.M)
    return {*labels, *map(slug, re.findall(r"^#+ (.+)$", text, re.M))}


def broken(links: list[str]) -> list[str]:
    """Those of the links from ``docs`` that lead nowhere."""
    lost = []
    for link in dict.fromkeys(links):
        path, _, anchor = link.partition("#")
        page = DOCS / path
        if not page.is_file() or (anchor and anchor not in anchors(page)):
            lost.append(link)
    return lost


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


# ------------------------------------------------------------------------------------- the glossary


def test_the_glossary_is_a_glossary_of_the_whole_book():
    assert len(terms()) >= 70
    assert broken([link for said in terms().values() for link in links(said)]) == []


@pytest.mark.parametrize("term", terms())
def test_a_term_is_explained_in_english_and_named_in_bulgarian_and_arabic(term):
    said = terms()[term]
    definition = said.strip().splitlines()[0]
    assert definition.count("Chapter") == 1
    assert re.search(r"\. \[Chapter \d+\]\(course/\S+\)$", definition)
    for language, alphabet in (("bg", "CYRILLIC"), ("ar", "ARABIC")):
        found = re.findall(rf'<\w+ lang="{language}">([^<]+)<', said)
        assert len(found) == 1, language
        for word in re.findall(r"\w+", found[0]):
            scripts = {script(letter) for letter in word if letter.isalpha()}
            assert len(scripts) <= 1, f"{word} mixes {scripts}"
        if term not in NAMES:
            assert alphabet in {script(letter) for letter in found[0] if letter.isalpha()}


# -------------------------------------------------------------------------------- the lecture's map


def test_the_map_of_the_lecture_has_no_empty_row_and_no_dead_link():
    text = (DOCS / "lecture-map.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    rows = [line for line in rows if "| ---" not in line and not line.startswith("|---")]
    rows = [line for line in rows if "in the book" not in line]  # heads
    assert len(rows) > 50
    for row in rows:
        slide, english, book = [cell.strip() for cell in row.strip("|").split("|")]
        assert slide and english and links(book), row
    assert broken(links(text)) == []


def test_the_map_of_the_lecture_has_its_ten_parts_and_the_thread():
    text = (DOCS / "lecture-map.md").read_text(encoding="utf-8")
    parts = re.findall(r"^### (\d+)\.", text, re.M)
    assert parts == [str(number) for number in range(1, 11)]
    assert "## The thread" in text


# ------------------------------------------------------------------------------------- the notation


def test_every_symbol_of_the_notation_has_a_meaning_and_a_chapter():
    symbols = yaml.safe_load((DOCS / "notation.yaml").read_text(encoding="utf-8"))
    for latex, symbol in symbols.items():
        assert set(symbol) <= {"meaning", "code", "chapter"}, latex
        assert symbol["meaning"] and symbol["chapter"] in range(20), latex


def test_no_symbol_of_the_notation_stands_twice():
    text = (DOCS / "notation.yaml").read_text(encoding="utf-8")
    keys = re.findall(r"^('[^']+'|\"[^\"]+\"):", text, re.M)
    assert len(keys) == len(set(keys)) == len(yaml.safe_load(text))
