"""The networks: conditions become embeddings, and each network knows what an event's shape means.

    Encoder              event -> vector    convolutions on images, a residual MLP on the rest
    Decoder              vector -> event    the same
    UNet, MLP            event -> event     `event_network` takes the one for the event's shape
    Transformer          event -> event     attention between patches or features (DiT)
    TransformerEncoder   event -> vector

Events of shape ``(c, h, w)`` are images; the features of every other shape are a vector.

**The contract.** Every family takes a network of your own in place of its default: any
`torch.nn.Module`, called with what the family models and an embedding e of the condition (and of
time). It must answer in the shape that this table says; a `ValueError` tells if it does not.

============================  =======================================  ========================
argument                      called with                              returns
============================  =======================================  ========================
`Diffusion` ``network``       z ``(n, *event_shape)``, e ``(n, 2 w)``  v ``(n, *event_shape)``
`FlowMatching` ``network``    x ``(n, *event_shape)``, e ``(n, 2 w)``  dx/dt, of x's shape
`Energy` ``network``          x ``(n, *event_shape)``, e ``(n, w)``    f ``(n, 1)``
`VAE` ``encoder``             x ``(n, *event_shape)``, e ``(n, w)``    ``(n, 2 L)``
`VAE` ``decoder``             z ``(n, L)``, e ``(n, w)``               ``(n, P, *event_shape)``
`GAN` ``generator``           z ``(n, L)``, e ``(n, w)``               x ``(n, *event_shape)``
`GAN` ``critic``              x ``(n, *event_shape)``, e ``(n, w)``    a score ``(n, 1)``
`Autoregressive` ``network``  features ``(n, D)``, e ``(n, w)``        ``(n, D, P)``
`Flow` ``network``            a shape, a number of outputs             a network, see below
`CLIP` ``image``              x ``(n, *event_shape)``, e ``(n, w)``    ``(n, dims)``
`CLIP` ``text``               tokens ``(n, condition)``                ``(n, dims)``
============================  =======================================  ========================

Here w is the family's argument ``width``, L the number of latent features, D the number of features
of an event, and P the numbers that the likelihood of a feature needs, which
`genzoo.distributions.parameters_of` counts. What else shapes the default (``depth``, ``dropout``,
``patch``, ``fourier``, ``frequencies``, ``kernel``) has no effect on a network that is given.

* With ``prediction="levels"`` the network of a `Diffusion` returns log-odds, those of the levels of
  a feature side by side: ``(n, c levels, h, w)``, or ``(n, D levels)`` if events are no images.
* The encoder of a VAE returns means, then log-scales; with ``codes``, ``(n, L)``, to be rounded.
* The generator's values are squeezed into [-1, 1] by a tanh (and its ``leak``) if the data has
  levels.
* An autoregressive network sees features in reading order. What it returns for a feature may depend
  on the features before it alone; the constructor tries whether that is so.
* A `Flow` has one network in each coupling, of different sizes. So it takes a function that makes
  them: called with ``(shape, outputs)`` it gives a network, which is called with ``(x, e)``, where
  x is ``(n, *shape)`` and e ``(n, w)``, and returns ``(n, outputs, h, w)``, or ``(n, outputs)``.
* `VAEGAN` takes ``encoder``, ``decoder`` and ``critic`` as `VAE` and `GAN` do.

A network may have a method ``features(x, e)``, ``(n, ...)``, for a linear probe to read. A network
that derives from `Network` keeps its arguments, by which a saved model can rebuild it; any other is
handed to `genzoo.load` again. A `Network` also takes part in mixed precision
(`genzoo.training.precision`), if its last layer is called through `precisely`.
"""

import inspect
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genzoo.errors import InputError, nearest, too_large

SMALLEST = 4  # images are halved until a side is at most this

# ----------------------------------------------------------------------- networks of the user's own

Part = TypeVar("Part", bound=nn.Module)


