from genzoo.course.checking import choices

RIGHT = {
    "row a": "mode dropped",
    "row b": "noise",
    "row c": "few repeated",
    "row d": "copies",
    "row e": "none",
    "row f": "stretched",
    "row g": "too tidy",
}

SIGNS = {  # what each fault would look like
    "none": "without one, precision, recall and coverage would all be near 1, and copies near 0.",
    "noise": "noise lowers precision and density, and leaves recall high.",
    "mode dropped": "without one of two moons, recall and coverage would be near one half.",
    "copies": "if training observations are handed out, nearly all samples count as copies.",
    "few repeated": "eight samples are real enough, but next to nothing is covered.",
    "stretched": "stretching moves samples off the moons, and leaves real points alone: all fall.",
    "too tidy": "on the middle line precision is high, and balls of samples are too small for "
    "recall; coverage is middling.",
}


def check(answer):
    reasons = {
        row: {fault: f"not {fault}: {sign}" for fault, sign in SIGNS.items() if fault != RIGHT[row]}
        for row in RIGHT
    }
    choices(answer.answers, RIGHT, reasons)


def measured():
    """The five numbers of each row, by the library: the table of the stub."""
    import torch

    from genzoo.evaluation.samples.neighbours import ALIKE, support

    n = 1000
    train, real, fresh = (moons(many, seed) for many, seed in ((n, 1), (n, 2), (4 * n, 3)))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 2, generator=generator)
    which = torch.randint(n, (n,), generator=generator)
    few = torch.randint(8, (n,), generator=generator)
    upper = arcs(4 * n, 3)[1]
    centre = fresh.mean(0)
    samples = {
        "row a": fresh[upper][:n],
        "row b": fresh[:n] + 0.25 * noise,
        "row c": fresh[few] + 0.01 * noise,
        "row d": train[which],
        "row e": fresh[:n],
        "row f": centre + 1.5 * (fresh[:n] - centre),
        "row g": arcs(n, 4)[0],
    }
    threshold = torch.cdist(real, train).amin(1).quantile(ALIKE)
    return {
        row: [
            *support(real, x).values(),
            (torch.cdist(x, train).amin(1) < threshold).double().mean().item(),
        ]
        for row, x in samples.items()
    }


def moons(n, seed):
    import torch

    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(100 + seed))
    return arcs(n, seed)[0] + 0.1 * noise


def arcs(n, seed):
    """Points on the middle lines of two moons, and which belong to the upper one."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    turn = torch.pi * torch.rand(n, generator=generator)
    upper = torch.rand(n, generator=generator) < 0.5
    x = torch.where(upper, turn.cos(), 1 - turn.cos())
    y = torch.where(upper, turn.sin(), 0.5 - turn.sin())
    return torch.stack([x, y], 1), upper
