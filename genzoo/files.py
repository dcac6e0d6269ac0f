"""Files: written whole or not at all, in a folder that one process holds, and read within bounds.

Whatever a file from outside holds, reading it is cheap, and what is wrong is one `ValueError` of a
few words: nothing is nested, repeated or numbered beyond what a configuration of ours could be.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from genzoo.errors import InputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

DRAFT = ".writing-"  # how the names begin of folders in which files are being written


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    When it does not, the draft vanishes. It is on the disk before it takes the place of what was
    there: a power cut leaves the one or the other.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=DRAFT) as folder:
        draft = Path(folder) / path.name
        yield draft
        _to_disk(draft)
        os.replace(draft, path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Inside, no other process can hold ``folder``, which is made if need be.

    The system lets go of it when this process ends, however it does. Where a folder cannot be
    locked (on Windows, on some network drives) nothing is held.

    Raises:
        InputError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    assert fcntl is not None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"Another genzoo is at work in {folder}: wait until it is done, or choose another "
            "folder."
        ) from error
    except OSError:  # no locks on this kind of drive
        return


def discard_drafts(folder: Path) -> None:
    """Remove drafts whose writer was killed from a folder that nobody is writing to now."""
    for draft in folder.glob(f"{DRAFT}*"):
        remove(draft)


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def state(path: Path) -> str:
    """What is wrong with a file that cannot be read: "corrupt" or "empty"."""
    return "corrupt" if path.stat().st_size else "empty"


# ----------------------------------------------------------------------- YAML and JSON from outside

DEEPEST = 50  # a hybrid's configuration, the deepest of ours, has six levels
MOST = 1_000_000  # values, each counted as often as an alias repeats it


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which stops where nesting gets too deep."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(_too_deep())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def from_yaml(text: str) -> Any:
    """The plain values of a YAML document."""
    try:
        content = yaml.load(text, _Loader)  # a safe one
    except Exception as error:  # it fails in a dozen ways, and all mean the same to users
        raise ValueError(_why(error)) from error
    return _bounded(content)


def from_json(text: str) -> Any:
    """The plain values of a JSON document."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(_why(error)) from error
    return _bounded(content)


def of_run(path: Path) -> dict[str, Any] | None:
    """The mapping in a run's YAML or JSON file; None where there is no such file.

    Raises:
        InputError: the file is corrupt.
    """
    if not path.is_file():
        return None
    parse = from_json if path.suffix == ".json" else from_yaml
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except ValueError:  # not JSON or YAML, or not UTF-8
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is {state(path)}: delete that run, or choose another folder.")
    return content


def _bounded(content: Any) -> Any:
    """``content``, if it is no larger or deeper than allowed and its keys are text."""
    level, seen = [content], 0
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            below.extend(_inside(value))
            if seen + len(below) > MOST:
                raise ValueError(f"more than {MOST:,} values")
        if not below:
            return content
        level, seen = below, seen + len(below)
    raise ValueError(_too_deep())


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"expected text for a key, got {key!r}")
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value


def _too_deep() -> str:
    return f"nested deeper than {DEEPEST} levels"


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _too_deep()
    return " ".join(str(error).split())[:300] or type(error).__name__
