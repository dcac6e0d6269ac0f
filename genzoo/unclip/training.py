"""Training of an unCLIP, stage by stage: each is an ordinary `genzoo.fit`, in a folder of its own.

    clip              images and captions; all other stages use its embeddings
    prior             image embedding, given a text embedding: a diffusion model
    autoregressive    the same by principal components: the other prior, to compare
    decoder           image, given its embedding: most of the cost
    text_decoder      image, given a text embedding; on request, an unCLIP without a prior

A stage that is finished is not trained again, and one that was interrupted is resumed: the same
call continues where it stopped. In the end ``folder/model`` contains the whole, ``folder/other``
the whole with the autoregressive prior, and ``folder/stages.json`` the steps, seconds (with so many
threads) and last losses of each stage.
"""

import csv
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from torch import Tensor

from genzoo import files, serialization
from genzoo.benchmark import recipes
from genzoo.data.dataset import DataSet, Split
from genzoo.data.scenes.captions import VOCABULARY, caption, leave_out, tokenise
from genzoo.data.scenes.scene import Scene, arrange, draw, is_held_out, render
from genzoo.errors import InputError, nearest
from genzoo.families.diffusion import Diffusion
from genzoo.gate.text import of_run, to_json
from genzoo.progress import Progress
from genzoo.training.fitting import Fitted, check_settings, fit
from genzoo.unclip.cascade import UnCLIP, scale_to_sqrt_dim
from genzoo.unclip.clip import CLIP
from genzoo.unclip.measures import alternatives
from genzoo.unclip.prior import QuantizedPCA

STAGES = {  # with the class of the model of each
    "clip": "clip",
    "prior": "diffusion",
    "autoregressive": "autoregressive",
    "decoder": "diffusion",
    "text_decoder": "diffusion",
}

NEEDED = [stage for stage in STAGES if stage != "text_decoder"]

# how much more often twins differ in these attributes, which are the hardest for CLIP
SLOW = {
    "shape": 4,
    "relation": 6,
}


def train_unclip(
    folder: str | Path,
    *,
    seed: int = 0,
    budget: str = "full",
    recipe: str | Path | None = None,
    steps: Mapping[str, int] | None = None,
    pictures: int = 20_000,
    wordings: int = 8,
    text_decoder: bool = False,
    progress: Progress | None = None,
    scenes: Sequence[Scene] | None = None,
) -> UnCLIP:
    """Train every stage, or continue where an earlier call stopped, and return the whole.

    Args:
        folder: where the stages are stored.
        seed: of the pictures, the weights and everything else random.
        budget: "full" or "quick", that of the recipe ``unclip-*.yaml``.
        recipe: another recipe file, with an entry for each of `STAGES`.
        steps: steps of single stages, before the recipe's.
        pictures: number of training pictures, of scenes in pairs; see `twin`.
        wordings: number of captions of each.
        text_decoder: train a decoder on text embeddings as well.
        progress: called with (steps done, steps in all, the stage and its loss) a few times a
            second.
        scenes: scenes to train on, in place of random ones.

    Raises:
        InputError: ``folder`` contains a training with another plan, or another process is at work
            there, or the recipe is wrong.
        TrainingError: a stage diverged.
    """
    check_settings(seed=seed)
    stages = Stages(Path(folder), seed, _plans(budget, recipe, steps or {}), progress)
    with files.held(stages.folder):
        stages.keep_plan({"seed": seed, "pictures": pictures, "wordings": wordings})
        return _in_stages(stages, scenes or twins(pictures, seed), wordings, text_decoder)


def _in_stages(
    stages: "Stages", scenes: Sequence[Scene], wordings: int, text_decoder: bool
) -> UnCLIP:
    """Train on pictures of ``scenes`` and their captions, one stage after the other."""
    images = render(scenes, torch.Generator().manual_seed(stages.seed))
    tokens = reword(scenes, wordings, stages.seed)
    image = images.shape[1:]
    length = tokens.shape[-1]

    clip = stages.build("clip", event_shape=image, condition=length, vocabulary=len(VOCABULARY))
    stages.train("clip", clip, pairs(images, tokens, Twins))
    z = embed(clip, clip.embed_images, images)
    texts = embed(clip, clip.embed_texts, tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])

    prior = stages.build("prior", event_shape=z.shape[1:], condition=clip.dims)
    stages.train("prior", prior, pairs(z, texts, Worded))
    other = QuantizedPCA(z.shape[1:], stages.build("autoregressive", condition=clip.dims))
    other.pca.fit(z)
    codes = pairs(other.encode(z), texts, Worded, other.codes.levels)
    stages.train("autoregressive", other.codes, codes)

    decoder = stages.build("decoder", event_shape=image, condition=clip.dims)
    stages.train("decoder", decoder, pairs(images, z))
    if text_decoder:
        model = stages.build("text_decoder", event_shape=image, condition=clip.dims)
        stages.train("text_decoder", model, pairs(images, texts, Worded))
    return stages.assemble(clip, prior, other, decoder, z)


