import torch

from genzoo.course.checking import agree, require, tensor


def check(answer):
    for rate in (0.4, 3.0):
        x = torch.distributions.Exponential(torch.tensor(rate).double()).sample((200,))
        check_likelihood(answer, torch.tensor(0.8 * rate).double(), x)
        check_maximum(answer, x)


def check_likelihood(answer, theta, x):
    truth = torch.distributions.Exponential(theta).log_prob(x)
    agree(
        answer.log_likelihood(theta, x),
        truth.sum(),
        "log-likelihood",
        {
            "you take the mean; the likelihood of all is a product, so its log is a sum.": (
                truth.mean()
            ),
            "the factor theta in front of the exponential is missing.": (-theta * x).sum(),
            "log theta belongs to every observation, so it is counted n times.": (
                theta.log() - (theta * x).sum()
            ),
            "that is the negative log-likelihood, a loss.": -truth.sum(),
            "that is the sum of the densities, without logarithms.": truth.exp().sum(),
            "you return one number for each observation; add them up.": truth,
        },
    )


def check_maximum(answer, x):
    theta = tensor(answer.mle(x), "theta", ()).requires_grad_()
    require(theta > 0, f"Your theta is {theta.item():.3g}: a rate is positive.")
    (slope,) = torch.autograd.grad(answer.log_likelihood(theta, x), theta)
    agree(
        theta,
        len(x) / x.sum(),
        f"theta, where the slope of the log-likelihood is {slope.item():.3g} and not 0,",
        {
            "that is the mean waiting time; if you wait long, the rate is small.": x.mean(),
            "you divide by the sum without counting the observations.": 1 / x.sum(),
            "the median is another summary: the derivative has the sum of all x in it.": (
                1 / x.median()
            ),
        },
    )
