"""Write the data of the course's interactive figures: ``docs/_static/play/data/*.js``.

    python experiments/export_play.py             # all of them
    python experiments/export_play.py world fit   # these only
    python experiments/export_play.py --stills    # the figures' first states as pictures

What a figure shows is the library's: its data sets, its densities, and small models that are
trained here with fixed seeds, each in about a minute on one core. Two-dimensional models become
tables, decoders of pictures their weights in half precision. Each file says in its first line how
it was made. The pictures are taken by Chromium.
"""

import argparse
import base64
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

import genzoo
from genzoo.data import Split
from genzoo.families.flow import TAIL

PLAY = Path(__file__).parents[1] / "docs" / "_static" / "play"
DATA = PLAY / "data"
RECORDS = Path(__file__).parent / "records"

Content = dict[str, Any]
makers: dict[str, Callable[[], tuple[str, Content]]] = {}


def maker(make: Callable[[], tuple[str, Content]]) -> Callable[[], tuple[str, Content]]:
    """Register a function that returns a file's provenance, in a sentence, and its content."""
    makers[make.__name__] = make
    return make


def rounded(x: Tensor, digits: int = 3) -> list[Any]:
    """Numbers of a tensor as nested lists, with so many digits after the point."""
    return np.round(x.detach().double().numpy(), digits).tolist()


