"""``genzoo sample`` and ``genzoo evaluate``: use a trained model."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.cli.help import Parser, add_data, console
from genzoo.data.names import SPLITS
from genzoo.errors import InputError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo.data import DataSet
    from genzoo.model import GenerativeModel


def sample(arguments: Sequence[str]) -> int:
    """Samples of a run, as a picture or as an array."""
    options = _sample_options(arguments)
    out = Path(options.out)
    console().print(f"Drawing {options.n} samples from {options.run}: loading torch …")
    import torch

    from genzoo.runs import load_run
    from genzoo.store import whole

    model, plan = load_run(options.run)
    if out.suffix == ".txt" and plan.get("data") != "captions":
        raise InputError(f"Only samples of captions are text: expected a name that ends in .png or .npz, not {out}.")
    c = _condition(model, plan, options.label, options.condition)
    guided = _guidance(model, c, options.guidance)
    c = None if c is None else c.expand(options.n, *c.shape[1:])
    torch.manual_seed(options.seed)
    with torch.inference_mode():
        x = model.sample(options.n, c, **guided).cpu().numpy()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        import numpy as np

        with whole(out) as draft:
            np.savez_compressed(draft, x=x)
    elif plan.get("data") == "captions":
        out = out.with_suffix(".txt")
        _write_captions(out, x)
    else:
        from genzoo.evaluation.pictures import grid

        grid(out, x, (-1.0, 1.0) if model.levels else None)
    console().print(f"Wrote {out}.")
    return 0


def _write_captions(out: Path, x: Any) -> None:
    """Events of the data set captions as lines of text, and how many of them are captions at all."""
    import torch

    from genzoo.data.captions import captions, fluency, read
    from genzoo.store import whole

    written = read(torch.from_numpy(x))
    with whole(out) as draft:
        draft.write_text("\n".join(written) + "\n", encoding="utf-8")
    share = fluency(written, read(captions().train.x))
    for line in written[:8]:
        console().print(f"  {line}", markup=False)
    console().print(f"{share.grammatical:.1%} are grammatical; {share.new:.1%} of these no training caption equals.")


def _sample_options(arguments: Sequence[str]) -> Any:
    parser = Parser("sample", "Draws samples from a run's folder, or from the folder of a saved model.")
    parser.add_argument("run", type=str, help="folder of a run or of a saved model")
    parser.add_argument("--n", type=int, default=64, help="how many")
    parser.add_argument(
        "--label", type=int | None, default=None, help="class to draw, of a model trained with --conditional"
    )
    parser.add_argument(
        "--condition", type=float, nargs="+", default=None, help="or the vector to draw for, as in --condition 0.5 -1"
    )
    parser.add_argument(
        "--guidance",
        type=float | None,
        default=None,
        help="how strongly a diffusion model follows --label or --condition; 1: as it has learned",
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same samples")
    parser.add_argument(
        "--out",
        type=str,
        default="samples.png",
        help="a .png for a picture (.txt for captions), a .npz for the numbers",
    )
    options = parser.parse(arguments)
    if options.n < 1:
        raise InputError(f"--n must be at least 1, got {options.n}.")
    if options.label is not None and options.condition is not None:
        raise InputError(
            "Give --label, for data with classes, or --condition, for data described by vectors; not both."
        )
    if Path(options.out).suffix not in (".png", ".npz", ".txt"):
        raise InputError(
            f"Cannot write samples as {options.out!r}: expected a name that ends in .png or .npz, or .txt for captions."
        )
    return options


def _condition(model: "GenerativeModel", plan: dict[str, Any], label: int | None, vector: Any) -> Any:
    """What to draw for, as one label ``(1,)`` or one vector ``(1, width)``; None where nothing is asked."""
    import torch

    if label is None and vector is None:
        return None
    asked = "for a condition" if label is None else f"label {label}"
    if not model.condition:
        raise InputError(
            f"This {type(model).__name__} is unconditional and cannot draw {asked}: train one with --conditional."
        )
    if label is None:
        if len(vector) != model.condition:
            raise InputError(f"--condition has {len(vector)} numbers, but this model's have {model.condition}.")
        return torch.tensor([vector])
    if not 0 <= label < model.condition:
        raise InputError(f"There is no label {label}: expected one of 0 to {model.condition - 1}.")
    if vectors := _vectors(plan):
        raise InputError(f"{plan['data']} has no labels: give {vectors} with --condition.")
    return torch.tensor([label])


def _guidance(model: "GenerativeModel", c: Any, guidance: float | None) -> dict[str, float]:
    """What ``--guidance`` adds to the arguments of the model's ``sample``; nothing where it was not given."""
    if guidance is None:
        return {}
    from genzoo.evaluation.conditional import check_guidance

    check_guidance(model)
    if c is None:
        raise InputError("--guidance needs something to guide to: give --label or --condition as well.")
    if not guidance >= 0:
        raise InputError(f"--guidance must be at least 0, got {guidance}.")
    return {"guidance": guidance}


