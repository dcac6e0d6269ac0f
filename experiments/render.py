"""Rewrite the marked blocks of the README and of the docs from the records.

So no figure in them is typed by hand.

    python experiments/render.py

``<!-- table:NAME -->`` ... ``<!-- /table:NAME -->`` is filled from
``experiments/records/NAME.json``: its tables, with the closed-form baselines of its data
(``DATA-baselines.json``, as `genzoo compare` writes them) in italics, and the pictures ``NAME.png``
(samples), ``NAME-maps.png`` (where model and truth disagree), ``NAME-classes.png`` and
``NAME-guidance.png`` (of models with a condition), where these are there. ``short:NAME`` is the
samples and the first of these tables, for a first look; ``maps:NAME`` is the maps alone, and
``told:NAME`` the samples of told classes with one sentence.

``<!-- decoders:NAME -->`` is filled from a record of ``experiments/mnist_decoders.py``,
``<!-- machine:NAME -->`` from one of ``experiments/mnist_rbm.py``, and ``<!--
unclip:NAME -->``, ``<!-- sweeps:NAME -->``, ``<!-- abilities:NAME -->`` and ``<!-- imagined:NAME
-->`` (one picture and one sentence) from one of ``experiments/unclip.py``. ``<!-- bench:NAME -->``,
``<!-- races:all -->`` and ``<!-- growth:NAME -->`` are filled from records in
``experiments/records/bench/``, which the scripts in ``experiments/benchmarks/`` write.

A table whose record has not been made yet shows nothing, so a page may ask for one in advance.
"""

import json
import os
import re
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genzoo.benchmark import scorecard
from genzoo.benchmark.report.cells import digits_for, number, percent
from genzoo.benchmark.report.likelihood_table import Summary, duration
from genzoo.benchmark.report.tables import Line, Table, folded
from genzoo.benchmark.row import Row
from genzoo.evaluation.figures import Figure, share_of, share_with
from genzoo.evaluation.results import ClassFidelity

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "experiments" / "records"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
KINDS_OF_BLOCK = (
    "table|short|maps|told|decoders|machine|unclip|sweeps|abilities|imagined|bench|races|growth"
)
BLOCK = re.compile(
    rf"^(<!-- ({KINDS_OF_BLOCK}):([\w-]+) -->\n)"
    r".*?^(<!-- /\2:\3 -->)",
    re.DOTALL | re.MULTILINE,
)


NOTHING = "<!-- (no record yet) -->\n"


def render(page: Path, records: Path = RECORDS) -> str:
    """The text of ``page`` with every block written anew; links in it are relative to the page."""
    away = Path(os.path.relpath(records, page.parent)).as_posix()
    text = page.read_text(encoding="utf-8")
    return BLOCK.sub(
        lambda block: f"{block[1]}{BODIES[block[2]](block[3], records, away)}{block[4]}", text
    )


PICTURES = {
    "": "Samples of each family beside real {data}",
    "-maps": (
        "For each model, samples where the truth has no mass, "
        "and test points it gives almost nothing"
    ),
    "-classes": "Every class in turn, as each model draws it when it is asked to",
    "-guidance": "What guidance gains and what it costs",
}


def table(name: str, records: Path, away: str) -> str:
    """What stands in a block ``table:name``.

    Pictures, tables, and where they come from.
    """
    record = records / f"{name}.json"
    if not record.is_file():
        return NOTHING
    rows = _with_baselines(record)
    shown = "".join(_result_picture(name, kind, rows[0].data, records, away) for kind in PICTURES)
    tables = "\n".join(each.markdown() for each in scorecard.tables(rows))
    return f"{shown}{tables}\n{_split(name, rows[0].data, away)}"


# in one breath, below a first table
SIGNS = """\
**=** is the exact value. **≤** is a bound: the true value is at most this. **≈** is an estimate,
**low … high** one with a lower and an upper end. **±** is one standard error. Lower is better, but
only among rows with the same sign. *seeds*: the lowest and the highest of so many runs. *n*: test
images measured.
"""
FIRST = ("model", "±", "seeds", "n", "params", "training")  # columns for a first look


