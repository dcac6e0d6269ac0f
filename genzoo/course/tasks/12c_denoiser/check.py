import torch
from torch.distributions import Normal

from genzoo.course.checking import agree, require

N, M = 100, 8


def check(answer):
    turn = torch.linspace(0, 6.28, N).double()
    data = torch.stack([turn.cos(), 0.5 * turn.sin()], 1) + 0.1 * torch.randn(N, 2).double()
    for alpha, sigma in ((0.8, 0.6), (0.98, 0.2), (0.2, 0.98)):
        noisy = alpha * data[:: N // M][:M] + sigma * torch.randn(M, 2).double()
        check_mean(answer, noisy, data, alpha, sigma)

    far = torch.tensor([[60.0, -80.0]]).double()
    found = torch.as_tensor(answer.denoise(far, data, 0.98, 0.2))
    require(
        found.isfinite().all(),
        "Far from all points your denoiser divides 0 by 0: every exponential underflows. Let "
        "softmax do it, which subtracts the largest exponent first.",
    )
    agree(found, posterior(far, data, 0.98, 0.2) @ data, "x_hat far from all points")


def check_mean(answer, noisy, data, alpha, sigma):
    square = torch.cdist(noisy, alpha * data) ** 2
    weights = posterior(noisy, data, alpha, sigma)
    agree(
        answer.denoise(noisy, data, alpha, sigma),
        weights @ data,
        f"x_hat at alpha = {alpha}, sigma = {sigma}",
        {
            "you compare with x_i; the noisy one has to be compared with alpha x_i.": (
                (-(torch.cdist(noisy, data) ** 2) / (2 * sigma**2)).softmax(1) @ data
            ),
            "divide by 2 sigma^2, not by sigma: it is a Gaussian's exponent.": (
                (-square / (2 * sigma)).softmax(1) @ data
            ),
            "the 2 in the Gaussian's exponent is missing.": (-square / sigma**2).softmax(1) @ data,
            "the distance is to be squared.": (-square.sqrt() / (2 * sigma**2)).softmax(1) @ data,
            "far points weigh most: the exponent has a minus.": (
                (square / (2 * sigma**2)).softmax(1) @ data
            ),
            "you take the nearest point alone; the others could have been it, too.": (
                data[square.argmin(1)]
            ),
            "your softmax runs over noisy observations; the weights of all *points* add up to 1.": (
                (-square / (2 * sigma**2)).softmax(0) @ data
            ),
            "you return alpha x_hat, the mean of what was seen; x_hat is the mean of the data.": (
                alpha * weights @ data
            ),
        },
    )


def posterior(noisy, data, alpha, sigma):
    """Bayes' rule: p(noisy | x_i) for each pair, normalised over points."""
    return Normal(alpha * data, sigma).log_prob(noisy[:, None]).sum(2).softmax(1)
