"""Checks of the environment that genzoo needs: Python, and packages that are there and load.

Nothing heavy is imported before it is checked, because it may be what is broken.
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
    """The result of one check.

    Args:
        what: name of the thing that was checked.
        found: its state.
        advice: what to do; "" if all is well.
        wrong: True of a problem that makes something fail; advice alone is a note.
    """

    what: str
    found: str
    advice: str = ""
    wrong: bool = False


def environment() -> list[Finding]:
    """Python, and the packages that genzoo needs with their versions."""
    try:
        about = metadata.metadata("genzoo")
        lines = metadata.requires("genzoo") or []
    except metadata.PackageNotFoundError:
        state = f"not installed, but read from {Path(__file__).parents[1]}"
        advice = "install it, so that its needs are known: pip install -e ."
        return [Finding("genzoo", state, advice)]
    packages = []
    for needed in map(Requirement, lines):
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            packages.append(_package(needed))
    return [_python(about["Requires-Python"]), *packages]


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
    findings = []
    for name in LOADED:
        try:
            importlib.import_module(name)
        except Exception as error:  # a library that is missing, or was compiled for another torch
            why, *_ = str(error).splitlines() or [type(error).__name__]
            advice = f"install it anew, with torch: pip install --force-reinstall torch {name}"
            if too_large(error):
                advice = TOO_LITTLE
            findings.append(Finding(f"import {name}", why, advice, wrong=True))
            if name == "torch":  # which the others would try to import again
                break
    return findings
