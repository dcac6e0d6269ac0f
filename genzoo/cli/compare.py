"""``genzoo compare``: `genzoo.compare` with a screen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rich.progress
from rich.console import Console
from rich.padding import Padding
from rich.progress import TaskID
from rich.text import Text

from genzoo.benchmark.engines import ENGINES, named
from genzoo.benchmark.jobs import Observer, Outcome
from genzoo.benchmark.recipes import check_budget
from genzoo.cli.help import Parser, add_choice_of_recipe, add_data, console, known_model
from genzoo.cli.screen import bars, print_table
from genzoo.errors import InputError
from genzoo.families import names

if TYPE_CHECKING:
    from genzoo.benchmark.plan import Plan
    from genzoo.benchmark.scorecard import Scorecard


def compare(arguments: Sequence[str]) -> int:
    """Train, evaluate, print the tables; 1 if a run failed."""
    options = _options(arguments)
    screen = console()
    if options.pretrained:
        return _compare_pretrained(options, screen)
    listed = ", ".join(options.families)
    screen.print(f"Comparing {listed} on {options.data} ({options.budget} budget).")
    with screen.status("Loading torch and lightning"):
        from genzoo.benchmark import comparison
    with bars(screen) as progress:
        card = comparison.compare(
            options.families,
            options.data,
            seeds=options.seeds,
            budget=options.budget,
            minutes=options.minutes,
            recipe=options.recipe,
            conditional=options.conditional,
            out=options.out,
            engine=named(options.engine, options.jobs, options.address, options.cpus, options.gpus),
            precision=options.precision,
            compile=options.compile,
            accelerator=options.accelerator,
            devices=options.devices,
            nodes=options.nodes,
            strategy=options.strategy,
            observer=Bars(progress),
        )
    if card.rows:
        _print(card, screen)
    for name, sentence in card.failures.items():
        screen.print(Text.assemble((f"{name} failed:", "bold red"), f" {sentence}"))
    return 1 if card.failures else 0


def _compare_pretrained(options: Any, screen: Console) -> int:
    """The tables and the report of models that come trained."""
    screen.print(f"Comparing the models of {options.data} that come trained.")
    with screen.status("Loading torch and lightning"):
        from genzoo.pretrained import comparison
    all_there_are = options.families == list(names.TAXONOMY)
    with bars(screen) as progress:
        card = comparison.compare(
            options.data,
            () if all_there_are else options.families,
            options.out,
            Bars(progress),
        )
    _print(card, screen)
    return 0


def _options(arguments: Sequence[str]) -> Any:
    parser = Parser(
        "compare",
        "Trains families on the same data and sets them side by side. Run again, it goes on or "
        "reuses.",
    )
    add_data(parser)
    hybrids = f"vae+FAMILY, {' '.join(names.HYBRIDS)}"
    parser.add_argument(
        "--families",
        type=str,
        nargs="+",
        default=list(names.TAXONOMY),
        help=f"some of {' '.join(names.names())}, hybrids ({hybrids}), or your own class as "
        "module:Class",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="one run of each family for each"
    )
    add_choice_of_recipe(parser)
    parser.add_argument(
        "--minutes",
        type=float | None,
        default=None,
        help="train every family for so long, in place of the recipe's steps",
    )
    parser.add_argument(
        "--jobs", type=int, default=0, help="runs at a time; 0: as many as there are cores"
    )
    _add_engine(parser)
    _add_computing(parser)
    parser.add_argument(
        "--pretrained",
        action="store_true",
        help="train nothing: compare the models that come with genzoo",
    )
    parser.add_argument(
        "--out", type=str | None, default=None, help="folder; runs/DATA-BUDGET by default"
    )
    options = parser.parse(arguments)
    options.families = list(dict.fromkeys(known_model(family) for family in options.families))
    check_budget(options.budget)
    if options.jobs < 0:
        raise InputError(f"--jobs must be 0 or more, got {options.jobs}.")
    if options.minutes is not None and not options.minutes > 0:
        raise InputError(f"--minutes must be above 0, got {options.minutes}.")
    return options


def _add_engine(parser: Parser) -> None:
    """Add the options that choose an engine."""
    parser.add_argument(
        "--engine",
        type=str,
        default="local",
        help=f"where the runs take place: {' or '.join(ENGINES)} (a cluster)",
    )
    parser.add_argument(
        "--address",
        type=str | None,
        default=None,
        help="of a cluster of Ray, host:port; without it, ray starts one on this machine",
    )
    parser.add_argument("--cpus", type=int, default=1, help="of each run on ray")
    parser.add_argument(
        "--gpus",
        type=float | None,
        default=None,
        help="of each run on ray; 0.25 puts four on each; without it, one where there are some",
    )


def _add_computing(parser: Parser) -> None:
    """Add the options of how each model is trained, and on what."""
    parser.add_argument(
        "--precision",
        type=str | None,
        default=None,
        help="32, or bf16: networks train in 16 bits where the processor can",
    )
    parser.add_argument(
        "--compile",
        type=bool | None,
        default=None,
        help="true: translate networks first, which takes a minute",
    )
    parser.add_argument(
        "--accelerator", type=str | None, default=None, help="auto, cpu or cuda, for training"
    )
    parser.add_argument(
        "--devices", type=int | None, default=None, help="that share the training of each model"
    )
    parser.add_argument(
        "--nodes", type=int | None, default=None, help="machines, under torchrun or SLURM"
    )
    parser.add_argument(
        "--strategy",
        type=str | None,
        default=None,
        help="how devices share it: auto (DDP), fsdp, or a name of Lightning's",
    )


class Bars(Observer):
    """Shows a comparison: a bar for each run and for what is done once, remarks above them."""

    def __init__(self, progress: rich.progress.Progress):
        self.bars = progress
        self.screen = progress.console
        self.names: list[str] = []
        self.tasks: list[TaskID] = []
        self.stages: dict[str, TaskID] = {}

    def planned(self, plans: "Sequence[Plan]", finished: int) -> None:
        """Add a bar for each run."""
        if finished:
            self.remark(f"{finished} of {len(plans)} runs were finished before and are reused.")
        self.names = [plan.name for plan in plans]
        self.tasks = [
            self.bars.add_task(name, total=None, start=False, text="waiting") for name in self.names
        ]

    def progress(self, i: int, done: int, total: int, text: str) -> None:
        """Move the bar of a run."""
        self.bars.start_task(self.tasks[i])
        self.bars.update(self.tasks[i], completed=done, total=total, text=text)

    def note(self, i: int, text: str) -> None:
        """Print a line of a run above the bars."""
        self.remark(f"{self.names[i]}: {text}")

    def remark(self, text: str) -> None:
        """Print a line above the bars."""
        self.screen.print(text)

    def stage(self, name: str, done: int, total: int, text: str) -> None:
        """Move the bar of a stage that is common to all runs."""
        if name not in self.stages:
            self.stages[name] = self.bars.add_task(name, total=None, text="")
        self.bars.update(self.stages[name], completed=done, total=total, text=text)

    def outcome(self, i: int, outcome: Outcome) -> None:
        """Print the figure of a run beside its bar; a log file, which has none, gets a line."""
        row = outcome.row
        if row is None:
            self.bars.update(self.tasks[i], text="[red]failed[/]")
            if not self.screen.is_terminal:
                self.note(i, "failed")
            return
        figure = row.figure
        cost = row.cost
        assert cost is not None  # of a run, not of a baseline
        if not self.screen.is_terminal:
            result = figure.text() if figure.is_known else "done"
            self.note(i, f"{result}, trained for {cost.train_seconds:.0f} s")
        self.bars.update(
            self.tasks[i],
            completed=cost.steps,
            total=cost.steps,
            text=f"[bold]{figure.text()}[/]",
        )


def _print(card: "Scorecard", screen: Console) -> None:
    for i, table in enumerate(card.tables()):
        if i:
            screen.print(f"\n{table.title}", style="bold")
        print_table(table, screen)
    beside = "dim, for comparison: real data and closed-form baselines"
    screen.print(Padding(beside, (0, 2)), style="dim")
    pictures = ", ".join(picture.path.name for picture in card.page.pictures)
    folder = next(iter(card.page.logs.values())).parents[1]
    screen.print(f"\nWrote {folder}/report.html, with {pictures} and scorecard.json beside it.")
