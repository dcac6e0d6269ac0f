"""A restricted Boltzmann machine with 500 hidden units on binarised MNIST.

It stands beside the published 86.34 nats.

    python experiments/mnist_rbm.py --root data --out runs/mnist-rbm

Salakhutdinov & Murray 2008 give 86.34 nats for an image of the test set, by annealing, to such a
machine trained with 25 steps of contrastive divergence. Here it is an ordinary `genzoo.Energy` of
two levels:

    data        each pixel is 1 with a chance that is its grey level: drawn afresh for every
                training batch, once and for all for the other images; 55,000 images to train on
    training    persistent chains, 3 sweeps of block Gibbs an update, their matrix products in
                bfloat16, the gradient in float32
    annealing   log Z between a forward and a reverse run, many short
                chains beside the long ones (`genzoo.evaluation.likelihood.partition`)

Stages are finished one after the other, and what is finished is reused; an interrupted training is
resumed. No figure is printed before the last stage, and of its two the validation's comes first.
Takes about an hour and a half of one core.
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

import genzoo
from genzoo import serialization
from genzoo.benchmark.provenance import provenance
from genzoo.data.dataset import DataSet, Split
from genzoo.evaluation.likelihood.partition import between, energy_log_likelihood, log_partition

PUBLISHED = 86.34  # nats, Salakhutdinov & Murray 2008, table 1: CD25(500)
WITHIN = 1.0  # nats between the ends of a figure that is still one
ARGUMENTS = {"hidden": 500, "lr": 8e-4, "steps": 3, "buffer": 200, "refresh": 0.005, "decay": 2e-4}
SETTINGS = {"steps": 90_000, "batch_size": 200, "check_every": 30_000, "patience": 100}
ANNEALING = {"levels": 15_000, "chains": 200}


def trained(data: DataSet, folder: Path, seed: int) -> tuple[genzoo.Energy, float]:
    """The machine and its seconds of training.

    The last, averaged weights are taken: nothing is chosen by validation.
    """
    if (folder / "seconds.json").is_file():
        return serialization.load(folder / "model"), json.loads(
            (folder / "seconds.json").read_text()
        )
    L.seed_everything(seed, verbose=False)
    model = genzoo.Energy((1, 28, 28), levels=2, **ARGUMENTS)
    model.advance = torch.autocast("cpu", torch.bfloat16)(model.advance)  # type: ignore[method-assign]
    watched = replace(data, validation=Split(data.validation.x[:1000]))
    with Progress() as progress:
        task = progress.add_task("training", total=SETTINGS["steps"])
        fitted = genzoo.fit(
            model,
            watched,
            folder,
            seed=seed,
            accelerator="cpu",
            **SETTINGS,
            progress=lambda done, total, text: progress.update(task, completed=done),
        )
    model = serialization.load(folder / "last.ckpt")
    serialization.save(model, folder / "model")
    (folder / "seconds.json").write_text(json.dumps(round(fitted.seconds, 1)))
    return model, fitted.seconds


def measured(model: genzoo.Energy, data: DataSet, seed: int) -> dict[str, Any]:
    """log Z, and with it the figures of both held-out splits, in nats for an image.

    They lie between two ends.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    with Progress() as progress:
        task = progress.add_task("annealing")

        def tell(level: int, levels: int, text: str) -> None:
            progress.update(task, completed=level, total=levels, description=f"annealing: {text}")

        found = log_partition(model, data.train.x[:1000], **ANNEALING, progress=tell)
    splits = {}
    for name in ("validation", "test"):
        x = getattr(data, name).x
        with torch.no_grad():
            nats = torch.cat(
                [-energy_log_likelihood(model, part, found.middle) for part in x.split(500)]
            )
        half_width = found.half_width.item()
        splits[name] = {
            "low": nats.mean().item() - half_width,
            "high": nats.mean().item() + half_width,
            "stderr": (nats.std() / len(nats) ** 0.5).item(),
            "n": len(nats),
        }
    return {
        **splits,
        "kind": "estimate",
        "reason": found.doubt(WITHIN),
        "direction": between(found),
        "log_z": found.details(),
        "annealing_seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument(
        "--out", default="runs/mnist-rbm", help="folder of the model and of the record"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data, out = genzoo.data.load("mnist-binary", root=options.root), Path(options.out)
    model, seconds = trained(data, out, options.seed)
    found = measured(model, data, options.seed)
    record = {
        "model": "RBM-500",
        "data": "MNIST, binarised by chance",
        "unit": "nats",
        "seed": options.seed,
        "arguments": ARGUMENTS,
        "settings": SETTINGS,
        "annealing": ANNEALING,
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_seconds": seconds,
        **found,
        "published": PUBLISHED,
        **asdict(provenance()),
    }
    for name in ("validation", "test"):
        ends = found[name]
        print(
            f"{name}: ≈ {ends['low']:.2f} … {ends['high']:.2f} ± {ends['stderr']:.2f} nats "
            f"{found['reason']}"
        )
    (out / "mnist-rbm.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
