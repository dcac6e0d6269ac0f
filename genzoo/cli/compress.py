"""``genzoo compress`` and ``genzoo decompress``: a likelihood as a file, and the events back."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from genzoo.cli.help import OF_MODEL, Parser, add_data, add_family, console
from genzoo.cli.screen import bar, print_table
from genzoo.data.names import SPLITS
from genzoo.errors import InputError, nearest
from genzoo.gate import limits

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo.benchmark.report.tables import Table
    from genzoo.compression.figure import AsFile
    from genzoo.data import DataSet

RUNS = Path("runs")  # where a model that is not named is looked for


def compress(arguments: Sequence[str]) -> int:
    """Write a split of a data set; compare the file with the model's figure and other programs."""
    options = _compress_options(arguments)
    out = console()
    out.print(f"Compressing with {options.run}: loading torch …")
    from genzoo.benchmark.run import load_run
    from genzoo.compression.figure import write
    from genzoo.data import load as load_data
    from genzoo.files import whole
    from genzoo.training.fitting import check_fit

    model, plan = load_run(options.run, options.family)
    name = options.data or plan.get("data")
    if name is None:
        raise InputError(f"{options.run} does not say what data it learned: name it with --data.")
    data = load_data(name)
    check_fit(model, data)
    x = getattr(data, options.split).x[: options.n]
    with bar(out, "compressing") as report:
        blob, file = write(model, x, progress=report)
    path = Path(options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as draft:
        draft.write_bytes(blob)
    what = f"{file.n:,} events of {data.name} ({options.split})"
    out.print(Text.assemble((str(path), "bold"), f": {what} in {file.bytes:,} bytes, read back."))
    if model.condition:
        out.print("  The model was not told labels or conditions: no file holds them.", style="dim")
    print_table(_beside(plan.get("family") or type(model).__name__, file, x, data), out)
    return 0


def decompress(arguments: Sequence[str]) -> int:
    """The events of a file, as an array."""
    options = _decompress_options(arguments)
    path = Path(options.file)
    out = Path(options.out)
    if not path.is_file():
        raise InputError(f"There is no file {path}: expected one that genzoo compress wrote.")
    console().print(f"Decompressing {path}: loading torch …")
    import numpy as np

    from genzoo.benchmark.run import load_run
    from genzoo.compression import decompress as read
    from genzoo.compression.file import read_header
    from genzoo.files import whole

    limits.size(path, limits.ARRAYS)
    blob = path.read_bytes()
    try:
        header = read_header(blob)
        model = load_run(options.model)[0] if options.model else _writer(header.model)
        with bar(console(), "decompressing") as report:
            x = read(model, blob, progress=report).numpy()
    except InputError as error:
        raise InputError(f"Cannot decompress {path}. {error}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as draft:
        np.savez_compressed(draft, x=x)
    console().print(f"Wrote {out}: {len(x):,} events of shape {x.shape[1:]}, as they were.")
    return 0


def _writer(fingerprint: bytes) -> Any:
    """The model somewhere in `RUNS` that has this fingerprint."""
    from genzoo import compression
    from genzoo.benchmark.run import load_run
    from genzoo.serialization import CONFIG

    for config in sorted(RUNS.rglob(CONFIG)):
        try:
            model, _ = load_run(config.parent)
        except InputError:  # a model that is no generative one, or half a one
            continue
        if compression.fingerprint(model) == fingerprint:
            return model
    raise InputError(f"No model in {RUNS} wrote it: name the folder of its run with --model.")


def _beside(family: str, file: "AsFile", x: "Tensor", data: "DataSet") -> "Table":
    """The file, independent pixels and other programs, the shortest first."""
    from genzoo import grid
    from genzoo.benchmark.report.tables import Line, Table
    from genzoo.compression.figure import write
    from genzoo.compression.others import sizes
    from genzoo.families.baselines import IndependentPixels

    pixels = IndependentPixels(data.levels).fit(data.train.x, data.validation.x)
    _, as_pixels = write(pixels, x)
    size = {family: file.bytes, "Independent pixels": as_pixels.bytes}
    size |= sizes(grid.to_level(x, data.levels), data.levels)
    lines = []
    for name, count in sorted(size.items(), key=lambda item: item[1]):
        bits = 8 * count / x.numel()
        cells = (name, f"{count:,}", f"{bits:.4f}")
        lines.append(Line(cells, muted=name != family))
    return Table("As a file", ("", "bytes", "bits/dim"), lines, _legend(family, file))


def _legend(family: str, file: "AsFile") -> list[str]:
    """Lines that compare the file with its own model."""
    how = "" if file.kind.symbol == "=" else ", by single draws"
    lines = [
        f"{family} itself states {file.kind.symbol} {file.stated:.4f} bits/dim of these events"
        f"{how}; less {file.header_bytes} bytes of header and check sums, the file has "
        f"{file.bits_per_dim:.4f}, {file.ratio:.4f} times as much."
    ]
    if file.initial_bits:
        lines.append(f"{file.initial_bits} of its bits hold nothing: the first event borrows them.")
    lines.append("gzip, xz and PNG are given the same levels, a byte for each, all in one file.")
    return lines


def _compress_options(arguments: Sequence[str]) -> Any:
    parser = Parser("compress", "Writes a split of a data set in as many bits as a model says.")
    models = "autoregressive, VAE, or energy of few hidden units"
    parser.add_argument("run", type=str, help=f"{OF_MODEL}: {models}")
    add_family(parser)
    add_data(parser, default=None)
    parser.add_argument("--split", type=str, default="test", help=", ".join(SPLITS))
    parser.add_argument("--n", type=int | None, default=None, help="only the first n events")
    parser.add_argument("--out", type=str, default="events.bits", help="the file")
    options = parser.parse(arguments)
    if options.split not in SPLITS:
        raise InputError(f"There is no split {options.split!r}. {nearest(options.split, SPLITS)}")
    if options.n is not None and options.n < 1:
        raise InputError(f"--n must be at least 1, got {options.n}.")
    return options


def _decompress_options(arguments: Sequence[str]) -> Any:
    parser = Parser("decompress", "Reads a file of genzoo compress back, bit for bit.")
    parser.add_argument("file", type=str, help="what genzoo compress wrote")
    out = "a .npz file, with the events as its array x"
    parser.add_argument("--out", type=str, default="events.npz", help=out)
    model = "folder of the run that wrote it; without, it is looked for in runs"
    parser.add_argument("--model", type=str | None, default=None, help=model)
    options = parser.parse(arguments)
    if Path(options.out).suffix != ".npz":
        raise InputError(f"Cannot write {options.out!r}: expected a name that ends in .npz.")
    return options
