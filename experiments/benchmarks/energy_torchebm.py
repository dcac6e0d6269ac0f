"""Moves of Langevin dynamics: genzoo's against torchebm's sampler, on the same energy.

    python experiments/benchmarks/energy_torchebm.py [--out FILE]

Both make the moves x' = x - s^2/2 grad E(x) + s noise, with gradients by PyTorch. With a large
network all the time is the network's own; with a small one, what surrounds it shows. That both
reach one distribution is seen on a bowl whose variance is known.
"""

import argparse

import torch
from paired import Comparison, arguments, measure, race, run
from torch import Tensor
from torchebm.core import BaseModel
from torchebm.samplers import LangevinDynamics

import genzoo
from genzoo.families.energy import langevin

MOVES = 20
STEP = 0.1  # standard deviation of a move's noise; torchebm's step size is half its square
SHAPES = {"points": (2,), "images of 28x28": (1, 28, 28)}
CHAINS = 64


class Wrapped(BaseModel):
    """An energy function as torchebm's samplers want it."""

    def __init__(self, energy):
        super().__init__()
        self.energy = energy

    def forward(self, x: Tensor) -> Tensor:
        return self.energy(x)


def sampler(energy) -> LangevinDynamics:
    return LangevinDynamics(Wrapped(energy), step_size=STEP**2 / 2)


def bowl(x: Tensor) -> Tensor:
    """Energy of a standard Gaussian."""
    return 0.5 * x.square().flatten(1).sum(1)


def compare(options: argparse.Namespace) -> Comparison:
    found = Comparison(
        title="Energy: moves of Langevin dynamics",
        peer="torchebm",
        script="energy_torchebm.py",
        equal=["energy function and its network", f"{CHAINS} chains", "step", "one thread"],
        unequal=["nothing that we know of"],
    )
    for name, shape in SHAPES.items():
        torch.manual_seed(0)
        model = genzoo.Energy(shape, width=32).eval().requires_grad_(False)
        theirs = sampler(model.energy)
        x = torch.randn(CHAINS, *shape)

        def our_moves(model=model, x=x) -> Tensor:
            return langevin(model.energy, x, STEP, MOVES)

        def their_moves(theirs=theirs, x=x) -> Tensor:
            return theirs.sample(x=x, n_steps=MOVES)

        row = race(f"{MOVES} moves, network on {name}", our_moves, their_moves, options.rounds)
        found.rows.append(row)

    x = torch.randn(CHAINS, 2)
    on_bowl = sampler(bowl)
    row = race(
        f"{MOVES} moves in a bowl, where there is no network",
        lambda: langevin(bowl, x, STEP, MOVES),
        lambda: on_bowl.sample(x=x, n_steps=MOVES),
        options.rounds,
    )
    found.rows.append(row)

    x = torch.zeros(20_000, 2)
    ours = langevin(bowl, x, STEP, 1000).var().item()
    theirs = on_bowl.sample(x=x, n_steps=1000).var().item()
    error = (2 / x.numel()) ** 0.5
    found.rows.append(
        measure("variance in the bowl (1)", "", ours, theirs, (error, error), "equal")
    )
    return found


if __name__ == "__main__":
    run(compare, arguments("Langevin moves of genzoo's against torchebm's.").parse_args())
