"""What a trained unCLIP can do, measured by rule.

The record that its pages, tables and claims come from.

    genzoo train unclip --text_decoder --out runs/unclip      (trains what is measured here)
    python experiments/unclip.py runs/unclip                  writes unclip.json and pictures to
                                                              experiments/records
    python experiments/unclip.py --only sweeps                measures the unCLIP that comes with
                                                              the package

Sections, each of which can be made again by itself (``--only``), the others staying as they are:

    clip           retrieval and zero-shot reading of attributes
    faithfulness   attributes that pictures show, and FD in CLIP's space: with this prior, the other
                   one, none
    chance         the same of true pictures of the prompts, the best there is, and of true pictures
                   of others, chance
    sweeps         both guidances, re-ranking and the decoder's steps, one at a time
    seconds        for sixteen pictures on two cores, by steps of the decoder: wants a quiet machine
    variations     what they keep and what they change, by eta
    interpolation  how many pictures on the way are scenes
    edits          by words: whether they change what they should and nothing else, by attribute
    components     attributes that a picture keeps when it is rebuilt from the first principal
                   components

Prompts are a quarter each of one thing and two, seen and held out. Settings are looked at on other
prompts (`SWEPT`) than those of the table that they are chosen for (`MAIN`). Every figure comes with
its error, in the record as `Figure.to_json` gives it.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

import genzoo
from genzoo.benchmark.provenance import provenance
from genzoo.data.scenes import captions as words
from genzoo.data.scenes.captions import captioned, tokenise, understand
from genzoo.data.scenes.scene import arrange, draw, render
from genzoo.evaluation.figures import Figure, mean, share_of
from genzoo.evaluation.samples import distances
from genzoo.evaluation.samples.distances import with_errors
from genzoo.files import whole
from genzoo.unclip import UnCLIP
from genzoo.unclip import measures as by_rule
from genzoo.unclip.pretrained import pretrained

# seeds of the prompts of the table, and of those on which settings are looked at
MAIN, SWEPT = (
    0,
    1,
)
TOGETHER = 250  # pictures drawn at a time
UNSEEN = 10**6  # seed of the scenes that are measured on; training draws its own from its own seed

SHOWN = (  # in unclip.png; the first two are of combinations that training never showed
    "a large red circle left of a small blue square",
    "there is a large green triangle at the top",
    "on a grey background, a small yellow cross",
    "a small purple triangle above a large orange circle against a black background",
    "a blue circle",
    "in the middle there is a big red cross on a white background",
    "under a big yellow square there is a little green circle",
    "a purple square and to the right of it a small green cross",
)


@dataclass(frozen=True)
class Bench:
    """What is measured.

    The whole, and where there are such, one with the other prior and a decoder of text embeddings.
    """

    model: UnCLIP
    other: UnCLIP | None
    text_decoder: genzoo.Diffusion | None
    n: int  # prompts of the main table
    fewer: int  # of everything that is swept

    @property
    def device(self) -> torch.device:
        return self.model.clip.log_scale.device


Way = Callable[[Sequence[str]], Tensor]  # captions to pictures


# ------------------------------------------------------------------------------------- the sections


def clip(bench: Bench) -> dict[str, Any]:
    model, found = bench.model, {}
    embed_images = lambda x: model.embed_images(x.to(bench.device)).cpu()  # noqa: E731
    embed_texts = lambda tokens: model.embed_texts(tokens).cpu()  # noqa: E731
    for name, held_out in {"seen": False, "held out": True}.items():
        data = captioned(2 * bench.n, UNSEEN, held_out=held_out)
        found[name] = {
            "retrieval": plain(by_rule.retrieval(embed_images, embed_texts, data)._asdict()),
            "zero_shot": plain(by_rule.zero_shot(embed_images, embed_texts, data)),
        }
    return found


def faithfulness(bench: Bench) -> dict[str, Any]:
    """The ablation of the prior, from none to an embedding of the truth."""
    return {name: measured(way, bench, bench.n, MAIN) for name, way in ways(bench).items()}


def chance(bench: Bench) -> dict[str, Any]:
    """The ends of the scale.

    A picture of what was asked for, drawn again by rule, and one of what the next prompt asks for.
    """
    drawn = {
        "true pictures": lambda captions: true_pictures(captions, 2),
        "unrelated true pictures": lambda captions: true_pictures([*captions[1:], captions[0]], 2),
    }
    return {name: measured(way, bench, bench.n, MAIN) for name, way in drawn.items()}


def ways(bench: Bench) -> dict[str, Way]:
    """Ways from a caption to a picture; all that is not mentioned is the same."""
    model, guidance = bench.model, bench.model.guidance
    texts = lambda captions: model.embed_texts(tokenise(captions))  # noqa: E731
    found: dict[str, Way] = {
        "text embedding into the decoder": lambda captions: model.decoder.sample(
            len(captions), texts(captions), guidance
        )
    }
    if (decoder := bench.text_decoder) is not None:
        found["decoder of text embeddings"] = lambda captions: decoder.sample(
            len(captions), texts(captions), guidance
        )
    if (other := bench.other) is not None:
        found["autoregressive prior"] = lambda captions: other.imagine(captions)
    return found | {
        "diffusion prior": lambda captions: model.imagine(captions),
        "embedding of a true picture": lambda captions: model.decoder.sample(
            len(captions), model.embed_images(true_pictures(captions, 1).to(bench.device)), guidance
        ),
    }


def sweeps(bench: Bench) -> dict[str, Any]:
    """One setting at a time, the others as they are by default.

    A row for the defaults, and the floor of FD at this n.
    """
    model = bench.model
    defaults = {
        "guidance": model.guidance,
        "prior_guidance": model.prior_guidance,
        "candidates": model.candidates,
        "steps": model.decoder.steps,
    }
    tried = {
        "guidance": (1.0, 1.5, 3.0, 4.0),
        "prior_guidance": (1.0, 1.5, 3.0),
        "candidates": (1, 4, 8),
        "steps": (5, 10, 40),
    }
    settings = {"as by default": {}} | {
        f"{name.replace('_', ' ')} {value:g}": {name: value}
        for name, values in tried.items()
        for value in values
        if value != defaults[name]
    }
    rows = {}
    for told, options in settings.items():
        start = time.perf_counter()
        rows[told] = measured(partial(imagined, model, options), bench, bench.fewer, SWEPT)
        print(f"  {told}: {time.perf_counter() - start:.0f} s", flush=True)
    rows["true pictures"] = measured(
        lambda captions: true_pictures(captions, 2), bench, bench.fewer, SWEPT
    )
    return {"defaults": defaults, "rows": rows}


def imagined(model: UnCLIP, options: Mapping[str, Any], captions: Sequence[str]) -> Tensor:
    return model.imagine(captions, **options)


def seconds(bench: Bench) -> dict[str, float]:
    """Median of three, on two cores of the processor, after a first time that is not counted."""
    model, device, threads = bench.model, bench.device, torch.get_num_threads()
    torch.set_num_threads(2)
    model.to("cpu")
    model.imagine(SHOWN[0], 16, steps=2)
    counts = sorted({5, 10, model.decoder.steps, 40})
    found = {
        k: statistics.median(
            timed(lambda k=k: model.imagine(SHOWN[0], 16, steps=k)) for _ in range(3)
        )
        for k in counts
    }
    model.to(device)
    torch.set_num_threads(threads)
    return {f"{k}": round(taken, 3) for k, taken in found.items()}


def variations(bench: Bench) -> dict[str, Any]:
    data = captioned(max(20, bench.fewer // 4), UNSEEN + 1)
    found = {}
    for eta in (0.0, 0.5, 1.0):
        seed()
        varied = batched(
            lambda x, eta=eta: bench.model.vary(x, 4, eta), data.images, bench
        ).unflatten(0, (-1, 4))
        found[f"eta {eta:g}"] = plain(by_rule.variation(data.scenes, data.images, varied))
    return found


def interpolation(bench: Bench) -> dict[str, Any]:
    """Pairs of scenes with as many things: all others must make or lose one on the way."""
    count, length = max(10, bench.fewer // 20), 9
    found = {}
    for things in (1, 2):
        pairs = (
            captioned(2 * count, UNSEEN + 2, things)
            .images.to(bench.device)
            .unflatten(0, (2, count))
        )
        paths = torch.stack(
            [
                bench.model.interpolate_images(*ends, steps=length).cpu()
                for ends in zip(*pairs, strict=True)
            ],
            1,
        )
        found[f"things {things}"] = {
            "paths": count,
            "sensible": plain([by_rule.sense(images) for images in paths]),
        }
    return found


def edits(bench: Bench) -> dict[str, Any]:
    """What edits change and keep.

    "in short": by captions that name the thing and the attribute to be changed, and no more.
    """
    model = bench.model
    drawn_anew = lambda x, before, after: model.render(  # noqa: E731
        model.draw_embedding(len(x), tokenise(after)),
        model.invert(x)[1],
        guidance=model.guidance,
    )
    ways = {"edit": model.edit, "drawn anew": drawn_anew}
    ways |= {
        f"text diff {share:g}": partial(model.text_diff, share=share)
        for share in (0.25, 0.35, 0.45)
    }
    attributes = ("size", "colour", "shape", "background", "place")
    found = {
        name: {a: edited(way, bench, a, short=False) for a in attributes}
        for name, way in ways.items()
    }
    for name in ("edit", "drawn anew", "text diff 0.35"):
        found[f"{name}, in short"] = {
            a: edited(ways[name], bench, a, short=True) for a in attributes
        }
    return found


def edited(way: Callable[..., Tensor], bench: Bench, attribute: str, short: bool) -> dict[str, Any]:
    seed()
    chosen = by_rule.some_edits(max(20, bench.fewer // 4), attribute, seed=UNSEEN + 3, short=short)
    x = render([edit.scene for edit in chosen], torch.Generator().manual_seed(0)).to(bench.device)
    pictures = way(x, [edit.before for edit in chosen], [edit.after for edit in chosen]).cpu()
    return plain(by_rule.accuracy([edit.wanted for edit in chosen], pictures))


def components(bench: Bench) -> dict[str, Any]:
    data = captioned(max(20, bench.fewer // 4), UNSEEN + 4)
    meanings, dims = [scene.meaning for scene in data.scenes], bench.model.clip.dims
    counts = [k for k in (1, 2, 3, 5, 8, 12, 20, 32, 48, 64) if k < dims] + [dims]
    rebuilt = {
        k: batched(lambda x, k=k: bench.model.rebuild(x, k), data.images, bench) for k in counts
    }
    return {f"{k}": plain(by_rule.accuracy(meanings, images)) for k, images in rebuilt.items()}


def captions(run: str) -> dict[str, Any]:
    """What an autoregressive model of captions writes.

    The share that is grammatical, and that no training caption equals.
    """
    model = genzoo.load(run)
    seed()
    data = words.captions()
    written = words.read(model.sample(1000))
    fluency = words.fluency(written, words.read(data.train.x))
    n = len(written)
    return {
        "grammatical": share_of(fluency.grammatical, n).to_json(),
        "new": share_of(fluency.new, round(n * fluency.grammatical)).to_json(),
        "n": n,
        "test_nats": mean(-model.log_prob(data.test.x)).to_json(),
        "some": written[:8],
    }


# ---------------------------------------------------------------------------------- what they share


def measured(way: Way, bench: Bench, n: int, prompts_of: int) -> dict[str, Any]:
    """Accuracies of what a way makes of n prompts, by kind, and its FD.

    It is the distance to true pictures of the same prompts (by their own size).

    FD is measured between pictures of the same prompts, so the halves by which its error is told
    are halves of the prompts.
    """
    made, prompts = [], []

    def imagine(texts: Sequence[str]) -> Tensor:
        seed()
        parts = [texts[i : i + TOGETHER] for i in range(0, len(texts), TOGETHER)]
        images = torch.cat([way(part).cpu() for part in parts])
        made.append(images)
        prompts.extend(texts)
        return images

    def fd(pairs: Tensor, _: Tensor) -> dict[str, float]:
        return {"fd": distances.frechet(*pairs.chunk(2, 1))}

    rows = plain(by_rule.faithfulness(imagine, n, prompts_of))
    pairs = torch.cat(
        [embedded(images, bench) for images in (torch.cat(made), true_pictures(prompts, 3))], 1
    )
    seed()
    distance = with_errors(fd, pairs, pairs)["fd"]
    return {"prompts": rows, "fd": distance.to_json(), "n": len(prompts), "prompts_of": prompts_of}


def embedded(images: Tensor, bench: Bench) -> Tensor:
    """CLIP's embeddings of pictures, ``(n, dims)``."""
    return torch.cat(
        [bench.model.clip.embed_images(x.to(bench.device)).cpu() for x in images.split(TOGETHER)]
    )


