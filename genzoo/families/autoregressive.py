r"""Autoregressive model: the chain rule, one feature at a time.

.. math::

    \log p(x \mid c) = \sum_{i=1}^{D} \log p(x_i \mid x_1, \dots, x_{i-1}, c)

The network is a stack of gated *causal convolutions* over the features laid out on a grid: pixels
in their places, channels of a pixel side by side, vectors on a line. A causal kernel sees only what
comes earlier in reading order, so one pass gives all D conditionals, each a mixture whose mass is
summed over the bins of discrete data: the likelihood is exact.

An order is a choice, not a fact. With ``orders > 1`` one network is trained on several reading
orders of the same observation (for images the flips and the transpose), and the model is the
uniform mixture of the *joint* densities:

.. math::

    \log p(x) = \log \frac{1}{R} \sum_{r=1}^{R} p_r(x)

(averaging the conditionals' logits instead would give no density at all).

References: van den Oord et al. 2016, *Conditional image generation with PixelCNN decoders* (gates);
Salimans et al. 2017, *PixelCNN++* (mixture of logistics); Jain et al. 2020, *Locally masked
convolution* (orders); Ho & Salimans 2022, *Classifier-free diffusion guidance*.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

from genzoo import grid
from genzoo.distributions import feature_mixture, importance_resample, parameters_of
from genzoo.model import DEEPEST, GenerativeModel, Likelihood, device_of, drawing_from, require
from genzoo.nets import (
    SMALLEST,
    Condition,
    Network,
    apply,
    dropping,
    features_of,
    fourier_features,
    given_or,
    is_image,
    precisely,
)

CANDIDATES = 64  # of a real-valued feature under guidance

Predictor = Callable[[int, Tensor], Tensor]  # (i, features (n, D)) -> raw conditional of feature i


class Autoregressive(GenerativeModel):
    """Exact likelihood by the chain rule; samples cost one network evaluation for each feature.

    Args:
        event_shape, condition, levels, lr: see `genzoo.model.GenerativeModel`.
        width: hidden channels.
        depth: gated causal convolutions after the first one.
        kernel: side of the causal window on images (odd); on vectors each layer sees up to 64
            features back.
        components: mixture components of each conditional; of real values, smoothed boxes that
            start side by side.
        frequencies: of the sines and cosines of values that the network sees beside them, in
            radians per unit.
        orders: reading orders the model mixes: up to 8 for square images, 4 for others, 2 for
            vectors.
        dropout: share of hidden channels dropped in training.
        gated: whether layers have a gate (`CausalLayer`). Without one a layer costs half as much,
            and may be wider.
        ordered: whether levels have an order, as grey levels do. Words have none: then conditionals
            are categorical, without mixture components.
        network: in place of the causal convolutions, see `genzoo.nets`. Each feature of a sample
            then costs an evaluation for all features, for only the default keeps its hidden layers.
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
        gated: bool = True,
        ordered: bool = True,
        network: nn.Module | None = None,
    ):
        super().__init__(event_shape, condition, levels, lr)
        require(1, width=width, kernel=kernel, components=components)
        require(0, DEEPEST, depth=depth)
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, for its window to have a middle, got {kernel}.")
        self.width = width
        self.depth = depth
        self.kernel = kernel
        self.components = components
        self.frequencies = tuple(frequencies)
        self.orders = orders
        self.dropout = dropout
        self.gated = gated
        self.ordered = ordered
        self.outputs = parameters_of(components, levels, ordered)  # for each feature
        self.register_buffer("order", reading_orders(self.event_shape, orders), persistent=False)
        self.embed = Condition(condition, width)
        self.which_order = nn.Embedding(orders, width)
        self.network = given_or(network, self.default_network)
        if network is not None:
            require_causal(network, self.dims, self.outputs, width)

    def default_network(self) -> nn.Module:
        return CausalConvolutions(
            self.event_shape,
            self.outputs,
            self.width,
            self.depth,
            self.kernel,
            self.frequencies,
            self.dropout,
            self.gated,
        )

    # ----------------------------------------------------------------------------------- likelihood

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Exact log p(x | c), ``(n,)`` nats: log-mean-exp of the joints in all reading orders."""
        each = []
        for order in range(self.orders):
            r = torch.full((len(x),), order, device=x.device)
            each.append(self.log_prob_in_order(x, c, r))
        return torch.logsumexp(torch.stack(each), 0) - math.log(self.orders)

    def loss(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """-log p_r(x | c) in a random reading order r, ``(n,)``.

        By Jensen's inequality an upper bound of the mixture's loss, for one pass instead of R.
        """
        self.require_events(x)
        r = torch.randint(self.orders, (len(x),), device=x.device)
        return -self.log_prob_in_order(x, c, r)

    def log_prob_in_order(self, x: Tensor, c: Tensor | None, r: Tensor) -> Tensor:
        """log p_r(x | c) = sum_i log p(x_i | x_<i, r, c), ``(n,)`` nats.

        Args:
            x: observations, ``(n, *event_shape)``.
            c: their conditions.
            r: index of the reading order of each, ``(n,)``, which "<" refers to.
        """
        self.require_events(x)
        features = self.in_order(x, r)
        return self.conditionals(features, c, r).log_prob(features).sum(1)

    def in_order(self, x: Tensor, r: Tensor) -> Tensor:
        """The features ``(n, D)`` of observations as the reading order ``r`` of each lists them."""
        order = self.order[r]
        return x.flatten(1).gather(1, order)

    def conditionals(self, features: Tensor, c: Tensor | None, r: Tensor) -> Distribution:
        """All D conditionals in one pass, of batch shape ``(n, D)``.

        Args:
            features: in reading order, ``(n, D)``; see `in_order`.
            c: a condition for each row.
            r: index of the reading order of each row, ``(n,)``.
        """
        shape = (self.dims, self.outputs)
        raw = apply(self.network, features, self.embedding(c, r), shape)
        return self.conditional(raw)

    def conditional(self, raw: Tensor) -> Distribution:
        """Distributions of features whose raw parameters ``(..., P)`` the network gave.

        Those of real values are boxes that start side by side.
        """
        return feature_mixture(raw, self.levels, self.ordered, tiled=True)

    def embedding(self, c: Tensor | None, r: Tensor) -> Tensor:
        """Embedding of condition and order, ``(n, width)``, for the network."""
        condition = self.embed(c, len(r))
        return condition + self.which_order(r)

    def features(self, x: Tensor) -> Tensor:
        """Features of the network for observations read in the first order, ``(n, ...)``."""
        r = torch.zeros(len(x), dtype=torch.long, device=x.device)
        embedding = self.embedding(None, r)
        return features_of(self.network, self.in_order(x, r), embedding)

    # ------------------------------------------------------------------------------------- sampling

    @torch.no_grad()
    def sample(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float = 1.0,
        cached: bool = True,
    ) -> Tensor:
        """``(n, *event_shape)``, feature by feature.

        Args:
            n, c: see `genzoo.model.GenerativeModel.sample`.
            guidance: more than 1 makes each conditional likelier under ``c`` than it was learned:
                see `guided`.
            cached: whether the hidden layers of earlier features are kept; else they are computed
                again for each feature (for tests).
        """
        r = torch.randint(self.orders, (n,), device=self.order.device)
        embedding = self.embedding(c, r)
        if guidance != 1.0:  # side by side: with the condition, and without
            unconditional = self.embedding(None, r)
            embedding = torch.cat([embedding, unconditional])
        predict = self.predictor(embedding, cached)

        features = embedding.new_zeros(n, self.dims)
        for i in range(self.dims):
            if guidance == 1.0:
                conditional = self.conditional(predict(i, features))
                features[:, i] = conditional.sample()
                continue
            raw_given, raw_free = predict(i, features.repeat(2, 1)).chunk(2)
            given = self.conditional(raw_given)
            free = self.conditional(raw_free)
            features[:, i] = self.guided(given, free, guidance)
        x = torch.empty_like(features).scatter_(1, self.order[r], features)
        return x.view(n, *self.event_shape)

    def predictor(self, embedding: Tensor, cached: bool = True) -> Predictor:
        """A function from the features before feature i to its raw conditional, ``(n, P)``.

        It is to be called for i = 0, 1, ... in turn, with features ``(n, D)`` in reading order, of
        which those from i on may be anything.
        """
        network = self.network
        if not cached or not isinstance(network, CausalConvolutions):
            return lambda i, features: network(features, embedding)[:, i]
        cache = network.init_cache(len(embedding), embedding)
        return lambda i, features: network.step(i, features, cache)

    def guided(self, given: Distribution, free: Distribution, guidance: float) -> Tensor:
        """Samples ``(n,)`` of p(x_i | c)^w p(x_i)^(1 - w), normalised.

        This is the tilt of every conditional that classifier-free guidance gives a score (Ho &
        Salimans 2022). Over levels it is exact; a real value is the one picked by weight among
        `CANDIDATES` samples of each.

        Args:
            given, free: the conditionals with and without c.
            guidance: w.
        """
        if self.levels:
            k = torch.arange(self.levels, device=self.order.device)
            values = grid.to_grid(k, self.levels).to(self.embed.null)
            candidates = values[:, None].expand(-1, *given.batch_shape)
        else:
            several = torch.Size([CANDIDATES])
            candidates = torch.cat([given.sample(several), free.sample(several)])
        log_given = given.log_prob(candidates)
        log_free = free.log_prob(candidates)
        if self.levels:
            log_tilted = torch.lerp(log_free, log_given, guidance)
            choice = Categorical(logits=log_tilted.mT).sample()
        else:
            choice = importance_resample(log_given, log_free, guidance)
        return candidates.gather(0, choice[None])[0]

    @property
    def evaluations_per_sample(self) -> int:
        """One for each feature (of that feature alone, thanks to the cache)."""
        return self.dims


def require_causal(network: nn.Module, dims: int, outputs: int, width: int) -> None:
    """Raise ValueError if a network's answer for a feature depends on that or later features.

    It is tried at three places, on random features. The likelihoods of a network that is not causal
    would be wrong.

    Args:
        network: maps ``(n, D)`` and an embedding ``(n, width)`` to ``(n, D, outputs)``.
        dims: number of features, D.
        outputs: numbers of each feature's answer.
        width: of the embedding.
    """
    device = device_of(network)
    training = network.training
    with torch.no_grad(), drawing_from(0, device):
        network.eval()
        features = torch.randn(1, dims, device=device)
        embedding = torch.randn(1, width, device=device)
        answer = apply(network, features, embedding, (dims, outputs))
        for i in {0, dims // 2, dims - 1}:
            before = features[:, :i]
            others = torch.randn(1, dims - i, device=device)
            changed = network(torch.cat([before, others], 1), embedding)
            here = slice(0, i + 1)
            if not torch.allclose(changed[:, here], answer[:, here], rtol=1e-4, atol=1e-5):
                raise ValueError(
                    f"The network {type(network).__name__} is not causal: its answer for feature "
                    f"{i} depends on that feature or later ones, so it would give no likelihood."
                )
    network.train(training)


class CausalConvolutions(Network):
    """Raw conditionals ``(n, D, outputs)`` of features ``(n, D)`` in reading order.

    The conditional of a feature depends on the features before it alone.

    Args:
        shape: of an observation.
        outputs: numbers for each feature.
        width: hidden channels, and length of the embedding.
        depth, kernel, frequencies, dropout, gated: see `Autoregressive`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        width: int = 64,
        depth: int = 5,
        kernel: int = 5,
        frequencies: tuple[float, ...] = (1, 2, 4, 8),
        dropout: float = 0.0,
        gated: bool = True,
    ):
        super().__init__()
        self.shape = shape
        self.outputs = outputs
        self.width = width
        self.depth = depth
        self.kernel = kernel
        self.frequencies = tuple(frequencies)
        self.dropout = dropout
        self.gated = gated
        self.grid, window = layout(shape, kernel)
        self.position = nn.Parameter(torch.zeros(1, width, *self.grid))
        seen = 2 + 2 * len(self.frequencies)
        self.first = CausalLayer(seen, width, window, dropout, gated, see_self=False)
        self.layers = nn.ModuleList(
            CausalLayer(width, width, window, dropout, gated) for _ in range(depth)
        )
        self.head = nn.Conv2d(width, outputs, 1)
        nn.init.normal_(self.position, std=0.1)

    def forward(self, features: Tensor, e: Tensor) -> Tensor:
        h = self.backbone(features, e)
        raw = precisely(self.head, h)
        return raw.flatten(2).mT

    def backbone(self, features: Tensor, e: Tensor) -> Tensor:
        """The head's input at each position: of features before it, ``(n, width, *grid)``."""
        values = features.view(-1, 1, *self.grid)
        inputs = value_features(values, self.frequencies)
        h = self.first(inputs) + self.position
        for layer in self.layers:
            h = layer(h, e)
        return F.silu(h)

    def features(self, features: Tensor, e: Tensor) -> Tensor:
        """`backbone`, averaged over cells of a grid of at most 4 x 4: ``(n, width x cells)``."""
        rows, columns = self.grid
        cells = (min(rows, SMALLEST), min(columns, SMALLEST))
        h = self.backbone(features, e)
        return F.adaptive_avg_pool2d(h, cells).flatten(1)

    def init_cache(self, n: int, e: Tensor) -> list["LayerInTurn"]:
        """The layers for `step`, before the first feature of any of ``n`` observations.

        ``e`` is the embedding of each observation, ``(n, width)``.
        """
        layers: list[CausalLayer] = [self.first, *self.layers]  # type: ignore[list-item]
        columns = self.grid[1]
        return [LayerInTurn(layer, n, columns, e) for layer in layers]

    def step(self, i: int, features: Tensor, cache: list["LayerInTurn"]) -> Tensor:
        """Raw conditional of feature i, ``(n, outputs)``, after those of all before.

        Each layer computes position i alone, from what it has kept of the positions before.

        Args:
            i: index of the feature.
            features: ``(n, D)``, of which those before i are in place.
            cache: see `init_cache`; it is changed.
        """
        first, *later = cache
        row, column = divmod(i, self.grid[1])
        if i:
            before = features[:, i - 1].view(-1, 1, 1, 1)
            value = value_features(before, self.frequencies).flatten(1)
            first.enter(value, column=(i - 1) % self.grid[1])
        if column == 0:
            for layer in cache:
                layer.begin_row()

        h = first.answer(column) + self.position[0, :, row, column]
        for layer in later:
            layer.enter(h, column)
            h = layer.answer(column)
        return F.linear(F.silu(h), self.head.weight.flatten(1), self.head.bias)


