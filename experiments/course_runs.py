"""Healthy and sick runs of each family on the moons: what the course shows under "Train it".

    python experiments/course_runs.py --out experiments/records/course [--families vae gan ...]

A sick run differs from the healthy one of its family by what its ``what`` says, and by nothing
else. Each is looked at a few dozen times while it trains, on the training weights themselves and
not on their averages, so that every jump is seen. The moons have two features, so that even the
energy model's log Z is known, by a sum over a fine grid. No test event is used. About a quarter of
an hour of one core.
"""

import argparse
import copy
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.progress import Progress
from torch import Tensor

import genzoo
from genzoo import files
from genzoo.benchmark.provenance import provenance
from genzoo.data.dataset import DataSet, Split
from genzoo.errors import TrainingError
from genzoo.evaluation.samples.neighbours import support
from genzoo.model import GenerativeModel, Likelihood, drawing_from
from genzoo.optim import AdamW

LOOKS = 40  # at a run
JUDGED = 500  # validation points that are looked at
FEW = 8  # steps of a flow's solver at a look; the value in the end has the model's own
SIDE, CELLS = 5.0, 400  # of the grid that an energy's Z is summed on: [-5, 5]^2


@dataclass(frozen=True)
class Run:
    """One training, and what is to be learned from it.

    Args:
        name: of the file's entry.
        title: of its panel.
        what: was changed, in a sentence.
        sign: by which the reader recognises it.
        model: arguments of the family's constructor.
        train: arguments of `genzoo.fit`.
        points: of the training split; None for all.
        family: where the run needs a family of its own.
    """

    name: str
    title: str
    what: str
    sign: str
    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    points: int | None = None
    family: type[GenerativeModel] | None = None


class AlmostAnAutoencoder(genzoo.VAE):
    """A VAE whose KL term hardly counts."""

    @property
    def kl_weight(self) -> float:
        return 0.02 if self.training else 1.0


class AfraidOfTheLatent(genzoo.VAE):
    """A VAE whose KL term counts ten times."""

    @property
    def kl_weight(self) -> float:
        return 10.0 if self.training else 1.0


class SlowGenerator(genzoo.GAN):
    """A GAN whose generator takes steps a hundred times smaller than its critic's."""

    def configure_optimizers(self):
        def slow(parameters: Any, lr: float) -> torch.optim.Optimizer:
            return self.optimizer(parameters, lr / 100)

        generator = torch.nn.ModuleList([self.generator_embed, self.generator])
        critic = torch.nn.ModuleList([self.critic_embed, self.critic])
        return [self.scheduled(generator.parameters(), slow), self.scheduled(critic.parameters())]


HEALTHY = "The settings that genzoo has by default"
MOMENTUM = AdamW(betas=(0.9, 0.99), weight_decay=0.0)


def constant(optimizer: Any, run: Any) -> torch.optim.lr_scheduler.LRScheduler:
    """A learning rate that stays what it is."""
    return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)


