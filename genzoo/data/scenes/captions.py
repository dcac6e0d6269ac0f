"""Captions of scenes.

A small grammar, written and read by the same sentences, and the captions as a data set of their
own.

`caption` words a meaning in one of several ways and `understand` gets the meaning back, so that
what is asked for is always known exactly. A caption need not say everything: what it leaves open is
for a model to fill in.
"""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from genzoo import grid
from genzoo.data.dataset import DataSet, Split
from genzoo.data.scenes.scene import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    Kind,
    Meaning,
    Scene,
    draw,
    is_held_out,
    render,
)
from genzoo.errors import InputError, nearest

# What each phrase means.
SIZES = {"small": "small", "little": "small", "large": "large", "big": "large"}
PLACES = {
    "on the left": "left",
    "at the left": "left",
    "on the right": "right",
    "at the right": "right",
    "at the top": "top",
    "at the bottom": "bottom",
    "in the centre": "centre",
    "in the middle": "centre",
}
RELATIONS = {
    "left of": "left of",
    "to the left of": "left of",
    "on the left of": "left of",
    "right of": "right of",
    "to the right of": "right of",
    "on the right of": "right of",
    "above": "above",
    "over": "above",
    "below": "below",
    "under": "below",
}
GROUNDS = {
    f"{word} a {name} background": name for name in BACKGROUNDS for word in ("on", "against")
}

OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
UNSAID = {"size": 0.1, "place": 0.2, "background": 0.5}  # how often a caption leaves it open


def _sentences() -> Iterator[str]:
    """Every form of a caption, with slots for things (a and b), place, relation and background."""
    one = (
        "{a}",
        "there is {a}",
        "{a} {place}",
        "there is {a} {place}",
        "{place}, {a}",
        "{place} there is {a}",
    )
    two = (
        "{a} {relation} {b}",
        "there is {a} {relation} {b}",
        "{relation} {b}, {a}",
        "{relation} {b} there is {a}",
        "{b} and {relation} it {a}",
    )
    for form in (*one, *two):
        yield form
        yield form + " {ground}"
        yield ("{ground} " if form.startswith("there is") else "{ground}, ") + form


SENTENCES = tuple(_sentences())
VOCABULARY = (
    "",
    *sorted(
        {
            *" ".join([*SIZES, *PLACES, *RELATIONS, *GROUNDS, *COLOURS, *SHAPES]).split(),
            "a",
            "an",
            "there",
            "is",
            "and",
            "it",
        }
    ),
)  # the first is no word: it fills up the shorter captions
LENGTH = 18  # words of the longest caption
ELSEWHERE = {"gray": "grey", "center": "centre"}  # other spellings


# ------------------------------------------------------------------------------------------ writing


def caption(meaning: Meaning, rng: random.Random) -> str:
    """One of the ways to say all of ``meaning``.

    "on the right of a small blue square, a large red circle".
    """
    words = {"a": _noun(meaning.things[0], rng)}
    if len(meaning.things) == 2:
        words |= {"b": _noun(meaning.things[1], rng), "relation": str(meaning.layout)}
        if rng.random() < 0.5:
            words |= {"a": words["b"], "b": words["a"], "relation": OPPOSITE[words["relation"]]}
        words["relation"] = _phrase(words["relation"], RELATIONS, rng)
    elif meaning.layout:
        words["place"] = _phrase(meaning.layout, PLACES, rng)
    if meaning.background:
        words["ground"] = _phrase(meaning.background, GROUNDS, rng)
    return rng.choice(_forms(frozenset(words))).format(**words)


def leave_out(meaning: Meaning, rng: random.Random) -> Meaning:
    """What a caption may say of a scene.

    Now and then no size, no place of a single thing, no background (`UNSAID`).
    """
    kinds = (
        replace(kind, size=None) if rng.random() < UNSAID["size"] else kind
        for kind in meaning.things
    )
    silent = len(meaning.things) == 1 and rng.random() < UNSAID["place"]
    background = None if rng.random() < UNSAID["background"] else meaning.background
    return Meaning(tuple(kinds), None if silent else meaning.layout, background)


