"""``genzoo train unclip``.

CLIP, priors and decoder, stage by stage, and how faithful the pictures of the whole are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table

from genzoo.cli.help import Parser, console
from genzoo.cli.screen import bars
from genzoo.errors import InputError

if TYPE_CHECKING:
    from genzoo.unclip import UnCLIP
    from genzoo.unclip.measures import Accuracy

MOST = 1_000_000  # pictures, which are all in memory, or prompts
STAGES = ("clip", "prior", "autoregressive", "decoder", "text_decoder")


def train(arguments: Sequence[str]) -> int:
    """Train every stage that is not finished, measure the whole, and say where it is."""
    options = _options(arguments)
    out = Path(options.out)
    screen = console()
    screen.print(f"Training unCLIP in {out}, stage by stage: loading torch and lightning …")
    from genzoo.unclip.training import train_unclip

    counts = {stage: options[f"{stage}_steps"] for stage in STAGES}
    steps = {stage: count for stage, count in counts.items() if count is not None}
    with bars(screen) as progress:
        tasks: dict[str, Any] = {}

        def show(done: int, total: int, text: str) -> None:
            stage, _, figures = text.partition("  ")
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, text="")
            progress.update(tasks[stage], completed=done, total=total, text=figures)

        model = train_unclip(
            out,
            seed=options.seed,
            budget=options.budget,
            recipe=options.recipe,
            steps=steps,
            pictures=options.pictures,
            text_decoder=options.text_decoder,
            progress=show,
        )
    if options.prompts:
        screen.print(
            f"Drawing {options.prompts} prompts and reading off the pictures what they show …"
        )
        screen.print(_table(_faithfulness(model, options.prompts)))
    screen.print(
        f'Model in {out}; next: genzoo imagine "a large red circle left of a small blue square" '
        f"--model {out}"
    )
    return 0


def _options(arguments: Sequence[str]) -> Any:
    parser = Parser(
        "train unclip",
        "Trains DALL-E 2 in small: CLIP, two priors, a decoder. Run it again to go on where it was "
        "interrupted.",
    )
    parser.add_argument("family", type=str, help="unclip")
    parser.add_argument("--budget", type=str, default="full", help="which recipe: quick or full")
    parser.add_argument(
        "--recipe", type=str | None, default=None, help="a YAML file of your own instead"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of pictures, weights, batches and everything else random",
    )
    parser.add_argument(
        "--out", type=str, default="runs/unclip", help="folder of all stages and of the whole"
    )
    parser.add_argument("--pictures", type=int, default=20_000, help="scenes to train on")
    for stage in STAGES:
        parser.add_argument(
            f"--{stage}_steps", type=int | None, default=None, help=f"steps of the stage {stage}"
        )
    parser.add_argument(
        "--text_decoder", action="store_true", help="train a decoder on text embeddings, to compare"
    )
    parser.add_argument(
        "--prompts", type=int, default=1000, help="captions to measure the whole with; 0 for none"
    )
    options = parser.parse(arguments)
    for name, least in {"pictures": 1, "prompts": 0}.items():
        if options[name] < least:
            raise InputError(f"--{name} must be at least {least}, got {options[name]}.")
        if options[name] > MOST:
            raise InputError(f"--{name} must be at most {MOST:,}, got {options[name]}.")
    return options


def _faithfulness(model: "UnCLIP", prompts: int) -> "dict[str, Accuracy]":
    import torch

    from genzoo.unclip.measures import faithfulness

    torch.manual_seed(0)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    return faithfulness(lambda captions: model.imagine(captions).cpu(), prompts)


def _table(measured: "dict[str, Accuracy]") -> Table:
    from genzoo.benchmark.report.cells import percent

    table = Table("prompts", "attributes right", "pictures all right", box=SIMPLE)
    for kind, figures in measured.items():
        table.add_row(kind, percent(figures.attributes), percent(figures.whole))
    return table
