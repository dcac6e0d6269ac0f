"""One run: a family, a data set and a seed become a folder.

It holds a trained model, its figures, and what led to them.

The folder of a run::

    config.yaml       the plan, every argument resolved
    run.json          versions, machine, commit, start
    log.csv           the loss as it went
    model/            see `genzoo.serialization`
    samples.npz       samples of the model
    likelihoods.npz   log p of each test event
    row.json          its row of the scorecard: it is finished
    quality.npz       more samples, by which they are judged
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from torch import Tensor

from genzoo import families
from genzoo.benchmark import codec
from genzoo.benchmark.affordable import affordable_likelihood
from genzoo.benchmark.facts import facts
from genzoo.benchmark.measures import MEASURES, Subject, take
from genzoo.benchmark.plan import Plan, changes, with_prior
from genzoo.benchmark.provenance import provenance
from genzoo.benchmark.row import Row, disagreement, held_out
from genzoo.data import DataSet
from genzoo.data import load as load_data
from genzoo.errors import InputError
from genzoo.evaluation.cost import parameters, samples_per_second
from genzoo.evaluation.likelihood.estimators import estimator
from genzoo.evaluation.likelihood.evaluate import Measured, evaluate
from genzoo.evaluation.likelihood.partition import keep_log_z
from genzoo.evaluation.likelihood.truth import of_each
from genzoo.evaluation.results import Cost
from genzoo.evaluation.samples.judge import with_judge
from genzoo.families import registry
from genzoo.families.vae import VAE
from genzoo.files import discard_drafts, held, remove, whole
from genzoo.gate.text import of_run, to_json
from genzoo.model import GenerativeModel, Likelihood, device_of
from genzoo.pretrained import located
from genzoo.progress import Progress
from genzoo.serialization import build, load, save
from genzoo.training.fitting import Fitted, best_accelerator, fit
from genzoo.training.two_stage import fit_in_stages

POINTS = 5000  # samples of a finished run to look at, if events are points in the plane
EVENTS = 40  # if they are anything else


def load_finished(plan: Plan, folder: Path) -> Row | None:
    """Row of the run in ``folder`` if it finished with exactly this plan, else None.

    Raises:
        InputError: the folder holds a run of another plan.
    """
    before = of_run(folder / "config.yaml")
    if before is None:
        return None
    row = of_run(folder / "row.json")
    if row is None:  # before it is evaluated, the settings of evaluation may still change
        before = before | {"evaluate": plan.evaluate}
    different = changes(before, plan)
    if different:
        if not plan.fingerprint:  # a plan that no model can have is the first thing to report
            new_model(plan, load_data(plan.data))
        raise InputError(
            f"{folder} holds a run with {different}: choose another folder with --out, or delete "
            "that run."
        )
    if row is None:
        return None
    return Row.from_json(row, str(folder / "row.json"))


def sibling_runs(out: Path, plans: Sequence[Plan]) -> list[Plan]:
    """Plans of finished runs in ``out`` beside ``plans``, that belong on the same scorecard.

    They do if they are of the same data, budget, conditions and minutes.
    """
    names = {plan.name for plan in plans}
    kinds = {_kind(plan) for plan in plans}
    siblings = []
    for folder in sorted(path.parent for path in out.glob("*/row.json")):
        with suppress(InputError):  # other folders may lie beside runs
            plan = stored_plan(folder)
            if plan is None:
                continue
            plan.parts  # noqa: B018 (raises if there is no such family)
            is_new = plan.name == folder.name and plan.name not in names
            if is_new and _kind(plan) in kinds:
                siblings.append(plan)
    return siblings


def stored_plan(folder: Path) -> Plan | None:
    """The plan of the run in ``folder``; None where there is none.

    Raises:
        InputError: it is no plan, or of a family that this process has not been told of: what a
            folder names is not imported, for that would run whatever lies there.
    """
    content = of_run(folder / "config.yaml")
    if content is None:
        return None
    plan = codec.from_plain(Plan, content, str(folder / "config.yaml"))
    if plan.source and not registry.is_known(plan.source):
        raise InputError(
            f"The run in {folder} is of a family of its own, {plan.source}, and no folder can have "
            f"code imported: if you trust it, name it with --family {plan.source}."
        )
    return plan


def _kind(plan: Plan) -> tuple[object, ...]:
    """The properties that all runs of one scorecard share."""
    return plan.data, plan.fingerprint, plan.budget, plan.conditional, plan.minutes


# ---------------------------------------------------------------------------------------- the run


def run(
    plan: Plan,
    folder: str | Path,
    data: DataSet | None = None,
    progress: Progress | None = None,
) -> Row:
    """Carry out a plan: reuse a finished run, resume an interrupted one, else start.

    What `MEASURES` add is added last (`measure_missing`); samples per second stay unknown until
    `time_samples`, which waits for a quiet machine.

    Args:
        plan: what to do.
        folder: of the run.
        data: the plan's data set; loaded by its name where it is not given.
        progress: called with (steps done, steps in all, a few words).

    Returns:
        the row of the run.

    Raises:
        InputError: the folder holds a run of another plan, or plan and data do not fit.
        TrainingError: training diverged.
    """
    folder = Path(folder)
    if load_finished(plan, folder) is None:
        if data is None:
            data = load_data(plan.data)
        model = new_model(plan, data)
        with held(folder):
            if load_finished(plan, folder) is None:  # nor has another process ended it meanwhile
                return _carry_out(plan, model, data, folder, progress)
    _tidy(folder)
    return measure_missing(plan, folder, data, progress=progress)


def accompany(plan: Plan, folder: str | Path, data: DataSet | None = None) -> None:
    """Take part in the training of a run that a launcher has started in several processes.

    Only the first process measures and writes (`genzoo.training.processes`).

    Args:
        plan: of the run.
        folder: of the run, the same for all processes.
        data: the plan's data set; loaded by its name where it is not given.
    """
    if load_finished(plan, Path(folder)) is None:
        known = load_data(plan.data) if data is None else data
        _train(plan, new_model(plan, known), known, Path(folder), None)


def _carry_out(
    plan: Plan, model: GenerativeModel, data: DataSet, folder: Path, progress: Progress | None
) -> Row:
    """Train, evaluate and measure ``model``; in the end all of it is in ``folder``."""
    _begin(plan, folder)
    fitted = _train(plan, model, data, folder, progress)
    return measure_trained(plan, fitted, data, folder, progress)


def measure_trained(
    plan: Plan,
    fitted: Fitted,
    data: DataSet,
    folder: Path,
    progress: Progress | None = None,
    half: bool = False,
) -> Row:
    """Evaluate what was trained and take every measure, so that ``folder`` is of a finished run.

    Args:
        plan: by which it was trained.
        fitted: what came out.
        data: that it was trained on.
        folder: of the run.
        progress: called with (done, total, a few words).
        half: keep the parameters in 16 bits, which they must fit in.
    """
    if progress is not None:
        progress(fitted.steps, fitted.steps, "evaluating")
    row = _evaluate(plan, fitted, data, folder, progress)
    model = fitted.model.to("cpu")
    model.trainer = None  # it would keep the data and the optimiser in memory
    save(model, folder / "model", facts(row), half)
    _write_row(folder, row)
    _tidy(folder)
    return measure_missing(plan, folder, data, model, progress)


def _begin(plan: Plan, folder: Path) -> None:
    """Write the plan and, the first time, the provenance."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "run.json").is_file():
        started = datetime.now(UTC).isoformat(timespec="seconds")
        _write_json(folder / "run.json", {"started": started, **asdict(provenance())})
    with whole(folder / "config.yaml") as path:
        path.write_text(yaml.safe_dump(plan.stated, sort_keys=False), encoding="utf-8")


