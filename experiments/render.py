"""Rewrite the marked blocks of the README and of the docs from the records, so that no figure in them is typed by hand.

    python experiments/render.py

``<!-- table:NAME -->`` ... ``<!-- /table:NAME -->`` is filled from ``experiments/records/NAME.json``: its tables, with the
closed-form baselines of its data (``DATA-baselines.json``, as `genzoo compare` writes them) in italics, and the pictures
``NAME.png`` (samples), ``NAME-maps.png`` (where model and truth disagree), ``NAME-classes.png`` and ``NAME-guidance.png`` (of
models with a condition), where these are there. ``likelihoods:NAME`` is the first of these tables alone.

``<!-- decoders:NAME -->`` is filled from a record of ``experiments/mnist_decoders.py``, and ``<!-- unclip:NAME -->``,
``<!-- sweeps:NAME -->``, ``<!-- abilities:NAME -->`` and ``<!-- imagined:NAME -->`` (one picture and one sentence) from one of
``experiments/unclip.py``.

A table whose record has not been made yet shows nothing, so a page may ask for one in advance.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from genzoo.evaluation import scorecard

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "experiments" / "records"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(
    r"^(<!-- (table|likelihoods|decoders|unclip|sweeps|abilities|imagined):([\w-]+) -->\n).*?^(<!-- /\2:\3 -->)",
    re.DOTALL | re.MULTILINE,
)


NOTHING = "<!-- (no record yet) -->\n"


def render(page: Path, records: Path = RECORDS) -> str:
    """The text of ``page`` with every block written anew; links in it are relative to the page."""
    away = Path(os.path.relpath(records, page.parent)).as_posix()
    text = page.read_text(encoding="utf-8")
    return BLOCK.sub(lambda block: f"{block[1]}{BODIES[block[2]](block[3], records, away)}{block[4]}", text)


def table(name: str, records: Path, away: str, most: int | None = None) -> str:
    """What stands in a block ``table:name``: pictures, tables (at ``most`` so many), and where they come from."""
    record = records / f"{name}.json"
    if not record.is_file():
        return NOTHING
    rows = scorecard.read(record)
    data = ", ".join(sorted({row["data"] for row in rows}))
    pictures = {
        f"{name}.png": f"Samples of each family beside real {data}",
        f"{name}-maps.png": "For each model, samples where the truth has no mass, and test points it gives almost nothing",
        f"{name}-classes.png": "Every class in turn, as each model draws it when it is asked to",
        f"{name}-guidance.png": "What guidance gains and what it costs",
    }
    shown = "".join(f"![{about}]({away}/{file})\n\n" for file, about in pictures.items() if (records / file).is_file())
    if (baselines := records / f"{rows[0]['data']}-baselines.json").is_file():
        rows += scorecard.read(baselines)
    source = f"\nTest split of *{data}*, baselines in italics; made by code from [`{name}.json`]({away}/{name}.json).\n"
    tables = scorecard.tables(rows)[:most]
    return shown + "\n".join(each.markdown() for each in tables) + source


def decoders(name: str, records: Path, away: str) -> str:
    """What stands in a block ``decoders:name``: one likelihood in three ways, of which one is none."""
    record = records / f"{name}.json"
    if not record.is_file():
        return NOTHING
    rows: list[dict[str, Any]] = json.loads(record.read_text(encoding="utf-8"))
    headers = ("model", "n", "nats by annealing", "±", "gap", "effective chains", "Parzen", "published", "σ")
    lines = [_line(*headers), _line("---", *["---:"] * (len(headers) - 1))]
    for row in rows:
        ais, gap = row["ais"], row["bdmc_gap"]
        lines.append(
            _line(
                f"**{row['model']}**",
                str(ais["events"]),
                f"≥ {ais['value']:.1f}",
                f"{ais['stderr']:.1f}",
                f"{gap['value']:.1f} ± {gap['stderr']:.1f}",
                f"{ais['ess']:.1f}",
                f"({row['parzen']['value']:.1f})",
                f"{row['published']:.0f}",
                f"{row['sigma']:.3f}",
            )
        )
    first = rows[0]
    annealing = first["annealing"]
    simulated = " or ".join(map(str, sorted({row["bdmc_gap"]["events"] for row in rows})))
    told = [
        f"log p of an image in nats, more is better, on {first['data']}, under the decoder with Gaussian noise of "
        "σ around what it makes",
        f"≥: at least this in expectation, by annealing with {annealing['levels']:,} levels and "
        f"{annealing['chains']} chains for each of n test images",
        "±: standard error over these images, so that differences of less than two such errors say nothing",
        f"gap: forward against reverse annealing on {simulated} images that the model made; of real ones it may be wider",
        f"Parzen: in brackets, for it is no likelihood, over {first['parzen']['samples']:,} samples",
        "published: Wu et al. 2017, about, with networks of their own and ten times the levels",
    ]
    return "\n".join(lines) + f"\n\n{'; '.join(told)}.\n\n{_source(name, away)}"


KINDS = ("seen, one thing", "seen, two things", "held out, one thing", "held out, two things")  # of prompts
SWEEPS = {
    "guidance": "guidance of decoder and prior",
    "candidates": "embeddings drawn from the prior, of which the one nearest to the text's is kept",
    "steps": "steps of the decoder",
}


def unclip(name: str, records: Path, away: str) -> str:
    """What stands in a block ``unclip:name``: pictures, the prior's ablation, CLIP, the cost of training."""
    if (record := _unclip(name, records)) is None:
        return NOTHING
    lines = [_line("from a caption by", *KINDS, "FD"), _line("---", *["---:"] * (len(KINDS) + 1))]
    for way, row in record["faithfulness"].items():
        lines.append(_line(f"**{way}**", *_attributes(row), f"{row['fd']:.3f}"))
    stages = "; ".join(map(stage_cost, record["stages"], record["stages"].values()))
    seen, unseen = record["clip"]["seen"], record["clip"]["held out"]
    legend = (
        f"Share of the attributes asked for that a parser reads off the pictures, in % ± standard error, {record['n']:,} prompts "
        "a row, a quarter of each kind; held out: of combinations that no training picture shows; FD: Fréchet distance in CLIP's "
        "space to true pictures of the same prompts, whose own row is the floor. CLIP finds the caption of a picture among "
        f"{seen['retrieval']['pool']} in {seen['retrieval']['text_of_image']:.1%} of cases (held out "
        f"{unseen['retrieval']['text_of_image']:.1%}) and reads {seen['zero_shot']['mean']:.1%} of attributes (held out "
        f"{unseen['zero_shot']['mean']:.1%}). Minutes of training: {stages}."
    )
    return _picture(name, record, records, away) + "\n".join(lines) + f"\n\n{legend}\n\n{_source(name, away)}"