RUNS: dict[str, tuple[Run, ...]] = {
    "autoregressive": (
        Run(
            "healthy",
            "Healthy",
            f"{HEALTHY}, 1,500 steps.",
            "Both curves fall together and level off together.",
            train={"steps": 1500},
        ),
        Run(
            "overfit",
            "Overfit",
            "Only 100 training points, and 3,000 steps.",
            "The training loss keeps falling. The validation loss turns and rises.",
            train={"steps": 3000},
            points=100,
        ),
        Run(
            "rate",
            "Learning rate too high",
            "A learning rate of 0.5.",
            "Both curves begin far above a trivial model, and level off far above the healthy run.",
            model={"lr": 0.5},
            train={"steps": 1500},
        ),
    ),
    "flow": (
        Run(
            "healthy",
            "Healthy",
            f"{HEALTHY}, 1,500 steps.",
            "Both curves fall fast, then slowly, and stay together.",
            train={"steps": 1500},
        ),
        Run(
            "exploding",
            "Exploding",
            "A learning rate of 0.5, and gradients that are not clipped.",
            "The loss shoots up in the middle of training: somewhere the map has become very "
            "steep, and single points cost hundreds of nats.",
            model={"lr": 0.5},
            train={"steps": 1500, "gradient_clip": 1e9},
        ),
        Run(
            "short",
            "Stopped too early",
            "Fewer than 200 steps instead of 1,500.",
            "The curves end flat, because the learning rate goes down to zero with the run, and "
            "above the healthy ones.",
            train={"steps": 150},
        ),
    ),
    "vae": (
        Run(
            "healthy",
            "Healthy",
            "A latent of two features, 2,000 steps.",
            "The loss levels off. One latent feature stays active, which is what a curve needs.",
            model={"latent_shape": (2,)},
            train={"steps": 2000},
        ),
        Run(
            "collapsed",
            "Collapsed",
            "The KL term counts ten times.",
            "The loss levels off early and looks calm. No latent feature is active: the model has "
            "stopped using z, and its two coordinates are independent.",
            model={"latent_shape": (2,)},
            train={"steps": 2000},
            family=AfraidOfTheLatent,
        ),
        Run(
            "beta",
            "Beta too small",
            "The KL term counts a fiftieth.",
            "The training loss falls far below the healthy one. The bound, which the validation "
            "curve shows with the full KL term, gets worse.",
            model={"latent_shape": (2,)},
            train={"steps": 2000},
            family=AlmostAnAutoencoder,
        ),
    ),
    "energy": (
        Run(
            "healthy",
            "Healthy",
            "Tested Langevin moves, 3,000 steps.",
            "The gap between the energies of data and of samples stays near zero, "
            "while the validation loss falls.",
            model={"adjusted": True, "step": 0.1},
            train={"steps": 3000},
        ),
        Run(
            "diverged",
            "Diverged",
            "A learning rate of 0.01, untested moves, no noise and no pull on the energies.",
            "The validation loss leaps up and down. Then, within a few steps, the gap runs away: "
            "the chains no longer follow the model, and the run is stopped.",
            model={"lr": 0.01, "noise": 0.0, "regularise": 0.0, "step": 0.1},
            train={"steps": 600},
        ),
        Run(
            "stuck",
            "Stuck chains",
            "Five small moves of each of 256 chains for each update, and no chain ever starts "
            "afresh.",
            "The gap stands far below zero for many steps: the model piles up energy around chains "
            "that do not get away. Later the gap is near zero, and the validation loss is still "
            "far above the healthy one.",
            model={"steps": 5, "step": 0.025, "refresh": 0.0, "buffer": 256, "adjusted": True},
            train={"steps": 3000},
        ),
    ),
    "diffusion": (
        Run(
            "healthy",
            "Healthy",
            f"{HEALTHY}, 2,000 steps.",
            "A loss that jumps from batch to batch (each draws its own noise levels) around a "
            "mean that falls.",
            train={"steps": 2000},
        ),
        Run(
            "range",
            "Noise range too narrow",
            "Log signal-to-noise ratios from -1 to 3 only.",
            "Training looks calm. The bound levels off far above the healthy one: it pays for what "
            "the noisiest level still shows and for what the cleanest has already lost.",
            model={"log_snr_range": (-1.0, 3.0)},
            train={"steps": 2000},
        ),
        Run(
            "short",
            "Stopped too early",
            "Fewer than 200 steps instead of 2,000.",
            "The learning rate is zero at the end, so the curve is flat there, but far too high.",
            train={"steps": 150},
        ),
    ),
    "gan": (
        Run(
            "healthy",
            "Healthy",
            "A gradient penalty of 0.1, a learning rate of 0.005, 3,000 rounds.",
            "Both losses stay near a draw: the critic's at 2 log 2 = 1.386, the generator's at "
            "log 2 = 0.693. Coverage rises.",
            model={"gamma": 0.1, "lr": 5e-3},
            train={"steps": 3000},
        ),
        Run(
            "collapsed",
            "Collapsed",
            "No gradient penalty, and a noise of one feature.",
            "The losses tell little. Coverage stays low: whole parts of the data are never drawn.",
            model={"gamma": 0.0, "latent_shape": (1,), "lr": 5e-3},
            train={"steps": 3000},
        ),
        Run(
            "oscillating",
            "Oscillating",
            "No gradient penalty, optimisers with momentum, and a learning rate that stays.",
            "The losses swing far from a draw to the end, and coverage swings with them.",
            model={"gamma": 0.0, "lr": 5e-3},
            train={"steps": 3000, "optimizer": MOMENTUM, "scheduler": constant},
        ),
    ),
    "flow_matching": (
        Run(
            "healthy",
            "Healthy",
            f"{HEALTHY}, 2,000 steps.",
            "The loss soon stops falling, at a level above zero that nobody knows beforehand. "
            "The likelihood still improves.",
            train={"steps": 2000},
        ),
        Run(
            "rate",
            "Learning rate too high",
            "A learning rate of 0.5.",
            "The loss leaps at first, and stands above the healthy one to the end.",
            model={"lr": 0.5},
            train={"steps": 2000},
        ),
        Run(
            "short",
            "Stopped too early",
            "Fewer than 200 steps instead of 2,000.",
            "The loss has almost reached the healthy level, and the likelihood has not: here "
            "the loss is a poor judge of when to stop.",
            train={"steps": 150},
        ),
    ),
    # in the logs of exercises only
    "vae-more": (
        Run(
            "overfit",
            "Overfit",
            "Only 100 training points.",
            "The training loss keeps falling. The validation loss turns and rises.",
            model={"latent_shape": (2,)},
            train={"steps": 2000},
            points=100,
        ),
    ),
    "gan-more": (
        Run(
            "strong",
            "Critic too strong",
            "No gradient penalty, and a generator whose steps are a hundred times smaller.",
            "The critic's loss stays far below that of a draw, and the generator's far above.",
            model={"gamma": 0.0, "lr": 5e-3},
            train={"steps": 3000},
            family=SlowGenerator,
        ),
    ),
}
FAMILIES = {
    "autoregressive": genzoo.Autoregressive,
    "flow": genzoo.Flow,
    "vae": genzoo.VAE,
    "energy": genzoo.Energy,
    "diffusion": genzoo.Diffusion,
    "gan": genzoo.GAN,
    "flow_matching": genzoo.FlowMatching,
    "vae-more": genzoo.VAE,
    "gan-more": genzoo.GAN,
}