def short(name: str, records: Path, away: str) -> str:
    """What stands in a block ``short:name``: samples, and what a newcomer can read of the table."""
    record = records / f"{name}.json"
    if not record.is_file():
        return NOTHING
    rows = _with_baselines(record)
    whole = scorecard.tables(rows)[0]
    unit = whole.headers[1]
    kept = [i for i, header in enumerate(whole.headers) if header in (*FIRST, unit)]
    lines = [Line(tuple(line.cells[i] for i in kept), line.muted) for line in whole.lines]
    table = Table(whole.title, tuple(whole.headers[i] for i in kept), lines)
    picture = _result_picture(name, "", rows[0].data, records, away)
    return f"{picture}{table.markdown()}\n{SIGNS}\n{_split(name, rows[0].data, away)}"


def maps(name: str, records: Path, away: str) -> str:
    """What stands in a block ``maps:name``: the picture of where models and truth disagree."""
    return _result_picture(name, "-maps", "", records, away).rstrip("\n") + "\n"


def samples_told(name: str, records: Path, away: str) -> str:
    """What stands in a block ``told:name``: samples of told classes, and one sentence on them."""
    record = records / f"{name}.json"
    if not record.is_file():
        return NOTHING
    rows = scorecard.read(record)
    picture = _result_picture(name, "", rows[0].data, records, away)
    named = [_named(row) for row in rows if isinstance(row.condition, ClassFidelity)]
    sentence = (
        f"{rows[0].likelihood.unit}, time of training, and share of samples in which an "
        f"independent judge sees the class that was asked for: {'; '.join(named)}."
    )
    return f"{picture}{sentence} {_source(name, away)}"


def _named(row: Row) -> str:
    """ "Flow = 1.042, 34 min, 93 % [91–95]"."""
    assert isinstance(row.condition, ClassFidelity)
    parts = [f"{Summary.of([row]).name} {row.figure.text()}"]
    if row.cost is not None and row.cost.train_seconds is not None:
        parts.append(duration(row.cost.train_seconds))
    parts.append(percent(row.condition.accuracy))
    return ", ".join(parts)


def _with_baselines(record: Path) -> list[Row]:
    rows = scorecard.read(record)
    baselines = record.with_name(f"{rows[0].data}-baselines.json")
    return [*rows, *scorecard.read(baselines)] if baselines.is_file() else rows


def _result_picture(name: str, kind: str, data: str, records: Path, away: str) -> str:
    """The picture ``NAME-KIND.png`` of a record, where there is one."""
    if not (records / f"{name}{kind}.png").is_file():
        return ""
    return f"![{PICTURES[kind].format(data=data)}]({away}/{name}{kind}.png)\n\n"


def _split(name: str, data: str, away: str) -> str:
    return (
        f"Test split of *{data}*, baselines in italics; made by code from "
        f"[`{name}.json`]({away}/{name}.json).\n"
    )


def decoders(name: str, records: Path, away: str) -> str:
    """What stands in a block ``decoders:name``.

    One likelihood in three ways, of which one is none.
    """
    record = records / f"{name}.json"
    if not record.is_file():
        return NOTHING
    rows: list[dict[str, Any]] = json.loads(record.read_text(encoding="utf-8"))
    headers = (
        "model",
        "n",
        "nats by annealing",
        "±",
        "gap",
        "effective chains",
        "Parzen",
        "published",
        "σ",
    )
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
        f"nats: log p of an image, higher is better, on {first['data']}, under the decoder with "
        "Gaussian noise of σ around what it makes",
        f"≥: at least this in expectation, by annealing with {annealing['levels']:,} levels and "
        f"{annealing['chains']} chains for each of n test images",
        "±: standard error over these images; differences of less than two such errors say nothing",
        f"gap: forward against reverse annealing on {simulated} images that the model made; on "
        "real ones it may be wider",
        f"Parzen: in brackets because it is not a likelihood, over {first['parzen']['samples']:,} "
        "samples",
        "published: about, by Wu et al. 2017, with their own networks and ten times the levels",
    ]
    table = "\n".join(lines)
    return f"{table}\n\n{folded(told)}\n{_source(name, away)}"