class CausalLayer(nn.Module):
    """Gated residual convolution that sees the positions before its own in reading order.

    With ``see_self`` it sees its own as well. The kernel covers the rows above and the row itself,
    a mask hiding what comes later; the gate is tanh * sigmoid (van den Oord et al. 2016, eq. 2),
    and a layer without one has a SiLU in its place. It computes all positions at once; one at a
    time they are the work of `LayerInTurn`.
    """

    mask: Tensor

    def __init__(
        self,
        width_in: int,
        width: int,
        window: tuple[int, int],
        dropout: float,
        gated: bool = True,
        see_self: bool = True,
    ):
        super().__init__()
        above, side = window
        # in a lone row all that lies ahead is masked: leave it out
        self.reach = 2 * side + 1 if above else side + 1
        self.padding = (side, self.reach - side - 1, above, 0)
        self.residual = see_self
        self.gated = gated
        hidden = 2 * width if gated else width
        self.convolution = nn.Conv2d(width_in, hidden, (above + 1, 2 * side + 1))
        self.film = nn.Linear(width, hidden) if see_self else None
        self.mix = nn.Conv2d(width, width, 1)
        self.dropout = dropping(dropout, nn.Dropout2d)
        mask = torch.ones(above + 1, 2 * side + 1)
        first_hidden = side + 1 if see_self else side
        mask[-1, first_hidden:] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, h: Tensor, e: Tensor | None = None) -> Tensor:
        padded = F.pad(h, self.padding)
        kernel = self.convolution.weight * self.mask
        hidden = F.conv2d(padded, kernel[..., : self.reach], self.convolution.bias)
        if self.film is not None and e is not None:
            shift = self.film(e)
            hidden = hidden + shift[:, :, None, None]
        update = self.mix(self.dropout(self.activation(hidden)))
        if not self.residual:
            return update
        return h + update

    def activation(self, hidden: Tensor) -> Tensor:
        """The gate, over the channels ``(n, 2 width, ...)`` of the convolution, or the SiLU."""
        if not self.gated:
            return F.silu(hidden)
        value, gate = hidden.chunk(2, 1)
        return value.tanh() * gate.sigmoid()