def _train(
    plan: Plan, model: GenerativeModel, data: DataSet, folder: Path, progress: Progress | None
) -> Fitted:
    """Train the model as a whole, or its prior in a stage of its own."""
    if not plan.prior:
        return fit(model, data, folder, seed=plan.seed, progress=progress, **plan.train)
    assert isinstance(model, VAE)  # which alone has a prior
    return fit_in_stages(
        model,
        data,
        folder,
        train=plan.train,
        prior=plan.prior,
        seed=plan.seed,
        progress=progress,
    )


def _evaluate(
    plan: Plan, fitted: Fitted, data: DataSet, folder: Path, progress: Progress | None
) -> Row:
    """The row of a trained model; its samples and log-probabilities are left in ``folder``."""
    model = fitted.model.to(best_accelerator())
    settings = plan.evaluate
    tested = data
    if plan.minutes is not None:
        settings, tested = affordable_likelihood(settings, model, data, plan.minutes)
    by = estimator(settings)
    measured = evaluate(model, tested, by=by, seed=plan.seed, progress=progress)
    if measured.kind == Likelihood.ESTIMATE:
        keep_log_z(model, measured.log_z)
    each = of_each(model, measured, tested, progress=progress, seed=plan.seed)
    samples = draw_samples(model, data, seed=plan.seed)
    with whole(folder / "samples.npz") as draft:
        np.savez_compressed(draft, x=samples.numpy())
    if each.log_prob is not None and each.events is not None:
        with whole(folder / "likelihoods.npz") as draft:
            np.savez_compressed(draft, events=each.events.numpy(), log_prob=each.log_prob.numpy())
    return _row(plan, fitted, tested, measured, each, samples, folder)


