"""Put trained models into the package: rounded to 16 bits, and measured again as they then are.

    python experiments/ship.py runs/digits-conditional
    python experiments/ship.py runs/mnist --check 500

RUNS is the folder of a comparison. Of every family in it the run of one seed is shipped, the first
by default, and not the best. What is put into ``genzoo/pretrained/models/DATA/FAMILY`` is again the
folder of a finished run: its row, its samples and its model card are those of the rounded weights,
measured just as the run was, log Z of an energy model included. Where rounding moves a figure by
more than its error, the model is shipped in 32 bits, and its card says so.

With ``--check`` the row stays that of the run, of 32 bits, and what rounding changes is measured on
so many test events alone, or on samples of the same noise where there is no likelihood, and said in
the card. That takes seconds.

What has been shipped before stays, unless it was of another run. Thousands of samples of MNIST, by
which its models were judged, stay behind. Takes as long as the evaluation of the runs did.
"""

import argparse
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console

import genzoo
from genzoo import grid, serialization
from genzoo.benchmark import run as runs
from genzoo.benchmark.facts import facts
from genzoo.benchmark.plan import Plan
from genzoo.benchmark.row import Row
from genzoo.data import DataSet
from genzoo.errors import InputError
from genzoo.evaluation.figures import Figure
from genzoo.evaluation.samples.quality import SAMPLES
from genzoo.gate import tensors
from genzoo.gate.text import of_run
from genzoo.model import GenerativeModel, Likelihood, drawing_from
from genzoo.pretrained import MODELS
from genzoo.training.fitting import Fitted

OF_RUN = ("config.yaml", "run.json", "log.csv")  # what shipping does not change
MOST_MEGABYTES = 12.0  # of all shipped models together
MOST_SAMPLES = 100_000  # bytes of the samples that a model was judged by

screen = Console(highlight=False)


