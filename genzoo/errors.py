"""The one error that is the user's to put right.

The command line prints its sentence and no traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class InputError(ValueError):
    """Something the user gave cannot be used.

    Says what it was, what was expected, and the nearest valid choice.
    """


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint for a mistyped ``word``.

    "Did you mean 'digits'?", or else the whole list of ``choices``.
    """
    choices = list(choices)
    close = get_close_matches(word.lower(), choices, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(choices)}."


def refused(error: OSError, otherwise: str | Path = "") -> str:
    """The sentence for what the system would not do: which file, and why.

    ``otherwise`` where it names no file.
    """
    where = f" {error.filename or otherwise}".rstrip()
    if isinstance(error, FileExistsError | NotADirectoryError):
        return (
            f"cannot write{where}: a file stands where a folder is needed. Choose another folder, "
            "or move that file."
        )
    return f"cannot read or write{where}: {error.strerror or error}."


TOO_LARGE = (
    "not enough memory for this: ask for fewer or smaller things (--n, --batch_size, --width), or "
    "use a machine with more."
)


TOO_LITTLE = (
    "not enough memory to load the libraries that genzoo needs: give this process 4 GiB or more "
    "(ulimit -v, or what your queue was asked for)."
)


def too_large(error: BaseException) -> bool:
    """Whether an error says that memory is short, in whatever words: numpy's, torch's, CUDA's."""
    if isinstance(error, MemoryError):
        return True
    said = str(error).lower()
    if "operation not permitted" in said:  # a library on a drive from which nothing may be run
        return False
    return any(words in said for words in OF_MEMORY)


OF_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "storage size calculation overflowed",
    "numel: integer multiplication overflow",
    "failed to map segment from shared object",  # a library that is loaded
)


class TrainingError(RuntimeError):
    """Training cannot go on (it diverged, say). Says what happened and what to try."""
