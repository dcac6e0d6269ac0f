"""Checks of an answer, whose result is a sentence."""

import contextlib
import io
import linecache
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from genzoo.course.exercise import Exercise

PRINTED = 2_000  # characters of what the answer prints that are kept
LINES = 5  # of a traceback that are shown


@dataclass(frozen=True)
class Verdict:
    """Result of a check.

    Args:
        passed: whether the answer is right.
        sentence: the feedback for the reader.
        lines: the reader's own lines in which the code stopped, if it did.
        printed: what the answer printed, cut to its beginning.
    """

    passed: bool
    sentence: str
    lines: tuple[str, ...] = ()
    printed: str = ""


def judge(exercise: Exercise, path: Path) -> Verdict:
    """Check an answer in this process, with a fixed random state."""
    import torch

    screen = _Beginning()
    with contextlib.redirect_stdout(screen), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        passed, sentence, lines = _outcome(exercise, path)
    return Verdict(passed, sentence, tuple(lines), screen.getvalue())


def _outcome(exercise: Exercise, path: Path) -> tuple[bool, str, list[str]]:
    from genzoo.course.checking import Answer, NotYet

    try:
        exercise.check(Answer(_load(path)))
    except NotYet as sentence:
        return False, str(sentence), []
    except SyntaxError as error:
        return False, *_unreadable(error, path)
    except (Exception, SystemExit) as error:
        return False, *_stopped(error, path)
    return True, "Right.", []


def _load(path: Path) -> ModuleType:
    """The reader's file as a module, read again each time."""
    linecache.checkcache(str(path))
    module = ModuleType("answer")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for it
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return module


def _frames(error: BaseException, path: Path) -> list[traceback.FrameSummary]:
    """The places in the reader's file that an error passed through, innermost last."""
    every = traceback.extract_tb(error.__traceback__)
    return [frame for frame in every if frame.filename == str(path)]


def _unreadable(error: SyntaxError, path: Path) -> tuple[str, list[str]]:
    if error.filename != str(path) or not error.lineno:
        return f"Your file cannot be read as Python: {error.msg}.", []
    sentence = f"Line {error.lineno} of your file cannot be read as Python: {error.msg}."
    return sentence, [f"line {error.lineno}: {(error.text or '').strip()}"]


def _stopped(error: BaseException, path: Path) -> tuple[str, list[str]]:
    what = " ".join(str(error).split())
    said = f"{type(error).__name__}: {what}" if what else type(error).__name__
    frames = _frames(error, path)
    if not frames:
        return f"What your file returns could not be checked ({said}): see the stub's shapes.", []
    if (frames[-1].line or "").startswith("raise NotImplementedError"):
        return f"`{frames[-1].name}` is still to be written: {what or 'see its TODO.'}", []
    return f"Your code stopped with {said}", [_place(frame) for frame in frames[-LINES:]]


def _place(frame: traceback.FrameSummary) -> str:
    function = "" if frame.name == "<module>" else f", in {frame.name}"
    return f"line {frame.lineno}{function}: {frame.line}"


class _Beginning(io.StringIO):
    """Keeps the first characters of what is written to it."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, PRINTED - self.tell())])
        return len(text)
