"""``genzoo compare``: several families and seeds on the same data, to one table, one picture and
one page.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import Progress
from rich.text import Text

from genzoo.benchmark.pool import Outcome, cores, run_all
from genzoo.benchmark.recipes import check_budget
from genzoo.cli.help import (
    Parser,
    add_choice_of_recipe,
    add_data,
    console,
    family_names,
    known_model,
)
from genzoo.cli.screen import bar, bars, print_table
from genzoo.errors import InputError
from genzoo.progress import Report

if TYPE_CHECKING:
    from genzoo.benchmark.plan import Plan


def compare(arguments: Sequence[str]) -> int:
    """Train, evaluate, print the table; write scorecard.json, samples.png and report.html. 1 if a
    run failed.
    """
    options = _options(arguments)
    families, out = (
        options.families,
        Path(options.out or f"runs/{Path(options.data).resolve().stem}-{options.budget}"),
    )
    screen = console()
    about = (
        f"Comparing {', '.join(families)} on {options.data} ({options.budget} budget), into {out}."
    )
    screen.print(about)
    with screen.status("Loading torch, lightning and the data"):
        from genzoo.benchmark import plan as planning
        from genzoo.benchmark import run as runs
        from genzoo.data import load as load_data
        from genzoo.files import discard_drafts

        data = load_data(options.data)
        plans = [
            planning.plan(
                family, options.data, seed, options.budget, options.conditional, options.recipe
            )
            for family in families
            for seed in options.seeds
        ]
        out.mkdir(parents=True, exist_ok=True)
        discard_drafts(out)
        done = sum(runs.finished(plan, out / plan.name) is not None for plan in plans)
    if done:
        screen.print(f"{done} of {len(plans)} runs were finished before and are reused.")
    outcomes = _train(plans, out, options.jobs or cores(), screen)
    failures = {plan.name: o.failure for plan, o in zip(plans, outcomes, strict=True) if o.failure}
    finished = [plan for plan, outcome in zip(plans, outcomes, strict=True) if outcome.row]
    if more := runs.others(out, plans):
        screen.print(
            f"The scorecard also holds what {out} has from before: {', '.join(p.name for p in more)}."
        )
        _appraise(more, out, data, screen)
    if finished := sorted(finished + more, key=_place):
        rows = []
        with bar(screen, "Timing samples") as report:
            for i, plan in enumerate(finished):
                report(i, len(finished), plan.name)
                rows.append(runs.time_samples(out / plan.name))
            report(len(finished), len(finished), "")
        with bar(screen, "Tables, pictures") as report:
            everything, pictures = _write(
                rows, finished, out, data, failures, _command(arguments), report
            )
        _print(everything, pictures, out, screen)
    for name, sentence in failures.items():
        screen.print(Text.assemble((f"{name} failed:", "bold red"), f" {sentence}"))
    return 1 if failures else 0


def _place(plan: "Plan") -> tuple[int, int]:
    """Families in the order they are registered in, then hybrids, then seeds."""
    families = family_names()
    family, _, prior = plan.family.lower().partition("+")
    place = len(families) + families.index(prior) if prior else [*families, family].index(family)
    return place, plan.seed


def _options(arguments: Sequence[str]) -> Any:
    names = family_names()
    parser = Parser(
        "compare",
        "Trains families on the same data and sets them side by side. Run again, it goes on or reuses.",
    )
    add_data(parser)
    parser.add_argument(
        "--families",
        type=str,
        nargs="+",
        default=family_names("TAXONOMY"),
        help=f"some of {' '.join(names)}, or hybrids: vae+FAMILY, {' '.join(family_names('HYBRIDS'))}",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="one run of each family for each"
    )
    add_choice_of_recipe(parser)
    parser.add_argument(
        "--jobs", type=int, default=0, help="runs at a time; 0: as many as there are cores"
    )
    parser.add_argument(
        "--out", type=str | None, default=None, help="folder; runs/DATA-BUDGET by default"
    )
    options = parser.parse(arguments)
    options.families = list(dict.fromkeys(known_model(family) for family in options.families))
    options.seeds = list(dict.fromkeys(options.seeds))
    check_budget(options.budget)
    if options.jobs < 0:
        raise InputError(f"--jobs must be 0 or more, got {options.jobs}.")
    return options


def _train(plans: Sequence["Plan"], out: Path, jobs: int, screen: Console) -> list[Outcome]:
    with bars(screen) as progress:
        return run_all(plans, out, jobs, Bars(progress, [plan.name for plan in plans]))


def _appraise(plans: Sequence["Plan"], out: Path, data: Any, screen: Console) -> None:
    """Let the runs that were not executed now have every measure of those that were."""
    from genzoo.benchmark import run as runs

    with bars(screen) as progress:
        for plan in plans:
            task = progress.add_task(
                plan.name, total=None, text="", visible=False
            )  # until there is something to do

            def show(done: int, total: int, text: str, task=task) -> None:
                progress.update(task, completed=done, total=total, text=text, visible=True)

            runs.appraise(out / plan.name, data, show)


class Bars:
    """Shows what happens to the runs: a bar for each, and their remarks above the bars."""

    def __init__(self, progress: Progress, names: Sequence[str]):
        self.bars, self.names = progress, names
        self.tasks = [
            progress.add_task(name, total=None, start=False, text="waiting") for name in names
        ]

    def progress(self, i: int, done: int, total: int, text: str) -> None:
        self.bars.start_task(self.tasks[i])
        self.bars.update(self.tasks[i], completed=done, total=total, text=text)

    def note(self, i: int, text: str) -> None:
        self.bars.console.print(f"{self.names[i]}: {text}")

    def outcome(self, i: int, outcome: Outcome) -> None:
        if outcome.row is None:
            self.bars.update(self.tasks[i], text="[red]failed[/]")
            if not self.bars.console.is_terminal:
                self.note(i, "failed")
            return
        from genzoo.benchmark.scorecard import summarise

        (summary,) = summarise([outcome.row])
        if not self.bars.console.is_terminal:  # a log file shows no bars
            seconds = outcome.row["train_seconds"]
            said = summary.figure.text() if summary.figure.is_known else "done"
            self.note(i, f"{said}, trained for {seconds:.0f} s")
        steps = outcome.row["steps"]
        self.bars.update(
            self.tasks[i], completed=steps, total=steps, text=f"[bold]{summary.figure.text()}[/]"
        )


def _write(
    rows: list[dict],
    plans: Sequence["Plan"],
    out: Path,
    data: Any,
    failures: dict[str, str],
    command: str,
    report: Report,
) -> tuple[list[dict], list[str]]:
    """scorecard.json, baselines.json, report.html and the gallery; returns all rows and the names
    of the pictures.
    """
    from genzoo.benchmark import scorecard
    from genzoo.benchmark.report.gallery import Show, gallery
    from genzoo.benchmark.report.page import write_report

    report(0, 1, "Baselines")
    baselines = scorecard.baseline_rows(data, plans[0].budget)
    scorecard.write(rows, out / "scorecard.json")
    scorecard.write(baselines, out / "baselines.json")
    folders: dict[str, Path] = {}
    for plan in plans:
        folders.setdefault(plan.family, out / plan.name)  # of each family its first seed
    plates = gallery(out, Show(folders, rows, data, plans[0].budget), report)
    write_report(
        out / "report.html",
        rows + baselines,
        title=f"Generative models of {data.name}, side by side",
        about=f"{data.about.capitalize()}. Source: {data.source}." if data.about else "",
        command=command,
        plates=plates,
        logs={plan.name: out / plan.name / "log.csv" for plan in plans},
        failures=failures,
    )
    return rows + baselines, [plate.path.name for plate in plates]


def _print(rows: list[dict], pictures: Sequence[str], out: Path, screen: Console) -> None:
    from genzoo.benchmark.scorecard import tables

    for i, table in enumerate(tables(rows)):
        if i:
            screen.print(f"\n{table.title}", style="bold")
        print_table(table, screen)
    screen.print(
        Padding("dim: what there is to compare with, real data and closed-form baselines", (0, 2)),
        style="dim",
    )
    screen.print(
        f"\nWrote {out}/report.html, with {', '.join(pictures)} and scorecard.json beside it."
    )


def _command(arguments: Sequence[str]) -> str:
    return " ".join(["genzoo", "compare", *map(shlex.quote, arguments)])
