"""How much the cache saves an autoregressive model, and how many images a second it samples.

    python experiments/benchmarks/cached_sampling.py [--rounds 5] [--record FILE]

The naive loop runs the whole network once for each feature of a sample, and all of these passes
cost the same. So a round times a few of them, multiplies, and divides by the time of one sampling
with the cache, the two in turn. A ratio is the median over the rounds, with the quartiles beside
it. Times are processor times of one thread, which other work on the machine changes little.

Both loops give the same samples, which is tested on small shapes (tests/test_autoregressive.py).
Here each model also samples a few observations in both ways, from the same random numbers, to the
end. The model of MNIST is that of ``experiments/recipes/mnist-cpu.yaml``, untrained: its weights
change no time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.distributions import Distribution

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.benchmark.recipes import read
from genzoo.files import whole

EXPERIMENTS = Path(__file__).parents[1]
RECORD = EXPERIMENTS / "records" / "sampling-autoregressive.json"
MNIST = read(EXPERIMENTS / "recipes" / "mnist-cpu.yaml")["autoregressive"]["model"]
MODELS: dict[str, dict[str, Any]] = {
    "8 x 8, 17 levels": {"event_shape": (1, 8, 8), "levels": 17},
    "64 real values": {"event_shape": (64,)},
    "28 x 28, 256 levels": {"event_shape": (1, 28, 28), "levels": 256} | MNIST,
}
BATCHES = (1, 64)
PASSES = 4  # of the naive loop in a round
COMPARED = 2  # observations that both loops sample to the end


def seconds(work: Callable[[], object]) -> float:
    """Processor time of ``work``."""
    start = time.process_time()
    work()
    return time.process_time() - start


def naive_seconds(model: genzoo.Autoregressive, n: int) -> float:
    """Processor time of a sampling of n by the naive loop, from `PASSES` of its passes."""
    features = torch.zeros(n, model.dims)
    order = torch.zeros(n, dtype=torch.long)
    embedding = model.embedding(None, order)
    predict = model.predictor(embedding, cached=False)

    def some() -> None:
        for i in range(PASSES):
            model.conditional(predict(i, features)).sample()

    return seconds(some) * model.dims / PASSES


def agreement(model: genzoo.Autoregressive) -> float:
    """Share of features that are equal in samples of both loops from the same random numbers."""
    samples = []
    for cached in (True, False):
        torch.manual_seed(0)
        samples.append(model.sample(COMPARED, cached=cached))
    with_cache, naive = samples
    return torch.isclose(with_cache, naive, atol=1e-4).float().mean().item()


@torch.no_grad()
def measure(model: genzoo.Autoregressive, n: int, rounds: int) -> dict[str, Any]:
    """Quartiles of the ratio over the rounds, and samples a second with the cache."""
    model.sample(n)  # once for whatever is set up
    ratios = []
    rates = []
    for _ in range(rounds):
        cached = seconds(lambda: model.sample(n))
        ratios.append(naive_seconds(model, n) / cached)
        rates.append(n / cached)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "batch": n,
        "ratio": middle,
        "low": low,
        "high": high,
        "samples_per_second": statistics.median(rates),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of the naive loop over the cached one's.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", type=Path, default=RECORD)
    options = parser.parse_args()
    torch.set_num_threads(1)
    Distribution.set_default_validate_args(False)  # as in training
    table = Table("model", "batch", "naive / cached", "samples/s", "same features")
    rows = []
    for name, arguments in MODELS.items():
        torch.manual_seed(0)
        model = genzoo.Autoregressive(**arguments).eval()
        same = agreement(model)
        for n in BATCHES:
            found = measure(model, n, options.rounds)
            rows.append({"model": name, "same": same, **found})
            spread = f"{found['ratio']:.1f} ({found['low']:.1f}-{found['high']:.1f})"
            table.add_row(name, str(n), spread, f"{found['samples_per_second']:.1f}", f"{same:.2%}")
    Console().print(table)
    record = {"rounds": options.rounds, "rows": rows, "provenance": asdict(provenance())}
    with whole(options.record) as draft:
        draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
