import torch
import torch.nn.functional as F

from genzoo.course.checking import require, tensor

SIDE = 5  # pixels


def check(answer):
    """Find the pixels that each prediction depends on by automatic differentiation."""
    for size in (3, 5):
        first = tensor(answer.mask(size, False), "mask", (size, size))
        later = tensor(answer.mask(size, True), "mask", (size, size))
        for found in (first, later):
            require(
                ((found == 0) | (found == 1)).all(),
                "Your mask has numbers other than 0 and 1 in it: it would rescale the weights.",
            )
        check_first(seen([first]), size)
        check_later(seen([first, later, later]), size)


def check_first(sees, size):
    own = sees.diagonal()
    require(
        not own.any(),
        "With see_self=False a prediction sees its own pixel. It would copy it, and every picture "
        "would look certain: a likelihood that is too good to be true.",
    )
    check_later(sees, size)
    pixel = SIDE * SIDE // 2
    row, column = divmod(pixel, SIDE)
    reach = size // 2
    before = [
        (r, c)
        for r in range(max(0, row - reach), row + 1)
        for c in range(max(0, column - reach), min(SIDE, column + reach + 1))
        if SIDE * r + c < pixel
    ]
    for r, c in before:
        where = "above" if r < row else "in the same row"
        side = ", to the right" if c > column else ", to the left" if c < column else ""
        require(
            sees[pixel, SIDE * r + c],
            f"Your mask of size {size} hides a pixel {where}{side}, which was read before. The "
            "model would be right, and blind in one eye.",
        )


def check_later(sees, size):
    future = sees.triu(1).nonzero()
    if len(future):
        here, there = future[0].tolist()
        row, column = divmod(here, SIDE)
        other_row, other_column = divmod(there, SIDE)
        where = "to the right of" if other_row == row else "in a row below"
        require(
            False,
            f"With your mask of size {size} the prediction of pixel ({row}, {column}) sees pixel "
            f"({other_row}, {other_column}), {where} it, which is read later.",
        )


def seen(masks):
    """Pixels (columns) that each prediction (row) depends on through these layers."""

    def predictions(x):
        h = x.view(1, 1, SIDE, SIDE)
        for mask in masks:
            h = F.conv2d(h, mask[None, None], padding=len(mask) // 2)
        return h.flatten()

    x = torch.rand(SIDE * SIDE).double()
    return torch.autograd.functional.jacobian(predictions, x) != 0
