r"""CLIP: images and captions in one space, where an image and its caption are close.

An image encoder and a text encoder each give a unit vector. In a batch of n pairs (image, caption)
the caption of every image is to be found among all n, and the image of every caption, by a softmax
over the cosines:

.. math::

    \ell_{ij} = \tau^{-1} \langle z_i, t_j \rangle, \qquad
    L = \tfrac12 \big( CE(\operatorname{softmax}_j \ell_{ij}, i) + CE(\operatorname{softmax}_i
    \ell_{ij}, j) \big)

with a learned temperature. The negatives are the other captions of the batch, which are harder in a
larger batch: among hundreds of scenes some differ in a single word, and to distinguish them the
vectors must encode which colour belongs to which shape and where it stands.

Reference: Radford et al. 2021, *Learning transferable visual models from natural language
supervision* (figure 3: the loss; section 2.5: the temperature and its cap).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genzoo.model import Trainable
from genzoo.nets import Condition, Encoder, Network, apply, given_or

# of the factor of the cosines, which is one over the temperature: at the start, and at most
START = 1 / 0.07
CAP = 100.0


class CLIP(Trainable):
    """Embeds images and captions as unit vectors of one space. A batch is ``(images, tokens)``.

    Args:
        event_shape: of an image, ``(c, h, w)``.
        condition: number of tokens of a caption; shorter captions are padded with the token 0.
        vocabulary: number of different tokens, padding included.
        dims: of the space that both share.
        width: of the image's `genzoo.nets.Encoder`.
        depth: of the same.
        patch: of the same.
        text_width: of the `TextEncoder`.
        convolutions: of the same.
        layers: of the same.
        heads: of the same.
        lr: peak learning rate.
        image: image encoder in place of the default; see `genzoo.nets`.
        text: text encoder in place of the default.
    """

    usage = "similarity = model.embed_images(x) @ model.embed_texts(tokens).T"

    def __init__(
        self,
        event_shape: tuple[int, ...],
        condition: int,
        vocabulary: int,
        dims: int = 96,
        width: int = 64,
        depth: int = 1,
        patch: int = 4,
        text_width: int = 96,
        convolutions: int = 3,
        layers: int = 1,
        heads: int = 4,
        lr: float = 2e-3,
        image: nn.Module | None = None,
        text: nn.Module | None = None,
    ):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.condition = condition
        self.vocabulary = vocabulary
        self.dims = dims
        self.width = width
        self.depth = depth
        self.patch = patch
        self.text_width = text_width
        self.convolutions = convolutions
        self.layers = layers
        self.heads = heads
        self.lr = lr
        # the image encoder takes an embedded condition: that of no condition
        self.nothing = Condition(0, width)
        self.image = given_or(image, self.default_image)
        self.text = given_or(text, self.default_text)
        self.log_scale = nn.Parameter(torch.tensor(math.log(START)))

    def default_image(self) -> nn.Module:
        return Encoder(
            self.event_shape,
            self.dims,
            self.width,
            self.width,
            self.depth,
            norm=True,
            patch=self.patch,
        )

    def default_text(self) -> nn.Module:
        return TextEncoder(
            self.vocabulary,
            self.condition,
            self.dims,
            self.text_width,
            self.convolutions,
            self.layers,
            self.heads,
        )

    def embed_images(self, x: Tensor) -> Tensor:
        """Images ``(n, *event_shape)`` to unit vectors ``(n, dims)``."""
        nothing = self.nothing(None, len(x))
        vectors = apply(self.image, x, nothing, (self.dims,))
        return F.normalize(vectors, dim=1)

    def embed_texts(self, tokens: Tensor) -> Tensor:
        """Captions as tokens ``(n, condition)`` to unit vectors ``(n, dims)``."""
        return F.normalize(self.text(tokens), dim=1)

    @property
    def scale(self) -> Tensor:
        """The factor of the cosines: one over the temperature.

        It is at most 100, so that single pairs do not dominate the loss.
        """
        return self.log_scale.exp().clamp(max=CAP)

    def loss(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The contrastive loss of each pair of the batch, ``(n,)`` nats."""
        images = self.embed_images(x)
        texts = self.embed_texts(tokens)
        # in 32 bits: 16 do not resolve the cosines of similar pairs
        with torch.autocast(x.device.type, enabled=False):
            logits = self.scale * images.float() @ texts.float().T
        return contrastive(logits, same(tokens))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(*batch).mean()
        self.log_loss(loss, batch_idx)
        return loss

    def facts(self) -> dict[str, str]:
        captions = f"{self.condition} tokens out of {self.vocabulary}"
        return {
            "images": f"{self.event_shape}",
            "captions": captions,
            "space": f"{self.dims} dimensions",
        }


class TextEncoder(Network):
    """Text encoder: convolutions over neighbouring words, then a small transformer.

    Neighbouring words tell which adjective belongs to which noun, and which noun is on which side
    of "left of". A transformer alone has to learn first that neighbours matter, and on captions as
    few as these it did not: its embeddings of "a left of b" and "b left of a" were the same.
    Convolutions have that knowledge built in (Gulati et al. 2020, *Conformer*). Attention (Vaswani
    et al. 2017) then collects the sentence in an additional token at the front. Padding is a token
    like any other.

    Args:
        vocabulary: number of different tokens, padding included.
        length: number of tokens of a caption.
        dims: of the resulting vectors.
        width: of the hidden layers.
        convolutions: number of convolutions.
        layers: number of transformer layers.
        heads: of attention.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        dims: int,
        width: int,
        convolutions: int,
        layers: int,
        heads: int,
    ):
        super().__init__()
        self.vocabulary = vocabulary
        self.length = length
        self.dims = dims
        self.width = width
        self.convolutions = convolutions
        self.layers = layers
        self.heads = heads
        self.words = nn.Embedding(vocabulary, width)
        self.neighbours = nn.ModuleList(
            nn.Conv1d(width, width, 5, padding=2) for _ in range(convolutions)
        )
        self.summary = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.1 * torch.randn(1, 1 + length, width))
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            4 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dims))

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.words(tokens).mT
        for convolution in self.neighbours:
            h = h + F.gelu(convolution(h))
        summary = self.summary.expand(len(tokens), -1, -1)
        h = torch.cat([summary, h.mT], 1)
        h = self.transformer(h + self.position)
        return self.head(h[:, 0])


def contrastive(logits: Tensor, same: Tensor) -> Tensor:
    """Symmetric cross-entropy of each pair, the mean over both directions, ``(n,)``.

    Equal captions in a batch are all positives, and the target is uniform over them: the
    expectation of the one-hot target, without its noise. (With a one-hot target, an image would be
    pushed away from a caption that is true of it.) Captions that say the same in other words, or
    less, remain negatives: they are in a batch as often as chance has it, and the optimum of the
    loss, the log of p(image, caption) / p(image) p(caption), accounts for that (van den Oord et al.
    2018, InfoNCE).

    Args:
        logits: images by captions, ``(n, n)``.
        same: True where two captions are equal, ``(n, n)``.
    """
    target = same.to(logits) / same.sum(1, keepdim=True)
    images = -(target * logits.log_softmax(1)).sum(1)
    captions = -(target * logits.T.log_softmax(1)).sum(1)
    return (images + captions) / 2


def same(tokens: Tensor) -> Tensor:
    """True for pairs of captions that are equal word for word, ``(n, n)``."""
    return (tokens.unsqueeze(0) == tokens.unsqueeze(1)).all(-1)
