"""The splines of genzoo's flow against those of nflows, on which it is built: the same functions.

    python experiments/benchmarks/flow_nflows.py [--out FILE]

Both sides are one flow with the same weights; there the classes that genzoo derives from nflows'
are nflows' own again. A call is a whole training step: networks, splines and their gradients.
"""

import argparse
import copy

import torch
from paired import Comparison, Loop, arguments, measure, parameters, race, run
from torch import nn

import genzoo
from genzoo import grid
from genzoo.families.flow import FeatureSplines, SplineCoupling

BATCH = 32
FLOWS = {
    "28x28, 256 levels": lambda: genzoo.Flow((1, 28, 28), levels=256, width=32, couplings=4),
    "8x8, 17 levels": lambda: genzoo.Flow((1, 8, 8), levels=17, width=32, couplings=4),
}


def with_nflows_splines(flow: genzoo.Flow) -> genzoo.Flow:
    """A copy whose splines are computed by nflows."""
    flow = copy.deepcopy(flow)
    for module in flow.modules():
        if isinstance(module, SplineCoupling | FeatureSplines):
            module.__class__ = type(module).__base__
    return flow


def stepping(flow: genzoo.Flow, x: torch.Tensor) -> Loop:
    return Loop(flow.train(), lambda batch: flow.loss(batch).mean(), x, BATCH, flow.lr)


@torch.no_grad()
def nats(flow: nn.Module, x: torch.Tensor) -> float:
    torch.manual_seed(0)  # of the noise of dequantisation
    return -flow.double().log_prob(x.double()).mean().item()


def compare(options: argparse.Namespace) -> Comparison:
    found = Comparison(
        title="Splines of a flow",
        peer="nflows",
        script="flow_nflows.py",
        equal=["flow and weights", f"batches of {BATCH}", "one thread", "float32"],
        unequal=["who computes the splines"],
    )
    for name, make in FLOWS.items():
        torch.manual_seed(0)
        flow = make()
        x = grid.to_grid(torch.randint(flow.levels, (BATCH, *flow.event_shape)), flow.levels)
        flow.log_prob(x)  # by which ActNorm begins
        theirs = with_nflows_splines(flow)
        task = f"training step, {name}, {parameters(flow)} parameters"
        found.rows.append(race(task, stepping(flow, x), stepping(theirs, x), options.rounds))
    same = with_nflows_splines(flow)
    values = nats(flow.eval(), x), nats(same.eval(), x)
    found.rows.append(measure("log-density of a batch, float64", "nats", *values, better="equal"))
    return found


if __name__ == "__main__":
    run(compare, arguments("Splines of genzoo's against nflows'.").parse_args())
