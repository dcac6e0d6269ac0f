"""digits-net: a small frozen network that classifies handwritten digits, 8x8 or 28x28.

Its features distinguish digits, and so serve to compare samples with data.

Inception, by which FID is defined, was trained on colour photographs and enlarges an 8x8 digit
1,400-fold. This network was trained to classify MNIST's digits and the training split of
scikit-learn's by ``experiments/digits_net.py``; its features are the 64 numbers in front of the
last layer. A Fréchet distance over them is printed as "FD (digits-net)": it can be compared with
others over the same network, but not with a published FID.
"""

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from genzoo.data.dataset import FeatureSpace
from genzoo.errors import InputError

WEIGHTS = Path(__file__).parent / "weights" / "digits-net.safetensors"
SIDE = 28  # of MNIST's frame
BOX = 20  # of the square in its middle that a digit fills


class DigitsNet(nn.Module):
    """Features ``(n, num_features)`` of grey digits ``(n, 1, h, w)``.

    Values of the digits are on [-1, 1], ink positive.
    """

    def __init__(self, num_features: int = 64):
        super().__init__()
        self.num_features = num_features
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.SiLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(3),
        )
        self.features = nn.Linear(64 * 9, num_features)
        self.head = nn.Linear(num_features, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.convolutions(framed(x)).flatten(1))

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of the ten classes, ``(n, 10)``."""
        return self.head(F.silu(self(x)))


def framed(x: Tensor) -> Tensor:
    """Digits ``(n, 1, h, w)`` on [-1, 1] as ink in [0, 1] in MNIST's frame, ``(n, 1, 28, 28)``.

    An image of 28x28 stays as it is. Any other is taken to be filled by its digit, as
    scikit-learn's are, and is resized (bilinear) to the box that a digit fills in MNIST's frame.
    """
    ink = (x + 1) / 2
    if x.shape[2:] == (SIDE, SIDE):
        return ink
    box = F.interpolate(ink, (BOX, BOX), mode="bilinear", antialias=True)
    return F.pad(box, [(SIDE - BOX) // 2] * 4)


@cache
def digits_net() -> DigitsNet:
    """The trained network, frozen and in evaluation mode.

    Raises:
        InputError: the file of its weights is missing.
    """
    if not WEIGHTS.is_file():
        raise InputError(
            f"There is no file {WEIGHTS}: install genzoo again, or run experiments/digits_net.py."
        )
    net = DigitsNet()
    net.load_state_dict(load_file(WEIGHTS))
    return net.eval().requires_grad_(False)


def read(x: Tensor) -> Tensor:
    """The class of each digit ``(n, 1, h, w)`` by digits-net, ``(n,)``."""
    with torch.no_grad():
        return torch.cat([digits_net().logits(part).argmax(1) for part in x.split(1000)])


def features(x: Tensor) -> Tensor:
    """Features of each digit ``(n, 1, h, w)`` in front of the last layer: ``(n, 64)``."""
    with torch.inference_mode():
        return torch.cat([digits_net()(part) for part in x.split(1000)])


DIGITS_NET = FeatureSpace("digits-net", "64 features of a network trained to name digits", features)
