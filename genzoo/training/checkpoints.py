"""Checkpoints that are written beside their target, and take its place when they are whole.

Lightning writes to the system's temporary folder and moves the file from there. Where that folder
lies on another file system (temporary files in memory, runs on a network drive), moving is copying
*into* the last good checkpoint: a kill or a full disk at that moment costs all of the training.
"""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO, TorchCheckpointIO

from genzoo import files


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's handling of checkpoint files, with writes that never leave half a file."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,
    ) -> None:
        if storage_options is not None:
            raise TypeError("Checkpoints are files on this machine: they have no storage options.")
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # unlike torch, Python says which file a full disk has cut off
        torch.save(checkpoint, content)
        with files.whole(path) as draft:
            draft.write_bytes(content.getbuffer())


def with_whole_checkpoints(plugins: Any | None) -> list[Any]:
    """A Trainer's ``plugins``, with `WholeCheckpoints` unless they write checkpoints their way."""
    given = plugins if isinstance(plugins, list) else [plugins] if plugins is not None else []
    if any(isinstance(plugin, CheckpointIO) for plugin in given):
        return given
    return [*given, WholeCheckpoints()]
