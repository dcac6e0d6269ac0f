r"""Autoregressive model: the chain rule, one feature at a time.

.. math::

    \log p(x \mid c) = \sum_{i=1}^{D} \log p(x_i \mid x_1, \dots, x_{i-1}, c)

The network is a stack of gated *causal convolutions* over the features laid out on a grid: pixels
as they lie, channels of a pixel side by side, vectors on a line. A causal kernel sees only what
comes earlier in reading order, so one pass gives all D conditionals, each a mixture whose mass is
summed over the bins of discrete data: the likelihood is exact.

An order is a choice, not a fact. With ``orders > 1`` one network is trained on several reading
orders of the same event (for images the flips and the transpose), and the model is the uniform
mixture of the *joint* densities:

.. math::

    \log p(x) = \log \frac{1}{R} \sum_{r=1}^{R} p_r(x)

(averaging the conditionals' logits instead would give no density at all).

References: van den Oord et al. 2016, *Conditional image generation with PixelCNN decoders* (gates);
Salimans et al. 2017, *PixelCNN++* (mixture of logistics); Jain et al. 2020, *Locally masked
convolution* (orders); Ho & Salimans 2022, *Classifier-free diffusion guidance*.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

from genzoo import grid
from genzoo.distributions import feature_mixture, guided_choice, parameters_of
from genzoo.model import GenerativeModel, Likelihood, require
from genzoo.nets import SMALLEST, Condition, is_image, waves

CANDIDATES = 64  # of a real-valued feature under guidance


class Autoregressive(GenerativeModel):
    """Exact likelihood by the chain rule; samples cost one network evaluation per feature (of a
    single feature each).

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        width: hidden channels.
        depth: gated causal convolutions after the first one.
        kernel: side of the causal window on images (odd); on vectors each layer sees up to 64
            features back.
        components: mixture components of each conditional; of real values, smoothed boxes that
            start side by side.
        ordered: whether levels have an order, as grey levels do. Words have none: then conditionals
            are categorical, without mixture components.
        frequencies: of the sines and cosines of values that the network sees beside them, in
            radians per unit.
        orders: reading orders the model mixes: up to 8 for square images, 4 for others, 2 for
            vectors.
        dropout: share of hidden channels dropped in training.
    """

    likelihood = Likelihood.EXACT
    guidable = True
    order: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int = 0,
        levels: int = 0,
        lr: float = 2e-3,
        width: int = 64,
        depth: int = 5,
        kernel: int = 5,
        components: int = 10,
        frequencies: tuple[float, ...] = (1, 2, 4, 8),
        orders: int = 1,
        dropout: float = 0.0,
        ordered: bool = True,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, width=width, kernel=kernel, components=components)
        require(0, depth=depth)
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, for its window to have a middle, got {kernel}.")
        self.width, self.depth, self.kernel = width, depth, kernel
        self.components, self.frequencies, self.orders, self.dropout = (
            components,
            tuple(frequencies),
            orders,
            dropout,
        )
        self.ordered = ordered
        self.grid, window = layout(self.event_shape, kernel)
        self.register_buffer("order", reading_orders(self.event_shape, orders), persistent=False)
        self.embed = Condition(condition, width)
        self.which_order = nn.Embedding(orders, width)
        self.position = nn.Parameter(torch.zeros(1, width, *self.grid))
        self.first = CausalLayer(
            2 + 2 * len(self.frequencies), width, window, dropout, see_self=False
        )
        self.layers = nn.ModuleList(
            CausalLayer(width, width, window, dropout) for _ in range(depth)
        )
        self.head = nn.Conv2d(width, parameters_of(components, levels, ordered), 1)
        nn.init.normal_(self.position, std=0.1)

    # ----------------------------------------------------------------------------------- likelihood

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Exact log p(x | c), ``(n,)`` nats: log-mean-exp over the reading orders of the joint
        log-densities.
        """
        each = [
            self.log_prob_in_order(x, c, torch.full((len(x),), r, device=x.device))
            for r in range(self.orders)
        ]
        return torch.logsumexp(torch.stack(each), 0) - math.log(self.orders)

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """-log p_r(x | c) in a random reading order r: an upper bound of the mixture's loss, one
        pass instead of R.
        """
        return -self.log_prob_in_order(x, c, torch.randint(self.orders, (len(x),), device=x.device))

    def log_prob_in_order(self, x: Tensor, c: Tensor | None, r: Tensor) -> Tensor:
        """log p_r(x | c) = sum_i log p(x_i | x_<i, r, c) with "<" the reading order ``r`` of each
        row.
        """
        self.require_events(x)
        features = x.flatten(1).gather(1, self.order[r])
        return self.conditionals(features, c, r).log_prob(features).sum(1)

    def conditionals(self, features: Tensor, c: Tensor | None, r: Tensor) -> Distribution:
        """All D conditionals in one pass: features ``(n, D)`` in reading order to a distribution of
        batch shape (n, D).
        """
        return self.law(self.head(self.hidden(features, self.embedding(c, r))).flatten(2).mT)

    def law(self, raw: Tensor) -> Distribution:
        """Conditionals whose raw parameters ``(..., P K)`` the head gave: of real values, boxes
        that start as tiles.
        """
        return feature_mixture(raw, self.levels, self.ordered, tiled=True)

    def hidden(self, features: Tensor, embedding: Tensor) -> Tensor:
        """What the head reads at each position, ``(n, width, *grid)``: a summary of the features
        ``(n, D)`` before it.
        """
        h = (
            self.first(value_features(features.view(-1, 1, *self.grid), self.frequencies))
            + self.position
        )
        for layer in self.layers:
            h = layer(h, embedding)
        return F.silu(h)

    def features(self, x: Tensor) -> Tensor:
        """`hidden` in the first reading order, averaged over the cells of a grid of at most 4 x 4,
        ``(n, width x cells)``.
        """
        r = torch.zeros(len(x), dtype=torch.long, device=x.device)
        h = self.hidden(x.flatten(1).gather(1, self.order[r]), self.embedding(None, r))
        return F.adaptive_avg_pool2d(
            h, (min(self.grid[0], SMALLEST), min(self.grid[1], SMALLEST))
        ).flatten(1)

    def embedding(self, c: Tensor | None, r: Tensor) -> Tensor:
        return self.embed(c, len(r)) + self.which_order(r)

    # ------------------------------------------------------------------------------------- sampling

    @torch.no_grad()
    def sample(
        self, n: int, c: Tensor | None = None, guidance: float = 1.0, cached: bool = True
    ) -> Tensor:
        """``(n, *event_shape)``, feature by feature. ``cached=False`` recomputes the whole prefix
        each time (for tests).

        ``guidance`` > 1 makes each conditional likelier under ``c`` than it was learned: see
        `guided`.
        """
        r = torch.randint(self.orders, (n,), device=self.position.device)
        ways = (
            [c] if guidance == 1.0 else [c, None]
        )  # side by side: with the condition, and without
        embedding = torch.cat([self.embedding(way, r) for way in ways])
        step, rows = self.step if cached else self.naive_step, len(embedding)
        caches = [self.first.empty(rows, self.grid)] + [
            layer.empty(rows, self.grid) for layer in self.layers
        ]  # type: ignore[operator]
        features = self.position.new_zeros(n, self.dims)
        for i in range(self.dims):
            raw = step(i, features.repeat(len(ways), 1), caches, embedding).chunk(len(ways))
            laws = [self.law(each) for each in raw]
            features[:, i] = (
                laws[0].sample() if guidance == 1.0 else self.guided(laws[0], laws[1], guidance)
            )
        return (
            torch.empty_like(features)
            .scatter_(1, self.order[r], features)
            .view(n, *self.event_shape)
        )

    def guided(self, given: Distribution, free: Distribution, guidance: float) -> Tensor:
        """Draws ``(n,)`` of p(x_i | c)^w p(x_i)^(1 - w), normalised, from the conditionals with and
        without c.

        The same tilt of every conditional that classifier-free guidance gives a score (Ho &
        Salimans 2022). Over levels it is exact; a real value is the one picked by weight among
        `CANDIDATES` draws of each.
        """
        if self.levels:
            levels = grid.to_grid(
                torch.arange(self.levels, device=self.position.device), self.levels
            )
            candidates = levels.to(self.position)[:, None].expand(-1, *given.batch_shape)
        else:
            candidates = torch.cat([law.sample(torch.Size([CANDIDATES])) for law in (given, free)])
        log_given, log_free = given.log_prob(candidates), free.log_prob(candidates)
        if self.levels:
            pick = Categorical(logits=torch.lerp(log_free, log_given, guidance).mT).sample()
        else:
            pick = guided_choice(log_given, log_free, guidance)
        return candidates.gather(0, pick[None])[0]

    @property
    def evaluations_per_sample(self) -> int:
        """One for each feature (of that feature alone, thanks to the cache)."""
        return self.dims

    def step(self, i: int, features: Tensor, caches: list[Tensor], embedding: Tensor) -> Tensor:
        """Raw conditional of feature i, ``(n, P K)``: each layer computes position i alone, from
        its cached neighbours.
        """
        row, column = divmod(i, self.grid[1])
        if i:
            before = value_features(features[:, i - 1].view(-1, 1, 1, 1), self.frequencies)
            self.first.store(caches[0], before, *divmod(i - 1, self.grid[1]))
        h = (
            self.first.at(caches[0], row, column)
            + self.position[:, :, row : row + 1, column : column + 1]
        )
        for layer, cache in zip(self.layers, caches[1:], strict=True):
            layer.store(cache, h, row, column)  # type: ignore[operator]
            h = layer.at(cache, row, column, embedding)  # type: ignore[operator]
        return self.head(F.silu(h)).flatten(1)

    def naive_step(
        self, i: int, features: Tensor, caches: list[Tensor], embedding: Tensor
    ) -> Tensor:
        return self.head(self.hidden(features, embedding)).flatten(2)[:, :, i]


