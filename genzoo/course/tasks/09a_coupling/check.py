import torch
from torch import nn

from genzoo.course.checking import agree, pair, tensor

N, HALF = 5, 3
PARTS = "x", "log |det J|"


def check(answer):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(HALF, 8), nn.Tanh(), nn.Linear(8, 2 * HALF)).double()

    def network(a):
        return net(a).chunk(2, dim=1)

    z = torch.randn(N, 2 * HALF, dtype=torch.float64)
    x, log_det = pair(answer.forward(z, network), "forward", *PARTS)
    check_map(x, z, network)
    check_determinant(answer, log_det, z, network)
    check_inverse(answer, x, z, network)


def check_map(x, z, network):
    a, b = z.chunk(2, 1)
    mean, log_scale = network(a)
    scale = log_scale.exp()
    tensor(x, "x", z.shape)
    agree(
        x[:, :HALF],
        a,
        "first half of x",
        {
            "the halves have changed places: a comes first.": mean + scale * b,
            "it is a that stays as it is, and b that moves.": mean + scale * a,
        },
    )
    agree(
        x[:, HALF:],
        mean + scale * b,
        "second half of x",
        {
            "you scale by log_scale; the scale is its exponential, so that it is never zero.": (
                mean + log_scale * b
            ),
            "you shift first and scale then; the formula scales b first.": (mean + b) * scale,
            "you divide by the scale; that is the other direction.": mean + b / scale,
        },
    )


def check_determinant(answer, log_det, z, network):
    def moved(row):
        return pair(answer.forward(row[None], network), "forward", *PARTS)[0][0]

    jacobians = torch.stack([torch.autograd.functional.jacobian(moved, row) for row in z])
    truth = torch.linalg.slogdet(jacobians).logabsdet
    _, log_scale = network(z[:, :HALF])
    agree(
        log_det,
        truth,
        "log-determinant",
        {
            "did you sum over the batch? Each observation has its own, so sum over features.": (
                truth.sum()
            ),
            "you return one number for each feature; add them up for each row.": log_scale,
            "did you take the mean over the features? The determinant is a product, so sum.": (
                log_scale.mean(1)
            ),
            "its sign is that of the inverse map. forward stretches b by exp(log_scale).": -truth,
            "you return the determinant, not its logarithm.": truth.exp(),
            "you add up the scales; the logarithm of their product is the sum of log_scale.": (
                log_scale.exp().sum(1)
            ),
        },
    )


def check_inverse(answer, x, z, network):
    a, moved = x.detach().chunk(2, 1)
    mean, log_scale = network(a)
    scale = log_scale.exp()
    agree(
        answer.inverse(x.detach(), network),
        z,
        "z after forward and inverse",
        {
            sentence: torch.cat([a, b], 1)
            for sentence, b in {
                "you add the shift again where it is to be taken away.": (moved + mean) / scale,
                "divide by the scale after the shift has been taken away, not before.": (
                    moved / scale - mean
                ),
                "divide by the scale: multiply by exp(-log_scale).": (moved - mean) * scale,
                "you ran `forward` a second time.": mean + scale * moved,
            }.items()
        },
    )
