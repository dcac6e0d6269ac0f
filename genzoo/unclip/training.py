"""Training of an unCLIP, stage by stage: each is an ordinary `genzoo.fit`, in a folder of its own.

    clip              images and captions; all that follows looks through its eyes
    prior             image embedding, given a text embedding: a diffusion model
    autoregressive    the same by principal components: the other prior, to compare
    decoder           image, given its embedding: most of the cost
    text_decoder      image, given a text embedding; on request, an unCLIP without a prior

A stage that is finished is not trained again, and one that was interrupted is resumed: the same
call goes on where it stopped. In the end ``folder/model`` holds the whole, ``folder/other`` the
whole with the autoregressive prior, and ``folder/stages.json`` the steps, seconds (with so many
threads) and last losses of each stage.
"""

import csv
import json
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
from genzoo.progress import Progress
from genzoo.training.fitting import Fitted, check_settings, fit
from genzoo.unclip.cascade import UnCLIP, scale_to_sqrt_dim
from genzoo.unclip.clip import CLIP
from genzoo.unclip.measures import alternatives
from genzoo.unclip.prior import QuantizedPCA

STAGES = {  # and the class that each trains
    "clip": "clip",
    "prior": "diffusion",
    "autoregressive": "autoregressive",
    "decoder": "diffusion",
    "text_decoder": "diffusion",
}

SLOW = {
    "shape": 4,
    "relation": 6,
}  # how much oftener twins differ in these: what CLIP finds hardest to tell apart


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
    """Train every stage in ``folder``, and return the whole.

    It continues where an earlier call stopped.

    Args:
        seed: of the pictures, the weights and everything else random.
        budget: "full" or "quick": which of the recipes ``unclip-*.yaml``.
        recipe: another recipe file, with an entry for each of `STAGES`.
        steps: steps of single stages, before the recipe's.
        pictures: how many to train on, of scenes in pairs; see `twin`.
        wordings: captions of each.
        text_decoder: train a decoder on text embeddings as well.
        progress: called with (steps done, steps in all, the stage and its loss) a few times a
            second.
        scenes: scenes to train on in place of those.

    Raises:
        InputError: ``folder`` holds a training with another plan, or the recipe is none.
        TrainingError: a stage diverged.
    """
    check_settings(seed=seed)
    stages = Stages(Path(folder), seed, _plans(budget, recipe, steps or {}), progress)
    stages.keep_plan({"seed": seed, "pictures": pictures, "wordings": wordings})
    scenes = scenes or twins(pictures, seed)
    images, tokens = (
        render(scenes, torch.Generator().manual_seed(seed)),
        reword(scenes, wordings, seed),
    )

    image, length = images.shape[1:], tokens.shape[-1]

    clip = stages.build("clip", event_shape=image, condition=length, vocabulary=len(VOCABULARY))
    stages.train("clip", clip, pairs(images, tokens, Twins))
    z = embed(clip, clip.embed_images, images)
    texts = embed(clip, clip.embed_texts, tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])

    prior = stages.build("prior", event_shape=z.shape[1:], condition=clip.dims)
    stages.train("prior", prior, pairs(z, texts, Worded))
    other = QuantizedPCA(z.shape[1:], stages.build("autoregressive", condition=clip.dims))
    other.pca.fit(z)
    stages.train(
        "autoregressive", other.codes, pairs(other.encode(z), texts, Worded, other.codes.levels)
    )

    decoder = stages.build("decoder", event_shape=image, condition=clip.dims)
    stages.train("decoder", decoder, pairs(images, z))
    if text_decoder:
        model = stages.build("text_decoder", event_shape=image, condition=clip.dims)
        stages.train("text_decoder", model, pairs(images, texts, Worded))
    return stages.assemble(clip, prior, other, decoder, z)


