r"""Energy-based model: say how *un*likely each event is, and let a Markov chain find the likely ones.

.. math::

    p(x \mid c) = \frac{e^{-E(x, c)}}{Z(c)}, \qquad Z(c) = \int e^{-E(x, c)}\, dx, \qquad
    E(x, c) = f(x, c) + \tfrac{1}{2 s^2} \|x\|^2

f is any network; the quadratic keeps Z finite. Z itself is out of reach, but the gradient of the log-likelihood needs only
samples from the model (:math:`\mathbb E` is a mean, E the energy):

.. math::

    -\nabla_\theta\, \mathbb E_{data}[\log p(x^+)] = \mathbb E_{data}[\nabla_\theta E(x^+)] - \mathbb E_{p}[\nabla_\theta E(x^-)]

The samples x- come from Langevin dynamics, a random walk downhill, :math:`x' = x - \tfrac{h^2}{2} \nabla E(x) + h \xi`. Its
chains are seldom started afresh: they live in a *replay buffer*, take a few steps for each update of the network, and so keep
up with a slowly changing model (persistent contrastive divergence). The buffer is part of the model and of its checkpoint.

A walk of finite steps does not quite keep p, and where E is steep it flies off. A Metropolis test of each step mends both
(``adjusted``): :math:`x'` is taken with probability
:math:`\min\{1, e^{E(x) - E(x')} q(x \mid x') / q(x' \mid x)\}`, q being the Gaussian that proposed it.

References: Tieleman 2008, *Persistent contrastive divergence*; Du & Mordatch 2019, *Implicit generation and modeling with
energy-based models* (buffer, energy regulariser); Nijkamp et al. 2020, *On the anatomy of MCMC-based maximum likelihood
learning* (what goes wrong, and data smoothing); Du et al. 2020, *Compositional visual generation with energy based models*
(sums of energies); Roberts & Tweedie 1996, *Exponential convergence of Langevin distributions* (the Metropolis test).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from genzoo import grid
from genzoo.errors import TrainingError
from genzoo.model import GenerativeModel, Likelihood, require
from genzoo.nets import Condition, Encoder, as_vectors


class Energy(GenerativeModel):
    """Unnormalised log-density by a network; trained and sampled by Langevin chains kept in a replay buffer.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        width, depth: of the `genzoo.nets.Encoder` f(x, c) -> scalar.
        spread: s, standard deviation of the Gaussian that the network's energy is added to.
        noise: standard deviation of Gaussian noise added to training data (beside dequantisation); smooths the landscape
            so that chains can walk in it.
        step: h, the Langevin step; steps: Langevin moves of each chain at each update; adjusted: whether each is tested.
        buffer: number of persistent chains; refresh: share of the chains restarted from noise at each update.
        regularise: weight of the squared energies, which keeps them in scale.
        sample_steps: Langevin moves from the buffer to a sample.
    """

    likelihood = Likelihood.ESTIMATE
    chains: Tensor
    chain_conditions: Tensor
    gap: Tensor
    log_z: Tensor
    monitor = None  # the contrastive loss says nothing about the likelihood

    def __init__(self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0, lr: float = 1e-3, width: int = 64,
                 depth: int = 1, spread: float = 1.0, noise: float = 0.05, step: float = 0.05, steps: int = 20,
                 buffer: int = 1024, refresh: float = 0.01, regularise: float = 1e-3, sample_steps: int = 200,
                 adjusted: bool = False):  # fmt: skip
        super().__init__(event_shape, condition, levels, lr)
        require(1, width=width, steps=steps, buffer=buffer, sample_steps=sample_steps)
        require(0, depth=depth, noise=noise, regularise=regularise)
        require(0, 1, refresh=refresh)
        require(1e-6, spread=spread, step=step)
        self.width, self.depth, self.spread, self.noise = width, depth, spread, noise
        self.step, self.steps, self.sample_steps, self.adjusted = step, steps, sample_steps, adjusted
        self.buffer, self.refresh, self.regularise = buffer, refresh, regularise
        self.embed = Condition(condition, width)
        self.network = Encoder(self.event_shape, 1, width, width, depth)
        self.register_buffer("chains", self.fresh(buffer))
        self.register_buffer("chain_conditions", torch.full((buffer, condition), torch.inf))  # inf: yet to be given one
        self.register_buffer("gap", torch.zeros(()))  # running mean of E(x+) - E(x-), watched by the guard
        self.register_buffer("log_z", torch.full((), torch.nan))

    # -------------------------------------------------------------------------------------------------------- energy

    def energy(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """E(x, c) = f(x, c) + |x|^2 / 2 s^2, ``(n,)``; low where events are likely."""
        confinement = x.square().flatten(1).sum(1) / (2 * self.spread**2)
        return self.network(x, self.embed(c, len(x))).squeeze(1) + confinement

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """-E(x, c) - log Z, ``(n,)`` nats, once log Z has been estimated; discrete data is dequantised by one draw.

        Raises:
            NotImplementedError: log Z has not been estimated, so there is no density yet.
        """
        if self.log_z.isnan():
            raise NotImplementedError(
                "This Energy model is unnormalised: log Z has not been estimated, so log p(x) is not known."
            )
        return -self.energy(grid.dequantise(x, self.levels), c) - self.log_z

    def features(self, x: Tensor) -> Tensor:
        """What the network's last, linear layer reads, ``(n, width x positions)``."""
        return self.network.features(x, self.embed(None, len(x)))

    @property
    def unbiased(self) -> bool:
        """Yes, as far as log Z is known: the draws differ by dequantisation noise alone, if at all."""
        return True

    # ------------------------------------------------------------------------------------------------------ training

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """E(x+) - E(x-), whose gradient is that of -log p, plus a pull of both energies towards zero: ``(n,)``."""
        positive = grid.dequantise(x, self.levels)
        positive = positive + self.noise * torch.randn_like(x)
        e_positive = self.energy(positive, c)
        negative, negative_c = self.persist(len(x), c)
        e_negative = self.energy(negative, negative_c)
        self.guard((e_positive - e_negative).mean().detach())
        return e_positive - e_negative + self.regularise * (e_positive.square() + e_negative.square())

    @torch.no_grad()
    def persist(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Take n chains from the buffer, restart a few with the conditions of the batch, walk, put them back.

        Chains keep their conditions, and have them in the shares in which the data has them, the conditions that were dropped
        (NaN) included: were there fewer chains without a condition than events, those events' energies would fall for ever.
        """
        rows = torch.randperm(self.buffer, device=self.chains.device)[:n]
        if n > self.buffer:
            rows = torch.randint(self.buffer, (n,), device=self.chains.device)
        x, chain_c = self.chains[rows], self.chain_conditions[rows]
        restart = torch.rand(n, device=x.device) < self.refresh
        x[restart] = self.fresh(int(restart.sum())).to(x)
        if self.condition and c is not None:
            renew = restart | chain_c.isinf().any(1)
            chain_c[renew] = as_vectors(c, self.condition)[renew].to(chain_c)
        given = chain_c.nan_to_num(nan=torch.nan, posinf=torch.nan) if self.condition else None
        x = self.walk(x, given, self.steps)
        self.chains[rows], self.chain_conditions[rows] = x, chain_c
        return x, given

    def guard(self, gap: Tensor) -> None:
        """Stop a run that has diverged: chains and data have drifted to energies that no longer have to do with each other."""
        self.gap.lerp_(gap.float(), 0.05)
        if not torch.isfinite(self.gap) or self.gap.abs() > 20 + 2 * self.dims:
            raise TrainingError(
                f"The energy model diverged: the energies of data and of Langevin samples differ by {gap.item():.3g} nats. "
                f"Try a smaller lr (now {self.lr:g}) or step (now {self.step:g}), more steps (now {self.steps}), "
                f"more noise (now {self.noise:g}) or a larger regularise (now {self.regularise:g})."
            )

    # ------------------------------------------------------------------------------------------------------ sampling

    def fresh(self, n: int) -> Tensor:
        """Starting points of new chains: the Gaussian the energy is built on, ``(n, *event_shape)``."""
        return self.spread * torch.randn(n, *self.event_shape)

    @torch.no_grad()
    def sample(self, n: int, c: Tensor | None = None, guidance: float = 1.0, steps: int | None = None) -> Tensor:
        """``(n, *event_shape)``: chains of the buffer whose condition is nearest to ``c``, moved on by ``steps``.

        They walk in the landscape of p(x | c)^w p(x)^(1 - w), w being the ``guidance``: see `guided_energy`.
        """
        start, given = self.nearest_chains(n, c)
        return self.on_grid(self.walk(start, given, steps or self.sample_steps, guidance))

    def walk(self, x: Tensor, c: Tensor | None, steps: int, guidance: float = 1.0) -> Tensor:
        move = adjusted_langevin if self.adjusted else langevin
        return move(lambda y: self.guided_energy(y, c, guidance), x, self.step, steps)

    def guided_energy(self, x: Tensor, c: Tensor | None, guidance: float) -> Tensor:
        """w E(x, c) + (1 - w) E(x), ``(n,)``: energies add where densities multiply (Du et al. 2020)."""
        e = self.energy(x, c)
        return e if guidance == 1.0 else torch.lerp(self.energy(x, None), e, guidance)

    @property
    def evaluations_per_sample(self) -> int:
        """One gradient of the energy for each Langevin move, and one at the start where moves are tested."""
        return self.sample_steps + int(self.adjusted)

    def nearest_chains(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """n random chains; with conditions, each drawn from those whose own condition is nearest to the one asked for."""
        self.embed(c, n)  # raises where the condition is not one for this model and n events
        if c is None:
            repeats = -(-n // self.buffer)
            rows = torch.randperm(self.buffer, device=self.chains.device).repeat(repeats)[:n]
            return self.chains[rows], None
        wanted = as_vectors(c, self.condition).to(self.chains)
        distance = torch.cdist(wanted.nan_to_num(), self.chain_conditions.nan_to_num(nan=1e3, posinf=1e3))
        distance = distance.masked_fill(wanted.isnan().any(1, keepdim=True), 0.0)  # nothing is asked for: any chain
        rows = (distance + 1e-3 * torch.rand_like(distance)).argmin(1)
        return self.chains[rows], wanted


def langevin(energy: Callable[[Tensor], Tensor], x: Tensor, step: float, steps: int) -> Tensor:
    """``steps`` moves x' = x - step^2/2 grad E(x) + step * noise of the unadjusted Langevin algorithm, at temperature one.

    Args:
        energy: maps ``(n, ...)`` to energies ``(n,)``.
        x: where the chains start, ``(n, ...)``; not changed.

    Returns:
        where they end, ``(n, ...)``. Works under ``no_grad`` and under inference mode, which it leaves for its own gradients.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()
        for _ in range(steps):
            x.requires_grad_(True)
            (gradient,) = torch.autograd.grad(energy(x).sum(), x)
            x = x.detach() - 0.5 * step**2 * gradient + step * torch.randn_like(x)
    return x


def adjusted_langevin(energy: Callable[[Tensor], Tensor], x: Tensor, step: float, steps: int) -> Tensor:
    """As `langevin`, each move with a Metropolis test: it keeps exp(-E) exactly, at the cost of one more gradient in all."""

    def slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_(True)
        e = energy(x)
        return e.detach(), torch.autograd.grad(e.sum(), x)[0]

    def log_proposal(there: Tensor, here: Tensor, gradient: Tensor) -> Tensor:
        """log q(there | here) of N(here - step²/2 grad E(here), step²), up to a constant."""
        return -(there - here + 0.5 * step**2 * gradient).square().flatten(1).sum(1) / (2 * step**2)

    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()
        e, g = slope(x)
        for _ in range(steps):
            y = x - 0.5 * step**2 * g + step * torch.randn_like(x)
            e_y, g_y = slope(y)
            log_ratio = e - e_y + log_proposal(x, y, g_y) - log_proposal(y, x, g)
            taken = torch.rand_like(e).log() < log_ratio
            e, rows = torch.where(taken, e_y, e), taken.view(-1, *[1] * (x.dim() - 1))
            x, g = torch.where(rows, y, x), torch.where(rows, g_y, g)
    return x.detach()
