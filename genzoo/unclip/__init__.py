"""DALL-E 2 on a small scale.

CLIP embeds images and captions, a prior samples an image embedding, a decoder an image.

clip       images and captions in one space                        a module of its own
prior      caption's embedding to image embeddings                 the zoo's `Diffusion`, or
                                                                   `Autoregressive`
cascade    `UnCLIP`: prior, then the zoo's `Diffusion` on images   and manipulations of images
training   the stages, one after the other
"""

from genzoo.unclip.cascade import UnCLIP
from genzoo.unclip.clip import CLIP
from genzoo.unclip.prior import PCA, QuantizedPCA

PARTS = (CLIP, QuantizedPCA, UnCLIP)  # what `genzoo.load` can build beside the families

__all__ = ["CLIP", "PARTS", "PCA", "QuantizedPCA", "UnCLIP"]
