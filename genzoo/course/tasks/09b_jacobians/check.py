import math

import torch
from torch.distributions import Normal

from genzoo.course.checking import agree, pair, require, tensor

MAPS = {
    "stretch": lambda x: 3 * x,
    "rotate": lambda x: x @ torch.tensor([[0.6, -0.8], [0.8, 0.6]]).double(),
    "shear": lambda x: torch.stack([x[:, 0], x[:, 1] + x[:, 0] ** 2], 1),
    "squash": torch.asinh,
    "swap": lambda x: x.flip(1),
}

HINTS = {  # a mistake of each layer, as the factor or term that it makes
    "stretch": {
        "it stretches *both* features, so log 3 is counted twice.": lambda x: torch.full(
            (len(x),), math.log(3)
        ).double(),
        "that is the determinant, not its logarithm.": lambda x: torch.full((len(x),), 9).double(),
    },
    "squash": {
        "far from 0 it squeezes space, and says nothing about it.": lambda x: torch.zeros(
            len(x)
        ).double(),
        "its sign is turned round: asinh squeezes, so the log-determinant is negative.": (
            lambda x: (1 + x**2).log().sum(1) / 2
        ),
        "the square root is missing: the derivative is 1 / sqrt(1 + x^2).": lambda x: (
            -(1 + x**2).log().sum(1)
        ),
    },
}


def check(answer):
    x = 1.5 * torch.randn(6, 2).double()
    for name, layer in MAPS.items():
        y, log_det = pair(getattr(answer, name)(x), name, "y", "log |det J|")
        agree(y, layer(x), f"y of `{name}`, which was right and should stay as it was,")
        rows = [torch.autograd.functional.jacobian(lambda r, f=layer: f(r[None])[0], r) for r in x]
        truth = torch.linalg.slogdet(torch.stack(rows)).logabsdet
        agree(
            log_det,
            truth,
            f"log |det J| of `{name}`",
            {
                f"`{name}` still lies. In words: {hint}": wrong(x)
                for hint, wrong in HINTS.get(name, {}).items()
            },
        )
    check_mass(answer)


def check_mass(answer):
    """With the right determinants the whole flow is a density: its mass is 1."""
    side = torch.linspace(-10, 10, 701).double().sinh() / 200  # finer near the middle
    width = torch.zeros_like(side)
    width[1:-1] = (side[2:] - side[:-2]) / 2
    x = torch.cartesian_prod(side, side)
    log_p = torch.zeros(len(x)).double()
    for layer in answer.LAYERS:
        x, log_det = layer(x)
        log_p = log_p + log_det
    log_p = log_p + Normal(0, 1).log_prob(x).sum(1)
    mass = tensor(log_p.exp() @ torch.outer(width, width).flatten(), "mass").item()
    require(abs(mass - 1) < 0.02, f"The mass of the whole flow is {mass:.2f} and not 1.")
