"""Rewrite the README's marked blocks from the records, so that no figure in it is typed by hand.

    python experiments/render_readme.py

A block ``<!-- table:NAME -->`` ... ``<!-- /table:NAME -->`` is filled from ``experiments/records/NAME.json``: the table,
with the closed-form baselines of its data (``DATA-baselines.json``, as `genzoo compare` writes them) in italics, and the
picture ``NAME.png``, where these are there.
"""

import re
from pathlib import Path

from genzoo.evaluation import scorecard

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RECORDS = ROOT / "experiments" / "records"
BLOCK = re.compile(r"(<!-- table:([\w-]+) -->\n).*?(<!-- /table:\2 -->)", re.DOTALL)


def render(text: str, records: Path = RECORDS) -> str:
    """``text`` with every block written anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{body(block[2], records)}{block[3]}", text)


def body(name: str, records: Path = RECORDS) -> str:
    """What stands in the block ``name``: picture, table, and where they come from."""
    record = records / f"{name}.json"
    if not record.is_file():
        return "(no record yet)\n"
    rows = scorecard.read(record)
    data = ", ".join(sorted({row["data"] for row in rows}))
    picture = f"![Samples of each family beside real {data}](experiments/records/{name}.png)\n\n"
    if (baselines := records / f"{rows[0]['data']}-baselines.json").is_file():
        rows += scorecard.read(baselines)
    link = f"[`{name}.json`](experiments/records/{name}.json)"
    source = f"\nTest split of *{data}*, baselines in italics; made by code from {link}.\n"
    return (picture if record.with_suffix(".png").is_file() else "") + scorecard.markdown(rows) + source


if __name__ == "__main__":
    README.write_text(render(README.read_text(encoding="utf-8")), encoding="utf-8")
