import torch

from genzoo.course.checking import NotYet, agree, tensor

COUNTS = torch.tensor([1, 2, 4, 8, 5, 4, 3, 5])  # of 32 draws that are the model, exactly


def check(answer):
    """A world of eight things, with an energy of its own for each."""
    theta = (0.7 - COUNTS.double().log()).requires_grad_()
    worlds = torch.arange(len(COUNTS))
    samples = worlds.repeat_interleave(COUNTS)
    data = torch.tensor([0, 0, 1, 3, 3, 3, 6, 7, 7, 7])

    def energy(x):
        return theta[x]

    log_z = torch.logsumexp(-theta, 0)
    loss = answer.exact_loss(energy, data, worlds)
    agree(
        loss,
        energy(data).mean() + log_z,
        "exact loss",
        {
            "log Z has the wrong sign: -log p = E + log Z.": energy(data).mean() - log_z,
            "log Z is missing.": energy(data).mean(),
            "you add Z itself; its logarithm belongs there.": energy(data).mean() + log_z.exp(),
            "you sum over data; the loss is a mean.": energy(data).sum() + log_z,
            "that is the mean of log p; a loss is minus that.": -energy(data).mean() - log_z,
            "Z sums exp(-E), with a minus.": energy(data).mean() + torch.logsumexp(theta, 0),
        },
    )
    truth = gradient(loss, theta)
    up, down = shares(data), shares(samples)
    agree(
        gradient(answer.contrastive_loss(energy, data, samples), theta),
        truth,
        "gradient of the contrastive loss",
        {
            "its sign is turned round: you push data up and samples down.": down - up,
            "the samples' term is missing. All energies would sink without end.": up,
            "the data's term is missing.": -down,
            "both terms have the same sign; samples are to be pushed *up*.": up + down,
            "you sum where the identity has means.": len(data) * up - len(samples) * down,
        },
    )


def shares(x):
    return x.bincount(minlength=len(COUNTS)).double() / len(x)


def gradient(loss, theta):
    tensor(loss, "loss", ())
    if not loss.requires_grad:
        raise NotYet("Your loss has no gradient to the energy: was something detached?")
    (found,) = torch.autograd.grad(loss, theta, retain_graph=True)
    return found
