"""Several families and seeds on the same data, side by side: `genzoo.compare`."""

import hashlib
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, TypeVar

from genzoo.benchmark import engines
from genzoo.benchmark import run as runs
from genzoo.benchmark.baselines import baseline_rows
from genzoo.benchmark.engines import Engine
from genzoo.benchmark.engines.local import Here
from genzoo.benchmark.jobs import Job, Observer, Outcome
from genzoo.benchmark.plan import Plan, plan
from genzoo.benchmark.recipes import check_budget
from genzoo.benchmark.report.gallery import GalleryContext, gallery
from genzoo.benchmark.report.page import Page
from genzoo.benchmark.row import Row
from genzoo.benchmark.scorecard import Scorecard, write
from genzoo.data import load as load_data
from genzoo.data.dataset import DataSet, Split
from genzoo.errors import InputError
from genzoo.evaluation.samples.judge import with_judge
from genzoo.families import names, registry
from genzoo.files import discard_drafts, held
from genzoo.model import GenerativeModel
from genzoo.training.processes import launched, rank

Family = str | type[GenerativeModel]
Item = TypeVar("Item")


def compare(
    families: Sequence[Family] = names.TAXONOMY,
    data: str | Path | DataSet = "digits",
    *,
    seeds: Sequence[int] = (0,),
    budget: str = "quick",
    minutes: float | None = None,
    recipe: str | Path | None = None,
    conditional: bool = False,
    out: str | Path | None = None,
    jobs: int = 0,
    engine: str | Engine = "local",
    address: str | None = None,
    precision: str | None = None,
    compile: bool | None = None,
    accelerator: str | None = None,
    devices: int | None = None,
    nodes: int | None = None,
    strategy: str | None = None,
    observer: Observer | None = None,
) -> Scorecard:
    """Train families on the same data, measure them alike, and set them side by side.

    The folder of the comparison holds one folder for each run, ``scorecard.json``,
    ``baselines.json``, ``report.html`` and the pictures of the report. Called again with the same
    folder, it reuses what is finished and resumes what was interrupted; the scorecard then holds
    all runs of the folder that belong to it.

    Args:
        families: names, hybrids such as "vae+flow", or classes of your own.
        data: the name of a data set, a path to your own, or a `DataSet`.
        seeds: a run of each family for each.
        budget: which recipe, "quick" or "full"; of some data also "cpu" or "gpu".
        minutes: of training for every run, in place of the recipe's steps.
        recipe: a YAML file in place of ours.
        conditional: give the models the data's labels or conditions.
        out: the folder; by default ``runs/DATA-BUDGET``.
        jobs: runs at a time, each on its share of the cores; 0: as many as there is room for.
        engine: where the runs take place: "local", "ray", or an engine with settings of its own,
            such as `genzoo.benchmark.engines.cluster.Ray`.
        address: of a cluster of Ray, host:port; None starts one on this machine.
        precision, compile: how every model is trained, in place of the recipe's: see `genzoo.fit`.
        accelerator, devices, nodes, strategy: hardware of each training; see `genzoo.fit`.
        observer: is called with the progress (`genzoo.benchmark.jobs.Observer`).

    Returns:
        the scorecard. A run that failed has no row in it, and a sentence among its ``failures``.

    Raises:
        InputError: an unknown family, data set or setting; ``out`` holds runs of other plans; or no
            cluster answers.

    Example:
        >>> card = genzoo.compare(["vae", "flow"], "digits", seeds=(0, 1))  # doctest: +SKIP
        >>> card.table()  # doctest: +SKIP
    """
    check_budget(budget)
    if jobs < 0:
        raise InputError(f"jobs must be 0 or more, got {jobs}.")
    if isinstance(engine, str):
        engine = engines.named(engine, jobs, address)
    name = data.name if isinstance(data, DataSet) else str(data)
    computing = {
        "precision": precision,
        "compile": compile,
        "accelerator": accelerator,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
    }
    question = Question(
        families=_unique(map(_source, families)),
        data=name,
        seeds=_unique(seeds),
        budget=budget,
        minutes=minutes,
        recipe=recipe,
        conditional=conditional,
        computing={each: value for each, value in computing.items() if value is not None},
        folder=Path(out or f"runs/{Path(name).resolve().stem}-{budget}"),
    )
    if isinstance(data, DataSet):
        return _answer(question, data, engine, observer or Observer(), is_object=True)
    return _answer(question, load_data(data), engine, observer or Observer())


