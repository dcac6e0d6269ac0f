import math

import torch
import torch.nn.functional as F
from torch.distributions import Normal

from genzoo.course.checking import agree, require, tensor


def check(answer):
    check_loss(answer)
    check_critic(answer)


def check_loss(answer):
    on_data, on_samples = torch.randn(6).double() + 1, torch.randn(9).double() - 1
    real, fake = F.softplus(-on_data), F.softplus(on_samples)
    agree(
        answer.critic_loss(on_data, on_samples),
        real.mean() + fake.mean(),
        "critic's loss",
        {
            "its signs are turned round: this critic gives high scores to samples.": (
                F.softplus(on_data).mean() + F.softplus(-on_samples).mean()
            ),
            "both terms push scores up; samples should get low ones, so softplus(D).": (
                real.mean() + F.softplus(-on_samples).mean()
            ),
            "the samples are missing: a score of plus infinity everywhere would be best.": (
                real.mean()
            ),
            "you sum over the batch; the loss has two means.": real.sum() + fake.sum(),
            "you take half of it; the formula adds both means.": (real.mean() + fake.mean()) / 2,
            "that is the value that the critic makes large; the loss is minus that.": (
                -real.mean() - fake.mean()
            ),
        },
    )
    draw = torch.zeros(5).double()
    agree(answer.critic_loss(draw, draw), 2 * math.log(2), "loss of a critic that knows nothing")
    sure = torch.full((5,), 800.0).double()
    require(
        torch.as_tensor(answer.critic_loss(-sure, sure)).isfinite(),
        "With large scores your loss is infinite: exp overflows. F.softplus does not.",
    )


def check_critic(answer):
    data, model = (Normal(torch.tensor(m).double(), s) for m, s in ((0.5, 0.8), (-0.4, 1.3)))
    x = torch.linspace(-4, 4, 161).double()
    p, q = data.log_prob(x), model.log_prob(x)
    found = answer.best_critic(x, data, model)
    agree(
        found,
        p - q,
        "critic",
        {
            "its sign is turned round: it is high where samples are likelier.": q - p,
            "that is the ratio of densities; the score is its logarithm.": (p - q).exp(),
            "that is the *probability* of data; its logit is the score.": (p - q).sigmoid(),
            "that looks at the data alone: what is likely under both is no sign of data.": p,
            "you subtract densities, not logarithms.": p.exp() - q.exp(),
        },
    )
    score = tensor(found, "critic", x.shape)
    least = pointwise(score, p, q)
    for move in (0.05, -0.05):
        require(
            (pointwise(score + move, p, q) >= least - 1e-12).all(),
            f"Your critic is not the best: moved by {move} its loss falls at some x.",
        )


def pointwise(score, log_p, log_q):
    return log_p.exp() * F.softplus(-score) + log_q.exp() * F.softplus(score)
