"""A row of the scorecard: all that was measured of one run, or of one closed-form baseline.

JSON in and out is lossless; entries at their defaults are left out. Each row says which version of
this form it has, and a row of another version is refused with the script that reads it.
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

VERSION = 2  # of the form of a row; 1 were dictionaries of before there was a version
PROTOCOLS = {
    1: "settings were chosen by validation while test figures were in sight",
    2: "settings were fixed before these test events were drawn, or chosen by validation in "
    "scripts that print no test figure",
}
PROTOCOL = 2  # of rows made from now on


@dataclass(frozen=True)
class Row:
    """All that was measured of one run, or of one baseline.

    Args:
        family: as tables print it: "VAE", "VAE+Flow", "Gaussian".
        data: the name of the data set.
        likelihood: of the test events.
        baseline: whether it is a closed-form model to beat.
        seed, budget, conditional: of the run.
        minutes: that training was given; None where the recipe's steps were.
        protocol: how the settings were chosen, a key of `PROTOCOLS`.
        disagreement: with the truth, where that is known.
        cost: of training and sampling; None of a baseline.
        quality: of samples.
        representation: what the model knows of an event.
        condition: whether it draws as asked, of conditional models.
        file: what a file of test events takes.
        file_failure: why such a file could not be written.
        measured: the measures that were taken, whether or not they apply to this model.
        provenance: under what the figures came about.
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
        """As the folder of its run is called: "vae-seed0"."""
        return f"{self.family.lower()}-seed{self.seed}"

    def timed(self, samples_per_second: float) -> "Row":
        """The same with the speed of sampling."""
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
            source: where they are from, for errors.

        Raises:
            InputError: it is no row, or one of another version.
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
    """What `genzoo.evaluation.evaluate` found on ``data``, as the part of a row."""
    nats_of_unit = data.dims * log(2) if data.levels else 1.0
    figure, details = measured.figure, measured.details
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
    """The gap of bidirectional Monte Carlo among the details of an annealing, if it is there."""
    value = details.get("simulated_gap")
    if value is None:
        return None
    return Figure(value, details.get("simulated_gap_stderr"), n=details.get("simulated_events"))


def disagreement(
    measured: Measured, samples: Tensor, data: DataSet, conditional: bool = False
) -> Disagreement | None:
    """Where a model and the truth disagree; None where the truth is not known.

    Args:
        measured: the likelihood of test events, one by one.
        samples: of the model, ``(n, *event_shape)``.
        data: with a true density, or without.
        conditional: whether the model was told conditions, so that B says nothing.
    """
    found = truth.disagreement(measured, samples, data, conditional)
    if found["astray"] is None:
        return None
    missed = found["missed"]
    return Disagreement(
        off_support=Figure.from_json(found["astray"]),
        missed=None if missed is None else Figure.from_json(missed),
    )
