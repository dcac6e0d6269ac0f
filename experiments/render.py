"""Rewrite the marked blocks of the README and of the docs from the records, so that no figure in them is typed by hand.

    python experiments/render.py

``<!-- table:NAME -->`` ... ``<!-- /table:NAME -->`` is filled from ``experiments/records/NAME.json``: the table, with the
closed-form baselines of its data (``DATA-baselines.json``, as `genzoo compare` writes them) in italics, and the pictures
``NAME.png`` (samples) and ``NAME-maps.png`` (where model and truth disagree), where these are there.

``<!-- decoders:NAME -->`` is filled from a record of ``experiments/mnist_decoders.py``.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genzoo.evaluation import scorecard

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "experiments" / "records"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^(<!-- (table|decoders):([\w-]+) -->\n).*?^(<!-- /\2:\3 -->)", re.DOTALL | re.MULTILINE)


def render(page: Path, records: Path = RECORDS) -> str:
    """The text of ``page`` with every block written anew; links in it are relative to the page."""
    away = Path(os.path.relpath(records, page.parent)).as_posix()
    text = page.read_text(encoding="utf-8")
    return BLOCK.sub(lambda block: f"{block[1]}{BODIES[block[2]](block[3], records, away)}{block[4]}", text)


def table(name: str, records: Path, away: str) -> str:
    """What stands in a block ``table:name``: pictures, table, and where they come from."""
    record = records / f"{name}.json"
    if not record.is_file():
        return "(no record yet)\n"
    rows = scorecard.read(record)
    data = ", ".join(sorted({row["data"] for row in rows}))
    pictures = {
        f"{name}.png": f"Samples of each family beside real {data}",
        f"{name}-maps.png": "For each model, samples where the truth has no mass, and test points it gives almost nothing",
    }
    shown = "".join(f"![{about}]({away}/{file})\n\n" for file, about in pictures.items() if (records / file).is_file())
    if (baselines := records / f"{rows[0]['data']}-baselines.json").is_file():
        rows += scorecard.read(baselines)
    source = f"\nTest split of *{data}*, baselines in italics; made by code from [`{name}.json`]({away}/{name}.json).\n"
    return shown + scorecard.markdown(rows) + source


def decoders(name: str, records: Path, away: str) -> str:
    """What stands in a block ``decoders:name``: one likelihood in three ways, of which one is none."""
    record = records / f"{name}.json"
    if not record.is_file():
        return "(no record yet)\n"
    rows: list[dict[str, Any]] = json.loads(record.read_text(encoding="utf-8"))
    lines = [
        "| model | nats by annealing | ± | gap | effective chains | Parzen | published | σ |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        ais, gap, parzen = row["ais"], row["bdmc_gap"], row["parzen"]
        lines.append(
            f"| **{row['model']}** | ≈ {ais['value']:.1f} | {ais['stderr']:.1f} | {gap['value']:.1f} | {ais['ess']:.1f} "
            f"| ({parzen['value']:.1f}) | {row['published']:.0f} | {row['sigma']:.3f} |"
        )
    first = rows[0]
    legend = (
        f"log p of an image in nats, more is better, on {first['data']}; ≈ annealed with {first['annealing']['levels']:,} levels "
        f"and {first['annealing']['chains']} chains for each of {first['ais']['events']} test images, a stochastic lower bound; "
        "±: standard error over images; gap: forward against reverse annealing on images that the model made; Parzen: in "
        f"brackets, for it is no likelihood, over {first['parzen']['samples']:,} samples; published: Wu et al. 2017."
    )
    return "\n".join(lines) + f"\n\n{legend}\n\nMade by code from [`{name}.json`]({away}/{name}.json).\n"


BODIES: dict[str, Callable[[str, Path, str], str]] = {"table": table, "decoders": decoders}

if __name__ == "__main__":
    for page in PAGES:
        if (text := render(page)) != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(f"rewrote {page.relative_to(ROOT)}")
