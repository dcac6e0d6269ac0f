import torch

from genzoo.course.checking import agree, require, tensor
from genzoo.data.synthetic import gaussians

DIMS, SEEN = 2, 1500


def check(answer):
    which, law = gaussians.components(DIMS)
    x, label = gaussians.draw(4000, DIMS, torch.Generator().manual_seed(5))
    log_likelihood = law.log_prob(x[:, None])
    counts = (which.probs * SEEN).round()
    joint = gaussians.log_joint(x)
    share = which.probs

    found = tensor(answer.log_posterior(log_likelihood, counts), "log-posterior", joint.shape)
    agree(
        found,
        joint.log_softmax(1),
        "log-posterior",
        {
            "the prior is missing: this takes all classes for equally common.": (
                log_likelihood.log_softmax(1)
            ),
            "the rows are not normalised: subtract log p(x), the logsumexp of each row.": joint,
            "the rows are not normalised, and counts are no shares: divide by their sum.": (
                log_likelihood + counts.log()
            ),
            "you add the share itself where its logarithm belongs.": (
                (log_likelihood + share).log_softmax(1)
            ),
            "you add the counts themselves where the logarithm of the share belongs.": (
                (log_likelihood + counts).log_softmax(1)
            ),
            "you normalise over the points; each point's probabilities add up to 1.": (
                joint.log_softmax(0)
            ),
            "you return probabilities; the result should be their logarithms.": joint.softmax(1),
            "you divide by the prior: rare classes are made more likely, not less.": (
                (log_likelihood - share.log()).log_softmax(1)
            ),
        },
    )
    far = torch.as_tensor(answer.log_posterior(log_likelihood - 5000, counts))
    require(
        far.isfinite().all(),
        "Your log-posterior is not finite where likelihoods are tiny, as those of pictures are: "
        "stay in logarithms, with log_softmax or logsumexp.",
    )
    mine, plain = (accuracy(score, label) for score in (found, log_likelihood))
    require(mine > plain, f"Your classifier is right in {mine:.1%}, the plain one in {plain:.1%}.")


def accuracy(score, label):
    return (score.argmax(1) == label).double().mean().item()