def _vectors(plan: dict[str, Any]) -> str:
    """What describes the data of a run in place of labels: "2 numbers (height, width)"; "" for labels, or if unknown."""
    from genzoo.data import load as load_data

    with suppress(InputError, KeyError):  # a model outlives its data
        data = load_data(plan["data"])
        names = f" ({', '.join(data.features)})" if data.features else ""
        return "" if data.classes else f"{data.condition} numbers{names}"
    return ""


def evaluate(arguments: Sequence[str]) -> int:
    """Likelihood and cost of a run, and, where it is asked for, the quality of its samples."""
    options = _evaluate_options(arguments)
    out = console()
    out.print(f"Evaluating {options.run}: loading torch …")
    from genzoo.cli.compare import bars
    from genzoo.data import load as load_data
    from genzoo.evaluation import likelihood
    from genzoo.evaluation.cost import parameters, samples_per_second
    from genzoo.evaluation.scorecard import MEANING, figures, significant
    from genzoo.runs import load_run
    from genzoo.training import check_fit

    model, plan = load_run(options.run)
    name = options.data or plan.get("data")
    if name is None:
        raise InputError(f"{options.run} does not say what data it was trained on: name it with --data.")
    data = load_data(name)
    check_fit(model, data)
    with bars(out) as progress:
        task = progress.add_task("measuring", total=None, text="", visible=False)  # until there is progress to show

        def show(done: int, total: int, text: str) -> None:
            progress.update(task, completed=done, total=total, text=text, visible=True)

        measured = likelihood.evaluate(model, data, options.split, progress=show, **_long_ways(options))
    n = measured.details["n"]
    out.print(f"[bold]{type(model).__name__}[/] on {n} events of {data.name} ({options.split}): [bold]{measured}[/]")
    out.print(f"  {measured.kind.symbol} {measured.details.get('reason') or MEANING[measured.kind]}", style="dim")
    nats = figures(measured, data)["nats"]
    if options.nats and nats["value"] is not None and data.levels:
        whole = f"{nats['value']:.2f} ± {nats['stderr']:.2f} nats for a whole event"
        out.print(f"  {measured.kind.symbol} {whole}", style="dim")
    for line in _about(measured):
        out.print(f"  {line}", style="dim")
    out.print(f"{parameters(model):,} parameters, {significant(samples_per_second(model))} samples/s")
    if options.quality:
        _print_quality(model, data, out)
    return 0


def _print_quality(model: "GenerativeModel", data: "DataSet", out: "Console") -> None:
    """The samples of one model beside real data, and both at n = infinity where that can be had."""
    from genzoo.cli.compare import bars, print_table
    from genzoo.evaluation import quality, quality_table

    with bars(out) as progress:
        task = progress.add_task("quality", total=None, text="")

        def show(done: int, total: int, text: str) -> None:
            progress.update(task, completed=done, total=total, text=text)

        x = quality.samples_of(model, data, progress=show)
    table = quality_table.table([{"family": type(model).__name__, "quality": quality.judge(x, data)}])
    assert table is not None
    print_table(table, out)
    if far := quality.extrapolated(x, data):
        infinite = "at n = ∞, by a line through 1/n"
        out.print(f"  {table.headers[1]} {infinite}: {far['value']:.1f}, {far['floor']:.1f} for real data", style="dim")