class LayerInTurn:
    """A causal layer that computes one position after another, in reading order.

    What a row gets from the rows above is computed for all of its columns when it begins, by one
    convolution. What it gets from the positions before it in the row itself, which only a sample
    can tell, follows one by one. The numbers are those of `CausalLayer.forward`, without dropout.

    Args:
        layer: whose answers these are.
        n: number of observations.
        columns: of the grid.
        e: embedding of each observation, ``(n, width)``.
    """

    def __init__(self, layer: CausalLayer, n: int, columns: int, e: Tensor):
        self.layer = layer
        left, right, above, _ = layer.padding
        kernel = layer.convolution.weight * layer.mask
        channels = layer.convolution.in_channels
        self.columns = columns
        self.reach = left + 1  # columns of the row itself that a position sees

        self.kernel_above = kernel[:, :, :above]
        of_the_row = kernel[:, :, above, : self.reach]
        self.kernel_here = of_the_row.permute(2, 1, 0).flatten(0, 1)

        shift: Tensor = layer.convolution.bias  # type: ignore[assignment]
        if layer.film is not None:
            shift = shift + layer.film(e)
        self.shift = shift.expand(n, -1)
        # inputs of the row itself, padded to both sides, and of those above
        self.row = kernel.new_zeros(n, left + columns + right, channels)
        self.rows_above = [self.row] * above

    def begin_row(self) -> None:
        """Go down by one row."""
        if not self.rows_above:
            self.from_above = self.shift.expand(self.columns, -1, -1)
            return
        self.rows_above = [*self.rows_above[1:], self.row]
        self.row = torch.zeros_like(self.row)
        above = torch.stack(self.rows_above, 1)
        seen = F.conv2d(above.permute(0, 3, 1, 2), self.kernel_above)
        self.from_above = seen.squeeze(2).permute(2, 0, 1) + self.shift

    def enter(self, h: Tensor, column: int) -> None:
        """Enter the input ``h`` of one position of the row, ``(n, channels)``."""
        left = self.reach - 1
        self.row[:, column + left] = h

    def answer(self, column: int) -> Tensor:
        """The layer's answer at one position of the row, ``(n, width)``."""
        layer = self.layer
        window = self.row[:, column : column + self.reach]
        hidden = torch.addmm(self.from_above[column], window.flatten(1), self.kernel_here)
        update = F.linear(layer.activation(hidden), layer.mix.weight.flatten(1), layer.mix.bias)
        if not layer.residual:
            return update
        return window[:, -1] + update


