import torch

from genzoo.course.checking import agree, pair, require, tensor

ALL = torch.cartesian_prod(*[torch.arange(2)] * 3)


def check(answer):
    joint = torch.rand(2, 2, 2).double() + 0.05
    joint /= joint.sum()
    first, second, third = tables(joint)
    check_log_prob(answer, joint, first, second, third)

    names = "first", "second", "third"
    found = pair(answer.conditionals(joint), "conditionals", *names)
    p1, p12 = joint.sum((1, 2)), joint.sum(2)
    agree(found[0], first, "first", {"that is p(x1 = 0).": 1 - first, "keep x1 = 1 alone.": p1})
    agree(
        found[1],
        second,
        "second",
        {
            "that is the joint p(x1, x2 = 1): divide by p(x1).": p12[:, 1],
            "that is p(x2 = 0 given x1).": 1 - second,
            "that is p(x3 = 1 given x1): sum over x3, and keep x2.": joint.sum(1)[:, 1] / p1,
            "you condition on the wrong pixel: that is p(x1 = 1 given x2).": p12[1] / p12.sum(0),
        },
    )
    agree(
        found[2],
        third,
        "third",
        {
            "that is the joint p(x1, x2, x3 = 1): divide by p(x1, x2).": joint[:, :, 1],
            "divide by p(x1, x2), not by p(x1) alone.": joint[:, :, 1] / p1[:, None],
            "its rows and columns have changed places: third[x1, x2].": third.T,
        },
    )


def check_log_prob(answer, joint, first, second, third):
    x1, x2, _ = ALL.T
    found = tensor(answer.log_prob(ALL, first, second, third), "log p(x)", (8,))
    mass = found.exp().sum().item()
    probs = torch.stack([first.expand(8), second[x1], third[x1, x2]], 1)
    itself = torch.stack([first.expand(8), second[x2], third[x1, x2]], 1)
    swapped = torch.stack([first.expand(8), second[x1], third[x2, x1]], 1)
    agree(
        found,
        joint.flatten().log(),
        f"log p(x), with masses that add up to {mass:.2f},",
        {
            "you use the probability of a 1 also where the pixel is 0.": probs.log().sum(1),
            "you leave out pixels that are 0; they have probability 1 - p.": (
                (ALL * probs.log()).sum(1)
            ),
            "your second table is looked up by x2 itself; it is second[x1].": of(itself),
            "your third table is looked up as [x2, x1]; it is third[x1, x2].": of(swapped),
            "you add probabilities up; by the chain rule they multiply.": (
                torch.where(ALL == 1, probs, 1 - probs).sum(1).log()
            ),
            "that is the probability itself; its logarithm is asked for.": joint.flatten(),
        },
    )
    require(abs(mass - 1) < 1e-6, f"The eight probabilities add up to {mass:.3f} and not to 1.")


def of(probs):
    return torch.where(ALL == 1, probs, 1 - probs).log().sum(1)


def tables(joint):
    p1, p12 = joint.sum((1, 2)), joint.sum(2)
    return p1[1], p12[:, 1] / p1, joint[:, :, 1] / p12
