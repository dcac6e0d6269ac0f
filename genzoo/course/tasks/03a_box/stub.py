"""3a: the box with the best F1.    F1 = 2 * precision * recall / (precision + recall)

land is a grid of True (land) and False (sea); a box (top, bottom, left, right) holds the cells
land[top:bottom, left:right].
"""

from torch import Tensor

Box = tuple[int, int, int, int]


def f1(land: Tensor, box: Box) -> float:
    """Harmonic mean of the share of the box that is land, and the share of land in the box."""
    raise NotImplementedError("return F1; it is 0 where the box holds no land.")


def best_box(land: Tensor) -> Box:
    """The box with the largest F1 of all."""
    # TODO: loop over all boxes
    raise NotImplementedError("return (top, bottom, left, right).")
