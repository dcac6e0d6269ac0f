"""3a: the box with the best F1."""

from itertools import combinations

from torch import Tensor

Box = tuple[int, int, int, int]


def f1(land: Tensor, box: Box) -> float:
    top, bottom, left, right = box
    area = (bottom - top) * (right - left)
    hits = land[top:bottom, left:right].sum().item()
    return 2 * hits / (area + land.sum().item())  # precision: hits / area, recall: hits / all land


def best_box(land: Tensor) -> Box:
    rows, columns = land.shape
    sides = list(combinations(range(columns + 1), 2))
    total = land.sum().item()
    best, found = -1.0, (0, 1, 0, 1)
    for top, bottom in combinations(range(rows + 1), 2):
        before = [0, *land[top:bottom].sum(0).cumsum(0).tolist()]  # land left of each column
        for left, right in sides:
            area = (bottom - top) * (right - left)
            score = 2 * (before[right] - before[left]) / (area + total)
            if score > best:
                best, found = score, (top, bottom, left, right)
    return found