class CausalLayer(nn.Module):
    """Gated residual convolution that sees positions before its own in reading order (and its own,
    if ``see_self``).

    The kernel covers the rows above and the row itself, a mask hiding what comes later; the gate is
    tanh * sigmoid (van den Oord et al. 2016, eq. 2). On a padded map it computes all positions; on
    one window of a cache, that one position.
    """

    mask: Tensor

    def __init__(
        self,
        width_in: int,
        width: int,
        window: tuple[int, int],
        dropout: float,
        see_self: bool = True,
    ):
        super().__init__()
        above, side = window
        self.reach = (
            2 * side + 1 if above else side + 1
        )  # in a lone row, all that lies ahead is masked: leave it out
        self.padding = (side, self.reach - side - 1, above, 0)
        self.residual = see_self
        self.convolution = nn.Conv2d(width_in, 2 * width, (above + 1, 2 * side + 1))
        self.film = nn.Linear(width, 2 * width) if see_self else None
        self.mix = nn.Conv2d(width, width, 1)
        self.dropout = nn.Dropout2d(dropout)
        mask = torch.ones(above + 1, 2 * side + 1)
        mask[-1, side + int(see_self) :] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, h: Tensor, embedding: Tensor | None = None) -> Tensor:
        return self.respond(F.pad(h, self.padding), h, embedding)

    def respond(self, padded: Tensor, h: Tensor, embedding: Tensor | None) -> Tensor:
        kernel = (self.convolution.weight * self.mask)[..., : self.reach]
        gates = F.conv2d(padded, kernel, self.convolution.bias)
        if self.film is not None and embedding is not None:
            gates = gates + self.film(embedding)[:, :, None, None]
        value, gate = gates.chunk(2, 1)
        update = self.mix(self.dropout(value.tanh() * gate.sigmoid()))
        return h + update if self.residual else update

    def empty(self, n: int, size: tuple[int, int]) -> Tensor:
        left, right, above, _ = self.padding
        return self.convolution.weight.new_zeros(
            n, self.convolution.in_channels, size[0] + above, size[1] + left + right
        )

    def store(self, cache: Tensor, h: Tensor, row: int, column: int) -> None:
        cache[:, :, row + self.padding[2], column + self.padding[0]] = h[:, :, 0, 0]

    def at(self, cache: Tensor, row: int, column: int, embedding: Tensor | None = None) -> Tensor:
        """The layer's response at one position, ``(n, width, 1, 1)``, from the window of its cache
        that ends there.
        """
        patch = cache[
            :, :, row : row + self.convolution.kernel_size[0], column : column + self.reach
        ]
        here = patch[:, :, -1:, self.padding[0] : self.padding[0] + 1]
        return self.respond(patch, here, embedding)