@dataclass(frozen=True)
class Stages:
    """The folder and the plan by which the stages of one training are built and trained."""

    folder: Path
    seed: int
    plans: dict[str, recipes.Recipe]
    progress: Progress | None

    def keep_plan(self, about: Mapping[str, Any]) -> None:
        """Write the plan to ``config.yaml``.

        Raises `InputError` if the folder already holds another one.
        """
        path = self.folder / "config.yaml"
        plan = {**about, **self.plans}
        before = of_run(path)
        if before is not None and before != plan:
            changed = [name for name in plan if before.get(name) != plan[name]]
            raise InputError(
                f"{self.folder} holds a training of unCLIP with another "
                f"{' and '.join(changed) or 'plan'}: "
                "choose another folder, or delete that one."
            )
        files.discard_drafts(self.folder)
        with files.whole(path) as draft:
            draft.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")

    def build(self, stage: str, **from_data: Any) -> Any:
        """The untrained model of a stage, its initial weights sampled with the seed."""
        L.seed_everything(self.seed, verbose=False)
        arguments = {}
        for name, value in from_data.items():
            arguments[name] = list(value) if isinstance(value, tuple) else value
        arguments |= self.plans[stage]["model"]
        config = {"family": STAGES[stage], "arguments": arguments}
        model = serialization.build(config, path=f"the recipe's {stage}")
        return model.to(memory_format=torch.channels_last)

    def train(self, stage: str, model: Any, data: DataSet) -> None:
        """Fit a model in place, or load the weights of the stage into it if that is finished.

        Args:
            stage: a name of `STAGES`.
            model: of `build`.
            data: what it is trained on.
        """
        folder = self.folder / stage
        model.monitor = None  # the last weights are kept: none of these stages overfits much
        if not (folder / "model" / serialization.CONFIG).is_file():
            fitted = fit(
                model,
                data,
                folder,
                seed=self.seed,
                progress=self._named(stage),
                **self.plans[stage]["train"],
            )
            self._log(stage, fitted)
            serialization.save(
                model,
                folder / "model",
                {"data": "scenes", "seed": self.seed, "steps": fitted.steps},
            )
            files.remove(folder / "last.ckpt")
        model.load_state_dict(serialization.load(folder).state_dict())
        # as trained or loaded: the same to the last bit
        model.to(memory_format=torch.channels_last)
        model.eval()

    def assemble(
        self, clip: CLIP, prior: Diffusion, other: QuantizedPCA, decoder: Diffusion, z: Tensor
    ) -> UnCLIP:
        """Save the whole with either prior.

        Args:
            clip: the trained CLIP.
            prior: the diffusion prior.
            other: the autoregressive prior.
            decoder: the trained decoder.
            z: embeddings of the training images, ``(n, dims)``.

        Returns:
            the whole with the diffusion prior.
        """
        priors = {"other": other, "model": prior}
        for name, part in priors.items():
            whole = UnCLIP(clip, part, decoder)
            whole.pca.fit(z)
            serialization.save(whole, self.folder / name, {"data": "scenes", "seed": self.seed})
        return serialization.load(self.folder, UnCLIP)

    def _named(self, stage: str) -> Progress | None:
        """The progress callback, with the stage in front of its text."""
        progress = self.progress
        if progress is None:
            return None
        return lambda done, total, text: progress(done, total, f"{stage}  {text}")

    def _log(self, stage: str, fitted: Fitted) -> None:
        path = self.folder / "stages.json"
        rows = of_run(path) or {}
        rows[stage] = {
            "steps": fitted.steps,
            "seconds": round(fitted.seconds, 1),
            "threads": torch.get_num_threads(),
            "loss": last_loss(self.folder / stage / "log.csv"),
            "parameters": sum(p.numel() for p in fitted.model.parameters()),
        }
        with files.whole(path) as draft:
            draft.write_text(to_json(rows), encoding="utf-8")


def _plans(
    budget: str, recipe: str | Path | None, steps: Mapping[str, int]
) -> dict[str, recipes.Recipe]:
    """The recipe of each stage, with the given ``steps`` in place of its own."""
    for stage in steps:
        if stage not in STAGES:
            raise InputError(f"Training unCLIP has no stage {stage!r}. {nearest(stage, STAGES)}")
    if recipe is not None:
        missing = [stage for stage in NEEDED if stage not in recipes.read(recipe)]
        if missing:
            raise InputError(
                f"The recipe {recipe} has no entry for {', '.join(missing)}: expected one for each "
                "stage of unCLIP."
            )
    plans = {stage: recipes.find("unclip", budget, stage, recipe) for stage in STAGES}
    for stage, count in steps.items():
        check_settings(steps=count)
        plans[stage]["train"]["steps"] = count
    return plans


