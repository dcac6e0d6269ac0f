"""Trains small models, alone or as one of two processes: ``torchrun --nproc-per-node 2 ranks.py``.

`test_ranks` imports it for the runs of one process, and starts it for those of two.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import torch
from torch.distributions import Normal

import genzoo
from genzoo import cli, grid
from genzoo.data import DataSet, Split, load
from genzoo.distributions import Mixture
from genzoo.model import GenerativeModel
from genzoo.nets import Transformer
from genzoo.training.processes import rank

SETTINGS: dict[str, Any] = {
    "steps": 6,
    "check_every": 3,
    "batch_size": 20,
    "accelerator": "cpu",
    "seed": 3,
}

RECIPE = """
vae:
  model: {width: 8}
  train: {steps: 3, batch_size: 16}
  evaluate: {k: 1}
"""


def points() -> DataSet:
    data = load("moons")
    return replace(data, train=Split(*data.train[:60]), validation=Split(*data.validation[:21]))


def pictures() -> DataSet:
    levels = torch.randint(4, (81, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    x = grid.to_grid(levels, 4)
    return DataSet.split("pictures", x, None, (60, 21, 0), levels=4)


@dataclass(frozen=True)
class Case:
    """A model, and what it learns."""

    family: type[GenerativeModel]
    arguments: dict[str, Any]
    of_pictures: bool = False

    def data(self) -> DataSet:
        return pictures() if self.of_pictures else points()

    def model(self) -> GenerativeModel:
        torch.manual_seed(0)
        data = self.data()
        return self.family(data.event_shape, levels=data.levels, **self.arguments)


CASES = {
    "vae": Case(genzoo.VAE, {"width": 8, "latent_shape": (2,)}),
    "flow": Case(genzoo.Flow, {"width": 8, "couplings": 1}, of_pictures=True),
    "autoregressive": Case(genzoo.Autoregressive, {"width": 8, "depth": 1}),
    "energy": Case(genzoo.Energy, {"hidden": 4}, of_pictures=True),
    "diffusion": Case(genzoo.Diffusion, {"width": 8}),
    "flow matching": Case(genzoo.FlowMatching, {"width": 8}),
    "gan": Case(genzoo.GAN, {"width": 8, "latent_shape": (2,)}),
    "vaegan": Case(genzoo.VAEGAN, {"width": 8, "latent_shape": (2,)}),
}
LARGE = ("u-net", "transformer")
CHAINS = Case(genzoo.Energy, {"width": 8, "steps": 2, "buffer": 8})


@contextmanager
def without_noise() -> Iterator[None]:
    """Inside, what is drawn for an event does not depend on where in a batch it stands."""

    def at_the_same_time(n: int, like: torch.Tensor) -> torch.Tensor:
        return torch.full((n,), 0.4, dtype=like.dtype)

    def ones(model: GenerativeModel, n: int) -> torch.Tensor:
        assert model.latent_shape is not None
        return torch.ones(n, *model.latent_shape)

    with (
        mock.patch.object(torch, "randn_like", torch.zeros_like),
        mock.patch.object(torch, "rand_like", lambda x: torch.full_like(x, 0.5)),
        mock.patch.object(Normal, "rsample", lambda self, shape=(): self.loc),
        mock.patch.object(Mixture, "rsample", lambda self, shape=(): self.mean),
        mock.patch.object(GenerativeModel, "latent_noise", ones),
        mock.patch.object(genzoo.VAE, "draw_latents", lambda model, n, c: ones(model, n)),
        mock.patch("genzoo.families.diffusion.stratified", at_the_same_time),
        mock.patch("genzoo.families.flow_matching.stratified", at_the_same_time),
    ):
        yield


class Interrupted(L.Callback):
    """Stops a run after so many steps, as Ctrl-C does."""

    def __init__(self, after: int):
        self.after = after

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_step == self.after:
            raise KeyboardInterrupt


def large(network: str) -> genzoo.Diffusion:
    """A model of the kind whose weights several devices share, though small."""
    torch.manual_seed(0)
    shape = pictures().event_shape
    chosen = Transformer(shape, 16, 8, 2, heads=2) if network == "transformer" else None
    return genzoo.Diffusion(shape, levels=4, width=8, network=chosen)


def train_large(network: str, folder: Path, **settings: Any) -> genzoo.training.Fitted:
    options = {**SETTINGS, "steps": 4, "check_every": 2, "log_every_n_steps": 1}
    with without_noise():
        return genzoo.fit(large(network), pictures(), folder, **options, **settings)


def train_shared(network: str, folder: Path) -> None:
    """Two steps and a checkpoint, from which two more steps go on."""
    shared = {"devices": 2, "strategy": "fsdp"}
    try:
        train_large(network, folder, callbacks=[Interrupted(after=3)], **shared)
    except KeyboardInterrupt:
        train_large(network, folder, **shared)
        return
    raise AssertionError("The run was to be interrupted.")


def train(name: str, folder: Path, devices: int, **settings: Any) -> genzoo.training.Fitted:
    case = CASES[name]
    with without_noise():
        return genzoo.fit(
            case.model(),
            case.data(),
            folder,
            devices=devices,
            log_every_n_steps=1,
            **SETTINGS,
            **settings,
        )


def interrupt(name: str, folder: Path, devices: int) -> None:
    """Leave a run that was stopped after its first checkpoint."""
    try:
        train(name, folder, devices, callbacks=[Interrupted(after=4)])
    except KeyboardInterrupt:
        return
    raise AssertionError("The run was to be interrupted.")


def in_two(folder: Path) -> None:
    """This process's part of all that two processes do for `test_ranks`."""
    torch.set_num_threads(1)
    for name in CASES:
        train(name, folder / name, 2)
    for network in LARGE:
        train_shared(network, folder / network)
    interrupt("vae", folder / "begun by two", 2)
    train("vae", folder / "begun by one", 2)
    genzoo.fit(CHAINS.model(), CHAINS.data(), folder / "chains", devices=2, **SETTINGS)
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    command = ["train", "vae", "--data", "moons", "--recipe", str(recipe), "--devices", "2"]
    asked = ["--accelerator", "cpu", "--precision", "bf16", "--out", str(folder / "command")]
    assert cli.main([*command, *asked]) == 0
    fitted = genzoo.fit(CASES["vae"].model(), points(), devices=2, **SETTINGS)
    (folder / f"not kept {rank()}").write_text(f"{fitted.validation} {fitted.steps}")


if __name__ == "__main__":
    in_two(Path(sys.argv[1]))
