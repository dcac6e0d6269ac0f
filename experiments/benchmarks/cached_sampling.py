"""How much the cache saves an autoregressive model.

The naive loop's time over the cached one's, same model, same run.

    python experiments/benchmarks/cached_sampling.py

The cached sampler computes each layer at one position; the naive one recomputes the whole prefix
for every feature. The samples are the same (tests/test_autoregressive.py), so the ratio of times is
all there is to compare.
"""

import time

import torch
from rich.console import Console
from rich.table import Table

import genzoo


def seconds(model: genzoo.Autoregressive, n: int, cached: bool, repeats: int) -> float:
    """Best time of ``repeats`` calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.sample(n, cached=cached)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    torch.set_num_threads(1)
    table = Table(
        "event",
        "batch",
        "naive / cached",
        title="Autoregressive sampling: time of the naive loop over the cached",
    )
    for shape, levels in [((1, 8, 8), 17), ((1, 16, 16), 16), ((64,), 0)]:
        model = genzoo.Autoregressive(shape, levels=levels).eval()
        for n in (1, 32):
            repeats = 3 if n == 1 else 1
            ratio = seconds(model, n, False, repeats) / seconds(model, n, True, repeats)
            table.add_row(str(shape), str(n), f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
