"""Rasterise the world's land once, for `genzoo.data.synthetic.landmass`.

It takes a few kilobytes.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python experiments/make_landmask.py package/land-110m.json genzoo/data/land.png

The outlines are Natural Earth's 1:110m land (public domain) in TopoJSON: polygons whose rings share
delta-coded arcs. The raster has equal cells in (longitude, sine of latitude), coordinates in which
every cell covers the same area of the globe; the outlines are moved to these coordinates first, and
everything below happens there.
"""

import json
import sys

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 720, 360


def read_arcs(topology: dict) -> list[np.ndarray]:
    """Every arc as (n, 2) of (longitude, sin latitude).

    The file has integer steps, to be summed and scaled.
    """
    scale, shift = topology["transform"]["scale"], topology["transform"]["translate"]
    degrees = [np.cumsum(arc, axis=0) * scale + shift for arc in topology["arcs"]]
    return [
        np.column_stack([np.radians(arc[:, 0]), np.sin(np.radians(arc[:, 1]))]) for arc in degrees
    ]


def stitch(indices: list[int], arcs: list[np.ndarray]) -> np.ndarray:
    """One ring from its arcs.

    ~i means arc i backwards, and neighbours share the point where they meet.
    """
    return np.concatenate([(arcs[i] if i >= 0 else arcs[~i][::-1])[:-1] for i in indices])


def unwrap(ring: np.ndarray) -> np.ndarray:
    """Close a ring without the jump from π to -π.

    It would tear Siberia, Fiji and Antarctica open.

    A ring that has gone once round the globe when it returns encloses a pole: it is closed along
    the pole's parallel.
    """
    ring = np.vstack([ring, ring[:1]])
    longitude = np.unwrap(ring[:, 0])
    ring = np.column_stack([longitude, ring[:, 1]])
    if abs(longitude[-1] - longitude[0]) < np.pi:
        return ring
    pole = np.sign(ring[:, 1].mean())
    return np.vstack([ring, [longitude[-1], pole], [longitude[0], pole], ring[:1]])


def fill(ring: np.ndarray) -> np.ndarray:
    """The cells whose centre lies inside a ring, (HEIGHT, WIDTH) booleans.

    By the even-odd rule along each row.

    An unwrapped ring may leave the map, so rows span three worlds, which are laid over each other
    at the end.
    """
    centre = np.pi * ((2 * np.arange(3 * WIDTH) + 1) / WIDTH - 3)
    inside = np.zeros((HEIGHT, 3 * WIDTH), bool)
    (x0, y0), (x1, y1) = ring[:-1].T, ring[1:].T
    for row in range(HEIGHT):
        y = 1 - (2 * row + 1) / HEIGHT
        cut = (y0 <= y) != (y1 <= y)
        crossings = x0[cut] + (y - y0[cut]) / (y1[cut] - y0[cut]) * (x1[cut] - x0[cut])
        inside[row] = (centre[:, None] > crossings).sum(1) % 2 == 1
    return np.any(inside.reshape(HEIGHT, 3, WIDTH), axis=1)


def main(source: str, target: str) -> None:
    with open(source) as file:
        topology = json.load(file)
    arcs = read_arcs(topology)
    land = np.zeros((HEIGHT, WIDTH), bool)
    for multipolygon in topology["objects"]["land"]["geometries"]:
        for polygon in multipolygon["arcs"]:
            for (
                ring
            ) in polygon:  # the shore, then its lakes, which switch their cells back to water
                land ^= fill(unwrap(stitch(ring, arcs)))
    Image.fromarray(land).save(target, optimize=True)
    print(
        f"{target}: land covers {land.mean():.4f} of the globe, entropy "
        f"{np.log(4 * np.pi * land.mean()):.4f} nats"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