KINDS = (
    "seen, one thing",
    "seen, two things",
    "held out, one thing",
    "held out, two things",
)  # of prompts
SWEPT = {
    "guidance, prior guidance": "of decoder and prior",
    "candidates": "embeddings drawn from the prior, of which the one nearest to the text's is kept",
    "steps": "of the decoder",
}
RIGHT = (
    "In every column the share of the attributes asked for that a parser reads off the pictures, "
    "then the share of pictures that "
    "show all of them, in %, in brackets the ends that hold 95 %"
)
FD = (
    "FD: Fréchet distance in CLIP's space to true pictures of the same prompts, whose own row is "
    "the floor"
)


def machine(name: str, records: Path, away: str) -> str:
    """What stands in a block ``machine:name``: a Boltzmann machine beside a published one."""
    record = records / f"{name}.json"
    if not record.is_file():
        return NOTHING
    found = json.loads(record.read_text(encoding="utf-8"))
    lines = [
        _line("split", "n", "nats", "±", "published"),
        _line("---", *["---:"] * 4),
    ]
    for split, published in (("validation", ""), ("test", f"{found['published']:.2f}")):
        ends = found[split]
        nats = f"≈ {ends['low']:.2f} … {ends['high']:.2f}"
        lines.append(_line(split, f"{ends['n']:,}", nats, f"{ends['stderr']:.2f}", published))
    runs = {
        "forward": "forward runs",
        "reverse": "reverse runs from data",
        "onward": "reverse runs from where these ended",
        "short": "many short runs",
    }
    of_log_z = ", ".join(
        f"{runs[run]} {value['value']:.2f} ± {value['stderr']:.2f}"
        for run, value in found["log_z"].items()
        if run in runs
    )
    minutes = (found["train_seconds"] + found["annealing_seconds"]) / 60
    effective = f"{found['log_z']['ess']:.0f} of {found['annealing']['chains']}"
    about = (
        f"Minus log p of an image, less is better; … : {found['direction']}; ±: standard error "
        f"over images; log Z by {of_log_z}; {effective} chains carry the weight; "
        f"{minutes:.0f} minutes of one core; seed {found['seed']}; "
        "published: Salakhutdinov & Murray 2008, table 1, CD25(500).\n\n"
    )
    return "\n".join(lines) + "\n\n" + about + _source(name, away)


def unclip(name: str, records: Path, away: str) -> str:
    """What stands in a block ``unclip:name``.

    Pictures, the prior's ablation, CLIP, the cost of training.
    """
    if (record := _unclip(name, records)) is None:
        return NOTHING
    rows = record["faithfulness"] | record.get("chance", {})
    lines = _ablation(rows)
    stages = "; ".join(map(stage_cost, record["stages"], record["stages"].values()))
    legend = [
        f"{RIGHT}; {record['n']:,} prompts a row, a quarter of each kind; held out: of "
        "combinations that no training picture "
        "shows",
        f"{FD}; ±: standard error by random halves{_unsure(rows)}",
    ]
    if "chance" in record:
        legend.append(
            "Unrelated true pictures, of the next prompt each, are chance: attributes have few "
            "values, and a picture shows many"
        )
    seen, unseen = (_of_clip(record["clip"][which]) for which in ("seen", "held out"))
    pool = record["clip"]["seen"]["retrieval"]["pool"]
    legend.append(
        f"CLIP finds the caption of a picture among {pool} in {seen[0]} of cases (held out "
        f"{unseen[0]}) and reads {seen[1]} of "
        f"attributes (held out {unseen[1]})"
    )
    legend.append(f"Minutes of training: {stages}")
    return (
        _picture(name, record, records, away)
        + f"{lines}\n\n{'. '.join(legend)}.\n\n{_source(name, away)}"
    )