def stage_cost(stage: str, row: Mapping[str, Any]) -> str:
    """Minutes of one stage, and on how many threads, where the record says."""
    threads = f" (threads: {row['threads']})" if "threads" in row else ""
    return f"{stage.replace('_', ' ')} {row['seconds'] / 60:.1f}{threads}"


def sweeps(name: str, records: Path, away: str) -> str:
    """What stands in a block ``sweeps:name``: what guidance, re-ranking and steps change."""
    record = _unclip(name, records)
    if record is None or not any(sweep in record for sweep in SWEEPS):
        return NOTHING
    rows = {
        setting if sweep == "guidance" else f"{sweep} {setting}": row
        for sweep in SWEEPS
        for setting, row in record.get(sweep, {}).items()
    }
    timed = any("seconds" in row for row in rows.values())
    last = ["seconds for 16"] if timed else []
    lines = [_line("setting", *KINDS, "FD", *last), _line("---", *["---:"] * (len(KINDS) + 1 + len(last)))]
    for setting, row in rows.items():
        seconds = [f"{row['seconds']:.1f}" if "seconds" in row else ""] if timed else []
        lines.append(_line(setting, *_attributes(row), f"{row['fd']:.3f}", *seconds))
    defaults = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in record["defaults"].items())
    prompts = " or ".join(f"{n:,}" for n in sorted({row["n"] for row in rows.values()}))
    told = [f"{prompts} prompts a row; where nothing else is said: {defaults}"]
    told += [f"{sweep}: {about}" for sweep, about in SWEEPS.items() if sweep in record]
    told += ["seconds on two cores"] if timed else []
    return "\n".join(lines) + f"\n\n{'; '.join(told)}.\n\n{_source(name, away)}"


