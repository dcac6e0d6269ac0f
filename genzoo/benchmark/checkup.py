"""Checks of a machine, and of a folder that genzoo has written.

Each check gives findings. A problem comes with advice; nothing is changed. The environment, without
which this module could not be imported, is checked by `genzoo.benchmark.environment`.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from genzoo.benchmark.environment import Finding
from genzoo.benchmark.provenance import machine as this_machine
from genzoo.benchmark.row import Row
from genzoo.benchmark.run import load_run, stored_plan
from genzoo.benchmark.scorecard import read as read_scorecard
from genzoo.errors import InputError, refused
from genzoo.files import DRAFT, held
from genzoo.gate import arrays, limits, tensors
from genzoo.gate.text import of_run
from genzoo.serialization import CONFIG, load
from genzoo.training.fitting import best_accelerator

ROOM = 2**30  # bytes of a disk, fewer than which a comparison may fill
FILES = 256  # open at a time, which data loaders and workers may need
ARRAYS = ("x", "events", "log_prob")  # in the files of a run


def looked(what: str, look: Callable[[], str]) -> Finding:
    """A finding with the answer of ``look``, or with the sentence of its error."""
    try:
        return Finding(what, look())
    except InputError as error:
        return Finding(what, "cannot be used", str(error), wrong=True)
    except OSError as error:
        return Finding(what, "cannot be used", refused(error, what), wrong=True)


# ---------------------------------------------------------------------------------- the machine


def machine(folder: Path) -> list[Finding]:
    """Processor, memory, accelerator, room beside ``folder``, and what the system allows."""
    looks = (_processor, _memory, _accelerator, lambda: _disk(folder), _temporary, _files, _screen)
    return [look() for look in looks]


def _processor() -> Finding:
    machine = this_machine()
    advice = ""
    if (machine.threads or 1) > (machine.cores or 1):
        advice = f"more threads than cores slow each other down: OMP_NUM_THREADS={machine.cores}"
    return Finding("processor", str(machine), advice)


def _memory() -> Finding:
    advice = ""
    if limits.memory() < 4 * limits.GIB:
        advice = "train small models one at a time: --jobs 1, --batch_size"
    return Finding("memory", limits.amount(limits.memory(), "bytes"), advice)


def _accelerator() -> Finding:
    name = best_accelerator()
    if name == "cpu":
        return Finding("accelerator", "none: models are trained on the processor")
    try:
        torch.ones(1, device=name).sum().item()
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        advice = "install a torch that fits the driver, or hide the GPU: CUDA_VISIBLE_DEVICES="
        return Finding("accelerator", why, advice, wrong=True)
    return Finding("accelerator", name)


def _disk(folder: Path) -> Finding:
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    advice = ""
    if free < ROOM:
        advice = "make room: a run stops at a full disk"
    return Finding("disk", f"{limits.amount(free, 'bytes')} free", advice)


def _temporary() -> Finding:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
    except OSError as error:
        advice = "name a folder that can be written to: TMPDIR=…"
        return Finding("temporary files", refused(error), advice, wrong=True)
    return Finding("temporary files", tempfile.gettempdir())


def _files() -> Finding:
    try:
        import resource
    except ImportError:  # Windows
        return Finding("open files", "as many as Windows allows")
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    advice = ""
    if 0 <= most < FILES:
        advice = "allow more, for loaders and workers: ulimit -n 1024"
    return Finding("open files", f"at most {most:,}", advice)


def _screen() -> Finding:
    encoding = getattr(sys.stdout, "encoding", None)
    if encoding is None:
        return Finding("letters", "there is no screen")
    try:
        "≤±…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Finding("letters", encoding, "signs such as ≤ are shown as ?: PYTHONUTF8=1")
    return Finding("letters", encoding)


# ----------------------------------------------------------------------------------- a folder


def folder(path: Path) -> list[Finding]:
    """Findings about the contents of a folder that genzoo has written."""
    if not path.is_dir():
        missing = "name the folder of a run, of a comparison or of a saved model"
        return [Finding(str(path), "there is no such folder", missing, wrong=True)]
    return [_access(path), *_drafts(path), *_contents(path)]


def _contents(path: Path) -> list[Finding]:
    """Findings about a training of unCLIP, a run, a model or a comparison."""
    if (path / "stages.json").is_file() or (path / "clip").is_dir():
        return _stages(path)
    if (path / "config.yaml").is_file():
        return _run(path)
    if (path / CONFIG).is_file():
        return [_model(path, "model")]
    runs = sorted(config.parent for config in path.glob("*/config.yaml"))
    if not runs:
        missing = "expected config.yaml, config.json, or folders of runs"
        return [Finding(path.name, "no run, comparison or model", missing, wrong=True)]
    findings = []
    if (path / "scorecard.json").is_file():
        findings.append(_scorecard(path))
    for run in runs:
        findings += _run(run)
    return findings


def _access(path: Path) -> Finding:
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        advice = f"what lies there cannot be read or resumed by this user: chmod -R u+rwX {path}"
        return Finding(str(path), "not yours to read and write", advice, wrong=True)
    try:
        with held(path):
            return Finding(str(path), "can be read and written")
    except InputError as error:
        return Finding(str(path), "in use", str(error))


def _drafts(path: Path) -> list[Finding]:
    names = [draft.name for draft in path.glob(f"{DRAFT}*")]
    if not names:
        return []
    advice = "a writer was killed, or is at work: the same train or compare command removes them"
    return [Finding("drafts", ", ".join(names), advice)]


def _run(path: Path) -> list[Finding]:
    """Findings about a run: its plan, and its row, model and samples, or its progress."""
    plan = looked(f"{path.name}/config.yaml", lambda: _plan(path))
    if plan.wrong:
        return [plan]
    if not (path / "row.json").is_file():
        return [plan, _progress(path)]
    row = looked(f"{path.name}/row.json", lambda: _row(path))
    files = [path / name for name in ("samples.npz", "likelihoods.npz", "quality.npz")]
    stored = [_arrays(file) for file in files if file.is_file()]
    return [plan, row, _model(path, f"{path.name}/model"), *stored]


def _plan(path: Path) -> str:
    plan = stored_plan(path)
    assert plan is not None  # the file is there
    return f"{plan.family} on {plan.data}, seed {plan.seed}, {plan.budget} budget"


def _row(path: Path) -> str:
    row = Row.from_json(of_run(path / "row.json"), str(path / "row.json"))
    return f"{row.figure} {row.likelihood.unit}"


def _progress(path: Path) -> Finding:
    last = path / "last.ckpt"
    what = f"{path.name}/{last.name}"
    advice = "the run is not finished: the same train or compare command resumes it"
    if not last.is_file():
        return Finding(what, "not yet written", advice)
    try:
        step = tensors.checkpoint(last, mapped=True).get("global_step")
    except ValueError:
        advice = f"delete {last}: the run then starts afresh"
        return Finding(what, "corrupt", advice, wrong=True)
    return Finding(what, f"step {step}", advice)


def _model(path: Path, what: str) -> Finding:
    """A finding with the class of a model, which is built and filled.

    A model of a user's own family is not: that would import code.
    """
    has_model = (path / CONFIG).is_file() or (path / "model" / CONFIG).is_file()
    plan = of_run(path / "config.yaml") or {}

    def name() -> str:
        if has_model and plan.get("source"):
            model, _ = load_run(path)
        else:
            model = load(path)
        return type(model).__name__

    return looked(what, name)


def _arrays(file: Path) -> Finding:
    def number() -> str:
        first, *_ = arrays.read(file, ARRAYS).values()
        return f"{len(first):,} events"

    return looked(f"{file.parent.name}/{file.name}", number)


def _scorecard(path: Path) -> Finding:
    def number() -> str:
        rows = read_scorecard(path / "scorecard.json")
        return f"{len(rows)} rows"

    return looked("scorecard.json", number)


def _stages(path: Path) -> list[Finding]:
    """Findings about the finished stages of a training of unCLIP, and about the whole."""
    stages = sorted(config.parents[1] for config in path.glob(f"*/model/{CONFIG}"))
    findings = [_model(stage, stage.name) for stage in stages]
    if (path / "model" / CONFIG).is_file():
        return [*findings, _model(path, "the whole")]
    advice = "the training is not finished: the same train unclip command resumes it"
    return [*findings, Finding("the whole", "not yet written", advice)]
