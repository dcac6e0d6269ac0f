"""Sample quality against the work that a sample takes: diffusion, flow matching, energy.

    python experiments/benchmarks/sampling.py diffusion [--split validation]
    python experiments/benchmarks/sampling.py flowmatching
    python experiments/benchmarks/sampling.py energy

One model of digits each, sampled in several ways with more and more evaluations of its network.
Quality is the Fréchet distance over the features of digits-net (FD) to the test events, of as many
samples with their labels; of the energy model, of as many samples as there are chains in its
buffer, with theirs. The floor is the distance of as many training events.
All ways start from the same noise. What was chosen by such a curve (a solver, the places of its
steps) was chosen on validation events, with ``--split validation``, which writes no record.

* **diffusion**: the shipped model. Its solvers, in steps that are even in log-SNR.
* **flowmatching**: a model with mean velocities (``jumps``), trained here for a minute of one core.
  The same weights follow their stream by a solver, or jump.
* **energy**: the shipped model. Chains that go on from the buffer of training ("warm"), and chains
  that start from independent pixels ("cold"), at once or tempered as `Energy.sample` does it. How
  well they mix: the share of unconditional chains that still show the digit they started from.

The records are ``experiments/records/sampling-NAME.json``.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.data import DataSet
from genzoo.data.images import digits_net
from genzoo.evaluation.likelihood.annealing import follow
from genzoo.evaluation.samples.distances import frechet
from genzoo.evaluation.samples.feature_spaces import space_of
from genzoo.families.flow_matching import Velocity
from genzoo.files import whole

RECORDS = Path(__file__).parents[1] / "records"
STREAM: dict[str, Any] = {"width": 32, "fourier": 2, "dropout": 0.1, "jumps": 2, "lr": 4e-3}
TRAINED: dict[str, Any] = {"steps": 1200, "batch_size": 64, "check_every": 400}
MOVES = (1, 3, 10, 30, 100, 300, 1000)  # of a chain

# a way to sample, evaluations or moves, and samples with given labels
Trial = tuple[str, int, Callable[[Tensor], Tensor]]


# ------------------------------------------------------------------------------ the three families


def of_diffusion() -> Iterator[Trial]:
    """The solvers of the shipped model; the last evaluation of each removes the last noise."""
    model = genzoo.load("digits/diffusion").eval()
    assert isinstance(model, genzoo.Diffusion)
    evaluations = {
        "second-order": (3, 5, 7, 10, 25, 100),
        "ddim": (5, 10, 25),
        "ancestral": (10, 25),
    }

    def by(solver: str, steps: int) -> Callable[[Tensor], Tensor]:
        return lambda c: model.sample(len(c), c, solver=solver, steps=steps)

    for solver, counts in evaluations.items():
        for count in counts:
            yield solver, count, by(solver, count - 1)


def of_flow_matching() -> Iterator[Trial]:
    """One model's stream, by Runge-Kutta and by Euler steps, and its jumps."""
    data = genzoo.data.load("digits")
    torch.manual_seed(0)
    model = genzoo.FlowMatching(data.event_shape, data.condition, data.levels, **STREAM)
    genzoo.fit(model, data, accelerator="cpu", **TRAINED)
    yield from ways_of(model.eval())


def ways_of(model: genzoo.FlowMatching) -> Iterator[Trial]:
    """The ways to sample a model with mean velocities."""

    def jumping(jumps: int) -> Callable[[Tensor], Tensor]:
        return lambda c: model.sample(len(c), c, jumps=jumps)

    def solving(steps: int) -> Callable[[Tensor], Tensor]:
        return lambda c: model.sample(len(c), c, jumps=0, steps=steps)

    for jumps in (1, 2, 3, 4, 8):
        yield "jumps", jumps, jumping(jumps)
    for steps in (1, 2, 3, 6, 12, 25):
        yield "Runge-Kutta", 4 * steps, solving(steps)
    for steps in (1, 2, 4, 8, 16):
        yield "Euler", steps, lambda c, n=steps: by_euler(model, c, n)


@torch.no_grad()
def by_euler(model: genzoo.FlowMatching, c: Tensor, steps: int) -> Tensor:
    """Samples by steps along the velocity at their beginning."""
    x = model.latent_noise(len(c))
    velocity: Velocity = model.velocity(c)
    for i in range(steps):
        t = torch.full((len(c),), i / steps)
        x = x + velocity(x, t) / steps
    return model.on_grid(x)


def of_energy() -> Iterator[Trial]:
    """Chains of the shipped model, under the labels that its buffer holds, in place of ``c``."""
    model = genzoo.load("digits/energy").eval()
    assert isinstance(model, genzoo.Energy)
    labels = model.chain_conditions
    n = len(labels)
    path = model.path(n, labels)

    def after(moves: int, start: Tensor) -> Tensor:
        return follow(path, start, [1.0] * (moves + 1), scouts=0).x

    def tempered(moves: int) -> Tensor:
        return model.sample(n, labels, steps=moves)

    for moves in (0, *MOVES):
        yield "warm", moves, lambda _, moves=moves: after(moves, model.chains)
        yield "cold", moves, lambda _, moves=moves: after(moves, path.draw(n))
        if moves > 1:
            yield "cold, tempered", moves, lambda _, moves=moves: tempered(moves)


def memory() -> dict[str, Any]:
    """Share of unconditional chains that show the digit they started from, after so many moves.

    Beside it the share that would by chance: that of pairs of chains.
    """
    model = genzoo.load("digits/energy").eval()
    assert isinstance(model, genzoo.Energy)
    torch.manual_seed(0)
    start = model.chains
    digit = digits_net.read(start)
    frequencies = torch.bincount(digit).double() / len(digit)
    path = model.path(len(start))
    shares = {}
    x, done = start, 0
    for moves in MOVES:
        x = follow(path, x, [1.0] * (moves - done + 1), scouts=0).x
        done = moves
        shares[moves] = (digits_net.read(x) == digit).double().mean().item()
    return {"same_digit": shares, "by_chance": frequencies.square().sum().item()}


FAMILIES = {"diffusion": of_diffusion, "flowmatching": of_flow_matching, "energy": of_energy}


# --------------------------------------------------------------------------------------- the curves


def curves(family: str, data: DataSet, split: str, draws: int) -> dict[str, Any]:
    """FD of each way after each number of evaluations, the mean over sets of samples."""
    space = space_of(data)
    events = getattr(data, split)
    reference = space.features(events.x)
    found = defaultdict(list)
    samples = events.x
    for way, evaluations, sample in FAMILIES[family]():
        values = []
        for draw in range(draws):
            torch.manual_seed(draw)
            samples = sample(events.c)
            values.append(frechet(reference, space.features(samples)))
        fd = sum(values) / draws
        found[way].append({"evaluations": evaluations, "fd": fd, "each": values})
        print(f"{way:14} {evaluations:5} {fd:8.3f}", flush=True)
    twins = data.train.some(len(samples)).x
    return {
        "measure": f"FD ({space.name})",
        "n": len(samples),
        "reference": f"{len(events)} {split} events",
        "floor": frechet(reference, space.features(twins)),
        "curves": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Sample quality against evaluations.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--draws", type=int, default=1, help="sets of samples of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    found = {"data": data.name, **curves(options.family, data, options.split, options.draws)}
    if options.family == "energy":
        found["mixing"] = memory()
    if options.split == "validation":
        return
    record = found | {"provenance": asdict(provenance())}
    with whole(RECORDS / f"sampling-{options.family}.json") as draft:
        draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
