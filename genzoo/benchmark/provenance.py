"""Under what a figure came about: versions, machine and commit, which every record holds beside it."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from genzoo import __version__

PACKAGES = ("torch", "lightning", "nflows", "numpy", "scikit-learn")


def circumstances() -> dict[str, Any]:
    """Under what a run takes place: versions, machine, threads and, in a checkout, the commit."""
    return {"versions": versions(), "machine": machine(), "commit": commit()}


def versions() -> dict[str, str]:
    found = {"genzoo": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    cpus = [
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    about = {
        "cpu": cpus[0] if cpus else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    return about | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def commit() -> str | None:
    """The commit of the checkout that genzoo is imported from, "-dirty" if changed; None if it is
    no checkout.
    """
    try:
        command = [
            "git",
            "-C",
            str(Path(__file__).parent),
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
        ]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
