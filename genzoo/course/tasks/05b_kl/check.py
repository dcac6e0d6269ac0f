import torch
from torch.distributions import Normal

from genzoo.course.checking import agree, require, tensor

MEANS = torch.tensor([[0.0, 0.0], [1.0, -0.5], [0.3, 0.3], [-2.0, 0.0]]).double()
STDS = torch.tensor([[1.0, 1.0], [0.5, 1.5], [2.0, 0.8], [0.3, 1.2]]).double()


def check(answer):
    (mean_p, mean_q), (std_p, std_q) = MEANS.T, STDS.T
    truth = integral(mean_p, std_p, mean_q, std_q)
    found = tensor(answer.kl(mean_p, std_p, mean_q, std_q), "divergence", truth.shape)
    quadratic = (std_p**2 + (mean_p - mean_q) ** 2) / (2 * std_q**2)
    agree(
        found,
        truth,
        "divergence",
        {
            "that is KL(q || p). The expectation is over p, so q's variance divides.": (
                integral(mean_q, std_q, mean_p, std_p)
            ),
            "the -1/2 is missing: of two equal Gaussians it should be 0.": truth + 0.5,
            "log std_p / std_q has the wrong sign: a wide q costs, so it is log std_q / std_p.": (
                (std_p / std_q).log() + quadratic - 0.5
            ),
            "the term with the variances is missing: p is spread about its mean.": (
                (std_q / std_p).log() + (mean_p - mean_q) ** 2 / (2 * std_q**2)
            ),
            "you divide by the standard deviation where the variance belongs.": (
                (std_q / std_p).log() + (std_p**2 + (mean_p - mean_q) ** 2) / (2 * std_q) - 0.5
            ),
            "that is -log q(x) averaged, without the entropy of p.": truth
            + Normal(0, std_p).entropy(),
        },
    )
    require((found > -1e-9).all(), "A divergence is never negative, and yours is.")


def integral(mean_p, std_p, mean_q, std_q):
    """By the trapezium rule, twelve standard deviations far."""
    p, q = Normal(mean_p, std_p), Normal(mean_q, std_q)
    x = mean_p + std_p * torch.linspace(-12, 12, 4001).double()[:, None]
    density = p.log_prob(x)
    return torch.trapezoid(density.exp() * (density - q.log_prob(x)), x, dim=0)
