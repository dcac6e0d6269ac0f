"""Read rows of before they had a type, and write them in the form of today.

    python experiments/migrate_rows.py RECORD.json RUN/row.json ...

A file holds a list of rows, as a record or a scorecard does, or one row, as a run's folder does.
Figures stay what they are; shares that were kept without the ends of their interval get those from
their error, or from the number of events. A file in the form of today is left as it is, and so is
one that holds no rows.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from render import figure_in, share_in

from genzoo.benchmark.codec import from_plain
from genzoo.benchmark.provenance import Machine, Provenance
from genzoo.benchmark.report.quality_table import OTHERS
from genzoo.benchmark.row import VERSION, Row, simulated_gap
from genzoo.compression.figure import AsFile
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.results import (
    ClassFidelity,
    Cost,
    Disagreement,
    Guided,
    HeldOutLikelihood,
    LatentPair,
    Memory,
    NumberFidelity,
    Probe,
    Quality,
    Representation,
    TallerTins,
)
from genzoo.model import Likelihood

Old = Mapping[str, Any]
MEASURES = ("memory", "quality", "representation", "condition", "file")
NO_SHARES = ("density", "nearer")  # of those figures that belong to no space


def migrated(old: Old) -> Row:
    """The row of today for one of before."""
    return Row(
        family=old["family"],
        data=old.get("data", ""),
        likelihood=_likelihood(old),
        baseline=bool(old.get("baseline")),
        seed=old.get("seed", 0),
        budget=old.get("budget", "full"),
        conditional=bool(old.get("conditional")),
        protocol=old.get("protocol", 1),
        disagreement=_disagreement(old),
        cost=_cost(old),
        quality=_quality(old.get("quality")),
        representation=_representation(old.get("representation")),
        condition=_condition(old.get("condition")),
        file=_file(old.get("file")),
        file_failure=(old.get("file") or {}).get("reason", ""),
        measured=tuple(name for name in MEASURES if name in old),
        provenance=_provenance(old),
    )


def _likelihood(old: Old) -> HeldOutLikelihood:
    details = old.get("evaluation") or {}
    in_bits = bool(old.get("bits_per_dim"))
    figure = Figure.from_json(old["bits_per_dim" if in_bits else "nats"])
    if figure.kind == Likelihood.NONE:
        figure = Figure.dash(figure.reason or details.get("reason", ""), figure.n)
    gap = old.get("gap_to_truth")
    return HeldOutLikelihood(
        figure=figure,
        nats=Figure.from_json(old["nats"]),
        unit=old.get("unit") or ("bits/dim" if in_bits else "nats"),
        direction=old.get("direction") or "",
        gap=None if gap is None else Figure.from_json(gap),
        of=details.get("of"),
        observation=details.get("observation", ""),
        chains=details.get("ais_chains"),
        effective_chains=(details.get("log_z") or details).get("ess"),
        simulated_gap=simulated_gap(details),
        diagnostics=details,
    )


def _disagreement(old: Old) -> Disagreement | None:
    off_support, missed = old.get("astray"), old.get("missed")
    if off_support is None:
        return None
    missed = None if missed is None else Figure.from_json(missed)
    return Disagreement(Figure.from_json(off_support), missed)


def _cost(old: Old) -> Cost | None:
    if "train_seconds" not in old:
        return None
    memory = old.get("memory")
    return Cost(
        parameters=old["parameters"],
        train_seconds=old["train_seconds"],
        steps=old["steps"],
        best_step=old.get("best_step"),
        validation_nats=old.get("validation_nats"),
        samples_per_second=old.get("samples_per_second"),
        evaluations_per_sample=old.get("evaluations_per_sample"),
        memory=None if memory is None else Memory(**memory),
    )


def _quality(old: Old | None) -> Quality | None:
    if old is None:
        return None
    floor = _figures(old["floor"], old["n"])
    if "low" not in old["floor"].get("copies", {"low": 0.0}):  # 1 % by construction, no finding
        floor["copies"] = Figure(reason="not measured when these samples were judged")
    return Quality(
        space=old["space"],
        about=old["about"],
        n=old["n"],
        reference=old["reference"],
        figures=_figures(old["figures"], old["n"]),
        floor=floor,
        reason=old.get("reason", ""),
        seconds=old.get("seconds"),
    )


def _figures(old: Old, n: int) -> dict[str, Figure]:
    shares = [name for name in OTHERS if name not in NO_SHARES]
    return {
        name: share_in(entry, n) if name in shares else Figure.from_json(entry)
        for name, entry in old.items()
    }


def _representation(old: Old | None) -> Representation | None:
    if old is None:
        return None
    pair, taller = old.get("pair"), old.get("taller")
    if pair is not None:
        pair = LatentPair(tuple(pair["dimensions"]), _by_name(pair["r2"]))
    if taller is not None:
        changes = {name: figure_in(taller[name]) for name in ("height", "width", "width_moved")}
        taller = TallerTins(asked=taller["asked"], **changes)
    trip = old.get("round_trip")
    return Representation(
        latent=old["latent"],
        round_trip=None if trip is None else figure_in(trip),
        features=_probe(old.get("features")),
        encoded=_probe(old.get("encoded")),
        pixels=_probe(old.get("pixels")),
        pair=pair,
        taller=taller,
    )


def _probe(old: Old | None) -> Probe | None:
    if old is None:
        return None
    accuracy = old.get("accuracy")
    return Probe(
        width=old["width"],
        accuracy=None if accuracy is None else share_in(accuracy),
        r2=_by_name(old.get("r2") or {}),
    )


def _by_name(old: Old) -> dict[str, Figure]:
    return {name: figure_in(entry) for name, entry in old.items()}


def _condition(old: Old | None) -> ClassFidelity | NumberFidelity | None:
    if old is None:
        return None
    if "exact" in old:
        return NumberFidelity(
            errors={name: figure_in(old[name]) for name in ("height", "width")},
            exact=share_in(old["exact"]),
            exact_real=share_in(old["judge"]),
        )
    each, classes = old.get("each"), old["per_class"]
    drawn = old["accuracy"].get("n")
    if drawn is None and each is not None:
        drawn = each * len(classes)
    guided = old.get("guided")
    if guided is not None:
        guided = Guided(
            guidance=guided["guidance"],
            accuracy=share_in(guided["accuracy"], drawn),
            coverage=_share(guided.get("coverage")),
            cas=_share(guided.get("cas")),
        )
    return ClassFidelity(
        accuracy=share_in(old["accuracy"], drawn),
        per_class={name: share_in(entry, each) for name, entry in classes.items()},
        classifier=share_in(old["judge"]),
        coverage=_share(old.get("coverage")),
        cas=_share(old.get("cas")),
        coverage_real=_share(old.get("coverage_real")),
        cas_real=_share(old.get("cas_real")),
        unconditional={name: share_in(e) for name, e in old.get("unconditional", {}).items()},
        each=each,
        guided=guided,
    )


def _share(old: Old | float | None) -> Figure | None:
    return None if old is None else share_in(old)


def _file(old: Old | None) -> AsFile | None:
    return None if old is None or "reason" in old else from_plain(AsFile, old)


def _provenance(old: Old) -> Provenance:
    machine = Machine(**(old.get("machine") or {}))
    versions = old.get("versions") or {}
    return Provenance(versions, machine, old.get("commit"), old.get("started_by"))


def migrate(path: Path) -> bool:
    """Rewrite a file; whether there was anything to do."""
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = content if isinstance(content, list) else [content]
    if not all(isinstance(row, dict) and "nats" in row and "family" in row for row in rows):
        return False
    if all(row.get("version") == VERSION for row in rows):
        return False
    new = [migrated(row).to_json() for row in rows]
    text = json.dumps(new if isinstance(content, list) else new[0], indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return True


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        if migrate(path):
            print(f"migrated {path.name}")
