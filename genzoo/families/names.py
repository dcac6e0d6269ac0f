"""The names of the families, without importing any of them, so that help is instant.

A family outside the package has a name here if its distribution says so, in its pyproject.toml::

    [project.entry-points."genzoo.families"]
    mine = "mypackage.mymodule:MyFamily"
"""

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "genzoo.families"

TAXONOMY = ("autoregressive", "flow", "vae", "energy", "diffusion", "gan")
OURS = (*TAXONOMY, "flowmatching")
HYBRIDS = ("vaegan",)


def names() -> list[str]:
    """Every family in lower case, those of other distributions last."""
    return [*OURS, *(plugin.attr.lower() for plugin in plugins())]


@lru_cache(maxsize=1)
def plugins() -> list[EntryPoint]:
    """The entry points of families outside the package, by name."""
    return sorted(entry_points(group=GROUP), key=lambda plugin: plugin.name)
