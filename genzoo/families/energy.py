r"""Energy-based model: an unnormalised density, sampled by Markov chains.

.. math::

    p(x \mid c) = \frac{e^{-E(x, c)}}{Z(c)}, \qquad E(x, c) = f(x, c) - \log q(x)

f is any function of an observation, and q a base that keeps Z finite: on real-valued data a
Gaussian, :math:`\log q(x) = -\|x\|^2 / 2 s^2`; on data with levels independent features,
:math:`\log q(x) = \sum_i b_i(x_i)`, which start at the log histogram of the training data. There an
untrained model *is* independent pixels, and Z is 1. After training Z cannot be computed, but the
gradient of the log-likelihood needs only samples of the model (:math:`\mathbb E` is a mean, E the
energy):

.. math::

    -\nabla_\theta\, \mathbb E_{data}[\log p(x^+)]
    = \mathbb E_{data}[\nabla_\theta E(x^+)] - \mathbb E_{p}[\nabla_\theta E(x^-)]

The samples x- come from Markov chains that are seldom restarted: they live in a *buffer*, make a
few moves for each update of the weights, and so keep up with a slowly changing model (persistent
contrastive divergence). A few restart from q at each update, so that some chains have always just
begun: they find modes that grow where there is no data. The buffer is part of the model and of its
checkpoint. How a chain moves depends on the data and on f:

*Levels, f a restricted Boltzmann machine* (`genzoo.families.boltzmann`; ``hidden`` units of 0 or
1). Block Gibbs sampling. With few units Z is a sum over all their states, and the likelihood is
exact. Where the sum is small enough for every update, its gradient replaces the chains,
:math:`-\mathbb E_p[\nabla E] = \nabla \log Z`. Where it is not, the chains are replaced by exact
samples of p from time to time, and `sample` returns exact ones too: first the units, by the weight
of each state in the sum, then the features. So groups of observations get their right mass although
no chain walks from one group to the other.

*Levels, f a network* (``hidden=0``). A random subset of features gets new levels v, proposed as if
f were linear: :math:`q(v) \propto e^{b_i(v) - g_i v}`, g the gradient of f. A Metropolis test of
the whole move corrects the error of the proposal, and the size of the subset adapts until half of
the moves are accepted (`Informed`).

*Real-valued data*. Langevin dynamics, a random walk downhill,
:math:`x' = x - \tfrac{h^2}{2} \nabla E(x) + h \xi`. A walk of finite steps does not keep p exactly,
and diverges where E is steep. A Metropolis test of each step corrects both (``adjusted``).

References: Hinton 2002, *Training products of experts by minimizing contrastive divergence*;
Tieleman 2008, *Persistent contrastive divergence*; Zanella 2020, *Informed proposals for local MCMC
in discrete spaces*, and Grathwohl et al. 2021, *Oops I took a gradient* (moves guided by a
gradient); Du & Mordatch 2019, *Implicit generation and modeling with energy-based models* (buffer,
energy regulariser); Nijkamp et al. 2020, *On the anatomy of MCMC-based maximum likelihood learning*
(what goes wrong, and data smoothing); Du et al. 2020, *Compositional visual generation with energy
based models* (sums of energies); Roberts & Tweedie 1996, *Exponential convergence of Langevin
distributions* (the Metropolis test).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genzoo import grid
from genzoo.data.dataset import Gathered, Split
from genzoo.errors import TrainingError
from genzoo.evaluation.likelihood.annealing import Geometric, follow, log_mean_exp, sigmoid, taken
from genzoo.families.baselines import IndependentPixels
from genzoo.families.boltzmann import (
    Boltzmann,
    Gibbs,
    draw_levels,
    draw_of_table,
    levels_of,
    look_up,
    softened,
)
from genzoo.model import DEEPEST, GenerativeModel, Likelihood, drop_conditions, require
from genzoo.nets import Condition, Encoder, apply, as_vectors, features_of, given_or

# hidden units whose 2^18 states are summed, not annealed
FEW_UNITS = 18

# numbers that an update may sum to compute log Z, and its gradient, exactly
FOR_UPDATES = 2**26

# numbers that exact samples for all chains may sum in training, again and again
FOR_DRAWS = 2**30

# ... and for `sample`, where the sums are kept: some ten seconds of one core
FOR_SAMPLES = 2**38

# conditions whose sums over the states of the units are kept
MOST_KEPT = 32

# exact samples are taken so many times as often as if a number of the sum cost as much as a move
# of one chain
OFTEN = 16

# share of the uniform distribution in the base of chains that look for modes far from the data
SOFTENED = 0.5

# The annealing by which validation chooses the weights:
# its levels for each feature, and the fewest in all
CHECK_LEVELS = 5
FEWEST_LEVELS = 100

# weights of levels that it may compute, which sets how many chains it has, between ten
# and a hundred
CHECK_NUMBERS = 2**26

# ... and that ten chains may compute, which shortens the annealing of large images
MOST_NUMBERS = 2**30

# conditions whose normalisers it estimates
MOST_CHECKED = 16

# what each of several processes has of its own
OF_EACH = ("chains", "chain_conditions", "subset", "gap")


class Energy(GenerativeModel):
    """Unnormalised log-density, trained and sampled by Markov chains.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        hidden: units of the restricted Boltzmann machine that is f on data with levels; up to 18
            its likelihood is exact. 0: f is the network, as it always is on real-valued data.
        width, depth: of that network, a `genzoo.nets.Encoder`.
        steps: moves of each chain at each update.
        buffer: number of persistent chains. An update moves as many of them as the batch has
            observations.
        refresh: share of the chains that restart at each update.
        decay: weight of half the squared weights of the Boltzmann machine, a Gaussian prior on
            them.
        regularise: weight of the squares of f where it is the network, which keeps it in scale.
        sample_steps: gradients, or sweeps of block Gibbs, from the base to a sample.
        base_std: s, standard deviation of the Gaussian base of real-valued data.
        noise: standard deviation of Gaussian noise added to real-valued training data; smooths the
            landscape so that chains can walk in it.
        step: h, the Langevin step.
        adjusted: whether each Langevin step gets a Metropolis test.
        network: f, on data of either kind, in place of the default; see `genzoo.nets`.
    """

    guidable = True
    chains: Tensor
    chain_conditions: Tensor
    started: Tensor
    gap: Tensor
    log_z: Tensor
    log_z_ends: Tensor
    log_z_ess: Tensor
    histogram: Tensor
    subset: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 1e-3,
        hidden: int = 200,
        width: int = 64,
        depth: int = 1,
        steps: int = 20,
        buffer: int = 1024,
        refresh: float = 0.01,
        decay: float = 1e-2,
        regularise: float = 1e-3,
        sample_steps: int = 200,
        base_std: float = 1.0,
        noise: float = 0.05,
        step: float = 0.05,
        adjusted: bool = False,
        network: nn.Module | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, width=width, steps=steps, buffer=buffer, sample_steps=sample_steps)
        require(0, DEEPEST, depth=depth)
        require(0, hidden=hidden, noise=noise, regularise=regularise, decay=decay)
        require(0, 1, refresh=refresh)
        require(1e-6, base_std=base_std, step=step)
        self.hidden = hidden
        self.width = width
        self.depth = depth
        self.steps = steps
        self.buffer = buffer
        self.refresh = refresh
        self.decay = decay
        self.regularise = regularise
        self.sample_steps = sample_steps
        self.base_std = base_std
        self.noise = noise
        self.step = step
        self.adjusted = adjusted
        self.make_base()
        self.make_network(network)
        self.make_chains()
        # of the conditions of a check, whose batches share them
        self.checked_log_z: dict[tuple[float, ...], Tensor] = {}
        # the last exact log Z, and of what
        self.summed: dict[Any, Tensor] = {}
        # an estimate of log Z, its two ends, and the effective chains behind it
        self.register_buffer("log_z", torch.full((), torch.nan))
        self.register_buffer("log_z_ends", torch.full((2,), torch.nan))
        self.register_buffer("log_z_ess", torch.full((), torch.nan))

    def make_base(self) -> None:
        """Make the base of data with levels: its log histogram, and the learned change to it."""
        if not self.levels:
            return
        shape = (self.dims, self.levels)
        uniform = torch.full(shape, -math.log(self.levels))
        self.register_buffer("histogram", uniform)
        self.bias = nn.Parameter(torch.zeros(shape))

    def make_network(self, given: nn.Module | None) -> None:
        """Make f and the embedding of its condition."""
        if self.levels and self.hidden and given is None:
            machine = given_or(None, lambda: Boltzmann(self.dims, self.levels, self.hidden))
            self.network: nn.Module = machine
            self.embed = machine.biases(self.condition)
            return
        size = (self.width, self.width, self.depth)
        self.network = given_or(given, lambda: Encoder(self.event_shape, 1, *size))
        self.embed = Condition(self.condition, self.width)

    def make_chains(self) -> None:
        """Make the buffer of chains and its state."""
        self.register_buffer("chains", self.fresh(self.buffer))
        # NaN: none
        no_condition = torch.full((self.buffer, self.condition), torch.nan)
        self.register_buffer("chain_conditions", no_condition)
        # whether base and chains have been set to the training data
        self.register_buffer("started", torch.tensor(False))
        # share of the features in an informed move
        self.register_buffer("subset", torch.tensor(0.2))
        # running mean of E(x+) - E(x-)
        self.register_buffer("gap", torch.zeros(()))

    # ----------------------------------------------------------------------------------- the energy

    def energy(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """E(x, c) = f(x, c) - log q(x), ``(n,)``; low where x is likely."""
        return self.f(x, c) - self.log_base(x)

    def f(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The learned part of the energy, beside the base, ``(n,)``."""
        embedding = self.embed(c, len(x))
        f = apply(self.network, x, embedding, (1,))
        return f.squeeze(1)

    def log_base(self, x: Tensor) -> Tensor:
        """log q(x) up to a constant, ``(n,)``: the Gaussian's, or the sum of b_i(x_i)."""
        if not self.levels:
            squares = x.square().flatten(1)
            return -squares.sum(1) / (2 * self.base_std**2)
        b = self.histogram + self.bias
        return look_up(b, levels_of(x, self.levels))

    def guided_energy(self, x: Tensor, c: Tensor | None, guidance: float) -> Tensor:
        """w E(x, c) + (1 - w) E(x), ``(n,)``.

        Energies add where densities multiply (Du et al. 2020).

        Args:
            x: observations, ``(n, *event_shape)``.
            c: a condition for each.
            guidance: w.
        """
        f = self.guided_f(x, c, guidance)
        return f - self.log_base(x)

    def guided_f(self, x: Tensor, c: Tensor | None, guidance: float) -> Tensor:
        """w f(x, c) + (1 - w) f(x), ``(n,)``; its arguments are those of `guided_energy`."""
        f = self.f(x, c)
        if guidance == 1.0:
            return f
        unconditional = self.f(x, None)
        return torch.lerp(unconditional, f, guidance)

    def features(self, x: Tensor) -> Tensor:
        """Input of a linear probe, ``(n, width)``.

        Probabilities of the hidden units, or the input of the network's last, linear layer.
        """
        embedding = self.embed(None, len(x))
        return features_of(self.network, x, embedding)

    # --------------------------------------------------------------------------------- the training

    def on_train_start(self) -> None:
        """Set base and chains to the training data, unless a resumed run has them already."""
        self.forget_log_z()
        if self.started:
            return
        x, c = self.training_events()
        self.set_base(x, c)
        # on every device the same
        for buffer in self.buffers():
            buffer.copy_(self.trainer.strategy.broadcast(buffer))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the chains of every process, beside those of this one."""
        super().on_save_checkpoint(checkpoint)
        if self._trainer is not None and self._trainer.world_size > 1:
            own = {name: self.get_buffer(name) for name in OF_EACH}
            checkpoint["chains"] = self.all_gather(own)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with this process's own chains; a process that is new takes another one's."""
        kept = checkpoint.get("chains", {})
        for name, of_each in kept.items():
            mine = of_each[self.trainer.global_rank % len(of_each)]
            for state in ("state_dict", "current_model_state"):
                if state in checkpoint:
                    checkpoint[state][name] = mine

    def training_events(self) -> tuple[Tensor, Tensor | None]:
        """All observations of the training loader, and their conditions.

        They come as its data set holds them where that is a `genzoo.data.Split`.
        """
        loader: Any = self.trainer.train_dataloader
        source = loader.dataset.split if isinstance(loader.dataset, Gathered) else loader.dataset
        if isinstance(source, Split):
            x = source.x
            c = source.c
        else:
            batches = [self.prepare(batch) for batch in loader]
            observations, conditions = zip(*batches, strict=True)
            x = torch.cat(observations)
            c = torch.cat(conditions) if self.condition else None
        if c is not None:
            c = c.to(self.device)
        return x.to(self.device), c

    def set_base(self, x: Tensor, c: Tensor | None = None) -> None:
        """Set the base to independent features with the histograms of ``x``; restart all chains.

        Training does this by itself, once, with the training data. Real-valued data leaves the base
        unchanged. The chains take the conditions ``c`` as often as they occur.
        """
        if self.levels:
            pixels = IndependentPixels(self.levels).fit(x)
            self.histogram.copy_(pixels.log_pmf)
        if isinstance(self.network, Boltzmann):
            self.network.standardise(self.histogram.exp())
        self.chains.copy_(self.fresh(self.buffer))
        if self.condition and c is not None:
            rows = torch.randint(len(c), (self.buffer,), device=c.device)
            dropped: Any = drop_conditions(c[rows], self.drop_condition)
            vectors = as_vectors(dropped, self.condition)
            self.chain_conditions.copy_(vectors)
        self.started.fill_(True)
        self.forget_log_z()

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> Tensor:
        """Move the chains, then return the loss; log Z, where it is summed, needs no chains."""
        x, c = self.prepare(batch)
        c = drop_conditions(c, self.drop_condition)
        summed = self.sums(c, FOR_UPDATES)
        if not summed:
            self.advance(len(x), c)
        contrast, penalty = self.terms(x, c)
        if not summed:
            self.guard(contrast.mean().detach(), batch_idx)
        loss = (contrast + penalty).mean()
        self.log_loss(loss, batch_idx)
        return loss

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """E(x+) - E(x-), whose gradient is that of -log p, plus the penalty on f: ``(n,)``.

        x- are the chains that moved last (`advance`); computing the loss moves none. Where log Z is
        a small sum it takes the place of -E(x-).
        """
        self.require_events(x)
        contrast, penalty = self.terms(x, c)
        return contrast + penalty

    def terms(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The contrast of each observation, and the penalty, each ``(n,)``.

        The contrast is E(x+) less the mean E(x-) of as many chains, or plus log Z.
        """
        n = len(x)
        if isinstance(self.network, Boltzmann) and self.sums(c, FOR_UPDATES):
            conditions, which = distinct(c, n)
            log_z = self.exact_log_z(conditions)[which]
            return self.energy(x, c) + log_z, self.prior().expand(n)

        if self.noise and not self.levels:
            x = x + self.noise * torch.randn_like(x)
        chains = min(n, self.buffer)
        y = self.chains[:chains]
        c_chains = None
        if self.condition:
            c_chains = self.chain_conditions[:chains]

        f_data = self.f(x, c)
        f_chains = self.f(y, c_chains)
        energy_chains = f_chains - self.log_base(y)
        contrast = f_data - self.log_base(x) - energy_chains.mean()
        if isinstance(self.network, Boltzmann):
            return contrast, self.prior().expand(n)
        squares = f_data.square() + f_chains.square().mean()
        return contrast, self.regularise * squares

    def prior(self) -> Tensor:
        """The penalty of a Boltzmann machine.

        Minus the log-density of a Gaussian prior on its weights, up to a constant.
        """
        weight = self.network.get_parameter("weight")
        squares = weight.square().sum() + self.bias.square().sum()
        return 0.5 * self.decay * squares

    @torch.no_grad()
    def advance(self, n: int, c: Tensor | None = None) -> None:
        """Move the n chains that have waited longest, restart a few, and put all of them first.

        A chain keeps its condition until it restarts with one of ``c``, so conditions occur in the
        buffer as often as in the data, dropped ones (NaN) included: with fewer chains without a
        condition than observations without one, the energies of those observations would fall for
        ever.
        """
        n = min(n, self.buffer)
        if self.exact:
            chance = OFTEN * n * self.steps / 2**self.hidden
            if torch.rand(()) < chance:
                self.renew()
        x = self.chains[-n:].clone()
        conditions = self.chain_conditions[-n:].clone()

        restart = torch.rand(n, device=x.device) < self.refresh
        x[restart] = self.fresh(int(restart.sum()), SOFTENED).to(x)
        if self.condition and c is not None:
            vectors = as_vectors(c[:n], self.condition)
            conditions[restart] = vectors[restart].to(conditions)
        x = self.walk(x, conditions if self.condition else None)

        waiting = self.chains[:-n]
        their_conditions = self.chain_conditions[:-n]
        self.chains.copy_(torch.cat([x, waiting]))
        self.chain_conditions.copy_(torch.cat([conditions, their_conditions]))

    def renew(self) -> None:
        """Replace all chains by exact samples, where these are affordable."""
        conditions = self.chain_conditions if self.condition else None
        if self.sums(conditions, FOR_DRAWS):
            exact = self.draw(self.buffer, conditions)
            self.chains.copy_(exact)

    def walk(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Chains ``x`` after ``steps`` moves of training."""
        if not self.levels:
            move = adjusted_langevin if self.adjusted else langevin
            return move(lambda y: self.energy(y, c), x, self.step, self.steps)
        n = len(x)
        path = self.path(n, c)
        at = path.look(x)
        for _ in range(self.steps):
            at, accepted = path.move(at, 1.0, self.subset.expand(n))
            excess = accepted.mean() - path.wanted
            self.subset.mul_(torch.exp(0.05 * excess))
            self.subset.clamp_(1 / self.dims, 1.0)
        return at.x

    def guard(self, gap: Tensor, batch_idx: int = 0) -> None:
        """Stop a run whose chains and data have drifted apart in energy."""
        self.gap.lerp_(gap.float(), 0.05)
        if batch_idx % 10 or self.gap.abs() < 20 + 2 * self.dims:
            return
        larger = ["steps"]
        smaller = ["lr"]
        if isinstance(self.network, Boltzmann):
            larger.append("decay")
        else:
            larger.append("regularise")
        if not self.levels:
            larger.append("noise")
            smaller.append("step")

        def either(names: list[str]) -> str:
            settings = [f"{name} (now {getattr(self, name):g})" for name in names]
            return " or ".join(settings)

        raise TrainingError(
            "The energy model diverged: "
            f"the energies of data and of chains differ by {gap.item():.3g} nats. "
            f"Try a smaller {either(smaller)}, or a larger {either(larger)}."
        )

    # --------------------------------------------------------------------------------- the sampling

    @torch.no_grad()
    def fresh(self, n: int, soften: float = 0.0) -> Tensor:
        """Starting points of new chains: samples of the base, ``(n, *event_shape)``.

        On levels ``soften`` makes it wider.
        """
        if not self.levels:
            return self.base_std * torch.randn(n, *self.event_shape)
        log_pmf = softened(self.histogram, soften)
        k = draw_of_table(log_pmf, n)
        x = grid.to_grid(k, self.levels).view(n, *self.event_shape)
        return x.to(self.histogram)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float = 1.0,
        steps: int | None = None,
    ) -> Tensor:
        """``(n, *event_shape)``: a chain for each, from the base to p, tempered on its first half.

        Where log Z is a sum (and ``steps`` are not asked for) they are exact samples instead: these
        give groups of observations their right mass although no chain walks from one to the other.
        With ``guidance`` w they arrive at p(x | c)^w p(x)^(1 - w): see `guided_energy`. Samples do
        not share chains with each other or with training.

        Args:
            n: how many.
            c: condition of each, ``(n,)`` or ``(n, condition)``.
            guidance: w.
            steps: moves of each chain; `sample_steps` by default.
        """
        # raises where the condition does not fit this model or n
        self.embed(c, n)
        if guidance == 1.0 and steps is None and self.sums(c, FOR_SAMPLES):
            return self.draw(n, c)
        path = self.path(n, c, guidance)
        gradients = steps or self.sample_steps
        moves = max(2, gradients // getattr(path, "leapfrogs", 1))
        half = moves // 2
        tempered = [t / half for t in range(half)]
        settled = [1.0] * (moves - half + 1)

        if guidance != 1.0 and isinstance(self.network, Boltzmann):
            # block Gibbs sampling cannot be guided; it gives a good start for moves that can
            start = self.sample(n, c, 1.0, half)
            betas = settled
        else:
            start = path.draw(n) if self.levels else self.fresh(n).to(self.chains)
            betas = tempered + settled
        step = self.subset.item() if self.levels else 0.5
        chains = follow(path, start, betas, scouts=n, step=step)
        return self.on_grid(chains.x)

    @property
    def evaluations_per_sample(self) -> int:
        """1 for an exact sample, else `sample_steps` + 1.

        A gradient of f, or a sweep of block Gibbs, for each step, and one evaluation at the start.
        """
        if not self.condition and self.sums(None, FOR_SAMPLES):
            return 1
        return self.sample_steps + 1

    def path(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float = 1.0,
        soften: float = 0.0,
    ) -> Any:
        """The annealing path from the base to p(x | c)^w p(x)^(1 - w), and its Markov kernel.

        Args:
            n: number of chains.
            c: condition of each.
            guidance: w.
            soften: share of the uniform distribution in the base, on data with levels; the rest is
                the histogram.
        """
        if not self.levels:

            def log_f(x: Tensor) -> Tensor:
                return -self.guided_energy(x, c, guidance)

            return Geometric(self.log_base, log_f, leapfrogs=5)

        base = softened(self.histogram, soften)
        bias = self.histogram + self.bias - base
        if isinstance(self.network, Boltzmann) and guidance == 1.0:
            embedding = self.embed(c, n)
            return Gibbs(self.network, base, bias, embedding, self.event_shape, soften)

        def slopes(x: Tensor) -> tuple[Tensor, Tensor]:
            return self.slopes(x, c, guidance)

        return Informed(slopes, base, bias, self.event_shape)

    def slopes(self, x: Tensor, c: Tensor | None, guidance: float) -> tuple[Tensor, Tensor]:
        """f and its slopes at each observation.

        Args:
            x: observations, ``(n, *event_shape)``.
            c: a condition for each.
            guidance: see `guided_f`.

        Returns:
            f, ``(n,)``, and what each level of each feature would add to a linear f, ``(n, D, L)``.
        """
        n = len(x)
        if isinstance(self.network, Boltzmann):
            f, slope = self.network.slopes(x, self.embed(c, n))
            if guidance == 1.0:
                return f, slope
            free_f, free_slope = self.network.slopes(x, self.embed(None, n))
            f = torch.lerp(free_f, f, guidance)
            slope = torch.lerp(free_slope, slope, guidance)
            return f, slope

        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            f = self.guided_f(x, c, guidance)
            (gradient,) = torch.autograd.grad(f.sum(), x)
        levels = torch.arange(self.levels, device=x.device)
        values = grid.to_grid(levels, self.levels).to(x)
        slope = gradient.view(n, -1, 1) * values
        return f.detach(), slope

    # ------------------------------------------------------------------------------- the likelihood

    @property
    def exact(self) -> bool:
        """True if log Z is a feasible sum, over all states of few hidden units."""
        if not isinstance(self.network, Boltzmann):
            return False
        return self.network.hidden <= FEW_UNITS

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """EXACT where log Z is, else ESTIMATE, which needs an estimate of log Z first."""
        return Likelihood.EXACT if self.exact else Likelihood.ESTIMATE

    @property
    def unnormalised(self) -> "Energy":
        """The model itself: its density is known up to log Z, a sum or an integral."""
        return self

    @property
    def monitor(self) -> str | None:  # type: ignore[override]
        """Validation chooses the weights on discrete data.

        The contrastive loss does not measure the likelihood.
        """
        return "val_nats" if self.levels else None

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """-E(x, c) - log Z(c), ``(n,)`` nats.

        For discrete data it is the log of the pmf over the volume of a bin.

        Raises:
            NotImplementedError: log Z has not been estimated, so there is no density yet.
        """
        self.require_events(x)
        if self.exact:
            conditions, which = distinct(c, len(x))
            log_z = self.exact_log_z(conditions)[which]
        elif self.log_z.isnan():
            raise NotImplementedError(
                "This Energy model is unnormalised: "
                "log Z has not been estimated, so log p(x) is not known."
            )
        else:
            log_z = self.log_z
        return self.log_prob_under(log_z, x, c)

    def log_prob_under(self, log_z: Tensor, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The `log_prob` for a given value of log Z(c), ``(n,)`` nats.

        Args:
            log_z: one number for each observation, or for all.
            x: observations, ``(n, *event_shape)``.
            c: a condition for each.
        """
        log_volume = self.dims * math.log(grid.bin_width(self.levels))
        return -self.energy(x, c) - log_z - log_volume

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """`log_prob`, which has no randomness to average over ``k`` samples."""
        return self.log_prob(x, c)

    @property
    def unbiased(self) -> bool:
        """True, as far as log Z is known."""
        return True

    def exact_log_z(self, c: Tensor | None = None) -> Tensor:
        """log Z(c) of each condition, ``(n,)``; without any, ``(1,)``.

        Raises:
            ValueError: there are too many hidden units, or f is a network.
        """
        if not isinstance(self.network, Boltzmann) or not self.exact:
            raise ValueError(f"log Z is exact up to {FEW_UNITS} hidden units, got {self.hidden}.")
        n = 1 if c is None else len(c)
        embedding = self.embed(c, n)
        if torch.is_grad_enabled():
            return self.network.log_partition(self.histogram + self.bias, embedding)
        return self.log_states(embedding).logsumexp(1).to(self.bias)

    @torch.no_grad()
    def log_states(self, embedding: Tensor) -> Tensor:
        """Log of what each state of the units adds to Z, ``(n, 2^hidden)`` float64.

        A sum that may take seconds is carried out once, and kept for further batches.

        Args:
            embedding: of the conditions, ``(n, width)``.
        """
        network = self.network
        assert isinstance(network, Boltzmann)
        bias = self.histogram + self.bias
        of_weights = (*fingerprint(bias), *fingerprint(network.weight))
        rows = []
        for row in embedding:
            key = (*of_weights, *fingerprint(row))
            if key not in self.summed:
                if len(self.summed) >= MOST_KEPT:
                    self.summed.clear()
                self.summed[key] = network.log_states(bias, row[None])[0]
            rows.append(self.summed[key])
        return torch.stack(rows)

    def sums(self, c: Tensor | None, most: int) -> bool:
        """True if log Z of all different conditions is a sum of at most ``most`` numbers."""
        if not self.exact:
            return False
        n = 1 if c is None else len(c)
        conditions, _ = distinct(c, n)
        problems = 1 if conditions is None else len(conditions)
        states = 2**self.hidden
        return problems * states * self.dims * self.levels <= most

    @torch.no_grad()
    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Independent exact samples of an exact model, ``(n, *event_shape)``.

        First the units are sampled, from all their states, then x.
        """
        if not isinstance(self.network, Boltzmann) or not self.exact:
            raise ValueError(
                f"Exact samples need at most {FEW_UNITS} hidden units, got {self.hidden}."
            )
        conditions, which = distinct(c, n)
        problems = 1 if conditions is None else len(conditions)
        embedding = self.embed(conditions, problems)
        log_states = self.log_states(embedding)

        h = self.histogram.new_zeros(n, self.hidden)
        for i, of_condition in enumerate(log_states):
            rows = (which == i).to(h.device)
            units = self.network.draw_units(of_condition, int(rows.sum()))
            h[rows] = units.to(h)
        path = self.path(n, c)
        k = draw_levels(path.logits(1.0, h))
        return path.at(k).x

    def set_log_z(
        self,
        lower: float,
        upper: float | None = None,
        ess: float = math.nan,
    ) -> None:
        """Keep an estimate of log Z with the weights, so that `log_prob` has a value.

        Args:
            lower, upper: nats between which it lies; their middle is taken. A single number is
                taken as known exactly.
            ess: effective number of chains behind the worse end.

        Training forgets it. Of a model with conditions it is one normaliser among many: see
        `genzoo.evaluation.log_partition`.
        """
        if upper is None:
            upper = lower
        middle = (lower + upper) / 2
        self.log_z.fill_(middle)
        self.log_z_ends.copy_(torch.tensor([lower, upper]))
        self.log_z_ess.fill_(ess)

    @property
    def half_width(self) -> float:  # type: ignore[override]
        """Nats by which `log_prob` may be off in either direction, for all observations alike."""
        lower, upper = self.log_z_ends
        if self.exact or lower.isnan() or upper.isnan():
            return 0.0
        width = upper - lower
        return width.item() / 2

    def forget_log_z(self) -> None:
        """Drop the estimate of log Z."""
        for estimate in (self.log_z, self.log_z_ends, self.log_z_ess):
            estimate.fill_(math.nan)

    def train(self, mode: bool = True) -> "Energy":
        """Set the mode, as of any module; training mode drops the estimate of log Z."""
        self.checked_log_z = {}
        if mode:
            self.forget_log_z()
        return super().train(mode)

    # -------------------------------------------------------------- log Z for the choice of weights

    def validation_loss(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """-log p of each observation in nats, under the largest log Z of three quick annealings.

        Where there are more than 16 conditions, only observations with 16 of them count.
        """
        if self.exact:
            return -self.log_prob(x, c)
        conditions, which = distinct(c, len(x))
        if c is None or conditions is None:
            return -self.log_prob_under(self.log_z_of_check(None), x)

        every = math.ceil(len(conditions) / MOST_CHECKED)
        checked = torch.arange(0, len(conditions), every, device=which.device)
        log_z = self.log_z_of_check(conditions[checked])
        # which observations have a checked condition, and which of these each has
        has_checked, place = (which[:, None] == checked).max(1)
        their_log_z = log_z[place[has_checked]]
        return -self.log_prob_under(their_log_z, x[has_checked], c[has_checked])

    def log_z_of_check(self, c: Tensor | None) -> Tensor:
        """`quick_log_z`, annealed once for all batches of a check that have these conditions."""
        key = () if c is None else tuple(c.flatten().tolist())
        if key not in self.checked_log_z:
            self.checked_log_z[key] = self.quick_log_z(c)
        return self.checked_log_z[key]

    def quick_log_z(self, c: Tensor | None = None) -> Tensor:
        """The largest of three annealings of each condition, ``(n,)``.

        They start from the base, from a wide base, and from the chains. A model that is hard to
        anneal, or has a mode where its chains are not, looks worse by it than by the first alone,
        and so is not chosen.
        """
        problems = 1 if c is None else len(c)
        levels, chains = self.quick_budget(problems)
        rows = problems * chains
        betas = sigmoid(levels)
        settings: Any = {"problems": problems, "scouts": 0, "step": self.subset.item()}

        with torch.inference_mode(False), torch.no_grad():
            conditions = None
            if c is not None:
                conditions = c.clone().repeat(chains, *[1] * (c.dim() - 1))

            estimates = []
            for soften in (SOFTENED, 0.0):
                path = self.path(rows, conditions, soften=soften)
                log_z0 = path.log_z0[:problems]
                forward = follow(path, path.draw(rows), betas, **settings)
                log_ratio = log_mean_exp(forward.log_weights).value
                estimates.append(log_z0 + log_ratio)

            start, _ = self.nearest_chains(rows, conditions)
            reverse = follow(path, start, betas[::-1], **settings)
            log_ratio = log_mean_exp(reverse.log_weights).value
            estimates.append(log_z0 - log_ratio)
        largest = torch.stack(estimates).amax(0)
        return largest.to(self.bias)

    def quick_budget(self, problems: int) -> tuple[int, int]:
        """Levels and chains of a quick annealing of so many conditions."""
        at_a_level = self.dims * self.levels * problems
        affordable = MOST_NUMBERS // (10 * at_a_level)
        levels = max(FEWEST_LEVELS, min(CHECK_LEVELS * self.dims, affordable))
        chains = CHECK_NUMBERS // (levels * at_a_level)
        return levels, min(100, max(10, chains))

    def nearest_chains(self, n: int, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """n chains of training, and their conditions.

        Each is one of those whose own condition is nearest to the one asked for.
        """
        if c is None:
            repeats = math.ceil(n / self.buffer)
            order = torch.randperm(self.buffer, device=self.chains.device)
            rows = order.repeat(repeats)[:n]
            return self.chains[rows], None
        wanted = as_vectors(c, self.condition).to(self.chains)
        available = self.chain_conditions.nan_to_num(nan=1e3)
        distance = torch.cdist(wanted.nan_to_num(), available)
        # without a condition any chain will do
        unconditional = wanted.isnan().any(1, keepdim=True)
        distance = distance.masked_fill(unconditional, 0.0)
        ties = 1e-3 * torch.rand_like(distance)
        rows = (distance + ties).argmin(1)
        return self.chains[rows], wanted


def fingerprint(values: Tensor) -> tuple[float, float]:
    """Sum and norm of a tensor, which hardly any other shares."""
    exact = values.double()
    return exact.sum().item(), exact.norm().item()


def distinct(c: Tensor | None, n: int) -> tuple[Tensor | None, Tensor]:
    """The different conditions among n, and the index of that of each row, ``(n,)``."""
    if c is None:
        return None, torch.zeros(n, dtype=torch.long)
    if not c.is_floating_point():
        return c.unique(dim=0, return_inverse=True)
    # infinity in place of NaN, which does not equal itself
    filled = c.nan_to_num(nan=math.inf)
    conditions, which = filled.unique(dim=0, return_inverse=True)
    missing = conditions.isinf()
    return conditions.masked_fill(missing, math.nan), which


# ----------------------------------------------------------------- chains of observations of levels


class Slope(NamedTuple):
    """Chains of informed moves."""

    x: Tensor
    """Observations, ``(n, *event_shape)``."""

    k: Tensor
    """Their levels, ``(n, D)``."""

    f: Tensor
    """f of each, ``(n,)``."""

    slope: Tensor
    """What each level of each feature would add to a linear f, ``(n, D, L)``."""


class Informed:
    r"""Metropolis moves of random subsets of features, proposed by the slope of f.

    .. math:: \log f_\beta(x) = (1 - \beta) \log q_0(x) + \beta \, [b(x) - f(x)]

    Each feature is in the subset with probability ``step``, whatever the state. Those that are get
    a level from what f_beta would be if f were linear around x, with a share u of its slope. u is
    sampled anew for each move, whatever the state: where slopes mislead, some moves do not follow
    them. For a linear f and u = 1 this is Gibbs sampling; the test makes it right for every other.

    Args:
        slopes: maps observations ``(n, *event_shape)`` to f, ``(n,)``, and what each level of each
            feature would add to a linear f, ``(n, D, L)``.
        base: log q_0, normalised, ``(D, L)``.
        bias: b - log q_0, ``(D, L)``.
        event_shape: of x.
    """

    # the mean acceptance that the size of the subset adapts to
    wanted = 0.5

    def __init__(
        self,
        slopes: Callable[[Tensor], tuple[Tensor, Tensor]],
        base: Tensor,
        bias: Tensor,
        event_shape: tuple[int, ...],
    ):
        self.slopes = slopes
        self.base = base
        self.bias = bias
        self.levels = base.shape[1]
        self.event_shape = event_shape
        # of the base, which is normalised
        self.log_z0 = base.new_zeros(1, dtype=torch.float64)

    def draw(self, n: int) -> Tensor:
        """Exact samples of the base, ``(n, *event_shape)``."""
        k = draw_of_table(self.base, n)
        x = grid.to_grid(k, self.levels).to(self.base)
        return x.view(n, *self.event_shape)

    def look(self, x: Tensor) -> Slope:
        """The state of chains that stand at x."""
        f, slope = self.slopes(x)
        k = levels_of(x, self.levels)
        return Slope(x, k, f.double(), slope)

    def log_ratio(self, at: Slope, here: float, there: float) -> Tensor:
        """log f_there - log f_here of each chain, ``(n,)`` float64."""
        log_tilt = look_up(self.bias, at.k).double() - at.f
        return (there - here) * log_tilt

    def proposal(self, at: Slope, beta: float, trust: Tensor) -> Tensor:
        """Log-probability of each level of each feature, ``(n, D, L)``.

        Args:
            at: the chains.
            beta: where on the path they are.
            trust: u, the share of the slope that is followed, ``(n,)``.
        """
        u = trust.to(at.slope).view(-1, 1, 1)
        tilt = self.bias - u * at.slope
        logits = self.base + beta * tilt
        return logits.log_softmax(2)

    def trust(self, n: int) -> Tensor:
        """u of each chain, ``(n,)``: uniform in [0, 1] for half of them, 1 for the others."""
        u = 2 * torch.rand(n)
        return u.clamp(max=1.0)

    def log_f(self, at: Slope, beta: float) -> Tensor:
        """log f_beta of each chain, ``(n,)`` float64."""
        log_weights = self.base + beta * self.bias
        return look_up(log_weights, at.k).double() - beta * at.f

    def move(self, at: Slope, beta: float, step: Tensor) -> tuple[Slope, Tensor]:
        """Propose new levels of a random subset of features, and accept them or not."""
        n = len(at.k)
        among = torch.rand(at.k.shape, device=at.k.device) < step[:, None]
        trust = self.trust(n).to(step)
        there = self.proposal(at, beta, trust)
        k = torch.where(among, draw_levels(there), at.k)
        x = grid.to_grid(k, self.levels).to(at.x)
        to = self.look(x.view(n, *self.event_shape))
        back = self.proposal(to, beta, trust)

        def log_chance(proposal: Tensor, k: Tensor) -> Tensor:
            of_each = proposal.gather(2, k.unsqueeze(2)).squeeze(2)
            of_subset = of_each.masked_fill(~among, 0.0)
            return of_subset.sum(1, dtype=torch.float64)

        log_ratio = self.log_f(to, beta) - self.log_f(at, beta)
        log_ratio = log_ratio + log_chance(back, at.k) - log_chance(there, to.k)
        chance = log_ratio.clamp(max=0.0).exp()
        accepted = torch.rand_like(chance) < chance
        return Slope(*taken(accepted, to, at)), chance


# --------------------------------------------------------------- chains of real-valued observations


def langevin(energy: Callable[[Tensor], Tensor], x: Tensor, step: float, steps: int) -> Tensor:
    """Moves x' = x - step^2/2 grad E(x) + step * noise: the unadjusted Langevin algorithm.

    Args:
        energy: maps ``(n, ...)`` to energies ``(n,)``, at temperature one.
        x: where the chains start, ``(n, ...)``; not changed.
        step: standard deviation of the noise.
        steps: number of moves.

    Returns:
        where they end, ``(n, ...)``. Works under ``no_grad`` and under inference mode, which it
        leaves for its own gradients.
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()
        for _ in range(steps):
            x.requires_grad_(True)
            (gradient,) = torch.autograd.grad(energy(x).sum(), x)
            x = x.detach() - 0.5 * step**2 * gradient + step * torch.randn_like(x)
    return x


def adjusted_langevin(
    energy: Callable[[Tensor], Tensor],
    x: Tensor,
    step: float,
    steps: int,
) -> Tensor:
    """Langevin moves with a Metropolis test each (MALA), which leaves exp(-E) invariant.

    It costs one more gradient in all than `langevin`. x' is accepted with probability
    min{1, e^(E(x) - E(x')) q(x | x') / q(x' | x)}, q being the Gaussian that proposed it.

    Args:
        energy: maps ``(n, ...)`` to energies ``(n,)``, at temperature one.
        x: where the chains start, ``(n, ...)``; not changed.
        step: standard deviation of the noise of a proposal.
        steps: number of moves.

    Returns:
        where they end, ``(n, ...)``.
    """

    def slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_(True)
        e = energy(x)
        (gradient,) = torch.autograd.grad(e.sum(), x)
        return e.detach(), gradient

    def log_proposal(there: Tensor, here: Tensor, gradient: Tensor) -> Tensor:
        """log q(there | here) of N(here - step²/2 grad E(here), step²), up to a constant."""
        noise = there - here + 0.5 * step**2 * gradient
        squares = noise.square().flatten(1)
        return -squares.sum(1) / (2 * step**2)

    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()
        e, g = slope(x)
        for _ in range(steps):
            noise = torch.randn_like(x)
            y = x - 0.5 * step**2 * g + step * noise
            e_y, g_y = slope(y)
            there = log_proposal(y, x, g)
            back = log_proposal(x, y, g_y)
            log_ratio = e - e_y + back - there
            accepted = torch.rand_like(e).log() < log_ratio
            e, x, g = taken(accepted, (e_y, y, g_y), (e, x, g))
    return x.detach()
