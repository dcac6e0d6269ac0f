r"""unCLIP: a caption becomes an image embedding, and that becomes an image (DALL-E 2).

.. math::

    p(x \mid \text{caption}) = \int p(x \mid z) \, p(z \mid t) \, dz, \qquad t = \text{CLIP's
    embedding of the caption}

`UnCLIP` is that cascade: it draws z from the prior and x from the decoder. And because the decoder
inverts CLIP's image encoder, pictures can be taken apart into what CLIP sees in them, z, and the
rest, the noise :math:`x_T` that DDIM leads back to: `UnCLIP.vary` keeps the first and redraws some
of the second, `UnCLIP.interpolate_images` turns z towards another, `UnCLIP.edit` moves it by the
difference of two captions, and `UnCLIP.rebuild` shows how much of z there has to be.

All embeddings here are CLIP's unit vectors times :math:`\sqrt{dims}`, so that their features are of
the order of one, as a diffusion model likes them (the paper's factor is 17.2).

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
        clip: gives both embeddings; a caption's tokens are this model's condition.
        prior: image embeddings ``(dims,)`` given text embeddings.
        decoder: images given image embeddings.
        guidance, prior_guidance: of decoder and prior, see `genzoo.Diffusion.denoiser`; 1 for none.
            A prior that knows none is drawn from as it is.
        candidates: embeddings drawn from the prior for each image, of which the one nearest to the
            text's is kept.
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
        for part, width, name in (
            (prior, prior.dims, "models"),
            (prior, prior.condition, "is conditioned on"),
            (decoder, decoder.condition, "is conditioned on"),
        ):
            if width != clip.dims:
                raise ValueError(
                    f"CLIP embeds in {clip.dims} dimensions, "
                    f"but the {type(part).__name__} {name} {width}."
                )
        self.clip, self.prior, self.decoder = clip, prior, decoder
        self.guidance, self.prior_guidance, self.candidates = guidance, prior_guidance, candidates
        self.pca = PCA(clip.dims, clip.dims)  # of image embeddings; fitted in training

    # ------------------------------------------------------------------------ from caption to image

    def imagine(self, captions: str | Sequence[str], n: int = 1, **options) -> Tensor:
        """``n`` images of each caption, ``(captions n, *event_shape)``; ``options`` as in `sample`.

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
        """``(n, *event_shape)``, one image for each row of tokens ``c`` (n, condition).

        Without, images of anything.

        ``steps`` are the decoder's; what is not given is the model's own.
        """
        z = self.draw_embedding(n, c, prior_guidance, candidates)
        return self.decoder.sample(
            n, z, self.guidance if guidance is None else guidance, steps=steps
        )

    @torch.no_grad()
    def draw_embedding(
        self,
        n: int,
        c: Tensor | None = None,
        guidance: float | None = None,
        candidates: int | None = None,
    ) -> Tensor:
        """Image embeddings ``(n, dims)`` from the prior.

        Each is the best of ``candidates`` for its row of tokens.
        """
        if c is None:  # nothing to be guided to, or to be near
            return self.prior.sample(n)
        guidance, k = (
            self.prior_guidance if guidance is None else guidance,
            candidates or self.candidates,
        )
        options: dict[str, Any] = {"guidance": guidance} if self.prior.guidable else {}
        text = self.embed_texts(c)
        draws = self.prior.sample(n * k, text.repeat_interleave(k, 0), **options)
        return best_of(draws.unflatten(0, (n, k)), text)

    @torch.no_grad()
    def embed_images(self, x: Tensor) -> Tensor:
        """CLIP's embeddings of images, ``(n, dims)``, of length sqrt(dims)."""
        return scale_to_sqrt_dim(self.clip.embed_images(x))

    @torch.no_grad()
    def embed_texts(self, tokens: Tensor) -> Tensor:
        """CLIP's embeddings of captions, given as tokens, ``(n, dims)``, of length sqrt(dims)."""
        return scale_to_sqrt_dim(self.clip.embed_texts(tokens.to(self.clip.log_scale.device)))

    # ------------------------------------------------------------------- from image to other images

    @torch.no_grad()
    def invert(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What CLIP sees in images, and the noise that leads back to them.

        They are ``(n, dims)`` and ``(n, *event_shape)``.
        """
        z = self.embed_images(x)
        return z, self.decoder.encode(x, z)

    @torch.no_grad()
    def render(self, z: Tensor, noise: Tensor, eta: float = 0.0, guidance: float = 1.0) -> Tensor:
        """Images ``(n, *event_shape)`` from embeddings and noise by DDIM.

        The inverse of `invert` for ``eta`` = 0.
        """
        times = self.decoder.times(2 * self.decoder.steps, noise)
        return ddim(self.decoder.denoiser(z, guidance), noise, times, eta=eta)

    def vary(self, x: Tensor, n: int = 1, eta: float = 1.0, guidance: float = 1.0) -> Tensor:
        """``n`` variations of each image.

        The same embedding, part of the rest drawn afresh, the more the larger ``eta``.
        """
        z, noise = (part.repeat_interleave(n, 0) for part in self.invert(x))
        return self.render(z, noise, eta, guidance)

    def interpolate_images(
        self, one: Tensor, other: Tensor, steps: int = 8, guidance: float = 1.0
    ) -> Tensor:
        """From one image ``(c, h, w)`` to another in ``steps`` images, both ends included.

        z and the noise turn together.
        """
        z, noise = self.invert(torch.stack([one, other]))
        share = torch.linspace(0, 1, steps, device=z.device)
        z, noise = (
            slerp(part[:1].expand(steps, *part.shape[1:]), part[1:], share) for part in (z, noise)
        )
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
        """What ``before`` says of images becomes what ``after`` says.

        Such as "a small ..." to "a large ...", in all or one by one.

        z moves by ``share``, one for all images or one each, ``(n,)``, of the difference between
        the embeddings that the prior expects of the two captions, each the mean of ``draws``; the
        noise stays. What the captions do not speak of is kept as it is in the image.
        """
        z, noise = self.invert(x)
        difference = self._expected(after, draws) - self._expected(before, draws)
        share = torch.as_tensor(share, device=z.device).expand(len(z)).unsqueeze(1)
        return self.render(
            scale_to_sqrt_dim(F.normalize(z + share * difference, dim=1)), noise, guidance=guidance
        )

    def _expected(self, captions: str | Sequence[str], draws: int) -> Tensor:
        """The mean of the prior's embeddings of captions, ``(captions, dims)``.

        Always from the same noise, so that in a difference it cancels.
        """
        tokens = tokenise(captions)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            z = self.draw_embedding(
                draws * len(tokens), tokens.repeat_interleave(draws, 0), candidates=1
            )
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
        """As `edit`, in the paper's way, which asks no prior.

        z turns by ``share`` of the way (there 0.25 to 0.5) to the normalised difference of the
        *captions'* embeddings. It has to stop early, for no image lies at the end of that way.
        """
        z, noise = self.invert(x)
        old, new = (self.embed_texts(tokenise(captions)) for captions in (before, after))
        difference = scale_to_sqrt_dim(F.normalize(new - old, dim=1))
        share = torch.as_tensor(share, device=z.device).expand(len(z))
        return self.render(slerp(z, difference.expand_as(z), share), noise, guidance=guidance)

    def rebuild(self, x: Tensor, components: int, guidance: float = 1.0) -> Tensor:
        """Images from the first principal ``components`` of their embeddings.

        Their own noise is kept.
        """
        z, noise = self.invert(x)
        z = self.pca.rebuild(self.pca.project(z)[:, :components])
        z = scale_to_sqrt_dim(F.normalize(z, dim=1))
        return self.render(z, noise, guidance=guidance)

    @property
    def evaluations_per_sample(self) -> int:
        """Those of the prior, then those of the decoder."""
        return self.prior.evaluations_per_sample + self.decoder.evaluations_per_sample


def scale_to_sqrt_dim(unit: Tensor) -> Tensor:
    """Unit vectors ``(..., dims)`` at length sqrt(dims).

    There their features have a mean square of one.
    """
    return math.sqrt(unit.shape[-1]) * unit
