import torch

from genzoo.course.checking import agree, require, tensor

H = 1.2


def energy(x):
    """Of a standard Gaussian, a little steeper far out."""
    return (x**2 / 2 + x**4 / 40).sum(1)


def slope(x):
    return x + x**3 / 10


def check(answer):
    check_ratio(answer)
    check_move(answer)


def check_ratio(answer):
    x, y = torch.randn(2, 5, 2).double()
    down = energy(x) - energy(y)
    there, back = log_q(y, x), log_q(x, y)
    agree(
        answer.log_ratio(x, y, energy, slope, H),
        down + back - there,
        "log r",
        {
            "the proposals are missing: a walk downhill is proposed more often than its way back, "
            "and q does not cancel.": down,
            "the energies are the wrong way round: a move to a lower energy should be likelier.": (
                -down + back - there
            ),
            "way there and way back have changed places.": down + there - back,
            "the way back uses the slope at x; it starts at y, so take the slope there.": (
                down + log_q(x, y, slope(x)) - there
            ),
            "the energies are missing.": back - there,
            "the variance of the proposal is h^2: divide by 2 h^2.": (down + (back - there) * H**2),
            "that is r; its logarithm is asked for.": (down + back - there).exp(),
        },
    )


def log_q(there, here, slope_here=None):
    slope_here = slope(here) if slope_here is None else slope_here
    return -(there - here + H**2 / 2 * slope_here).square().sum(1) / (2 * H**2)


def check_move(answer):
    """Chains that start in p stay in p, however large the step."""
    start = exact_draws(20_000)
    one = tensor(answer.move(start, energy, slope, H), "x", start.shape)
    same = one == start
    require(
        (same.all(1) | ~same.any(1)).all(),
        "Features of one row are tested apart: the test is of the whole row.",
    )
    require(
        same.any(),
        "Every move of yours is taken, so there is no test: some chains have to stay at x.",
    )
    stays = [share_that_stays(answer, start) for _ in range(4)]
    require(
        max(stays) - min(stays) < 0.05,
        "Now nearly all of your chains move, now hardly any: each row needs a u of its own.",
    )
    stay, should = stays[0], 1 - chance_to_move(start)
    require(
        abs(stay - should) < 0.03,
        f"In one move {stay:.0%} of your chains stay at x; by min(1, r) it should be {should:.0%}. "
        "Is a move taken where log u < log r, with u uniform in (0, 1)?",
    )
    x = start
    for _ in range(12):
        x = tensor(answer.move(x, energy, slope, H), "x", start.shape)
    before, after = start.square().mean().item(), x.square().mean().item()
    require(
        abs(after / before - 1) < 0.04,
        f"Your chains begin in p and leave it: the mean square of x goes from {before:.2f} to "
        f"{after:.2f}. Is `log_ratio` asked about the move from x to y, in this order?",
    )


def share_that_stays(answer, x):
    moved = tensor(answer.move(x, energy, slope, H), "x", x.shape)
    return (moved == x).all(1).double().mean().item()


def chance_to_move(x):
    y = x - H**2 / 2 * slope(x) + H * torch.randn_like(x)
    log_r = energy(x) - energy(y) + log_q(x, y) - log_q(y, x)
    return log_r.clamp(max=0).exp().mean().item()


def exact_draws(n):
    """Draws of exp(-E): Gaussian proposals, thinned by what the fourth power takes."""
    x = torch.randn(4 * n, 2).double()
    kept = torch.rand(len(x)) < (-(x**4) / 40).sum(1).exp()
    return x[kept][:n]
