r"""Energy-based model: an unnormalised density, drawn from by Markov chains.

.. math::

    p(x \mid c) = \frac{e^{-E(x, c)}}{Z(c)}, \qquad E(x, c) = f(x, c) - \log q(x)

f is any function of an event, and q a base that keeps Z finite: on real-valued data a Gaussian,
:math:`\log q(x) = -\|x\|^2 / 2 s^2`; on data with levels independent features,
:math:`\log q(x) = \sum_i b_i(x_i)`, which start at the log histogram of the training data. There an
untrained model *is* independent pixels, and Z is 1. Trained, Z is out of reach, but the gradient of
the log-likelihood needs only samples of the model (:math:`\mathbb E` is a mean, E the energy):

.. math::

    -\nabla_\theta\, \mathbb E_{data}[\log p(x^+)]
    = \mathbb E_{data}[\nabla_\theta E(x^+)] - \mathbb E_{p}[\nabla_\theta E(x^-)]

The samples x- come from chains that are seldom started afresh: they live in a *buffer*, take a few
moves for each update of the weights, and so keep up with a slowly changing model (persistent
contrastive divergence). A few start anew from q at each update, so that there are always chains
that have not settled yet: a mode that grows where no data is would else be seen by none. The buffer
is part of the model and of its checkpoint. How a chain moves depends on the data and on f:

*Levels, f a restricted Boltzmann machine* (``hidden`` units h of 0 or 1, each summed out):

.. math::

    f(x) = -\sum_j \log(1 + e^{a_j(x)}), \qquad a(x) = W \varphi(x) + d

:math:`\varphi(v) = (v, v^2, [v = \text{lowest}], [v = \text{highest}])` of each feature. Given x
the units are independent, and given h the features are: *block Gibbs sampling* draws all of the
one, then all of the other, and has no step to choose. With few units Z is a sum over all their
states that can be carried out, and the likelihood is exact. Where the sum is small enough for every
update, its gradient takes the place of the chains, :math:`-\mathbb E_p[\nabla E] = \nabla \log Z`.
Where it is not, the chains are drawn afresh from p itself now and then, and so are samples: first
the units, by the share of each state in the sum, then the features. Either way groups of events get
their mass though no chain walks from one to the other.

*Levels, f a network* (``hidden=0``). A random subset of features draws new levels v, as if f were
linear: :math:`q(v) \propto e^{b_i(v) - g_i v}`, g the gradient of f. A Metropolis test of the whole
move makes up for the error of that guess, and the size of the subset adapts until half pass.

*Real-valued data*. Langevin dynamics, a random walk downhill,
:math:`x' = x - \tfrac{h^2}{2} \nabla E(x) + h \xi`. A walk of finite steps does not quite keep p,
and where E is steep it flies off. A Metropolis test of each step mends both (``adjusted``).

References: Hinton 2002, *Training products of experts by minimizing contrastive divergence*;
Tieleman 2008, *Persistent contrastive divergence*; Salakhutdinov & Murray 2008, *On the
quantitative analysis of deep belief networks* (annealing a Boltzmann machine); Zanella 2020,
*Informed proposals for local MCMC in discrete spaces*, and Grathwohl et al. 2021, *Oops I took a
gradient* (moves guided by a gradient); Du & Mordatch 2019, *Implicit generation and modeling with
energy-based models* (buffer, energy regulariser); Nijkamp et al. 2020, *On the anatomy of
MCMC-based maximum likelihood learning* (what goes wrong, and data smoothing); Du et al. 2020,
*Compositional visual generation with energy based models* (sums of energies); Roberts & Tweedie
1996, *Exponential convergence of Langevin distributions* (the Metropolis test).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genzoo import grid
from genzoo.data.dataset import Split
from genzoo.errors import TrainingError
from genzoo.evaluation.likelihood.annealing import Geometric, follow, log_mean_exp, sigmoid, taken
from genzoo.families.baselines import IndependentPixels
from genzoo.model import DEEPEST, GenerativeModel, Likelihood, drop_conditions, require
from genzoo.nets import Condition, Encoder, apply, as_vectors, features_of, given_or

# hidden units whose 2^18 states are summed, not annealed
FEW_UNITS = 18

# numbers that an update may sum to know log Z, and its gradient, exactly
FOR_UPDATES = 2**26

# numbers that exact draws of all chains may sum
FOR_DRAWS = 2**30

# they are had so many times as often as if a number took as long as one of a chain's moves
OFTEN = 16

# share of the uniform law in the base of chains that look for modes far from the data
SOFTENED = 0.5

# The annealing by which validation chooses the weights:
# its levels for each feature, at least 300 in all
CHECK_LEVELS = 5

# weights of levels that it may compute, which sets how many chains it has, between ten
# and a hundred
CHECK_NUMBERS = 2**26

# ... and that ten chains may compute, which shortens the annealing of large images
MOST_NUMBERS = 2**30

# conditions whose normalisers it estimates
MOST_CHECKED = 16


class Energy(GenerativeModel):
    """Unnormalised log-density, trained and sampled by Markov chains.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        hidden: units of the restricted Boltzmann machine that is f on data with levels; up to 18
            its likelihood is exact. 0: f is the network, as it always is on real-valued data.
        width, depth: of that network, a `genzoo.nets.Encoder`.
        steps: moves of each chain at each update.
        buffer: number of persistent chains. An update moves as many of them as there are events.
        refresh: share of the chains that start afresh at each update.
        decay: weight of half the squared weights of the Boltzmann machine, a Gaussian prior on
            them.
        regularise: weight of the squares of f where it is the network, which keeps it in scale.
        sample_steps: gradients, or sweeps of block Gibbs, from the base to a sample.
        base_std: s, standard deviation of the Gaussian base of real-valued data.
        noise: standard deviation of Gaussian noise added to real-valued training data; smooths the
            landscape so that chains can walk in it.
        step: h, the Langevin step; adjusted: whether each is tested.
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
        self.checked_log_z: Tensor | None = None
        # an estimate of log Z, its two ends, and the effective chains behind it
        self.register_buffer("log_z", torch.full((), torch.nan))
        self.register_buffer("log_z_ends", torch.full((2,), torch.nan))
        self.register_buffer("log_z_ess", torch.full((), torch.nan))

    def make_base(self) -> None:
        """The base of data with levels: the log histogram, and what training adds to it."""
        if self.levels:
            uniform = torch.full((self.dims, self.levels), -math.log(self.levels))
            self.register_buffer("histogram", uniform)
            self.bias = nn.Parameter(torch.zeros(self.dims, self.levels))

    def make_network(self, given: nn.Module | None) -> None:
        """f, and what tells it the condition."""
        if self.levels and self.hidden and given is None:
            machine = given_or(None, lambda: Boltzmann(self.dims, self.levels, self.hidden))
            self.network: nn.Module = machine
            self.embed = machine.biases(self.condition)
            return
        size = (self.width, self.width, self.depth)
        self.network = given_or(given, lambda: Encoder(self.event_shape, 1, *size))
        self.embed = Condition(self.condition, self.width)

    def make_chains(self) -> None:
        """The buffer of chains, and what is known of them."""
        self.register_buffer("chains", self.fresh(self.buffer))
        # NaN: none
        no_condition = torch.full((self.buffer, self.condition), torch.nan)
        self.register_buffer("chain_conditions", no_condition)
        # whether base and chains know the data
        self.register_buffer("started", torch.tensor(False))
        # share of the features in an informed move
        self.register_buffer("subset", torch.tensor(0.2))
        # running mean of E(x+) - E(x-)
        self.register_buffer("gap", torch.zeros(()))

    # ----------------------------------------------------------------------------------- the energy

    def energy(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """E(x, c) = f(x, c) - log q(x), ``(n,)``; low where events are likely."""
        return self.f(x, c) - self.log_base(x)

    def f(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """What is learned beside the base, ``(n,)``."""
        return apply(self.network, x, self.embed(c, len(x)), (1,)).squeeze(1)

    def log_base(self, x: Tensor) -> Tensor:
        """log q(x) up to a constant, ``(n,)``: the Gaussian's, or the sum of b_i(x_i)."""
        if not self.levels:
            return -x.square().flatten(1).sum(1) / (2 * self.base_std**2)
        k = grid.to_level(x, self.levels).flatten(1)
        return look_up(self.histogram + self.bias, k)

    def guided_energy(self, x: Tensor, c: Tensor | None, guidance: float) -> Tensor:
        """w E(x, c) + (1 - w) E(x), ``(n,)``.

        Energies add where densities multiply (Du et al. 2020).
        """
        return self.guided_f(x, c, guidance) - self.log_base(x)

    def guided_f(self, x: Tensor, c: Tensor | None, guidance: float) -> Tensor:
        f = self.f(x, c)
        if guidance == 1.0:
            return f
        unconditional = self.f(x, None)
        return torch.lerp(unconditional, f, guidance)

    def features(self, x: Tensor) -> Tensor:
        """What a linear probe reads, ``(n, width)``.

        Chances of the hidden units, or what the network's last, linear layer reads.
        """
        return features_of(self.network, x, self.embed(None, len(x)))

    def set_base(self, x: Tensor, c: Tensor | None = None) -> None:
        """Let the base be independent features as those of ``x``, and start all chains there.

        Training does this by itself, once, with its training events. Real-valued data leaves the
        base alone. The chains take the conditions ``c`` in the shares in which they occur.
        """
        if self.levels:
            pixels = IndependentPixels(self.levels).fit(x)
            self.histogram.copy_(pixels.log_pmf)
        if isinstance(self.network, Boltzmann):
            self.network.standardise(self.histogram.exp())
        self.chains.copy_(self.fresh(self.buffer))
        if self.condition and c is not None:
            drawn = c[torch.randint(len(c), (self.buffer,), device=c.device)]
            dropped: Any = drop_conditions(drawn, self.drop_condition)
            self.chain_conditions.copy_(as_vectors(dropped, self.condition))
        self.started.fill_(True)
        self.forget_log_z()

    # ------------------------------------------------------------------------------- the likelihood

    @property
    def exact(self) -> bool:
        """Whether log Z is a sum that can be carried out, over all states of few hidden units."""
        return isinstance(self.network, Boltzmann) and self.network.hidden <= FEW_UNITS

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """Exact where log Z is; an estimate otherwise, and none before log Z has been estimated."""
        return Likelihood.EXACT if self.exact else Likelihood.ESTIMATE

    @property
    def unnormalised(self) -> "Energy":
        """The model itself: its density is known up to log Z, a sum or an integral."""
        return self

    @property
    def monitor(self) -> str | None:  # type: ignore[override]
        """Validation chooses the weights on discrete data.

        The contrastive loss says nothing of the likelihood.
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
        """What `log_prob` would be if log Z(c) were ``log_z``, of each event or of all."""
        log_volume = self.dims * math.log(grid.bin_width(self.levels))
        return -self.energy(x, c) - log_z - log_volume

    def bound(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """`log_prob`, which has no randomness: draws buy nothing."""
        return self.log_prob(x, c)

    @property
    def unbiased(self) -> bool:
        """Yes, as far as log Z is known."""
        return True

    def exact_log_z(self, c: Tensor | None = None) -> Tensor:
        """log Z(c) of each condition, ``(n,)``; without any, ``(1,)``.

        Raises:
            ValueError: it is out of reach.
        """
        if not isinstance(self.network, Boltzmann) or not self.exact:
            raise ValueError(f"log Z is exact up to {FEW_UNITS} hidden units, got {self.hidden}.")
        e = self.embed(c, 1 if c is None else len(c))
        return self.network.log_partition(self.histogram + self.bias, e)

    def sums(self, c: Tensor | None, most: int) -> bool:
        """Whether log Z of all different conditions is a sum, of no more than ``most`` numbers."""
        if not self.exact:
            return False
        conditions, _ = distinct(c, 1 if c is None else len(c))
        problems = 1 if conditions is None else len(conditions)
        states = 2**self.hidden
        return problems * states * self.dims * self.levels <= most

    @torch.no_grad()
    def draw(self, n: int, c: Tensor | None = None) -> Tensor:
        """Independent exact draws of an exact model, ``(n, *event_shape)``.

        First the units are drawn, from all their states, then x.
        """
        if not isinstance(self.network, Boltzmann) or not self.exact:
            raise ValueError(
                f"Exact draws need at most {FEW_UNITS} hidden units, got {self.hidden}."
            )
        conditions, which = distinct(c, n)
        e = self.embed(conditions, 1 if conditions is None else len(conditions))
        h = self.histogram.new_zeros(n, self.hidden)
        log_states = self.network.log_states(self.histogram + self.bias, e)
        for i, of_condition in enumerate(log_states):
            mine = (which == i).to(h.device)
            h[mine] = self.network.draw_units(of_condition, int(mine.sum())).to(h)
        path = self.path(n, c)
        return path.at(draw_levels(path.logits(1.0, h))).x

    def set_log_z(self, lower: float, upper: float | None = None, ess: float = math.nan) -> None:
        """Keep an estimate of log Z with the weights, so that `log_prob` has a value.

        Args:
            lower, upper: nats between which it lies; their middle is taken. One number is known
                well.
            ess: effective number of chains behind the worse end.

        Training forgets it. Of a model with conditions it is one normaliser among many: see
        `genzoo.evaluation.log_partition`.
        """
        upper = lower if upper is None else upper
        self.log_z.fill_((lower + upper) / 2)
        self.log_z_ends.copy_(torch.tensor([lower, upper]))
        self.log_z_ess.fill_(ess)

    @property
    def half_width(self) -> float:  # type: ignore[override]
        """Nats by which `log_prob` may be off in either direction, for all events alike."""
        lower, upper = self.log_z_ends
        if self.exact or lower.isnan() or upper.isnan():
            return 0.0
        return (upper - lower).item() / 2

    def forget_log_z(self) -> None:
        for known in (self.log_z, self.log_z_ends, self.log_z_ess):
            known.fill_(math.nan)

    def train(self, mode: bool = True) -> "Energy":
        """As of any module; a model that is to be trained has no log Z that could be relied on."""
        self.checked_log_z = None
        if mode:
            self.forget_log_z()
        return super().train(mode)

    # --------------------------------------------------------------------------------- the training

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """E(x+) - E(x-), whose gradient is that of -log p, and what keeps f in scale: ``(n,)``.

        x- are the chains that moved last (`advance`). Looking at the loss moves none. Where log Z
        is a small sum it takes the place of -E(x-).
        """
        self.require_events(x)
        contrast, penalty = self.terms(x, c)
        return contrast + penalty

    def terms(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The contrast of each event, and the penalty, each ``(n,)``.

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
        given = self.chain_conditions[:chains] if self.condition else None
        f_data = self.f(x, c)
        f_chains = self.f(y, given)
        energy_chains = f_chains - self.log_base(y)
        contrast = f_data - self.log_base(x) - energy_chains.mean()
        if isinstance(self.network, Boltzmann):
            return contrast, self.prior().expand(n)
        squares = f_data.square() + f_chains.square().mean()
        return contrast, self.regularise * squares

    def prior(self) -> Tensor:
        """The penalty of a Boltzmann machine.

        Minus the log-density of a Gaussian law of its weights, but for a constant.
        """
        weight = self.network.get_parameter("weight")
        squares = weight.square().sum() + self.bias.square().sum()
        return 0.5 * self.decay * squares

    def on_train_start(self) -> None:
        """Base and chains learn the training events; where they have, in a resumed run, nothing."""
        self.forget_log_z()
        if self.started:
            return
        self.set_base(*self.training_events())
        # on every device the same
        for buffer in self.buffers():
            buffer.copy_(self.trainer.strategy.broadcast(buffer))

    def training_events(self) -> tuple[Tensor, Tensor | None]:
        """All events of the training loader.

        They come as its data set holds them where that is a `genzoo.data.Split`.
        """
        loader: Any = self.trainer.train_dataloader
        if isinstance(loader.dataset, Split):
            x = loader.dataset.x
            c = loader.dataset.c
        else:
            batches = [self.prepare(batch) for batch in loader]
            events, conditions = zip(*batches, strict=True)
            x = torch.cat(events)
            c = torch.cat(conditions) if self.condition else None
        if c is not None:
            c = c.to(self.device)
        return x.to(self.device), c

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> Tensor:
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

    @torch.no_grad()
    def advance(self, n: int, c: Tensor | None = None) -> None:
        """Walk the n chains that have waited longest and put them first; a few start afresh.

        A chain keeps its condition until it starts afresh with one of ``c``, so conditions occur in
        the buffer as often as in the data, dropped ones (NaN) included: were there fewer chains
        without a condition than events, the energies of those events would fall for ever.
        """
        n = min(n, self.buffer)
        if self.exact:
            chance = OFTEN * n * self.steps / 2**self.hidden
            if torch.rand(()) < chance:
                self.renew()
        x = self.chains[-n:].clone()
        given = self.chain_conditions[-n:].clone()
        restart = torch.rand(n, device=x.device) < self.refresh
        x[restart] = self.fresh(int(restart.sum()), SOFTENED).to(x)
        if self.condition and c is not None:
            given[restart] = as_vectors(c[:n], self.condition)[restart].to(given)
        x = self.walk(x, given if self.condition else None)
        self.chains.copy_(torch.cat([x, self.chains[:-n]]))
        self.chain_conditions.copy_(torch.cat([given, self.chain_conditions[:-n]]))

    def renew(self) -> None:
        """Let all chains be exact draws, where these are to be had soon."""
        given = self.chain_conditions if self.condition else None
        if self.sums(given, FOR_DRAWS):
            self.chains.copy_(self.draw(self.buffer, given))

    def walk(self, x: Tensor, c: Tensor | None) -> Tensor:
        """``steps`` moves of chains in training."""
        if not self.levels:
            move = adjusted_langevin if self.adjusted else langevin
            return move(lambda y: self.energy(y, c), x, self.step, self.steps)
        path = self.path(len(x), c)
        at = path.look(x)
        for _ in range(self.steps):
            at, accepted = path.move(at, 1.0, self.subset.expand(len(x)))
            self.subset.mul_(torch.exp(0.05 * (accepted.mean() - path.wanted)))
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
            return " or ".join(f"{name} (now {getattr(self, name):g})" for name in names)

        raise TrainingError(
            "The energy model diverged: "
            f"the energies of data and of chains differ by {gap.item():.3g} nats. "
            f"Try a smaller {either(smaller)}, or a larger {either(larger)}."
        )

    def validation_loss(self, x: Tensor, c: Tensor | None = None, k: int = 1) -> Tensor:
        """-log p of each event in nats, under the least flattering of three quick annealings.

        Where there are more than 16 conditions, only events of 16 of them count.
        """
        if self.exact:
            return -self.log_prob(x, c)
        conditions, which = distinct(c, len(x))
        if c is None or conditions is None:
            # once for all batches of a check
            if self.checked_log_z is None:
                self.checked_log_z = self.quick_log_z()
            return -self.log_prob_under(self.checked_log_z, x)
        every = math.ceil(len(conditions) / MOST_CHECKED)
        some = torch.arange(0, len(conditions), every, device=which.device)
        log_z = self.quick_log_z(conditions[some])
        # which events have one of these conditions, and which of these each has
        among, place = (which[:, None] == some).max(1)
        return -self.log_prob_under(log_z[place[among]], x[among], c[among])

    def quick_log_z(self, c: Tensor | None = None) -> Tensor:
        """The largest of three annealings of each condition, ``(n,)``.

        They start from the base, from a wide base, and from the chains. A model that is hard to
        anneal, or has a mode where its chains are not, looks worse by it than by the first alone,
        and so is not chosen.
        """
        problems = 1 if c is None else len(c)
        at_a_level = self.dims * self.levels * problems
        affordable = MOST_NUMBERS // (10 * at_a_level)
        levels = max(300, min(CHECK_LEVELS * self.dims, affordable))
        chains = min(100, max(10, CHECK_NUMBERS // (levels * at_a_level)))
        rows = problems * chains
        betas = sigmoid(levels)
        settings: Any = {"problems": problems, "scouts": 0, "step": self.subset.item()}
        with torch.inference_mode(False), torch.no_grad():
            given = None
            if c is not None:
                given = c.clone().repeat(chains, *[1] * (c.dim() - 1))

            estimates = []
            for soften in (SOFTENED, 0.0):
                path = self.path(rows, given, soften=soften)
                log_z0 = path.log_z0[:problems]
                forward = follow(path, path.draw(rows), betas, **settings)
                log_ratio = log_mean_exp(forward.log_weights).value
                estimates.append(log_z0 + log_ratio)

            start, _ = self.nearest_chains(rows, given)
            reverse = follow(path, start, betas[::-1], **settings)
            log_ratio = log_mean_exp(reverse.log_weights).value
            estimates.append(log_z0 - log_ratio)
        return torch.stack(estimates).amax(0).to(self.bias)

    # --------------------------------------------------------------------------------- the sampling

    @torch.no_grad()
    def fresh(self, n: int, soften: float = 0.0) -> Tensor:
        """Starting points of new chains: draws of the base, ``(n, *event_shape)``.

        On levels ``soften`` makes it wider.
        """
        if not self.levels:
            return self.base_std * torch.randn(n, *self.event_shape)
        log_pmf = softened(self.histogram, soften)
        k = draw_levels(log_pmf.expand(n, -1, -1))
        x = grid.to_grid(k, self.levels).view(n, *self.event_shape)
        return x.to(self.histogram)

    @torch.no_grad()
    def sample(
        self, n: int, c: Tensor | None = None, guidance: float = 1.0, steps: int | None = None
    ) -> Tensor:
        """``(n, *event_shape)``: a chain for each, from the base to p, tempered on its first half.

        Where log Z is a sum (and ``steps`` are not asked for) they are exact draws instead: no
        chain divides groups of events that it cannot walk between by their mass. With ``guidance``
        w they arrive at p(x | c)^w p(x)^(1 - w): see `guided_energy`. No two samples share a chain,
        and none starts from those of training.

        Args:
            n: how many.
            c: condition of each, ``(n,)`` or ``(n, condition)``.
            guidance: w.
            steps: moves of each chain; `sample_steps` by default.
        """
        # raises where the condition is not one for this model and n events
        self.embed(c, n)
        if guidance == 1.0 and steps is None and self.sums(c, FOR_DRAWS):
            return self.draw(n, c)
        path = self.path(n, c, guidance)
        moves = max(2, (steps or self.sample_steps) // getattr(path, "leapfrogs", 1))
        half = moves // 2
        tempered = [t / half for t in range(half)]
        settled = [1.0] * (moves - half + 1)
        if guidance != 1.0 and isinstance(self.network, Boltzmann):
            # block Gibbs knows no guidance, and leads near it
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
        """1 for an exact draw, else `sample_steps` + 1.

        A gradient of f, or a sweep of block Gibbs, for each step, and a look at the start.
        """
        if not self.condition and self.sums(None, FOR_DRAWS):
            return 1
        return self.sample_steps + 1

    def path(
        self, n: int, c: Tensor | None = None, guidance: float = 1.0, soften: float = 0.0
    ) -> Any:
        """The road from the base to p(x | c)^w p(x)^(1 - w), and how chains walk on it.

        Args:
            n: number of chains.
            c: condition of each.
            guidance: w.
            soften: share of the uniform law in the base, on data with levels; the rest is the
                histogram.
        """
        if not self.levels:

            def log_f(x: Tensor) -> Tensor:
                return -self.guided_energy(x, c, guidance)

            return Geometric(self.log_base, log_f, leapfrogs=5)
        base = softened(self.histogram, soften)
        bias = self.histogram + self.bias - base
        if isinstance(self.network, Boltzmann) and guidance == 1.0:
            return Gibbs(self.network, base, bias, self.embed(c, n), self.event_shape, soften)
        return Informed(lambda x: self.slopes(x, c, guidance), base, bias, self.event_shape)

    def slopes(self, x: Tensor, c: Tensor | None, guidance: float) -> tuple[Tensor, Tensor]:
        """f and its slopes at each event.

        Returns:
            f, ``(n,)``, and what each level of each feature would add to a linear f, ``(n, D, L)``.
        """
        if isinstance(self.network, Boltzmann):
            f, slope = self.network.slopes(x, self.embed(c, len(x)))
            if guidance == 1.0:
                return f, slope
            free, free_slope = self.network.slopes(x, self.embed(None, len(x)))
            return torch.lerp(free, f, guidance), torch.lerp(free_slope, slope, guidance)
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            f = self.guided_f(x, c, guidance)
            (gradient,) = torch.autograd.grad(f.sum(), x)
        levels = torch.arange(self.levels, device=x.device)
        values = grid.to_grid(levels, self.levels).to(x)
        return f.detach(), gradient.view(len(x), -1, 1) * values

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
        known = self.chain_conditions.nan_to_num(nan=1e3)
        distance = torch.cdist(wanted.nan_to_num(), known)
        # where nothing is asked for any chain will do
        anything = wanted.isnan().any(1, keepdim=True)
        distance = distance.masked_fill(anything, 0.0)
        ties = 1e-3 * torch.rand_like(distance)
        rows = (distance + ties).argmin(1)
        return self.chains[rows], wanted


def distinct(c: Tensor | None, n: int) -> tuple[Tensor | None, Tensor]:
    """The different conditions among n, and which of them each event has, ``(n,)``."""
    if c is None:
        return None, torch.zeros(n, dtype=torch.long)
    if not c.is_floating_point():
        return c.unique(dim=0, return_inverse=True)
    # infinity in place of NaN, which does not equal itself
    filled = c.nan_to_num(nan=math.inf)
    conditions, which = filled.unique(dim=0, return_inverse=True)
    return conditions.masked_fill(conditions.isinf(), math.nan), which


# ---------------------------------------------------------------------------- the Boltzmann machine


class Boltzmann(nn.Module):
    r"""Free energy of a restricted Boltzmann machine over levels, its hidden units summed out.

    .. math::

        f(x, e) = -v \cdot \varphi(x) - \sum_j \log(1 + e^{a_j(x)}), \quad
        a(x) = W (\varphi(x) - \mu) + d

    The biases d of the units and v of the features are the embedding e of the condition. phi is up
    to four numbers of each feature, standardised over all features of the data, and mu their means.

    Args:
        dims: number of features, D.
        levels: values that each takes, L.
        hidden: units.
    """

    table: Tensor
    centre: Tensor

    def __init__(self, dims: int, levels: int, hidden: int):
        super().__init__()
        self.dims = dims
        self.levels = levels
        self.hidden = hidden
        # phi of each level, (L, m), and mu
        self.register_buffer("table", ordinal(levels))
        self.register_buffer("centre", torch.zeros(dims * self.table.shape[1]))
        self.weight = nn.Parameter(0.01 * torch.randn(hidden, len(self.centre)))

    def biases(self, condition: int) -> Condition:
        """The embedding of a condition that `forward` wants, ``(n, hidden + D m)``.

        To begin with all units are rare, and there is no other bias.
        """
        e = Condition(condition, self.hidden + len(self.centre))
        biases = [e.null]
        with torch.no_grad():
            if e.embed is not None:
                biases.append(e.embed.bias)
                e.embed.weight.mul_(0.01)
            for bias in biases:
                bias.zero_()
                bias[: self.hidden] = -1.0
        return e

    def standardise(self, pmf: Tensor) -> None:
        """Give phi mean 0 and standard deviation 1, and find mu.

        Both are over features that have histograms ``pmf``, (D, L).
        """
        pooled = pmf.mean(0)
        phi = ordinal(self.levels).to(pmf)
        mean = pooled @ phi
        variance = pooled @ (phi - mean).square()
        std = variance.sqrt().clamp(min=0.05)
        self.table.copy_((phi - mean) / std)
        means = pmf @ self.table.to(pmf)
        self.centre.copy_(means.flatten())

    def phi(self, k: Tensor) -> Tensor:
        """phi of levels (n, D), ``(n, D m)``."""
        return F.embedding(k, self.table).flatten(1)

    def pull(self, k: Tensor) -> Tensor:
        """W (phi(x) - mu) of levels (n, D), ``(n, hidden)``.

        The features add it to the biases of the units.
        """
        return F.linear(self.phi(k) - self.centre, self.weight)

    def weigh(self, field: Tensor) -> Tensor:
        """field . phi of each level of each feature, ``(n, D, L)`` of ``(n, D m)``."""
        return field.view(len(field), self.dims, -1) @ self.table.T

    def split(self, e: Tensor) -> tuple[Tensor, Tensor]:
        """The biases d of the units and v of the features."""
        return e[:, : self.hidden], e[:, self.hidden :]

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """p(h_j = 1 | x), ``(n, hidden)``."""
        k = grid.to_level(x, self.levels).flatten(1)
        d, _ = self.split(e)
        return (d + self.pull(k)).sigmoid()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """f of each event, ``(n, 1)``."""
        k = grid.to_level(x, self.levels).flatten(1)
        d, v = self.split(e)
        linear = (self.phi(k) * v).sum(1)
        units = F.softplus(d + self.pull(k)).sum(1)
        return -(linear + units).unsqueeze(1)

    def slopes(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """f of each event, ``(n,)``, and its slope at each level of each feature, ``(n, D, L)``."""
        _, v = self.split(e)
        f = self(x, e).squeeze(1)
        field = v + self.features(x, e) @ self.weight
        return f, -self.weigh(field)

    def log_partition(self, bias: Tensor, e: Tensor) -> Tensor:
        """log sum over x of exp(b(x) - f(x, e)), ``(n,)``, exactly."""
        return self.log_states(bias, e).logsumexp(1).to(bias)

    def log_states(self, bias: Tensor, e: Tensor, numbers: int = 2**22) -> Tensor:
        r"""The logarithm of what each state of the units adds to that sum, ``(n, 2^hidden)``.

        It is in double precision. Unit j is on in state s if s has the bit 2^j.

        Half of the units, in state s, and the others, in state t, each give a level v of a feature
        a weight, and what both give it is the product. So the features' sums over levels,
        :math:`\sum_v A_{sv} B_{tv}`, are products of two small matrices.

        Args:
            bias: b_i(v), ``(D, L)``.
            e: as in `forward`.
            numbers: held in memory at a time.
        """
        half = self.hidden // 2
        first = self.states(half).to(bias)
        second = self.states(self.hidden - half).to(bias)
        weight_first = self.weight[:half]
        weight_second = self.weight[half:]
        features = max(1, numbers // 2**self.hidden)

        all_log_states = []
        for d, v in zip(*self.split(e), strict=True):
            d = d - self.weight @ self.centre
            of_first = (first @ d[:half]).double()
            of_second = (second @ d[half:]).double()
            log_states = of_second[:, None] + of_first

            # log A and log B, (D, states, L)
            a = bias + self.weigh(second @ weight_second + v)
            b = self.weigh(first @ weight_first)
            a = a.double().transpose(0, 1)
            b = b.double().transpose(0, 1)
            for some_a, some_b in zip(a.split(features), b.split(features), strict=True):
                log_states = log_states + log_sums(some_a, some_b).sum(0)
            all_log_states.append(log_states.flatten())
        return torch.stack(all_log_states)

    def states(self, units: int) -> Tensor:
        """All states of so many units, ``(2^units, units)`` of True and False."""
        numbers = torch.arange(2**units, device=self.weight.device)
        bits = 2 ** torch.arange(units, device=self.weight.device)
        return (numbers[:, None] & bits).ne(0)

    def draw_units(self, log_states: Tensor, n: int) -> Tensor:
        """n draws of the units by the shares of their states ``(2^hidden,)``, ``(n, hidden)``."""
        sums = (log_states - log_states.max()).exp().cumsum(0)
        point = torch.rand(n, dtype=sums.dtype, device=sums.device) * sums[-1]
        states = torch.searchsorted(sums, point, right=True).clamp(max=len(sums) - 1)
        bits = 2 ** torch.arange(self.hidden, device=sums.device)
        return (states[:, None] & bits).ne(0).to(self.weight)


def log_sums(a: Tensor, b: Tensor) -> Tensor:
    """log sum_v exp(a[f, s, v] + b[f, t, v]), ``(F, S, T)`` of (F, S, L) and (F, T, L)."""
    most_a = a.amax(2, keepdim=True).detach()
    most_b = b.amax(2, keepdim=True).detach()
    scaled_a = (a - most_a).exp()
    scaled_b = (b - most_b).exp()
    found = (scaled_a @ scaled_b.mT).log() + most_a + most_b.mT
    if not found.isinf().any():
        return found
    # each all but rules out what the other wants: slowly, then
    of_features = []
    for of_a, of_b in zip(a, b, strict=True):
        of_features.append((of_a[:, None] + of_b).logsumexp(2))
    return torch.stack(of_features)


def ordinal(levels: int) -> Tensor:
    """phi of each level, ``(L, m)``.

    Its value and its square, and whether it is the lowest or the highest; of two, its value.
    """
    v = grid.to_grid(torch.arange(levels), levels)
    if levels == 2:
        return v[:, None]
    ends = F.one_hot(torch.tensor([0, levels - 1]), levels).float()
    return torch.stack([v, v.square(), *ends], 1)


def softened(log_pmf: Tensor, share: float) -> Tensor:
    """log of a mixture of the pmf in the last dimension with a ``share`` of the uniform one."""
    if not share:
        return log_pmf
    uniform = torch.full_like(log_pmf, 1 / log_pmf.shape[-1])
    return torch.lerp(log_pmf.exp(), uniform, share).log()


def soften_odds(log_odds: Tensor, share: float) -> Tensor:
    """The same of coins with such log-odds."""
    sides = torch.stack([F.logsigmoid(log_odds), F.logsigmoid(-log_odds)], -1)
    heads, tails = softened(sides, share).unbind(-1)
    return heads - tails


def look_up(table: Tensor, k: Tensor) -> Tensor:
    """sum_i table[i, k_i] of a table (D, L) and levels (n, D), ``(n,)``."""
    return table.gather(1, k.T).sum(0)


def draw_levels(logits: Tensor) -> Tensor:
    """A level of each feature with chances proportional to exp(logits), ``(n, D)`` of (n, D, L)."""
    if logits.shape[-1] == 2:
        chance = (logits[..., 1] - logits[..., 0]).sigmoid()
        return (torch.rand_like(chance) < chance).long()
    weights = (logits - logits.amax(-1, keepdim=True)).exp()
    sums = weights.cumsum(-1)
    point = torch.rand_like(sums[..., :1]) * sums[..., -1:]
    return torch.searchsorted(sums, point).squeeze(-1).clamp(max=logits.shape[-1] - 1)


# ------------------------------------------------------------------------------------- the samplers


class Spins(NamedTuple):
    """Chains of block Gibbs sampling."""

    k: Tensor
    """Levels of the events, ``(n, D)``."""

    pull: Tensor
    """Their pull on the units, ``(n, hidden)``."""

    levels: int
    event_shape: tuple[int, ...]

    @property
    def x(self) -> Tensor:
        """The events, ``(n, *event_shape)``."""
        return grid.to_grid(self.k, self.levels).view(-1, *self.event_shape)


class Gibbs:
    r"""Block Gibbs sampling of a Boltzmann machine.

    On the way from independent features and units to itself its law is

    .. math::

        \log f_\beta(x, h) = (1 - \beta) \, [\log q_0(x) + h \cdot d_0] + \beta \, [b(x) + h \cdot
        d] + v \cdot \varphi(x) + \beta \, h \cdot W (\varphi(x) - \mu)

    with h summed out where a chain is weighed. At the start features and units have their biases
    and nothing couples them, so Z is known.

    Args:
        machine: whose energy it is.
        base: log q_0, normalised, ``(D, L)``; bias: b - log q_0.
        e: embedding of each chain's condition, ``(n, hidden + D m)``.
        event_shape: of x.
        soften: share of a fair coin in the law of each unit at the start. Without it d_0 = d.
    """

    # nothing is ever refused
    wanted = 1.0

    def __init__(
        self,
        machine: Boltzmann,
        base: Tensor,
        bias: Tensor,
        e: Tensor,
        event_shape: tuple[int, ...],
        soften: float = 0.0,
    ):
        self.machine = machine
        self.base = base
        self.bias = bias
        self.d, self.v = machine.split(e)
        self.d0 = soften_odds(self.d, soften) if soften else self.d
        self.event_shape = event_shape

    @property
    def log_z0(self) -> Tensor:
        """log of what the start of the path sums to, of each chain, ``(n,)`` float64."""
        features = self.logits(0.0).logsumexp(2).sum(1, dtype=torch.float64)
        return features + F.softplus(self.d0).sum(1, dtype=torch.float64)

    def draw(self, n: int) -> Tensor:
        """Exact draws of the start, ``(n, *event_shape)``, one for each chain."""
        return self.at(draw_levels(self.logits(0.0))).x

    def look(self, x: Tensor) -> Spins:
        return self.at(grid.to_level(x, self.machine.levels).flatten(1))

    def at(self, k: Tensor) -> Spins:
        return Spins(k, self.machine.pull(k), self.machine.levels, self.event_shape)

    def log_ratio(self, at: Spins, here: float, there: float) -> Tensor:
        features = (there - here) * look_up(self.bias, at.k).double()
        units_there = F.softplus(self.log_odds(at, there))
        units_here = F.softplus(self.log_odds(at, here))
        units = units_there - units_here
        return features + units.sum(1, dtype=torch.float64)

    def move(self, at: Spins, beta: float, step: Tensor) -> tuple[Spins, Tensor]:
        """Draw all units given the features, then all features given the units."""
        chance = self.log_odds(at, beta).sigmoid()
        h = (torch.rand_like(chance) < chance).to(chance)
        k = draw_levels(self.logits(beta, h))
        return self.at(k), torch.ones_like(step)

    def log_odds(self, at: Spins, beta: float) -> Tensor:
        """Of each unit to be 1 given the features, ``(n, hidden)``."""
        return torch.lerp(self.d0, self.d, beta) + beta * at.pull

    def logits(self, beta: float, h: Tensor | None = None) -> Tensor:
        """Log-weights of the levels of each feature given the units, ``(n, D, L)``.

        Without units they are those at the start.
        """
        field = self.v
        if h is not None:
            field = field + beta * (h @ self.machine.weight)
        return self.base + beta * self.bias + self.machine.weigh(field)


class Slope(NamedTuple):
    """Chains of informed moves."""

    x: Tensor
    """Events, ``(n, *event_shape)``."""

    k: Tensor
    """Their levels, ``(n, D)``."""

    f: Tensor
    """f of each, ``(n,)``."""

    slope: Tensor
    """What each level of each feature would add to a linear f, ``(n, D, L)``."""


class Informed:
    r"""Metropolis moves of random subsets of features, proposed by the slope of f.

    .. math:: \log f_\beta(x) = (1 - \beta) \log q_0(x) + \beta \, [b(x) - f(x)]

    Each feature is in the subset with chance ``step``, whatever the state. Those that are draw a
    level from what f_beta would be if f were linear around x, with a share u of its slope. u is
    drawn afresh for each move, whatever the state: where slopes mislead, some moves do not follow
    them. For a linear f and u = 1 this is Gibbs sampling; the test makes it right for every other.

    Args:
        slopes: maps events ``(n, *event_shape)`` to f, ``(n,)``, and what each level of each
            feature would add to a linear f, ``(n, D, L)``.
        base: log q_0, normalised, ``(D, L)``; bias: b - log q_0.
        event_shape: of x.
    """

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
        """Exact draws of the base, ``(n, *event_shape)``."""
        k = draw_levels(self.base.expand(n, -1, -1))
        return grid.to_grid(k, self.levels).to(self.base).view(n, *self.event_shape)

    def look(self, x: Tensor) -> Slope:
        f, slope = self.slopes(x)
        k = grid.to_level(x, self.levels).flatten(1)
        return Slope(x, k, f.double(), slope)

    def log_ratio(self, at: Slope, here: float, there: float) -> Tensor:
        log_tilt = look_up(self.bias, at.k).double() - at.f
        return (there - here) * log_tilt

    def proposal(self, at: Slope, beta: float, trust: Tensor) -> Tensor:
        """log-chance of each level of each feature, ``(n, D, L)``.

        Args:
            at: the chains.
            beta: where on the path they are.
            trust: u, the share of the slope that is followed, ``(n,)``.
        """
        guess = trust.to(at.slope).view(-1, 1, 1) * at.slope
        logits = self.base + beta * (self.bias - guess)
        return logits.log_softmax(2)

    def trust(self, n: int) -> Tensor:
        """u of each chain, ``(n,)``: 1 for every second."""
        return (2 * torch.rand(n)).clamp(max=1.0)

    def log_f(self, at: Slope, beta: float) -> Tensor:
        log_weights = self.base + beta * self.bias
        return look_up(log_weights, at.k).double() - beta * at.f

    def move(self, at: Slope, beta: float, step: Tensor) -> tuple[Slope, Tensor]:
        """Propose new levels of a random subset of features, and take them or not."""
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
    energy: Callable[[Tensor], Tensor], x: Tensor, step: float, steps: int
) -> Tensor:
    """As `langevin`, each move with a Metropolis test, so that it keeps exp(-E) exactly.

    It costs one more gradient in all. x' is taken with probability
    min{1, e^(E(x) - E(x')) q(x | x') / q(x' | x)}, q being the Gaussian that proposed it.
    """

    def slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_(True)
        e = energy(x)
        return e.detach(), torch.autograd.grad(e.sum(), x)[0]

    def log_proposal(there: Tensor, here: Tensor, gradient: Tensor) -> Tensor:
        """log q(there | here) of N(here - step²/2 grad E(here), step²), up to a constant."""
        noise = there - here + 0.5 * step**2 * gradient
        return -noise.square().flatten(1).sum(1) / (2 * step**2)

    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone()
        e, g = slope(x)
        for _ in range(steps):
            y = x - 0.5 * step**2 * g + step * torch.randn_like(x)
            e_y, g_y = slope(y)
            there = log_proposal(y, x, g)
            back = log_proposal(x, y, g_y)
            log_ratio = e - e_y + back - there
            accepted = torch.rand_like(e).log() < log_ratio
            e, x, g = taken(accepted, (e_y, y, g_y), (e, x, g))
    return x.detach()
