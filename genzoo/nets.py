"""Shape knowledge, all of it: a condition becomes an embedding, and three networks know what an
event's shape means.

    Encoder   event -> vector        Decoder   vector -> event        Field   event -> event of the same size

Events of shape ``(c, h, w)`` get convolutions, every other shape a multilayer perceptron over the
flattened features. Both are built from one residual `Block`; the embedding of condition (and time)
scales and shifts the features inside each.

An image network may work on ``patch`` x ``patch`` squares of pixels, folded into channels: a
quarter of the cost for 2.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 4  # images are halved until a side is at most this


class Condition(nn.Module):
    """None, labels ``(n,)`` or vectors ``(n, width)`` to an embedding ``(n, dim)``; what is not
    given is a learned row.

    Not given are: None, the label -1, a vector that holds a NaN. So no model of the zoo contains
    ``if c is None``.

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
        given = ~vectors.isnan().any(1, keepdim=True)
        return torch.where(given, self.embed(vectors.nan_to_num().to(self.null)), self.null)


def as_vectors(c: Tensor, width: int) -> Tensor:
    """Labels ``(n,)`` as one-hot rows (-1 as a row of NaN), vectors ``(n, width)`` as they are;
    anything else raises.
    """
    if not width:
        raise ValueError(
            "This model is unconditional (condition=0) but was given a condition; build it with condition=width."
        )
    if c.dim() == 2 and c.shape[1] == width:
        return c
    if c.dim() != 1 or c.is_floating_point():
        raise ValueError(
            f"A condition is integer labels (n,) or vectors (n, {width}), got {c.dtype} {tuple(c.shape)}."
        )
    if len(c) and (c.max() >= width or c.min() < -1):
        raise ValueError(
            f"Labels run from 0 to {width - 1} (-1: not given), got {int(c.min())} to {int(c.max())}."
        )
    one_hot = F.one_hot(c.clamp(min=0).long(), width).float()
    return one_hot.masked_fill(c[:, None] < 0, math.nan)


