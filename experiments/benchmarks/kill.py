"""Kill comparisons at random moments: is anything lost, and does anything go on running?

    python experiments/benchmarks/kill.py [--kills 200] [--seed 0]

Each family is compared once undisturbed. Then it is compared again, and killed (SIGKILL) twice at
random moments of its training, of the writing of a checkpoint, of its evaluation, of the timing of
its samples and of its report, each time after the same command was given again. Killed is the
comparison, or the process in which it trains. In the end its folder must hold what the undisturbed
one holds: the same rows, weights, samples and log-probabilities, bit for bit.

Comparisons are forks of this process, which has imported everything, so that a kill costs a second
or two of one core. Linux only. The counts go to ``experiments/records/kills.json``.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml

import genzoo
from genzoo.benchmark import Observer, Row, read
from genzoo.benchmark.engines import local
from genzoo.benchmark.provenance import Provenance, provenance
from genzoo.files import DRAFT, whole

RECORD = Path(__file__).parents[1] / "records" / "kills.json"
STAGES = ("training", "checkpoint", "evaluation", "timing", "report")
OF_EACH = 2  # kills of a folder in each stage
IN_A_RUN = STAGES[:3]  # these take place in a process of their own
FAMILIES = ("vae", "flow", "autoregressive", "energy", "diffusion", "gan")
LATEST = 3  # the occurrence of a stage, of which a long training has many, that can be drawn
PATIENCE = 30  # seconds in which a process has to be gone after its end, on a busy machine

SMALL = {
    "model": {"width": 8},
    "train": {"steps": 40, "batch_size": 16, "check_every": 10},
    "evaluate": {"k": 1},
}
RECIPE: dict[str, Any] = {family: SMALL for family in FAMILIES}
RECIPE["energy"] = SMALL | {"evaluate": {"ais_levels": 20, "ais_chains": 8}}
RECIPE["gan"] = SMALL | {"evaluate": {}}


# ----------------------------------------------------------------- a comparison that can be killed


class News(Observer):
    """Writes each stage into a pipe as a comparison enters it."""

    def __init__(self, pipe: int):
        self.pipe = pipe
        self.stage_now = ""

    def enter(self, stage: str) -> None:
        """Say so, unless it was said."""
        if stage != self.stage_now:
            self.stage_now = stage
            os.write(self.pipe, f"{stage}\n".encode())

    def progress(self, i: int, done: int, total: int, text: str) -> None:
        """A run tells when it is trained; before that, its files tell (`hook`)."""
        if text == "evaluating":
            self.enter("evaluation")

    def stage(self, name: str, done: int, total: int, text: str) -> None:
        """What is done once for all runs."""
        self.enter("timing" if name == "Timing samples" else "report")

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Sees what Python asks the system for, in this process and in its forks.

        A run begins to train when its plan is on the disk; what it writes from then on until it is
        evaluated are checkpoints.
        """
        if event == "os.rename" and str(arguments[1]).endswith("config.yaml"):
            self.enter("training")
        elif self.stage_now == "training" and event == "os.mkdir" and DRAFT in str(arguments[0]):
            self.enter("checkpoint")
        elif self.stage_now == "checkpoint" and event == "os.rename":
            self.enter("training")


class Attempt:
    """A comparison in a fork of this process.

    It holds a pipe, and so do the processes that it starts: the pipe ends with the last of them.
    """

    def __init__(self, compare: Callable[[Observer], object]):
        self.pipe, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for screen in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), screen)
            news = News(writer)
            sys.addaudithook(news.hook)
            code = 1
            with suppress(BaseException):
                code = 1 if compare(news).failures else 0  # type: ignore[attr-defined]
            os._exit(code)
        os.close(writer)
        self.code: int | None = None
        self.stage = "start"

    def stages(self, patience: float | None = None) -> Iterator[str]:
        """Each stage as it is entered, until all processes have ended.

        Raises:
            TimeoutError: nothing was heard for ``patience`` seconds.
        """
        while True:
            ready, _, _ = select.select([self.pipe], [], [], patience)
            if not ready:
                raise TimeoutError
            told = os.read(self.pipe, 10_000).decode()
            if not told:
                break
            for self.stage in told.split():
                yield self.stage
        os.close(self.pipe)
        self.wait()

    def wait(self) -> None:
        """Take note of its exit code."""
        if self.code is None:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)

    def run(self) -> int:
        """The process that it trains in; its own, if there is none."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else self.pid

    def kill(self, whom: str) -> bool:
        """Kill it or the run; whether all its processes have ended soon after."""
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(self.run() if whom == "run" else self.pid, signal.SIGKILL)
        try:
            for _ in self.stages(PATIENCE):
                pass
        except TimeoutError:
            return False
        return True


# ---------------------------------------------------------------------- what it must come to


def content(folder: Path) -> dict[str, Any]:
    """What a comparison has found, without what differs from one time to the next.

    A row is left its figures and loses its times; of every file of numbers there is a digest.
    """
    found: dict[str, Any] = {"rows": [untimed(row) for row in read(folder / "scorecard.json")]}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        is_numbers = path.suffix in (".npz", ".safetensors")
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if is_numbers else ""
    return found


def untimed(row: Row) -> Row:
    """A row without its times, and without the commit, which may change while this goes on."""
    assert row.cost is not None
    return replace(
        row,
        provenance=Provenance(),
        cost=replace(row.cost, train_seconds=0.0, samples_per_second=None),
        likelihood=replace(row.likelihood, diagnostics={}),
        quality=row.quality and replace(row.quality, seconds=None),
    )


# ------------------------------------------------------------------------------- the attack


@dataclass(frozen=True)
class Kill:
    """A kill: in which stage it came, whom it hit, and whether any process lived on."""

    family: str
    stage: str
    whom: str
    lived_on: bool


@dataclass
class Found:
    """What came of an attack."""

    kills: list[Kill] = field(default_factory=list)
    folders: int = 0
    differing: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Count another attack in."""
        self.kills += other.kills
        self.folders += other.folders
        self.differing += other.differing


