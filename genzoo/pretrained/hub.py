"""Models on the Hub of Hugging Face, by its own client: `download` one, `push_to_hub` another.

A repository there is a model's folder, as `genzoo.save` writes it, with the record of its run
beside it: ``row.json``, its figures, and ``config.yaml``, how it was trained. Nothing in it is
executed when it is loaded.

The client, huggingface_hub, is an extra of its own: ``pip install genzoo[hub]``. It keeps what it
has fetched, and knows who you are by ``hf auth login``.
"""

import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from genzoo import serialization
from genzoo.benchmark.facts import facts_of_run
from genzoo.errors import InputError
from genzoo.model import Trainable
from genzoo.pretrained import hint, located
from genzoo.serialization import CARD, CONFIG, WEIGHTS

RECORD = ("row.json", "config.yaml")  # of a run, which are small and say how it went
FILES = (CONFIG, WEIGHTS, CARD, *RECORD)


def download(name: str) -> Path:
    """The folder of the model ``name``, "owner/name", fetched unless it was before.

    Raises:
        InputError: huggingface_hub is not installed, or the Hub does not give the model.
    """
    missing = f"There is no folder {name}, and to look for it on the Hub needs huggingface_hub"
    client = _client(f"{missing}: pip install genzoo[hub].{hint(name)}")
    try:
        return Path(client.snapshot_download(name, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:  # its own errors are of these two kinds
        raise InputError(
            f"There is no folder {name}, and the Hub does not give a model of that name "
            f"({_first_line(error)}).{hint(name)}"
        ) from error


def push_to_hub(
    model: Trainable | str | Path, name: str, *, private: bool = False, half: bool = False
) -> str:
    """Put a model on the Hub, from where ``genzoo.load(name)`` gives it to anybody.

    Args:
        model: a model; or the folder of a model or of a run, whose record goes with it and is in
            the model card; or the name of one that comes with genzoo.
        name: "owner/name" of the repository, made if need be.
        private: whether only you will see a repository that is made.
        half: round the parameters to 16 bits. Figures of a record are of those before.

    Returns:
        where it is.

    Raises:
        InputError: huggingface_hub is not installed, there is no such model, or the Hub refuses.
    """
    client = _client("To put a model on the Hub needs huggingface_hub: pip install genzoo[hub].")
    with tempfile.TemporaryDirectory() as folder:
        _gather(model, Path(folder), name, half)
        try:
            client.create_repo(name, private=private, exist_ok=True)
            said = client.upload_folder(
                repo_id=name, folder_path=folder, commit_message="Upload a genzoo model"
            )
        except (OSError, ValueError) as error:
            raise InputError(f"The Hub does not take {name}: {_first_line(error)}.") from error
    return str(said)


def _gather(model: Trainable | str | Path, folder: Path, name: str, half: bool) -> None:
    """The files of a repository, in an empty ``folder``."""
    if isinstance(model, Trainable):
        serialization.save(model, folder, half=half, name=name)
        return
    path = located(model)
    serialization.save(serialization.load(path), folder, facts_of_run(path), half, name)
    for file in RECORD:
        if (path / file).is_file():
            shutil.copyfile(path / file, folder / file)


def _client(otherwise: str) -> Any:
    """huggingface_hub; `InputError` with a sentence where it is not installed."""
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise InputError(otherwise) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