def _noun(kind: Kind, rng: random.Random) -> str:
    looks = (
        f"{_phrase(kind.size, SIZES, rng) if kind.size else ''} {kind.colour} {kind.shape}".strip()
    )
    return f"an {looks}" if looks.startswith("orange") else f"a {looks}"


def _phrase(meaning: str, phrases: dict[str, str], rng: random.Random) -> str:
    return rng.choice([phrase for phrase, meant in phrases.items() if meant == meaning])


@cache
def _forms(slots: frozenset[str]) -> list[str]:
    """The forms of `SENTENCES` that have these slots and no other."""
    return [form for form in SENTENCES if slots == set(re.findall(r"{(\w+)}", form))]


# ------------------------------------------------------------------------------------------ reading


def understand(caption: str) -> Meaning:
    """What a caption says; the inverse of `caption`, whatever the wording.

    Raises:
        InputError: a word is not in the vocabulary, or the words form no caption of the grammar.
    """
    said = " ".join(words(caption))
    for pattern in _patterns():
        if found := pattern.fullmatch(said):
            return _meaning(found.groupdict())
    raise InputError(
        f'Cannot make sense of "{caption}": expected something like "a large red circle left of a '
        'small blue square", '
        f'"there is a green cross at the top" or "on a grey background, a small yellow triangle".'
    )


def is_grammatical(caption: str) -> bool:
    """Whether `understand` understands it."""
    try:
        return bool(understand(caption))
    except InputError:
        return False


def words(caption: str) -> list[str]:
    """The words of a caption, in small letters and without punctuation.

    Raises `InputError` for those it does not know.
    """
    found = [ELSEWHERE.get(word, word) for word in re.sub(r"[,.;!?]", " ", caption.lower()).split()]
    if unknown := [word for word in found if word not in _index()]:
        known = VOCABULARY[1:]
        guesses = " ".join(
            nearest(word, known) for word in unknown if nearest(word, known).startswith("Did")
        )
        which = f"the word{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))}"
        raise InputError(
            f'"{caption}" has {which}, which I do not know.{" " * bool(guesses)}{guesses} '
            f"The vocabulary: {', '.join(known)}."
        )
    return found


def _meaning(said: dict[str, str]) -> Meaning:
    """The meaning of a form's filled slots.

    The left or upper thing comes first, whichever was named first.
    """
    things, relation = [_kind(said["a"])], RELATIONS.get(said.get("relation", ""))
    if relation:
        things.append(_kind(said["b"]))
    if relation in ("right of", "below"):
        things, relation = things[::-1], OPPOSITE[relation]
    layout = relation or PLACES.get(said.get("place", ""))
    return Meaning(tuple(things), layout, GROUNDS.get(said.get("ground", "")))


def _kind(noun: str) -> Kind:
    *size, colour, shape = noun.split()[1:]
    return Kind(SIZES[size[0]] if size else None, colour, shape)


@cache
def _patterns() -> list[re.Pattern[str]]:
    """One regular expression for each of `SENTENCES`, with a group for each slot."""
    article = "(?:an (?=orange)|a (?!orange))"
    noun = f"{article}(?:{_any(SIZES)} )?{_any(COLOURS)} {_any(SHAPES)}"
    slots = {
        "a": noun,
        "b": noun,
        "place": _any(PLACES),
        "relation": _any(RELATIONS),
        "ground": _any(GROUNDS),
    }
    groups = {name: f"(?P<{name}>{pattern})" for name, pattern in slots.items()}
    return [re.compile(form.replace(",", "").format(**groups)) for form in SENTENCES]


def _any(phrases: Iterable[str]) -> str:
    return f"(?:{'|'.join(phrases)})"


# ------------------------------------------------------------------------------------------- tokens


