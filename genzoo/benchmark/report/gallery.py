"""The pictures of a comparison, from files of its runs and from their models: one file each.

A picture is made where it applies: maps of points whose density is known, interpolations of models
that have a latent, a row of every class of models with classes as conditions. Of each family the
first finished seed is shown, without selection.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
TINS = 4  # that are made taller and lower
PIXELS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # heights that are added to them

REAL = "Real data"


@dataclass
class GalleryContext:
    """Runs and models whose pictures are made.

    Args:
        folders: family -> the folder of its first finished run.
        rows: of all runs.
        logs: family -> the log of training of each of its runs.
        data: the data set that all were trained on.
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
        """The models that have a latent; one found by optimisation takes long."""
        models = {}
        for family, model in self.models.items():
            if model.latent != Latent.NONE:
                models[family] = model
        return models


def gallery(
    out: Path,
    context: GalleryContext,
    progress: Progress | None = None,
    without: Collection[str] = (),
) -> list[Picture]:
    """Draw every picture of `PICTURES` that applies to these runs.

    Args:
        out: the folder of the pictures.
        context: the runs.
        progress: called with the title of each picture before it is drawn.
        without: file names of pictures to leave out.
    """
    chosen = [picture for picture in PICTURES if picture[0] not in without]
    drawn = []
    for i, (name, heading, about, paint) in enumerate(chosen):
        if progress:
            progress(i, len(chosen), heading)
        if paint(out / name, context):
            drawn.append(Picture(out / name, heading, about))
    if progress:
        progress(len(chosen), len(chosen), "")
    return drawn


# ----------------------------------------------------------------------------- samples and the data


def samples(path: Path, context: GalleryContext) -> bool:
    """Test events, and samples of each family."""
    chosen = np.random.default_rng(0).permutation(len(context.data.test))[:2000]
    shown = {REAL: context.data.test.x[chosen].numpy()}
    for family, folder in context.folders.items():
        arrays = _arrays(folder, "samples.npz")
        if "x" in arrays:
            shown[family] = arrays["x"]
    pictures.picture(path, shown, COLUMNS)
    return True


def copies(path: Path, context: GalleryContext) -> bool:
    """The samples nearest to training events, over these; the same of test events."""
    if not context.of_images:
        return False

    def pairs(x: torch.Tensor) -> np.ndarray:
        nearest = quality.closest(x, context.data, COLUMNS, quality.MOST[context.budget])
        return torch.cat(nearest).numpy()

    shown = {REAL: pairs(context.data.test.x[:2000])}
    for family, folder in context.folders.items():
        arrays = _arrays(folder, quality.SAMPLES)
        if "x" in arrays:
            shown[family] = pairs(torch.from_numpy(arrays["x"]))
    pictures.picture(path, shown, columns=COLUMNS, rows=2)
    return True


def maps(path: Path, context: GalleryContext) -> bool:
    """Points A and B of each model and baseline, on a map of where the truth has mass."""
    data = context.data
    if data.event_shape != (2,) or data.log_density is None:
        return False
    panels: dict[str, pictures.Panel] = {}
    for family, folder in context.folders.items():
        # those of a run without a likelihood
        arrays = {"events": np.zeros(0, dtype=int), "log_prob": np.zeros(0)}
        arrays |= _arrays(folder, "samples.npz") | _arrays(folder, "likelihoods.npz")
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        panels[family] = _panel(data, **tensors)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for baseline in fitted(data):
            x = baseline.sample(SAMPLES)
            log_prob = baseline.log_prob(data.test.x)
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
    """The map's panel of a model.

    Args:
        data: points of known density.
        x: samples of the model, ``(n, 2)``.
        events: indices of test events, ``(m,)``.
        log_prob: their log-densities under the model, ``(m,)``.
    """
    points = data.test.x[events]
    missed = points[truth.is_missed(points, log_prob, data)]
    off_support = truth.is_off_support(x, data)
    return pictures.Panel(x.numpy(), off_support.numpy(), missed.numpy())


# --------------------------------------------------------------------------- conditions and latents