def packed(x: Tensor | np.ndarray, kind: str) -> str:
    """A tensor as base64 of a NumPy type, little-endian: gz.js's ``unpack`` reads it."""
    array = x.detach().numpy() if isinstance(x, Tensor) else x
    return base64.b64encode(array.astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def labels_of(split: Split, n: int) -> list[Any]:
    """The first ``n`` conditions."""
    assert split.c is not None
    return split.c[:n].tolist()


# ------------------------------------------------------------------------------------ data sets


@maker
def world() -> tuple[str, Content]:
    """The map as run lengths (sea first, row by row from the north) in base 36, and points."""
    from genzoo.data.synthetic import landmass

    cells = landmass.mask().numpy().ravel().astype(int)
    ends = np.flatnonzero(np.diff(cells, prepend=0, append=1 - cells[-1]))
    runs = np.diff(ends, prepend=0)
    data = genzoo.data.load("landmass")
    rows, columns = landmass.mask().shape
    content = {
        "rows": rows,
        "columns": columns,
        "runs": " ".join(np.base_repr(run, 36).lower() for run in runs),
        "seen": rounded(data.train.x[:20], 4),
        "held": rounded(data.test.x[:400], 4),
        "entropy": data.entropy,
    }
    return "landmass: its mask, 20 training points and 400 test points", content


@maker
def cloud() -> tuple[str, Content]:
    """The Gaussian mixtures in one and two dimensions."""
    from genzoo.data.synthetic import gaussians

    content: Content = {}
    for dims, n in ((1, 20), (2, 400)):
        which, law = gaussians.components(dims)
        data = genzoo.data.load("gaussians", dims=dims)
        content[f"d{dims}"] = {
            "weights": which.probs.tolist(),
            "means": law.loc.tolist(),
            "covariances": law.covariance_matrix.tolist(),
            "points": rounded(data.train.x[:n]),
            "held": rounded(data.test.x[:n]),
            "labels": labels_of(data.train, n),
            "held_labels": labels_of(data.test, n),
            "entropy": data.entropy,
        }
    return "gaussians in 1 and 2 dimensions: components, training and test points", content


@maker
def moons() -> tuple[str, Content]:
    """Two moons, standardised by hand to mean 0 and a spread of about 1."""
    data = genzoo.data.load("moons")
    return "moons: training and test points, less (0.5, 0.25)", {
        "points": rounded(data.train.x[:240] - torch.tensor([0.5, 0.25])),
        "held": rounded(data.test.x[:240] - torch.tensor([0.5, 0.25])),
        "labels": labels_of(data.train, 240),
    }


# --------------------------------------------------------------------------------- small networks


class Plain(nn.Module):
    """A multilayer perceptron that has no use for the condition's embedding."""

    def __init__(self, *sizes: int, shape: tuple[int, ...] = ()):
        super().__init__()
        self.shape = shape or sizes[-1:]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = x.flatten(1)
        for i, layer in enumerate(self.layers):
            h = layer(h if i == 0 else torch.nn.functional.silu(h))
        return h.view(-1, *self.shape)

    def weights(self, rows: slice) -> list[dict[str, Any]]:
        """In half precision, of the last layer's numbers those ``rows`` alone."""
        found = []
        for layer in self.layers:
            part = rows if layer is self.layers[-1] else slice(None)
            weight, bias = layer.weight[part], layer.bias[part]  # type: ignore[index]
            size = {"in": weight.shape[1], "out": len(weight)}
            found.append({**size, "w": packed(weight, "f2"), "b": packed(bias, "f2")})
        return found


class Snapshots(L.Callback):
    """Calls ``look(model, step)`` before each of these steps."""

    def __init__(self, steps: Sequence[int], look: Callable[[Any, int], None]):
        self.steps, self.look, self.done = set(steps), look, 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.done in self.steps:
            self.look(pl_module, self.done)
        self.done += 1


def quantised(x: Tensor, reach: float) -> str:
    """Numbers in [-reach, reach] as int16."""
    return packed((x.detach() / reach * 32767).round().clamp(-32767, 32767), "i2")


def train(model: Any, data: Any, steps: int, batch_size: int, **options: Any) -> None:
    """As `genzoo.fit`, with few looks at the validation data, which cost more than the steps."""
    x, c = data.validation.x[:300], data.validation.c
    small = replace(data, validation=Split(x, None if c is None else c[:300]))
    genzoo.fit(model, small, steps=steps, batch_size=batch_size, check_every=steps // 4, **options)


# --------------------------------------------------------------- trained, in two dimensions


def bent_flow() -> genzoo.Flow:
    """A flow of four couplings whose networks are plain perceptrons, untrained."""
    width = 48

    def network(shape: tuple[int, ...], outputs: int) -> nn.Module:
        return Plain(shape[0], width, width, outputs)

    return genzoo.Flow((2,), width=width, couplings=4, lr=3e-3, network=network)


def pairs_of(flow: Any) -> list[Any]:
    """Linear map and coupling of each layer, in their order from latent to data."""
    layers = list(flow.transform._transforms[0]._transforms)[1:]
    return [layers[i : i + 2] for i in range(0, len(layers), 2)][::-1]


@maker
def bend() -> tuple[str, Content]:
    """A flow with all its weights, so that the figure computes it layer by layer.

    The weights are rounded to half precision here, so the flow that is exported is the one that
    the check's values are of.
    """
    data = genzoo.data.load("moons")
    model = bent_flow()
    train(model, data, 1000, 128)
    model.half().double()
    pairs = pairs_of(model)

    @torch.no_grad()
    def track(z: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Places and log|det| of the map from z, after none, one, two, ... layers."""
        e = model.embed(None, len(z))
        places, stretch = [z], [torch.zeros(len(z)).double()]
        for pair in pairs:
            log_det = torch.zeros(len(z)).double()
            for layer in reversed(pair):
                z, change = layer.inverse(z, e)
                log_det = log_det + change
            places.append(z)
            stretch.append(stretch[-1] + log_det)
        return places, stretch

    def layer(linear: Any, coupling: Any) -> dict[str, Any]:
        """What one layer does on the way from latent to data: a spline, then a matrix."""
        return {
            "passes": int(coupling.identity_features),
            "network": coupling.transform_net.weights(slice(None)),
            "matrix": linear.weight().inverse().tolist(),
            "shift": linear.bias.tolist(),
        }

    reach = 2.7
    points = data.test.x[:260].double()
    trail, _ = track(model.encode(points))
    assert (trail[-1] - points).abs().max() < 1e-3
    z = (torch.rand(4000, 2).double() * 2 - 1) * reach
    steepest = track(z)[1][-1].abs().topk(20).indices
    z = torch.cat([z[:20], z[steepest]]).mul(1000).round() / 1000
    places, stretch = track(z)
    log_prob = model.log_prob(places[-1])
    return "a flow of 4 couplings on the moons, 1,000 steps, its weights in half precision", {
        "n": 49,
        "reach": reach,
        "tail": TAIL,
        "root": model.width**0.5,
        "layers": [layer(*pair) for pair in pairs],
        "points": [rounded(p) for p in trail],
        "check": {
            "z": rounded(z, 3),
            "places": [rounded(p, 5) for p in places],
            "stretch": [rounded(s, 5) for s in stretch],
            "log_prob": rounded(log_prob, 5),
        },
    }


@maker
def walkers() -> tuple[str, Content]:
    """An energy's landscape and its slopes, on a grid."""
    data = genzoo.data.load("moons")
    model: Any = genzoo.load(RECORDS / "course" / "energy-moons")
    n, low, high = 112, (-2.6, -2.2), (3.6, 2.7)
    across, up = (torch.linspace(a, b, n) for a, b in zip(low, high, strict=True))
    x = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).view(-1, 2)
    x.requires_grad_(True)
    energy = model.energy(x)
    (slope,) = torch.autograd.grad(energy.sum(), x)
    least = energy.min().item()
    energy = (energy - least).detach()
    reach, steepest = energy.max().item(), slope.abs().max().item()
    places = torch.rand(12, 2) * torch.tensor([3.6, 2.4]) - torch.tensor([1.3, 1.0])
    return "energies of experiments/records/course/energy-moons, less the least", {
        "n": n,
        "low": low,
        "high": high,
        "scale": [reach, steepest],
        "energy": quantised(energy, reach),
        "slope": [quantised(slope[:, k], steepest) for k in range(2)],
        "samples": rounded(model.sample(300), 2),
        "points": rounded(data.test.x[:200], 2),
        "check": {"x": rounded(places, 4), "energy": rounded(model.energy(places) - least, 4)},
    }


@maker
def game() -> tuple[str, Content]:
    """A GAN in three runs that differ in the weight of R1: samples, critic, losses on the way."""
    from genzoo.families.gan import critic_loss, generator_loss

    data = genzoo.data.load("moons")
    n, low, high = 32, (-1.9, -1.5), (2.9, 2.0)
    steps = [round(1400 * (k / 23) ** 1.7) for k in range(24)]  # the most happens first
    across, up = (torch.linspace(a, b, n) for a, b in zip(low, high, strict=True))
    places = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).view(-1, 2)
    runs = []
    for gamma in (0.0, 0.1, 10.0):
        torch.manual_seed(1)
        model = genzoo.GAN((2,), latent_shape=(4,), width=48, lr=4e-3, gamma=gamma)
        noise = torch.randn(160, 4)
        seen: list[dict[str, Any]] = []

        def look(model: Any, step: int, seen: list = seen, noise: Tensor = noise) -> None:
            training = model.training
            model.eval()
            with torch.no_grad():
                fake, field = model.generate(noise), model.score(places)
                theirs = generator_loss(model.score, fake, None).mean().item()
                right = (model.score(data.test.x) > 0).float().mean().item()
                found = (model.score(fake) < 0).float().mean().item()
            with torch.enable_grad():
                critics = critic_loss(model.score, data.test.x[:160], fake, None, 0.0).mean().item()
            model.train(training)
            most = field.abs().max().item()
            seen.append(
                {
                    "step": step,
                    "samples": packed((fake * 8000).round().clamp(-32767, 32767), "i2"),
                    "critic": packed((field / most * 127).round(), "i1"),
                    "most": round(most, 3),
                    "losses": [round(theirs, 3), round(critics, 3)],
                    "right": round((right + found) / 2, 3),
                }
            )

        train(model, data, 1404, 64, callbacks=[Snapshots(steps, look)])
        runs.append({"gamma": gamma, "shots": seen})
    return "three GANs on the moons, seed 1, seen at 24 of their first 1,400 steps", {
        "n": n,
        "low": low,
        "high": high,
        "runs": runs,
        "points": rounded(data.test.x[:160], 2),
    }


# ------------------------------------------------------------------------- trained, as half weights


class Weighted(genzoo.VAE):
    """A VAE whose KL term weighs ``beta``, on top of the warm-up."""

    beta = 1.0

    @property
    def kl_weight(self) -> float:
        return self.beta * super().kl_weight


def with_plain_networks(data: Any, width: int, beta: float = 1.0) -> Any:
    """A VAE of two latents between perceptrons, each pixel one discretised logistic."""
    dims = data.dims
    encoder = Plain(dims, 2 * width, width, 4)
    decoder = Plain(2, width, width, 3 * dims, shape=(3, *data.event_shape))
    model = Weighted(
        data.event_shape,
        levels=data.levels,
        latent_shape=(2,),
        components=1,
        encoder=encoder,
        decoder=decoder,
        lr=3e-3,
    )
    model.beta = beta
    return model


def locations(model: Any, data: Any) -> list[dict[str, Any]]:
    """The decoder up to the locations, which of one component are the means of the pixels."""
    return model.decoder.weights(slice(data.dims, 2 * data.dims))  # after as many logits


@maker
def tins() -> tuple[str, Content]:
    """The tins' VAE: where real tins lie in its latent plane, and its decoder."""
    from genzoo.data.synthetic import biscuits

    data = genzoo.data.load("biscuits")
    model = with_plain_networks(data, 64)
    train(model, data, 1200, 128)
    z = model.encode(data.test.x[:700]).detach()
    size = biscuits.sizes(torch.tensor(labels_of(data.test, 700)))
    every = torch.cartesian_prod(
        torch.tensor([*biscuits.HEIGHTS]), torch.tensor([*biscuits.WIDTHS])
    )
    clean = biscuits.draw(every[:, 0], every[:, 1]).flatten(1)
    ones = torch.ones(len(z), 1)
    steps = torch.linalg.lstsq(torch.cat([size.float(), ones], 1), z).solution
    probe = torch.randn(6, 2)
    return "a VAE of two latents on biscuits, 1,200 steps; its decoder in half precision", {
        "side": biscuits.SIDE,
        "decoder": locations(model, data),
        "z": rounded(z, 2),
        "size": size.int().tolist(),
        "taller": rounded(steps[0], 4),
        "wider": rounded(steps[1], 4),
        "tins": every.tolist(),
        "clean": packed((clean * 255).round(), "u1"),
        "check": {
            "z": rounded(probe, 3),
            "x": rounded(model.decode(probe.mul(1000).round() / 1000).flatten(1), 3),
        },
    }


@maker
def latent() -> tuple[str, Content]:
    """Digits in two latents, for four weights of the KL term."""
    data = genzoo.data.load("digits")
    switches = []
    for beta in (0.0, 0.1, 1.0, 4.0):
        torch.manual_seed(0)
        model = with_plain_networks(data, 64, beta)
        train(model, data, 700, 128)
        with torch.no_grad():
            q = model.q(data.test.x)
            mean, std = q.mean, q.stddev
            bound = torch.stack([torch.stack(model.terms(data.test.x)) for _ in range(32)]).mean(0)
        probe = torch.randn(4, 2).mul(100).round() / 100
        switches.append(
            {
                "beta": beta,
                "decoder": locations(model, data),
                "z": rounded(mean[:350], 2),
                "std": rounded(std[:350], 3),
                "nats": [round(v, 2) for v in bound.mean(1).tolist()],
                "check": {"z": rounded(probe, 2), "x": rounded(model.decode(probe).flatten(1), 3)},
            }
        )
    return "VAEs of two latents on digits, 700 steps each, KL term weighted by beta", {
        "side": 8,
        "labels": labels_of(data.test, 350),
        "runs": switches,
    }


@maker
def pixel() -> tuple[str, Content]:
    """A small autoregressive model of digits, all its weights in half precision."""
    data = genzoo.data.load("digits")
    model = genzoo.Autoregressive(
        data.event_shape,
        levels=data.levels,
        width=20,
        depth=2,
        kernel=5,
        components=4,
        frequencies=(2, 6),
        lr=4e-3,
    )
    train(model, data, 600, 64)
    network = model.network
    e = model.embedding(None, torch.zeros(1, dtype=torch.long))
    layers = []
    for layer in [network.first, *network.layers]:  # type: ignore[union-attr]
        gates = layer.convolution  # type: ignore[union-attr]
        bias = gates.bias + (0 if layer.film is None else layer.film(e)[0])
        kernel = gates.weight * layer.mask
        layers.append(
            {
                "in": kernel.shape[1],
                "out": kernel.shape[0] // 2,
                "w": packed(kernel, "f2"),
                "b": packed(bias, "f2"),
                "mix": packed(layer.mix.weight, "f2"),
                "mixb": packed(layer.mix.bias, "f2"),
            }
        )
    x = data.test.x[:4]
    with torch.no_grad():
        found = model.conditionals(x.flatten(1), None, torch.zeros(4, dtype=torch.long))
        levels = genzoo.grid.to_grid(torch.arange(17), 17)
        pmf = found.log_prob(levels[:, None, None].expand(17, 4, 64)).exp() * 2 / 17
    return (
        "an autoregressive model of digits, width 20, 600 steps",
        {
            "side": 8,
            "levels": 17,
            "kernel": [3, 5],
            "components": 4,
            "frequencies": [2, 6],
            "layers": layers,
            "position": packed(network.position, "f2"),  # type: ignore[arg-type]
            "head": packed(network.head.weight, "f2"),  # type: ignore[union-attr]
            "headb": packed(network.head.bias, "f2"),  # type: ignore[union-attr]
            "digits": [genzoo.grid.to_level(one, 17).flatten().tolist() for one in data.test.x[:8]],
            "check": {
                "bits": rounded(genzoo.grid.bits_per_dim(model.log_prob(x), 64, 17) * 64, 3),
                "pmf": rounded(pmf[:, :, 27].T, 5),
            },
        },
    )


@maker
def captions() -> tuple[str, Content]:
    """Four pictures for each of 64 captions, by the pretrained cascade, in one palette picture."""
    from io import BytesIO

    from PIL import Image

    from genzoo.data.scenes.captions import caption
    from genzoo.data.scenes.parser import compare_attributes, parse
    from genzoo.data.scenes.scene import COLOURS, SHAPES, Kind, Meaning, is_held_out
    from genzoo.unclip.measures import accuracy
    from genzoo.unclip.pretrained import pretrained

    n = 4
    model = pretrained()
    one = [Meaning((Kind(*kind),)) for kind in product(("small", "large"), COLOURS, SHAPES)]
    red, blue, yellow, purple = (
        Kind(None, *kind.split())
        for kind in ("red circle", "blue square", "yellow triangle", "purple cross")
    )
    pairs = [
        Meaning(things, layout)
        for first, second in ((red, blue), (yellow, purple), (red, purple), (blue, yellow))
        for things in ((first, second), (second, first))
        for layout in ("left of", "above")
    ]
    meanings = [*one, *pairs]
    asked = [caption(meaning, random.Random(3)) for meaning in meanings]
    torch.manual_seed(0)
    rows = [model.imagine(asked[i : i + 16], n=n) for i in range(0, len(asked), 16)]
    images = torch.cat(rows)  # (64 n, 3, 32, 32)
    every = [meaning for meaning in meanings for _ in range(n)]
    wrong = [
        [name for name, ok in compare_attributes(meaning, scene) if not ok]
        for meaning, scene in zip(every, parse(images), strict=True)
    ]
    each = accuracy(every, images).each
    images = images.view(len(asked), n, *images.shape[-3:])
    sheet = images.permute(0, 3, 1, 4, 2).reshape(len(asked) * 32, n * 32, 3)
    picture = Image.fromarray(((sheet + 1) * 127.5).round().clamp(0, 255).byte().numpy())
    stream = BytesIO()
    picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(
        stream, format="PNG", optimize=True
    )
    text = base64.b64encode(stream.getvalue()).decode()
    return "64 captions, four pictures each, by genzoo.unclip's pretrained cascade", {
        "captions": asked,
        "side": 32,
        "png": text,
        "things": [[[k.size, k.colour, k.shape] for k in m.things] for m in meanings],
        "layouts": [m.layout for m in meanings],
        "held": [is_held_out(m) for m in meanings],
        "wrong": [wrong[i : i + n] for i in range(0, len(wrong), n)],
        "each": {name: round(found.value or 0.0, 3) for name, found in each.items()},
    }


# ------------------------------------------------------------------------------------- pictures

STILL = """<!doctype html><meta charset=utf-8><link rel=stylesheet href="{play}/play.css">
<style>
body {{ margin: 0; font: 16px/1.5 sans-serif; background: #fff }}
.gp {{ margin: 0 !important; box-shadow: none !important; border-radius: 0 !important }}
.gp .gp-foot {{ display: none }}
</style>
<body data-theme=light><div data-play={name}></div>
<script src="{play}/gz.js"></script>{data}<script src="{play}/{name}.js"></script>
"""


def page(name: str, template: str = STILL) -> str:
    """A small page that holds the figure and nothing else."""
    plays = json.loads((PLAY / "plays.json").read_text(encoding="utf-8"))
    script = '<script src="{}/data/{}.js"></script>'
    data = "".join(script.format(PLAY.as_uri(), one) for one in plays[name]["data"])
    return template.format(name=name, play=PLAY.as_uri(), data=data)


WIDE, HIGH, COLUMNS, SHARP = 760, 1300, 4, 1.25  # of a figure's frame, in pixels


def stills(names: list[str]) -> None:
    """The figures' first states as ``NAME.png``, for print and for readers without JavaScript.

    All are taken at once, in frames side by side.
    """
    from PIL import Image, ImageChops

    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("Pictures of the figures need Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        frames = []
        for name in names:
            file = Path(folder) / f"{name}.html"
            file.write_text(page(name), encoding="utf-8")
            frames.append(f'<iframe src="{file.name}" width={WIDE} height={HIGH}></iframe>')
        body = f"body {{ margin: 0; width: {WIDE * COLUMNS}px; line-height: 0 }}"
        style = f"{body} iframe {{ border: 0 }}"
        source, target = Path(folder) / "all.html", Path(folder) / "all.png"
        text = f"<!doctype html><style>{style}</style><body>{''.join(frames)}"
        source.write_text(text, encoding="utf-8")
        rows = -(-len(names) // COLUMNS)
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        motion = ["--force-prefers-reduced-motion", "--virtual-time-budget=6000"]
        size = [f"--window-size={WIDE * COLUMNS},{HIGH * rows}"]
        command = [browser, *flags, *motion, *size, f"--force-device-scale-factor={SHARP}"]
        command += ["--allow-file-access-from-files", f"--screenshot={target}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        album = Image.open(target).convert("RGB")
    wide, high = int(WIDE * SHARP), int(HIGH * SHARP)
    for i, name in enumerate(names):
        left, top = i % COLUMNS * wide, i // COLUMNS * high
        picture = album.crop((left, top, left + wide, top + high))
        white = Image.new("RGB", picture.size, "white")
        box = ImageChops.difference(picture, white).getbbox()
        if box is None:
            raise SystemExit(f"The figure {name} has drawn nothing.")
        cut = picture.crop((0, 0, wide, min(high, box[3] + 2)))
        cut.quantize(128).save(PLAY / f"{name}.png", optimize=True)
        print(f"{name}.png {(PLAY / f'{name}.png').stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="of data files, or with --stills of figures")
    parser.add_argument("--stills", action="store_true", help="draw the figures' first states")
    given = parser.parse_args()
    if given.stills:
        plays = json.loads((PLAY / "plays.json").read_text(encoding="utf-8"))
        stills(given.names or list(plays))
        return
    DATA.mkdir(exist_ok=True)
    for name in given.names or makers:
        torch.manual_seed(0)
        about, content = makers[name]()
        head = f"// {about}. Made by experiments/export_play.py, seed 0.\n"
        text = f"{head}GZ.give({json.dumps(name)}, {json.dumps(content, separators=(',', ':'))});\n"
        (DATA / f"{name}.js").write_text(text, encoding="utf-8")
        print(f"{name}.js {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
