"""``genzoo sample`` and ``genzoo evaluate``: use a trained model."""

from collections.abc import Sequence
from pathlib import Path

from genzoo.cli.help import Parser, add_data, console
from genzoo.errors import InputError, nearest

SPLITS = ("train", "validation", "test")


def sample(arguments: Sequence[str]) -> int:
    """Samples of a run, as a picture or as an array."""
    parser = Parser("sample", "Draws samples from a run's folder, or from the folder of a saved model.")
    parser.add_argument("run", type=str, help="folder of a run or of a saved model")
    parser.add_argument("--n", type=int, default=64, help="how many")
    parser.add_argument(
        "--label", type=int | None, default=None, help="class to draw, of a model trained with --conditional"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=str, default="samples.png", help="a .png for a picture, a .npz for the numbers")
    options = parser.parse(arguments)
    out = Path(options.out)
    if options.n < 1:
        raise InputError(f"--n must be at least 1, got {options.n}.")
    if out.suffix not in (".png", ".npz"):
        raise InputError(f"Cannot write samples as {out.name!r}: expected a name that ends in .png or .npz.")
    console().print(f"Drawing {options.n} samples from {options.run}: loading torch …")
    import torch

    from genzoo.runs import load_run
    from genzoo.store import whole

    model, _ = load_run(options.run)
    c = _labels(model, options.label, options.n)
    torch.manual_seed(options.seed)
    with torch.inference_mode():
        x = model.sample(options.n, c).cpu().numpy()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        import numpy as np

        with whole(out) as draft:
            np.savez_compressed(draft, x=x)
    else:
        from genzoo.evaluation.pictures import grid

        grid(out, x, (-1.0, 1.0) if model.levels else None)
    console().print(f"Wrote {out}.")
    return 0


def _labels(model, label: int | None, n: int):
    import torch

    if label is None:
        return None
    if not model.condition:
        raise InputError(
            f"This {type(model).__name__} is unconditional and cannot draw label {label}: train one with --conditional."
        )
    if not 0 <= label < model.condition:
        raise InputError(f"There is no label {label}: expected one of 0 to {model.condition - 1}.")
    return torch.full((n,), label)


def evaluate(arguments: Sequence[str]) -> int:
    """Likelihood and cost of a run."""
    parser = Parser(
        "evaluate", "Measures the likelihood of held-out data under a trained model, and what a sample costs."
    )
    parser.add_argument("run", type=str, help="folder of a run or of a saved model")
    add_data(parser, default=None)
    parser.add_argument("--split", type=str, default="test", help=", ".join(SPLITS))
    parser.add_argument("--k", type=int, default=64, help="draws for a bound that is random")
    parser.add_argument(
        "--ais", action="store_true", help="anneal a likelihood for an energy model, a GAN or a VAE; takes minutes"
    )
    parser.add_argument("--ais_levels", type=int, default=1000, help="temperatures of --ais")
    parser.add_argument("--ais_chains", type=int, default=16, help="chains of --ais, for each normaliser or event")
    parser.add_argument("--ais_events", type=int, default=100, help="events a GAN or a VAE is annealed for by --ais")
    options = parser.parse(arguments)
    for name in ("ais_levels", "ais_chains", "ais_events"):
        if options[name] < 1:
            raise InputError(f"--{name} must be at least 1, got {options[name]}.")
    if options.split not in SPLITS:
        raise InputError(f"There is no split {options.split!r}. {nearest(options.split, SPLITS)}")
    if options.k < 1:
        raise InputError(f"--k must be at least 1, got {options.k}.")
    out = console()
    out.print(f"Evaluating {options.run}: loading torch …")
    from genzoo.data import load as load_data
    from genzoo.evaluation import likelihood
    from genzoo.evaluation.cost import parameters, samples_per_second
    from genzoo.evaluation.scorecard import MEANING
    from genzoo.runs import load_run
    from genzoo.training import check_fit

    model, plan = load_run(options.run)
    name = options.data or plan.get("data")
    if name is None:
        raise InputError(f"{options.run} does not say what data it was trained on: name it with --data.")
    data = load_data(name)
    check_fit(model, data)
    settings = {name: options[name] for name in ("ais_levels", "ais_chains", "ais_events")} if options.ais else {}
    with out.status("Measuring") as status:

        def show(level: int, levels: int, text: str) -> None:
            status.update(f"Level {level} of {levels}: {text}")

        measured = likelihood.evaluate(model, data, options.split, k=options.k, progress=show, **settings)
    n = measured.details["n"]
    out.print(f"[bold]{type(model).__name__}[/] on {n} events of {data.name} ({options.split}): [bold]{measured}[/]")
    out.print(f"  {measured.kind.symbol} {measured.details.get('reason') or MEANING[measured.kind]}", style="dim")
    for line in _about(measured):
        out.print(f"  {line}", style="dim")
    out.print(f"{parameters(model):,} parameters, {samples_per_second(model):.3g} samples/s")
    return 0


def _about(measured) -> list[str]:
    """What else is known of a figure: the side on which it errs, its gap to the truth, how the annealing went."""
    lines = [f"errs: {measured.direction}"] if measured.direction else []
    if measured.gap is not None:
        lines.append(f"gap to the truth {measured.gap:.3f} ± {measured.gap_stderr:.3f} {measured.unit}")
    if z := measured.details.get("log_z"):
        lines.append(
            f"log Z between {z['lower']:.2f} and {z['upper']:.2f}, ± {z['stderr']:.2f} nats; ess {z['ess']:.1f}"
        )
    if (gap := measured.details.get("simulated_gap")) is not None:
        sigma = measured.details["sigma"]
        observation = "p(x | z) of its own" if sigma is None else f"sigma {sigma:.3g}, tuned on validation events"
        lines.append(f"{observation}; gap of bidirectional Monte Carlo {gap:.2f} nats on simulated events")
    return lines