def _row(
    plan: Plan,
    fitted: Fitted,
    data: DataSet,
    measured: Measured,
    each: Measured,
    samples: Tensor,
    folder: Path,
) -> Row:
    """The row of a run: its likelihood on the test split, its cost, and its provenance."""
    model = fitted.model
    started = of_run(folder / "run.json") or {}
    cost = Cost(
        parameters=parameters(model),
        train_seconds=round(fitted.seconds, 2),
        steps=fitted.steps,
        best_step=fitted.best_step,
        validation_nats=fitted.validation if model.monitor == "val_nats" else None,
        evaluations_per_sample=model.evaluations_per_sample,
        precision=fitted.precision,
    )
    return Row(
        family=plan.family,
        data=data.name,
        likelihood=held_out(measured, data),
        seed=plan.seed,
        budget=plan.budget,
        conditional=plan.conditional,
        minutes=plan.minutes,
        disagreement=disagreement(each, samples, data, plan.conditional),
        cost=cost,
        provenance=provenance(started.get("commit")),
    )


def _tidy(folder: Path) -> None:
    """Remove what a finished run no longer needs, and what a kill left half written."""
    for leftover in ("best.ckpt", "last.ckpt", "prior/best.ckpt", "prior/last.ckpt"):
        remove(folder / leftover)
    discard_drafts(folder)


# ------------------------------------------------------------------------------- a finished run


def measure_missing(
    plan: Plan,
    folder: str | Path,
    data: DataSet | None = None,
    model: GenerativeModel | None = None,
    progress: Progress | None = None,
) -> Row:
    """Add to the row of a finished run the `MEASURES` that it lacks: each is taken once.

    So a run that was finished before a measure existed gets it from its stored model, and an
    interruption costs one measure.

    Args:
        plan: of the run.
        folder: of the run.
        data: what it was trained on; loaded by its name where it is not given.
        model: the trained model; loaded from ``folder`` where it is not given.
        progress: called with (done, total, a few words).
    """
    folder = Path(folder)
    row = _finished_row(folder)
    missing = [measure for measure in MEASURES if measure.name not in row.measured]
    if not missing:
        return row
    if data is None:
        data = load_data(plan.data)
    if model is None:
        model = load_model(plan, folder)
    judged = with_judge(data, folder.parent)
    subject = Subject(model=model, data=judged, folder=folder, progress=progress)
    for measure in missing:
        row = take(measure, row, subject)
        _write_row(folder, row)
    return row


def time_samples(folder: str | Path, model: GenerativeModel) -> Row:
    """The row of a finished run with its samples per second, measured once, then kept.

    To be called when nothing else keeps the machine busy: runs that train side by side would slow
    each other's figure.
    """
    folder = Path(folder)
    row = _finished_row(folder)
    if row.cost is None or row.cost.samples_per_second is not None:
        return row
    return timed(folder, round(samples_per_second(model), 2))


