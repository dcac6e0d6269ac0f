"""2b: Bayes' rule with a prior over classes.    p(c | x) = p(x | c) p(c) / p(x)

log_likelihood[i, c] is log p(x_i | c), (n, classes); counts says how often each class occurred.
"""

from torch import Tensor


def log_posterior(log_likelihood: Tensor, counts: Tensor) -> Tensor:
    """log p(c | x), (n, classes): the exponentials of each row add up to 1."""
    # TODO: add the logarithm of the prior, then normalise each row
    raise NotImplementedError("return the normalised logarithm of Bayes' rule.")