def true_pictures(texts: Sequence[str], seed: int) -> Tensor:
    """Pictures of which captions are true, drawn by rule, what they leave open at random."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    return render([arrange(understand(text), rng) for text in texts], generator)


def batched(function: Callable[[Tensor], Tensor], x: Tensor, bench: Bench) -> Tensor:
    return torch.cat([function(part.to(bench.device)).cpu() for part in x.split(50)])


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def seed() -> None:
    """The same noise for whatever is compared."""
    torch.manual_seed(0)


# ------------------------------------------------------------------------------------- the pictures


def pictures(bench: Bench, out: Path) -> list[str]:
    """PNG files in ``out``, a row for each caption, way, picture or number."""
    model, device = bench.model, bench.device
    seed()
    rows = {text: model.imagine(text, 10) for text in SHOWN}
    ablation = {name: way([SHOWN[0]] * 10) for name, way in ways(bench).items()}
    scenes = draw(4, random.Random(UNSEEN), 2)
    originals = render(scenes, torch.Generator().manual_seed(0)).to(device)
    varied = {
        f"{i + 1}: the original, then variations": torch.cat([x[None], model.vary(x[None], 9)])
        for i, x in enumerate(originals)
    }
    ways_between = {
        f"from {i + 1} to {i + 2}": model.interpolate_images(originals[i], originals[i + 1], 10)
        for i in range(3)
    }
    share = torch.linspace(0, 1, 10)
    chosen = [
        by_rule.some_edits(1, a, seed=UNSEEN + i)[0]
        for i, a in enumerate(("size", "colour", "shape", "background"))
    ]
    begun = render([edit.scene for edit in chosen], torch.Generator().manual_seed(0)).to(device)
    diffs = {
        f"{edit.before} → {edit.after}": model.edit(
            x.expand(10, *x.shape), edit.before, edit.after, share
        )
        for x, edit in zip(begun, chosen, strict=True)
    }
    counts = [1, 2, 3, 5, 8, 12, 20, 32, model.clip.dims]
    probe = {
        f"{i + 1}: from {', '.join(map(str, counts))} components; the original": torch.cat(
            [*(model.rebuild(x[None], k) for k in counts), x[None]]
        )
        for i, x in enumerate(originals)
    }
    files = {
        "unclip.png": rows,
        "unclip-prior.png": ablation,
        "unclip-variations.png": varied,
        "unclip-paths.png": ways_between,
        "unclip-edits.png": diffs,
        "unclip-components.png": probe,
    }
    for name, strips in files.items():
        captioned_rows(out / name, strips)
    return list(files)


def captioned_rows(path: Path, rows: Mapping[str, Tensor]) -> None:
    """A PNG with a line of text above each row of pictures ``(n, 3, h, w)``."""
    from matplotlib.figure import Figure
    from torchvision.utils import make_grid

    figure = Figure((7.2, 0.95 * len(rows)), layout="constrained")
    for axis, (text, images) in zip(
        figure.subplots(len(rows), squeeze=False).flat, rows.items(), strict=True
    ):
        strip = make_grid((images.cpu() + 1) / 2, nrow=len(images), padding=2, pad_value=1.0)
        axis.imshow(strip.movedim(0, 2).clamp(0, 1), interpolation="nearest")
        axis.set_title(text, fontsize=8, loc="left", pad=3)
        axis.axis("off")
    with whole(path) as draft:
        figure.savefig(draft, dpi=120)


# --------------------------------------------------------------------------------------- the record


SECTIONS = {
    "clip": clip,
    "faithfulness": faithfulness,
    "chance": chance,
    "sweeps": sweeps,
    "seconds": seconds,
    "variations": variations,
    "interpolation": interpolation,
    "edits": edits,
    "components": components,
}


def main() -> None:
    options = _options()
    out, device = Path(options.out), "cuda" if torch.cuda.is_available() else "cpu"
    out.mkdir(parents=True, exist_ok=True)
    path = out / "unclip.json"
    record = json.loads(path.read_text()) if path.is_file() and options.only else {}
    bench = load(options.folder and Path(options.folder), device, options.n, options.fewer)
    if options.folder:
        record |= about(Path(options.folder), bench)
    here = asdict(provenance())
    for name in options.only or [*SECTIONS, "captions", "pictures"]:
        start = time.perf_counter()
        if name == "captions" and not options.captions:
            continue
        if name == "captions":
            record[name] = captions(options.captions)
        elif name == "pictures":
            record[name] = pictures(bench, out)
        else:
            record[name] = SECTIONS[name](bench)
        taken = time.perf_counter() - start
        record.setdefault("measured", {})[name] = {"commit": here["commit"], "seconds": taken}
        with whole(path) as draft:
            draft.write_text(
                json.dumps(rounded(record), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        print(f"{name}: {taken:.0f} s", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "folder",
        nargs="?",
        help="of a finished genzoo train unclip; without one, the unCLIP of the package",
    )
    parser.add_argument("--out", default="experiments/records")
    parser.add_argument("--n", type=int, default=1000, help="prompts of the main table")
    parser.add_argument(
        "--fewer", type=int, default=400, help="prompts of everything that is swept"
    )
    parser.add_argument(
        "--captions", default=None, help="run of an autoregressive model of captions"
    )
    parser.add_argument(
        "--only", nargs="+", choices=[*SECTIONS, "captions", "pictures"], default=None
    )
    options = parser.parse_args()
    if not options.folder and not options.only:
        parser.error(
            "The whole record needs the folder of a training; of the package's unCLIP, name "
            "sections with --only."
        )
    return options


def load(folder: Path | None, device: str, n: int, fewer: int) -> Bench:
    if folder is None:
        return Bench(pretrained().to(device), None, None, n, fewer)
    model, other = (genzoo.load(folder / name).to(device) for name in ("model", "other"))
    text = folder / "text_decoder" / "model"
    return Bench(model, other, genzoo.load(text).to(device) if text.is_dir() else None, n, fewer)


def about(folder: Path, bench: Bench) -> dict[str, Any]:
    """How it was trained, seconds of each stage included, and what it was measured on."""
    stages = json.loads((folder / "stages.json").read_text())
    # that one is no part of the whole
    counted = {name: row for name, row in stages.items() if name != "text_decoder"}
    return {
        "genzoo": genzoo.__version__,
        "stages": stages,
        "train_seconds": sum(row["seconds"] for row in counted.values()),
        "parameters": sum(p.numel() for p in bench.model.parameters()),
        "defaults": {
            name: getattr(bench.model, name)
            for name in ("guidance", "prior_guidance", "candidates")
        }
        | {"steps": bench.model.decoder.steps},
        "n": bench.n,
        "device": torch.cuda.get_device_name() if bench.device.type == "cuda" else "processor",
        "seed": yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["seed"],
        **asdict(provenance()),
    }


def plain(value: Any) -> Any:
    """Measures in plain values, every `Figure` as it writes itself."""
    if isinstance(value, Figure):
        return value.to_json()
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    with torch.no_grad():
        main()
