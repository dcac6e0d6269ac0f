"""Distances of samples: genzoo's against those of pytorch-fid and of prdc, on the same features.

    python experiments/benchmarks/samples_judged.py --peer pytorch-fid [--out FILE]
    python experiments/benchmarks/samples_judged.py --peer prdc [--out FILE]

pytorch-fid's Fréchet distance takes the square root of a product of covariances, ours the
eigenvalues of a symmetric matrix that has the same. prdc counts balls as Naeem et al. 2020 do.
"""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import torch
from paired import Comparison, arguments, measure, race, run
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import Tensor

from genzoo.evaluation.samples.distances import frechet
from genzoo.evaluation.samples.neighbours import NEAREST, NEAREST_COVERED, support

FEATURES = (64, 512)
SETS = 2000


def features(width: int) -> tuple[Tensor, Tensor]:
    """Correlated Gaussian features of real events, and of samples that differ a little."""
    torch.manual_seed(0)
    mix = torch.randn(width, width) / width**0.5
    real = torch.randn(SETS, width) @ mix
    samples = 1.1 * torch.randn(SETS, width) @ mix + 0.1
    return real, samples


def their_frechet(real: Tensor, samples: Tensor) -> float:
    sides = (real.double().numpy(), samples.double().numpy())
    moments = [part for x in sides for part in (x.mean(0), np.cov(x, rowvar=False))]
    return float(calculate_frechet_distance(*moments))


def their_support(real: Tensor, samples: Tensor) -> dict[str, float]:
    """Precision and recall by their k, density and coverage by theirs."""
    arrays = (real.numpy(), samples.numpy())
    with redirect_stdout(StringIO()):
        narrow = compute_prdc(*arrays, nearest_k=NEAREST)
        wide = compute_prdc(*arrays, nearest_k=NEAREST_COVERED)
    parts = {name: narrow[name] for name in ("precision", "recall")}
    return parts | {name: wide[name] for name in ("density", "coverage")}


def distances(rounds: int) -> Comparison:
    found = Comparison(
        title="Fréchet distance",
        peer="pytorch-fid",
        script="samples_judged.py --peer pytorch-fid",
        equal=[f"{SETS:,} features of each side, moments included", "float64", "one thread"],
        unequal=[
            "eigenvalues of a symmetric matrix here, the square root of a product of matrices there"
        ],
    )
    for width in FEATURES:
        real, samples = features(width)
        found.rows.append(
            race(
                f"distance, {width} features",
                lambda real=real, samples=samples: frechet(real, samples),
                lambda real=real, samples=samples: their_frechet(real, samples),
                rounds,
            )
        )
        values = frechet(real, samples), their_frechet(real, samples)
        found.rows.append(measure(f"value, {width} features", "", *values, better="equal"))
    return found


def supports(rounds: int) -> Comparison:
    found = Comparison(
        title="Precision, recall, density and coverage",
        peer="prdc",
        script="samples_judged.py --peer prdc",
        equal=[f"{SETS:,} features of each side", "neighbours", "seconds of all threads"],
        unequal=[
            f"one call for both numbers of neighbours ({NEAREST} for precision and recall, "
            f"{NEAREST_COVERED} for density and coverage) here, two there",
            "float32 here; what scikit-learn computes distances in there",
        ],
    )
    for width in FEATURES:
        real, samples = features(width)
        row = race(
            f"all four, {width} features",
            lambda real=real, samples=samples: support(real, samples),
            lambda real=real, samples=samples: their_support(real, samples),
            rounds,
        )
        found.rows.append(row)
    real, samples = features(FEATURES[0])
    ours, theirs = support(real, samples), their_support(real, samples)
    for name, value in ours.items():
        found.rows.append(measure(name, "", value, float(theirs[name]), better="equal"))
    return found


PEERS = {"pytorch-fid": distances, "prdc": supports}

if __name__ == "__main__":
    parser = arguments("Distances of samples against other packages.", rounds=7)
    parser.add_argument("--peer", choices=PEERS, required=True)
    run(lambda options: PEERS[options.peer](options.rounds), parser.parse_args())
