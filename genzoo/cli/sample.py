"""``genzoo sample``: draw from a trained model."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.cli.help import OF_MODEL, Parser, add_family, console
from genzoo.errors import InputError
from genzoo.gate.limits import SAMPLES
from genzoo.gate.schema import SEED, Range, check

RANGES = {"--n": Range(1, SAMPLES.most, whole=True), "--seed": SEED}

if TYPE_CHECKING:
    from genzoo.model import GenerativeModel


def sample(arguments: Sequence[str]) -> int:
    """Samples of a run, as a picture or as an array."""
    options = _sample_options(arguments)
    out = Path(options.out)
    console().print(f"Drawing {options.n} samples from {options.run}: loading torch …")
    import torch

    from genzoo.benchmark.run import load_run
    from genzoo.files import whole

    model, plan = load_run(options.run, options.family)
    if out.suffix == ".txt" and plan.get("data") != "captions":
        raise InputError(
            "Only samples of captions are text: expected a name that ends in .png or .npz, not "
            f"{out}."
        )
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
        from genzoo.benchmark.report.pictures import grid

        grid(out, x, (-1.0, 1.0) if model.levels else None)
    console().print(f"Wrote {out}.")
    return 0


def _write_captions(out: Path, x: Any) -> None:
    """Captions as lines of text, and how many of them are captions at all."""
    import torch

    from genzoo.data.scenes.captions import captions, fluency, read
    from genzoo.files import whole

    written = read(torch.from_numpy(x))
    with whole(out) as draft:
        draft.write_text("\n".join(written) + "\n", encoding="utf-8")
    share = fluency(written, read(captions().train.x))
    for line in written[:8]:
        console().print(f"  {line}")
    console().print(
        f"{share.grammatical:.1%} are grammatical; {share.new:.1%} of these no training caption "
        "equals."
    )


def _sample_options(arguments: Sequence[str]) -> Any:
    parser = Parser(
        "sample", "Draws samples from a run's folder, or from the folder of a saved model."
    )
    parser.add_argument("run", type=str, help=OF_MODEL)
    add_family(parser)
    parser.add_argument("--n", type=int, default=64, help="how many")
    parser.add_argument(
        "--label",
        type=int | None,
        default=None,
        help="class to draw, of a model trained with --conditional",
    )
    parser.add_argument(
        "--condition",
        type=float,
        nargs="+",
        default=None,
        help="or the vector to draw for, as in --condition 0.5 -1",
    )
    parser.add_argument(
        "--guidance",
        type=float | None,
        default=None,
        help=(
            "how strongly samples follow --label or --condition, of a family that can be guided; "
            "1: as it has learned"
        ),
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same samples")
    parser.add_argument(
        "--out",
        type=str,
        default="samples.png",
        help="a .png for a picture (.txt for captions), a .npz for the numbers",
    )
    options = parser.parse(arguments)
    check(RANGES, **{f"--{name}": options[name] for name in ("n", "seed")})
    if options.label is not None and options.condition is not None:
        raise InputError(
            "Give --label, for data with classes, or --condition, for data described by vectors; "
            "not both."
        )
    if Path(options.out).suffix not in (".png", ".npz", ".txt"):
        raise InputError(
            f"Cannot write samples as {options.out!r}: expected a name that ends in .png or .npz, "
            "or .txt for captions."
        )
    return options


def _condition(
    model: "GenerativeModel", plan: dict[str, Any], label: int | None, vector: Any
) -> Any:
    """The condition of the samples, as one label ``(1,)`` or one vector ``(1, width)``.

    None where no condition is given.
    """
    import torch

    if label is None and vector is None:
        return None
    asked = "for a condition" if label is None else f"label {label}"
    if not model.condition:
        raise InputError(
            f"This {type(model).__name__} is unconditional and cannot draw {asked}: train one with "
            "--conditional."
        )
    if label is None:
        if len(vector) != model.condition:
            raise InputError(
                f"--condition has {len(vector)} numbers, but this model's have {model.condition}."
            )
        return torch.tensor([vector])
    if not 0 <= label < model.condition:
        raise InputError(f"There is no label {label}: expected one of 0 to {model.condition - 1}.")
    if vectors := _vectors(plan):
        raise InputError(f"{plan['data']} has no labels: give {vectors} with --condition.")
    return torch.tensor([label])


def _guidance(model: "GenerativeModel", c: Any, guidance: float | None) -> dict[str, float]:
    """Arguments of the model's ``sample`` for ``--guidance``; none if it was not given."""
    if guidance is None:
        return {}
    from genzoo.evaluation.samples.conditional import check_guidance

    check_guidance(model)
    if c is None:
        raise InputError(
            "--guidance needs something to guide to: give --label or --condition as well."
        )
    if not guidance >= 0:
        raise InputError(f"--guidance must be at least 0, got {guidance}.")
    return {"guidance": guidance}


def _vectors(plan: dict[str, Any]) -> str:
    """Description of a run's conditions if they are vectors: "2 numbers (height, width)".

    Empty for labels, or if unknown.
    """
    from genzoo.data import load as load_data

    with suppress(InputError, KeyError):  # a model outlives its data
        data = load_data(plan["data"])
        names = f" ({', '.join(data.features)})" if data.features else ""
        return "" if data.classes else f"{data.condition} numbers{names}"
    return ""
