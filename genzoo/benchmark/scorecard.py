"""The scorecard: a typed row for each run and each baseline, with tables, charts and a report."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, overload

from genzoo.benchmark.report.file_table import file_table
from genzoo.benchmark.report.knowledge_tables import conditional_table, representation_table
from genzoo.benchmark.report.likelihood_table import likelihood_table
from genzoo.benchmark.report.page import Page, write_page
from genzoo.benchmark.report.quality_table import distances, quality_table
from genzoo.benchmark.report.tables import Table
from genzoo.benchmark.row import Row
from genzoo.errors import InputError
from genzoo.files import whole
from genzoo.gate import text

Part = TypeVar("Part")
Record = dict[str, bool | int | float | str | None]


@dataclass(frozen=True)
class Scorecard(Sequence[Row]):
    """The result of a comparison; iteration gives its rows, one for each run.

    Args:
        rows: of the runs.
        baselines: rows of closed-form models, for comparison.
        failures: name of a run that failed -> a sentence that says why.
        page: contents of the report beside the tables: pictures, learning curves, the command.
    """

    rows: tuple[Row, ...]
    baselines: tuple[Row, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    page: Page = field(default_factory=Page, repr=False)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...

    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def tables(self) -> list[Table]:
        """Likelihood and cost, then the tables that have a content."""
        return tables([*self.rows, *self.baselines])

    def table(self) -> Table:
        """The first table: the likelihood of the test data, and cost."""
        return likelihood_table([*self.rows, *self.baselines])

    def records(self) -> list[Record]:
        """A flat mapping of numbers and words for each row, as for ``pandas.DataFrame``."""
        return [row.record() for row in (*self.rows, *self.baselines)]

    def plot(self, quality: str | None = None, cost: str = "samples_per_second"):
        """A chart of the quality of samples against their cost.

        Args:
            quality: name of a distance or share in the table of samples; by default the first.
            cost: "samples_per_second", "train_seconds", "parameters" or "evaluations_per_sample".

        Returns:
            a figure of matplotlib, which a notebook shows.

        Raises:
            InputError: no row has the quality of its samples, or there is no such cost.
        """
        from genzoo.benchmark.report import plots

        names = distances(row.quality for row in self.rows if row.quality is not None)
        if not names and quality is None:
            raise InputError("No row of this scorecard has the quality of samples to plot.")
        return plots.quality_against_cost(self.rows, quality or names[0], cost)

    def save(self, path: str | Path) -> Path:
        """Write the rows, baselines included, as JSON, whole or not at all; `read` gives them."""
        return write([*self.rows, *self.baselines], path)

    @classmethod
    def read(cls, path: str | Path) -> "Scorecard":
        """The scorecard that `save` wrote.

        Raises:
            InputError: the file is missing, is not a scorecard, or has the form of an earlier
                genzoo.
        """
        rows = read(path)
        runs = tuple(row for row in rows if not row.baseline)
        baselines = tuple(row for row in rows if row.baseline)
        return cls(runs, baselines)

    def report(self, path: str | Path) -> Path:
        """Write a page of all tables, pictures and learning curves, which needs no other file."""
        return write_page(Path(path), self.tables(), self.rows, self.page, self.failures)

    def markdown(self) -> str:
        """All tables in Markdown with their legends, baselines in italics."""
        return markdown([*self.rows, *self.baselines])

    def __str__(self) -> str:
        return self.markdown()

    def _repr_html_(self) -> str:
        failed = "".join(
            f"<p><b>{name} failed:</b> {why}</p>" for name, why in self.failures.items()
        )
        return failed + "".join(table.html() for table in self.tables())


def tables(rows: Iterable[Row]) -> list[Table]:
    """Likelihood and cost, then the tables that have a content."""
    rows = list(rows)
    models = [row for row in rows if not row.baseline]
    baselines = [row for row in rows if row.baseline]
    others = (
        quality_table(
            by_family(models, lambda row: row.quality),
            by_family(baselines, lambda row: row.quality),
        ),
        representation_table(by_family(models, lambda row: row.representation)),
        conditional_table(by_family(models, lambda row: row.condition)),
        file_table(rows),
    )
    return [likelihood_table(rows), *(table for table in others if table is not None)]


def by_family(rows: Iterable[Row], part: Callable[[Row], Part | None]) -> dict[str, list[Part]]:
    """Family -> a part of each of its rows, of those that have it."""
    groups: dict[str, list[Part]] = {}
    for row in rows:
        content = part(row)
        if content is not None:
            groups.setdefault(row.family, []).append(content)
    return groups


def markdown(rows: Iterable[Row]) -> str:
    """The tables of ``rows`` in Markdown."""
    return "\n".join(table.markdown() for table in tables(rows))


def write(rows: Iterable[Row], path: str | Path) -> Path:
    """Write rows as JSON, whole or not at all."""
    path = Path(path)
    content = json.dumps([row.to_json() for row in rows], indent=2, allow_nan=False)
    with whole(path) as draft:
        draft.write_text(content + "\n", encoding="utf-8")
    return path


def read(path: str | Path) -> list[Row]:
    """The rows that `write` or `Scorecard.save` wrote.

    Raises:
        InputError: the file is missing, is not a scorecard, or has the form of an earlier genzoo.
    """
    try:
        content = text.from_json(text.read(Path(path)))
    except InputError:  # too large, or no ordinary file
        raise
    except OSError as error:
        raise InputError(f"Cannot read the scorecard {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"The scorecard {path} is not JSON ({error}).") from error
    if not isinstance(content, list):
        raise InputError(f"{path} is no scorecard: expected a list of rows, each with a family.")
    return [Row.from_json(entry, str(path)) for entry in content]
