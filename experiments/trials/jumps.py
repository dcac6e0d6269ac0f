"""How to learn few jumps from a teacher, by validation alone.

    python experiments/trials/jumps.py --model '{"patch": 2}' --train '{"steps": 1000}'

The shipped diffusion model of digits walks paths, which are kept in ``--paths`` for the next trial.
A flow-matching model learns to jump along them, and samples the labels of the validation events by
so many jumps, and by the solver of its own stream. What is printed, the Fréchet distances over
digits-net's features to the validation events, is also appended to ``jumps.jsonl``, one line a
trial. No test event is looked at.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.data import DataSet
from genzoo.evaluation.cost import parameters
from genzoo.evaluation.samples.distances import frechet
from genzoo.evaluation.samples.feature_spaces import space_of
from genzoo.training import distillation

LOG = Path(__file__).with_suffix(".jsonl")
STUDENT = {"width": 64, "fourier": 2, "jumps": 4, "solver": "adams"}


def walks(data: DataSet, paths: int, guidance: float, kept: Path) -> DataSet:
    """The teacher's paths, those in the file ``kept`` if there are any."""
    if not kept.exists():
        teacher = genzoo.load("digits/diffusion")
        assert isinstance(teacher, genzoo.Diffusion)
        walked = distillation.walks(teacher, data, paths, guidance, seed=0)
        torch.save([walked.train.x, walked.train.c, walked.validation.x, walked.validation.c], kept)
    x, c, held_x, held_c = torch.load(kept)
    sizes = (len(x), len(held_x), 0)
    return DataSet.split(
        "paths", torch.cat([x, held_x]), torch.cat([c, held_c]), sizes, condition=data.condition
    )


def distances(model: genzoo.FlowMatching, data: DataSet) -> dict[str, float]:
    """FD of samples by jumps, and by the solver."""
    space = space_of(data)
    c = data.validation.c
    reference = space.features(data.validation.x)
    found = {}
    for way in [*({"jumps": n} for n in (1, 2, 3, 4)), {"jumps": 0, "steps": 12}]:
        torch.manual_seed(0)
        x = model.sample(len(data.validation), c, **way)  # type: ignore[arg-type]
        found[json.dumps(way)] = round(frechet(reference, space.features(x)), 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="A student of the shipped diffusion model.")
    parser.add_argument("--model", type=json.loads, default={})
    parser.add_argument("--train", type=json.loads, default={})
    parser.add_argument("--paths", type=Path, required=True, help="a file that keeps them")
    parser.add_argument("--many", type=int, default=2000, help="paths, where there is no file yet")
    parser.add_argument("--guidance", type=float, default=1.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = genzoo.data.load("digits")
    begun = time.process_time()
    walked = walks(data, options.many, options.guidance, options.paths)
    walking = time.process_time() - begun
    torch.manual_seed(0)
    arguments: dict[str, Any] = STUDENT | options.model
    student = genzoo.FlowMatching(data.event_shape, data.condition, data.levels, **arguments)
    pupil = distillation.Pupil(student)
    genzoo.fit(pupil, walked, accelerator="cpu", **options.train)
    seconds = time.process_time() - begun - walking
    line = {
        "settings": {"model": arguments, "train": options.train, "guidance": options.guidance},
        "paths": len(walked.train),
        "parameters": parameters(student),
        "validation": distances(student.eval(), data),
        "seconds": round(seconds, 1),
        "of walking": round(walking, 1),
        "commit": provenance().commit,
    }
    print(json.dumps(line), flush=True)
    with LOG.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
