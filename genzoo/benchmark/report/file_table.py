"""The table of the sizes of files of test events, written with each model and read back."""

from collections.abc import Iterable, Sequence
from statistics import mean

from genzoo.benchmark.report.tables import Line, Table
from genzoo.benchmark.row import Row
from genzoo.compression.figure import AsFile
from genzoo.compression.file import HEADER_BYTES

HEADERS = ("model", "as a file", "its own", "ratio", "bytes", "n")
LEGEND = (
    "as a file: bits/dim of events that an entropy coder wrote with the model's probabilities, and "
    f"that were read back bit for bit; {HEADER_BYTES} bytes of header and check sums not counted",
    "its own: the model's own value for the same events (≤: by single samples, like the file)",
)


def file_table(rows: Iterable[Row]) -> Table | None:
    """The table of the rows that have a file, the shortest first; None if there is none."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.file is not None or row.file_failure:
            groups.setdefault(row.family, []).append(row)
    if not groups:
        return None
    failures = {family: _failure(group) for family, group in groups.items()}
    files = {}
    for family, group in groups.items():
        if not failures[family]:
            files[family] = [row.file for row in group if row.file is not None]
    lines = []
    for family in sorted(files, key=lambda family: _bits_per_dim(files[family])):
        is_baseline = groups[family][0].baseline
        lines.append(_line(family, files[family], muted=is_baseline))
    failed = [family for family in groups if failures[family]]
    lines += [Line((family, *"—————")) for family in failed]
    reasons = [f"— of {family}: {failures[family]}" for family in failed]
    return Table("As a file", HEADERS, lines, [*LEGEND, *reasons])


def _failure(rows: Sequence[Row]) -> str:
    """The reason why one of the rows has no file; "" if all have one."""
    return next((row.file_failure for row in rows if row.file_failure), "")


def _bits_per_dim(files: Sequence[AsFile]) -> float:
    return mean(file.bits_per_dim for file in files)


def _line(family: str, files: Sequence[AsFile], muted: bool) -> Line:
    """A family's files, averaged over seeds."""
    written = _bits_per_dim(files)
    own = mean(file.stated for file in files)
    kind = max(file.kind for file in files)
    cells = (
        family,
        f"{written:.3f}",
        f"{kind.symbol} {own:.3f}",
        f"{written / own:.4f}",
        f"{mean(file.bytes for file in files):,.0f}",
        f"{mean(file.n for file in files):,.0f}",
    )
    return Line(cells, muted=muted)
