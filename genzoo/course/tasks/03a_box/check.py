import torch

from genzoo.course.checking import NotYet, agree, pair, require
from genzoo.data.synthetic import landmass

CELL = 20  # pixels of the map, on either side
SIDES = "top", "bottom", "left", "right"
TRIED = [(3, 9, 12, 30), (0, 4, 5, 9), (10, 18, 8, 20), (0, 18, 0, 36)]


def check(answer):
    land = world()
    for box in TRIED:
        precision, recall = precision_and_recall(land, box)
        harmonic = 2 * precision * recall / (precision + recall)
        agree(
            answer.f1(land, box),
            harmonic,
            f"F1 of the box {box}",
            {
                "you take the ordinary mean of precision and recall; F1 is the harmonic one.": (
                    (precision + recall) / 2
                ),
                "you multiply precision and recall: the 2 and the division are missing.": (
                    precision * recall
                ),
                "that is intersection over union, a relative of F1.": harmonic / (2 - harmonic),
                "that is the precision alone.": precision,
                "that is the recall alone.": recall,
            },
        )
    sea = torch.tensor([[True, False], [False, False]])
    agree(answer.f1(sea, (1, 2, 1, 2)), 0.0, "F1 of a box without land")
    all_land = torch.ones(4, 6, dtype=torch.bool)
    whole = tuple(pair(answer.best_box(all_land), "best_box", *SIDES))
    require(
        whole != (0, 6, 0, 4),
        "Your box has its sides in another order: rows come first, (top, bottom, left, right).",
    )
    require(
        whole == (0, 4, 0, 6),
        "On a map of 4 x 6 cells that are all land the best box is (0, 4, 0, 6); yours is "
        f"{whole}. Do your loops reach the last row and column?",
    )
    check_best(answer.best_box(land), land)


def check_best(box, land):
    rows, columns = land.shape
    try:
        top, bottom, left, right = (int(edge) for edge in box)
    except (TypeError, ValueError):
        raise NotYet("`best_box` should return four numbers: top, bottom, left, right.") from None
    require(
        0 <= top < bottom <= rows and 0 <= left < right <= columns,
        f"Your box {top, bottom, left, right} is no box of a map of {rows} x {columns} cells: "
        "rows come first, and bottom and right are excluded.",
    )
    precision, recall = precision_and_recall(land, (top, bottom, left, right))
    mine, best = 2 * precision * recall / max(precision + recall, 1e-9), best_f1(land)
    better = f"Your box has F1 {mine:.3f}, with precision {precision:.2f} and recall {recall:.2f}"
    if mine < best - 1e-9 and recall == 1:
        require(False, f"{better}: you keep all of the land. There is a box with {best:.3f}.")
    if mine < best - 1e-9 and precision == 1:
        require(False, f"{better}: you let in no sea at all. There is a box with {best:.3f}.")
    require(
        mine > best - 1e-9,
        f"{better}. There is one with {best:.3f}: is it F1 that you compare, over all boxes?",
    )


def world():
    """The land of the map in cells, by majority: (18, 36) booleans."""
    cells = landmass.mask().double().unflatten(0, (-1, CELL)).unflatten(2, (-1, CELL))
    return cells.mean((1, 3)) > 0.5


def precision_and_recall(land, box):
    top, bottom, left, right = box
    hit = land[top:bottom, left:right].sum().item()
    return hit / ((bottom - top) * (right - left)), hit / land.sum().item()


def best_f1(land):
    """Over all boxes at once: F1 is 2 x hits over the box's area plus all land."""
    sums = torch.nn.functional.pad(land.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    tops, bottoms = torch.combinations(torch.arange(len(sums))).unbind(1)
    lefts, rights = torch.combinations(torch.arange(sums.shape[1])).unbind(1)
    bands = sums[bottoms] - sums[tops]
    hits = bands[:, rights] - bands[:, lefts]
    areas = (bottoms - tops)[:, None] * (rights - lefts)
    return (2 * hits / (areas + land.sum())).max().item()
