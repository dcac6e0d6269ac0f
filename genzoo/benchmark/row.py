"""A row of the scorecard: all measurements of one run, or of one closed-form baseline.

Conversion to JSON and back is lossless; entries at their defaults are left out. Each row contains
the version of its form, and one of another version is refused with the name of the script that
converts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log
from typing import Any

from torch import Tensor

from genzoo.benchmark import codec
from genzoo.benchmark.provenance import Provenance
from genzoo.compression.figure import AsFile
from genzoo.data.dataset import DataSet
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.likelihood import truth
from genzoo.evaluation.likelihood.evaluate import Measured
from genzoo.evaluation.results import (
    ClassFidelity,
    Cost,
    Disagreement,
    HeldOutLikelihood,
    Memory,
    NumberFidelity,
    Quality,
    Representation,
)
from genzoo.model import Likelihood

VERSION = 2  # of the form of a row; dictionaries without a version are version 1
PROTOCOLS = {
    1: "settings were chosen by validation while test figures were in sight",
    2: "settings were fixed before these test events were drawn, or chosen by validation in "
    "scripts that print no test figure",
}
PROTOCOL = 2  # of rows made from now on


@dataclass(frozen=True)
class Row:
    """All measurements of one run, or of one baseline.

    Args:
        family: as tables print it: "VAE", "VAE+Flow", "Gaussian".
        data: name of the data set.
        likelihood: of the test events.
        baseline: True of a closed-form model for comparison.
        seed: of the run.
        budget: of the run.
        conditional: True of a conditional model.
        minutes: of training, where it was limited by time; None where by the recipe's steps.
        protocol: the way settings were chosen, a key of `PROTOCOLS`.
        disagreement: with the truth, where that is known.
        cost: of training and sampling; None of a baseline.
        quality: of samples.
        representation: probes of the representation.
        condition: fidelity of samples to the condition, of conditional models.
        file: size of a file of test events.
        file_failure: why such a file could not be written.
        measured: names of the measures that were taken, also of those that do not apply.
        provenance: of the figures.
    """

    family: str
    data: str
    likelihood: HeldOutLikelihood
    baseline: bool = False
    seed: int = 0
    budget: str = "quick"
    conditional: bool = False
    minutes: float | None = None
    protocol: int = PROTOCOL
    disagreement: Disagreement | None = None
    cost: Cost | None = None
    quality: Quality | None = None
    representation: Representation | None = None
    condition: ClassFidelity | NumberFidelity | None = None
    file: AsFile | None = None
    file_failure: str = ""
    measured: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def figure(self) -> Figure:
        """The likelihood in its unit."""
        return self.likelihood.figure

    @property
    def memory(self) -> Memory | None:
        """Bytes of a training step and of sampling."""
        return None if self.cost is None else self.cost.memory

    @property
    def name(self) -> str:
        """Name of the folder of its run: "vae-seed0"."""
        return f"{self.family.lower()}-seed{self.seed}"

    def timed(self, samples_per_second: float) -> "Row":
        """A copy of the row with the speed of sampling."""
        assert self.cost is not None, "a baseline is not timed"
        return replace(self, cost=replace(self.cost, samples_per_second=samples_per_second))

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, with the version of their form."""
        return {"version": VERSION, **codec.to_plain(self)}

    @classmethod
    def from_json(cls, entry: object, source: str = "this row") -> "Row":
        """The row that `to_json` wrote.

        Args:
            entry: plain values.
            source: their origin, for errors.

        Raises:
            InputError: it is not a row, or one of another version.
        """
        if not isinstance(entry, Mapping) or "family" not in entry:
            raise InputError(f"{source} is no row of a scorecard: expected one with a family.")
        if (version := entry.get("version", 1)) != VERSION:
            raise InputError(
                f"{source} has the form of an earlier genzoo, version {version}: "
                "read it anew by python experiments/migrate_rows.py FILE."
            )
        content = {name: value for name, value in entry.items() if name != "version"}
        return codec.from_plain(cls, content, source)

    def record(self) -> dict[str, bool | int | float | str | None]:
        """The row as one flat record of numbers and words, for a data frame.

        A figure ``name`` is there as ``name``, and its error as ``name_stderr``.
        """
        return dict(codec.flat(self))


def held_out(measured: Measured, data: DataSet) -> HeldOutLikelihood:
    """The result of `genzoo.evaluation.evaluate` on ``data``, as the part of a row."""
    nats_of_unit = 1.0 if data.unit == "nats" else data.dims * log(2)
    figure = measured.figure
    details = measured.details
    if figure.kind == Likelihood.NONE:
        figure = Figure.dash(figure.reason or details.get("reason", ""), figure.n)
    effective = details.get("log_z", details).get("ess")
    return HeldOutLikelihood(
        figure=figure,
        nats=figure.scaled(nats_of_unit),
        unit=measured.unit,
        direction=measured.direction,
        gap=measured.gap,
        of=details.get("of"),
        observation=details.get("observation", ""),
        chains=details.get("ais_chains"),
        effective_chains=effective,
        simulated_gap=simulated_gap(details),
        diagnostics=details,
    )


def simulated_gap(details: Mapping[str, Any]) -> Figure | None:
    """The gap of bidirectional Monte Carlo among the details of an annealing, or None."""
    value = details.get("simulated_gap")
    if value is None:
        return None
    return Figure(value, details.get("simulated_gap_stderr"), n=details.get("simulated_events"))


def disagreement(
    measured: Measured, samples: Tensor, data: DataSet, conditional: bool = False
) -> Disagreement | None:
    """Disagreement of a model with the truth; None where the truth is not known.

    Args:
        measured: the likelihood of test events, one by one.
        samples: of the model, ``(n, *event_shape)``.
        data: the data set, with a true density or without.
        conditional: True of a conditional model, for which B is not measured.
    """
    entries = truth.disagreement(measured, samples, data, conditional)
    if entries["astray"] is None:
        return None
    missed = None
    if entries["missed"] is not None:
        missed = Figure.from_json(entries["missed"])
    return Disagreement(off_support=Figure.from_json(entries["astray"]), missed=missed)
