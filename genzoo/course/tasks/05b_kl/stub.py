"""5b: KL(p || q) of two Gaussians, p with mean_p and std_p, q with mean_q and std_q.

All arguments have one shape, and so has the result. No integral, no samples: a formula.
"""

from torch import Tensor


def kl(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    """E over p of log p(x) - log q(x), in nats."""
    # TODO: four terms; it is 0 where both are the same
    raise NotImplementedError("return the divergence.")
