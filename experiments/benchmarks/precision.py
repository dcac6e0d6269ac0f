"""What a training step gains by 16 bits, by compiled networks and by the layout of images.

    python experiments/benchmarks/precision.py [--compile] [--families ...] [--out FILE]

Every family at the shape of MNIST, batches of 64, the sizes of the recipes or near them. The ways
to train take turns, a step each on a copy of the same model, in one process, so that whatever else
the machine does slows all alike. A gain is the processor time of a plain float32 step over that of
the way's own step, the median over the rounds, with the quartiles beside it.

* **layout**: float32, channels innermost in memory;
* **bf16**: networks in bfloat16, contiguous;
* **both**: as `genzoo.fit` trains with ``precision="bf16"``;
* **compiled**: both, and networks translated by `torch.compile` (with ``--compile``: a minute of
  translation for each family comes first and is not counted).
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.distributions import Distribution

import genzoo
from genzoo import grid
from genzoo.benchmark.provenance import provenance
from genzoo.files import whole
from genzoo.model import GenerativeModel
from genzoo.nets import fast_networks
from genzoo.training.precision import channels_last, compiled, has_bfloat16

SHAPE = (1, 28, 28)
LEVELS = 256
BATCH = 64
FAMILIES: dict[str, tuple[type[GenerativeModel], dict[str, Any]]] = {
    "autoregressive": (genzoo.Autoregressive, {"width": 32, "depth": 6}),
    "flow": (genzoo.Flow, {"width": 32, "couplings": 4}),
    "vae": (genzoo.VAE, {"width": 32, "latent_shape": (32,)}),
    "diffusion": (genzoo.Diffusion, {"width": 32}),
    "flow matching": (genzoo.FlowMatching, {"width": 32}),
    "gan": (genzoo.GAN, {"width": 32}),
}
WAYS = {
    "plain": (),
    "layout": ("layout",),
    "bf16": ("bf16",),
    "both": ("layout", "bf16"),
    "compiled": ("layout", "bf16", "compiled"),
}


@contextmanager
def computing(model: GenerativeModel, how: tuple[str, ...]) -> Iterator[None]:
    """Inside, ``model`` trains in this way."""
    with ExitStack() as ways:
        if "layout" in how:
            ways.enter_context(channels_last(model, SHAPE))
        if "bf16" in how:
            ways.enter_context(fast_networks(torch.bfloat16))
        if "compiled" in how:
            ways.enter_context(compiled(model))
        yield


class Turn:
    """A model that takes training steps, timed, in one of the `WAYS`."""

    def __init__(self, model: GenerativeModel, how: tuple[str, ...]):
        self.model = copy.deepcopy(model).train()
        self.how = how
        self.optimizer = self.model.optimizer(self.model.parameters(), self.model.lr)

    def seconds(self, x: torch.Tensor) -> float:
        """Processor time of a step."""
        begin = time.process_time()
        self.optimizer.zero_grad()
        with ExitStack() as inside:
            if "bf16" in self.how:
                inside.enter_context(fast_networks(torch.bfloat16))
            loss = self.model.loss(x).mean()
        loss.backward()
        self.optimizer.step()
        return time.process_time() - begin


def gains(family: str, ways: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Quartiles of the gain of each way over the plain one, and its milliseconds."""
    made, arguments = FAMILIES[family]
    torch.manual_seed(0)
    model = made(SHAPE, levels=LEVELS, **arguments)
    x = grid.to_grid(torch.randint(LEVELS, (BATCH, *SHAPE)), LEVELS)
    turns = {way: Turn(model, WAYS[way]) for way in ways}
    with ExitStack() as around:
        for turn in turns.values():
            fixed = tuple(each for each in turn.how if each != "bf16")
            around.enter_context(computing(turn.model, fixed))
        for turn in turns.values():
            turn.seconds(x)  # once for whatever is set up, translation included
        taken = [{way: turn.seconds(x) for way, turn in turns.items()} for _ in range(rounds)]
    found = {}
    for way in ways:
        low, middle, high = statistics.quantiles([each["plain"] / each[way] for each in taken], n=4)
        milliseconds = 1000 * statistics.median(each[way] for each in taken)
        found[way] = {"ms": milliseconds, "gain": middle, "low": low, "high": high}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a plain training step over each way's.")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--compile", action="store_true", help="translate networks, too")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    Distribution.set_default_validate_args(False)  # as in `genzoo.fit`
    ways = [way for way in WAYS if way != "compiled" or options.compile]
    bits = "has" if has_bfloat16("cpu") else "has no"
    title = f"gain of a step, batch {BATCH}; this processor {bits} bfloat16"
    table = Table("family", "ms, plain", *ways[1:], title=title)
    gained = {}
    for family in options.families:
        found = gained[family] = gains(family, ways, options.rounds)
        cells = [f"{g['gain']:.2f} ({g['low']:.2f}-{g['high']:.2f})" for g in found.values()]
        table.add_row(family, f"{found['plain']['ms']:.0f}", *cells[1:])
    Console().print(table)
    if options.out:
        record = {"batch": BATCH, "rounds": options.rounds, "families": gained}
        record["provenance"] = asdict(provenance())
        with whole(options.out) as draft:
            draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
