"""Provenance of a result: package versions, machine, git commit."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from genzoo import __version__

PACKAGES = ("torch", "lightning", "nflows", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Machine:
    """The machine of a run."""

    cpu: str = ""
    cores: int | None = None
    threads: int | None = None
    gpu: str = ""

    def __str__(self) -> str:
        about = {"cpu": self.cpu, "cores": self.cores, "threads": self.threads, "gpu": self.gpu}
        return ", ".join(f"{name} {value}" for name, value in about.items() if value)


@dataclass(frozen=True)
class Provenance:
    """Versions, machine and code behind a result.

    Args:
        versions: of genzoo, Python and the packages that figures depend on.
        machine: see `Machine`.
        commit: of the code that measured; None outside a checkout.
        started_by: commit of the code that started the training, if that was another one.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Machine = field(default_factory=Machine)
    commit: str | None = None
    started_by: str | None = None


def provenance(started_by: str | None = None) -> Provenance:
    """Package versions, machine and commit of this process.

    Args:
        started_by: the commit that a resumed training was started with.
    """
    return Provenance(versions(), machine(), commit(), started_by)


def versions() -> dict[str, str]:
    """Versions of genzoo, Python and the packages that figures depend on."""
    versions = {"genzoo": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def machine() -> Machine:
    """Processor, cores, threads that PyTorch uses here, and a GPU if there is one."""
    cpus = [
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    return Machine(
        cpu=cpus[0] if cpus else platform.processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    )


def commit() -> str | None:
    """The commit of the checkout that genzoo is imported from, "-dirty" if changed, or None."""
    checkout = str(Path(__file__).parent)
    command = ["git", "-C", checkout, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
