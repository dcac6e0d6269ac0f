"""Whether samples look real, whether all that is real is covered, and whether they are copies: asked of nearest neighbours.

Around every event of a set lies a ball that reaches to its k-th nearest neighbour in that set; the balls together stand for the
region where the distribution lives.

=========  ============================================================================================================
precision  share of samples in a ball of a real event (Kynkäänniemi et al. 2019, eq. 2): they look real
recall     share of real events in a ball of a sample (likewise, eq. 2 with the sets exchanged): they could be drawn
density    how many balls of real events a sample lies in, over k (Naeem et al. 2020, eq. 5): 1 for real data, and above 1
           where samples crowd in the middle; unlike precision it is not fooled by one outlier with a huge ball
coverage   share of real events whose ball holds a sample (likewise, eq. 6): unlike recall not fooled by stray samples
copies     share of samples nearer to a *training* event than 99 % of held-out events are: about 1 % where nothing is copied
nearer     the chance that a sample lies nearer to the training events than a held-out event does: 1/2 where nothing is copied
=========  ============================================================================================================

``nearer`` is the statistic of Meehan et al. 2020 (Mann and Whitney's U, over the number of pairs). A blurred or a timid model
draws from the middle of the data only, and lies nearer to everything; a copy is told from that by its picture.
"""

import torch
from torch import Tensor

NEAREST = 3  # k of precision and recall, as in their paper
NEAREST_COVERED = 5  # k of density and coverage, as in theirs
ALIKE = 0.01  # share of held-out events that lie as near to the training events as a sample must to be called a copy


def support(reference: Tensor, samples: Tensor) -> dict[str, float]:
    """``precision``, ``recall``, ``density`` and ``coverage`` of samples ``(m, d)`` against real events ``(n, d)``."""
    near = in_balls(reference, samples, NEAREST_COVERED)
    return {
        "precision": in_balls(reference, samples, NEAREST).any(0).double().mean().item(),
        "recall": in_balls(samples, reference, NEAREST).any(0).double().mean().item(),
        "density": near.double().sum(0).mean().item() / NEAREST_COVERED,
        "coverage": near.any(1).double().mean().item(),
    }


def in_balls(centres: Tensor, points: Tensor, k: int) -> Tensor:
    """Whether each of ``points`` (m, d) lies in the ball around each of ``centres`` (n, d), ``(n, m)`` booleans."""
    return torch.cdist(centres, points) <= radii(centres, k)[:, None]


def radii(x: Tensor, k: int) -> Tensor:
    """Distance of each event of ``(n, d)`` to the k-th nearest of the others, ``(n,)``."""
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values  # the nearest of all is the event itself


def nearest(x: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Distance ``(n,)`` of each event of ``(n, d)`` to the nearest one ``among`` ``(m, d)``, and which one that is."""
    found = [torch.cdist(part, among, compute_mode="donot_use_mm_for_euclid_dist").min(1) for part in x.split(200)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def copying(samples: Tensor, held_out: Tensor) -> dict[str, float]:
    """``copies`` and ``nearer`` from the distances to the nearest training event of samples ``(m,)`` and of held-out events.

    Ties count half: of data on a grid, held-out events may equal a training event too.
    """
    threshold = held_out.quantile(ALIKE)
    ranks = torch.sign(held_out[:, None] - samples).double()
    return {"copies": (samples < threshold).double().mean().item(), "nearer": (ranks.mean().item() + 1) / 2}
