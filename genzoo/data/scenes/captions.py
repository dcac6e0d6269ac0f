"""Captions of scenes by a small grammar, and a data set of captions.

`caption` expresses a meaning in one of several ways and `understand` recovers the meaning, so that
it is always known exactly. A caption need not name all attributes: a model may choose the others.
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
UNSAID = {"size": 0.1, "place": 0.2, "background": 0.5}  # probability that it is left open


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
# the first is the padding of shorter captions
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
)
LENGTH = 18  # words of the longest caption
ELSEWHERE = {"gray": "grey", "center": "centre"}  # other spellings


# ------------------------------------------------------------------------------------------ writing


def caption(meaning: Meaning, rng: random.Random) -> str:
    """A random wording of ``meaning``.

    For example "on the right of a small blue square, a large red circle".
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
    """A meaning with some attributes left out at random, by `UNSAID`.

    These are sizes, the place of a single thing, and the background.
    """
    layout = meaning.layout
    background = meaning.background
    if len(meaning.things) == 1 and rng.random() < UNSAID["place"]:
        layout = None
    if rng.random() < UNSAID["background"]:
        background = None
    kinds = []
    for kind in meaning.things:
        if rng.random() < UNSAID["size"]:
            kind = replace(kind, size=None)
        kinds.append(kind)
    return Meaning(tuple(kinds), layout, background)


def _noun(kind: Kind, rng: random.Random) -> str:
    looks = f"{kind.colour} {kind.shape}"
    if kind.size:
        size = _phrase(kind.size, SIZES, rng)
        looks = f"{size} {looks}"
    article = "an" if looks.startswith("orange") else "a"
    return f"{article} {looks}"


def _phrase(meaning: str, phrases: dict[str, str], rng: random.Random) -> str:
    return rng.choice([phrase for phrase, meant in phrases.items() if meant == meaning])


@cache
def _forms(slots: frozenset[str]) -> list[str]:
    """The forms of `SENTENCES` that have these slots and no other."""
    return [form for form in SENTENCES if slots == set(re.findall(r"{(\w+)}", form))]


# ------------------------------------------------------------------------------------------ reading


def understand(caption: str) -> Meaning:
    """The meaning of a caption, the inverse of `caption` for every wording.

    Raises:
        InputError: a word is not in the vocabulary, or the words are not a caption of the grammar.
    """
    text = " ".join(words(caption))
    for pattern in _patterns():
        match = pattern.fullmatch(text)
        if match:
            return _meaning(match.groupdict())
    raise InputError(
        f'Cannot make sense of "{caption}": expected something like "a large red circle left of a '
        'small blue square", '
        f'"there is a green cross at the top" or "on a grey background, a small yellow triangle".'
    )


def is_grammatical(caption: str) -> bool:
    """True of a caption that the grammar accepts."""
    try:
        return bool(understand(caption))
    except InputError:
        return False


def words(caption: str) -> list[str]:
    """The words of a caption, in small letters and without punctuation.

    Raises `InputError` for a word that is not in the vocabulary.
    """
    text = re.sub(r"[,.;!?]", " ", caption.lower())
    parts = [ELSEWHERE.get(word, word) for word in text.split()]
    unknown = [word for word in parts if word not in _index()]
    if not unknown:
        return parts
    vocabulary = VOCABULARY[1:]
    guesses = ""
    for word in unknown:
        guess = nearest(word, vocabulary)
        if guess.startswith("Did"):
            guesses += f" {guess}"
    plural = "s" if len(unknown) > 1 else ""
    listed = ", ".join(map(repr, unknown))
    raise InputError(
        f'"{caption}" has the word{plural} {listed}, which I do not know.{guesses} '
        f"The vocabulary: {', '.join(vocabulary)}."
    )


def _meaning(said: dict[str, str]) -> Meaning:
    """The meaning of a form's filled slots.

    The left or upper thing comes first, whichever was named first.
    """
    things = [_kind(said["a"])]
    relation = RELATIONS.get(said.get("relation", ""))
    if relation:
        things.append(_kind(said["b"]))
    if relation in ("right of", "below"):
        things = things[::-1]
        relation = OPPOSITE[relation]
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
    """Captions as rows of indices in `VOCABULARY`, padded with 0: ``(n, LENGTH)`` int64.

    Raises:
        InputError: a word is not in the vocabulary, or there are more than `LENGTH` of them.
    """
    if isinstance(captions, str):
        captions = [captions]
    rows = []
    for text in captions:
        parts = words(text)
        if len(parts) > LENGTH:
            raise InputError(f'"{text}" has {len(parts)} words: expected at most {LENGTH}.')
        padding = [0] * (LENGTH - len(parts))
        rows.append([_index()[word] for word in parts] + padding)
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
    """Pictures with captions.

    Args:
        images: ``(n, 3, 32, 32)``.
        tokens: of the captions, ``(n, LENGTH)``.
        captions: as text.
        scenes: that the pictures show.
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
    """Pictures of random scenes with captions.

    Args:
        n: number of pictures.
        seed: of random numbers.
        things: as of `genzoo.data.scenes.scene.draw`.
        held_out: likewise; training scenes are not held out.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    scenes = draw(n, rng, things, held_out)
    captions = [caption(leave_out(scene.meaning, rng), rng) for scene in scenes]
    return Captioned(render(scenes, generator), tokenise(captions), captions, scenes)


def prompts(
    n: int, things: int | None = None, held_out: bool = False, seed: int = 0
) -> tuple[list[str], list[Meaning]]:
    """Random captions with their meanings.

    Args:
        n: number of captions.
        things: as of `genzoo.data.scenes.scene.draw`.
        held_out: True: each caption *names* a combination that training scenes never have; False:
            none does.
        seed: of random numbers.
    """
    rng = random.Random(seed)
    meanings: list[Meaning] = []
    while len(meanings) < n:
        for scene in draw(n, rng, things, held_out):
            meaning = leave_out(scene.meaning, rng)
            if is_held_out(meaning) == held_out:
                meanings.append(meaning)
    meanings = meanings[:n]
    return [caption(meaning, rng) for meaning in meanings], meanings


# ------------------------------------------------------------------------------- captions as events


def captions(
    train: int = 20_000, validation: int = 1_000, test: int = 2_000, seed: int = 0
) -> DataSet:
    """Captions of random scenes: events (18,), indices of words on a grid of as many levels.

    Args:
        train: number of training events.
        validation: number of validation events.
        test: number of test events.
        seed: of random numbers.
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

    A caption is new if it is not equal to a training caption.
    """

    grammatical: float
    new: float


def fluency(written: Sequence[str], known: Iterable[str]) -> Fluency:
    """The fluency of captions that a model has ``written``, trained on the ``known`` ones."""
    accepted = [text for text in written if is_grammatical(text)]
    known = set(known)
    new = sum(text not in known for text in accepted)
    return Fluency(
        grammatical=len(accepted) / max(1, len(written)),
        new=new / max(1, len(accepted)),
    )
