import torch

from genzoo.course.checking import agree, pair

N, D = 7, 2


def check(answer):
    log_snr = torch.linspace(-4, 4, N).double()[:, None]
    alpha, sigma = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
    check_strengths(answer, log_snr, alpha, sigma)

    x, eps = torch.randn(2, N, D).double()
    noisy, v = alpha * x + sigma * eps, alpha * eps - sigma * x
    agree(
        answer.x_from_eps(noisy, eps, log_snr),
        x,
        "x from eps",
        {
            "divide by alpha as well: the signal was weakened by it.": noisy - sigma * eps,
            "take away sigma eps, not eps.": (noisy - eps) / alpha,
            "you add the noise once more; take it away.": (noisy + sigma * eps) / alpha,
            "alpha and sigma have changed places.": (noisy - alpha * eps) / sigma,
        },
    )
    agree(
        answer.eps_from_x(noisy, x, log_snr),
        eps,
        "eps from x",
        {
            "divide by sigma as well.": noisy - alpha * x,
            "take away alpha x, not x.": (noisy - x) / sigma,
            "its sign is turned round.": -eps,
            "alpha and sigma have changed places.": (noisy - sigma * x) / alpha,
        },
    )
    agree(
        answer.x_from_v(noisy, v, log_snr),
        x,
        "x from v",
        {
            "that is the noise: alpha and sigma have changed places, and a sign.": eps,
            "its v has the wrong sign.": alpha * noisy + sigma * v,
            "you treat v as if it were eps.": (noisy - sigma * v) / alpha,
            "alpha and sigma have changed places.": sigma * noisy - alpha * v,
            "nothing is to be divided: alpha^2 + sigma^2 is 1.": noisy - sigma / alpha * v,
        },
    )


def check_strengths(answer, log_snr, alpha, sigma):
    found = pair(answer.strengths(log_snr), "strengths", "alpha", "sigma")
    agree(
        found[0],
        alpha,
        "alpha",
        {
            "that is alpha squared: the sigmoid gives the *square*.": alpha**2,
            "that is sigma: more signal means a larger alpha.": sigma,
            "the SNR is alpha^2 / sigma^2, so its root is alpha / sigma, not alpha.": (
                (log_snr / 2).exp()
            ),
            "the log-SNR is log of *squares*, so no factor 2 is left in the sigmoid.": (
                torch.sigmoid(2 * log_snr).sqrt()
            ),
        },
    )
    agree(
        found[1],
        sigma,
        "sigma",
        {
            "that is sigma squared.": sigma**2,
            "sigma is the root of 1 - alpha^2, not 1 - alpha.": 1 - alpha,
            "both are alpha.": alpha,
        },
    )
