"""The energy model of the moons that chapter 11 of the course shows: half a minute of one core.

python experiments/course_energy.py [--out experiments/records/course/energy-moons]
"""

import argparse

import torch

import genzoo


def made() -> genzoo.Energy:
    torch.manual_seed(0)
    moons = genzoo.data.load("moons")
    model = genzoo.Energy(
        moons.event_shape,
        width=48,
        lr=2e-3,
        regularise=2e-3,
        steps=10,
        step=0.1,
        adjusted=True,
        refresh=0.0,
    )
    genzoo.fit(model, moons, steps=1200, batch_size=256)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="experiments/records/course/energy-moons")
    genzoo.save(made(), parser.parse_args().out)