ABILITIES = {  # of an unCLIP that are shown: the picture, and what it shows
    "variations": "Variations of four pictures, the originals on the left",
    "paths": "From one picture to another",
    "edits": "Edits by words, the originals on the left",
    "components": "Pictures rebuilt from more and more principal components of their embeddings",
}


def abilities(name: str, records: Path, away: str) -> str:
    """What stands in a block ``abilities:name``: pictures made from pictures, and how far they are what they should be."""
    record = _unclip(name, records)
    if record is None or not {"variations", "interpolation", "edits", "components"} <= record.keys():
        return NOTHING
    shown = "".join(
        f"![{about}]({away}/{name}-{part}.png)\n\n"
        for part, about in ABILITIES.items()
        if (records / f"{name}-{part}.png").is_file()
    )
    varied = record["variations"]["eta 1"]
    sensible = [share for row in record["interpolation"].values() for share in row["sensible"]]
    told = [
        f"Variations (η = 1) keep {varied['kept']['attributes']:.1%} of a picture's attributes and change "
        f"{varied['difference_share']:.0%} of what two pictures of the same attributes differ by",
        f"Of the pictures on the way from one to another {sum(sensible) / len(sensible):.0%} are scenes",
        "Rebuilt from their first components pictures keep "
        + ", ".join(f"{row['attributes']:.0%} ({k})" for k, row in record["components"].items())
        + " of their attributes",
    ]
    if words := record.get("captions"):
        told.append(
            f"An autoregressive model of the captions alone writes {words['grammatical']:.1%} of them grammatically, "
            f"{words['new']:.0%} of these are new"
        )
    return (
        f"{shown}{_edits(record['edits'])}\n"
        + "".join(f"- {sentence}.\n" for sentence in told)
        + f"\n{_source(name, away)}"
    )


def _edits(ways: dict[str, dict[str, Any]]) -> str:
    """A table of what edits change and keep, one line for each way of making them."""
    attributes = next(iter(ways.values()))
    lines = [_line("edited by words", *attributes), _line("---", *["---:"] * len(attributes))]
    lines += [_line(f"**{way}**", *(f"{row['whole']:.0%}" for row in rows.values())) for way, rows in ways.items()]
    legend = (
        "Share of pictures that show the new size, colour, ... and keep every other attribute, "
        f"{attributes['size']['n']} edits each; text diff: the paper's, by so much of the way; drawn anew: from the new caption, "
        "with the old picture's noise; in short: the captions name the thing and the attribute, and say nothing of what is kept."
    )
    return "\n".join(lines) + f"\n\n{legend}\n"


def imagined(name: str, records: Path, away: str) -> str:
    """What stands in a block ``imagined:name``: pictures of captions, and how many of them show what was asked."""
    if (record := _unclip(name, records)) is None:
        return NOTHING
    shown = record["faithfulness"]["diffusion prior"]["prompts"]
    figures = ", ".join(f"{shown[kind]['attributes']:.1%} ({kind})" for kind in KINDS)
    return f"{_picture(name, record, records, away)}Attributes that a parser finds as the caption asks: {figures}.\n"


def _unclip(name: str, records: Path) -> dict[str, Any] | None:
    """The record, or None as long as its main section is not measured."""
    path = records / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record if "faithfulness" in record else None


def _attributes(row: dict[str, Any]) -> list[str]:
    found = [row["prompts"][kind] for kind in KINDS]
    return [f"{100 * kind['attributes']:.1f} ± {100 * kind['stderr']:.1f}" for kind in found]


def _picture(name: str, record: dict[str, Any], records: Path, away: str) -> str:
    about = "Pictures of eight captions, of which the first two name combinations that no training picture shows"
    return f"![{about}]({away}/{name}.png)\n\n" if (records / f"{name}.png").is_file() else ""


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _source(name: str, away: str) -> str:
    return f"Made by code from [`{name}.json`]({away}/{name}.json).\n"


BODIES: dict[str, Callable[[str, Path, str], str]] = {
    "table": table, "likelihoods": partial(table, most=1), "decoders": decoders,
    "unclip": unclip, "sweeps": sweeps, "abilities": abilities, "imagined": imagined,
}  # fmt: skip

if __name__ == "__main__":
    for page in PAGES:
        if (text := render(page)) != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(f"rewrote {page.relative_to(ROOT)}")
