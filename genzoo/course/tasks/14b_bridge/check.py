import torch
from torch.distributions import Normal

from genzoo.course.checking import agree, pair

N, D = 6, 4
PARTS = "z", "log |det J|"


def check(answer):
    weights = torch.randn(2, D, D).double().tril(-1)

    def conditional(x):
        mean = (x @ weights[0].T).tanh() + 0.3
        return mean, 0.4 + torch.sigmoid(x @ weights[1].T)

    x = torch.randn(N, D).double()
    m, s = conditional(x)
    z, log_det = pair(answer.to_noise(x, conditional), "to_noise", *PARTS)
    check_noise(z, x, m, s)
    check_determinant(answer, log_det, x, s, conditional)
    agree(
        Normal(0, 1).log_prob(z).sum(1) + log_det,
        Normal(m, s).log_prob(x).sum(1),
        "density as a flow, which should be the autoregressive one,",
    )
    check_data(answer, x, (x - m) / s, conditional)


def check_noise(z, x, m, s):
    agree(
        z,
        (x - m) / s,
        "z",
        {
            "you multiply by the standard deviation; divide by it.": (x - m) * s,
            "you divide by the variance; take the standard deviation.": (x - m) / s**2,
            "the mean is to be taken away first.": x / s,
            "that is the other direction, from noise to data.": m + s * x,
        },
    )


def check_determinant(answer, log_det, x, s, conditional):
    def noise_of(row):
        return pair(answer.to_noise(row[None], conditional), "to_noise", *PARTS)[0][0]

    jacobians = torch.stack([torch.autograd.functional.jacobian(noise_of, row) for row in x])
    agree(
        log_det,
        torch.linalg.slogdet(jacobians).logabsdet,
        "log |det J|",
        {
            "its sign is turned round: that is the direction from noise to data.": s.log().sum(1),
            "did you sum over the batch? Each row has its own.": -s.log().sum(),
            "sum the logarithms over features.": -s.log(),
            "a determinant is a product over features, so sum their logs; no mean.": (
                -s.log().mean(1)
            ),
            "that is the determinant, not its logarithm.": (1 / s).prod(1),
        },
    )


def check_data(answer, x, truth, conditional):
    m_z, s_z = conditional(truth)
    m_0, s_0 = conditional(torch.zeros_like(truth))
    agree(
        answer.to_data(truth, conditional),
        x,
        "x after to_noise and to_data",
        {
            "you ask conditional for z. It looks at *x*, which you find column by column.": (
                m_z + s_z * truth
            ),
            "you ask once, before any feature is known; ask again after each column.": (
                m_0 + s_0 * truth
            ),
        },
    )