def attack(family: str, kills: int, rng: random.Random, scratch: Path) -> Found:
    """So many kills of comparisons of one family, folder after folder."""
    recipe = scratch / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({family: RECIPE[family]}))

    def attempt(folder: Path) -> Attempt:
        def compare(observer: Observer) -> object:
            return genzoo.compare(
                [family], "moons", recipe=recipe, out=folder, jobs=1, observer=observer
            )

        return Attempt(compare)

    calm = scratch / f"{family}-calm"
    lengths = timed(attempt(calm))
    expected = content(calm)
    found = Found()
    while len(found.kills) < kills:
        folder = scratch / f"{family}-{found.folders}"
        found.folders += 1
        for stage in (stage for stage in STAGES for _ in range(OF_EACH)):
            if len(found.kills) < kills:
                whom = rng.choice(("comparison", "run")) if stage in IN_A_RUN else "comparison"
                killed = kill_in(attempt(folder), stage, whom, lengths[stage], rng)
                if killed is not None:
                    found.kills.append(replace(killed, family=family))
        for _ in (last := attempt(folder)).stages():
            pass
        if last.code != 0 or content(folder) != expected:
            found.differing.append(folder.name)
    return found


def timed(attempt: Attempt) -> dict[str, list[float]]:
    """The seconds that each stage lasts, as often as it occurs, when nothing is killed."""
    lengths: dict[str, list[float]] = {stage: [] for stage in STAGES}
    before, begun = "", time.perf_counter()
    for stage in attempt.stages():
        if before:
            lengths[before].append(time.perf_counter() - begun)
        before, begun = stage, time.perf_counter()
    lengths[before].append(time.perf_counter() - begun)
    assert attempt.code == 0, f"the undisturbed comparison ended with {attempt.code}"
    return lengths


def kill_in(
    attempt: Attempt, stage: str, whom: str, lengths: Sequence[float], rng: random.Random
) -> Kill | None:
    """Kill at a random moment of an early occurrence of a stage; None if it did not come."""
    nth = rng.randint(1, min(LATEST, len(lengths)))
    moment = rng.random() * lengths[nth - 1]
    for entered in attempt.stages():
        nth -= entered == stage
        if nth == 0:
            time.sleep(moment)
            ended = attempt.kill(whom)
            return Kill("", attempt.stage, whom, lived_on=not ended)
    return None


def attack_all(families: Sequence[str], kills: int, seed: int, scratch: Path) -> Found:
    """So many kills, as many of each family."""
    torch.set_num_threads(1)  # a fork must not inherit a pool of threads that it does not have
    rng = random.Random(seed)
    found = Found()
    for i, family in enumerate(families):
        share = kills * (i + 1) // len(families) - kills * i // len(families)
        found.add(attack(family, share, rng, scratch))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill comparisons at random moments.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--record", type=Path, default=RECORD)
    asked = parser.parse_args()
    local._context = lambda: multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as scratch:
        found = attack_all(asked.families, asked.kills, asked.seed, Path(scratch))
    counts = Counter((kill.stage, kill.whom) for kill in found.kills)
    record = {
        "kills": len(found.kills),
        "families": list(asked.families),
        "seed": asked.seed,
        "by": [{"stage": s, "whom": w, "kills": n} for (s, w), n in sorted(counts.items())],
        "folders": found.folders,
        "folders that differ": found.differing,
        "processes that lived on": sum(kill.lived_on for kill in found.kills),
        "provenance": asdict(provenance()),
    }
    with whole(asked.record) as draft:
        draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))
    sys.exit(1 if found.differing or record["processes that lived on"] else 0)


if __name__ == "__main__":
    main()
