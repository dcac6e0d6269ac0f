"""Errors that the user can correct, and their sentences.

The command line prints the sentence and no traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class InputError(ValueError):
    """An argument, a file or data of the user's that cannot be used.

    Its sentence names it, what was expected, and the nearest valid choice.
    """


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint for a mistyped ``word``.

    "Did you mean 'digits'?", or else the whole list of ``choices``.
    """
    choices = list(choices)
    close = get_close_matches(word.lower(), choices, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of: {', '.join(choices)}."


def refused(error: OSError, otherwise: str | Path = "") -> str:
    """A sentence for an error of the operating system: which file, and why.

    ``otherwise`` is named if the error names no file.
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
    """True if an error says that memory is short, in the words of numpy, torch or CUDA."""
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
    """Training that cannot go on, for instance because it diverged.

    Its sentence says what happened and what to try.
    """
