"""A look at the environment that genzoo needs: Python, and packages that are there and load.

Nothing heavy is imported before it is looked at, for it is what may be broken.
"""

import importlib
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from genzoo.errors import TOO_LITTLE, too_large

LOADED = ("torch", "torchvision", "lightning", "torchmetrics", "nflows")  # compiled parts may clash


@dataclass(frozen=True)
class Finding:
    """The result of one look.

    Args:
        what: was looked at.
        found: there.
        advice: what to do; "" where all is well.
        wrong: whether something fails for it; advice alone is a note.
    """

    what: str
    found: str
    advice: str = ""
    wrong: bool = False


def environment() -> list[Finding]:
    """Python, and the packages that genzoo needs with their versions."""
    try:
        about, lines = metadata.metadata("genzoo"), metadata.requires("genzoo") or []
    except metadata.PackageNotFoundError:
        advice = "install it, so that its needs are known: pip install -e ."
        return [
            Finding("genzoo", f"not installed, but read from {Path(__file__).parents[1]}", advice)
        ]
    needed = [Requirement(line) for line in lines]
    here = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [_python(about["Requires-Python"]), *map(_package, here)]


def _python(wanted: str) -> Finding:
    version = platform.python_version()
    if version in SpecifierSet(wanted, prereleases=True):
        return Finding("Python", version)
    return Finding("Python", version, f"make an environment with Python {wanted}", wrong=True)


def _package(needed: Requirement) -> Finding:
    install = f"pip install '{needed.name}{needed.specifier}'"
    try:
        version = metadata.version(needed.name)
    except metadata.PackageNotFoundError:
        return Finding(needed.name, "missing", install, wrong=True)
    if needed.specifier.contains(version, prereleases=True):
        return Finding(needed.name, version)
    return Finding(needed.name, f"{version}, expected {needed.specifier}", install, wrong=True)


def unloadable() -> list[Finding]:
    """The packages that are installed and cannot be imported."""
    found = []
    for name in LOADED:
        try:
            importlib.import_module(name)
        except Exception as error:  # a library that is missing, or was compiled for another torch
            why = (str(error).splitlines() or [type(error).__name__])[0]
            advice = f"install it anew, with torch: pip install --force-reinstall torch {name}"
            if too_large(error):
                advice = TOO_LITTLE
            found.append(Finding(f"import {name}", why, advice, wrong=True))
            if name == "torch":  # which the others would try to import again
                break
    return found