class Network(nn.Module):
    """A module that keeps every argument of its constructor as an attribute of that name.

    Then `config` gives its arguments, and `build_network` makes it again.

    In mixed precision (`fast_networks`) it computes in 16 bits, and answers in the precision of its
    input, so that a likelihood or a spline that is made of the answer keeps all its digits.
    """

    def __call__(self, x: Tensor, *others: Any) -> Any:
        if _fast.dtype is None:
            return super().__call__(x, *others)
        with torch.autocast(x.device.type, _fast.dtype):
            y = super().__call__(x, *others)
        return y.to(x.dtype) if x.is_floating_point() else y.float()

    def config(self) -> dict[str, Any]:
        """``{"network": class name, "arguments": {...}}`` in plain values."""
        arguments = {}
        for name in inspect.signature(type(self)).parameters:
            value = getattr(self, name)
            arguments[name] = list(value) if isinstance(value, tuple) else value
        return {"network": type(self).__name__, "arguments": arguments}


class _Fast(threading.local):
    """The type that networks compute in; None: that of their weights."""

    dtype: torch.dtype | None = None


_fast = _Fast()


@contextmanager
def fast_networks(dtype: torch.dtype) -> Iterator[None]:
    """Context manager: every `Network` computes in ``dtype``, except for its last layer."""
    before = _fast.dtype
    _fast.dtype = dtype
    try:
        yield
    finally:
        _fast.dtype = before


def precisely(layer: nn.Linear | nn.Conv2d, h: Tensor) -> Tensor:
    """The answer of a network's last layer in the precision of its weights, always.

    What it gives are means, scales and log-odds. In 16 bits a mean near 1 has steps of 1/256, as
    wide as the levels of an image.
    """
    with torch.autocast(h.device.type, enabled=False):
        return layer(h.to(layer.weight.dtype))


def networks() -> dict[str, type[Network]]:
    """All classes derived from `Network` that this process has seen, by name."""

    def below(parent: type[Network]) -> Iterator[type[Network]]:
        for child in parent.__subclasses__():
            yield child
            yield from below(child)

    return {network.__name__: network for network in below(Network)}


def build_network(config: dict[str, Any]) -> Network:
    """A new network of what `Network.config` has told.

    Raises:
        InputError: there is no such network, or its arguments are others.
    """
    known = networks()
    name = str(config["network"])
    if name not in known:
        raise InputError(f"There is no network {name!r}. {nearest(name, known)}")
    stored = config.get("arguments")
    if not isinstance(stored, Mapping):
        raise InputError(f"The network {name} has no arguments: expected a mapping of them.")
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()
    }
    try:
        return known[name](**arguments)
    except InputError:  # too large
        raise
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        if too_large(error):
            raise
        raise InputError(f"The network {name} cannot be built: {error}.") from error


def given_or(part: Part | None, default: Callable[[], Part]) -> Part:
    """``part`` if it is given, else the ``default``, marked as such for `is_default`."""
    if part is not None:
        return part
    made = default()
    made.made_by_default = True  # type: ignore[assignment]
    return made


def is_default(part: Any) -> bool:
    """True if a constructor made this part by itself, so that no configuration names it."""
    return getattr(part, "made_by_default", False) is True