def value_features(x: Tensor, frequencies: tuple[float, ...]) -> Tensor:
    """A value ``(n, 1, h, w)``, a constant that tells it from padding, its waves: ``(n, 2 + 2
    frequencies, h, w)``.
    """
    return torch.cat([x, torch.ones_like(x), waves(x, frequencies)], 1)


def layout(
    shape: tuple[int, ...], kernel: int, reach: int = 64
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid (rows, columns) the features lie on, and the causal window (rows above, columns to the
    side).
    """
    if is_image(shape):
        channels, height, width = shape
        return (height, width * channels), (kernel // 2, kernel // 2 * channels + channels - 1)
    dims = math.prod(shape)
    return (1, dims), (0, max(1, min(dims - 1, reach)))


def reading_orders(shape: tuple[int, ...], orders: int) -> Tensor:
    """Reading orders as permutations of the flattened features, ``(orders, D)``: row r lists
    features as r reads them.
    """
    index = torch.arange(math.prod(shape)).view(shape)
    if is_image(shape):
        ways = [index, index.flip(2), index.flip(1), index.flip(1, 2)]
        ways += [way.mT for way in ways] if shape[1] == shape[2] else []
        ways = [
            way.permute(1, 2, 0).flatten() for way in ways
        ]  # pixel by pixel, the channels of a pixel side by side
    else:
        ways = [index.flatten(), index.flatten().flip(0)]
    if not 1 <= orders <= len(ways):
        raise ValueError(
            f"Events of shape {shape} have 1 to {len(ways)} reading orders, got orders={orders}."
        )
    return torch.stack(ways[:orders])
