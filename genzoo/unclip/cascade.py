r"""unCLIP: from a caption to an image embedding, and from that to an image (DALL-E 2).

.. math::

    p(x \mid \text{caption}) = \int p(x \mid z) \, p(z \mid t) \, dz, \qquad t = \text{CLIP's
    embedding of the caption}

`UnCLIP` is that cascade: it samples z from the prior and x from the decoder. Because the decoder
inverts CLIP's image encoder, an image can be encoded into two parts: its embedding z, and the noise
:math:`x_T` that inverse DDIM leads to. `UnCLIP.vary` keeps z and replaces a part of the noise,
`UnCLIP.interpolate_images` interpolates both, `UnCLIP.edit` moves z by the difference of two
captions, and `UnCLIP.rebuild` keeps only the leading principal components of z.

All embeddings here are CLIP's unit vectors times :math:`\sqrt{dims}`, so that their features are of
the order of one, as a diffusion model needs them (the paper's factor is 17.2).

Reference: Ramesh et al. 2022, *Hierarchical text-conditional image generation with CLIP latents*
(sections 2 and 3).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genzoo.data.scenes.captions import tokenise
from genzoo.families.diffusion import Diffusion, ddim
from genzoo.model import GenerativeModel, Likelihood, slerp
from genzoo.unclip.clip import CLIP
from genzoo.unclip.prior import PCA, best_of


class UnCLIP(GenerativeModel):
    """A model of images given captions, p(image | caption).

    A prior over CLIP's image embeddings, then a decoder from the embedding to the image.

    Args:
        clip: model of both embeddings; a caption's tokens are the condition of this model.
        prior: model of image embeddings ``(dims,)`` given text embeddings.
        decoder: model of images given image embeddings.
        guidance: of the decoder, see `genzoo.Diffusion.denoiser`; 1 for none.
        prior_guidance: of the prior; not used if the prior cannot be guided.
        candidates: number of embeddings sampled from the prior for each image, of which the one
            nearest to the text's is kept.
    """

    likelihood = Likelihood.NONE
    guidable = True
    usage = 'x = model.imagine("a large red circle left of a small blue square", n=16)'

    def __init__(
        self,
        clip: CLIP,
        prior: GenerativeModel,
        decoder: Diffusion,
        guidance: float = 2.0,
        prior_guidance: float = 2.0,
        candidates: int = 2,
    ):
        super().__init__(decoder.event_shape, clip.condition)
        widths = (
            (prior, prior.dims, "models"),
            (prior, prior.condition, "is conditioned on"),
            (decoder, decoder.condition, "is conditioned on"),
        )
        for part, width, name in widths:
            if width != clip.dims:
                raise ValueError(
                    f"CLIP embeds in {clip.dims} dimensions, "
                    f"but the {type(part).__name__} {name} {width}."
                )
        self.clip = clip
        self.prior = prior
        self.decoder = decoder
        self.guidance = guidance
        self.prior_guidance = prior_guidance
        self.candidates = candidates
        self.pca = PCA(clip.dims, clip.dims)  # of image embeddings; fitted in training

    # ------------------------------------------------------------------------ from caption to image

    def imagine(self, captions: str | Sequence[str], n: int = 1, **options) -> Tensor:
        """``n`` images of each caption, ``(captions * n, *event_shape)``.

        Args:
            captions: one, or several.
            n: number of images of each.
            options: of `sample`.

        Raises:
            InputError: a word that is not in the vocabulary of `genzoo.data.scenes.captions`.
        """
        tokens = tokenise(captions).repeat_interleave(n, 0)
        return self.sample(len(tokens), tokens, **options)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float | None = None,
        steps: int | None = None,
        prior_guidance: float | None = None,
        candidates: int | None = None,
    ) -> Tensor:
        """Images ``(n, *event_shape)``. Options that are None have the model's own values.

        Args:
            n: number of images.
            c: tokens of a caption for each, ``(n, condition)``; None: unconditional samples.
            guidance: of the decoder.
            steps: of the decoder.
            prior_guidance: of the prior.
            candidates: embeddings sampled from the prior for each image.
        """
        z = self.draw_embedding(n, c, prior_guidance, candidates)
        if guidance is None:
            guidance = self.guidance
        return self.decoder.sample(n, z, guidance, steps=steps)

    @torch.no_grad()
    def draw_embedding(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float | None = None,
        candidates: int | None = None,
    ) -> Tensor:
        """Image embeddings ``(n, dims)`` from the prior.

        Args:
            n: number of embeddings.
            c: tokens of a caption for each, ``(n, condition)``; None: unconditional samples.
            guidance: of the prior; None: the model's own.
            candidates: samples for each row of tokens, of which the one nearest to the text's
                embedding is kept; None: the model's own.
        """
        if c is None:  # there is no text to guide to, or to choose by
            return self.prior.sample(n)
        options: dict[str, Any] = {}
        if self.prior.guidable:
            options["guidance"] = self.prior_guidance if guidance is None else guidance
        k = candidates or self.candidates
        text = self.embed_texts(c)
        samples = self.prior.sample(n * k, text.repeat_interleave(k, 0), **options)
        return best_of(samples.unflatten(0, (n, k)), text)

    @torch.no_grad()
    def embed_images(self, x: Tensor) -> Tensor:
        """CLIP's embeddings of images, ``(n, dims)``, of length sqrt(dims)."""
        return scale_to_sqrt_dim(self.clip.embed_images(x))

    @torch.no_grad()
    def embed_texts(self, tokens: Tensor) -> Tensor:
        """CLIP's embeddings of captions, given as tokens, ``(n, dims)``, of length sqrt(dims)."""
        tokens = tokens.to(self.clip.log_scale.device)
        return scale_to_sqrt_dim(self.clip.embed_texts(tokens))

    # ------------------------------------------------------------------- from image to other images

    @torch.no_grad()
    def invert(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP's embeddings of images, and the noise from which DDIM reconstructs them.

        They are ``(n, dims)`` and ``(n, *event_shape)``.
        """
        z = self.embed_images(x)
        return z, self.decoder.encode(x, z)

    @torch.no_grad()
    def render(self, z: Tensor, noise: Tensor, eta: float = 0.0, guidance: float = 1.0) -> Tensor:
        """Images ``(n, *event_shape)`` from embeddings and noise by DDIM.

        With ``eta`` = 0 it is the inverse of `invert`.

        Args:
            z: embeddings, ``(n, dims)``.
            noise: ``(n, *event_shape)``.
            eta: share of new noise in each step, between 0 (DDIM) and 1 (ancestral sampling).
            guidance: of the decoder.
        """
        denoiser = self.decoder.denoiser(z, guidance)
        times = self.decoder.times(2 * self.decoder.steps, noise)
        return ddim(denoiser, noise, times, eta=eta)

    def vary(self, x: Tensor, n: int = 1, eta: float = 1.0, guidance: float = 1.0) -> Tensor:
        """Variations of images: of the same embedding, with a part of the noise replaced.

        Args:
            x: images, ``(m, *event_shape)``.
            n: number of variations of each.
            eta: share of new noise; a larger one changes more.
            guidance: of the decoder.

        Returns:
            ``(m * n, *event_shape)``.
        """
        z, noise = self.invert(x)
        z = z.repeat_interleave(n, 0)
        noise = noise.repeat_interleave(n, 0)
        return self.render(z, noise, eta, guidance)

    def interpolate_images(
        self, one: Tensor, other: Tensor, steps: int = 8, guidance: float = 1.0
    ) -> Tensor:
        """Images on the way from one to another: z and the noise are interpolated on a sphere.

        Args:
            one: an image, ``(c, h, w)``.
            other: another.
            steps: number of images, both ends included.
            guidance: of the decoder.

        Returns:
            ``(steps, c, h, w)``.
        """
        z, noise = self.invert(torch.stack([one, other]))
        share = torch.linspace(0, 1, steps, device=z.device)
        first_z = z[:1].expand(steps, *z.shape[1:])
        first_noise = noise[:1].expand(steps, *noise.shape[1:])
        z = slerp(first_z, z[1:], share)
        noise = slerp(first_noise, noise[1:], share)
        return self.render(z, noise, guidance=guidance)

    @torch.no_grad()
    def edit(
        self,
        x: Tensor,
        before: str | Sequence[str],
        after: str | Sequence[str],
        share: float | Tensor = 1.0,
        guidance: float = 2.0,
        draws: int = 8,
    ) -> Tensor:
        """Edit images by words: replace what ``before`` says of them by what ``after`` says.

        z moves by the difference between the mean embeddings of the two captions under the prior,
        and the noise is kept. So is everything in the image that the captions do not mention.

        Args:
            x: images, ``(n, *event_shape)``.
            before: a caption such as "a small circle", one for all images or one for each.
            after: likewise, such as "a large circle".
            share: of the difference, one for all images or one for each, ``(n,)``.
            guidance: of the decoder.
            draws: samples of the prior for each mean.
        """
        z, noise = self.invert(x)
        difference = self._expected(after, draws) - self._expected(before, draws)
        share = torch.as_tensor(share, device=z.device).expand(len(z)).unsqueeze(1)
        moved = F.normalize(z + share * difference, dim=1)
        return self.render(scale_to_sqrt_dim(moved), noise, guidance=guidance)

    def _expected(self, captions: str | Sequence[str], draws: int) -> Tensor:
        """The mean of the prior's embeddings of captions, ``(captions, dims)``.

        The noise is always the same, so that it cancels in a difference.
        """
        tokens = tokenise(captions).repeat_interleave(draws, 0)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            z = self.draw_embedding(len(tokens), tokens, candidates=1)
        return z.unflatten(0, (-1, draws)).mean(1)

    @torch.no_grad()
    def text_diff(
        self,
        x: Tensor,
        before: str | Sequence[str],
        after: str | Sequence[str],
        share: float | Tensor = 0.35,
        guidance: float = 2.0,
    ) -> Tensor:
        """`edit` as in the paper, without the prior.

        z is rotated towards the normalised difference of the *captions'* embeddings, by a share
        only: no image has an embedding at the end of that way.

        Args:
            x: images, ``(n, *event_shape)``.
            before: as of `edit`.
            after: likewise.
            share: of the way (0.25 to 0.5 in the paper), one for all images or one for each,
                ``(n,)``.
            guidance: of the decoder.
        """
        z, noise = self.invert(x)
        old = self.embed_texts(tokenise(before))
        new = self.embed_texts(tokenise(after))
        difference = scale_to_sqrt_dim(F.normalize(new - old, dim=1))
        share = torch.as_tensor(share, device=z.device).expand(len(z))
        rotated = slerp(z, difference.expand_as(z), share)
        return self.render(rotated, noise, guidance=guidance)

    def rebuild(self, x: Tensor, components: int, guidance: float = 1.0) -> Tensor:
        """Images from the leading principal components of their embeddings, with their own noise.

        Args:
            x: images, ``(n, *event_shape)``.
            components: number of components that are kept.
            guidance: of the decoder.
        """
        z, noise = self.invert(x)
        leading = self.pca.project(z)[:, :components]
        z = self.pca.rebuild(leading)
        z = scale_to_sqrt_dim(F.normalize(z, dim=1))
        return self.render(z, noise, guidance=guidance)

    @property
    def evaluations_per_sample(self) -> int:
        """Network evaluations of the prior and of the decoder."""
        return self.prior.evaluations_per_sample + self.decoder.evaluations_per_sample


def scale_to_sqrt_dim(unit: Tensor) -> Tensor:
    """Unit vectors ``(..., dims)`` scaled to length sqrt(dims), so that features are about one."""
    dims = unit.shape[-1]
    return math.sqrt(dims) * unit
