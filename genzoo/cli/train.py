"""``genzoo train FAMILY``.

One run, with the options of the family's constructor and of `genzoo.fit`.

``genzoo train unclip`` is in `genzoo.cli.unclip`.
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from genzoo.cli.help import (
    Parser,
    add_choice_of_recipe,
    add_data,
    console,
    known_model,
    with_value,
)
from genzoo.cli.screen import bar
from genzoo.families import names

if TYPE_CHECKING:
    from genzoo.benchmark.row import Row

# the options that `genzoo.benchmark.plan.plan` takes
PLANNED = ("family", "data", "budget", "recipe", "conditional", "seed")


def train(arguments: Sequence[str]) -> int:
    """Train one model, evaluate it, and say where it is."""
    family = _family(arguments)
    if family is not None and family.lower() == "unclip":
        from genzoo.cli import unclip

        return unclip.train(arguments)
    if family is not None:
        console().print(f"Training {known_model(family, 'unclip')}: loading torch and lightning …")
    parser, sections = _parser(family)
    if family is not None:
        _refuse_retired(arguments)
    given = parser.parse(arguments, defaults=False).as_flat()
    overrides = _overrides(vars(given), sections)
    from genzoo.benchmark import plan as planning
    from genzoo.benchmark import run as runs
    from genzoo.training.processes import rank

    chosen = {name: value for name, value in vars(given).items() if name in PLANNED}
    plan = planning.plan(**{"data": "digits", **chosen}, **overrides)
    default = Path("runs", f"{Path(plan.data).resolve().stem}-{plan.name}")
    out = Path(getattr(given, "out", None) or default)
    if rank():  # of several processes the first alone measures, writes and prints
        runs.accompany(plan, out)
        return 0
    reused = runs.load_finished(plan, out) is not None
    with bar(console(), plan.name) as progress:
        runs.run(plan, out, progress=progress)
    row = runs.time_samples(out, runs.load_model(plan, out))
    _print(row, out, reused)
    return 0


def _family(arguments: Sequence[str]) -> str | None:
    """The first argument that is no option and no option's value."""
    values = with_value(arguments)
    for i, argument in enumerate(arguments):
        if i not in values and not argument.startswith("-"):
            return argument
    return None


def _parser(family: str | None) -> tuple[Parser, dict[str, dict[str, str]]]:
    """The parser, and for its sections "model" and "train" the argument that each option sets.

    Without a family there are no options of a constructor, and nothing heavy is imported.
    """
    parser = Parser(
        "train", "Trains one family. Give a family to see its own options: genzoo train vae --help"
    )
    parser.add_argument(
        "family", type=str, help=", ".join(names.names()) + ", or a hybrid: vae+FAMILY, vaegan"
    )
    add_data(parser)
    add_choice_of_recipe(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights, batches and everything else random"
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="folder of the run; runs/DATA-FAMILY-seedSEED by default",
    )
    if family is None:
        return parser, {}
    from genzoo.benchmark.hybrids import parts
    from genzoo.benchmark.plan import FROM_DATA, NOT_SETTINGS
    from genzoo.training.fitting import fit

    made, prior = parts(family)
    training = [name for name in inspect.signature(fit).parameters if name not in NOT_SETTINGS]
    model = [name for name in inspect.signature(made).parameters if name not in FROM_DATA]
    # "steps", say: --steps is of training, --model.steps of the sampler
    clashing = {name for name in model if name in training}
    nested = {name for name in model if name == "prior"}
    parser.add_function_arguments(fit, as_group=True, skip={*NOT_SETTINGS})
    skip: set[str | int] = {*FROM_DATA, *clashing, *nested}
    parser.add_class_arguments(made, as_group=True, skip=skip)
    if clashing:
        skip = {*FROM_DATA, *(set(model) - clashing)}
        parser.add_class_arguments(made, "model", as_group=True, skip=skip)
    if nested and prior is None:
        parser.add_argument(
            "--prior", type=str | None, default=None, help="a family to model the latent with"
        )
    options = {(f"model.{name}" if name in clashing else name): name for name in model}
    return parser, {"model": options, "train": {name: name for name in training}}


def _refuse_retired(arguments: Sequence[str]) -> None:
    """Name the replacement of a retired option."""
    from genzoo.training.fitting import refuse_retired

    options = [argument.removeprefix("--") for argument in arguments if argument.startswith("--")]
    refuse_retired(option.partition("=")[0] for option in options)


def _overrides(given: dict[str, Any], sections: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Arguments given on the command line, by section, under their own names."""
    overrides: dict[str, Any] = {}
    for section, options in sections.items():
        overrides[section] = {
            name: given[option] for option, name in options.items() if option in given
        }
    prior = overrides.get("model", {}).get("prior")
    if prior:
        overrides["model"]["prior"] = {"family": known_model(prior), "arguments": {}}
    return overrides


def _print(row: "Row", out: Path, reused: bool) -> None:
    from genzoo.benchmark.report.likelihood_table import summarise

    (summary,) = summarise([row])
    screen = console()
    if reused:
        screen.print(f"This run was finished before; it is in {out}.")
    unit = row.likelihood.unit
    if not summary.figure.is_known:
        unit = f"({summary.caveat or 'no likelihood'})"
    seconds = 0.0 if row.cost is None else row.cost.train_seconds
    result = f" on {row.data}: test {summary.figure} {unit}, trained for {seconds:.0f} s."
    screen.print(Text.assemble((row.family, "bold"), result))
    screen.print(f"Run in {out}; next: genzoo sample {out}")