def timed(folder: Path, samples_per_second: float) -> Row:
    """The row of a finished run, which from now on has this speed of sampling."""
    row = _finished_row(folder).timed(samples_per_second)
    _write_row(folder, row)
    return row


def _finished_row(folder: Path) -> Row:
    row = of_run(folder / "row.json")
    if row is None:
        raise InputError(
            f"The run in {folder} is not finished: run the same command again to resume it."
        )
    return Row.from_json(row, str(folder / "row.json"))


# ------------------------------------------------------------------------------------- the model


def new_model(plan: Plan, data: DataSet) -> GenerativeModel:
    """The untrained model of a plan, its initial weights drawn from the plan's seed.

    Raises:
        InputError: it should be conditional, and the data has no conditions.
    """
    if plan.conditional:
        require_conditions(data, plan.data)
    L.seed_everything(plan.seed, verbose=False)
    condition = data.condition if plan.conditional else 0
    arguments = {
        **with_prior(plan.model, condition),
        "event_shape": list(data.event_shape),
        "condition": condition,
        "levels": data.levels,
    }
    config = {"family": plan.parts.family.__name__, "arguments": arguments}
    return build(config, _families(plan), path="this plan")


def require_conditions(data: DataSet, name: str) -> None:
    """Raise `InputError` for data without labels or conditions."""
    if not data.condition:
        raise InputError(
            f"{name} has no labels or conditions, so no conditional model of it can be trained."
        )


def load_model(plan: Plan, folder: str | Path) -> GenerativeModel:
    """The trained model of a finished run, on the CPU, of a family outside the package as well."""
    return load(folder, families=_families(plan))


def _families(plan: Plan) -> tuple[type[GenerativeModel], ...]:
    """The classes that a plan's model may be built of."""
    known = (*families.FAMILIES, *families.HYBRIDS)
    if plan.source:
        return (plan.parts.family, *known)
    return known


def draw_samples(
    model: GenerativeModel, data: DataSet, n: int | None = None, seed: int = 0
) -> Tensor:
    """Samples to look at; of a conditional model, its classes in turn or test conditions.

    In one call, unlike `genzoo.evaluation.samples.sampling.draw`: the points of a map are many, and
    cheap.

    Args:
        model: to draw from.
        data: what it was trained on.
        n: their number; by default `POINTS`, or `EVENTS` of anything else.
        seed: the same seed draws the same samples.

    Returns:
        ``(n, *event_shape)``, on the CPU.
    """
    if not n:
        n = POINTS if data.event_shape == (2,) else EVENTS
    turn = torch.arange(n)
    c = None
    if model.condition and data.classes:
        c = turn % model.condition
    elif model.condition and data.test.c is not None:
        c = data.test.c[turn % len(data.test.c)]
    if c is not None:
        c = c.to(device_of(model))
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        return model.sample(n, c).cpu()


def load_run(path: str | Path, family: str | None = None) -> tuple[GenerativeModel, dict[str, Any]]:
    """A trained model and its plan, from a run's folder; a bare model's plan is empty.

    The name of a model that comes trained (`genzoo.pretrained`) stands for its folder.

    Args:
        path: of the folder.
        family: the import path of the run's family, "module:Class", where it is not genzoo's own.

    Raises:
        InputError: nothing there, not finished, corrupt, or no model that could be sampled from,
            such as a CLIP.
    """
    if family is not None:
        registry.at(family)
    path = located(path)
    stored = of_run(path / "config.yaml") or {}
    plan = stored_plan(path) if stored.get("source") else None
    model = load(path) if plan is None else load_model(plan, path)
    if not isinstance(model, GenerativeModel):
        raise InputError(
            f"{path} holds a {type(model).__name__}: expected a generative model, one that can be "
            "sampled from."
        )
    return model, stored


def _write_row(folder: Path, row: Row) -> None:
    _write_json(folder / "row.json", row.to_json())


def _write_json(path: Path, content: Any) -> None:
    with whole(path) as draft:
        draft.write_text(to_json(content), encoding="utf-8")
