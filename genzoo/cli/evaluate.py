"""``genzoo evaluate``: measure the likelihood, the samples and the cost of a trained model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from genzoo.cli.help import OF_MODEL, Parser, add_data, add_family, console
from genzoo.cli.screen import bar, print_table
from genzoo.data.names import SPLITS
from genzoo.errors import InputError, nearest
from genzoo.gate.limits import DRAWS
from genzoo.gate.schema import Range, check

POSITIVE = Range(1, DRAWS.most, whole=True)
RANGES = {
    "--k": POSITIVE,
    "--ais_levels": POSITIVE,
    "--ais_chains": Range(0, DRAWS.most, whole=True),
    "--ode_draws": POSITIVE,
    "--events": POSITIVE,
}

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo.data import DataSet
    from genzoo.evaluation.likelihood.estimators import Estimator
    from genzoo.model import GenerativeModel


def evaluate(arguments: Sequence[str]) -> int:
    """Likelihood and cost of a run, and, where it is asked for, the quality of its samples."""
    options = _evaluate_options(arguments)
    out = console()
    out.print(f"Evaluating {options.run}: loading torch …")
    from genzoo.benchmark.report.cells import significant
    from genzoo.benchmark.report.likelihood_table import MEANING
    from genzoo.benchmark.row import held_out
    from genzoo.benchmark.run import load_run
    from genzoo.data import load as load_data
    from genzoo.evaluation.cost import parameters, samples_per_second
    from genzoo.evaluation.likelihood import evaluate as likelihood
    from genzoo.training.fitting import check_fit

    model, plan = load_run(options.run, options.family)
    name = options.data or plan.get("data")
    if name is None:
        raise InputError(
            f"{options.run} does not say what data it was trained on: name it with --data."
        )
    data = load_data(name)
    check_fit(model, data)
    with bar(out, "measuring") as report:
        measured = likelihood.evaluate(
            model, data, by=_estimator(options), split=options.split, progress=report
        )
    details = measured.details
    n = (
        f"{details['n']} of {details['of']}"
        if details.get("of", details["n"]) != details["n"]
        else details["n"]
    )
    name = " + ".join(filter(None, [type(model).__name__, details.get("observation")]))
    events = f" on {n} events of {data.name} ({options.split}): "
    out.print(Text.assemble((name, "bold"), events, (str(measured), "bold")))
    out.print(
        f"  {measured.kind.symbol} {measured.figure.reason or MEANING[measured.kind]}", style="dim"
    )
    if options.nats and measured.figure.is_known and data.levels:
        nats = held_out(measured, data).nats
        error = "" if nats.stderr is None else f" ± {nats.stderr:.2f}"
        out.print(f"  {nats.text(2)}{error} nats for a whole event", style="dim")
    for line in _about(measured):
        out.print(f"  {line}", style="dim")
    out.print(
        f"{parameters(model):,} parameters, {significant(samples_per_second(model))} samples/s"
    )
    if options.quality:
        _print_quality(model, data, out)
    return 0


def _print_quality(model: "GenerativeModel", data: "DataSet", out: "Console") -> None:
    """Samples of one model beside real data, and both at n = infinity where that is feasible."""
    from genzoo.benchmark.codec import from_plain
    from genzoo.benchmark.report.cells import number
    from genzoo.benchmark.report.quality_table import quality_table
    from genzoo.evaluation.results import Quality
    from genzoo.evaluation.samples import quality

    with bar(out, "quality") as report:
        x = quality.samples_of(model, data, progress=report)
    scores = from_plain(Quality, quality.score_samples(x, data))
    table = quality_table({type(model).__name__: [scores]})
    assert table is not None
    print_table(table, out)
    if far := quality.extrapolated(x, data):
        infinite = "at n = ∞, by a line through 1/n"
        mine, real = (number(far[name], 1) for name in ("value", "floor"))
        out.print(f"  {table.headers[1]} {infinite}: {mine}, {real} for real data", style="dim")


def _evaluate_options(arguments: Sequence[str]):
    parser = Parser(
        "evaluate",
        "Measures the likelihood of held-out data under a trained model, its samples, and what "
        "these cost.",
    )
    parser.add_argument("run", type=str, help=OF_MODEL)
    add_family(parser)
    add_data(parser, default=None)
    parser.add_argument("--split", type=str, default="test", help=", ".join(SPLITS))
    parser.add_argument("--k", type=int, default=64, help="draws for a bound that is random")
    parser.add_argument(
        "--quality",
        action="store_true",
        help="hold samples against held-out data: distance, precision, recall, copies",
    )
    parser.add_argument(
        "--nats", action="store_true", help="give the figure in nats for a whole event as well"
    )
    parser.add_argument(
        "--ais",
        action="store_true",
        help="anneal a likelihood for an energy model, a GAN or a VAE; takes minutes",
    )
    parser.add_argument("--ais_levels", type=int, default=500, help="temperatures of --ais")
    parser.add_argument(
        "--ais_chains",
        type=int,
        default=0,
        help="chains of --ais; 0: 64 for an energy model, 8 for each event",
    )
    parser.add_argument(
        "--ode",
        action="store_true",
        help="the likelihood by an ODE, of diffusion and flow matching; takes minutes",
    )
    parser.add_argument("--ode_tolerance", type=float, default=1e-4, help="of the solver of --ode")
    parser.add_argument(
        "--ode_draws", type=int, default=1, help="solutions with fresh noise that --ode averages"
    )
    parser.add_argument(
        "--events",
        type=int,
        default=100,
        help="test events to measure, where each takes --ais or --ode",
    )
    options = parser.parse(arguments)
    check(RANGES, **{option: options[option.removeprefix("--")] for option in RANGES})
    if not 0 < options.ode_tolerance < 1:
        raise InputError(f"--ode_tolerance must be between 0 and 1, got {options.ode_tolerance}.")
    if options.split not in SPLITS:
        raise InputError(f"There is no split {options.split!r}. {nearest(options.split, SPLITS)}")
    return options


def _estimator(options: Any) -> "Estimator":
    """The estimator that --ais and --ode ask for; where it does not apply, the model's own."""
    from genzoo.evaluation.likelihood.estimators import AIS, ODE, Own

    k = options.ode_draws if options.ode else options.k
    by: Estimator = Own(k)
    if options.ais:
        by = AIS(options.ais_levels, options.ais_chains or None, most=options.events, k=k)
    if options.ode:
        by = ODE(options.ode_tolerance, options.ode_draws, options.events, otherwise=by)
    return by


