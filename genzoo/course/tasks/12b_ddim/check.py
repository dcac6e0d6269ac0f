import torch

from genzoo.course.checking import NotYet, agree, require, tensor

MEAN, STD = 0.8, 0.4  # of the data
FIRST, LAST = -6.0, 6.0


def check(answer):
    noisy = torch.randn(200, 2).double()
    check_one_step(answer, noisy)
    errors = [error(answer, noisy, steps) for steps in (32, 64)]
    ratio = errors[0] / max(errors[1], 1e-12)
    require(
        errors[1] < 0.05,
        f"After 64 steps your observations are still {errors[1]:.2f} away from where the exact "
        "path leads. Is the denoiser asked anew at each step, at the log-SNR of now?",
    )
    require(
        1.7 < ratio < 2.4,
        f"Twice the steps should give half the error; yours becomes {ratio:.2f} times smaller.",
    )


def check_one_step(answer, noisy):
    now, then = torch.tensor(-1.0).double(), torch.tensor(0.5).double()
    a, s = strengths(now)
    new_a, new_s = strengths(then)
    x = denoise(noisy, now)
    eps = (noisy - a * x) / s
    times = torch.stack([now, then])
    once, again = (answer.ddim(denoise, noisy, times) for _ in range(2))
    if not torch.equal(tensor(once, "x", noisy.shape), tensor(again, "x", noisy.shape)):
        raise NotYet(
            "Two runs from the same noise end in different places: DDIM draws no new noise, it "
            "keeps eps_hat."
        )
    agree(
        once,
        new_a * x + new_s * eps,
        "x after one step",
        {
            "you return x_hat itself, without any noise.": x,
            "you mix with alpha and sigma of *now*, so nothing changes; take those of *then*.": (
                noisy
            ),
            "eps_hat is made with the strengths of then; the noise is that of now.": (
                new_a * x + (noisy - new_a * x)
            ),
            "you add the whole noise; weigh it by the new sigma.": new_a * x + eps,
            "you weigh the old noisy observation in place of eps_hat.": new_a * x + new_s * noisy,
            "eps_hat is not divided by sigma.": new_a * x + new_s * (noisy - a * x),
            "the denoiser was asked at the log-SNR of then; the observation has that of now.": (
                new_a * denoise(noisy, then) + new_s * (noisy - a * denoise(noisy, then)) / s
            ),
        },
    )


def error(answer, noisy, steps):
    times = torch.linspace(FIRST, LAST, steps + 1).double()
    found = tensor(answer.ddim(denoise, noisy, times), "x", noisy.shape)
    return (found - exact(noisy)).abs().mean().item()


def strengths(log_snr):
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def denoise(noisy, log_snr):
    """The mean of Gaussian data, given a noisy observation."""
    a, s = strengths(torch.as_tensor(log_snr).double())
    gain = a * STD**2 / (a**2 * STD**2 + s**2)
    return MEAN + gain * (noisy - a * MEAN)


def exact(noisy):
    """End of the path in continuous time: a point keeps its distance in standard deviations."""
    (a, s), (new_a, new_s) = (strengths(torch.tensor(t).double()) for t in (FIRST, LAST))
    deviations = (noisy - a * MEAN) / (a**2 * STD**2 + s**2).sqrt()
    return new_a * MEAN + (new_a**2 * STD**2 + new_s**2).sqrt() * deviations