def apply(network: nn.Module, x: Tensor, e: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``network(x, e)``, which must be ``(n, *shape)``.

    Args:
        network: called with events and their embedding.
        x: events, ``(n, ...)``.
        e: embedding of each, ``(n, width)``.
        shape: of an answer.

    Raises:
        ValueError: it is of another shape, which might go on unnoticed by broadcasting.
    """
    y = network(x, e)
    if y.shape != (len(x), *shape):
        raise ValueError(
            f"The network {type(network).__name__} must return {(len(x), *shape)} for an input of "
            f"{tuple(x.shape)}, got {tuple(y.shape)}. genzoo.nets tells what is expected."
        )
    return y


def features_of(network: nn.Module, x: Tensor, e: Tensor) -> Tensor:
    """``network.features(x, e)`` as vectors ``(n, width)``.

    Args:
        network: that has such a method.
        x: events, ``(n, ...)``.
        e: embedding of each, ``(n, width)``.

    Raises:
        NotImplementedError: a network of one's own that has no such method.
    """
    features = getattr(network, "features", None)
    if features is None:
        raise NotImplementedError(
            f"The network {type(network).__name__} has no method features(x, e) to be probed."
        )
    return features(x, e).flatten(1)


# --------------------------------------------------------------------------------------- conditions


class Condition(nn.Module):
    """None, labels ``(n,)`` or vectors ``(n, width)`` to an embedding ``(n, dim)``.

    What is not given is a learned row: None, the label -1, a vector that holds a NaN. So no model
    of the zoo contains ``if c is None``.

    Raises:
        ValueError: a condition for an unconditional model, a label out of range, a vector of
            another width.
    """

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.width = width
        self.null = nn.Parameter(torch.zeros(dim))
        self.embed = nn.Linear(width, dim) if width else None

    def forward(self, c: Tensor | None, n: int) -> Tensor:
        if c is None:
            return self.null.expand(n, -1)
        vectors = as_vectors(c, self.width)
        if len(vectors) != n or self.embed is None:
            raise ValueError(
                f"Expected {n} conditions for an event batch of {n}, got {len(vectors)}."
            )
        embedding = self.embed(vectors.nan_to_num().to(self.null))
        return torch.where(is_missing(vectors)[:, None], self.null, embedding)


def as_vectors(c: Tensor, width: int) -> Tensor:
    """Labels ``(n,)`` as one-hot rows (-1 as a row of NaN), vectors ``(n, width)`` as they are.

    Raises:
        ValueError: anything else.
    """
    if not width:
        raise ValueError(
            "This model is unconditional (condition=0) but was given a condition; "
            "build it with condition=width."
        )
    if c.dim() == 2 and c.shape[1] == width:
        return c
    if c.dim() != 1 or c.is_floating_point():
        raise ValueError(
            f"A condition is integer labels (n,) or vectors (n, {width}), "
            f"got {c.dtype} {tuple(c.shape)}."
        )
    if len(c) and (c.max() >= width or c.min() < -1):
        raise ValueError(
            f"Labels run from 0 to {width - 1} (-1: not given), "
            f"got {int(c.min())} to {int(c.max())}."
        )
    one_hot = F.one_hot(c.clamp(min=0).long(), width).float()
    return one_hot.masked_fill(is_missing(c)[:, None], math.nan)


def is_missing(c: Tensor) -> Tensor:
    """True for conditions that are not given, ``(n,)``: labels -1, vectors with a NaN."""
    return c < 0 if c.dim() == 1 else c.isnan().any(1)


def distinct_rows(e: Tensor) -> Tensor:
    """The one row ``(1, dim)`` of an embedding that was expanded to ``(n, dim)``; else all rows.

    What is computed of it is then broadcast, instead of computed n times over.
    """
    return e[:1] if len(e) and e.stride(0) == 0 else e


def without(c: Tensor, rows: Tensor) -> Tensor:
    """The conditions ``c``, those of ``rows`` (booleans ``(n,)``) not given."""
    if c.dim() == 1:
        return c.masked_fill(rows, -1)
    return c.masked_fill(rows[:, None], math.nan)


# ----------------------------------------------------------------------------------------- features


class Fourier(nn.Module):
    """Sines and cosines of a scalar ``(n,)``, such as time, in a linear map to ``(n, dim)``.

    The frequencies lie evenly on a logarithmic scale.
    """

    frequencies: Tensor

    def __init__(self, dim: int, lowest: float = 0.1, highest: float = 10.0, count: int = 16):
        super().__init__()
        frequencies = torch.logspace(math.log10(lowest), math.log10(highest), count)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.linear = nn.Linear(2 * count, dim)

    def forward(self, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        return self.linear(torch.cat([angles.sin(), angles.cos()], 1))


def fourier_features(x: Tensor, frequencies: Sequence[float]) -> Tensor:
    """Sines, then cosines of ``x`` (n, c, ...) at each frequency: ``(n, 2 c frequencies, ...)``.

    They let a network see edges (Tancik et al. 2020).
    """
    if not frequencies:
        return x[:, :0]
    angles = torch.cat([x * f for f in frequencies], 1)
    return torch.cat([angles.sin(), angles.cos()], 1)


MOST_OCTAVES = 64  # single precision ends at the 127th


def octaves(count: int) -> tuple[float, ...]:
    """The first ``count`` frequencies pi, 2 pi, 4 pi, ..., in radians per unit."""
    return tuple(math.pi * 2**i for i in range(count))


def expand_as(t: Tensor, x: Tensor) -> Tensor:
    """A number for each event ``(n,)``, shaped to multiply events ``(n, ...)``."""
    return t.view(-1, *[1] * (x.dim() - 1))


# ------------------------------------------------------------------------------------------- blocks


class Block(nn.Module):
    """Residual block x + W2 act(FiLM(W1 act(norm(x)))).

    The embedding gives FiLM's scale and shift (Perez et al. 2018).
    """

    def __init__(
        self,
        image: bool,
        width_in: int,
        width: int,
        embedding: int,
        dropout: float = 0.0,
        norm: bool = True,
    ):
        super().__init__()
        self.norm = nn.GroupNorm(groups(width_in), width_in) if norm else nn.Identity()
        self.first = layer(image, width_in, width)
        self.second = layer(image, width, width)
        self.film = nn.Linear(embedding, 2 * width)
        self.dropout = dropping(dropout)
        self.skip = nn.Identity() if width_in == width else layer(image, width_in, width, kernel=1)
        with torch.no_grad():  # every block starts near the identity
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.first(F.silu(self.norm(x)))
        film = self.film(F.silu(distinct_rows(e)))
        film = film.view(*film.shape, *[1] * (x.dim() - 2))
        scale, shift = film.chunk(2, 1)
        h = F.silu(h * (1 + scale) + shift)
        h = self.second(self.dropout(h))
        return self.skip(x) + h


class SelfAttention(nn.Module):
    """Every position of ``(n, positions, width)`` gathers from all (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads={heads}, got {width}.")
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        parts = self.queries_keys_values(h).unflatten(2, (3, self.heads, -1))
        queries, keys, values = parts.movedim(1, 3).unbind(1)  # each (n, heads, positions, ...)
        gathered = F.scaled_dot_product_attention(queries, keys, values)
        return self.out(gathered.transpose(1, 2).flatten(2))


class AttentionBlock(nn.Module):
    """Self-attention between the positions of ``(n, width, h, w)``, added to them.

    Its last layer starts at zero, so that a network begins as it would without.
    """

    def __init__(self, width: int):
        super().__init__()
        heads = next(count for count in (4, 2, 1) if width % count == 0)
        self.norm = nn.GroupNorm(groups(width), width)
        self.attention = SelfAttention(width, heads)
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.attention.out.bias)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        positions = self.norm(h).flatten(2).mT
        return h + self.attention(positions).mT.reshape(h.shape)


class TransformerBlock(nn.Module):
    """Attention, then an MLP, on ``(n, tokens, width)``, both steered by the embedding.

    The embedding gives scale and shift of the normalised tokens, and a gate of what is added. These
    start at zero, and the block as the identity (adaLN-Zero, Peebles & Xie 2023, section 3.2).
    """

    def __init__(self, width: int, embedding: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.steer = nn.Linear(embedding, 6 * width)
        self.attention = SelfAttention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            dropping(dropout),
            nn.Linear(4 * width, width),
        )
        nn.init.zeros_(self.steer.weight)
        nn.init.zeros_(self.steer.bias)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        steering = self.steer(F.silu(e)).unsqueeze(1)
        shift1, scale1, gate1, shift2, scale2, gate2 = steering.chunk(6, 2)
        attended = self.attention(self.norm(h) * (1 + scale1) + shift1)
        h = h + gate1 * attended
        mixed = self.mlp(self.norm(h) * (1 + scale2) + shift2)
        return h + gate2 * mixed


def dropping(share: float, kind: Callable[[float], nn.Module] = nn.Dropout) -> nn.Module:
    """A layer that drops a ``share`` of the channels in training, but never all of them."""
    if not 0 <= share < 1:
        raise ValueError(f"dropout must be at least 0 and less than 1, got {share!r}.")
    return kind(share)


def layer(image: bool, width_in: int, width_out: int, kernel: int = 3) -> nn.Conv2d | nn.Linear:
    """A convolution that keeps the size for images, a linear map for vectors.

    Args:
        image: whether it is to map images.
        width_in: channels, or features, that go in.
        width_out: those that come out.
        kernel: side of the convolution.
    """
    if image:
        return nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2)
    return nn.Linear(width_in, width_out)