def _about(measured) -> list[str]:
    """Further lines about a figure.

    They say on which side it errs, its gap to the truth, and how its estimation went.
    """
    lines = [f"errs: {measured.direction}"] if measured.direction else []
    if measured.gap is not None:
        lines.append(f"gap to the truth {measured.gap} {measured.unit}")
    if z := measured.details.get("log_z"):
        between = (
            f"log Z between {z['lower']:.2f} and {z['upper']:.2f} nats, both ends widened by two "
            "errors"
        )
        lines.append(f"{between}; effective number of chains {z['ess']:.1f}")
    if (gap := measured.details.get("simulated_gap")) is not None:
        about, sigma = measured.details, measured.details["sigma"]
        own = "p(x | z) of its own"
        observation = own if sigma is None else f"noise {sigma:.3g}, chosen on validation events"
        chains = (
            f"{about['ess']:.1f} of {about['ais_chains']} chains effective at "
            f"{about['ais_levels']} levels"
        )
        lines.append(f"{observation}; {chains}")
        error = about["simulated_gap_stderr"]
        width = f"{gap:.2f}" if error is None else f"{gap:.2f} ± {error:.2f}"
        made = f"{about['simulated_events']} events that the model made"
        lines.append(
            f"gap of bidirectional Monte Carlo {width} nats on {made}; of real ones it may be wider"
        )
    if ratio := measured.details.get("variance_ratio"):
        controls = ", ".join(measured.details["controls"]) or "no control variates"
        lines.append(
            f"of all {measured.details['of']} events, by {controls}: {ratio:.2f} of the variance "
            "is left"
        )
    if (tolerance := measured.details.get("ode_tolerance")) is not None:
        about = measured.details
        lines.append(
            f"solver's tolerance {tolerance:g}, {about['ode_evaluations']} evaluations; trace: "
            f"{about['ode_trace']}"
        )
    return lines
