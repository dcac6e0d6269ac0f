"""The pictures of a comparison, drawn from what its runs have left behind and from their models:
one file each.

A picture is made where it means something: maps of points whose density is known, ways through a
latent of models that have one, a row of every class of models that were told classes. Of each
family the first finished seed is shown, and nothing is chosen.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from genzoo.benchmark import tins
from genzoo.benchmark.baselines import SAMPLES, title
from genzoo.benchmark.codec import from_plain
from genzoo.benchmark.report import pictures, plots
from genzoo.benchmark.report.learning import curve
from genzoo.benchmark.report.page import Picture
from genzoo.benchmark.report.quality_table import OTHERS
from genzoo.benchmark.row import Row
from genzoo.data.dataset import DataSet
from genzoo.evaluation import representation
from genzoo.evaluation.likelihood import truth
from genzoo.evaluation.results import SweptGuidance
from genzoo.evaluation.samples import conditional, quality
from genzoo.evaluation.samples.sampling import draw
from genzoo.families.baselines import fitted
from genzoo.gate.arrays import read as read_arrays
from genzoo.model import GenerativeModel, Latent
from genzoo.progress import Progress
from genzoo.serialization import load

COLUMNS = 20  # small images in a row
WAY = 10  # steps of an interpolation
TINS, PIXELS = 4, (-2.0, -1.0, 0.0, 1.0, 2.0)  # made taller and lower, and by how much

REAL = "Real data"


@dataclass
class GalleryContext:
    """What there is to draw from.

    Args:
        folders: family -> the folder of its first finished run.
        rows: of all runs.
        logs: family -> the log of training of each of its runs.
        data: what all were trained on.
        budget: of the runs.
        models: family -> the model of its first finished run; those missing are loaded.
    """

    folders: Mapping[str, Path]
    rows: Sequence[Row]
    logs: Mapping[str, Sequence[Path]]
    data: DataSet
    budget: str
    models: dict[str, GenerativeModel] = field(default_factory=dict)

    def __post_init__(self):
        for family, folder in self.folders.items():
            if family not in self.models:
                self.models[family] = load(folder)

    @property
    def of_images(self) -> bool:
        return len(self.data.event_shape) == 3

    @property
    def limits(self) -> tuple[float, float]:
        """The values of black and white."""
        return self.data.test.x.min().item(), self.data.test.x.max().item()

    def with_latent(self) -> dict[str, GenerativeModel]:
        """The models in whose latent one can move about.

        Where it has to be searched for, that takes a while.
        """
        return {
            family: model for family, model in self.models.items() if model.latent != Latent.NONE
        }


def gallery(out: Path, show: GalleryContext, progress: Progress | None = None) -> list[Picture]:
    """Draw every picture of `PICTURES` that means something for these runs.

    Args:
        out: the folder of the pictures.
        show: what there is to draw from.
        progress: called with the title of each as it is being drawn.
    """
    drawn = []
    for i, (name, heading, about, paint) in enumerate(PICTURES):
        if progress:
            progress(i, len(PICTURES), heading)
        if paint(out / name, show):
            drawn.append(Picture(out / name, heading, about))
    if progress:
        progress(len(PICTURES), len(PICTURES), "")
    return drawn


# ----------------------------------------------------------------------------- samples and the data


def samples(path: Path, show: GalleryContext) -> bool:
    chosen = np.random.default_rng(0).permutation(len(show.data.test))[:2000]
    shown = {REAL: show.data.test.x[chosen].numpy()}
    for family, folder in show.folders.items():
        if "x" in (arrays := _arrays(folder, "samples.npz")):
            shown[family] = arrays["x"]
    pictures.picture(path, shown, COLUMNS)
    return True


def copies(path: Path, show: GalleryContext) -> bool:
    """The samples nearest to training events, over these; the same of test events."""
    if not show.of_images:
        return False

    def pairs(x: torch.Tensor) -> np.ndarray:
        return torch.cat(quality.closest(x, show.data, COLUMNS, quality.MOST[show.budget])).numpy()

    shown = {REAL: pairs(show.data.test.x[:2000])}
    for family, folder in show.folders.items():
        if "x" in (arrays := _arrays(folder, quality.SAMPLES)):
            shown[family] = pairs(torch.from_numpy(arrays["x"]))
    pictures.picture(path, shown, columns=COLUMNS, rows=2)
    return True


def maps(path: Path, show: GalleryContext) -> bool:
    """Points A and B of each model and baseline, over the places where the truth has mass."""
    data = show.data
    if data.event_shape != (2,) or data.log_density is None:
        return False
    panels: dict[str, pictures.Panel] = {}
    for family, folder in show.folders.items():
        arrays = {
            "events": np.zeros(0, dtype=int),
            "log_prob": np.zeros(0),
        }  # of a run without a likelihood
        arrays |= _arrays(folder, "samples.npz") | _arrays(folder, "likelihoods.npz")
        panels[family] = _panel(
            data, **{name: torch.from_numpy(array) for name, array in arrays.items()}
        )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for baseline in fitted(data):
            x, log_prob = baseline.sample(SAMPLES), baseline.log_prob(data.test.x)
            panels[title(baseline)] = _panel(data, x, torch.arange(len(log_prob)), log_prob)
    pictures.maps(path, panels, *truth.land(data))
    return True


def _arrays(folder: Path, file: str) -> dict[str, np.ndarray]:
    if not (folder / file).is_file():
        return {}
    return read_arrays(folder / file, ("x", "events", "log_prob"))


def _panel(
    data: DataSet, x: torch.Tensor, events: torch.Tensor, log_prob: torch.Tensor
) -> pictures.Panel:
    """What the map shows of a model.

    Args:
        data: points of known density.
        x: samples of the model, ``(n, 2)``.
        events: places of test events, ``(m,)``, and
        log_prob: their log-densities under the model, ``(m,)``.
    """
    points = data.test.x[events]
    missed = points[truth.is_missed(points, log_prob, data)]
    off_support = truth.is_off_support(x, data)
    return pictures.Panel(x.numpy(), off_support.numpy(), missed.numpy())


# --------------------------------------------------------------------------- conditions and latents


def classes(path: Path, show: GalleryContext) -> bool:
    """A row for each model with every class in turn, real events of these classes above."""
    told = {family: model for family, model in show.models.items() if model.condition}
    data = show.data
    if not (told and show.of_images and data.classes and data.test.c is not None):
        return False
    known = data.test.c.unique()  # a class without test events has no real ones to stand above
    each = max(1, COLUMNS // len(known))
    real = torch.cat([data.test.x[data.test.c == label][:each] for label in known])
    asked = torch.cat([data.test.c[data.test.c == label][:each] for label in known])
    drawn = {family: draw(model, len(asked), asked).numpy() for family, model in told.items()}
    pictures.strips(path, {REAL: real.numpy(), **drawn}, show.limits, emphasis=0)
    return True


def guidance(path: Path, show: GalleryContext) -> bool:
    """What guidance gains and what it costs, of each model that can be guided."""
    able = {f: model for f, model in show.models.items() if model.can_be_guided}
    if len(conditional.known_classes(show.data)) < 2 or not able:
        return False
    sweeps = {}
    for family, model in able.items():
        sweep = conditional.guidance_sweep(model, show.data)
        sweeps[family] = [from_plain(SweptGuidance, entry) for entry in sweep]
    plots.guidance(path, sweeps)
    return True


def interpolations(path: Path, show: GalleryContext) -> bool:
    """From one test event to another, twice in a row; the straight blend of pixels above."""
    if not (show.of_images and (models := show.with_latent())):
        return False
    starts, ends = show.data.test.x[:2], show.data.test.x[2:4]
    shares = torch.linspace(0, 1, WAY).view(1, -1, 1, 1, 1)
    ways = {"Blend": torch.lerp(starts.unsqueeze(1), ends.unsqueeze(1), shares)}
    for family, model in models.items():
        walk = partial(_walk, model)
        ways[family] = representation.through(walk, torch.cat([starts, ends]), model)
    pictures.strips(
        path,
        {label: way.flatten(0, 1).numpy() for label, way in ways.items()},
        show.limits,
        emphasis=0,
    )
    return True


def _walk(model: GenerativeModel, pairs: torch.Tensor) -> torch.Tensor:
    """From the first half of ``pairs`` (2n, ...) to the second: ``(n, WAY, ...)``."""
    return model.interpolate(*pairs.chunk(2), steps=WAY)


def latents(path: Path, show: GalleryContext) -> bool:
    """Where the latents of test events lie.

    They are coloured by their class or by the first number that describes them.
    """
    data = show.data
    models = {f: m for f, m in show.with_latent().items() if m.latent != Latent.OPTIMISED}
    if not models or data.test.c is None:
        return False
    in_a_hurry = any(row.minutes is not None for row in show.rows)
    n = 200 if in_a_hurry else 1000
    places = {family: representation.latent_map(model, data, n) for family, model in models.items()}
    first = {
        f: (at, known if known.ndim == 1 else known[:, 0]) for f, (at, known) in places.items()
    }
    plots.latent_map(
        path, first, "class" if data.classes or not data.features else data.features[0]
    )
    return True


def taller(path: Path, show: GalleryContext) -> bool:
    """Tins made lower and taller by a step of the latent."""
    models = {f: m for f, m in show.with_latent().items() if m.latent != Latent.OPTIMISED}
    if not tins.are_tins(show.data) or not models:
        return False
    shown: dict[str, np.ndarray] = {}
    for family, model in models.items():
        real, made = tins.taller_tins(model, show.data, PIXELS, TINS)
        shown[REAL] = real.repeat_interleave(len(PIXELS), 0).numpy()
        shown[family] = torch.stack(made, 1).flatten(0, 1).numpy()
    pictures.strips(path, shown, show.limits, emphasis=0)
    return True


# --------------------------------------------------------------------------------------- the charts


def learning(path: Path, show: GalleryContext) -> bool:
    """The validation of every family that states a likelihood against seconds of training."""
    seconds = {row.name: row.cost.train_seconds for row in show.rows if row.cost is not None}
    curves: dict[str, list[plots.Curve]] = {}
    for family, logs in show.logs.items():
        runs = [curve(log, seconds.get(log.parent.name)) for log in logs if log.is_file()]
        known = [run for run in runs if run is not None]
        if known:
            curves[family] = known
    if not curves:
        return False
    plots.write(plots.learning_curves(curves, "nats per event"), path)
    return True


def precision(path: Path, show: GalleryContext) -> bool:
    """Precision against recall."""
    if not (rows := _with_figures(show.rows)):
        return False
    plots.write(plots.precision_and_recall(rows), path)
    return True


def cost(path: Path, show: GalleryContext) -> bool:
    """The first distance against samples per second."""
    rows = [row for row in _with_figures(show.rows) if row.cost and row.cost.samples_per_second]
    names = [name for row in rows if row.quality for name in row.quality.figures]
    distances = [name for name in names if name not in OTHERS]
    if not distances:
        return False
    plots.write(plots.quality_against_cost(rows, distances[0]), path)
    return True


def _with_figures(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.quality is not None and row.quality.figures]


PICTURES: tuple[tuple[str, str, str, Callable[[Path, GalleryContext], bool]], ...] = (
    ("samples.png", "Samples", "Drawn at random, not chosen; real data above.", samples),
    (
        "classes.png",
        "Samples of each class",
        "Every class in turn, as it was asked for; real data above.",
        classes,
    ),
    (
        "guidance.png",
        "Guidance",
        "What is gained and lost when the condition is given more weight than it was learned with.",
        guidance,
    ),
    (
        "maps.png",
        "Where models and truth disagree",
        "A: a sample where the truth has no mass. B: a test point to which the model gives less "
        "than a tenth of its density.",
        maps,
    ),
    (
        "copies.png",
        "The samples nearest to what was trained on",
        "Above, the samples that lie nearest to a training image, nearest first; below each, that "
        "image. A copy would be its twin. "
        "So for test images in the first two rows: some are alike.",
        copies,
    ),
    (
        "interpolations.png",
        "Ways through the latent",
        "From one test image to another, and again for a second pair. The ends are "
        "reconstructions; above, for comparison, the "
        "pixels are blended.",
        interpolations,
    ),
    (
        "latents.png",
        "Maps of the latent",
        "The latents of test events on the plane in which they vary most.",
        latents,
    ),
    (
        "taller.png",
        "Taller tins",
        "One direction of the latent makes tins lower and taller, by two pixels either way; real "
        "tins above.",
        taller,
    ),
    (
        "learning.png",
        "Learning against time",
        "Down is better: negative log-likelihood of validation events, of families that state one, "
        "as training went. "
        "Bounds and exact figures are not ranked together; each run had its own share of the "
        "machine.",
        learning,
    ),
    (
        "precision.png",
        "Precision and recall",
        "Up: samples look real. To the right: all that is real can come.",
        precision,
    ),
    (
        "cost.png",
        "What samples are worth, and what they cost",
        "Down is better, to the right is faster.",
        cost,
    ),
)