def value_features(x: Tensor, frequencies: tuple[float, ...]) -> Tensor:
    """Inputs of the network for a value ``(n, 1, h, w)``: ``(n, 2 + 2 frequencies, h, w)``.

    The value, a constant, which tells it from padding, and its sines and cosines.
    """
    constant = torch.ones_like(x)
    waves = fourier_features(x, frequencies)
    return torch.cat([x, constant, waves], 1)


def layout(
    shape: tuple[int, ...],
    kernel: int,
    reach: int = 64,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The grid that features lie on, and the causal window.

    Args:
        shape: of an event.
        kernel: side of the window of an image, in pixels.
        reach: largest number of features to the left in the window of any other event.

    Returns:
        (rows, columns) of the grid; (rows above, columns to either side) of the window.
    """
    if is_image(shape):
        channels, height, width = shape
        above = kernel // 2
        side = above * channels + channels - 1
        return (height, width * channels), (above, side)
    dims = math.prod(shape)
    side = max(1, min(dims - 1, reach))
    return (1, dims), (0, side)


def reading_orders(shape: tuple[int, ...], orders: int) -> Tensor:
    """Reading orders as permutations of the flattened features, ``(orders, D)``.

    Row r lists the features as r reads them: of images pixel by pixel, the channels of a pixel side
    by side.
    """
    index = torch.arange(math.prod(shape)).view(shape)
    if is_image(shape):
        _, height, width = shape
        views = [index, index.flip(2), index.flip(1), index.flip(1, 2)]
        if height == width:
            views += [view.mT for view in views]
        ways = [view.permute(1, 2, 0).flatten() for view in views]
    else:
        forwards = index.flatten()
        ways = [forwards, forwards.flip(0)]
    if not 1 <= orders <= len(ways):
        raise ValueError(
            f"Observations of shape {shape} have 1 to {len(ways)} reading orders, "
            f"got orders={orders}."
        )
    return torch.stack(ways[:orders])