def groups(width: int) -> int:
    """At most 8 groups of at least 4 channels for a GroupNorm.

    On a vector, a group of one channel would be set to zero.
    """
    for count in (8, 4, 2):
        if width % count == 0 and width >= 4 * count:
            return count
    return 1


# ------------------------------------------------------------------------------------------- shapes


def is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3


def channels_of(shape: tuple[int, ...]) -> int:
    """Channels of an image; the features of any other event."""
    return shape[0] if is_image(shape) else math.prod(shape)


def pyramid(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Sizes of an image halved, rounding up, until its smaller side is at most `SMALLEST`.

    For 28 x 28 pixels they are (28, 28), (14, 14), (7, 7), (4, 4).
    """
    sizes = [(shape[1], shape[2])]
    while min(sizes[-1]) > SMALLEST:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def folded(shape: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """Shape of an image whose ``patch`` x ``patch`` squares of pixels are folded into channels.

    ``patch`` = 1 leaves any event as it is.

    Raises:
        ValueError: the event is no image, or does not divide into such squares.
    """
    if patch == 1:
        return shape
    if not is_image(shape) or patch < 1 or shape[1] % patch or shape[2] % patch:
        raise ValueError(
            f"Events of shape {shape} cannot be cut into squares of patch={patch} pixels a side."
        )
    channels, height, width = shape
    return (channels * patch**2, height // patch, width // patch)


# ------------------------------------------------------------------------------- events and vectors


class Encoder(Network):
    """Event ``(n, *shape)`` and embedding ``(n, embedding)`` to a vector ``(n, out)``.

    Convolutions on images, which are halved scale by scale; a residual MLP on the rest.

    Args:
        shape: of an event.
        out: length of the vector.
        embedding: length of the embedding.
        width: channels of the hidden layers.
        depth: residual blocks of each scale.
        dropout: share of the hidden channels that is dropped in training.
        norm: whether blocks normalise. Without, an answer does not depend on the scale of others.
        patch: side of the squares of pixels that are folded into channels first.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        out: int,
        embedding: int,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        norm: bool = False,
        patch: int = 1,
    ):
        super().__init__()
        self.shape = shape
        self.out = out
        self.embedding = embedding
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.norm = norm
        self.patch = patch
        self.image = is_image(shape)
        seen = folded(shape, patch)
        sizes = pyramid(seen) if self.image else [(1, 1)] * 2
        self.stem = layer(self.image, channels_of(seen), width)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                Block(self.image, width, width, embedding, dropout, norm) for _ in range(depth)
            )
            for _ in sizes
        )
        self.head = nn.Linear(width * math.prod(sizes[-1]), out)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return precisely(self.head, self.features(x, e))

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """Input of the linear head, ``(n, width x positions of the coarsest scale)``."""
        h = self.stem(F.pixel_unshuffle(x, self.patch) if self.image else x.flatten(1))
        for scale, blocks in enumerate(self.blocks):
            if self.image and scale:
                h = F.avg_pool2d(h, 2, ceil_mode=True)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
        return F.silu(h).flatten(1)