def _evaluate_options(arguments: Sequence[str]):
    parser = Parser(
        "evaluate", "Measures the likelihood of held-out data under a trained model, its samples, and what these cost."
    )
    parser.add_argument("run", type=str, help="folder of a run or of a saved model")
    add_data(parser, default=None)
    parser.add_argument("--split", type=str, default="test", help=", ".join(SPLITS))
    parser.add_argument("--k", type=int, default=64, help="draws for a bound that is random")
    parser.add_argument(
        "--quality", action="store_true", help="hold samples against held-out data: distance, precision, recall, copies"
    )
    parser.add_argument("--nats", action="store_true", help="give the figure in nats for a whole event as well")
    parser.add_argument(
        "--ais", action="store_true", help="anneal a likelihood for an energy model, a GAN or a VAE; takes minutes"
    )
    parser.add_argument("--ais_levels", type=int, default=500, help="temperatures of --ais")
    parser.add_argument(
        "--ais_chains", type=int, default=0, help="chains of --ais; 0: 64 for an energy model, 4 for each event"
    )
    parser.add_argument(
        "--ode", action="store_true", help="the likelihood by an ODE, of diffusion and flow matching; takes minutes"
    )
    parser.add_argument("--ode_tolerance", type=float, default=1e-4, help="of the solver of --ode")
    parser.add_argument("--ode_draws", type=int, default=1, help="solutions with fresh noise that --ode averages")
    parser.add_argument(
        "--events", type=int, default=100, help="test events to measure, where each takes --ais or --ode"
    )
    options = parser.parse(arguments)
    for name, least in {"k": 1, "ais_levels": 1, "ais_chains": 0, "ode_draws": 1, "events": 1}.items():
        if options[name] < least:
            raise InputError(f"--{name} must be at least {least}, got {options[name]}.")
    if not 0 < options.ode_tolerance < 1:
        raise InputError(f"--ode_tolerance must be between 0 and 1, got {options.ode_tolerance}.")
    if options.split not in SPLITS:
        raise InputError(f"There is no split {options.split!r}. {nearest(options.split, SPLITS)}")
    return options


def _long_ways(options: Any) -> dict[str, Any]:
    """The arguments of `genzoo.evaluation.evaluate` that --ais and --ode stand for."""
    ais = {"ais_levels": options.ais_levels, "ais_chains": options.ais_chains} if options.ais else {}
    ode = {"ode_tolerance": options.ode_tolerance, "k": options.ode_draws} if options.ode else {}
    return {"k": options.k, "most": options.events, **ais, **ode}


def _about(measured) -> list[str]:
    """What else is known of a figure: the side on which it errs, its gap to the truth, how its estimation went."""
    lines = [f"errs: {measured.direction}"] if measured.direction else []
    if measured.gap is not None:
        lines.append(f"gap to the truth {measured.gap:.3f} ± {measured.gap_stderr:.3f} {measured.unit}")
    if z := measured.details.get("log_z"):
        between = f"log Z between {z['lower']:.2f} and {z['upper']:.2f}, ± {z['stderr']:.2f} nats"
        lines.append(f"{between}; effective number of chains {z['ess']:.1f}")
    if (gap := measured.details.get("simulated_gap")) is not None:
        sigma = measured.details["sigma"]
        observation = "p(x | z) of its own" if sigma is None else f"sigma {sigma:.3g}, tuned on validation events"
        lines.append(f"{observation}; gap of bidirectional Monte Carlo {gap:.2f} nats on simulated events")
    if (tolerance := measured.details.get("ode_tolerance")) is not None:
        about = measured.details
        lines.append(
            f"solver's tolerance {tolerance:g}, {about['ode_evaluations']} evaluations; trace: {about['ode_trace']}"
        )
    return lines
