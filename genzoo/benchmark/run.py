"""One run: a family, a data set and a seed become a folder with a trained model, its figures, and
what led to them.

The folder of a run::

    config.yaml    the plan, every argument resolved        model/            see `genzoo.serialization`
    run.json       versions, machine, commit, start         samples.npz       samples of the model
    log.csv        the loss as it went                      likelihoods.npz   log p of each test event
                                                            row.json          its row of the scorecard: it is finished
                                                            quality.npz       more samples, by which they are judged
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from torch import Tensor

from genzoo.benchmark import hybrids
from genzoo.benchmark.measures import MEASURES
from genzoo.benchmark.plan import Plan, changes, with_prior
from genzoo.benchmark.provenance import circumstances
from genzoo.benchmark.scorecard import PROTOCOL, Row, figures, likelihood
from genzoo.data import DataSet
from genzoo.data import load as load_data
from genzoo.errors import InputError
from genzoo.evaluation.cost import parameters, samples_per_second
from genzoo.evaluation.likelihood.estimators import estimator
from genzoo.evaluation.likelihood.evaluate import Measured, evaluate
from genzoo.evaluation.likelihood.partition import keep_log_z
from genzoo.evaluation.likelihood.truth import disagreement, of_each
from genzoo.files import discard_drafts, remove, state, whole
from genzoo.model import GenerativeModel, Likelihood, device_of
from genzoo.progress import Report
from genzoo.serialization import build, load, save
from genzoo.training.fitting import Fitted, best_accelerator, fit
from genzoo.training.two_stage import fit_in_stages


def finished(wanted: Plan, folder: Path) -> Row | None:
    """The row of a finished run of this very plan, or None if it has yet to be run or resumed.

    Raises:
        InputError: the folder holds a run of another plan.
    """
    before, row = _stored(folder / "config.yaml"), _stored(folder / "row.json")
    if before is None:
        return None
    if row is None:  # how it will be evaluated may still change, with what was trained unharmed
        before = before | {"evaluate": wanted.evaluate}
    if different := changes(before, wanted):
        raise InputError(
            f"{folder} holds a run with {different}: choose another folder with --out, or delete that run."
        )
    return row


def others(out: Path, plans: Sequence[Plan]) -> list[Plan]:
    """Finished runs in ``out`` beside those of ``plans``, on the same data, budget and conditions:
    of one scorecard.
    """
    names, kin = {p.name for p in plans}, {(p.data, p.budget, p.conditional) for p in plans}
    found = []
    for folder in sorted(path.parent for path in out.glob("*/row.json")):
        with suppress(InputError, TypeError):  # whatever else lies there is not ours
            other = Plan(**(_stored(folder / "config.yaml") or {}))
            hybrids.parts(other.family)
            if (
                other.name == folder.name not in names
                and (other.data, other.budget, other.conditional) in kin
            ):
                found.append(other)
    return found


def _stored(path: Path) -> dict[str, Any] | None:
    """The mapping in a run's YAML or JSON file, None where there is no such file; raises
    `InputError` if corrupt.
    """
    if not path.is_file():
        return None
    parse = json.loads if path.suffix == ".json" else yaml.safe_load
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError):  # ValueError: not JSON, or not UTF-8
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is {state(path)}: delete that run, or choose another folder.")
    return content


def execute(wanted: Plan, folder: str | Path, report: Report | None = None) -> Row:
    """Carry a plan out in ``folder`` and return its row: reuse a finished run, resume an
    interrupted one, else start.

    What `MEASURES` add is added last (`appraise`); ``samples_per_second`` stays null until
    `time_samples`, which waits for a quiet machine.

    Raises:
        InputError: the folder holds a run of another plan, or plan and data do not fit.
        TrainingError: training diverged.
    """
    folder = Path(folder)
    if finished(wanted, folder) is not None:
        _tidy(folder)
        return appraise(folder, report=report)
    data = load_data(wanted.data)
    model = new_model(wanted, data)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "run.json").is_file():
        started = datetime.now(UTC).isoformat(timespec="seconds")
        _write_json(folder / "run.json", {"started": started, **circumstances()})
    with whole(folder / "config.yaml") as path:
        path.write_text(yaml.safe_dump(wanted.stated, sort_keys=False), encoding="utf-8")
    fitted = _train(wanted, model, data, folder, report)
    if report is not None:
        report(fitted.steps, fitted.steps, "evaluating")
    measured = evaluate(
        on_fastest(fitted.model),
        data,
        by=estimator(wanted.evaluate),
        seed=wanted.seed,
        progress=report,
    )
    if measured.kind == Likelihood.ESTIMATE:
        keep_log_z(fitted.model, measured.log_z)
    each = of_each(model, measured, data, progress=report, seed=wanted.seed)
    samples = draw(model, data, seed=wanted.seed)
    started = _stored(folder / "run.json") or {}
    row = _row(wanted, data, fitted, measured, each, samples, started)
    save(model, folder / "model", _card(row))
    np.savez_compressed(folder / "samples.npz", x=samples.numpy())
    if each.log_prob is not None and each.events is not None:
        events, log_prob = each.events.numpy(), each.log_prob.numpy()
        np.savez_compressed(folder / "likelihoods.npz", events=events, log_prob=log_prob)
    _write_json(folder / "row.json", row)
    _tidy(folder)
    return appraise(folder, data, report)


def _tidy(folder: Path) -> None:
    """Remove what a finished run no longer needs, and what a kill left half written."""
    for leftover in ("best.ckpt", "last.ckpt", "prior/best.ckpt", "prior/last.ckpt"):
        remove(folder / leftover)
    discard_drafts(folder)


def _train(wanted: Plan, model: Any, data: DataSet, folder: Path, report: Report | None) -> Fitted:
    """All at once, or the prior in a stage of its own."""
    if not wanted.prior:
        return fit(model, data, folder, seed=wanted.seed, progress=report, **wanted.train)
    return fit_in_stages(
        model,
        data,
        folder,
        train=wanted.train,
        prior=wanted.prior,
        seed=wanted.seed,
        progress=report,
    )


def _row(
    wanted: Plan,
    data: DataSet,
    fitted: Fitted,
    measured: Measured,
    each: Measured,
    samples: Tensor,
    started: dict[str, Any],
) -> Row:
    """The row of a trained model: what was done, the likelihood of the test split, the cost, and
    under what.

    ``commit`` is the code that measured; ``started_by`` the code that the training was started
    with, which an interruption may set apart.
    """
    return {
        "family": wanted.family,
        "data": data.name,
        "seed": wanted.seed,
        "budget": wanted.budget,
        "conditional": wanted.conditional,
        "parameters": parameters(fitted.model),
        "train_seconds": round(fitted.seconds, 2),
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "validation_nats": fitted.validation if fitted.model.monitor == "val_nats" else None,
        **figures(measured, data),
        **disagreement(each, samples, data, wanted.conditional),
        "samples_per_second": None,
        "evaluations_per_sample": fitted.model.evaluations_per_sample,
        "evaluation": measured.details,
        "protocol": PROTOCOL,
        **circumstances(),
        "started_by": started.get("commit"),
    }


def time_samples(folder: str | Path) -> Row:
    """The row of the finished run in ``folder``, with its samples per second; they are measured
    once, then kept.

    To be called when nothing else keeps the machine busy: runs that train side by side would slow
    each other's figure.
    """
    folder = Path(folder)
    row = _finished_row(folder)
    if row["samples_per_second"] is None:
        row["samples_per_second"] = round(samples_per_second(load(folder)), 2)
        _write_json(folder / "row.json", row)
    return row


def appraise(folder: str | Path, data: DataSet | None = None, report: Report | None = None) -> Row:
    """The row of the finished run in ``folder``, with those of `MEASURES` that it lacked: each is
    taken once, then kept.

    So a run that was finished before a measure existed gets it from its stored model, and an
    interruption costs one measure.
    """
    folder = Path(folder)
    row = _finished_row(folder)
    missing = [measure for measure in MEASURES if measure.name not in row]
    if missing:
        model, data = (
            load(folder),
            data or load_data((_stored(folder / "config.yaml") or row)["data"]),
        )
        for measure in missing:
            row[measure.name] = measure.take(
                model, data, row["budget"], folder, report, row["seed"]
            )
            _write_json(folder / "row.json", row)
    return row


def _finished_row(folder: Path) -> Row:
    row = _stored(folder / "row.json")
    if row is None:
        raise InputError(
            f"The run in {folder} is not finished: run the same command again to resume it."
        )
    return row


def new_model(wanted: Plan, data: DataSet) -> GenerativeModel:
    """The untrained model of a plan, its initial weights drawn from the plan's seed."""
    if wanted.conditional and not data.condition:
        raise InputError(
            f"{wanted.data} has no labels or conditions, so no conditional model of it can be trained."
        )
    L.seed_everything(wanted.seed, verbose=False)
    condition = data.condition if wanted.conditional else 0
    arguments = {
        **with_prior(wanted.model, condition),
        "event_shape": list(data.event_shape),
        "condition": condition,
        "levels": data.levels,
    }
    return build(
        {"family": hybrids.parts(wanted.family).family.__name__, "arguments": arguments},
        path="this plan",
    )