def _ablation(rows: Mapping[str, Mapping[str, Any]], last: Mapping[str, str] | None = None) -> str:
    """A table of rows that measured prompts, one line each.

    ``last`` is a column of its own: its header under "", then cells.
    """
    more = [] if last is None else [last[""]]
    digits = digits_for(figure_in(row["fd"]) for row in rows.values())
    lines = [
        _line("from a caption by", *KINDS, "FD", *more),
        _line("---", *["---:"] * (len(KINDS) + 1 + len(more))),
    ]
    for way, row in rows.items():
        shares = [_right(row["prompts"][kind]) for kind in KINDS]
        end = [] if last is None else [last.get(way, "")]
        lines.append(_line(f"**{way}**", *shares, number(figure_in(row["fd"]), digits), *end))
    return "\n".join(lines)


def _right(row: Mapping[str, Any]) -> str:
    """``92 [91–94] / 69 [63–74]``: the share of attributes, then of whole pictures, in per cent."""
    return " / ".join(percent(share).replace(" %", "") for share in _shares(row))


def _shares(row: Mapping[str, Any]) -> tuple[Figure, Figure]:
    """Attributes and whole pictures.

    In old records the first is a number beside its error, the second a number.
    """
    attributes, whole, n = row["attributes"], row["whole"], row["n"]
    if isinstance(attributes, float):
        attributes = {"value": attributes, "stderr": row["stderr"]}
    return share_in(attributes, None if attributes["stderr"] else n), share_in(whole, n)


def _unsure(rows: Mapping[str, Mapping[str, Any]]) -> str:
    known = [figure_in(row["fd"]).stderr is not None for row in rows.values()]
    return "" if all(known) else ", where it was kept"


def _of_clip(row: Mapping[str, Any]) -> tuple[str, str]:
    """Shares of captions found and of attributes read."""
    retrieval = row["retrieval"]
    return percent(share_in(retrieval["text_of_image"], retrieval["n"])), percent(
        share_in(row["zero_shot"]["mean"])
    )


def stage_cost(stage: str, row: Mapping[str, Any]) -> str:
    """Minutes of one stage, and on how many threads, where the record says."""
    threads = f" (threads: {row['threads']})" if "threads" in row else ""
    return f"{stage.replace('_', ' ')} {row['seconds'] / 60:.1f}{threads}"


def sweeps(name: str, records: Path, away: str) -> str:
    """What stands in a block ``sweeps:name``: what guidance, re-ranking and steps change."""
    record = _unclip(name, records)
    if record is None or "sweeps" not in record:
        return NOTHING
    swept = record["sweeps"]
    rows: dict[str, dict[str, Any]] = swept["rows"]
    taken = {
        f"steps {steps}": f"{seconds:.1f}" for steps, seconds in record.get("seconds", {}).items()
    }
    if taken:
        default = f"steps {swept['defaults']['steps']}"
        taken |= {"as by default": taken.get(default, ""), "": "seconds for 16"}
    n = " or ".join(f"{n:,}" for n in sorted({row["n"] for row in rows.values()}))
    defaults = ", ".join(
        f"{name.replace('_', ' ')} {value:g}" for name, value in swept["defaults"].items()
    )
    told = [
        f"{n} prompts a row, other ones than those of the table above; by default: {defaults}",
        *(f"{setting}: {about}" for setting, about in SWEPT.items()),
        "in every column attributes, then whole pictures, as there",
        f"{FD}; ±: standard error by random halves; figures of another number of prompts do not "
        "compare",
        "all rows begin with the same noise, so they differ by less than their errors tell",
        *(["seconds on two cores"] if taken else []),
    ]
    return f"{_ablation(rows, taken or None)}\n\n{'; '.join(told)}.\n\n{_source(name, away)}"


ABILITIES = {  # of an unCLIP that are shown: the picture, and what it shows
    "variations": "Variations of four pictures, the originals on the left",
    "paths": "From one picture to another",
    "edits": "Edits by words, the originals on the left",
    "components": "Pictures rebuilt from more and more principal components of their embeddings",
}


