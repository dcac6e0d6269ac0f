"""A network that names what labelled images show: the judge of samples, where no other is known.

It is trained once on the training split, on nothing else, and kept beside the runs of the data.
The class that it names says whether a sample shows what it was told to; its features in front of
the last layer are the space in which samples are compared with data, named after it
("FD (animals-net)"). In principal components of pixels a stroke that is moved by its own width is
as far off as one that is missing.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from genzoo.data.dataset import DataSet, FeatureSpace, Split
from genzoo.errors import InputError
from genzoo.evaluation.figures import share
from genzoo.evaluation.samples.feature_spaces import inception
from genzoo.files import whole
from genzoo.gate import tensors
from genzoo.gate.text import of_run
from genzoo.model import drawing_from
from genzoo.optim import warmup_cosine

FEATURES = 64
BATCH = 128
PASSES = 12  # over the training events
MOST_STEPS = 1500  # a minute of one core, of 28 x 28 pixels
FEWEST_STEPS = 200
SHIFT = 2  # pixels, at most, by which a training image is moved
FOLDER = "judge"


class JudgeNet(nn.Module):
    """Features ``(n, 64)`` of images ``(n, channels, h, w)`` on [-1, 1], and log-odds of classes.

    Args:
        channels: of an image, which may be of any size.
        classes: how many it tells apart.
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.SiLU(),
            nn.AvgPool2d(2, ceil_mode=True),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.SiLU(),
            nn.AvgPool2d(2, ceil_mode=True),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(3),
        )
        self.features = nn.Linear(64 * 9, FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.convolutions(x).flatten(1))

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of the classes, ``(n, classes)``."""
        return self.head(F.silu(self(x)))


@dataclass(frozen=True)
class Judge:
    """A trained `JudgeNet`.

    Attributes:
        net: the network, frozen.
        name: what distances in its features are named after.
        accuracy: on the validation split, which it was not trained on; None where that is empty.
    """

    net: JudgeNet
    name: str
    accuracy: float | None

    def read(self, x: Tensor) -> Tensor:
        """The class of each image ``(n, channels, h, w)``, ``(n,)``."""
        with torch.no_grad():
            return torch.cat([self.net.logits(part).argmax(1) for part in x.split(1000)])

    def features(self, x: Tensor) -> Tensor:
        """``(n, 64)`` features of each image."""
        with torch.inference_mode():
            return torch.cat([self.net(part) for part in x.split(1000)])

    @property
    def space(self) -> FeatureSpace:
        """Its features as a space in which samples are compared."""
        about = f"{FEATURES} features of a network trained to name the classes"
        if self.accuracy is not None:
            about += f", {self.accuracy:.1%} of the validation split rightly"
        return FeatureSpace(self.name, about, self.features)


def with_judge(data: DataSet, folder: Path) -> DataSet:
    """``data`` with a judge to read its classes and to compare samples by, where it has none.

    Args:
        data: any data set. What is no image, has no classes, or brings a network of its own, stays
            as it is. Colour images are compared by Inception anyway, if it is installed.
        folder: of the data's runs. The judge is kept there, in "judge".
    """
    if not wants_judge(data):
        return data
    judge = judge_of(data, folder / FOLDER)
    return replace(data, read=judge.read, feature_space=_space(data, judge))


def wants_judge(data: DataSet) -> bool:
    """True for labelled images that bring no feature space or classifier of their own."""
    if data.read is not None or data.feature_space is not None or not data.classes:
        return False
    if len(data.event_shape) != 3 or data.train.c is None or not data.train.in_memory:
        return False
    return len(data.train.c.unique()) > 1


def _space(data: DataSet, judge: Judge) -> FeatureSpace:
    if data.event_shape[0] != 3:
        return judge.space
    try:
        return inception()
    except InputError:
        return judge.space


def judge_of(data: DataSet, folder: Path) -> Judge:
    """The judge that is kept in ``folder``; trained, if there is none yet of these events."""
    folder.mkdir(parents=True, exist_ok=True)
    made_of = fingerprint(data.train)
    about = of_run(folder / "judge.json") or {}
    if about.get("made_of") == made_of:
        net = JudgeNet(data.event_shape[0], len(data.classes))
        net.load_state_dict(tensors.weights(folder / "judge.safetensors"))
    else:
        net = trained(data.train, len(data.classes))
        about = {"made_of": made_of, "accuracy": accuracy(net, data.validation)}
        with whole(folder / "judge.safetensors") as draft:
            save_file(net.state_dict(), draft)
        with whole(folder / "judge.json") as draft:  # the last, which says that it is whole
            draft.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    frozen = net.eval().requires_grad_(False)
    return Judge(frozen, f"{Path(data.name).stem}-net", about["accuracy"])


def trained(events: Split, classes: int, seed: int = 0) -> JudgeNet:
    """A network trained to name the class, by cross-entropy with smoothed labels.

    Args:
        events: images with labels.
        classes: number of labels.
        seed: of the initial weights and of the batches.
    """
    assert events.c is not None  # see `wants_judge`
    steps = math.ceil(PASSES * len(events) / BATCH)
    steps = min(MOST_STEPS, max(FEWEST_STEPS, steps))
    with drawing_from(seed, events.x.device):
        net = JudgeNet(events.x.shape[1], classes)
        adam = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: warmup_cosine(step, steps))
        for _ in range(steps):
            rows = torch.randint(len(events), (min(BATCH, len(events)),))
            logits = net.logits(moved(events.x[rows]))
            loss = F.cross_entropy(logits, events.c[rows], label_smoothing=0.05)
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
    return net.eval()


def moved(x: Tensor) -> Tensor:
    """Images ``(n, c, h, w)``, all moved by the same few pixels; the edge is repeated."""
    across, down = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    height, width = x.shape[2:]
    top = SHIFT + down
    left = SHIFT + across
    wider = F.pad(x, [SHIFT] * 4, mode="replicate")
    return wider[:, :, top : top + height, left : left + width]


def accuracy(net: JudgeNet, events: Split) -> float | None:
    """The share of events whose class the network names."""
    if not len(events) or events.c is None:
        return None
    named = Judge(net.eval(), "", None).read(events.x)
    return share((named == events.c).numpy()).value


def fingerprint(events: Split) -> dict[str, Any]:
    """Sums by which training events are recognised."""
    assert events.c is not None
    weights = torch.arange(1, len(events) + 1, dtype=torch.float64)
    of_each = events.x.flatten(1).double().mean(1)
    return {
        "events": len(events),
        "pixels": round((of_each * weights).sum().item(), 6),
        "labels": round((events.c.double() * weights).sum().item(), 6),
    }