def on_fastest(model: GenerativeModel) -> GenerativeModel:
    """The model, moved to the device that it was trained on: Lightning brings it back to the CPU."""
    return model.to(best_accelerator())


def draw(model: GenerativeModel, data: DataSet, n: int | None = None, seed: int = 0) -> Tensor:
    """``n`` samples for the eye, on the CPU; of a conditional model, its classes in turn or test
    conditions.

    In one call, unlike `genzoo.evaluation.samples.sampling.draw`: the points of a map are many, and
    cheap.
    """
    n = n or (5000 if data.event_shape == (2,) else 40)
    c = None
    if model.condition:
        c = torch.arange(n) % model.condition if data.classes else data.test.c
        c = c[torch.arange(n) % len(c)] if c is not None else None
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        return model.sample(n, None if c is None else c.to(device_of(model))).cpu()


def load_run(path: str | Path) -> tuple[GenerativeModel, dict[str, Any]]:
    """A trained model and its plan, from a run's folder; from a bare model's folder the plan is
    empty.

    Raises:
        InputError: nothing there, not finished, corrupt, or no model that could be sampled from,
            such as a CLIP.
    """
    model = load(path)
    if not isinstance(model, GenerativeModel):
        raise InputError(
            f"{path} holds a {type(model).__name__}: expected a generative model, one that can be sampled from."
        )
    return model, _stored(Path(path) / "config.yaml") or {}


def _write_json(path: Path, content: Any) -> None:
    with whole(path) as draft:
        draft.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _card(row: Row) -> dict[str, Any]:
    """What the model card says about a run."""
    figure = likelihood(row)
    facts = {name: row[name] for name in ("data", "seed", "steps", "train_seconds")}
    if figure.is_known:
        kind = "" if figure.kind is None else f" ({figure.kind.name.lower()})"
        facts[f"test {row['unit']}"] = f"{figure}{kind}"
    return facts