# ----------------------------------------------------------------------------------------- the data


def twins(n: int, seed: int) -> list[Scene]:
    """About ``n`` random scenes in pairs, 2k and 2k + 1: one, and its `twin`."""
    rng = random.Random(seed)
    scenes = []
    for scene in draw((n + 1) // 2, rng):
        scenes += [scene, twin(scene, rng)]
    return scenes


def twin(scene: Scene, rng: random.Random) -> Scene:
    """A scene that differs in one attribute, more often in one that CLIP is slow to learn (`SLOW`).

    In the same batch, twins are the hardest negatives of one another. Among random scenes hardly
    two differ only in their arrangement, so CLIP need not learn it, and no decoder can show what
    the embedding does not contain. (The paper's own unCLIP binds attributes to things badly for
    that reason, section 7; the remedy is that of Yuksekgonul et al. 2023.)
    """
    meaning = scene.meaning
    questions = alternatives(meaning)
    weights = [SLOW.get(name, 1) for name, _ in questions]
    while True:
        _, options = rng.choices(questions, weights)[0]
        other = rng.choice([option for option in options if option != meaning])
        colours = {kind.colour for kind in other.things}
        if len(colours) == len(other.things) and not is_held_out(other):
            return arrange(other, rng)


def reword(scenes: Sequence[Scene], wordings: int, seed: int) -> Tensor:
    """Several captions of each scene, with random attributes left out.

    Args:
        scenes: n of them.
        wordings: number of captions of each.
        seed: of the attributes and the words.

    Returns:
        tokens, ``(n, wordings, LENGTH)``.
    """
    rng = random.Random(seed)
    captions = []
    for scene in scenes:
        for _ in range(wordings):
            meaning = leave_out(scene.meaning, rng)
            captions.append(caption(meaning, rng))
    return tokenise(captions).unflatten(0, (-1, wordings))


def pairs(x: Tensor, c: Tensor, split: type[Split] = Split, levels: int = 0) -> DataSet:
    """Events with their conditions as a data set for training, with one event to validate on.

    Args:
        x: events, ``(n, *event_shape)``.
        c: conditions, ``(n, condition)``, or several for each, ``(n, k, condition)``.
        split: class of the training split.
        levels: of the events' grid; 0 for real-valued ones.
    """
    one = Split(x[:1], c.flatten(0, -2)[:1])
    return DataSet("scenes", split(x, c), one, one, levels=levels, condition=c.shape[-1])


class Worded(Split):
    """Events with k conditions each, ``c`` (n, k, ...); every access takes one at random."""

    def __getitem__(self, i: Any) -> tuple[Tensor, Tensor]:
        i = torch.as_tensor(i, device=self.x.device)
        assert self.c is not None
        chosen = torch.randint(self.c.shape[1], i.shape, device=i.device)
        return self.x[i], self.c[i, chosen]


class Twins(Worded):
    """Events in pairs, 2k and 2k + 1, which always come into a batch together."""

    def gather(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A batch of the first half of ``indices``, and of the twin of each."""
        half = indices[: (len(indices) + 1) // 2]
        one = torch.as_tensor(half, device=self.x.device)
        other = (one ^ 1).clamp(max=len(self) - 1)
        return self[torch.cat([one, other])]


@torch.no_grad()
def embed(clip: CLIP, encoder: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Embeddings of many images or captions, in batches and on the best device.

    Args:
        clip: the model.
        encoder: one of its methods, of images or of tokens.
        rows: images or tokens, ``(n, ...)``.

    Returns:
        vectors ``(n, dims)`` of length sqrt(dims).
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clip.to(device)
    embeddings = []
    for batch in rows.split(1000):
        vectors = encoder(batch.to(device))
        embeddings.append(scale_to_sqrt_dim(vectors).cpu())
    clip.to("cpu")
    return torch.cat(embeddings)


def last_loss(log: Path) -> float | None:
    """The mean of the last tenth of the training losses in a ``log.csv``."""
    with log.open(newline="") as file:
        column = [row.get("train_loss") for row in csv.DictReader(file)]
    losses = [float(loss) for loss in column if loss]
    if not losses:
        return None
    tenth = max(1, len(losses) // 10)
    last = losses[-tenth:]
    return round(sum(last) / len(last), 4)
