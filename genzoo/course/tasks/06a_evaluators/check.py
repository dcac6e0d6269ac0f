import math

import torch
from torch.distributions import Normal

from genzoo import grid
from genzoo.course.checking import agree, require, tensor
from genzoo.data.synthetic import ising

DIMS = ising.SIDE**2


def check(answer):
    check_nats(answer)
    check_joint(answer)
    check_dequantise(answer)
    check_unscaled(answer)


def check_nats(answer):
    """The truth's mean loss over its own draws is its entropy."""
    log_p = ising.log_pmf()
    drawn = log_p[torch.multinomial(log_p.exp(), 5000, replacement=True)]
    agree(
        answer.nats(drawn),
        -drawn.mean(),
        "loss of the truth",
        {
            "`nats` is still broken. With this sign a worse model has the smaller loss, and no "
            "loss of a discrete world can be negative.": drawn.mean(),
            "`nats` adds up all pictures; the loss is a mean, or it grows with the test set.": (
                -drawn.sum()
            ),
        },
    )


def check_joint(answer):
    """Masses of all 512 pictures add up to 1."""
    ink = torch.linspace(0.2, 0.8, DIMS).double()
    spins = ising.worlds().flatten(1) > 0
    log_pixels = torch.where(spins, ink, 1 - ink).log()
    mass = tensor(answer.joint(log_pixels), "log p(x)", (512,)).exp().sum().item()
    agree(
        mass,
        1.0,
        "mass of all 512 pictures together",
        {
            "`joint` is still broken. Pixels are independent, so their probabilities multiply and "
            "logarithms add up; you take the mean.": log_pixels.mean(1).exp().sum(),
        },
    )


def check_dequantise(answer):
    levels = 5
    width = grid.bin_width(levels)
    x = grid.to_grid(torch.randint(levels, (20_000,)), levels).double()
    noise = tensor(answer.dequantise(x, levels), "noisy x", x.shape) - x
    filled = ((noise.max() - noise.min()) / width).item()
    gap = DIMS * math.log(max(filled, 1e-9))
    require(
        filled > 0.99,
        f"`dequantise` is still broken. Your noise fills {filled:.0%} of a bin. A density of noisy "
        f"spins would look {-gap:.1f} nats better than the truth.",
    )
    require(
        filled < 1.01,
        f"`dequantise` is still broken. Your noise is {filled:.1f} bins wide, so noisy x of one "
        "level are taken for those of the next.",
    )
    require(
        abs(noise.mean().item()) < width / 50,
        "`dequantise` is still broken. Your noise is not centred: levels are the middles of bins.",
    )


def check_unscaled(answer):
    """Whatever the ruler, a density integrates to 1."""
    for a in (3.0, -0.5):
        side = torch.linspace(-9, 9, 301).double() / abs(a)
        x = torch.cartesian_prod(side, side)
        log_p = answer.unscaled(lambda z: Normal(0, 1).log_prob(z).sum(1), x, a)
        mass = tensor(log_p, "log p(x)", (len(x),)).exp().sum() * (side[1] - side[0]) ** 2
        agree(
            mass,
            1.0,
            f"mass of the whole plane, for a = {a},",
            {
                "`unscaled` is still broken. The Jacobian is missing: z = a x stretches a square "
                "to a^2 times its area.": a**-2,
                "`unscaled` is still broken. Each of the d features is stretched, so log |a| is "
                "counted d times.": 1 / abs(a),
                "`unscaled` is still broken. The sign of your Jacobian is turned round: what is "
                "stretched in z was denser in x.": a**-4,
            },
            tolerance=1e-3,
        )
