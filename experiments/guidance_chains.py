"""Do longer chains mend what guidance spoils in the energy model of digits?

Guidance makes every family of `records/digits-conditional.json` more accurate except the energy
model. Its samples come from chains of fixed length, so two explanations are open: the chains are
too short for the guided density, or that density itself has its mass in the wrong place.

    python experiments/guidance_chains.py --runs runs/digits-conditional --out runs/guidance

For each of the three recorded models, each guidance weight w and each number of moves:

    accuracy  share of samples in which a classifier that no model has a part in reads the digit
              asked for
    sureness  mean of log p(x | c) - log p(x) of the samples under the model itself, less that of
              its samples with w = 1 and as many moves: how much surer the model is of the digit

If the chains were too short, accuracy would rise with the number of moves. Takes about twelve
minutes of one core. Nothing is chosen by these values.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.evaluation.samples.conditional import fit_classifier

WEIGHTS = (1.0, 2.0)
MOVES = (500, 2000, 4000)  # the recipe's number, and four and eight times as many
EACH = 20  # samples of each class


def surprise(model: genzoo.Energy, x: Tensor, c: Tensor) -> Tensor:
    """log p(x | c) - log p(x) up to a constant, ``(n,)`` nats."""
    with torch.no_grad():
        unconditional = model.guided_energy(x, None, 1.0)
        conditional = model.guided_energy(x, c, 1.0)
    return unconditional - conditional


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", default="runs/digits-conditional", help="a finished comparison")
    parser.add_argument("--out", default="runs/guidance", help="folder of the record")
    options = parser.parse_args()

    data = genzoo.data.load("digits")
    labels_of = fit_classifier(data)
    c = torch.arange(len(data.classes)).repeat(EACH)

    folders = sorted(Path(options.runs).glob("energy-seed*"))
    settings = [(folder, moves) for folder in folders for moves in MOVES]
    rows: list[dict[str, Any]] = []
    for folder, moves in track(settings, "sampling"):
        model = genzoo.load(folder / "model")
        of_weights = {}
        for w in WEIGHTS:
            torch.manual_seed(0)
            x = model.sample(len(c), c, w, moves)
            right = torch.from_numpy(labels_of(x)).eq(c)
            of_weights[w] = surprise(model, x, c)
            rows.append(
                {
                    "run": folder.name,
                    "w": w,
                    "moves": moves,
                    "n": len(c),
                    "right": int(right.sum()),
                    "sureness": (of_weights[w] - of_weights[WEIGHTS[0]]).mean().item(),
                }
            )

    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    record = {"data": data.name, "rows": rows, **asdict(provenance())}
    path = out / "guidance-chains.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
