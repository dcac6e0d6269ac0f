"""The command line: parse, call the library, print.

A verb says what it does before it imports anything heavy.
"""

import logging
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import TextIO

from genzoo.errors import (
    TOO_LARGE,
    TOO_LITTLE,
    InputError,
    TrainingError,
    nearest,
    refused,
    too_large,
)

# verb -> (module with a function of that name, one line about it)
VERBS = {
    "compare": (
        "genzoo.cli.compare",
        "train several families on the same data and set them side by side",
    ),
    "train": ("genzoo.cli.train", "train one family, with options typed from its constructor"),
    "sample": ("genzoo.cli.sample", "draw samples from a trained model"),
    "evaluate": ("genzoo.cli.evaluate", "measure the likelihood and the cost of a trained model"),
    "compress": (
        "genzoo.cli.compress",
        "write data to a file, with a trained model to say what is probable",
    ),
    "decompress": ("genzoo.cli.compress", "read that file back, bit for bit"),
    "imagine": (
        "genzoo.cli.imagine",
        "draw what a caption says, with an unCLIP that comes trained",
    ),
    "vary": (
        "genzoo.cli.imagine",
        "draw variations of a picture, the way to another, or a text diff",
    ),
    "exercise": (
        "genzoo.cli.exercise",
        "the exercises of the course: list, start, check, hint, status",
    ),
    "docs": ("genzoo.cli.docs", "open the book of the course in a browser"),
    "list": ("genzoo.cli.about", "the families and the data sets there are"),
    "info": ("genzoo.cli.about", "a family's equations, options and references"),
    "doctor": (
        "genzoo.cli.doctor",
        "look at this environment, this machine and a folder, and say what is wrong",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 done, 1 a run failed (or the doctor found something), 2 the input cannot be used, 128 and the
    number of a signal that ended it (130 Ctrl-C, 143 SIGTERM, 129 a closed terminal).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _print_what_the_locale_can()
    # it says at length that there is no HOME to keep its fonts in
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # the latter is a closed terminal, not on Windows
            _end_politely(getattr(signal, name, None))
    try:
        code = _run(arguments)
        if sys.stdout is not None:  # a full disk may show only now
            sys.stdout.flush()
        return code
    except InputError as error:
        return _complain(str(error), 2)
    except TrainingError as error:
        return _complain(str(error), 1)
    except BrokenPipeError:  # `genzoo list | head`
        _close(sys.stdout)
        return 0
    except OSError as error:
        if not _takes_more(sys.stdout):
            _close(sys.stdout)
            error.filename = "standard output"
        return _complain(refused(error), 2)
    except ImportError as error:
        if not too_large(error):
            raise
        return _complain(TOO_LITTLE, 2)
    except (MemoryError, RuntimeError, OverflowError) as error:
        if not too_large(error):
            raise
        return _complain(TOO_LARGE, 2)
    except KeyboardInterrupt as stop:
        sentence = "interrupted."
        if arguments[:1] in (["train"], ["compare"]):
            sentence += " Run the same command again to go on where it stopped."
        number = stop.args[0] if stop.args else signal.SIGINT
        return _complain(sentence, 128 + number)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        from genzoo.cli.help import overview

        overview({verb: line for verb, (_, line) in VERBS.items()})
        return 0
    if arguments[0] == "--version":
        from genzoo import __version__

        print(f"genzoo {__version__}")
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        raise InputError(f"There is no verb {verb!r}. {nearest(verb, VERBS)}")
    module, _ = VERBS[verb]
    function = "list_" if verb == "list" else verb
    try:
        return getattr(import_module(module), function)(rest)
    except SystemExit as stop:  # how argparse ends after --help
        return int(stop.code or 0)


def _print_what_the_locale_can() -> None:
    """Print a question mark for "≤" to an ASCII locale, or a pipe on Windows, and no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _takes_more(stream: TextIO | None) -> bool:
    """True if all that was printed has been, or can be, written to the stream's target."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        return False
    return True


def _close(stream: TextIO | None) -> None:
    """Close a stream that accepts no more output, or Python would complain of it at exit."""
    with suppress(OSError):
        if stream is not None:
            stream.close()


def _end_politely(number: signal.Signals | None) -> None:
    """Treat an end from outside like Ctrl-C, so that no worker is left behind.

    A signal that ``nohup`` has set to be ignored stays ignored.
    """
    if number is not None and signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, _interrupt)


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)


LONGEST = 1000  # characters of a sentence; the middle of a longer one is left out


def _complain(sentence: str, code: int) -> int:
    if len(sentence) > LONGEST:
        sentence = f"{sentence[: LONGEST // 2]} […] {sentence[-LONGEST // 2 :]}"
    if sys.stderr is not None:  # else print would take the other stream
        with suppress(OSError):  # the terminal was closed: there is nobody left to tell
            print(f"genzoo: {sentence}", file=sys.stderr)
        if not _takes_more(sys.stderr):
            _close(sys.stderr)
    return code