class Decoder(Network):
    """Vector ``(n, inputs)`` and embedding to ``(n, out, *shape)``: numbers for each feature.

    Args:
        inputs: length of the vector.
        shape: of an event.
        out: how many numbers each of its features gets.
        embedding, width, depth, dropout, norm: as of an `Encoder`.
        patch: side of the squares of pixels that the last layer gives at once.
        head_kernel: side of the windows that it sees, of images.
    """

    def __init__(
        self,
        inputs: int,
        shape: tuple[int, ...],
        out: int,
        embedding: int,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        norm: bool = False,
        patch: int = 1,
        head_kernel: int = 3,
    ):
        super().__init__()
        self.inputs = inputs
        self.shape = shape
        self.out = out
        self.embedding = embedding
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.norm = norm
        self.patch = patch
        self.head_kernel = head_kernel
        self.image = is_image(shape)
        coarse = folded(shape, patch)
        self.sizes = pyramid(coarse)[::-1] if self.image else [(1, 1)] * 2
        self.stem = nn.Linear(inputs, width * math.prod(self.sizes[0]))
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                Block(self.image, width, width, embedding, dropout, norm) for _ in range(depth)
            )
            for _ in self.sizes
        )
        self.head = layer(self.image, width, out * channels_of(coarse), head_kernel)

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        h = self.stem(z)
        h = h.unflatten(1, (-1, *self.sizes[0])) if self.image else h
        for size, blocks in zip(self.sizes, self.blocks, strict=True):
            if self.image and h.shape[2:] != size:
                h = F.interpolate(h, size)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
        numbers = precisely(self.head, F.silu(h))
        numbers = F.pixel_shuffle(numbers, self.patch) if self.image else numbers
        return numbers.unflatten(1, (self.out, -1)).reshape(len(z), self.out, *self.shape)