def classes(path: Path, context: GalleryContext) -> bool:
    """A row for each model with every class in turn, real events of these classes above."""
    models = {family: model for family, model in context.models.items() if model.condition}
    x = context.data.test.x
    c = context.data.test.c
    if not (models and context.of_images and context.data.classes and c is not None):
        return False
    labels = c.unique()  # of test events, for these are shown above the samples
    each = max(1, COLUMNS // len(labels))
    real = torch.cat([x[c == label][:each] for label in labels])
    conditions = torch.cat([c[c == label][:each] for label in labels])
    shown = {REAL: real.numpy()}
    for family, model in models.items():
        shown[family] = draw(model, len(conditions), conditions).numpy()
    pictures.strips(path, shown, context.limits, emphasis=0)
    return True


def guidance(path: Path, context: GalleryContext) -> bool:
    """Guidance sweeps of each model that can be guided."""
    models = {family: model for family, model in context.models.items() if model.can_be_guided}
    if len(conditional.known_classes(context.data)) < 2 or not models:
        return False
    sweeps = {}
    for family, model in models.items():
        sweep = conditional.guidance_sweep(model, context.data)
        sweeps[family] = [from_plain(SweptGuidance, entry) for entry in sweep]
    plots.guidance(path, sweeps)
    return True


def interpolations(path: Path, context: GalleryContext) -> bool:
    """Interpolations between test events, two in a row; linear interpolation of pixels above."""
    models = context.with_latent()
    if not context.of_images or not models:
        return False
    starts = context.data.test.x[:2]
    ends = context.data.test.x[2:4]
    shares = torch.linspace(0, 1, WAY).view(1, -1, 1, 1, 1)
    ways = {"Blend": torch.lerp(starts.unsqueeze(1), ends.unsqueeze(1), shares)}
    for family, model in models.items():
        walk = partial(_walk, model)
        ways[family] = representation.through(walk, torch.cat([starts, ends]), model)
    shown = {label: way.flatten(0, 1).numpy() for label, way in ways.items()}
    pictures.strips(path, shown, context.limits, emphasis=0)
    return True


def _walk(model: GenerativeModel, pairs: torch.Tensor) -> torch.Tensor:
    """Interpolations from the first half of ``pairs`` (2n, ...) to the second, (n, WAY, ...)."""
    return model.interpolate(*pairs.chunk(2), steps=WAY)


def latents(path: Path, context: GalleryContext) -> bool:
    """Maps of the latents of test events, coloured by class or by the first describing number."""
    data = context.data
    models = {f: m for f, m in context.with_latent().items() if m.latent != Latent.OPTIMISED}
    if not models or data.test.c is None:
        return False
    is_limited = any(row.minutes is not None for row in context.rows)
    n = 200 if is_limited else 1000
    panels = {}
    for family, model in models.items():
        positions, description = representation.latent_map(model, data, n)
        if description.ndim > 1:
            description = description[:, 0]
        panels[family] = (positions, description)
    colour = "class"
    if data.features and not data.classes:
        colour = data.features[0]
    plots.latent_map(path, panels, colour)
    return True


def taller(path: Path, context: GalleryContext) -> bool:
    """Tins made lower and taller by a step of the latent."""
    models = {f: m for f, m in context.with_latent().items() if m.latent != Latent.OPTIMISED}
    if not tins.are_tins(context.data) or not models:
        return False
    shown: dict[str, np.ndarray] = {}
    for family, model in models.items():
        real, decoded = tins.taller_tins(model, context.data, PIXELS, TINS)
        shown[REAL] = real.repeat_interleave(len(PIXELS), 0).numpy()
        shown[family] = torch.stack(decoded, 1).flatten(0, 1).numpy()
    pictures.strips(path, shown, context.limits, emphasis=0)
    return True


# --------------------------------------------------------------------------------------- the charts


def learning(path: Path, context: GalleryContext) -> bool:
    """Validation figures of every family with a likelihood against seconds of training."""
    seconds = {row.name: row.cost.train_seconds for row in context.rows if row.cost is not None}
    curves: dict[str, list[plots.Curve]] = {}
    for family, logs in context.logs.items():
        runs = [curve(log, seconds.get(log.parent.name)) for log in logs if log.is_file()]
        known = [run for run in runs if run is not None]
        if known:
            curves[family] = known
    if not curves:
        return False
    plots.write(plots.learning_curves(curves, "nats per event"), path)
    return True


def precision(path: Path, context: GalleryContext) -> bool:
    """Precision against recall."""
    rows = _with_figures(context.rows)
    if not rows:
        return False
    plots.write(plots.precision_and_recall(rows), path)
    return True


def cost(path: Path, context: GalleryContext) -> bool:
    """The first distance against samples per second."""
    rows = [row for row in _with_figures(context.rows) if row.cost and row.cost.samples_per_second]
    names = [name for row in rows if row.quality for name in row.quality.figures]
    distances = [name for name in names if name not in OTHERS]
    if not distances:
        return False
    plots.write(plots.quality_against_cost(rows, distances[0]), path)
    return True


def _with_figures(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.quality is not None and row.quality.figures]


PICTURES: tuple[tuple[str, str, str, Callable[[Path, GalleryContext], bool]], ...] = (
    ("samples.png", "Samples", "Random samples, not selected; real data above.", samples),
    (
        "classes.png",
        "Samples of each class",
        "Every class in turn, given as the condition; real data above.",
        classes,
    ),
    (
        "guidance.png",
        "Guidance",
        "Gain and loss where the condition is given more weight than in training.",
        guidance,
    ),
    (
        "maps.png",
        "Disagreement of models with the truth",
        "A: a sample where the truth has no mass. B: a test point to which the model gives less "
        "than a tenth of its density.",
        maps,
    ),
    (
        "copies.png",
        "The samples nearest to what was trained on",
        "Above, the samples that are nearest to a training image, nearest first; below each, that "
        "image. A copy would be equal to it. The first two rows show the same of test images, some "
        "of which are similar, too.",
        copies,
    ),
    (
        "interpolations.png",
        "Interpolations in the latent",
        "From one test image to another, and again for a second pair. The ends are "
        "reconstructions; above, for comparison, pixels are interpolated.",
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
        "Down is better: negative log-likelihood of validation events during training, of families "
        "that have one. Bounds and exact figures are not ranked together; each run had its own "
        "share of the machine.",
        learning,
    ),
    (
        "precision.png",
        "Precision and recall",
        "Up: samples look real. To the right: all real events can be generated.",
        precision,
    ),
    (
        "cost.png",
        "Quality and cost of samples",
        "Down is better, to the right is faster.",
        cost,
    ),
)