def abilities(name: str, records: Path, away: str) -> str:
    """What stands in a block ``abilities:name``.

    Pictures made from pictures, and how far they are what they should be.
    """
    record = _unclip(name, records)
    if (
        record is None
        or not {"variations", "interpolation", "edits", "components"} <= record.keys()
    ):
        return NOTHING
    shown = "".join(
        f"![{about}]({away}/{name}-{part}.png)\n\n"
        for part, about in ABILITIES.items()
        if (records / f"{name}-{part}.png").is_file()
    )
    varied = record["variations"]["eta 1"]
    kept, _ = _shares(varied["kept"])
    changed = percent_of(figure_in(varied["difference_share"]))
    rebuilt = ", ".join(
        f"{percent(_shares(row)[0])} ({k})" for k, row in record["components"].items()
    )
    told = [
        f"Variations (η = 1) keep {percent(kept)} of a picture's attributes and change {changed} "
        "of what two pictures of the "
        "same attributes differ by",
        "Of the pictures on the way from one to another "
        f"{percent(_sensible(record['interpolation']))} are scenes",
        f"Rebuilt from their first components pictures keep {rebuilt} of their attributes",
    ]
    if words := record.get("captions"):
        grammatical = share_in(words["grammatical"], words["n"])
        new = share_in(words["new"], round(words["n"] * (grammatical.value or 0.0)))
        told.append(
            f"An autoregressive model of the captions alone writes {percent(grammatical)} of them "
            f"grammatically, {percent(new)} "
            "of these are new"
        )
    return (
        f"{shown}{_edits(record['edits'])}\n"
        + "".join(f"- {sentence}.\n" for sentence in told)
        + f"\n{_source(name, away)}"
    )


def percent_of(ratio: Figure) -> str:
    """``63 % ± 2``: a ratio that may exceed 1, with its standard error where that was kept."""
    assert ratio.value is not None
    error = "" if ratio.stderr is None else f" ± {100 * ratio.stderr:.0f}"
    return f"{100 * ratio.value:.0f} %{error}"


