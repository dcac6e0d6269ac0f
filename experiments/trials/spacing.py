"""Where to place the few steps of a diffusion sampler, by validation alone.

    python experiments/trials/spacing.py [--evaluations 10]

The shipped model of digits samples the labels of the validation events, from the same noise, by the
solver of second order and by DDIM, with its steps placed in several ways, and by the method of
Adams along the straight lines of flow matching. What is printed, the Fréchet distance over
digits-net's features to the validation events, is also appended to ``spacing.jsonl``, one line a
trial. No test event is looked at.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.evaluation.samples.distances import frechet
from genzoo.evaluation.samples.feature_spaces import space_of
from genzoo.families.diffusion import SOLVERS
from genzoo.families.flow_matching import adams
from genzoo.training.distillation import stream

LOG = Path(__file__).with_suffix(".jsonl")
SETTINGS = [
    {"solver": "second-order", "spacing": "log-SNR"},
    {"solver": "second-order", "spacing": "log-SNR", "end": 6.0},
    {"solver": "second-order", "spacing": "log-SNR", "end": 4.0},
    {"solver": "second-order", "spacing": "karras", "rho": 7.0},
    {"solver": "second-order", "spacing": "karras", "rho": 7.0, "end": 6.0},
    {"solver": "ddim", "spacing": "log-SNR", "end": 6.0},
    {"solver": "adams", "spacing": "straight"},
]


def even(start: float, end: float, ends: int) -> Tensor:
    """Log-SNRs at even distances."""
    return torch.linspace(start, end, ends)


def karras(rho: float) -> Callable[[float, float, int], Tensor]:
    """Log-SNRs at which sigma / alpha to the 1/rho lies at even distances (Karras et al. 2022)."""

    def places(start: float, end: float, ends: int) -> Tensor:
        first, last = math.exp(-start / 2), math.exp(-end / 2)  # sigma / alpha
        root = torch.linspace(first ** (1 / rho), last ** (1 / rho), ends)
        return -2 * rho * root.log()

    return places


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description="Places of a few steps, by validation.")
    parser.add_argument("--evaluations", type=int, default=10)
    evaluations = parser.parse_args().evaluations
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    space = space_of(data)
    reference = space.features(data.validation.x)
    c = data.validation.c
    model = genzoo.load("digits/diffusion").eval()
    assert isinstance(model, genzoo.Diffusion)
    for settings in SETTINGS:
        start = time.process_time()
        torch.manual_seed(0)
        z = model.latent_noise(len(data.validation))
        if settings["solver"] == "adams":
            x = adams(stream(model, c), z, 0.0, 1.0, evaluations)
        else:
            place = karras(settings["rho"]) if settings["spacing"] == "karras" else even
            end = settings.get("end", model.log_snr_max)
            times = place(model.log_snr_min, end, evaluations)
            x = SOLVERS[settings["solver"]](model.denoiser(c), z, times)
        x = model.on_grid(x)
        line = {
            "settings": settings | {"evaluations": evaluations},
            "validation": {f"FD ({space.name})": frechet(reference, space.features(x))},
            "seconds": round(time.process_time() - start, 1),
            "commit": provenance().commit,
        }
        print(json.dumps(line), flush=True)
        with LOG.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
