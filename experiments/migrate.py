"""Read stored rows anew under the rules of today, without training: run once over the records of
before.

    python experiments/migrate.py RECORD.json ...

What a row holds (errors, brackets of log Z, effective chains, numbers of events) decides what its
figure may be called:

* an energy model's figure becomes an interval between both ends of its bracket, or a dash with the
reason;
* a GAN's becomes what it is, a bound of the generator with its noise, on so many of the test
events;
* every figure says on how many events it was measured;
* what was measured on *digits* was so on its split by index, now the data set ``digits-index``.

A row that was read anew, or was made by the rules of today, is left as it is.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from genzoo.evaluation.figures import Figure
from genzoo.evaluation.likelihood.annealing import Estimate
from genzoo.evaluation.likelihood.partition import WIDEST_BITS, WIDEST_NATS, Interval
from genzoo.model import Likelihood

Row = dict[str, Any]
FLATTERS = "log Z lies between the two ends; not counted: a mode that no chain has met, which would flatter"
BLURRED = "never flatters, in expectation: it is a bound of the generator with that noise"


def migrated(rows: list[Row]) -> list[Row]:
    """All rows of a record, read anew."""
    known = [(row.get("evaluation") or {}).get("n") for row in rows]
    of = max((n for n in known if n is not None), default=None)
    return [row if row.get("protocol", 1) > 1 else _migrated(row, of) for row in rows]


def _migrated(row: Row, of: int | None) -> Row:
    details = dict(row.get("evaluation") or {})
    n = details.get("n")
    row = dict(row)
    if row["data"] == "digits":
        row["data"] = "digits-index"
    if not row.get("baseline"):
        row["protocol"] = 1
    for name in ("bits_per_dim", "nats", "gap_to_truth"):
        if row.get(name):
            row[name] = row[name] | ({} if n is None else {"n": n})
    if "log_z" in details and details["log_z"].get("ess") is not None:
        return _between(row, details)
    if details.get("sigma") is not None and row["nats"]["kind"] == "estimate":
        details |= {"of": of, "observation": f"noise {details['sigma']:.2f}"}
        row |= {"evaluation": details, "direction": BLURRED}
        for name in ("bits_per_dim", "nats", "gap_to_truth"):
            if row.get(name):
                row[name] = row[name] | {"kind": "bound"}
    return row


def _between(row: Row, details: dict[str, Any]) -> Row:
    """An energy model's row, its figure under both ends of log Z."""
    z = details["log_z"]
    interval = Interval(*(_estimate(z[end], z) for end in ("lower", "lower", "upper")))
    in_bits = bool(row["bits_per_dim"])
    nats_of_unit = row["nats"]["value"] / row["bits_per_dim"]["value"] if in_bits else 1.0
    reason = interval.doubt(WIDEST_BITS * nats_of_unit if in_bits else WIDEST_NATS)
    counted = max(z["lower"], z["upper"])
    low, high = interval.lower.item() - counted, interval.upper.item() - counted
    shared = min(z["stderr"], row["nats"]["stderr"])
    for name, unit in (
        ("bits_per_dim", nats_of_unit),
        ("nats", 1.0),
        ("gap_to_truth", nats_of_unit),
    ):
        entry = row.get(name)
        if not entry:
            continue
        if reason:
            row[name] = Figure.dash(reason, entry.get("n")).to_json()
            continue
        of_events = math.sqrt(max(0.0, entry["stderr"] ** 2 - (shared / unit) ** 2))
        ends = (entry["value"] + low / unit, entry["value"] + high / unit)
        row[name] = Figure(None, of_events, *ends, Likelihood.ESTIMATE, entry.get("n")).to_json()
    if reason and row.get("missed"):
        row["missed"] = None
    return row | {"direction": FLATTERS, "evaluation": details | {"reason": reason}}


def _estimate(value: float, z: dict[str, float]) -> Estimate:
    return Estimate(
        *(torch.tensor([number], dtype=torch.float64) for number in (value, z["stderr"], z["ess"]))
    )


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        before = json.loads(path.read_text(encoding="utf-8"))
        after = migrated(before)
        if after != before:
            path.write_text(json.dumps(after, indent=2, allow_nan=False) + "\n", encoding="utf-8")
            print(f"read {path.name} anew")
