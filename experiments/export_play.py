"""Write the data of the course's interactive figures: ``docs/_static/play/data/*.js``.

    python experiments/export_play.py             # all of them
    python experiments/export_play.py world fit   # these only
    python experiments/export_play.py --stills    # the figures' first states as pictures, by Chromium

What a figure shows is the library's: its data sets, its densities, and small models that are trained here
with fixed seeds, each in less than a minute on one core. Two-dimensional models become tables, decoders of
pictures their weights in half precision. Each file says in its first line how it was made.
"""

import argparse
import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import genzoo

PLAY = Path(__file__).parents[1] / "docs" / "_static" / "play"
DATA = PLAY / "data"

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
            "labels": data.train.c[:n].tolist(),
            "held_labels": data.test.c[:n].tolist(),
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
        "labels": data.train.c[:240].tolist(),
    }


# ------------------------------------------------------------------------------------- pictures

STILL = """<!doctype html><meta charset=utf-8><link rel=stylesheet href="{play}/play.css">
<style>body {{ margin: 0; font: 16px/1.5 sans-serif; background: #fff }}
.gp {{ margin: 0 !important; box-shadow: none !important; border-radius: 0 !important }} .gp-foot {{ display: none !important }}</style>
<body data-theme=light><div data-play={name}></div>
<script src="{play}/gz.js"></script>{data}<script src="{play}/{name}.js"></script>
<script>setTimeout(() => {{ document.title = Math.ceil(document.querySelector("[data-play]").getBoundingClientRect().height) }}, 900)</script>
"""


def page(name: str, template: str = STILL) -> str:
    """A small page that holds the figure and nothing else."""
    plays = json.loads((PLAY / "plays.json").read_text(encoding="utf-8"))
    script = '<script src="{}/data/{}.js"></script>'
    data = "".join(script.format(PLAY.as_uri(), one) for one in plays[name]["data"])
    return template.format(name=name, play=PLAY.as_uri(), data=data)


def still(name: str) -> None:
    """The figure's first state as ``NAME.png``, for print and for readers without JavaScript."""
    from PIL import Image, ImageChops

    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("Pictures of the figures need Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "page.html", Path(folder) / "shot.png"
        source.write_text(page(name), encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        motion = ["--force-prefers-reduced-motion", "--virtual-time-budget=4000"]
        size = ["--window-size=760,1400", "--force-device-scale-factor=1.5"]
        command = [browser, *flags, *motion, *size, f"--screenshot={target}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        picture = Image.open(target).convert("RGB")
        white = Image.new("RGB", picture.size, "white")
        _, _, _, bottom = ImageChops.difference(picture, white).getbbox() or (0, 0, 0, 1)
        cut = picture.crop((0, 0, picture.width, min(picture.height, bottom + 2)))
        cut.quantize(128).save(PLAY / f"{name}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="of data files, or with --stills of figures")
    parser.add_argument("--stills", action="store_true", help="draw the figures' first states")
    given = parser.parse_args()
    if given.stills:
        plays = json.loads((PLAY / "plays.json").read_text(encoding="utf-8"))
        for name in given.names or plays:
            still(name)
            print(f"{name}.png {(PLAY / f'{name}.png').stat().st_size / 1000:.0f} kB")
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
