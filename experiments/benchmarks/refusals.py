"""How made-up input ends, by kind: counted by ``tests/test_fuzz.py``, kept as a record.

    python experiments/benchmarks/refusals.py

Writes ``experiments/records/refusals.json``, from which the table of docs/reliability.md is made.
About a minute of one core. A case that ends in a traceback, takes too long or too much memory
fails its test, and then no record is written.
"""

import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from dataclasses import asdict
from pathlib import Path

from genzoo.benchmark.provenance import provenance
from genzoo.files import whole

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "experiments" / "records" / "refusals.json"


def counted(report: Path) -> dict[str, dict[str, int]]:
    """For each test that tells how its cases ended: the end, and how often."""
    found = {}
    for test in xml.parse(report).iter("testcase"):
        ends = {each.attrib["name"]: int(each.attrib["value"]) for each in test.iter("property")}
        if ends:
            found[test.attrib["name"].removeprefix("test_")] = ends
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = [str(ROOT / "tests" / "test_fuzz.py"), "-n", "0", "-q"]
        # the form that has properties
        junit = [
            "-o",
            "junit_family=xunit1",
            f"--junitxml={report}",
        ]
        subprocess.run([sys.executable, "-m", "pytest", *tests, *junit], check=True, cwd=ROOT)
        found = counted(report)
    record = {"tests": found, "provenance": asdict(provenance())}
    with whole(RECORD) as draft:
        draft.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{sum(sum(ends.values()) for ends in found.values()):,} cases in {RECORD.name}")


if __name__ == "__main__":
    main()
