import torch
from torch.distributions import Normal

from genzoo.course.checking import agree, pair

WEIGHTS = (0.0, 0.5, 1.0, 2.0)
MEAN_C, STD_C = torch.tensor([1.0, -0.5]).double(), torch.tensor([0.6, 0.9]).double()
MEAN, STD = torch.tensor([0.2, 0.1]).double(), torch.tensor([1.0, 1.5]).double()


def check(answer):
    for w in (2.0, 0.5, 1.0, 0.0):
        check_score(answer, w)
        check_gaussian(answer, w)


def log_tilted(x, w):
    """log of the product, without its normaliser."""
    return w * Normal(MEAN_C, STD_C).log_prob(x) + (1 - w) * Normal(MEAN, STD).log_prob(x)


def score(log_density, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(log_density(x).sum(), x)[0]


def check_score(answer, w):
    x = torch.randn(7, 2).double()
    given = score(Normal(MEAN_C, STD_C).log_prob, x)
    free = score(Normal(MEAN, STD).log_prob, x)
    agree(
        answer.guided_score(given, free, w),
        score(lambda x: log_tilted(x, w), x),
        f"guided score at w = {w:g}",
        {
            "that is the convention in which w = 0 means no guidance; here it is w = 1.": (
                given + w * (given - free)
            ),
            "with and without have changed places.": w * free + (1 - w) * given,
            "the part of the unconditional score is missing, with its weight 1 - w.": w * given,
            "the weight of the unconditional score is 1 - w, and not 1.": w * given + free,
            "powers of densities become factors of scores, not powers.": given**w * free ** (1 - w),
        },
    )


def check_gaussian(answer, w):
    x = torch.linspace(-14, 14, 8001).double()[:, None].expand(-1, 2)
    mass = log_tilted(x, w).softmax(0)
    mean = (mass * x).sum(0)
    std = (mass * (x - mean) ** 2).sum(0).sqrt()
    found = pair(
        answer.guided_gaussian(MEAN_C, STD_C, MEAN, STD, w), "guided_gaussian", "mean", "std"
    )
    precision = w / STD_C**2 + (1 - w) / STD**2
    agree(
        found[0],
        mean,
        f"mean at w = {w:g}",
        {
            "means are not mixed by w alone: each counts by its precision, 1 / variance.": (
                w * MEAN_C + (1 - w) * MEAN
            ),
            "divide by the precision, or multiply by the variance.": (
                w * MEAN_C / STD_C**2 + (1 - w) * MEAN / STD**2
            ),
        },
    )
    agree(
        found[1],
        std,
        f"standard deviation at w = {w:g}",
        {
            "that is the variance.": 1 / precision,
            "that is the precision.": precision,
            "it is the precisions that add up, not the variances.": (
                (w * STD_C**2 + (1 - w) * STD**2).abs().sqrt()
            ),
            "it is the precisions that add up, not the deviations.": w * STD_C + (1 - w) * STD,
        },
    )
