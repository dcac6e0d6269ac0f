"""Two ways to do the same, in turns: what the benchmarks against other libraries share.

Whatever else a machine does slows both, so they take turns, and the *ratio* of a turn is what is
told. Seconds are of the processor and of one thread: what waits for another process costs nothing.

A record holds rows of two kinds. A *race* has the seconds of both and the quartiles of their ratio,
above 1 where genzoo is faster. A *measure* has one value of each.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.distributions import Distribution

import genzoo
from genzoo.benchmark.provenance import Provenance, provenance
from genzoo.data import DataSet
from genzoo.model import GenerativeModel

REHEARSED = 100  # steps of `fit` from which its pace is known
TURN = 0.05  # seconds of a turn
Action = Callable[[], object]


def seconds(action: Action) -> float:
    """Processor time of one call."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def race(task: str, ours: Action, theirs: Action, rounds: int) -> dict[str, Any]:
    """A row of milliseconds of a call: both in turns, after one call each that does not count.

    A turn is of so many calls that it takes `TURN` at least. Who begins alternates, for the second
    of two may find a warmer or a fuller cache.
    """
    ours()
    theirs()
    shorter = min(seconds(ours), seconds(theirs))
    calls = max(1, math.ceil(TURN / max(shorter, 1e-6)))

    def turn(action: Action) -> float:
        return seconds(lambda: [action() for _ in range(calls)]) / calls

    turns = []
    for i in range(rounds):
        if i % 2:
            their = turn(theirs)
            our = turn(ours)
        else:
            our = turn(ours)
            their = turn(theirs)
        turns.append((our, their))
    low, middle, high = statistics.quantiles([their / our for our, their in turns], n=4)
    our, their = (1000 * statistics.median(side) for side in zip(*turns, strict=True))
    ratio = {"low": low, "middle": middle, "high": high}
    return {"task": task, "unit": "ms", "ours": our, "theirs": their, "ratio": ratio, "n": rounds}


def measure(
    task: str,
    unit: str,
    ours: float,
    theirs: float,
    errors: tuple[float, float] | None = None,
    better: str = "less",
) -> dict[str, Any]:
    """A row of one value each, with standard errors; ``better`` is "less", "more" or "equal"."""
    row = {"task": task, "unit": unit, "ours": ours, "theirs": theirs, "better": better}
    return row | ({"errors": errors} if errors else {})


class Loop:
    """A bare training loop with Adam and clipped gradients; a call is a step.

    Args:
        model: whose parameters are trained.
        loss: of a batch, one number.
        x: all training events.
        batch: events of a step.
        rate: of learning; `train` lets it fall by half a cosine.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor], Tensor],
        x: Tensor,
        batch: int,
        rate: float,
    ):
        self.model = model
        self.loss = loss
        self.x = x
        self.batch = batch
        self.rate = rate
        self.optimizer = torch.optim.Adam(model.parameters(), rate, fused=True)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        x = self.x[torch.randint(len(self.x), (self.batch,))]
        self.loss(x).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()

    def train(self, budget: float) -> int:
        """Train for ``budget`` seconds of the processor, and say how many steps these were."""
        self.model.train()
        begin, steps = time.process_time(), 0
        while (passed := (time.process_time() - begin) / budget) < 1:
            rate = self.rate * 0.5 * (1 + math.cos(math.pi * passed))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self()
            steps += 1
        self.model.eval()
        return steps


def fit_for(
    budget: float, make: Callable[[], GenerativeModel], data: DataSet, **settings: Any
) -> tuple[GenerativeModel, float, int]:
    """A model trained by `genzoo.fit` for about ``budget`` seconds, what it took, and its steps.

    A schedule has to know how long it will be, so a short run on a copy is timed first. The seconds
    that are returned are of all that `fit` does: validation, averages, checkpoints and logs.
    """
    settings = {"accelerator": "cpu", **settings}
    paced = seconds(lambda: genzoo.fit(make(), data, steps=REHEARSED, **settings))
    steps = max(REHEARSED, round(REHEARSED * budget / paced))
    model = make()
    taken = seconds(lambda: genzoo.fit(model, data, steps=steps, patience=steps, **settings))
    return model.eval(), taken, steps


@dataclass
class Comparison:
    """What a script has to tell.

    Args:
        title: of its table.
        peer: package of the registry that genzoo is compared with.
        script: name of the file.
        equal, unequal: phrases on what both sides share, and on what they do not.
        rows: of `race` and `measure`.
    """

    title: str
    peer: str
    script: str
    equal: list[str]
    unequal: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def record(self, made_under: Provenance) -> dict[str, Any]:
        return asdict(self) | {"peer_version": version(self.peer)} | asdict(made_under)

    def show(self) -> None:
        table = Table("task", "genzoo", self.peer, "times as fast", title=self.title)
        for row in self.rows:
            table.add_row(*cells(row))
        Console().print(table)


def cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Task, both figures and the ratio of a row, in words."""
    errors = row.get("errors") or (None, None)
    figures = []
    for value, error in zip((row["ours"], row["theirs"]), errors, strict=True):
        spread = f" ± {error:.3f}" if error is not None else ""
        figures.append(f"{value:.4g}{spread}")
    ratio = row.get("ratio")
    faster = "{middle:.2f} ({low:.2f}–{high:.2f})".format(**ratio) if ratio else ""
    return f"{row['task']}, {row['unit']}", *figures, faster


def parameters(model: nn.Module) -> str:
    """How many there are, as one says it."""
    return f"{sum(each.numel() for each in model.parameters()):,}"


def arguments(about: str, rounds: int = 9) -> argparse.ArgumentParser:
    """A parser that knows ``--rounds`` and ``--out``."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rounds", type=int, default=rounds, help="turns of each race")
    parser.add_argument("--out", type=Path, help="a JSON file for the record")
    return parser


def run(compare: Callable[[argparse.Namespace], Comparison], options: argparse.Namespace) -> None:
    """Carry out a comparison on one thread, show it, and write its record where that is wanted."""
    torch.set_num_threads(1)
    Distribution.set_default_validate_args(False)  # as in `genzoo.fit`
    made_under = provenance()
    with threadpool_limits(1):
        found = compare(options)
    found.show()
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found.record(made_under), indent=1, ensure_ascii=False)
        options.out.write_text(text + "\n", encoding="utf-8")