# ----------------------------------------------------------------------------------- event to event


def event_network(
    shape: tuple[int, ...], *arguments, patch: int = 1, head_kernel: int = 3, **options
) -> Network:
    """A `UNet` for images, an `MLP` for every other event.

    Args:
        shape: of an event.
        arguments: the others that both classes have.
        patch: see `UNet`.
        head_kernel: see `UNet`; an `MLP` has none.
        options: see either class.
    """
    if is_image(shape):
        return UNet(shape, *arguments, patch=patch, head_kernel=head_kernel, **options)
    folded(shape, patch)  # which there is only for images
    return MLP(shape, *arguments, **options)


class UNet(Network):
    """Image ``(c, h, w)`` and embedding to an image of the same size (Ronneberger et al. 2015).

    Args:
        shape: of the image.
        embedding: length of the embedding.
        width: channels, at every scale.
        depth: residual blocks of each scale, on the way down and on the way up.
        dropout: share of the hidden channels that is dropped in training.
        frequencies: at which sines and cosines of the pixels are seen beside them, in radians per
            unit.
        outputs: channels that come out; by default as many as go in.
        patch: side of the squares of pixels that are taken as one; 2 makes an image four times as
            cheap.
        attention: scales, counted from the coarsest, at which positions attend to each other.
        head_kernel: side of the windows that the last layer sees. Where it gives many numbers for
            a pixel, as log-odds of 256 levels, 1 saves a third of all the work.

    The last layer starts at zero.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        embedding: int,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        frequencies: tuple[float, ...] = (),
        outputs: int | None = None,
        patch: int = 1,
        attention: int = 0,
        head_kernel: int = 3,
    ):
        super().__init__()
        self.shape = shape
        self.embedding = embedding
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.frequencies = tuple(frequencies)
        self.outputs = outputs
        self.patch = patch
        self.attention = attention
        self.head_kernel = head_kernel
        self.sizes = pyramid(folded(shape, patch))
        seen = shape[0] * (1 + 2 * len(self.frequencies)) * patch**2
        self.stem = layer(True, seen, width)
        self.position = nn.Parameter(0.1 * torch.randn(1, width, *self.sizes[0]))
        coarsest = len(self.sizes) - 1
        scales = range(len(self.sizes))
        self.down = nn.ModuleList(self.stage(width, coarsest - scale) for scale in scales)
        self.up = nn.ModuleList(self.stage(2 * width, scale) for scale in scales)
        self.norm = nn.GroupNorm(groups(width), width)
        self.head = layer(True, width, (outputs or shape[0]) * patch**2, head_kernel)
        nn.init.zeros_(self.head.weight)

    def stage(self, width_in: int, from_coarsest: int) -> nn.ModuleList:
        """The blocks of a scale; each is called with ``(h, e)``."""
        blocks: list[nn.Module] = []
        for width in [width_in] + [self.width] * (self.depth - 1):
            blocks.append(Block(True, width, self.width, self.embedding, self.dropout))
        if from_coarsest < self.attention:
            blocks.append(AttentionBlock(self.width))
        return nn.ModuleList(blocks)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        scales = self.scales(x, e)
        h = scales[-1]
        for size, blocks in zip(self.sizes[::-1], self.up, strict=True):
            if h.shape[2:] != size:
                h = F.interpolate(h, size)
            h = torch.cat([h, scales.pop()], 1)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
        return F.pixel_shuffle(precisely(self.head, F.silu(self.norm(h))), self.patch)

    def scales(self, x: Tensor, e: Tensor) -> list[Tensor]:
        """Activations at the end of each scale on the way down, ``(n, width, h, w)`` each.

        The finest scale comes first.
        """
        seen = torch.cat([x, fourier_features(x, self.frequencies)], 1)
        h = self.stem(F.pixel_unshuffle(seen, self.patch)) + self.position
        scales = []
        for size, blocks in zip(self.sizes, self.down, strict=True):
            if h.shape[2:] != size:
                h = F.avg_pool2d(h, 2, ceil_mode=True)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
            scales.append(h)
        return scales

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """The coarsest scale, ``(n, width x its positions)``."""
        return self.scales(x, e)[-1].flatten(1)


class MLP(Network):
    """A residual MLP on the features of an event of any shape; its output has that shape again.

    As in a `UNet`, what the first half knows is handed to the second, and the last layer starts at
    zero. The arguments are those of a `UNet`; with ``outputs`` the result is ``(n, outputs)``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        embedding: int,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        frequencies: tuple[float, ...] = (),
        outputs: int | None = None,
    ):
        super().__init__()
        self.shape = shape
        self.embedding = embedding
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.frequencies = tuple(frequencies)
        self.outputs = outputs
        features = math.prod(shape)
        self.stem = nn.Linear(features * (1 + 2 * len(self.frequencies)), width)
        self.down = nn.ModuleList(self.stage(width) for _ in range(2))
        self.up = nn.ModuleList(self.stage(2 * width) for _ in range(2))
        self.norm = nn.GroupNorm(groups(width), width)
        self.head = nn.Linear(width, outputs or features)
        nn.init.zeros_(self.head.weight)

    def stage(self, width_in: int) -> nn.ModuleList:
        widths = [width_in] + [self.width] * (self.depth - 1)
        return nn.ModuleList(
            Block(False, width, self.width, self.embedding, self.dropout) for width in widths
        )

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        known = self.stages(x, e)
        h = known[-1]
        for blocks in self.up:
            h = torch.cat([h, known.pop()], 1)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
        y = precisely(self.head, F.silu(self.norm(h)))
        return y if self.outputs else y.view(len(x), *self.shape)

    def stages(self, x: Tensor, e: Tensor) -> list[Tensor]:
        """Activations at the end of each stage of the first half, ``(n, width)`` each."""
        x = x.flatten(1)
        h = self.stem(torch.cat([x, fourier_features(x, self.frequencies)], 1))
        known = []
        for blocks in self.down:
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
            known.append(h)
        return known

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """Activations at the end of the first half, ``(n, width)``."""
        return self.stages(x, e)[-1]


