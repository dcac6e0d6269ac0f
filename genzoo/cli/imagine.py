"""``genzoo imagine`` and ``genzoo vary``: pictures from a caption, and pictures from a picture."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo.cli.help import Parser, console
from genzoo.cli.screen import bars
from genzoo.errors import InputError
from genzoo.gate.limits import PICTURES
from genzoo.gate.schema import SEED, Range, check

MANY = Range(1, PICTURES.most, whole=True)

if TYPE_CHECKING:
    from torch import Tensor

    from genzoo.unclip import UnCLIP


def imagine(arguments: Sequence[str]) -> int:
    """Pictures of what a caption says, in one file; how many show it is read off them by rule."""
    options = _imagine_options(arguments)
    screen = console()
    screen.print(f'Imagining "{options.caption}": loading torch …')
    from genzoo.data.scenes import captions

    captions.tokenise(options.caption)  # refuses unknown words before a model is loaded
    model = _model(options)
    guidance = model.guidance if options.guidance is None else options.guidance
    steps = options.steps or model.decoder.steps
    evaluations = steps + 1
    if guidance != 1:
        evaluations *= 2

    def draw() -> "Tensor":
        return model.imagine(
            options.caption,
            options.n,
            guidance=options.guidance,
            steps=options.steps,
        )

    pictures, seconds = _drawn(draw, model, evaluations)
    _write(pictures, options.out)
    screen.print(f"Wrote {options.out}: {len(pictures)} pictures in {seconds:.1f} s.")
    screen.print(_verdict(options.caption, pictures), style="dim")
    return 0


def _imagine_options(arguments: Sequence[str]) -> Any:
    parser = Parser(
        "imagine",
        'Draws what a caption says, such as "a large red circle left of a small blue square".',
    )
    parser.add_argument(
        "caption", type=str, help="one or two things, where they are, and on what background"
    )
    parser.add_argument("--n", type=int, default=16, help="how many pictures")
    parser.add_argument(
        "--steps", type=int | None, default=None, help="of the decoder; the model's own by default"
    )
    _add_common(
        parser, out="imagined.png", guidance="how far to push towards the caption; 1: not at all"
    )
    options = parser.parse(arguments)
    _check(options, n=MANY, steps=MANY)
    return options


def _verdict(caption: str, pictures: "Tensor") -> str:
    """A sentence on how many pictures show what the caption says, as the parser reads them."""
    from genzoo.data.scenes.captions import is_grammatical, understand
    from genzoo.unclip.measures import accuracy

    if not is_grammatical(caption):
        return (
            "The model knows the words, but not a caption of this form: what it shows is anyone's "
            "guess."
        )
    measured = accuracy([understand(caption)] * len(pictures), pictures)
    right = round((measured.whole.value or 0.0) * len(pictures))
    return (
        f"{right} of {len(pictures)} show all that the caption asks for, read off the pictures by "
        "rule."
    )


def vary(arguments: Sequence[str]) -> int:
    """Draw variations of a picture.

    With other options: the way to another picture, an edit by words, or the picture from some of
    the components of its CLIP embedding.
    """
    options = _vary_options(arguments)
    screen = console()
    screen.print(f"Taking {options.image} apart: loading torch …")
    model = _model(options)
    side = model.event_shape[1]
    original = _read(options.image, side)
    draw, passes = _way(options, model, original)
    steps = 2 * model.decoder.steps  # of either way, to the latent and back
    back = steps + 1
    if options.guidance != 1:
        back *= 2
    pictures, seconds = _drawn(draw, model, passes * (steps + back))
    _write(pictures, options.out)
    screen.print(f"Wrote {options.out}: {len(pictures)} pictures in {seconds:.1f} s.")
    return 0


def _vary_options(arguments: Sequence[str]) -> Any:
    parser = Parser(
        "vary",
        "Draws variations of a picture: the same to CLIP's eye, different otherwise. The original "
        "comes first.",
    )
    parser.add_argument(
        "image", type=str, help="a PNG or JPEG file; its central square is taken, at 32x32 pixels"
    )
    parser.add_argument(
        "--n", type=int, default=15, help="how many variations, or steps on the way"
    )
    parser.add_argument(
        "--eta", type=float, default=1.0, help="how much of the rest is drawn afresh, 0 to 1"
    )
    parser.add_argument(
        "--towards", type=str | None, default=None, help="or go to this other picture, by slerp"
    )
    parser.add_argument(
        "--edit",
        type=str,
        nargs=2,
        default=None,
        metavar=("BEFORE", "AFTER"),
        help="or change what a caption says: 'a small red circle' 'a large red circle'",
    )
    parser.add_argument(
        "--components",
        type=int,
        nargs="+",
        default=None,
        help="or rebuild it from so many principal components",
    )
    _add_common(
        parser,
        out="variations.png",
        guidance=(
            "how far to push towards what CLIP sees: 1, not at all, or for edits 2, if it is not "
            "given"
        ),
    )
    options = parser.parse(arguments)
    if options.guidance is None:  # as in the library, and as edits were measured
        options.guidance = 2.0 if options.edit else 1.0
    _check(options, n=MANY, eta=Range(0, 1))
    given = [f"--{name}" for name in ("towards", "edit", "components") if options[name] is not None]
    if len(given) > 1:
        raise InputError(
            f"Give one of --towards, --edit and --components, got {' and '.join(given)}."
        )
    return options


def _way(options: Any, model: "UnCLIP", original: "Tensor") -> tuple[Callable[[], "Tensor"], int]:
    """A function that draws what was asked for, and the number of inversions that this takes.

    An inversion takes a picture apart and puts it together again.
    """
    import torch

    n = options.n
    guidance = options.guidance
    first = original[None]
    if options.towards:
        other = _read(options.towards, model.event_shape[1])
        return lambda: model.interpolate_images(original, other, max(2, n), guidance), 1
    if options.edit:
        before, after = options.edit
        share = torch.linspace(0, 1, n + 1)[1:]
        many = original.expand(n, *original.shape)
        return lambda: torch.cat([first, model.edit(many, before, after, share, guidance)]), 1
    if options.components:
        counts = options.components
        wrong = [count for count in counts if not 1 <= count <= model.clip.dims]
        if wrong:
            raise InputError(
                f"--components {wrong[0]}: expected 1 to {model.clip.dims}, the dimensions of "
                "CLIP's space."
            )

        def rebuild() -> "Tensor":
            rebuilt = [model.rebuild(first, count, guidance) for count in counts]
            return torch.cat([*rebuilt, first])

        return rebuild, len(counts)
    return lambda: torch.cat([first, model.vary(first, n, options.eta, guidance)]), 1


# ---------------------------------------------------------------------------- helpers of both verbs


def _add_common(parser: Parser, out: str, guidance: str) -> None:
    parser.add_argument("--guidance", type=float | None, default=None, help=guidance)
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same pictures")
    parser.add_argument(
        "--model",
        type=str | None,
        default=None,
        help="folder of an unCLIP; the package's own by default",
    )
    parser.add_argument("--out", type=str, default=out, help="a .png to write")


def _check(options: Any, **ranges: Range) -> None:
    """Raise `InputError` for an option that is given and out of its range."""
    for name, allowed in (ranges | {"seed": SEED, "guidance": Range(0)}).items():
        if options[name] is not None:
            check({f"--{name}": allowed}, **{f"--{name}": options[name]})
    if Path(options.out).suffix != ".png":
        raise InputError(
            f"Cannot write pictures as {options.out!r}: expected a name that ends in .png."
        )


def _model(options: Any) -> "UnCLIP":
    import torch

    from genzoo.unclip.pretrained import pretrained

    torch.manual_seed(options.seed)
    return pretrained(options.model)


def _drawn(
    draw: Callable[[], "Tensor"], model: "UnCLIP", evaluations: int
) -> tuple["Tensor", float]:
    """The pictures of ``draw``, and the seconds that it takes.

    The bar counts evaluations of the decoder's network.
    """
    with bars(console()) as progress:
        task = progress.add_task("drawing", total=evaluations, text="")
        hook = model.decoder.network.register_forward_hook(lambda *_: progress.advance(task))
        start = time.perf_counter()
        pictures = draw()
        seconds = time.perf_counter() - start
        hook.remove()
    return pictures.cpu(), seconds


def _read(path: str, side: int) -> "Tensor":
    """A picture as an event ``(3, side, side)``."""
    import torch

    from genzoo import grid
    from genzoo.gate import pictures

    pixels = torch.from_numpy(pictures.read(Path(path), side).copy())
    return grid.to_grid(pixels.movedim(2, 0), 256)


def _write(pictures: "Tensor", out: str) -> None:
    from genzoo.benchmark.report.pictures import grid

    Path(out).parent.mkdir(parents=True, exist_ok=True)
    grid(out, pictures.numpy(), (-1.0, 1.0))
