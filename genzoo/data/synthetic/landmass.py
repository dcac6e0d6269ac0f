"""The lecture's Hello World: points uniform over the land of the world map.

A point is (longitude in radians, sine of latitude), so the map is the box [-π, π] x [-1, 1]. In
these coordinates equal areas of the globe are equal areas of the map (Lambert's cylindrical
projection): uniform over land is uniform over the map's land. Land is *defined* by the cells of a
raster, ``land.png``, so the true density and its entropy are exact.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genzoo.data.dataset import DataSet

# 2π of longitude times 2 of sine of latitude: also the area of the unit sphere
MAP_AREA = 4 * math.pi


def landmass(
    train: int = 200_000, validation: int = 5_000, test: int = 10_000, seed: int = 0
) -> DataSet:
    """Points uniform over land: events (2,), real-valued, with their true log-density.

    Args:
        train: number of training events.
        validation: number of validation events.
        test: number of test events.
        seed: of random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    points = _darts(train + validation + test, generator)
    return DataSet.split(
        "landmass",
        points,
        None,
        sizes=(train, validation, test),
        features=("longitude", "sin latitude"),
        log_density=log_density,
        entropy=math.log(land_area()),
        about="points uniform over the world's land",
        source="Natural Earth 1:110m land (public domain), rasterised by "
        "experiments/make_landmask.py",
    )


@cache
def mask() -> Tensor:
    """The raster that defines land, (360, 720) booleans.

    The first row is at the north pole, the first column at longitude -π.
    """
    from PIL import Image

    land = Image.open(Path(__file__).with_name("land.png"), formats=("PNG",))
    return torch.from_numpy(np.array(land))


def land_area() -> float:
    """Area of land on the map, in the units of the map (steradians)."""
    return mask().double().mean().item() * MAP_AREA


def is_land(x: Tensor) -> Tensor:
    """True of points (n, 2) on land, (n,) booleans; False of points off the map."""
    land = mask().to(x.device)
    rows, columns = land.shape
    # as fractions of the map, from its north-west corner
    east = (x[:, 0] / math.pi + 1) / 2
    south = (1 - x[:, 1]) / 2
    column = (east * columns).long().clamp(0, columns - 1)
    row = (south * rows).long().clamp(0, rows - 1)
    on_map = (east >= 0) & (east <= 1) & (south >= 0) & (south <= 1)
    return land[row, column] & on_map


def log_density(x: Tensor) -> Tensor:
    """The true log-density of points (n, 2), in nats: -log(land area) on land, -inf in the sea."""
    on_land = is_land(x)
    log_p = -math.log(land_area())
    everywhere = torch.full(on_land.shape, log_p, dtype=x.dtype, device=x.device)
    return everywhere.masked_fill(~on_land, -math.inf)


def _darts(n: int, generator: torch.Generator) -> Tensor:
    """``n`` points on land, by rejection of points that are uniform over the map."""
    # a tenth more than expected is enough: the number of hits varies by far less
    thrown = int(n * MAP_AREA / land_area() * 1.1) + 1000
    darts = torch.rand(thrown, 2, generator=generator) * 2 - 1
    darts[:, 0] *= math.pi
    return darts[is_land(darts)][:n]
