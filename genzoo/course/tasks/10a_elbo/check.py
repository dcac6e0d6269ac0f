import torch
from torch.distributions import MultivariateNormal, Normal

from genzoo.course.checking import agree, require, tensor

N, D, K, S = 6, 3, 2, 0.5


def check(answer):
    torch.manual_seed(1)
    W = torch.linalg.qr(torch.randn(D, K).double()).Q * torch.tensor([1.5, 0.7]).double()
    truth = MultivariateNormal(torch.zeros(D).double(), W @ W.T + S**2 * torch.eye(D).double())
    x, noise = truth.sample((N,)), torch.randn(N, K).double()

    # columns of W are orthogonal, so the exact posterior has independent features
    variance = 1 / (1 + W.square().sum(0) / S**2)
    exact = x @ W / S**2 * variance
    std = variance.sqrt().expand(N, K)

    check_draw(answer, exact, std, noise)
    z = exact + std * noise
    log_likelihood = Normal(z @ W.T, S).log_prob(x)
    log_prior, log_q = Normal(0, 1).log_prob(z), Normal(exact, std).log_prob(z)
    agree(
        answer.elbo(x, z, W, S, exact, std),
        truth.log_prob(x),
        "ELBO with the exact posterior, which should be log p(x),",
        {
            "you subtract the prior's term and add the encoder's; it is the other way round.": (
                log_likelihood.sum(1) - log_prior.sum(1) + log_q.sum(1)
            ),
            "the encoder's term has a minus: -log q(z | x).": (
                log_likelihood.sum(1) + log_prior.sum(1) + log_q.sum(1)
            ),
            "the prior's term log p(z) is missing.": log_likelihood.sum(1) - log_q.sum(1),
            "the encoder's term -log q(z | x) is missing.": (
                log_likelihood.sum(1) + log_prior.sum(1)
            ),
            "did you take the mean over features? Independent densities multiply, so add logs.": (
                log_likelihood.mean(1) + log_prior.mean(1) - log_q.mean(1)
            ),
            "did you sum over the batch? Each observation has its own bound.": (
                truth.log_prob(x).sum()
            ),
            "that is minus the ELBO, a loss.": -truth.log_prob(x),
            "the decoder has variance s^2, so its standard deviation is s.": (
                Normal(z @ W.T, S**2).log_prob(x).sum(1) + (log_prior - log_q).sum(1)
            ),
        },
    )
    check_gap(answer, truth, x, W, exact, std)


def check_draw(answer, mean, std, noise):
    mean, std = mean.clone().requires_grad_(), std.clone().requires_grad_()
    z = answer.draw(mean, std, noise)
    tensor(z, "z", mean.shape)
    require(
        z.requires_grad,
        "Your z carries no gradient to mean and std, so an encoder could not learn. Make it from "
        "the noise that is given, with arithmetic only.",
    )
    agree(
        z,
        mean + std * noise,
        "z",
        {
            "scale the noise by the standard deviation, not by its square.": mean + std**2 * noise,
            "std is a standard deviation already, and no logarithm of one.": (
                mean + std.exp() * noise
            ),
        },
    )


def check_gap(answer, truth, x, W, exact, std):
    """Off the posterior, log p(x) - ELBO is on average KL(q || p(z | x))."""
    mean, draws = exact + 0.3, 4000
    kl = torch.distributions.kl_divergence(Normal(mean, std), Normal(exact, std)).sum(1)
    mean, std, x = (part.repeat(draws, 1) for part in (mean, std, x))
    z = mean + std * torch.randn_like(mean)
    bound = tensor(answer.elbo(x, z, W, S, mean, std), "ELBO", (len(x),)).view(draws, -1)
    gap = truth.log_prob(x[:N]) - bound.mean(0)
    error = 5 * bound.std(0) / draws**0.5
    require(
        ((gap - kl).abs() < error).all(),
        f"With a poor encoder the gap to log p(x) should be its KL, {kl.mean():.2f} nats on "
        f"average; yours is {gap.mean():.2f}. Does your bound use the mean and std it is given?",
    )