def _answer(
    question: "Question", data: DataSet, engine: Engine, observer: Observer, is_object: bool = False
) -> Scorecard:
    """Carry out the runs that a question needs, and put them on one scorecard.

    Args:
        question: families, seeds and settings.
        data: of all runs.
        engine: carries out the runs.
        observer: is called with the progress.
        is_object: True of data that other processes cannot load by a name or a path.
    """
    if question.conditional:
        runs.require_conditions(data, question.data)
    plans = question.plans(data.dims, _fingerprint(data) if is_object else "")
    if rank():  # of several processes the first alone measures and writes
        for each in plans:
            runs.accompany(each, question.folder / each.name, data)
        return Scorecard(())
    sent = data if is_object else None
    with held(question.folder):
        discard_drafts(question.folder)
        outcomes = _carry_out(plans, question.folder, sent, engine, observer)
        return _set_side_by_side(question, plans, outcomes, data, observer)


@dataclass(frozen=True)
class Question:
    """The question that a comparison answers.

    Args:
        families: names, or import paths of classes outside the registry.
        data: a name or a path; of a `DataSet` that was given as an object, its name.
        seeds, budget, minutes, recipe, conditional: see `compare`.
        computing: settings of training in place of the recipe's.
        folder: of the comparison.
    """

    families: tuple[str, ...]
    data: str
    seeds: tuple[int, ...]
    budget: str
    minutes: float | None
    recipe: str | Path | None
    conditional: bool
    computing: dict[str, Any]
    folder: Path

    def plans(self, dims: int, fingerprint: str) -> list[Plan]:
        """A plan for each family and seed.

        Args:
            dims: numbers of an event, see `genzoo.benchmark.plan.plan`.
            fingerprint: of a data set that was given as an object.
        """
        return [
            plan(
                family,
                self.data,
                seed,
                self.budget,
                self.conditional,
                self.recipe,
                train=self.computing,
                minutes=self.minutes,
                fingerprint=fingerprint,
                dims=dims,
            )
            for family in self.families
            for seed in self.seeds
        ]

    @property
    def command(self) -> str:
        """The command line that makes the same comparison."""
        parts = ["genzoo", "compare", "--data", self.data, "--families", *self.families]
        parts += ["--seeds", *map(str, self.seeds), "--budget", self.budget]
        if self.minutes is not None:
            parts += ["--minutes", f"{self.minutes:g}"]
        if self.recipe is not None:
            parts += ["--recipe", str(self.recipe)]
        if self.conditional:
            parts.append("--conditional")
        for setting, value in self.computing.items():
            parts += [f"--{setting}", str(value).lower()]
        return shlex.join([*parts, "--out", str(self.folder)])


def _unique(items: Iterable[Item]) -> tuple[Item, ...]:
    """Each of ``items`` once, in their order."""
    return tuple(dict.fromkeys(items))


def _source(family: Family) -> str:
    """The name of a family, or the import path of a class outside the registry."""
    if isinstance(family, str):
        return family
    if registry.is_registered(family):
        return family.__name__.lower()
    return registry.admit(family)


def _fingerprint(data: DataSet) -> str:
    """A hash of the events, so that other data of the same name are not taken for these."""
    digest = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        digest.update(_bytes(split))
    return digest.hexdigest()[:12]


def _bytes(split: Split) -> bytes:
    conditions = b"" if split.c is None else split.c.cpu().numpy().tobytes()
    return split.x.cpu().numpy().tobytes() + conditions


# ------------------------------------------------------------------------------------------- runs


def _carry_out(
    plans: Sequence[Plan], folder: Path, data: DataSet | None, engine: Engine, observer: Observer
) -> list[Outcome]:
    """Run every plan, in processes of their own if families and data can be sent to them."""
    finished = sum(runs.load_finished(each, folder / each.name) is not None for each in plans)
    observer.planned(plans, finished)
    jobs = [Job(each, folder / each.name, data) for each in plans]
    hidden = [each.family for each in plans if each.source and not _importable(each)]
    if hidden:
        observer.remark(
            f"{', '.join(dict.fromkeys(hidden))} is defined where other processes cannot import it "
            "(in a notebook, a script or a function): the runs take place one after another."
        )
        return Here().carry_out(jobs, observer)
    if data is not None and not _can_be_sent(data):
        observer.remark(
            f"{data.name} has a density that cannot be sent to other processes: the runs take "
            "place one after another."
        )
        return Here().carry_out(jobs, observer)
    if launched():  # its other processes train along, one run after another
        return Here().carry_out(jobs, observer)
    return engine.carry_out(jobs, observer)