def _sensible(ways: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The share of scenes among pictures on ways from one to another.

    Ways are independent, the pictures on one are not.
    """
    shares = [figure_in(entry).value or 0.0 for row in ways.values() for entry in row["sensible"]]
    return share_of(sum(shares) / len(shares), sum(row["paths"] for row in ways.values()))


def _edits(ways: dict[str, dict[str, Any]]) -> str:
    """A table of what edits change and keep, one line for each way of making them."""
    attributes = next(iter(ways.values()))
    lines = [_line("edited by words", *attributes), _line("---", *["---:"] * len(attributes))]
    for way, rows in ways.items():
        lines.append(_line(f"**{way}**", *(percent(_shares(row)[1]) for row in rows.values())))
    legend = (
        "Share of pictures that show the new size, colour, ... and keep every other attribute, in "
        "brackets the ends that hold "
        f"95 %, {attributes['size']['n']} edits each; text diff: the paper's, by so much of the "
        "way; drawn anew: from the new "
        "caption, with the old picture's noise; in short: the captions name the thing and the "
        "attribute, and say nothing of what "
        "is kept."
    )
    return "\n".join(lines) + f"\n\n{legend}\n"


def imagined(name: str, records: Path, away: str) -> str:
    """What stands in a block ``imagined:name``.

    Pictures of captions, and how many of them show what was asked.
    """
    if (record := _unclip(name, records)) is None:
        return NOTHING
    shown = record["faithfulness"]["diffusion prior"]["prompts"]
    figures = ", ".join(f"{_right(shown[kind])} ({kind})" for kind in KINDS)
    told = (
        "Share of the attributes that a parser finds as the caption asks / share of pictures in "
        "which it finds all, in %, in "
        f"brackets the ends that hold 95 %: {figures}"
    )
    if "chance" in record:
        by_chance = record["chance"]["unrelated true pictures"]["prompts"]
        told += (
            f". Pictures of other captions: {', '.join(_right(by_chance[kind]) for kind in KINDS)}"
        )
    return f"{_picture(name, record, records, away)}{told}.\n"


def _unclip(name: str, records: Path) -> dict[str, Any] | None:
    """The record, or None as long as its main section is not measured."""
    path = records / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record if "faithfulness" in record else None


def _picture(name: str, record: dict[str, Any], records: Path, away: str) -> str:
    about = (
        "Pictures of eight captions, of which the first two name combinations that no training "
        "picture shows"
    )
    return f"![{about}]({away}/{name}.png)\n\n" if (records / f"{name}.png").is_file() else ""


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _source(name: str, away: str) -> str:
    return f"Made by code from [`{name}.json`]({away}/{name}.json).\n"


# ---------------------------------------------------- numbers of before `Figure` was their one form


def figure_in(entry: Mapping[str, Any] | float | None) -> Figure:
    """The number in an entry of a record, new or old, whatever else stands beside it there."""
    if isinstance(entry, int | float):
        return Figure(float(entry))
    names = ("value", "stderr", "low", "high", "n", "reason")
    known = {name: entry[name] for name in names if name in entry} if entry else None
    return Figure.from_json(known)


def share_in(entry: Mapping[str, Any] | float | None, n: int | None = None) -> Figure:
    """The share in an entry of a record, new or old.

    Args:
        entry: what `Figure.to_json` wrote; in old records {value, stderr}, or a bare number.
        n: on how many events an old share was measured.

    Returns:
        the share with the ends of its interval, if there is any way to know them.
    """
    if isinstance(entry, int | float):
        return Figure(float(entry)) if n is None else share_of(float(entry), n)
    figure = figure_in(entry)
    if figure.value is None or figure.low is not None:
        return figure
    if n is None and figure.stderr:
        n = max(1, round(figure.value * (1 - figure.value) / figure.stderr**2))
    return figure if n is None else share_with(figure.value, figure.stderr, n)


def bench(name: str, records: Path, away: str) -> str:
    """What stands in a block ``bench:name``: genzoo beside another library, lost rows included.

    It is filled from a record of one of ``experiments/benchmarks/*_*.py``, in ``records/bench/``.
    """
    record = records / "bench" / f"{name}.json"
    if not record.is_file():
        return NOTHING
    found = json.loads(record.read_text(encoding="utf-8"))
    peer = f"{found['peer']} {found['peer_version']}"
    lines = [_line("", "genzoo", peer, "times as fast"), _line("---", *["---:"] * 3)]
    for row in found["rows"]:
        unit = f", {row['unit']}" if row["unit"] else ""
        ours, theirs = _beside(row)
        ratio = row.get("ratio")
        faster = f"{ratio['middle']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})" if ratio else ""
        lines.append(_line(f"{row['task']}{unit}", ours, theirs, faster))
    turns = sorted({row["n"] for row in found["rows"] if "n" in row})
    told = [
        f"Equal: {'; '.join(found['equal'])}",
        f"Not equal: {'; '.join(found['unequal'])}",
    ]
    if turns:
        told.append(f"Turns: {' or '.join(map(str, turns))}")
    command = f"`python experiments/benchmarks/{found['script']}`"
    return (
        "\n".join(lines) + f"\n\n{'. '.join(told)}. {command}\n\n{_source(name, f'{away}/bench')}"
    )


def _beside(row: Mapping[str, Any]) -> tuple[str, str]:
    """Both figures of a row of a bench record, the better one in bold where one is better."""
    errors = row.get("errors")
    values = (row["ours"], row["theirs"])
    told = [_four_digits(value) for value in values]
    if errors:
        told = [f"{value:.3f} ± {error:.3f}" for value, error in zip(values, errors, strict=True)]
    winner = _winner(row)
    return tuple(f"**{each}**" if i == winner else each for i, each in enumerate(told))  # type: ignore[return-value]


def _winner(row: Mapping[str, Any]) -> int | None:
    """0 where genzoo's figure is the better one, 1 where the other's is; None: neither for sure."""
    if ratio := row.get("ratio"):
        return 0 if ratio["low"] > 1 else 1 if ratio["high"] < 1 else None
    gap = row["theirs"] - row["ours"] if row["better"] == "less" else row["ours"] - row["theirs"]
    sure = 2 * sum(error**2 for error in row.get("errors", ())) ** 0.5
    if row["better"] == "equal" or abs(gap) <= sure:
        return None
    return 0 if gap > 0 else 1


def _four_digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def races(name: str, records: Path, away: str) -> str:
    """What stands in a block ``races:all``: the middle of all ratios, and who is ahead where."""
    known = [
        json.loads(path.read_text("utf-8")) for path in sorted((records / "bench").glob("*.json"))
    ]
    rows = [(found["peer"], row) for found in known for row in found.get("rows", ())]
    ratios = [row["ratio"]["middle"] for _, row in rows if "ratio" in row]
    if not ratios:
        return NOTHING
    ahead = [f"{peer} ({row['task']})" for peer, row in rows if _winner(row) == 1]
    contested = sum(row.get("better") != "equal" for _, row in rows)
    won = sum(_winner(row) == 0 for _, row in rows)
    told = [
        f"Of {contested} rows that can be won genzoo is ahead in {won}",
        f"the median of the {len(ratios)} ratios of time is {statistics.median(ratios):.2f}",
        f"another library is ahead in {len(ahead)}" + (f": {'; '.join(ahead)}" if ahead else ""),
    ]
    return f"{'; '.join(told)}.\n"


COSTS = {
    "step_ms": "step, ms",
    "sample_ms": "sample, ms",
    "step_mib": "step, MiB",
    "sample_mib": "sample, MiB",
}


def growth(name: str, records: Path, away: str) -> str:
    """What stands in a block ``growth:name``, from a record of ``experiments/benchmarks/cost.py``.

    The picture, and the costs at the largest side, with exponents.
    """
    record = records / "bench" / f"{name}.json"
    if not record.is_file():
        return NOTHING
    found = json.loads(record.read_text(encoding="utf-8"))
    side = max(next(iter(found["sides"].values())), key=int)
    events = [f"{int(n):,}" for n in next(iter(found["events"].values()))]
    lines = [
        _line(f"{side}x{side}", *COSTS.values(), "step by events"),
        _line("---", *["---:"] * 5),
    ]
    for family, sides in found["sides"].items():
        powers = found["exponents"]["sides"][family]
        cells = [f"{_four_digits(sides[side][cost])} ({powers[cost]:z.2f})" for cost in COSTS]
        by_events = found["exponents"]["events"][family]["step_ms"]
        lines.append(_line(f"**{family}**", *cells, f"({by_events:z.2f})"))
    told = [
        "In brackets the exponent: in pixels from 16x16 up, in the last column in training events "
        f"({events[0]} to {events[-1]}, of 8x8)",
        f"Milliseconds are of an image, in batches of {found['batch']}, networks {found['width']} "
        f"wide; energy, diffusion and flow matching make a sample in {found['moves']} moves here",
        "MiB: the most that was held beyond a process with nothing but the imports; what training "
        "loads at its first step is in it, a constant that keeps these exponents below 1",
    ]
    command = f"`python experiments/benchmarks/{found['script']}`"
    picture = f"![Cost of each family over the side of an image]({away}/bench/{name}.png)\n\n"
    return (
        picture
        + "\n".join(lines)
        + f"\n\n{'. '.join(told)}. {command}\n\n{_source(name, f'{away}/bench')}"
    )


BODIES: dict[str, Callable[[str, Path, str], str]] = {
    "table": table,
    "short": short,
    "maps": maps,
    "told": samples_told,
    "decoders": decoders,
    "machine": machine,
    "unclip": unclip,
    "sweeps": sweeps,
    "abilities": abilities,
    "imagined": imagined,
    "bench": bench,
    "races": races,
    "growth": growth,
}

if __name__ == "__main__":
    for page in PAGES:
        if (text := render(page)) != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(f"rewrote {page.relative_to(ROOT)}")
