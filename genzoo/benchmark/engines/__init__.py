"""Engines, which carry out the runs of a comparison: on this machine, or on a cluster.

An engine runs jobs in parallel. A run whose process is killed takes no other with it, and
whatever an engine does, a run's folder holds the same in the end.
"""

from collections.abc import Sequence
from typing import Protocol

from genzoo.benchmark.jobs import Job, Observer, Outcome
from genzoo.errors import InputError, nearest

ENGINES = ("local", "ray")


class Engine(Protocol):
    """Carries out jobs."""

    def carry_out(self, jobs: Sequence[Job], observer: Observer) -> list[Outcome]:
        """An outcome for each job, in their order; ``observer`` is called with the progress."""
        ...


def named(
    name: str,
    jobs: int = 0,
    address: str | None = None,
    cpus: int = 1,
    gpus: float | None = None,
) -> Engine:
    """An engine by its name.

    Args:
        name: "local", processes of this machine, or "ray", tasks on a cluster of Ray.
        jobs: runs at a time, at most; 0: as many as there is room for.
        address: of a cluster, host:port; None starts one on this machine, for this comparison.
        cpus: cores of each run, on Ray.
        gpus: of each run, on Ray, such as 0.25; None: one where the cluster has some.

    Raises:
        InputError: there is no such engine, or it has no such setting.
    """
    if name == "local":
        given = {"address": address is not None, "cpus": cpus != 1, "gpus": gpus is not None}
        for setting, is_given in given.items():
            if is_given:
                raise InputError(f"Only the engine ray has {setting}: give --engine ray as well.")
        from genzoo.benchmark.engines.local import Local

        return Local(jobs)
    if name == "ray":
        from genzoo.benchmark.engines.cluster import Ray

        return Ray(address, jobs, cpus, gpus)
    raise InputError(f"There is no engine {name!r}. {nearest(name, ENGINES)}")
