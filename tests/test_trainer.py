"""A model is an ordinary LightningModule: any Trainer, optimiser, schedule, loader and batch."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch.distributions import Distribution
from torch.utils.data import DataLoader, TensorDataset

from genzoo import GAN, VAE, Autoregressive, Diffusion, Flow, FlowMatching, fit, grid, load
from genzoo.data import DataSet, Split, ToGrid
from genzoo.data.loading import load as load_data
from genzoo.errors import InputError
from genzoo.optim import AdamW, Run, WarmupCosine, warmup_cosine
from genzoo.training import default_callbacks
from genzoo.training.callbacks import Deadline
from genzoo.training.fitting import FEWEST_CHECKS, LENGTH, Pace, Rounds

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*logging interval"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec"),
    pytest.mark.filterwarnings("ignore:.*val_dataloader"),
    pytest.mark.filterwarnings("ignore:.*was not set"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor"),  # of torch.compile
]


@pytest.fixture(scope="module")
def moons() -> DataSet:
    return load_data("moons", train=64, validation=20, test=20)


def flow(**options) -> Flow:
    torch.manual_seed(0)
    return Flow((2,), width=8, couplings=1, **options)


# --------------------------------------------------------------------------- what Lightning expects


def test_a_checkpoint_of_any_trainer_rebuilds_the_model_without_arguments(moons, tmp_path):
    prior = Flow((3,), width=8, couplings=1)
    model = VAE((2,), latent_shape=(3,), width=8, prior=prior)
    assert model.hparams.latent_shape == [3] and model.hparams["prior"]["family"] == "Flow"
    trainer = L.Trainer(**QUIET, max_steps=2)
    trainer.fit(model, DataLoader(moons.train, 16))
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    stored = torch.load(tmp_path / "mine.ckpt", weights_only=True)
    assert stored["hyper_parameters"]["width"] == 8
    again = VAE.load_from_checkpoint(tmp_path / "mine.ckpt")
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(InputError, match="holds a model of class VAE: expected Flow"):
        Flow.load_from_checkpoint(tmp_path / "mine.ckpt")


def test_a_model_called_is_its_log_density_compiled_or_with_other_weights():
    model = flow().eval()
    x = torch.randn(5, 2)
    expected = model.log_prob(x)
    torch.testing.assert_close(model(x), expected)
    checked = Distribution._validate_args
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), expected)
    Distribution.set_default_validate_args(checked)  # which torch.compile switches off for good
    weights = {name: value.detach() for name, value in model.named_parameters()}
    torch.testing.assert_close(torch.func.functional_call(model, weights, (x,)), expected)
    other = {name: value + 0.1 for name, value in weights.items()}
    assert not torch.allclose(torch.func.functional_call(model, other, (x,)), expected)


def test_a_trainer_tests_and_predicts(moons):
    model = flow(condition=2)
    trainer = L.Trainer(**QUIET)
    (figures,) = trainer.test(model, DataLoader(moons.test, 10), verbose=False)
    with torch.no_grad():
        expected = -model.eval().log_prob(moons.test.x, moons.test.c).mean().item()
    assert figures["test_nats"] == pytest.approx(expected, abs=1e-4)
    samples = trainer.predict(GAN((2,), width=8), DataLoader(moons.test, 10))
    assert [part.shape for part in samples] == [(10, 2), (10, 2)]


# -------------------------------------------------------------------------------------- the batches


def test_a_batch_is_events_alone_or_with_conditions_by_place_or_name(moons):
    model = flow(condition=2)
    x, c = moons.train[:8]
    for batch in ((x, c), [x, c], {"x": x, "c": c}, {"x": x, "y": c}, (x.double(), c)):
        events, conditions = model.prepare(batch)
        assert torch.equal(events, x) and torch.equal(conditions, c)
    for batch in (x, (x,), [x], {"x": x}):
        events, conditions = model.prepare(batch)
        assert torch.equal(events, x) and conditions is None
    with pytest.raises(InputError, match=r"with the keys x and c .* got the keys \['image'\]"):
        model.prepare({"image": x})


@pytest.mark.parametrize(
    ("x", "c", "sentence"),
    [
        (torch.zeros(4, 1, 2, 2), None, "models 4 levels.*got 0"),
        (torch.full((4, 1, 2, 2), 0.25), torch.tensor([0, 1, 2, 3]), "labels 0 ... 2 .*got 3"),
        (torch.full((4, 1, 2, 2), 0.25), torch.zeros(4, 2), r"conditions \(n, 3\), got \(4, 2\)"),
        (torch.full((4, 1, 2, 2), 0.25), torch.full((4, 3), math.nan), "NaN or infinite"),
        (torch.full((4, 1, 2, 2), 0.25), torch.zeros(3), "4 events but 3 conditions"),
        (torch.full((4, 1, 2, 2), math.nan), None, r"NaN or infinite: nan at \(0, 0, 0, 0\)"),
    ],
)
def test_the_first_batch_of_a_run_is_looked_at(x, c, sentence):
    model = Autoregressive((1, 2, 2), condition=3, levels=4, width=8, depth=1)
    good = torch.full((4, 1, 2, 2), 0.25), torch.zeros(4, dtype=torch.long)
    trainer = L.Trainer(**QUIET, max_steps=1)
    trainer.fit(model, DataLoader([good], batch_size=None))
    with pytest.raises(InputError, match=sentence):
        L.Trainer(**QUIET, max_steps=1).fit(model, DataLoader([(x, c)], batch_size=None))


@pytest.mark.parametrize("family", [VAE, Flow, Diffusion, FlowMatching, GAN, Autoregressive])
def test_no_events_are_no_trouble(family):
    model = family((2,), width=8).eval()
    assert model.sample(0).shape == (0, 2)
    if family not in (GAN, FlowMatching):
        assert model.log_prob(torch.zeros(0, 2)).shape == (0,)


def test_any_loader_can_collate_a_split(moons):
    x, c = next(iter(DataLoader(moons.train, 7)))
    assert torch.equal(x, moons.train.x[:7]) and torch.equal(c, moons.train.c[:7])
    (x,) = next(iter(DataLoader(Split(moons.train.x), 7)))
    assert torch.equal(x, moons.train.x[:7])


# ------------------------------------------------------------------------------------- the schedule


class Rates(L.Callback):
    """Keeps the learning rate of each step."""

    def __init__(self):
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer, *_) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("family", [Flow, GAN])
@pytest.mark.parametrize("limits", [{"max_epochs": 4}, {"max_steps": 16}, {"max_epochs": -1}])
def test_the_rate_falls_to_zero_at_the_end_of_whatever_length(family, limits, moons):
    rates = Rates()
    model = family((2,), width=8)
    trainer = L.Trainer(**QUIET, **limits, limit_train_batches=4, callbacks=[rates, *stop(limits)])
    trainer.fit(model, DataLoader(moons.train, 16))
    if limits == {"max_epochs": -1}:
        assert set(rates.seen) == {model.lr}  # nobody knows the end
    else:
        batches = 8 if limits == {"max_steps": 16} and family is GAN else 16
        expected = [model.lr * warmup_cosine(step + 1, batches) for step in range(batches)]
        assert rates.seen == pytest.approx(expected)


def stop(limits) -> list[L.Callback]:
    class Stop(L.Callback):
        def on_train_batch_end(self, trainer, *_) -> None:
            trainer.should_stop = trainer.fit_loop.total_batch_idx >= 5

    return [Stop()] if limits == {"max_epochs": -1} else []


def test_accumulated_gradients_make_fewer_steps(moons):
    rates = Rates()
    model = flow()
    trainer = L.Trainer(**QUIET, max_epochs=4, accumulate_grad_batches=2, callbacks=[rates])
    trainer.fit(model, DataLoader(moons.train, 16))
    assert model.run.steps is None  # the run is over
    assert rates.seen[-1] == pytest.approx(0, abs=1e-9)
    assert rates.seen[1] == pytest.approx(model.lr * warmup_cosine(1, 8))


def test_a_run_of_limited_time_is_scheduled_by_the_clock():
    run = Run(None, clock=lambda: 0.25)
    assert run.expected(0) is None and run.expected(10) == 40
    assert Run(30, clock=lambda: 0.25).expected(10) == 30
    parameter = torch.nn.Parameter(torch.zeros(()))
    schedule = WarmupCosine()(torch.optim.SGD([parameter], 1.0), run)
    assert schedule.lr_lambdas[0](10) == warmup_cosine(10, 40)


def test_the_optimiser_and_the_schedule_can_be_ones_own(moons):
    class Watch(L.Callback):
        def on_train_start(self, trainer, pl_module) -> None:
            assert isinstance(trainer.optimizers[0], torch.optim.SGD)
            assert isinstance(
                trainer.lr_scheduler_configs[0].scheduler, torch.optim.lr_scheduler.StepLR
            )

    fitted = fit(
        flow(),
        moons,
        steps=4,
        optimizer=torch.optim.SGD,
        scheduler=lambda optimizer, run: torch.optim.lr_scheduler.StepLR(optimizer, run.steps),
        callbacks=[Watch()],
    )
    assert fitted.steps == 4
    assert isinstance(Flow.optimizer, AdamW)  # of the class, as it was


# ---------------------------------------------------------------------------------- what `fit` adds


class Kept(Logger):
    """Stands for a tracking service."""

    name, version = "kept", 0

    def __init__(self):
        super().__init__()
        self.figures: dict[str, float] = {}
        self.about: dict = {}

    def log_hyperparams(self, params, *_) -> None:
        self.about = dict(params)

    def log_metrics(self, metrics, step=None) -> None:
        self.figures |= metrics


def test_callbacks_and_loggers_are_added_and_random_numbers_left_alone(moons, tmp_path):
    model, seen, kept = flow(), Rates(), Kept()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    fit(model, moons, tmp_path, steps=12, check_every=6, callbacks=[seen], logger=kept)
    assert random.getstate() == states[0] and np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert len(seen.seen) == 12 and kept.about["width"] == 8
    assert {"train_loss", "val_nats"} <= set(kept.figures)
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    seconds = [float(row.split(",")[header.split(",").index("seconds")]) for row in rows]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_what_fit_adds_serves_any_trainer(moons, tmp_path):
    model = flow()
    callbacks = default_callbacks(model, tmp_path, patience=3)
    options = QUIET | {"enable_checkpointing": True}
    trainer = L.Trainer(**options, max_epochs=3, callbacks=callbacks)
    trainer.fit(model, DataLoader(moons.train, 16), DataLoader(moons.validation, 20))
    (best,) = [each for each in callbacks if isinstance(each, ModelCheckpoint)]
    assert best.best_model_path == str(tmp_path / "best.ckpt")
    with torch.no_grad():
        figure = -load(tmp_path / "best.ckpt", Flow).log_prob(moons.validation.x).mean()
    assert figure.item() == pytest.approx(best.best_model_score.item(), abs=1e-4)


# ------------------------------------------------------------------------------------- by the clock


def test_minutes_become_steps_and_a_finished_run_stays_as_it_is(moons, tmp_path):
    fitted = fit(flow(), moons, tmp_path, minutes=0.02, check_every=20)
    kept = json.loads((tmp_path / LENGTH).read_text())
    assert kept["minutes"] == 0.02 and kept["steps"] >= 1
    for news in kept.get("planned_anew", [])[-1:]:
        assert fitted.planned == news["steps"]
    again = fit(flow(), moons, tmp_path, minutes=0.02, check_every=20)
    assert (again.steps, again.planned) == (fitted.steps, fitted.planned)
    with pytest.raises(InputError, match=r"was begun with minutes=0\.02, not 0\.5"):
        fit(flow(), moons, tmp_path, minutes=0.5, check_every=20)


def test_a_pace_counts_checks_by_their_rounds():
    assert Pace(step=0.01, check=0.5).steps_in(60, check_every=100) == 4000


def test_a_short_run_counts_the_fewest_checks_there_are():
    steps = Pace(step=0.1, check=1.0).steps_in(30, check_every=100)
    assert steps == (30 - FEWEST_CHECKS) / 0.1


def test_checks_that_take_most_of_the_time_become_few():
    """Annealing an energy model of large images may take longer than all of its training."""
    slow = Pace(step=0.05, check=23.0)
    assert slow.fewest_checks(30) == 1
    steps = slow.steps_in(30, check_every=100)
    assert abs(steps * 0.05 + 23 - 30) < 3
    in_all, in_round = Rounds.in_time(5_000, 64, steps, 100, checks=1)
    rounds = Rounds.plan(5_000, 64, in_all, in_round)
    assert rounds.epochs == rounds.every
    assert Pace(step=0.05, check=1.0).fewest_checks(60) == FEWEST_CHECKS


@pytest.mark.parametrize("steps", [7, 40, 123, 450, 1234, 20_000])
@pytest.mark.parametrize("events", [50, 1000, 60_000])
def test_rounds_by_the_clock_come_near_to_the_steps_and_are_what_was_planned(events, steps):
    settings = Rounds.in_time(events, 64, steps, 100)
    rounds = Rounds.plan(events, 64, *settings)
    assert rounds.steps == settings[0] and rounds.steps == pytest.approx(steps, rel=0.07)
    assert rounds.epochs // rounds.every >= min(steps, FEWEST_CHECKS) - 1


class FakeRun:
    """A run by the clock without training: each step and each check takes its seconds."""

    def __init__(self, seconds: float, epochs: int, path: Path, pace: Callable[[int], float]):
        self.clock = SimpleNamespace(seconds=0.0)
        self.deadline = Deadline(seconds, self.clock, every=1, path=path)
        self.model = SimpleNamespace(run=Run(10 * epochs))
        self.pace = pace
        self.trainer = SimpleNamespace(
            fit_loop=SimpleNamespace(max_epochs=epochs),
            current_epoch=0,
            num_training_batches=10,
            accumulate_grad_batches=1,
            is_global_zero=True,
            strategy=SimpleNamespace(broadcast=lambda value: value),
        )
        path.write_text("{}")
        self.deadline.setup(self.trainer, self.model, "fit")

    def train(self) -> float:
        """Seconds until the end."""
        self.deadline.on_train_start(self.trainer, self.model)
        while self.trainer.current_epoch < self.trainer.fit_loop.max_epochs:
            self.clock.seconds += self.pace(self.trainer.current_epoch)
            self.deadline.on_validation_end(self.trainer, self.model)
            self.trainer.current_epoch += 1
        return self.clock.seconds


@pytest.mark.parametrize(
    "pace",
    [lambda epoch: 2.5, lambda epoch: 0.5, lambda epoch: 1.0 if epoch < 20 else 2.0],
    ids=["slower from the start", "faster from the start", "slower later"],
)
def test_a_run_at_another_pace_than_planned_ends_on_time_and_says_so(pace, tmp_path):
    run = FakeRun(40.0, 40, tmp_path / LENGTH, pace)
    assert run.train() == pytest.approx(40, rel=0.07)
    news = json.loads((tmp_path / LENGTH).read_text())["planned_anew"]
    assert news[-1]["steps"] == run.model.run.steps == 10 * run.trainer.current_epoch != 400
    resumed = FakeRun(40.0, 40, tmp_path / LENGTH, pace)
    resumed.deadline.load_state_dict(run.deadline.state_dict())
    assert resumed.trainer.fit_loop.max_epochs == run.trainer.current_epoch


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("changed", range(FEWEST_CHECKS))
def test_a_run_of_the_fewest_checks_ends_on_time_when_the_machine_gets_other_work(
    factor, changed, tmp_path
):
    """Between two checks nothing can be planned anew: so rounds must not be too long."""
    planned = 40.0 / FEWEST_CHECKS

    def pace(epoch: int) -> float:
        return planned * (factor if epoch >= changed else 1.0)

    run = FakeRun(40.0, FEWEST_CHECKS, tmp_path / LENGTH, pace)
    assert run.train() == pytest.approx(40, rel=0.15)


def test_a_run_at_about_the_pace_that_was_planned_keeps_its_plan(tmp_path):
    run = FakeRun(40.0, 40, tmp_path / LENGTH, lambda epoch: 1.0 + 0.04 * (-1) ** epoch)
    assert run.train() == pytest.approx(40) and run.trainer.current_epoch == 40
    assert json.loads((tmp_path / LENGTH).read_text()) == {}


# ------------------------------------------------------------------------------ data from elsewhere


def test_arrays_become_a_data_set_as_a_file_of_them_does(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.integers(0, 2, 50)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    one, other = load_data(tmp_path / "mine.npz"), DataSet.from_arrays(torch.from_numpy(x), y)
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(one, name).x, getattr(other, name).x)
        assert torch.equal(getattr(one, name).c, getattr(other, name).c)
    assert one.classes == other.classes and other.condition == 2
    with pytest.raises(InputError, match=r"ToGrid\(4\)"):
        DataSet.from_arrays(x, levels=4)


def test_a_torch_data_set_on_the_grid_is_discrete():
    levels = torch.arange(240).view(20, 3, 2, 2) % 4
    source = TensorDataset(grid.to_grid(levels, 4), torch.arange(20) % 2)
    data = DataSet.from_torch(source, levels=4, test=source, name="mine")
    assert (data.levels, data.classes, data.event_shape) == (4, ("0", "1"), (3, 2, 2))
    assert torch.equal(data.test.x, grid.to_grid(levels, 4)) and len(data.validation) == 2


def test_images_of_every_kind_go_to_the_grid():
    from PIL import Image

    pixels = torch.arange(256, dtype=torch.uint8).view(16, 16)
    for levels in (256, 16):
        expected = grid.to_grid(pixels.long() * levels // 256, levels).unsqueeze(0)
        transform = ToGrid(levels)
        for image in (pixels, pixels.numpy(), Image.fromarray(pixels.numpy())):
            assert torch.equal(transform(image), expected)
    colour = pixels.unsqueeze(-1).expand(-1, -1, 3)
    assert ToGrid(256)(colour).shape == (3, 16, 16)
    as_floats = pixels.unsqueeze(0) / 255  # what torchvision's ToTensor gives
    assert torch.equal(ToGrid(256)(as_floats), ToGrid(256)(pixels))


def test_what_has_no_events_is_refused(moons):
    with pytest.raises(InputError, match="moons has no events to train on"):
        fit(flow(), replace(moons, train=Split(moons.train.x[:0])))