class Ensemble(nn.Module):
    """Networks whose answers are averaged; in training each answers for its share of the batch.

    On a small data set one network soon learns the examples by heart, and the errors that several
    make so differ (Lakshminarayanan et al. 2017, *Deep ensembles*).
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        if not self.training:
            return torch.stack([member(x, e) for member in self.members]).mean(0)
        several = len(self.members)
        shares = zip(self.members, x.chunk(several), e.chunk(several), strict=False)
        return torch.cat([member(x_share, e_share) for member, x_share, e_share in shares])

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """Those of all members, side by side."""
        return torch.cat([features_of(member, x, e) for member in self.members], 1)


class Transformer(Network):
    """Event and embedding to an event of the same shape, by attention between its parts.

    A token is a square of ``patch`` x ``patch`` pixels of an image, or one feature of any other
    event. This is the network of Peebles & Xie 2023, *Scalable diffusion models with transformers*:
    the embedding steers every block, and each of them, and the last layer, starts at zero.

    Args:
        shape: of an event.
        embedding: length of the embedding.
        width: of a token.
        depth: blocks, see `TransformerBlock`.
        heads: of the attention; they divide ``width``.
        dropout: share of the hidden channels of each MLP that is dropped in training.
        frequencies: at which sines and cosines of the values are seen beside them, in radians per
            unit.
        outputs: channels that come out, ``(n, outputs, h, w)``; of events that are no images
            numbers ``(n, outputs)``, those of a feature side by side. By default what went in.
        patch: side of the squares; of images alone.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        embedding: int,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        frequencies: tuple[float, ...] = (),
        outputs: int | None = None,
        patch: int = 2,
    ):
        super().__init__()
        self.shape = shape
        self.embedding = embedding
        self.width = width
        self.depth = depth
        self.heads = heads
        self.dropout = dropout
        self.frequencies = tuple(frequencies)
        self.outputs = outputs
        self.patch = patch
        self.tokens = Tokens(shape, width, self.frequencies, patch)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, embedding, heads, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.steer = nn.Linear(embedding, 2 * width)
        total = channels_of(shape) if outputs is None else outputs
        self.head = nn.Linear(width, self.tokens.share(total))
        for last in (self.steer, self.head):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.tokens(x)
        for block in self.blocks:
            h = block(h, e)
        shift, scale = self.steer(F.silu(e)).unsqueeze(1).chunk(2, 2)
        y = precisely(self.head, self.norm(h) * (1 + scale) + shift)
        y = self.tokens.event(y)
        return y if self.outputs else y.view(len(x), *self.shape)

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """The mean token after half of the blocks, ``(n, width)``."""
        h = self.tokens(x)
        for block in self.blocks[: (self.depth + 1) // 2]:
            h = block(h, e)
        return h.mean(1)


class TransformerEncoder(Network):
    """Event ``(n, *shape)`` and embedding to a vector ``(n, out)``: a `Transformer`'s mean token.

    Args:
        shape: of an event.
        out: length of the vector.
        embedding, width, depth, heads, dropout, frequencies, patch: as of a `Transformer`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        out: int,
        embedding: int,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        frequencies: tuple[float, ...] = (),
        patch: int = 2,
    ):
        super().__init__()
        self.shape = shape
        self.out = out
        self.embedding = embedding
        self.width = width
        self.depth = depth
        self.heads = heads
        self.dropout = dropout
        self.frequencies = tuple(frequencies)
        self.patch = patch
        self.tokens = Tokens(shape, width, self.frequencies, patch)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, embedding, heads, dropout) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, out)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return precisely(self.head, self.features(x, e))

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """Input of the linear head, ``(n, width)``."""
        h = self.tokens(x)
        for block in self.blocks:
            h = block(h, e)
        return self.norm(h).mean(1)


class Tokens(nn.Module):
    """An event cut into tokens ``(n, tokens, width)``, each of which knows where it lies."""

    def __init__(
        self, shape: tuple[int, ...], width: int, frequencies: tuple[float, ...], patch: int
    ):
        super().__init__()
        self.shape = shape
        self.frequencies = frequencies
        self.image = is_image(shape)
        self.patch = patch if self.image else 1
        self.grid = folded(shape, self.patch)[1:] if self.image else (math.prod(shape),)
        seen = self.share(channels_of(shape)) * (1 + 2 * len(frequencies))
        self.linear = nn.Linear(seen, width)
        self.position = nn.Parameter(0.1 * torch.randn(1, math.prod(self.grid), width))

    def forward(self, x: Tensor) -> Tensor:
        values = x if self.image else x.flatten(1).unsqueeze(1)
        seen = torch.cat([values, fourier_features(values, self.frequencies)], 1)
        if self.image:
            seen = F.pixel_unshuffle(seen, self.patch).flatten(2)
        return self.linear(seen.mT) + self.position

    def share(self, total: int) -> int:
        """Numbers that a token has of ``total`` channels (features, in a vector)."""
        if self.image:
            return total * self.patch**2
        if total % self.grid[0]:
            raise ValueError(f"outputs must be a multiple of {self.grid[0]} features, got {total}.")
        return total // self.grid[0]

    def event(self, y: Tensor) -> Tensor:
        """Numbers of each token as channels ``(n, channels, h, w)``, or features ``(n, D)``."""
        if self.image:
            return F.pixel_shuffle(y.mT.unflatten(2, self.grid), self.patch)
        return y.flatten(1)
