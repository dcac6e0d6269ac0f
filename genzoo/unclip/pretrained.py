"""The trained unCLIP that comes with the package."""

from pathlib import Path

from genzoo import serialization
from genzoo.errors import InputError
from genzoo.unclip.cascade import UnCLIP

# made by `genzoo train unclip`; its figures are in experiments/records/unclip.json
FOLDER = Path(__file__).parent / "weights"


def pretrained(folder: str | Path | None = None) -> UnCLIP:
    """The trained unCLIP of the package, or the one in ``folder``, ready to use.

    Raises:
        InputError: there is none, or the folder contains another model.
    """
    if folder is None and not (FOLDER / serialization.CONFIG).is_file():
        raise InputError(
            "This copy of genzoo comes without the trained unCLIP: train one with "
            "`genzoo train unclip` (within an hour), and name its folder with --model."
        )
    model = serialization.load(folder or FOLDER)
    if not isinstance(model, UnCLIP):
        raise InputError(
            f"{folder} holds a {type(model).__name__}: "
            "expected an unCLIP, as `genzoo train unclip` trains it."
        )
    return model