def _importable(each: Plan) -> bool:
    return registry.importable(each.parts.family)


def _can_be_sent(data: DataSet) -> bool:
    """True if everything of ``data`` beside its events can be sent to another process."""
    nothing = Split(data.train.x[:0])
    try:
        ForkingPickler.dumps(replace(data, train=nothing, validation=nothing, test=nothing))
    except Exception:  # pickle fails in several ways, and each means the same
        return False
    return True


def _siblings(plans: Sequence[Plan], folder: Path, data: DataSet, observer: Observer) -> list[Plan]:
    """Earlier runs that belong on the same scorecard, measured as fully as the new ones."""
    siblings = runs.sibling_runs(folder, plans)
    if siblings:
        listed = ", ".join(each.name for each in siblings)
        observer.remark(f"The scorecard also holds what {folder} has from before: {listed}.")
    for each in siblings:

        def progress(done: int, total: int, text: str, name: str = each.name) -> None:
            observer.stage(name, done, total, text)

        runs.measure_missing(each, folder / each.name, data, progress=progress)
    return siblings


def _set_side_by_side(
    question: Question,
    plans: Sequence[Plan],
    outcomes: Sequence[Outcome],
    data: DataSet,
    observer: Observer,
) -> Scorecard:
    """The scorecard of the finished runs, these and earlier ones in the folder."""
    ended = list(zip(plans, outcomes, strict=True))
    failures = {each.name: outcome.failure for each, outcome in ended if outcome.failure}
    finished = [each for each, outcome in ended if outcome.row is not None]
    siblings = _siblings(plans, question.folder, data, observer)
    done = sorted([*finished, *siblings], key=order)
    return assemble(done, question.folder, data, failures, question.command, observer)


def order(each: Plan) -> tuple[int, int]:
    """Families in the order of the registry, then other classes, then hybrids, each by its seed."""
    known = [*names.names(), each.family.lower()]
    family, _, prior = each.family.lower().partition("+")
    place = known.index(family)
    if prior:
        place = len(known) + known.index(prior)
    return place, each.seed


# -------------------------------------------------------------------------------- the scorecard


def assemble(
    plans: Sequence[Plan],
    folder: Path,
    data: DataSet,
    failures: dict[str, str],
    command: str,
    observer: Observer,
    without: Collection[str] = (),
) -> Scorecard:
    """Time the models of finished runs, fit the baselines, draw the pictures, write the files.

    Args:
        plans: of the finished runs, which lie in ``folder``.
        folder: of the comparison.
        data: that they were trained on.
        failures: what went wrong, by run.
        command: that makes this comparison, for the report.
        observer: is called with the progress.
        without: file names of pictures to leave out.
    """
    if not plans:
        return Scorecard((), failures=failures)
    rows, models = _timed(plans, folder, observer)

    def progress(done: int, total: int, text: str) -> None:
        observer.stage("Tables, pictures", done, total, text)

    progress(0, 1, "Baselines")
    baselines = baseline_rows(with_judge(data, folder), plans[0].budget)
    folders: dict[str, Path] = {}
    logs: dict[str, list[Path]] = {}
    for each in plans:
        folders.setdefault(each.family, folder / each.name)
        logs.setdefault(each.family, []).append(folder / each.name / "log.csv")
    context = GalleryContext(folders, rows, logs, data, plans[0].budget, models)
    page = Page(
        title=f"Generative models of {data.name}, side by side",
        about=f"{data.about.capitalize()}. Source: {data.source}." if data.about else "",
        command=command,
        pictures=gallery(folder, context, progress, without),
        logs={each.name: folder / each.name / "log.csv" for each in plans},
    )
    card = Scorecard(tuple(rows), tuple(baselines), failures, page)
    write(rows, folder / "scorecard.json")
    write(baselines, folder / "baselines.json")
    card.report(folder / "report.html")
    return card


def _timed(
    plans: Sequence[Plan], folder: Path, observer: Observer
) -> tuple[list[Row], dict[str, GenerativeModel]]:
    """The rows with samples per second, and the model of the first seed of each family."""
    rows = []
    models: dict[str, GenerativeModel] = {}
    for i, each in enumerate(plans):
        observer.stage("Timing samples", i, len(plans), each.name)
        model = runs.load_model(each, folder / each.name)
        models.setdefault(each.family, model)
        rows.append(runs.time_samples(folder / each.name, model))
    observer.stage("Timing samples", len(plans), len(plans), "")
    return rows, models
