"""How to learn mean velocities, where they are known: eight Gaussians on a circle.

    python experiments/trials/mean_velocity.py --objective halves --highest 8

The velocity of the straight lines from noise to this mixture has a closed form, and a fine solver
tells where each noise should arrive. One model learns the velocity and its means side by side. The
median distance of where one, two and four jumps arrive from there, and that of where the learned
stream arrives, are printed and appended to ``mean_velocity.jsonl``, one line a trial.

* **halves**: a long jump is held to its two halves, as `FlowMatching.jump_loss` does it;
* **derivative**: to v + (s - t) du/dt along the stream, by forward mode (Geng et al. 2025, eq. 6),
  as it did it before;
* **none**: the velocity alone.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.families.flow_matching import runge_kutta
from genzoo.nets import Fourier, expand_as
from genzoo.optim import warmup_cosine

LOG = Path(__file__).with_suffix(".jsonl")
GAUSSIANS = 8
STD = 0.08
WIDTH = 64
STARTS = 1000  # noises whose ends are compared


def centres() -> Tensor:
    angles = torch.arange(GAUSSIANS) * 2 * math.pi / GAUSSIANS
    return torch.stack([angles.cos(), angles.sin()], 1)


def draw(n: int) -> Tensor:
    """``n`` events of the mixture."""
    return centres()[torch.randint(GAUSSIANS, (n,))] + STD * torch.randn(n, 2)


def velocity(x: Tensor, t: Tensor) -> Tensor:
    """E[x_1 - x_0 | x_t] of the mixture, in closed form."""
    t = t[:, None]
    variance = t**2 * STD**2 + (1 - t) ** 2
    away = x[:, None] - t[:, :, None] * centres()
    log_weight = -0.5 * away.square().sum(-1) / variance
    slope = (t * STD**2 - (1 - t)) / variance
    of_each = centres() + slope[:, :, None] * away
    return (log_weight.softmax(1)[:, :, None] * of_each).sum(1)


def derivative_loss(model: genzoo.FlowMatching, x: Tensor, t: Tensor, v: Tensor) -> Tensor:
    """||u - v - (s - t) du/dt||^2, its target held constant."""
    ahead = (1 - t) * torch.rand_like(t)
    s = t + ahead
    with torch.no_grad():
        direction = (v, torch.ones_like(t))
        du_dt = torch.func.jvp(lambda x, t: model.u(x, t, s), (x, t), direction)[1]
        target = v + expand_as(ahead, x) * du_dt
    return (model.u(x, t, s) - target).square().sum(1)


def train(model: genzoo.FlowMatching, objective: str, steps: int, batch: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), model.lr, fused=True)
    schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, steps))
    for _ in range(steps):
        x1, x0, t = draw(batch), torch.randn(batch, 2), torch.rand(batch)
        x_t = torch.lerp(x0, x1, t[:, None])
        v = model.v(x_t, t)
        loss = (v - (x1 - x0)).square().sum(1)
        if objective == "halves":
            loss = loss + model.jump_loss(x_t, t)
        elif objective == "derivative":
            loss = loss + derivative_loss(model, x_t, t, v.detach())
        optimizer.zero_grad()
        loss.mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def distances(model: genzoo.FlowMatching) -> dict[str, float]:
    """Medians of how far from the true ends jumps and the learned stream arrive."""
    torch.manual_seed(5)
    z = torch.randn(STARTS, 2)
    end = runge_kutta(velocity, z, 0.0, 1.0, 100)
    found = {f"{jumps} jumps": model.jump(z, None, 1.0, jumps) for jumps in (1, 2, 4)}
    found["stream"] = model.solve(z, None, steps=24)
    return {way: round((x - end).norm(dim=1).median().item(), 3) for way, x in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Mean velocities of a stream that is known.")
    parser.add_argument("--objective", choices=("halves", "derivative", "none"), default="halves")
    parser.add_argument("--highest", type=float, default=8.0, help="frequency of the time")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = genzoo.FlowMatching((2,), width=WIDTH, jumps=2)
    model.time = Fourier(2 * WIDTH, 0.5, options.highest)
    model.stretch = Fourier(2 * WIDTH, 0.5, options.highest)
    begun = time.process_time()
    train(model, options.objective, options.steps, options.batch)
    line = {
        "settings": vars(options),
        "distance": distances(model.eval()),
        "seconds": round(time.process_time() - begun, 1),
        "commit": provenance().commit,
    }
    print(json.dumps(line), flush=True)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
