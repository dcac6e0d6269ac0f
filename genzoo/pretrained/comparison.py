"""The models of the package side by side, as `genzoo.compare` sets them, without training any."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from genzoo.benchmark.comparison import assemble, order
from genzoo.benchmark.jobs import Observer
from genzoo.benchmark.plan import Plan
from genzoo.benchmark.scorecard import Scorecard
from genzoo.data import load as load_data
from genzoo.errors import InputError, nearest
from genzoo.files import discard_drafts, held
from genzoo.gate.text import of_run
from genzoo.pretrained import MODELS, names

# a sweep over seven weights, of which a flow alone takes a minute
SLOW = ("guidance.png",)


def compare(
    data: str = "digits",
    families: Sequence[str] = (),
    out: str | Path | None = None,
    observer: Observer | None = None,
) -> Scorecard:
    """The scorecard, the pictures and the report of the trained models that come with genzoo.

    Their figures are those of their own records. Only the baselines are fitted, and pictures drawn.

    Args:
        data: that the models are of.
        families: some of them; by default all there are.
        out: the folder, laid out as that of `genzoo.compare`; by default ``runs/DATA-pretrained``.
        observer: is called with the progress.

    Raises:
        InputError: there are no models of this data or family.
    """
    chosen = _chosen(data, families)
    folder = Path(out or f"runs/{data}-pretrained")
    with held(folder):
        discard_drafts(folder)
        plans = [_taken_out(name, folder) for name in chosen]
        command = f"genzoo compare --pretrained --data {data}"
        return assemble(
            sorted(plans, key=order),
            folder,
            load_data(data),
            {},
            command,
            observer or Observer(),
            without=SLOW,
        )


def _chosen(data: str, families: Sequence[str]) -> list[str]:
    """Names of models, as "digits/vae"."""
    ours = names(data)
    if not ours:
        known = sorted({name.partition("/")[0] for name in names()})
        raise InputError(f"No trained models of {data!r} come with genzoo. {nearest(data, known)}")
    chosen = [f"{data}/{family.lower()}" for family in families] or ours
    for name in chosen:
        if name not in ours:
            raise InputError(f"No trained model {name!r} comes with genzoo. {nearest(name, ours)}")
    return list(dict.fromkeys(chosen))


def _taken_out(name: str, folder: Path) -> Plan:
    """The plan of a model, whose run now lies in ``folder``."""
    plan = Plan(**(of_run(MODELS / name / "config.yaml") or {}))
    shutil.copytree(MODELS / name, folder / plan.name, dirs_exist_ok=True)
    return plan
