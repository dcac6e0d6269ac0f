"""A trial of every stage of unCLIP in a few variants, side by side on one GPU: which stage limits, and what it costs.

    python experiments/unclip_trial.py OUT        about eight minutes on an H100 with 16 cores

A scratch experiment, to be deleted once the recipe is settled. Everything it learns is printed; ``OUT/prior.png`` shows 32
prompts, ``OUT/whole`` holds the whole in 16 bits.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from genzoo import store
from genzoo.data.captions import VOCABULARY, captioned, prompts, tokenise
from genzoo.unclip import UnCLIP
from genzoo.unclip.measures import accuracy, faithfulness, retrieval, zero_shot
from genzoo.unclip.prior import Components
from genzoo.unclip.training import Stages, _plans, embed, pairs, reword

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
VARIANTS = {  # name: (stage, changes of the model, changes of the training)
    "clip": ("clip", {}, {}),
    "clip-patch2": ("clip", {"patch": 2}, {}),
    "clip-64": ("clip", {"dims": 64}, {}),
    "clip-short": ("clip", {}, {"steps": 1000}),
    "prior": ("prior", {}, {}),
    "prior-large": ("prior", {"width": 384, "depth": 3}, {}),
    "prior-short": ("prior", {}, {"steps": 2500}),
    "autoregressive": ("autoregressive", {}, {}),
    "autoregressive-large": ("autoregressive", {"event_shape": [48], "width": 64, "depth": 3}, {}),
    "decoder": ("decoder", {}, {}),
    "decoder-64": ("decoder", {"width": 64}, {}),
    "decoder-v": ("decoder", {"spread": 1.0}, {}),
    "decoder-half": ("decoder", {"spread": 0.5}, {}),
    "decoder-patch4": ("decoder", {"patch": 4, "width": 128}, {}),
    "text_decoder": ("text_decoder", {}, {}),
}
CLIPS = [name for name, (stage, *_) in VARIANTS.items() if stage == "clip"]
OTHERS = [name for name in VARIANTS if name not in CLIPS]
ROOT = Path(__file__).resolve().parent.parent


def data(n=20_000, seed=0):
    seen = captioned(n, seed)
    return seen, reword(seen, 8, seed)


def train(out: Path, name: str) -> None:
    stage, model, train_ = VARIANTS[name]
    plans = _plans("full", None, {})
    plans[stage]["model"] |= model
    plans[stage]["train"] |= train_
    stages = Stages(out / name, 0, plans, None)
    seen, tokens = data()
    shape = seen.images.shape[1:]
    if stage == "clip":
        clip = stages.build("clip", event_shape=shape, condition=tokens.shape[-1], vocabulary=len(VOCABULARY))
        stages.train("clip", clip, pairs(seen.images, tokens))
        test = captioned(2000, 99)
        images, texts = (lambda x, f=f: f(x.to(DEVICE)).cpu() for f in (clip.embed_images, clip.embed_texts))
        clip.to(DEVICE)
        with torch.no_grad():
            print(name, retrieval(images, texts, test), zero_shot(images, texts, captioned(300, 98)), flush=True)
            print(name, "held out", zero_shot(images, texts, captioned(300, 97, held_out=True)), flush=True)
            z = embed(clip, clip.embed_images, seen.images[:5000])
        share = torch.linalg.svdvals(z - z.mean(0)).square()
        print(name, "variance by components", [round(v, 3) for v in (share.cumsum(0) / share.sum())[7::8].tolist()])
        print(name, "mean square of the mean", z.mean(0).square().mean().item(), "scale", clip.scale.item())
        return
    clip = store.load(out / "clip" / "clip")
    z = embed(clip, clip.embed_images, seen.images)
    texts = embed(clip, clip.embed_texts, tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
    if stage == "autoregressive":
        model = Components(z.shape[1:], stages.build(stage, condition=clip.dims))
        model.pca.fit(z)
        stages.train(stage, model.codes, pairs(model.encode(z), texts, model.codes.levels))
    else:
        shape = z.shape[1:] if stage == "prior" else shape
        model = stages.build(stage, event_shape=shape, condition=clip.dims)
        pair = {"prior": (z, texts), "decoder": (seen.images, z), "text_decoder": (seen.images, texts)}[stage]
        stages.train(stage, model, pairs(*pair))
    store.save(model, out / name / "model")


def evaluate(out: Path, name: str) -> None:
    stage = VARIANTS[name][0]
    clip, model = store.load(out / "clip" / "clip").to(DEVICE), store.load(out / name / "model").to(DEVICE)
    torch.manual_seed(0)
    if stage == "decoder":
        test = captioned(1000, 99)
        asked = [scene.meaning for scene in test.scenes]
        z = embed(clip, clip.embed_images, test.images).to(DEVICE)
        for guidance in (1.0, 1.5, 2.0, 3.0):
            for steps in (10, 20, 40) if guidance in (1.0, 2.0) else (20,):
                right = accuracy(asked, model.sample(1000, z, guidance, steps=steps).cpu())
                figures = f"{100 * right.attributes:.2f} whole {100 * right.whole:.1f} {right.each}"
                print(name, "from the true embedding: guidance", guidance, "steps", steps, figures, flush=True)
        return
    if stage == "text_decoder":

        def imagine(captions):
            t = embed(clip, clip.embed_texts, tokenise(captions)).to(DEVICE)
            return model.sample(len(t), t, 2.0).cpu()

        report(name, faithfulness(imagine, 1000))
        return
    decoder = store.load(out / "decoder" / "model").to(DEVICE)
    whole = UnCLIP(clip.to(DEVICE), model, decoder).eval().to(DEVICE)
    first = [(2.0, 1.0, 2), (2.0, 1.0, 1), (1.0, 1.0, 2), (2.0, 1.0, 8)]
    for guidance, prior_guidance, k in first + ([(2.0, 1.5, 2), (2.0, 2.5, 2)] if stage == "prior" else []):
        options = {"guidance": guidance, "prior_guidance": prior_guidance, "candidates": k}
        found = faithfulness(lambda captions, o=options: whole.imagine(captions, **o).cpu(), 1000)
        report(f"{name} {options}", found)
    if name == "prior":

        def imagine(captions):
            return decoder.sample(len(captions), whole.embed_texts(tokenise(captions)), 2.0).cpu()

        report("text embedding straight into the decoder", faithfulness(imagine, 1000))
        captions = prompts(32, seed=5)[0]
        from genzoo.evaluation.pictures import grid

        grid(out / "prior.png", whole.imagine(captions).cpu().numpy(), (-1.0, 1.0))
        print(captions)
        store.save(whole, out / "whole", half=True)


def report(name, found):
    print(name, {k: f"{100 * v.attributes:.1f} ({100 * v.whole:.1f} whole)" for k, v in found.items()}, flush=True)
    print(name, "two things:", {k: round(v, 3) for k, v in found["seen, two things"].each.items()}, flush=True)


def side_by_side(out: Path, verb: str, names: list[str]) -> None:
    running = []
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for name in names:
        log = (out / f"{verb}-{name}.log").open("w")
        command = [sys.executable, __file__, str(out), verb, name]
        running.append((name, log.name, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)))
    for name, log, process in running:
        print("==", verb, name, "->", process.wait(), flush=True)
        print("\n".join(Path(log).read_text().splitlines()[-30:]), flush=True)
        if (path := out / name / "stages.json").is_file() and verb == "train":
            print(json.dumps(json.loads(path.read_text())), flush=True)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 2:
        {"train": train, "evaluate": evaluate}[sys.argv[2]](out, sys.argv[3])
    else:
        start = time.time()
        side_by_side(out, "train", ["clip"])
        print("CLIP after", time.time() - start, flush=True)
        side_by_side(out, "train", OTHERS + CLIPS[1:])
        print("all trained after", time.time() - start, flush=True)
        side_by_side(out, "evaluate", OTHERS)
        print("all evaluated after", time.time() - start, flush=True)
