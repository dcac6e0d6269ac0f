"""Checks of an answer in a process of its own, where it may hang, crash or print."""

import faulthandler
import json
import linecache
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from genzoo.course.exercise import Exercise, find
from genzoo.course.judge import Verdict, judge

SECONDS = 60.0  # that a check may take
GRACE = 300.0  # beyond these, for Python to start and to import what a check needs


def judge_apart(exercise: Exercise, path: Path, seconds: float = SECONDS) -> Verdict:
    """Check an answer in a process of its own.

    Args:
        exercise: that is answered.
        path: of the reader's file.
        seconds: after which the process is stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, stuck = Path(folder, "verdict.json"), Path(folder, "stuck.txt")
        arguments = [exercise.id, str(path.resolve()), str(report), str(stuck), str(seconds)]
        process = subprocess.Popen(
            [sys.executable, "-m", "genzoo.course.apart", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            code = process.wait(seconds + GRACE)  # by then it has ended itself, or cannot
        except subprocess.TimeoutExpired:
            code = -9
        finally:
            process.kill()
            process.wait()
        if report.is_file():
            verdict = json.loads(report.read_text(encoding="utf-8"))
            return Verdict(**{**verdict, "lines": tuple(verdict["lines"])})
        where = stuck.read_text(encoding="utf-8") if stuck.is_file() else ""
        return _no_verdict(code, where, path, seconds)


def _no_verdict(code: int, where: str, path: Path, seconds: float) -> Verdict:
    if not where and code != -9:
        return Verdict(False, f"Python ended before the check did, with exit code {code}.")
    sentence = (
        f"Your code was still running after {seconds:g} seconds. Does a loop have no end, or does "
        "it do number by number what one line of tensors does at once?"
    )
    for frame in where.splitlines():  # innermost first
        if f'"{path.resolve()}", line ' in frame:
            number = int(frame.split(", line ")[1].split()[0])
            stuck = linecache.getline(str(path), number).strip()
            return Verdict(False, sentence, (f"line {number}: {stuck}",))
    return Verdict(False, sentence)


def _main(id: str, path: str, report: str, stuck: str, seconds: str) -> None:
    """Judge an answer in this process: write the verdict, or the place where time ran out."""
    import torch

    torch.set_num_threads(1)
    exercise = find(id)
    _ = exercise.check  # imported before the clock runs
    with open(stuck, "w", encoding="utf-8") as place:
        faulthandler.dump_traceback_later(float(seconds), exit=True, file=place)
        verdict = judge(exercise, Path(path))
        faulthandler.cancel_dump_traceback_later()
    Path(report).write_text(json.dumps(asdict(verdict)), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
