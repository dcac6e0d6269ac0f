import torch
from torch import nn

from genzoo.course.checking import agree, pair, tensor

N, HALF = 5, 3


def check(answer):
    x = torch.randn(N, 2 * HALF, dtype=torch.float64)
    net = nn.Sequential(nn.Linear(HALF, 8), nn.Tanh(), nn.Linear(8, 2 * HALF)).double()

    def network(a):
        return net(a).chunk(2, dim=1)

    def y_of(row):
        y, _ = pair(answer.forward(row[None], network), "forward", "y", "log |det J|")
        return y[0]

    t, r = network(x[:, :HALF])  # shift, and logarithm of the scale
    y, log_det = pair(answer.forward(x, network), "forward", "y", "log |det J|")
    tensor(y, "y", x.shape)
    agree(
        y[:, :HALF],
        x[:, :HALF],
        "first half of y",
        {
            "the halves have changed places: a comes first.": x[:, HALF:] * r.exp() + t,
            "it is a that stays as it is, and b that moves.": x[:, :HALF] * r.exp() + t,
        },
    )
    agree(
        y[:, HALF:],
        x[:, HALF:] * r.exp() + t,
        "second half of y",
        {
            "you scale by log_scale; the scale is its exponential, so that it is never zero.": (
                x[:, HALF:] * r + t
            ),
            "you shift first and scale then; the formula scales b first.": (
                (x[:, HALF:] + t) * r.exp()
            ),
        },
    )

    jacobians = torch.stack([torch.autograd.functional.jacobian(y_of, row) for row in x])
    truth = torch.linalg.slogdet(jacobians).logabsdet
    agree(
        log_det,
        truth,
        "log-determinant",
        {
            "did you sum over the batch? Each observation has its own, so sum over features.": (
                truth.sum()
            ),
            "you return one number for each feature; add them up for each observation.": r,
            "did you take the mean over the features? The determinant is a product, so sum.": (
                r.mean(1)
            ),
            "its sign is that of the inverse map. forward stretches b by exp(log_scale).": -truth,
            "you return the determinant, not its logarithm.": truth.exp(),
            "you add up the scales; the logarithm of their product is the sum of log_scale.": (
                r.exp().sum(1)
            ),
        },
    )
    agree(
        answer.inverse(y.detach(), network),
        x,
        "x after forward and inverse",
        {
            "you add the shift again where it is to be taken away.": torch.cat(
                [x[:, :HALF], (y[:, HALF:] + t) * (-r).exp()], 1
            ),
            "divide by the scale after the shift has been taken away, not before.": torch.cat(
                [x[:, :HALF], y[:, HALF:] * (-r).exp() - t], 1
            ),
            "divide by the scale: multiply by exp(-log_scale).": torch.cat(
                [x[:, :HALF], (y[:, HALF:] - t) * r.exp()], 1
            ),
            "you ran `forward` a second time.": torch.cat(
                [x[:, :HALF], y[:, HALF:] * r.exp() + t], 1
            ),
        },
    )
