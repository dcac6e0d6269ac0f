"""Sample quality against the work that a sample takes: diffusion, flow matching, energy.

    python experiments/benchmarks/sampling.py diffusion [--split validation]
    python experiments/benchmarks/sampling.py flowmatching [--seeds 3]
    python experiments/benchmarks/sampling.py energy

One model of digits each, sampled in several ways with more and more evaluations of its network.
Quality is the Fréchet distance over the features of digits-net (FD) to the test events, of as many
samples with their labels; of the energy model, of as many samples as there are chains in its
buffer, with theirs. The floor is the distance of as many training events.
All ways start from the same noise. What was chosen by such a curve (a solver, the places of its
steps) was chosen on validation events, with ``--split validation``, which writes no record.

* **diffusion**: the shipped model. Its solvers, in steps that are even in log-SNR; and the solver
  of Adams along its stream, in steps that are even in the time of flow matching.
* **flowmatching**: students of that model, trained here for a minute of one core: they learned to
  jump along its paths (`genzoo.training.distillation`). The same weights jump, or follow their own
  stream by a solver. Each seed is a student of its own.
* **energy**: the shipped model. Chains that go on from the buffer of training ("warm"), and chains
  that start from independent pixels ("cold"), at once or tempered as `Energy.sample` does it. How
  well they mix: the share of unconditional chains that still show the digit they started from.

The records are ``experiments/records/sampling-NAME.json``.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
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
from genzoo.families.flow_matching import adams
from genzoo.files import whole
from genzoo.training.distillation import distil, stream

RECORDS = Path(__file__).parents[1] / "records"
STUDENT: dict[str, Any] = {"width": 64, "patch": 2, "fourier": 2, "jumps": 4, "solver": "adams"}
TAUGHT: dict[str, Any] = {"paths": 1500, "steps": 1200, "batch_size": 128, "check_every": 600}
MOVES = (1, 3, 10, 30, 100, 300, 1000)  # of a chain

# a way to sample, evaluations or moves, and samples with given labels
Trial = tuple[str, int, Callable[[Tensor], Tensor]]


# ------------------------------------------------------------------------------ the three families


def of_diffusion(seed: int) -> Iterator[Trial]:
    """The solvers of the shipped model; the last evaluation of its own removes the last noise."""
    model = shipped()
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
    for count in (2, 3, 4, 7, 10, 25):
        yield "Adams", count, lambda c, n=count: by_adams(model, c, n)


def shipped() -> genzoo.Diffusion:
    """The diffusion model of digits that comes with the package."""
    model = genzoo.load("digits/diffusion").eval()
    assert isinstance(model, genzoo.Diffusion)
    return model


@torch.no_grad()
def by_adams(model: genzoo.Diffusion, c: Tensor, steps: int) -> Tensor:
    """Samples by the solver of Adams along the stream of a diffusion model."""
    noise = model.latent_noise(len(c))
    return model.on_grid(adams(stream(model, c), noise, 0.0, 1.0, steps))


def of_flow_matching(seed: int) -> Iterator[Trial]:
    """A student of the shipped diffusion model: its jumps, and its own stream by solvers."""
    data = genzoo.data.load("digits")
    torch.manual_seed(seed)
    student = genzoo.FlowMatching(data.event_shape, data.condition, data.levels, **STUDENT)
    distil(student, shipped(), data, seed=seed, accelerator="cpu", **TAUGHT)

    def jumping(jumps: int) -> Callable[[Tensor], Tensor]:
        return lambda c: student.sample(len(c), c, jumps=jumps)

    def solving(solver: str, steps: int) -> Callable[[Tensor], Tensor]:
        return lambda c: student.sample(len(c), c, jumps=0, solver=solver, steps=steps)

    for jumps in range(1, student.jumps + 1):
        yield "jumps", jumps, jumping(jumps)
    for steps in (2, 4, 7, 10, 100):
        yield "Adams", steps, solving("adams", steps)
    for steps in (1, 2, 6):
        yield "Runge-Kutta", 4 * steps, solving("runge-kutta", steps)


def walkers() -> genzoo.Energy:
    """The energy model of digits that comes with the package, and its chains."""
    model = genzoo.load("digits/energy").eval()
    assert isinstance(model, genzoo.Energy)
    return model


def of_energy(seed: int) -> Iterator[Trial]:
    """Chains of the shipped model, under the labels that its buffer holds, in place of ``c``."""
    model = walkers()
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
    model = walkers()
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


def distances(family: str, split: str, seed: int) -> list[tuple[str, int, float]]:
    """FD of each way after each number of evaluations, by one seed."""
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    space = space_of(data)
    events = getattr(data, split)
    reference = space.features(events.x)
    found = []
    for way, evaluations, sample in FAMILIES[family](seed):
        torch.manual_seed(seed)
        fd = frechet(reference, space.features(sample(events.c)))
        found.append((way, evaluations, fd))
        print(f"{seed} {way:14} {evaluations:5} {fd:8.3f}", flush=True)
    return found


def curves(family: str, split: str, seeds: int) -> dict[str, Any]:
    """FD of each way after each number of evaluations, the mean over seeds.

    The seeds are computed side by side, each by a process with one thread.
    """
    with ProcessPoolExecutor(seeds, mp_context=get_context("spawn")) as pool:
        of_seed = partial(distances, family, split)
        results = list(pool.map(of_seed, range(seeds)))
    found = defaultdict(list)
    for points in zip(*results, strict=True):
        way, evaluations, _ = points[0]
        values = [fd for _, _, fd in points]
        fd = sum(values) / seeds
        found[way].append({"evaluations": evaluations, "fd": fd, "each": values})
    return found


def floor(data: DataSet, split: str, n: int) -> dict[str, Any]:
    """What distances are measured by, and that of ``n`` training events."""
    space = space_of(data)
    events = getattr(data, split)
    twins = data.train.some(n).x
    return {
        "measure": f"FD ({space.name})",
        "n": n,
        "reference": f"{len(events)} {split} events",
        "floor": frechet(space.features(events.x), space.features(twins)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Sample quality against evaluations.")
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--seeds", type=int, default=1, help="of samples, and of students")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    of_energy_model = options.family == "energy"
    n = len(walkers().chains) if of_energy_model else len(getattr(data, options.split))
    found = {"data": data.name, "seeds": options.seeds, **floor(data, options.split, n)}
    found["curves"] = curves(options.family, options.split, options.seeds)
    if of_energy_model:
        found["mixing"] = memory()
    if options.split == "validation":
        return
    record = found | {"provenance": asdict(provenance())}
    with whole(RECORDS / f"sampling-{options.family}.json") as draft:
        draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
