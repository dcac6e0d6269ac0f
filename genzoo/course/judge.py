"""Checks an answer, and turns whatever comes of it into sentences.

`judge` does it here and now. `judge_apart`, for the command line, does it in a process of its own,
which may hang, crash or print as much as it likes.
"""

import contextlib
import faulthandler
import io
import json
import linecache
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from genzoo.course.exercise import Exercise, find

SECONDS = 60.0  # that a check may take
PRINTED = 2_000  # characters of what the answer prints that are kept
LINES = 5  # of a traceback that are shown


@dataclass(frozen=True)
class Verdict:
    """What came of a check.

    Args:
        passed: whether the answer holds.
        sentence: what is to be said about it.
        lines: the reader's own lines in which the code stopped, if it did.
        printed: what the answer printed, cut to its beginning.
    """

    passed: bool
    sentence: str
    lines: tuple[str, ...] = ()
    printed: str = ""


def judge(exercise: Exercise, path: Path) -> Verdict:
    """Check an answer in this process, on one thread, with a fixed random state."""
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
    """The reader's file as a module, read afresh each time."""
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


# -------------------------------------------------------------------------- in a process of its own


def judge_apart(exercise: Exercise, path: Path, seconds: float = SECONDS) -> Verdict:
    """Check an answer in a process of its own, which is stopped after so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report, stuck = Path(folder, "verdict.json"), Path(folder, "stuck.txt")
        arguments = [exercise.id, str(path.resolve()), str(report), str(stuck), str(seconds)]
        process = subprocess.Popen(
            [sys.executable, "-m", "genzoo.course.judge", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            code = process.wait(seconds + 60)  # by then it has ended itself, or cannot
        except subprocess.TimeoutExpired:
            code = -9
        finally:
            process.kill()
            process.wait()
        if report.is_file():
            found = json.loads(report.read_text(encoding="utf-8"))
            return Verdict(**found | {"lines": tuple(found["lines"])})
        where = stuck.read_text(encoding="utf-8") if stuck.is_file() else ""
        return _no_verdict(code, where, path, seconds)


def _no_verdict(code: int, where: str, path: Path, seconds: float) -> Verdict:
    if not where and code != -9:
        return Verdict(False, f"Python ended before the check did, with exit code {code}.")
    numbers = [
        int(line.split(", line ")[1].split()[0])
        for line in where.splitlines()
        if f'"{path.resolve()}"' in line
    ]
    lines = tuple(f"line {n}: {linecache.getline(str(path), n).strip()}" for n in numbers[:1])
    return Verdict(
        False,
        f"Your code was still running after {seconds:g} seconds. Does a loop have no end, or does "
        "it do number by number what one line of tensors does at once?",
        lines,
    )


def _main(id: str, path: str, report: str, stuck: str, seconds: str) -> None:
    """What the process does: it writes its verdict, or the place where time ran out."""
    import torch

    torch.set_num_threads(1)
    with open(stuck, "w", encoding="utf-8") as place:
        faulthandler.dump_traceback_later(float(seconds), exit=True, file=place)
        verdict = judge(find(id), Path(path))
        faulthandler.cancel_dump_traceback_later()
    Path(report).write_text(json.dumps(asdict(verdict)), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
