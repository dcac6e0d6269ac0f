"""Likelihoods of a GAN and of a VAE by annealing, and by a Parzen window.

The protocol and the scale are those of Wu et al. 2017.

    python experiments/mnist_decoders.py --root data --out runs/mnist-decoders

Both decoders have ten latent variables (GAN-10, VAE-10). The data is *continuous* MNIST: pixels
with uniform noise over their bin, on [0, 1]; log p in nats for an image. For each model:

    sigma   one spherical observation noise, tuned on validation images by annealing, at last with
            all levels
    AIS     p(z) -> p(z) N(x; G(z), sigma² I)^beta, sigmoid schedule, HMC with 10 leapfrogs adapted
            to 65 % acceptance: a lower bound on log p in expectation, under the decoder with that
            noise
    BDMC    the gap between forward and reverse annealing on images that the model made: how far
            such runs are from the truth
    Parzen  a kernel density estimate on 10,000 samples, its bandwidth tuned on validation, which is
            no likelihood

Differences from the paper: multilayer perceptrons of our own with residual blocks (theirs is
10-64-256-256-1024-784), 1,000 levels instead of 10,000, and fewer test images: the record states
how many, and the BDMC gap. (The rows of the record that comes with genzoo chose sigma with the
levels of TUNING alone.)

A finished model is reused, an interrupted one resumed. Takes about an hour of one core, or minutes
of a GPU.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.progress import Progress
from torch import Tensor, nn

import genzoo
from genzoo import grid, serialization
from genzoo.benchmark.provenance import provenance
from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation.likelihood.decoder import (
    decoder_log_likelihood,
    settle_sigma,
    simulated_bracket,
    tune_sigma,
)
from genzoo.evaluation.likelihood.parzen import parzen_log_density
from genzoo.model import LatentJoint, gaussian_joint
from genzoo.training.fitting import best_accelerator

DIMS = 784
MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "GAN-10": (
        "GAN",
        {"latent_shape": (10,), "width": 256, "gamma": 100.0, "lr": 5e-4},
        {"steps": 15_000},
    ),
    "VAE-10": (
        "VAE",
        {"latent_shape": (10,), "width": 256, "components": 1, "lr": 1e-3},
        {"steps": 10_000},
    ),
}
PUBLISHED = {"GAN-10": 329.0, "VAE-10": 705.0}  # Wu et al. 2017, about
TUNING = {"levels": 200, "chains": 4, "scouts": 2}  # of the first, rough search
ANNEALING = {"levels": 1000, "chains": 16, "scouts": 4}
DIRECTION = "a lower bound on log p in expectation, under the decoder with noise"
SAMPLES = 10_000  # of the kernel density estimate, as in the paper


class OnReals(nn.Module):
    """A decoder seen as one of real-valued events on [0, 1], whatever grid it was trained on."""

    levels, condition = 0, 0

    def __init__(self, model: genzoo.GenerativeModel):
        super().__init__()
        self.model = model
        self.latent_shape = model.latent_shape
        self.latent_noise = model.latent_noise

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return (self.model.decode(z) + 1) / 2

    def latent_joint(self, c: Tensor | None = None) -> LatentJoint:
        return gaussian_joint(self, c)

    @staticmethod
    def on_grid(x: Tensor) -> Tensor:
        return x


def flattened(data: DataSet) -> DataSet:
    """Images as vectors: a perceptron's data."""
    parts = {
        name: Split(getattr(data, name).x.flatten(1)) for name in ("train", "validation", "test")
    }
    return replace(data, condition=0, classes=(), **parts)


def continuous(x: Tensor) -> Tensor:
    """Grid points on [-1, 1] with uniform noise over their bins, on [0, 1]: continuous MNIST."""
    return (grid.dequantise(x, 256) + 1) / 2


