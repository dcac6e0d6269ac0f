r"""The Parzen-window estimate, which is not a likelihood.

It is here only to show that it ranks models wrongly.

For years a GAN was scored by a kernel density estimate of its samples: a Gaussian of width sigma on
each of N of them,

.. math::

    \hat p(x) = \frac1N \sum_{i=1}^N \mathcal N(x; y_i, \sigma^2 I), \qquad y_i \sim \text{model} ,

with sigma chosen on validation data. In few dimensions and with many samples it tends to the
model's density. In many dimensions no number of samples is enough: it then rewards points that lie
well for windows, such as the centroids of k-means or samples that are too close together, above
samples of the *true* distribution, and it lies many nats below the true density. It says nothing
about the model's likelihood, so no scorecard of the zoo shows it; for decoders, see
`genzoo.evaluation.likelihood.decoder`.

References: Theis, van den Oord & Bethge 2016, *A note on the evaluation of generative models*,
whose k-means beats the true distribution of MNIST; Wu et al. 2017, *On the quantitative analysis of
decoder-based generative models*, who compare it with annealing.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SIGMAS = tuple(10 ** (i / 10) for i in range(-20, 11))  # from 0.01 to 10, ten to a decade
DISTANCES = 5_000_000  # measured at a time: 40 MB


class Parzen(NamedTuple):
    """The estimate of each event ``(n,)`` in float64 nats, and the width of the windows."""

    value: Tensor
    sigma: float


def parzen_log_density(
    samples: Tensor, x: Tensor, validation: Tensor, *, sigmas: Sequence[float] = SIGMAS
) -> Parzen:
    """Log-density of events under Gaussian windows on samples, which is not a likelihood.

    Args:
        samples: on which the windows lie, ``(N, *event_shape)``.
        x: events, ``(n, *event_shape)``.
        validation: events ``(m, *event_shape)``; the width under which they are likeliest is taken.
        sigmas: the widths to try.
    """
    means = under_windows(samples, validation, sigmas).mean(1)
    best = int(means.argmax())
    sigma = sigmas[best]
    (value,) = under_windows(samples, x, [sigma])
    return Parzen(value, sigma)


def under_windows(samples: Tensor, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """log 1/N sum_i N(x; y_i, sigma² I) for every sigma, ``(sigmas, n)`` in float64.

    Args:
        samples: y, ``(N, *event_shape)``.
        x: events, ``(n, *event_shape)``.
        sigmas: widths of the windows; distances are computed once for all of them.
    """
    # in float64, or distances of near neighbours would lose their digits
    samples = samples.flatten(1).double()
    x = x.flatten(1).double()
    n, dims = samples.shape
    blocks = []
    for rows in x.split(max(1, DISTANCES // n)):
        squares = torch.cdist(rows, samples).square_()
        log_sums = [torch.logsumexp(squares * (-0.5 / sigma**2), 1) for sigma in sigmas]
        blocks.append(torch.stack(log_sums))
    log_sigmas = torch.tensor(sigmas, dtype=torch.float64, device=x.device).log()
    log_norm = log_sigmas + 0.5 * math.log(2 * math.pi)  # of one dimension
    return torch.cat(blocks, 1) - math.log(n) - dims * log_norm.unsqueeze(1)