def tokenise(captions: str | Sequence[str]) -> Tensor:
    """Captions as rows of places in `VOCABULARY`, filled up with 0: ``(n, LENGTH)`` int64.

    Raises:
        InputError: a word is not in the vocabulary, or there are more than `LENGTH` of them.
    """
    rows = []
    for text in [captions] if isinstance(captions, str) else captions:
        found = words(text)
        if len(found) > LENGTH:
            raise InputError(f'"{text}" has {len(found)} words: expected at most {LENGTH}.')
        rows.append([_index()[word] for word in found] + [0] * (LENGTH - len(found)))
    return torch.tensor(rows, dtype=torch.long).view(-1, LENGTH)


def spell(tokens: Tensor) -> list[str]:
    """The inverse of `tokenise`: rows of tokens ``(n, LENGTH)`` as text, without punctuation."""
    return [" ".join(VOCABULARY[i] for i in row if i) for row in tokens.tolist()]


@cache
def _index() -> dict[str, int]:
    return {word: i for i, word in enumerate(VOCABULARY)}


# --------------------------------------------------------------------------- pictures with captions


@dataclass(frozen=True)
class Captioned:
    """Pictures ``(n, 3, 32, 32)`` with what is said of them: texts, and tokens ``(n, LENGTH)``.

    The third result is the scenes that the pictures show.
    """

    images: Tensor
    tokens: Tensor
    captions: list[str]
    scenes: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)


def captioned(
    n: int, seed: int = 0, things: int | None = None, held_out: bool = False
) -> Captioned:
    """``n`` random scenes, drawn and described; see `genzoo.data.scenes.scene.draw`.

    Training uses those that are not held out.
    """
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    scenes = draw(n, rng, things, held_out)
    captions = [caption(leave_out(scene.meaning, rng), rng) for scene in scenes]
    return Captioned(render(scenes, generator), tokenise(captions), captions, scenes)


def prompts(
    n: int, things: int | None = None, held_out: bool = False, seed: int = 0
) -> tuple[list[str], list[Meaning]]:
    """``n`` random captions with what they ask for.

    If ``held_out``, each *says* a combination that training never showed.
    """
    rng = random.Random(seed)
    asked: list[Meaning] = []
    while len(asked) < n:
        said = (leave_out(scene.meaning, rng) for scene in draw(n, rng, things, held_out))
        asked += [meaning for meaning in said if is_held_out(meaning) == held_out]
    return [caption(meaning, rng) for meaning in asked[:n]], asked[:n]


# ------------------------------------------------------------------------------- captions as events


def captions(
    train: int = 20_000, validation: int = 1_000, test: int = 2_000, seed: int = 0
) -> DataSet:
    """Captions of random scenes.

    Events have shape (18,): word numbers on a grid of as many levels as there are words.
    """
    rng = random.Random(seed)
    scenes = draw(train + validation + test, rng)
    tokens = tokenise([caption(leave_out(scene.meaning, rng), rng) for scene in scenes])
    x = grid.to_grid(tokens, len(VOCABULARY))
    parts = [Split(part) for part in x.split((train, validation, test))]
    return DataSet(
        "captions",
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        levels=len(VOCABULARY),
        about="captions of simple scenes, word by word",
        source="written by genzoo",
    )


def read(x: Tensor) -> list[str]:
    """Events of `captions`, ``(n, LENGTH)``, as text."""
    return spell(grid.to_level(x, len(VOCABULARY)))


@dataclass(frozen=True)
class Fluency:
    """Two shares: captions that the grammar accepts, and those of them that are new.

    A caption is new where no training caption equals it.
    """

    grammatical: float
    new: float


def fluency(written: Sequence[str], known: Iterable[str]) -> Fluency:
    """How well captions were ``written`` by a model that learned from the ``known`` ones."""
    right = [text for text in written if is_grammatical(text)]
    known = set(known)
    return Fluency(
        len(right) / max(1, len(written)),
        sum(text not in known for text in right) / max(1, len(right)),
    )