# ------------------------------------------------------------------------------------ looking at it


class Looks(L.Callback):
    """Writes down, now and then, how a model in training does.

    Args:
        points: of the validation split.
        every: steps between two looks.
    """

    def __init__(self, points: Tensor, every: int):
        self.points = points
        self.every = every
        self.losses: list[float] = []
        self.columns: dict[str, list[float]] = {}
        self.last: dict[str, Any] = {}  # weights in the end, of which `fit` keeps the best

    def on_train_end(self, trainer, pl_module) -> None:
        self.last = copy.deepcopy(pl_module.state_dict())

    def on_train_batch_end(self, trainer, pl_module: Any, outputs, batch, batch_idx) -> None:
        metrics = trainer.callback_metrics
        self.losses.append(metrics["train_loss"].item())
        if trainer.global_step // pl_module.players % self.every == 0:
            self.look(trainer.global_step // pl_module.players, pl_module, metrics)

    def look(self, step: int, model: GenerativeModel, metrics: Mapping[str, Tensor]) -> None:
        seen = {"step": step, "train": sum(self.losses) / len(self.losses)}
        self.losses = []
        model.eval()
        with drawing_from(0, torch.device("cpu")):
            seen |= measured(model, self.points)
        model.train()
        if "critic_loss" in metrics:
            seen["critic"] = metrics["critic_loss"].item()
        for name, value in seen.items():
            self.columns.setdefault(name, []).append(round(float(value), 4))


def measured(model: GenerativeModel, points: Tensor) -> dict[str, float]:
    """What can be said of ``model`` in the middle of training, in nats where it is a likelihood."""
    if isinstance(model, genzoo.Energy):
        held_out = nats_by_quadrature(model, points)
        return {"validation": held_out, "gap": model.gap.item()}
    if isinstance(model, genzoo.GAN):
        return {"coverage": quality(model, points)["coverage"]}
    with torch.no_grad():
        found = {"validation": model.validation_loss(points, None, 8).mean().item()}
        if isinstance(model, genzoo.VAE):
            found["active_units"] = model.active_units(points)
    if isinstance(model, genzoo.FlowMatching):  # whose loss is no likelihood
        found["nats"] = -model.log_prob(points, steps=FEW).mean().item()
    return found


@torch.no_grad()
def nats_by_quadrature(model: genzoo.Energy, points: Tensor) -> float:
    """-log p of the points on average: log Z is a sum over a grid."""
    side = torch.linspace(-SIDE, SIDE, CELLS)
    log_cell = 2 * torch.log(side[1] - side[0])
    grid = torch.cartesian_prod(side, side)
    log_z = torch.logsumexp(-model.energy(grid), 0) + log_cell
    return (model.energy(points).mean() + log_z).item()


@torch.no_grad()
def quality(model: GenerativeModel, points: Tensor) -> dict[str, float]:
    """Precision, recall, density and coverage of as many samples."""
    return support(points, model.sample(len(points)))


# --------------------------------------------------------------------------------------- the runs


def carried_out(family: str, run: Run, data: DataSet) -> dict[str, Any]:
    """One entry of the record."""
    torch.manual_seed(0)
    some = data if run.points is None else first(data, run.points)
    model = (run.family or FAMILIES[family])(data.event_shape, **run.model)
    points = data.validation.x[:JUDGED]
    looks = Looks(points, max(1, run.train["steps"] // LOOKS))
    settings = {"average": 0.0, "patience": 10_000, **run.train}
    begin = time.perf_counter()
    ended = ""
    try:
        genzoo.fit(model, some, callbacks=[looks], **settings)
    except TrainingError as error:
        ended = str(error)
    else:
        model.load_state_dict(looks.last)
    seconds = time.perf_counter() - begin
    return {
        "name": run.name,
        "title": run.title,
        "what": run.what,
        "sign": run.sign,
        "settings": {"model": dict(run.model), "train": plain(settings), "points": run.points},
        "columns": looks.columns,
        "values": values(model.eval(), points, ended),
        "ended": ended,
        "seconds": round(seconds, 1),
    }


def in_plain_numbers(sentence: str) -> str:
    """``−38,400`` in place of ``-3.84e+04``."""
    plainly = re.sub(r"-?\d\.\d+e[+-]\d+", lambda number: f"{float(number[0]):,.0f}", sentence)
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", plainly)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `genzoo.fit` as JSON can hold them."""
    named = {"optimizer": "AdamW with momentum 0.9", "scheduler": "constant"}
    return {name: named.get(name, value) for name, value in settings.items()}


def values(model: GenerativeModel, points: Tensor, ended: str) -> dict[str, str]:
    """What the reader sees under a panel, of the model's last weights."""
    if ended:
        return {"the run": f"was stopped. {in_plain_numbers(ended.split('. ')[0])}."}
    with drawing_from(1, torch.device("cpu")):
        shares = quality(model, points)
        found = {"precision": f"{shares['precision']:.2f}", "coverage": f"{shares['coverage']:.2f}"}
        if isinstance(model, genzoo.FlowMatching):
            found["−log p"] = f"≈ {-model.log_prob(points).mean().item():.3f} nats"
        elif isinstance(model, genzoo.Energy):
            found["−log p"] = f"= {nats_by_quadrature(model, points):.3f} nats"
        elif model.likelihood != Likelihood.NONE:
            with torch.no_grad():
                nats = model.validation_loss(points, None, 64).mean().item()
            found["−log p"] = f"{model.likelihood.symbol} {nats:.3f} nats"
    return found


def first(data: DataSet, n: int) -> DataSet:
    return replace(data, train=Split(data.train.x[:n], None))


def main() -> None:
    parser = argparse.ArgumentParser(description="Healthy and sick runs for the course.")
    parser.add_argument("--out", type=Path, default=Path("runs/course"))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    data = genzoo.data.load("moons")
    data = replace(data, validation=data.validation, test=data.validation)  # no test event
    with Progress() as progress:
        task = progress.add_task("runs", total=sum(len(RUNS[name]) for name in asked.families))
        for family in asked.families:
            runs = []
            for run in RUNS[family]:
                progress.update(task, description=f"{family}: {run.name}")
                runs.append(carried_out(family, run, data))
                progress.advance(task)
            write(asked.out / f"{family}.json", family, runs)


def write(path: Path, family: str, runs: list[dict[str, Any]]) -> None:
    record = {
        "family": family,
        "data": "moons",
        "unit": "squared error" if family == "flow_matching" else "nats",
        "seed": 0,
        "provenance": asdict(provenance()),
        "runs": runs,
    }
    with files.whole(path) as draft:
        draft.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
