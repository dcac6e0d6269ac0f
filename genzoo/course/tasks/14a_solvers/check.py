import torch

from genzoo.course.checking import agree, require, tensor

MEAN, STD = 1.5, 0.3


def check(answer):
    x = torch.randn(50, 2).double()
    check_first_step(answer, x)
    for name, order, steps in (("euler", 1, 32), ("rk4", 4, 16)):
        solver = getattr(answer, name)
        few, many = (error(solver, x, name, n) for n in (steps, 2 * steps))
        ratio = few / max(many, 1e-300)
        require(
            0.7 * 2**order < ratio < 1.4 * 2**order,
            f"With twice the steps the error of `{name}` becomes {ratio:.1f} times smaller, from "
            f"{few:.1e} to {many:.1e}; it should be {2**order} times. Is each step h long, does "
            "it begin at its own t, and do all of them together end at t = 1?",
        )


def check_first_step(answer, x):
    """With one step, h = 1, there is nothing but the formula."""
    k1 = velocity(x, 0.0)
    agree(
        answer.euler(velocity, x, 1),
        x + k1,
        "x after one Euler step",
        {
            "you return the velocity; it is to be added to x.": k1,
            "you take the velocity at the end of the step.": x + velocity(x, 1.0),
            "you step backwards.": x - k1,
        },
    )
    agree(
        answer.euler(velocity, x, 2),
        x + k1 / 2 + velocity(x + k1 / 2, 0.5) / 2,
        "x after two Euler steps",
        {
            "each step is as long as the whole way: multiply by h.": (
                x + k1 + velocity(x + k1, 0.5)
            ),
            "the second step begins at t = 0 again; it begins at t = 1/2.": (
                x + k1 / 2 + velocity(x + k1 / 2, 0.0) / 2
            ),
            "both steps use the velocity at the first place.": x + k1 / 2 + velocity(x, 0.5) / 2,
        },
    )
    k2 = velocity(x + k1 / 2, 0.5)
    k3 = velocity(x + k2 / 2, 0.5)
    k4 = velocity(x + k3, 1.0)
    agree(
        answer.rk4(velocity, x, 1),
        x + (k1 + 2 * k2 + 2 * k3 + k4) / 6,
        "x after one Runge-Kutta step",
        {
            "the weights are 1, 2, 2, 1 over 6, and not all alike.": x + (k1 + k2 + k3 + k4) / 4,
            "the weights are not divided by 6.": x + k1 + 2 * k2 + 2 * k3 + k4,
            "the last k belongs to the end of the step, t + h.": (
                x + (k1 + 2 * k2 + 2 * k3 + velocity(x + k3, 0.5)) / 6
            ),
            "the last k goes the whole step, x + h k3.": (
                x + (k1 + 2 * k2 + 2 * k3 + velocity(x + k3 / 2, 1.0)) / 6
            ),
            "that is an Euler step.": x + k1,
        },
    )


def velocity(x, t):
    """Mean velocity of straight lines from N(0, 1) to N(MEAN, STD^2)."""
    variance = (1 - t) ** 2 + t**2 * STD**2
    growth = (t * STD**2 - (1 - t)) / variance
    return MEAN + growth * (x - t * MEAN)


def error(solver, x, name, steps):
    found = tensor(solver(velocity, x, steps), f"x of `{name}`", x.shape)
    return (found - (MEAN + STD * x)).abs().mean().item()
