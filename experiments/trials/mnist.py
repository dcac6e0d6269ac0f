"""Trials of every family on MNIST by validation alone: which architecture learns most in a minute.

    python experiments/trials/mnist.py VAE --train '{"minutes": 1, "batch_size": 32}'
    python experiments/trials/mnist.py VAE --data mnist-binary --untold

One model is trained on one thread, told the classes or not, and judged by the first validation
images: by its likelihood, where it has one, and by samples, where ``--samples`` asks for some. No
test image is looked at. What is printed is also appended to ``mnist.jsonl``, or to the file of the
other data, one line a trial.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.data import DataSet
from genzoo.data.images.digits_net import features, read
from genzoo.errors import TrainingError
from genzoo.evaluation.cost import parameters
from genzoo.evaluation.samples.distances import frechet
from genzoo.model import GenerativeModel

FOLDER = Path(__file__).parent


def trial(settings: dict[str, Any], data: DataSet, keep: Path | None) -> dict[str, Any]:
    """Train by the settings, and say what came of it."""
    family = getattr(genzoo, settings["family"])
    torch.manual_seed(settings["seed"])
    condition = 0 if settings["untold"] else data.condition
    model = family(data.event_shape, condition, data.levels, **settings["model"])
    line = {"settings": settings, "parameters": parameters(model), "commit": provenance().commit}
    few = replace(data, validation=data.validation.some(settings["events"]))
    begun = time.process_time()
    try:
        fitted = genzoo.fit(
            model, few, seed=settings["seed"], accelerator="cpu", **settings["train"]
        )
    except TrainingError as error:
        return {**line, "validation": None, "reason": str(error)}
    line |= {"steps": fitted.steps, "seconds": round(time.process_time() - begun, 1)}
    if fitted.validation is not None:
        line["validation"] = round(data.report(torch.tensor(-fitted.validation)).item(), 4)
    if settings["samples"]:
        line |= of_samples(model, data, settings["samples"])
    if keep is not None:
        genzoo.save(model, keep)
    return line


def of_samples(model: GenerativeModel, data: DataSet, n: int) -> dict[str, Any]:
    """Samples against as many validation images; a model that is told gets all classes in turn."""
    begun = time.process_time()
    torch.manual_seed(0)
    labels = torch.arange(n).remainder(data.condition)
    samples = []
    for c in labels.split(250):
        told = c if model.condition else None
        samples.append(model.sample(len(c), told))
    x = torch.cat(samples)
    seconds = time.process_time() - begun
    held_out = data.validation.some(5_000).x
    distance = frechet(features(x), features(held_out))
    floor = frechet(features(data.train.some(n).x), features(held_out))
    found = {"FD (digits-net)": round(float(distance), 2), "floor": round(float(floor), 2)}
    if model.condition:
        rightly = (read(x) == labels).float().mean()
        found["named rightly"] = round(rightly.item(), 4)
    return {**found, "samples a second": round(n / seconds, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Try a family on MNIST, by validation.")
    parser.add_argument("family", help="a class of genzoo")
    parser.add_argument("--model", type=json.loads, default={}, help="its arguments")
    parser.add_argument("--train", type=json.loads, default={}, help="settings of genzoo.fit")
    parser.add_argument("--data", default="mnist", choices=("mnist", "mnist-binary"))
    parser.add_argument("--untold", action="store_true", help="the model learns without labels")
    parser.add_argument("--events", type=int, default=500, help="validation images")
    parser.add_argument("--samples", type=int, default=0, help="to be judged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", default="data", help="folder that holds MNIST/raw")
    parser.add_argument("--keep", type=Path, help="folder that the model is saved to")
    options = vars(parser.parse_args())
    keep = options.pop("keep")
    torch.set_num_threads(1)
    data = genzoo.data.load(options["data"], root=options.pop("root"))
    line = trial(options, data, keep)
    print(json.dumps(line), flush=True)
    with (FOLDER / f"{data.name}.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