def trained(
    name: str, data: DataSet, folder: Path, seed: int
) -> tuple[genzoo.GenerativeModel, float]:
    """The model and its seconds of training."""
    family, arguments, settings = MODELS[name]
    if (folder / "seconds.json").is_file():
        return serialization.load(folder / "model"), json.loads(
            (folder / "seconds.json").read_text()
        )
    L.seed_everything(seed, verbose=False)
    model = getattr(genzoo, family)((DIMS,), levels=256, **arguments)
    with Progress() as progress:
        task = progress.add_task(f"{name}: training", total=settings["steps"])
        fitted = genzoo.fit(
            model,
            data,
            folder,
            seed=seed,
            check_every=500,
            patience=100,
            batch_size=128,
            **settings,
            progress=lambda done, total, text: progress.update(task, completed=done),
        )
    serialization.save(model, folder / "model")
    (folder / "seconds.json").write_text(json.dumps(round(fitted.seconds, 1)))
    return model, fitted.seconds


def measured(
    name: str, model: genzoo.GenerativeModel, data: DataSet, events: int, seed: int
) -> dict[str, Any]:
    """Every figure of one model, in nats for an image."""
    device = model.to(best_accelerator()).device
    decoder, started = OnReals(model).eval(), time.perf_counter()
    torch.manual_seed(seed)
    rows = torch.randperm(len(data.test))[:events]
    test, validation = (
        continuous(data.test.x[rows]).to(device),
        continuous(data.validation.x).to(device),
    )
    rough, _ = tune_sigma(decoder, validation[:32], **TUNING)
    sigma, tried = settle_sigma(decoder, validation[:32], rough, **ANNEALING)
    with Progress() as progress:
        task = progress.add_task(f"{name}: annealing", total=ANNEALING["levels"])

        def tell(level: int, levels: int, text: str) -> None:
            progress.update(task, completed=level, description=f"{name}: {text}")

        found = decoder_log_likelihood(decoder, test, sigma, **ANNEALING, progress=tell)
    gap = simulated_bracket(decoder, 16, sigma, **ANNEALING).gap
    ais_seconds = time.perf_counter() - started
    with torch.no_grad():
        samples = decoder.decode(torch.randn(SAMPLES, 10, device=device))
    density, bandwidth = parzen_log_density(
        samples, continuous(data.test.x[:1000]).to(device), validation[:1000]
    )
    return {
        "ais": {
            "value": found.value.mean().item(),
            "kind": "bound",
            "direction": DIRECTION,
            "stderr": (found.value.std() / events**0.5).item(),
            "ess": found.ess.mean().item(),
            "events": events,
        },
        "bdmc_gap": {
            "value": gap.mean().item(),
            "stderr": (gap.std() / len(gap) ** 0.5).item(),
            "events": len(gap),
        },
        "sigma": sigma,
        "sigmas_tried": {f"{s:.4g}": nats for s, nats in tried.items()},
        "parzen": {
            "value": density.mean().item(),
            "kind": "none",
            "stderr": (density.std() / len(density) ** 0.5).item(),
            "bandwidth": bandwidth,
            "samples": SAMPLES,
            "events": len(density),
        },
        "ais_seconds": round(ais_seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument(
        "--out", default="runs/mnist-decoders", help="folder of the models and of the record"
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--events", type=int, default=100, help="test images to anneal for")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data, out = flattened(genzoo.data.load("mnist", root=options.root)), Path(options.out)
    rows = []
    for name in options.models:
        model, seconds = trained(name, data, out / name, options.seed)
        family, arguments, settings = MODELS[name]
        rows.append(
            {
                "model": name,
                "family": family,
                "data": "continuous MNIST on [0, 1]",
                "unit": "nats",
                "seed": options.seed,
                "arguments": arguments,
                "settings": settings,
                "annealing": ANNEALING,
                "tuning": TUNING,
                "parameters": sum(p.numel() for p in model.parameters()),
                "train_seconds": seconds,
                **measured(name, model, data, options.events, options.seed),
                "published": PUBLISHED[name],
                **asdict(provenance()),
            }
        )
        ais, gap, kernel = rows[-1]["ais"], rows[-1]["bdmc_gap"], rows[-1]["parzen"]
        print(
            f"{name}: ≥ {ais['value']:.1f} ± {ais['stderr']:.1f} nats by annealing (gap "
            f"{gap['value']:.1f}); "
            f"Parzen {kernel['value']:.1f}"
        )
        (out / "mnist-decoders.json").write_text(
            json.dumps(rows, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
