"""Models that come trained: in the package, or from the Hub.

    >>> model = genzoo.load("digits/vae")          # in the package  # doctest: +SKIP
    >>> model = genzoo.load("somebody/their-vae")  # on the Hub      # doctest: +SKIP

Such a name can be given in place of the folder of a model. A model of the package is the folder of
a finished run, ``genzoo/pretrained/models/DATA/FAMILY``, whose parameters were rounded to 16 bits
and whose figures were measured again after rounding (``experiments/ship.py``). These models are
conditional, and sample with and without a label.

Imports nothing heavy, so that a name is looked up at once.
"""

import re
from difflib import get_close_matches
from pathlib import Path

from genzoo.errors import InputError, nearest

MODELS = Path(__file__).parent / "models"

ON_THE_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w")
OF_RUNS = "runs"  # where runs lie by default: no name on the Hub begins so


def names(data: str | None = None) -> list[str]:
    """The trained models of the package, as "digits/vae"; of one data set, or of all."""
    folders = [row.parent for row in MODELS.glob(f"{data or '*'}/*/row.json")]
    return sorted(f"{folder.parent.name}/{folder.name}" for folder in folders)


def located(path: str | Path) -> Path:
    """The folder or file that is meant by a path, or by the name of a trained model.

    A name of the package wins over a path; write ``./digits/vae`` for a folder that is called so.
    A string that is neither, but has the form of a name on the Hub, is fetched from there.

    Raises:
        InputError: the name is that of no model in the package or on the Hub.
    """
    if not isinstance(path, str):
        return path
    if path in names():
        return MODELS / path
    data, _, family = path.partition("/")
    if Path(data).exists() or data == OF_RUNS or not ON_THE_HUB.fullmatch(path):
        return Path(path)
    if ours := names(data):
        families = [name.partition("/")[2] for name in ours]
        raise InputError(
            f"No model {family!r} of {data} comes with genzoo. {nearest(family, families)}"
        )
    from genzoo.pretrained import hub  # heavy, and wanted by few

    return hub.download(path)


def card(path: str | Path) -> str:
    """The model card of a model, by its name or its folder: Markdown, without its front matter.

    Raises:
        InputError: there is none.
    """
    folder = located(path)
    for file in (folder / "model" / "README.md", folder / "README.md"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).strip()
    raise InputError(
        f"There is no model card in {path}: expected a saved model, a run of genzoo train or "
        f"compare, or a model that comes trained.{hint(path)}"
    )


def hint(path: str | Path) -> str:
    """A question, "Did you mean 'digits/vae'?", where ``path`` is nearly the name of a model."""
    close = get_close_matches(str(path).lower(), names(), n=1, cutoff=0.7)
    return f" Did you mean {close[0]!r}?" if close else ""
