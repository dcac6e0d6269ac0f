import torch

from genzoo.course.checking import require, tensor

N, D, LEVELS = 20_000, 3, 3
ALL = torch.cartesian_prod(*[torch.arange(LEVELS)] * D)


def check(answer):
    later = [(1.5 * torch.randn(*[LEVELS] * i, LEVELS)).softmax(-1) for i in range(1, D)]
    tables = [torch.tensor([0.4, 0.35, 0.25]), *later]

    def conditional(x, i):
        before = tuple(x[:, :i].long().T)
        return tables[i][before] if i else tables[0].expand(len(x), LEVELS)

    x = tensor(answer.sample(conditional, N, D), "sample", (N, D))
    require(
        ((x >= 0) & (x < LEVELS) & (x == x.floor())).all(),
        f"Your samples should hold levels 0 to {LEVELS - 1}, as whole numbers.",
    )
    truth = law(conditional, lambda x, i: x)
    found = share_of(x.long())
    off = apart(found, truth)
    require(
        not (x == x[0]).all(),
        "All your samples are the same. Do you take the likeliest level of each feature, or draw "
        "one sample and repeat it? A sampler draws each row by its probabilities.",
    )
    blind = law(conditional, lambda x, i: torch.zeros_like(x))
    require(
        off < 0.04 or apart(found, blind) > 0.04,
        "Your features are drawn without looking at each other: write each draw into x before you "
        "ask for the next feature.",
    )
    for i in range(D):
        one = x[:, i].long().bincount(minlength=LEVELS) / N
        require(
            off < 0.04 or one.max() < 1 or truth.view([LEVELS] * D).movedim(i, 0)[0].sum() > 0.999,
            f"Feature {i} is always {int(one.argmax())} in your samples: is it drawn at all?",
        )
    uniform = torch.full_like(truth, 1 / len(truth))
    require(
        off < 0.04 or apart(found, uniform) > 0.04,
        "All levels come equally often in your samples: draw them by their probabilities.",
    )
    require(
        off < 0.04,
        f"Of your {N} samples {off:.0%} lie where they should not: the share of each one should "
        "be its probability. Are features drawn in order, and rows by probabilities of their own?",
    )


def law(conditional, look):
    """Probability of every event, if feature i is drawn after what `look` lets it see."""
    probs = torch.ones(len(ALL))
    rows = torch.arange(len(ALL))
    for i in range(D):
        probs = probs * conditional(look(ALL, i), i)[rows, ALL[:, i]]
    return probs


def share_of(x):
    place = (x * LEVELS ** torch.arange(D - 1, -1, -1)).sum(1)
    return place.bincount(minlength=len(ALL)) / len(x)


def apart(p, q):
    """Total variation: the mass that lies in the wrong place."""
    return (p - q).abs().sum().item() / 2
