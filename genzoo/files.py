"""Files: written whole or not at all, in a folder that one process holds.

For reading them, see `genzoo.gate`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

    Raises:
        OSError: the disk is full, say. It names ``path``, not the draft.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=DRAFT) as folder:
            draft = Path(folder) / path.name
            yield draft
            _to_disk(draft)
            os.replace(draft, path)
    except OSError as error:
        if error.filename is None or DRAFT in str(error.filename):
            error.filename = str(path)
        raise
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
    """Remove the drafts of killed processes from a folder that no process is writing to."""
    for draft in folder.glob(f"{DRAFT}*"):
        remove(draft)


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there; of a link, the link and not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
