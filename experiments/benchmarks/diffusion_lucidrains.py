"""Diffusion: genzoo's against denoising-diffusion-pytorch, at nearly equal numbers of parameters.

    python experiments/benchmarks/diffusion_lucidrains.py [--seconds 60] [--root data] [--out FILE]

A training step and samples by 50 evaluations of the network at 32x32, and the Fréchet distance
after equal seconds of training. For the latter digits are drawn at 16x16 (scikit-learn's, enlarged;
MNIST's, reduced, with ``--root``), and samples are reduced again to judge them by the network that
names digits.
"""

import argparse
from dataclasses import replace

import torch
import torch.nn.functional as F
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from paired import Comparison, Loop, arguments, fit_for, measure, parameters, race, run
from torch import Tensor

import genzoo
from genzoo import grid
from genzoo.data import DataSet
from genzoo.data.dataset import Split
from genzoo.evaluation.samples.distances import frechet

LEVELS = 256
RACED, TRAINED = 32, 16  # sides of the images
BATCH = 32
EVALUATIONS = 50
SAMPLES = 447
WIDTH = 64  # of genzoo's network
DIM = 16  # of theirs, which doubles twice
RATE = 1e-3  # of theirs: higher than its default for large images, 1e-4


def our_model(side: int) -> genzoo.Diffusion:
    torch.manual_seed(0)
    return genzoo.Diffusion(
        (1, side, side),
        levels=LEVELS,
        width=WIDTH,
        patch=2,
        schedule="cosine",
        sigma_data=0.5,
        steps=EVALUATIONS,
    )


def their_model(side: int) -> GaussianDiffusion:
    torch.manual_seed(0)
    network = Unet(DIM, dim_mults=(1, 2, 4), channels=1)
    return GaussianDiffusion(network, image_size=side, sampling_timesteps=EVALUATIONS)


def resized(split: Split, side: int) -> Split:
    images = F.interpolate(split.x, side, mode="bilinear", antialias=True)
    return Split(grid.quantise(images, LEVELS))


def resize(data: DataSet, side: int) -> DataSet:
    """The data as images of ``side`` and 256 levels."""
    splits = {name: resized(getattr(data, name), side) for name in ("train", "validation", "test")}
    return replace(data, **splits, levels=LEVELS, feature_space=None)


def in_unit_box(x: Tensor) -> Tensor:
    """Images on [-1, 1] as theirs are, on [0, 1]."""
    return (x + 1) / 2


def compare(options: argparse.Namespace) -> Comparison:
    name, where = ("mnist", {"root": options.root}) if options.root else ("digits", {})
    original = genzoo.data.load(name, **where)
    ours, theirs = our_model(RACED), their_model(RACED)
    found = Comparison(
        title=f"Diffusion on {original.name}",
        peer="denoising-diffusion-pytorch",
        script="diffusion_lucidrains.py",
        equal=[
            "images",
            f"batches of {BATCH}",
            f"{EVALUATIONS} evaluations for a sample",
            "seconds of one thread, float32",
        ],
        unequal=[
            f"parameters: {parameters(ours)} here, {parameters(theirs)} there",
            "a U-Net on patches of 2x2 here; one on pixels with attention there",
            "solvers: second-order here, DDIM there",
            "`genzoo.fit` here, with validation and averages of the weights; a bare loop with Adam "
            "and a cosine schedule there",
        ],
    )
    x = resize(original, RACED).train.x[:1000]
    our_step = Loop(ours, lambda batch: ours.loss(batch).mean(), x, BATCH, ours.lr)
    their_step = Loop(theirs, theirs, in_unit_box(x), BATCH, RATE)
    size = f"{RACED}x{RACED}"
    found.rows += [
        race(f"training step, {BATCH} images of {size}", our_step, their_step, options.rounds),
        race(
            f"16 samples of {size}",
            lambda: ours.sample(16),
            lambda: theirs.sample(16),
            max(3, options.rounds // 3),
        ),
    ]
    if not options.seconds:
        return found

    data = resize(original, TRAINED)
    trained, taken, _ = fit_for(options.seconds, lambda: our_model(TRAINED), data, batch_size=BATCH)
    peer = their_model(TRAINED)
    Loop(peer, peer, in_unit_box(data.train.x), BATCH, RATE).train(taken)

    def features(images: Tensor) -> Tensor:
        reduced = F.interpolate(images, original.event_shape[1:], mode="bilinear", antialias=True)
        assert original.feature_space is not None
        return original.feature_space.features(grid.quantise(reduced, original.levels))

    torch.manual_seed(1)
    n = min(SAMPLES, len(data.test.x))
    real = features(data.test.x[:n])
    floor = frechet(real, features(data.train.x[:n]))
    our_distance = frechet(real, features(trained.sample(n)))
    their_distance = frechet(real, features(2 * peer.eval().sample(batch_size=n) - 1))
    found.rows += [
        measure(
            f"FD (digits-net) of {n} samples after {taken:.0f} s (floor {floor:.2f})",
            "",
            our_distance,
            their_distance,
        )
    ]
    return found


if __name__ == "__main__":
    parser = arguments("Diffusion against denoising-diffusion-pytorch.")
    parser.add_argument("--seconds", type=float, default=60, help="of training; 0: none")
    parser.add_argument("--root", help="folder that holds MNIST/raw, in place of the digits")
    run(compare, parser.parse_args())