def rounded(model: GenerativeModel) -> GenerativeModel:
    """The model with its parameters rounded to what 16 bits hold.

    Raises:
        InputError: one is too large for that.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            half = parameter.half()
            if not half.isfinite().all():
                raise InputError(f"{name} is too large for 16 bits: ship this model in 32.")
            parameter.copy_(half)
    return model


def measured_again(
    plan: Plan, before: Row, run: Path, data: DataSet, folder: Path, half: bool
) -> Row:
    """The row of a run's model, rounded if it is to be ``half``; in ``folder`` as a finished run.

    Args:
        plan, before: of the run, and its row.
        run: its folder.
        data: that it was trained on.
        folder: where to; it is made.
        half: whether to round.
    """
    folder.mkdir(parents=True)
    for name in OF_RUN:
        shutil.copyfile(run / name, folder / name)
    model = runs.load_model(plan, run)
    cost = before.cost
    assert cost is not None  # as every run has
    fitted = Fitted(
        model=rounded(model) if half else model,
        seconds=cost.train_seconds,
        steps=cost.steps,
        planned=cost.steps,
        best_step=cost.best_step,
        validation=cost.validation_nats,
    )
    row = runs.measure_trained(plan, fitted, data, folder, half=half)
    bits = "float16" if half else "float32, for in float16 a figure moved by more than its error"
    write_card(plan, row, folder, bits)
    return row


def write_card(plan: Plan, row: Row, folder: Path, bits: str) -> None:
    """Save the model once more, in the bits that it has, with a card that tells all of its row.

    Args:
        plan, row: of the run that was shipped.
        folder: where it lies.
        bits: what the card says of its weights.
    """
    about = {**facts(row), "weights": bits}
    model = runs.load_model(plan, folder)
    serialization.save(model, folder / "model", about, is_half(folder), name=name_of(plan))


def is_half(folder: Path) -> bool:
    """Whether the weights of a model are stored in 16 bits: they tell, and not their card."""
    stored = tensors.weights(folder / "model" / serialization.WEIGHTS)
    return any(each.dtype == torch.float16 for each in stored.values())


def bits_of(folder: Path) -> str:
    """What the card of a shipped model says of its weights."""
    card = (folder / "model" / serialization.CARD).read_text(encoding="utf-8")
    return card.partition("| weights | ")[2].partition(" |\n")[0]


def checked(plan: Plan, before: Row, run: Path, data: DataSet, folder: Path, events: int) -> str:
    """Put the run into ``folder`` with its weights in 16 bits, and say what that changes.

    Args:
        plan, before: of the run, and its row.
        run: its folder.
        data: that it was trained on.
        folder: where to; it is made.
        events: test events, or samples, to compare.
    """
    folder.mkdir(parents=True)
    for name in (*OF_RUN, "row.json", "samples.npz", "likelihoods.npz"):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    whole = runs.load_model(plan, run)
    half = rounded(runs.load_model(plan, run))
    changed = change(whole, half, data, events)
    about = f"float16; the figures are of float32, and rounding {changed}"
    serialization.save(
        half, folder / "model", {**facts(before), "weights": about}, True, name=name_of(plan)
    )
    return changed


@torch.no_grad()
def change(whole: GenerativeModel, half: GenerativeModel, data: DataSet, events: int) -> str:
    """What rounding changes: the likelihood of the same test events, else samples of one noise."""
    if whole.likelihood in (Likelihood.EXACT, Likelihood.BOUND):
        test = data.test.some(events)
        figures = []
        for model in (whole, half):
            with drawing_from(0, torch.device("cpu")):
                parts = [model.prepare(test[i : i + 100]) for i in range(0, len(test), 100)]
                each = torch.cat([model.bound(x, c) for x, c in parts])
            figures.append(data.report(each).double())
        difference = figures[1] - figures[0]
        stderr = difference.std() / len(difference) ** 0.5
        return f"adds {difference.mean():.5f} ± {stderr:.5f} {data.unit} on {len(test)} test events"
    c = torch.arange(events) % data.condition if whole.condition else None
    drawn = []
    for model in (whole, half):
        with drawing_from(0, torch.device("cpu")):
            drawn.append(model.sample(events, c))
    levels = (drawn[1] - drawn[0]).abs().mean() / grid.bin_width(data.levels)
    return f"moves a pixel by {levels:.3f} of {data.levels} levels on average"


def add_speed(plan: Plan, before: Row, target: Path) -> None:
    """Give what is shipped the speed of sampling of its run, which is the last that is measured."""
    shipped = Row.from_json(of_run(target / "row.json"))
    speed = before.cost.samples_per_second if before.cost else None
    known = shipped.cost.samples_per_second if shipped.cost else None
    if speed is not None and known is None:
        write_card(plan, runs.timed(target, speed), target, bits_of(target))


def name_of(plan: Plan) -> str:
    """By which the model will be loaded: "digits/vae"."""
    return f"{plan.data}/{plan.family.lower()}"


def moved(before: Row, after: Row) -> list[str]:
    """The figures that rounding has moved by more than their error, in words.

    Both likelihoods are of the same test events. Samples differ, for one that is rounded otherwise
    is another: their figures may do so by the errors of both.
    """
    found = []
    old, new = before.figure, after.figure
    if _apart(old, new) > (new.stderr or 0.0):
        found.append(f"{old} became {new}")
    for name, old, new in _of_samples(before, after):
        if _apart(old, new) > 1.96 * math.hypot(old.stderr or 0.0, new.stderr or 0.0):
            found.append(f"{name} {old} became {new}")
    return found


def _apart(a: Figure, b: Figure) -> float:
    if a.middle is None or b.middle is None:
        return 0.0 if a.is_known == b.is_known else math.inf
    return abs(a.middle - b.middle)


def _of_samples(before: Row, after: Row) -> Iterator[tuple[str, Figure, Figure]]:
    if before.quality is not None and after.quality is not None:
        for name, figure in before.quality.figures.items():
            yield name, figure, after.quality.figures[name]


def ship(run: Path, events: int = 0) -> None:
    """Measure a run's model as it will be shipped, and put it into the package.

    Args:
        run: its folder.
        events: on which rounding is checked, in place of all measures; 0: take all of them.
    """
    plan = Plan(**(of_run(run / "config.yaml") or {}))
    before = Row.from_json(of_run(run / "row.json"), str(run / "row.json"))
    data = genzoo.data.load(plan.data)
    target = MODELS / name_of(plan)
    if events:
        with tempfile.TemporaryDirectory() as drafts:
            folder = Path(drafts) / "half"
            changed = checked(plan, before, run, data, folder, events)
            put(folder, target)
        screen.print(f"{name_of(plan)}: {before.figure}; rounding {changed}.")
        return
    if is_there(run, target):
        screen.print(f"{name_of(plan)}: shipped before.")
        add_speed(plan, before, target)
        return
    with tempfile.TemporaryDirectory() as drafts:
        folder = Path(drafts) / "half"
        row = measured_again(plan, before, run, data, folder, half=True)
        if changed := moved(before, row):
            screen.print(f"{name_of(plan)} in 32 bits: {'; '.join(changed)}.")
            folder = Path(drafts) / "whole"
            row = measured_again(plan, before, run, data, folder, half=False)
        put(folder, target)
    add_speed(plan, before, target)
    screen.print(f"{name_of(plan)}: {before.figure} before, {row.figure} as shipped.")


def put(folder: Path, target: Path) -> None:
    """Replace what is shipped, but for samples that are too many to come along."""
    judged_by = folder / SAMPLES
    if judged_by.is_file() and judged_by.stat().st_size > MOST_SAMPLES:
        judged_by.unlink()
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)


def is_there(run: Path, target: Path) -> bool:
    """Whether ``target`` was made of this very run: trained by the same plan, at the same time."""
    if not (target / "row.json").is_file():
        return False
    return all((run / name).read_bytes() == (target / name).read_bytes() for name in OF_RUN)


def megabytes() -> float:
    """Of everything that is shipped."""
    return sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of a comparison")
    parser.add_argument("--families", nargs="*", help="some of them only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", type=int, default=0, help="test events; 0: measure all anew")
    options = parser.parse_args()
    finished = [row.parent for row in sorted(options.runs.glob(f"*-seed{options.seed}/row.json"))]
    for run in finished:
        if not options.families or run.name.rpartition("-")[0] in options.families:
            ship(run, options.check)
    total = megabytes()
    screen.print(f"{total:.1f} MB in all, of {MOST_MEGABYTES:g}.")
    if total > MOST_MEGABYTES:
        raise SystemExit("That is too much: leave a model out.")


if __name__ == "__main__":
    main()