@dataclass(frozen=True)
class Stages:
    """Where the stages of one training live, and by what plan each is built and trained."""

    folder: Path
    seed: int
    plans: dict[str, recipes.Recipe]
    progress: Progress | None

    def keep_plan(self, about: Mapping[str, Any]) -> None:
        """Write the plan to ``config.yaml``.

        Raises `InputError` if the folder already holds another one.
        """
        path, plan = self.folder / "config.yaml", {**about, **self.plans}
        before = files.of_run(path)
        if before is not None and before != plan:
            changed = [name for name in plan if before.get(name) != plan[name]]
            raise InputError(
                f"{self.folder} holds a training of unCLIP with another "
                f"{' and '.join(changed) or 'plan'}: "
                "choose another folder, or delete that one."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        files.discard_drafts(self.folder)
        with files.whole(path) as draft:
            draft.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")

    def build(self, stage: str, **from_data: Any) -> Any:
        """The untrained model of a stage, its initial weights drawn from the seed."""
        L.seed_everything(self.seed, verbose=False)
        arguments = {name: list(v) if isinstance(v, tuple) else v for name, v in from_data.items()}
        config = {"family": STAGES[stage], "arguments": {**arguments, **self.plans[stage]["model"]}}
        return serialization.build(config, path=f"the recipe's {stage}").to(
            memory_format=torch.channels_last
        )

    def train(self, stage: str, model: Any, data: DataSet) -> None:
        """Fit ``model`` in place, or fill it with the weights of the stage if that is finished."""
        folder = self.folder / stage
        model.monitor = (
            None  # it keeps its last weights: none of these stages has much to learn by heart
        )
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
        model.eval()

    def assemble(
        self, clip: CLIP, prior: Diffusion, other: QuantizedPCA, decoder: Diffusion, z: Tensor
    ) -> UnCLIP:
        """The whole, saved with either prior; the one with the diffusion prior is returned."""
        for name, each in (("other", other), ("model", prior)):
            whole = UnCLIP(clip, each, decoder)
            whole.pca.fit(z)
            serialization.save(whole, self.folder / name, {"data": "scenes", "seed": self.seed})
        return serialization.load(self.folder, UnCLIP)

    def _named(self, stage: str) -> Progress | None:
        progress = self.progress
        return progress and (lambda done, total, text: progress(done, total, f"{stage}  {text}"))

    def _log(self, stage: str, fitted: Fitted) -> None:
        path = self.folder / "stages.json"
        rows = files.of_run(path) or {}
        rows[stage] = {
            "steps": fitted.steps,
            "seconds": round(fitted.seconds, 1),
            "threads": torch.get_num_threads(),
            "loss": last_loss(self.folder / stage / "log.csv"),
            "parameters": sum(p.numel() for p in fitted.model.parameters()),
        }
        with files.whole(path) as draft:
            draft.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _plans(
    budget: str, recipe: str | Path | None, steps: Mapping[str, int]
) -> dict[str, recipes.Recipe]:
    """The recipe of each stage, with the ``steps`` that were asked for."""
    for stage in steps:
        if stage not in STAGES:
            raise InputError(f"Training unCLIP has no stage {stage!r}. {nearest(stage, STAGES)}")
    plans = {stage: recipes.find("unclip", budget, stage, recipe) for stage in STAGES}
    for stage, count in steps.items():
        check_settings(steps=count)
        plans[stage]["train"]["steps"] = count
    return plans


# ----------------------------------------------------------------------------------------- the data


def twins(n: int, seed: int) -> list[Scene]:
    """About ``n`` random scenes in pairs, 2k and 2k + 1: one, and its `twin`."""
    rng = random.Random(seed)
    return [each for scene in draw((n + 1) // 2, rng) for each in (scene, twin(scene, rng))]


def twin(scene: Scene, rng: random.Random) -> Scene:
    """A scene that differs in one attribute, more often in one that CLIP is slow to see (`SLOW`).

    Side by side in a batch, twins are the hardest negatives of one another. Of scenes drawn at
    random hardly two differ in nothing but what stands where, so CLIP need not learn it, and no
    decoder can draw what the embedding does not hold. (The paper's own unCLIP binds attributes to
    things badly for that reason, section 7; the remedy is of Yuksekgonul et al. 2023.)
    """
    meaning = scene.meaning
    questions = alternatives(meaning)
    while True:
        _, options = rng.choices(questions, [SLOW.get(name, 1) for name, _ in questions])[0]
        other = rng.choice([option for option in options if option != meaning])
        if not is_held_out(other) and len({kind.colour for kind in other.things}) == len(
            other.things
        ):
            return arrange(other, rng)


def reword(scenes: Sequence[Scene], wordings: int, seed: int) -> Tensor:
    """Tokens ``(n, wordings, LENGTH)`` of that many captions of each scene.

    Every one leaves out what it likes.
    """
    rng = random.Random(seed)
    captions = [
        caption(leave_out(scene.meaning, rng), rng) for scene in scenes for _ in range(wordings)
    ]
    return tokenise(captions).unflatten(0, (-1, wordings))


def pairs(x: Tensor, c: Tensor, split: type[Split] = Split, levels: int = 0) -> DataSet:
    """Events, and what goes with each, as a data set for training.

    The loop wants one event to validate on.
    """
    one = Split(x[:1], c.flatten(0, -2)[:1])
    return DataSet("scenes", split(x, c), one, one, levels=levels, condition=c.shape[-1])


class Worded(Split):
    """Events of which several things may be said, ``c`` (n, k, ...).

    Each time that an event is asked for, one of its k conditions is drawn afresh.
    """

    def __getitem__(self, i: Any) -> tuple[Tensor, Tensor]:
        i = torch.as_tensor(i, device=self.x.device)
        assert self.c is not None
        return self.x[i], self.c[i, torch.randint(self.c.shape[1], i.shape, device=i.device)]


class Twins(Worded):
    """Events in pairs, 2k and 2k + 1, which always come into a batch together."""

    def gather(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        one = torch.as_tensor(indices[: (len(indices) + 1) // 2], device=self.x.device)
        return self[torch.cat([one, (one ^ 1).clamp(max=len(self) - 1)])]


@torch.no_grad()
def embed(clip: CLIP, encoder: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Embeddings ``(n, dims)`` of many images or captions, of length sqrt(dims).

    They are computed a few at a time, on the best device.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clip.to(device)
    found = torch.cat(
        [scale_to_sqrt_dim(encoder(part.to(device))).cpu() for part in rows.split(1000)]
    )
    clip.to("cpu")
    return found


def last_loss(log: Path) -> float | None:
    """The mean of the last tenth of the training losses in a ``log.csv``."""
    with log.open(newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file) if row.get("train_loss")]
    last = losses[-max(1, len(losses) // 10) :]
    return round(sum(last) / len(last), 4) if last else None
