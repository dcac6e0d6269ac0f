"""A flow of genzoo's against zuko's neural spline flow, on points over the world's land.

    python experiments/benchmarks/flow_zuko.py [--seconds 60] [--out FILE]

The density is uniform over land and known exactly, so the figure is nats above the truth. Genzoo's
model is that of its recipe, trained through `genzoo.fit` for about so many seconds of one core,
validation and averages of the weights included. zuko's gets the very seconds that this took, in a
bare loop.
"""

import argparse

import torch
import zuko
from paired import Comparison, Loop, arguments, fit_for, measure, parameters, race, run
from torch import Tensor

import genzoo
from genzoo.benchmark.recipes import find

BATCH = 1024
SAMPLES = 1000
TRANSFORMS, BINS, HIDDEN, RATE = 5, 16, (128, 128), 1e-3  # of zuko's flow and its optimiser


def our_flow() -> genzoo.Flow:
    torch.manual_seed(0)
    return genzoo.Flow((2,), **find("landmass", "full", "flow")["model"])


def their_flow() -> zuko.flows.NSF:
    torch.manual_seed(0)
    return zuko.flows.NSF(2, bins=BINS, transforms=TRANSFORMS, hidden_features=HIDDEN)


@torch.no_grad()
def above_truth(log_density, x: Tensor, entropy: float) -> tuple[float, float]:
    """Mean of minus the log-density beyond the entropy, and its standard error."""
    nats = torch.cat([-log_density(part) for part in x.split(1000)]) - entropy
    return nats.mean().item(), nats.std().item() / len(nats) ** 0.5


def compare(options: argparse.Namespace) -> Comparison:
    data = genzoo.data.load("landmass")
    assert data.entropy is not None
    x = data.train.x
    flow, peer = our_flow(), their_flow()
    found = Comparison(
        title="Normalizing flow on landmass",
        peer="zuko",
        script="flow_zuko.py",
        equal=["data", f"batches of {BATCH:,}", "seconds of one thread", "float32"],
        unequal=[
            f"parameters: {parameters(flow)} here, {parameters(peer)} there",
            "couplings that see sines and cosines of the coordinates here, autoregressive "
            f"transforms ({TRANSFORMS} of {BINS} bins, hidden layers of {HIDDEN[0]}) there",
            "`genzoo.fit` here, with validation and averages of the weights; a bare loop with Adam "
            "and a cosine schedule there",
        ],
    )

    def their_loss(batch: Tensor) -> Tensor:
        return -peer().log_prob(batch).mean()

    our_step = Loop(flow, lambda batch: flow.loss(batch).mean(), x, BATCH, flow.lr)
    their_step = Loop(peer, their_loss, x, BATCH, RATE)
    rows = found.rows
    rows.append(race(f"training step, {BATCH:,} points", our_step, their_step, options.rounds))
    with torch.no_grad():
        rows.append(
            race(
                f"{SAMPLES:,} samples",
                lambda: flow.sample(SAMPLES),
                lambda: peer().sample((SAMPLES,)),
                options.rounds,
            )
        )

    if options.seconds:
        trained, taken, _ = fit_for(options.seconds, our_flow, data, batch_size=BATCH)
        assert isinstance(trained, genzoo.Flow)
        peer = their_flow()
        Loop(peer, their_loss, x, BATCH, RATE).train(taken)
        ours, our_error = above_truth(trained.log_density, data.test.x, data.entropy)
        theirs, their_error = above_truth(
            lambda part: peer().log_prob(part), data.test.x, data.entropy
        )
        task = f"above the truth after {taken:.0f} s, test"
        rows.append(measure(task, "nats", ours, theirs, (our_error, their_error)))
    return found


if __name__ == "__main__":
    parser = arguments("Flow of genzoo's against zuko's, on landmass.")
    parser.add_argument("--seconds", type=float, default=60, help="of training; 0: none")
    run(compare, parser.parse_args())