class Fourier(nn.Module):
    """Sine and cosine features of a scalar ``(n,)`` at geometrically spaced frequencies, ``(n,
    dim)`` after a linear map.
    """

    frequencies: Tensor

    def __init__(self, dim: int, lowest: float = 0.1, highest: float = 10.0, count: int = 16):
        super().__init__()
        self.register_buffer(
            "frequencies",
            torch.logspace(math.log10(lowest), math.log10(highest), count),
            persistent=False,
        )
        self.linear = nn.Linear(2 * count, dim)

    def forward(self, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        return self.linear(torch.cat([angles.sin(), angles.cos()], 1))


def waves(x: Tensor, frequencies: Sequence[float]) -> Tensor:
    """Sines, then cosines of ``x`` (n, c, ...) at each frequency, ``(n, 2 c frequencies, ...)``:
    they let a network see edges.
    """
    if not frequencies:
        return x[:, :0]
    angles = torch.cat([x * f for f in frequencies], 1)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Block(nn.Module):
    """Residual block x + W2 act(FiLM(W1 act(norm(x)))), the embedding giving FiLM's scale and shift
    (Perez et al. 2018).
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
        self.first, self.second = layer(image, width_in, width), layer(image, width, width)
        self.film = nn.Linear(embedding, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Identity() if width_in == width else layer(image, width_in, width, kernel=1)
        with torch.no_grad():  # every block starts near the identity
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.first(F.silu(self.norm(x)))
        scale, shift = self.film(F.silu(e)).view(len(x), -1, *[1] * (x.dim() - 2)).chunk(2, 1)
        h = self.second(self.dropout(F.silu(h * (1 + scale) + shift)))
        return self.skip(x) + h


def layer(image: bool, width_in: int, width_out: int, kernel: int = 3) -> nn.Conv2d | nn.Linear:
    """A convolution that keeps the size for images, a linear map for vectors."""
    return (
        nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2)
        if image
        else nn.Linear(width_in, width_out)
    )


def groups(width: int) -> int:
    """At most 8 groups of at least 4 channels for a GroupNorm: on a vector, a group of one channel
    would be set to zero.
    """
    return next((g for g in (8, 4, 2) if width % g == 0 and width >= 4 * g), 1)


def is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3


def pyramid(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Sizes of an image halved (rounding up) until its smaller side is at most `SMALLEST`: (28,
    28), (14, 14), ...
    """
    sizes = [(shape[1], shape[2])]
    while min(sizes[-1]) > SMALLEST:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def folded(shape: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """Shape of an image whose ``patch`` x ``patch`` squares of pixels are folded into channels; 1
    leaves any event as it is.

    Raises:
        ValueError: the event is no image, or does not divide into such squares.
    """
    if patch == 1:
        return shape
    if not is_image(shape) or patch < 1 or shape[1] % patch or shape[2] % patch:
        raise ValueError(
            f"Events of shape {shape} cannot be cut into squares of patch={patch} pixels a side."
        )
    return (shape[0] * patch**2, shape[1] // patch, shape[2] // patch)


class Encoder(nn.Module):
    """Event ``(n, *shape)`` and embedding ``(n, embedding)`` to a vector ``(n, out)``."""

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
        self.image, self.patch = is_image(shape), patch
        shape = folded(shape, patch)
        sizes = pyramid(shape) if self.image else [(1, 1)] * 2
        self.stem = layer(self.image, shape[0] if self.image else math.prod(shape), width)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                Block(self.image, width, width, embedding, dropout, norm) for _ in range(depth)
            )
            for _ in sizes
        )
        self.head = nn.Linear(width * math.prod(sizes[-1]), out)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return self.head(self.features(x, e))

    def features(self, x: Tensor, e: Tensor) -> Tensor:
        """What the linear head reads: ``(n, width)``, on images ``(n, width x positions of the
        coarsest scale)``.
        """
        h = self.stem(F.pixel_unshuffle(x, self.patch) if self.image else x.flatten(1))
        for scale, blocks in enumerate(self.blocks):
            if self.image and scale:
                h = F.avg_pool2d(h, 2, ceil_mode=True)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
        return F.silu(h).flatten(1)


class Decoder(nn.Module):
    """Vector ``(n, inputs)`` and embedding to ``(n, out, *shape)``: ``out`` numbers for each
    feature of the event.
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
    ):
        super().__init__()
        self.shape, self.out, self.image = shape, out, is_image(shape)
        self.sizes = pyramid(shape)[::-1] if self.image else [(1, 1)] * 2
        self.stem = nn.Linear(inputs, width * math.prod(self.sizes[0]))
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                Block(self.image, width, width, embedding, dropout, norm) for _ in range(depth)
            )
            for _ in self.sizes
        )
        self.head = layer(self.image, width, out * (shape[0] if self.image else math.prod(shape)))

    def forward(self, z: Tensor, e: Tensor) -> Tensor:
        h = self.stem(z)
        h = h.unflatten(1, (-1, *self.sizes[0])) if self.image else h
        for size, blocks in zip(self.sizes, self.blocks, strict=True):
            if self.image and h.shape[2:] != size:
                h = F.interpolate(h, size)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
        return self.head(F.silu(h)).unflatten(1, (self.out, -1)).view(len(z), self.out, *self.shape)


class Field(nn.Module):
    """Event ``(n, *shape)`` and embedding to ``(n, *shape)``: a small U-Net on images, a residual
    MLP on the rest.

    ``inputs`` channels (features, where the event is no image) go in and ``outputs`` come out; both
    default to the event's own number. With ``outputs`` given the result is ``(n, outputs, h, w)``
    or ``(n, outputs)``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        embedding: int,
        width: int = 64,
        depth: int = 1,
        dropout: float = 0.0,
        inputs: int | None = None,
        outputs: int | None = None,
        patch: int = 1,
    ):
        super().__init__()
        self.image, self.patch = is_image(shape), patch
        own = shape[0] if self.image else math.prod(shape)
        self.shape = None if outputs else shape
        shape = folded(shape, patch)
        self.sizes = pyramid(shape) if self.image else [(1, 1)] * 2
        self.stem = layer(self.image, (inputs or own) * patch**2, width)
        self.position = (
            nn.Parameter(0.1 * torch.randn(1, width, *self.sizes[0])) if self.image else 0.0
        )
        self.down = nn.ModuleList(
            self.stage(width, width, embedding, depth, dropout) for _ in self.sizes
        )
        self.up = nn.ModuleList(
            self.stage(2 * width, width, embedding, depth, dropout) for _ in self.sizes
        )
        self.norm = nn.GroupNorm(groups(width), width)
        self.head = layer(self.image, width, (outputs or own) * patch**2)
        nn.init.zeros_(self.head.weight)

    def stage(
        self, width_in: int, width: int, embedding: int, depth: int, dropout: float
    ) -> nn.ModuleList:
        widths = [width_in] + [width] * (depth - 1)
        return nn.ModuleList(Block(self.image, w, width, embedding, dropout) for w in widths)

    def scales(self, x: Tensor, e: Tensor) -> list[Tensor]:
        """Activations at the end of each scale on the way down, from the finest ``(n, width, h,
        w)`` to the coarsest.
        """
        h = (
            self.stem(F.pixel_unshuffle(x, self.patch) if self.image else x.flatten(1))
            + self.position
        )
        found = []
        for size, blocks in zip(self.sizes, self.down, strict=True):
            h = F.avg_pool2d(h, 2, ceil_mode=True) if self.image and h.shape[2:] != size else h
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
            found.append(h)
        return found

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        skips = self.scales(x, e)
        h = skips[-1]
        for size, blocks in zip(self.sizes[::-1], self.up, strict=True):
            h = F.interpolate(h, size) if self.image and h.shape[2:] != size else h
            h = torch.cat([h, skips.pop()], 1)
            for block in blocks:  # type: ignore[union-attr]
                h = block(h, e)
        h = self.head(F.silu(self.norm(h)))
        h = F.pixel_shuffle(h, self.patch) if self.image else h
        return h.reshape(len(x), *self.shape) if self.shape else h
