"""The one training loop.

Exact resumption, the best weights by validation, and runs that go wrong.
"""

import csv
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genzoo import (
    FAMILIES,
    GAN,
    VAE,
    VAEGAN,
    Autoregressive,
    Diffusion,
    Flow,
    FlowMatching,
    GenerativeModel,
    fit,
    load,
)
from genzoo.data import DataSet, Split
from genzoo.data.dataset import Data, shift
from genzoo.data.loading import load as load_data
from genzoo.errors import InputError, TrainingError
from genzoo.training.callbacks import EACH_STEP, Clock, Guard, without_idle_hooks
from genzoo.training.fitting import FRESH_REPEATS, MOST_DRAWS, Rounds, affordable_draws, gather_log

pytestmark = pytest.mark.usefixtures("few_levels")

SMALL = {
    "Autoregressive": {"depth": 1},
    "Flow": {"couplings": 1},
    "Energy": {"buffer": 32, "steps": 2, "hidden": 20},
}
SETTINGS = {"steps": 12, "batch_size": 10, "check_every": 6, "augment": 0.5}


@pytest.fixture(scope="module")
def digits() -> DataSet:
    data = load_data("digits")
    return replace(data, train=Split(*data.train[:30]), validation=Split(*data.validation[:20]))


def new(family: type[GenerativeModel], data: DataSet) -> GenerativeModel:
    torch.manual_seed(0)
    return family(data.event_shape, levels=data.levels, width=8, **SMALL.get(family.__name__, {}))


class Interruption(Exception):
    """Stands for Ctrl-C, which Lightning would answer by switching the signal off."""


def interrupt(done: int, total: int, text: str) -> None:
    if done >= 9:
        raise Interruption


@pytest.mark.parametrize("family", [VAE, GAN], ids=lambda f: f.__name__)
def test_an_interrupted_run_ends_with_the_same_weights(family, digits, tmp_path, monkeypatch):
    """Chosen by validation, or by nothing; of every family, `test_contract` asks it."""
    whole = fit(new(family, digits), digits, **SETTINGS)
    # report every step
    monkeypatch.setattr("genzoo.training.callbacks.Reporter.__init__.__defaults__", (0.0,))
    with pytest.raises(Interruption):
        fit(new(family, digits), digits, tmp_path, progress=interrupt, **SETTINGS)
    torch.manual_seed(99)
    resumed = fit(new(family, digits), digits, tmp_path, **SETTINGS)
    assert (resumed.best_step, resumed.validation, resumed.steps) == (
        whole.best_step,
        whole.validation,
        whole.steps,
    )
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value.nan_to_num(), resumed.model.state_dict()[name].nan_to_num()), name
    with (tmp_path / "log.csv").open() as log:
        steps = [int(row["step"]) for row in csv.DictReader(log)]
    assert steps == sorted(steps)


def test_a_checkpoint_rebuilds_the_model_by_itself(digits, tmp_path):
    fitted = fit(new(Flow, digits), digits, tmp_path, **SETTINGS)
    again = load(tmp_path / "best.ckpt")
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.parameters(), fitted.model.parameters(), strict=True)
    )


def test_the_best_weights_are_kept_and_training_stops_early(digits):
    model = new(Autoregressive, digits)
    model.lr = 1.0  # overshoots, so that later is worse
    fitted = fit(model, digits, steps=60, batch_size=10, check_every=3, patience=2, average=0.0)
    assert (
        fitted.stopped_early
        and fitted.best_step is not None
        and fitted.best_step < fitted.steps < 60
    )
    with torch.no_grad():
        now = -fitted.model.log_prob(digits.validation.x).mean().item()
    assert fitted.validation is not None and math.isclose(now, fitted.validation, abs_tol=1e-3)


@pytest.mark.parametrize(
    "family", [VAE, Flow, Diffusion, FlowMatching, Autoregressive], ids=lambda f: f.__name__
)
def test_two_checks_of_the_same_weights_give_the_same_figure_and_draw_nothing_from_training(
    family, digits, monkeypatch
):
    model, logged = new(family, digits).eval(), []
    monkeypatch.setattr(
        model,
        "log",
        lambda name, value, **_: logged.append(value) if name == model.monitor else None,
    )
    before = torch.get_rng_state()
    with torch.no_grad():
        for _ in range(2):
            model.validation_step(digits.validation[:], 0)
            torch.rand(3)
    torch.set_rng_state(before)
    with torch.no_grad():
        model.validation_step(digits.validation[:], 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert logged[0] == logged[1] == logged[2]


@pytest.mark.parametrize(
    ("trained", "held_out"), [(6400, 350), (12_800, 350), (32_000, 5000), (100_000, 10_000)]
)
def test_a_check_costs_about_a_tenth_of_the_round_before_it(trained, held_out):
    """An event costs three passes in training, and one for each draw at a check."""
    share = affordable_draws(trained, held_out) * held_out / (3 * trained)
    assert 0.05 < share < 0.15


def test_a_check_has_at_least_one_draw_and_no_more_than_help():
    assert affordable_draws(64, 10_000) == 1 and affordable_draws(10**6, 10) == MOST_DRAWS


def test_the_figure_of_the_chosen_weights_is_not_the_luck_by_which_they_were_chosen():
    """Sixty noisy checks of a diffusion on few events.

    What is stored agrees with draws that had no part in the choice.
    """
    data = load_data("moons", train=400, validation=50)
    torch.manual_seed(0)
    fitted = fit(
        Diffusion((2,), width=8),
        data,
        steps=180,
        batch_size=64,
        check_every=3,
        patience=100,
        accelerator="cpu",
    )
    x, model, draws = data.validation.x, fitted.model, fitted.model.validation_draws
    with torch.no_grad():
        figures = torch.stack([-model.bound(x, None, draws).mean() for _ in range(100)]).double()
    assert fitted.validation is not None
    error = (figures.var() / FRESH_REPEATS + figures.var() / len(figures)).sqrt()
    assert abs(fitted.validation - figures.mean()) < 4 * error


def test_a_run_that_had_stopped_early_is_not_trained_further(digits, tmp_path):
    """Killed between the end of training and whatever comes next."""
    settings = {"steps": 60, "batch_size": 10, "check_every": 3, "patience": 2, "average": 0.0}
    model = new(Autoregressive, digits)
    model.lr = 1.0
    before = fit(model, digits, tmp_path, **settings)
    model = new(Autoregressive, digits)
    model.lr = 1.0
    after = fit(model, digits, tmp_path, **settings)
    assert before.stopped_early and after.stopped_early
    assert (after.steps, after.best_step, after.validation) == (
        before.steps,
        before.best_step,
        before.validation,
    )


def test_without_a_figure_to_choose_by_the_last_average_is_kept(digits):
    fitted = fit(new(GAN, digits), digits, **SETTINGS)
    assert fitted.steps == 12 and fitted.best_step is None and fitted.validation is None


@pytest.mark.parametrize(
    ("events", "steps", "check_every", "expected"),
    [
        (
            1000,
            1000,
            100,
            Rounds(15, 7, 70),
        ),  # small data: passes of 15 batches, a round is 7 of them
        (55_000, 1000, 100, Rounds(100, 1, 10)),  # large data: rounds of 100 batches
        (1000, 4, 100, Rounds(4, 1, 1)),  # a handful of steps is not rounded up to a pass
        (10, 5, 2, Rounds(1, 2, 6)),  # less than a batch of data
    ],
)
def test_steps_become_whole_rounds(events, steps, check_every, expected):
    assert Rounds.plan(events, 64, steps, check_every) == expected


class Exploding(GenerativeModel):
    """Its loss is not a number after a few steps."""

    def __init__(
        self, event_shape: tuple[int, ...], condition: int = 0, levels: int = 0, lr: float = 1e-3
    ):
        super().__init__(event_shape, condition, levels, lr)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.calls = 0

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        return torch.zeros(n, *self.event_shape)

    def log_prob(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        self.calls += self.training
        return self.weight * x.flatten(1).sum(1) + (math.nan if self.calls > 8 else 0.0)


def test_a_diverging_run_stops_with_a_sentence_and_keeps_its_checkpoint(digits, tmp_path):
    with pytest.raises(
        TrainingError,
        match=r"Exploding diverged: .* Try a smaller lr \(now 0.001\).*; "
        "the last good checkpoint is kept",
    ):
        fit(Exploding(digits.event_shape, levels=17), digits, tmp_path, **SETTINGS)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["weight"].isfinite()


@pytest.mark.parametrize("family", [*FAMILIES, VAEGAN], ids=lambda f: f.__name__)
def test_whatever_diverges_says_so_in_a_sentence(family, digits, tmp_path):
    """In the first round, with nothing to go back to; and distributions check again afterwards."""
    model = new(family, digits)
    model.lr = 1e10
    sentence = r"diverged: .* Try a smaller lr \(now 1e\+10\)"
    with pytest.raises(TrainingError, match=sentence) as caught:
        fit(model, digits, tmp_path, steps=60, batch_size=10, check_every=30)
    assert "\n" not in str(caught.value) and "is kept" not in str(caught.value)
    assert not (tmp_path / "last.ckpt").exists()
    with pytest.raises(ValueError, match="Expected parameter loc"):
        torch.distributions.Normal(torch.tensor(math.nan), 1.0)


def test_hooks_of_a_step_that_do_nothing_are_not_called_and_the_others_are():
    guard, clock = (without_idle_hooks(each) for each in (Guard(), Clock()))
    assert callable(guard.on_train_batch_end) and callable(guard.on_validation_end)
    assert not any(callable(getattr(clock, hook)) for hook in EACH_STEP)
    assert not callable(guard.on_before_backward) and callable(Guard().on_before_backward)


def test_a_run_that_keeps_nothing_does_not_say_that_it_does(digits):
    with pytest.raises(TrainingError, match=r"or another seed\.$"):
        fit(Exploding(digits.event_shape, levels=17), digits, **SETTINGS)


@pytest.mark.parametrize("cut", ["4,", "4", "4,12", "4,12,3.", "epo"])
def test_a_line_that_a_full_disk_cut_off_is_left_out_of_the_log(cut, tmp_path):
    metrics = tmp_path / "log" / "version_0" / "metrics.csv"
    metrics.parent.mkdir(parents=True)
    whole = "" if cut == "epo" else "epoch,step,train_loss\n0,9,2.5\n1,19,2.0\n"
    metrics.write_text(whole + cut)
    gather_log(tmp_path)
    with (tmp_path / "log.csv").open(newline="") as log:
        steps = [row["step"] for row in csv.DictReader(log)]
    assert steps == (["9", "19"] if whole else [])
    assert not (tmp_path / "log").exists()


def test_progress_counts_batches_and_shows_what_weights_are_chosen_by(digits):
    for family, shown in ((GAN, "loss"), (FlowMatching, "val")):
        told: list[tuple[int, int, str]] = []

        def note(*news, told=told) -> None:
            told.append(news)

        fitted = fit(
            new(family, digits), digits, steps=4, batch_size=8, check_every=2, progress=note
        )
        assert told[-1][:2] == (4, 4) and fitted.steps == 4  # not the steps of two optimisers
        assert f"{shown} " in told[-1][2]


def test_another_model_s_checkpoint_is_refused(digits, tmp_path):
    fit(new(Flow, digits), digits, tmp_path, **SETTINGS)
    with pytest.raises(InputError, match="belongs to a Flow"):
        fit(new(VAE, digits), digits, tmp_path, **SETTINGS)
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match="is corrupt"):
        fit(new(Flow, digits), digits, tmp_path, **SETTINGS)


NO_CHECKPOINTS = {
    "a model that is a number": {"genzoo": 3},
    "nothing": {},
    "a model alone": {"genzoo": {"family": "VAE", "arguments": {}}},
    "a model of no family": {"genzoo": {}, "state_dict": {}},
}


@pytest.mark.parametrize("name", NO_CHECKPOINTS)
def test_a_file_that_is_no_checkpoint_of_a_training_is_named(name, digits, tmp_path):
    torch.save(NO_CHECKPOINTS[name], tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"last\.ckpt is .* delete it to start afresh"):
        fit(new(VAE, digits), digits, tmp_path, **SETTINGS)


def test_gradients_are_clipped_in_mixed_precision_too(digits):
    """Lightning refuses to where a fused optimiser says that it unscales gradients by itself."""
    fitted = fit(new(VAE, digits), digits, precision="bf16-mixed", gradient_clip=0.1, **SETTINGS)
    assert fitted.steps == 12


def test_a_checkpoint_from_before_an_argument_was_added_is_gone_on_with(digits, tmp_path):
    fit(new(Flow, digits), digits, tmp_path, **SETTINGS)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del checkpoint["genzoo"]["arguments"]["lattice"]  # whose default is what the model has
    torch.save(checkpoint, tmp_path / "last.ckpt")
    assert fit(new(Flow, digits), digits, tmp_path, **SETTINGS).steps >= SETTINGS["steps"]
    del checkpoint["genzoo"]["arguments"]["width"]  # whose default is not
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="belongs to another Flow"):
        fit(new(Flow, digits), digits, tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1"),
        ({"average": 0.5}, r"average must be between 0 and 0.28, got 0.5"),
        ({"ema": 0.995}, r"no setting .ema. any more\. Weights are now averaged relative"),
        ({"seed": -1}, "seed must be a whole number from 0"),
    ],
)
def test_settings_out_of_range_are_named(setting, sentence, digits):
    with pytest.raises(InputError, match=sentence):
        fit(new(Flow, digits), digits, **setting)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda: Flow((2,), width=8), r"shape \(2,\), but digits has \(1, 8, 8\)"),
        (lambda: Flow((1, 8, 8), width=8), "models 0 levels, but digits has 17"),
        (lambda: Autoregressive((1, 8, 8), 3, 17, width=8), "width 3, but those of digits have 10"),
    ],
)
def test_a_model_that_does_not_fit_the_data_is_named(model, sentence, digits):
    with pytest.raises(InputError, match=sentence):
        fit(model(), digits)


def test_shift_moves_by_at_most_a_pixel_and_keeps_the_rest():
    torch.manual_seed(0)
    x = torch.rand(200, 2, 5, 6)
    moved = shift(x, 1.0, -1.0)
    centre = moved[:, :, 1:-1, 1:-1]
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    origins = [x[:, :, 1 + dy : 4 + dy, 1 + dx : 5 + dx] for dy, dx in shifts]
    matches = torch.stack([(centre == origin).flatten(1).all(1) for origin in origins])
    # every image is some shift, every shift occurs
    assert matches.any(0).all() and matches.any(1).all()
    assert (moved == -1).any()
    assert torch.equal(shift(x, 0.0, -1.0), x)


def test_jitter_blurs_real_training_events_afresh_and_nothing_else():
    real = DataSet("made up", *[Split(torch.zeros(500, 4)) for _ in range(3)])
    data = Data(real, batch_size=500, jitter=0.3)
    (first, _), (second, _) = (next(iter(data.train_dataloader())) for _ in range(2))
    assert abs(first.std().item() - 0.3) < 5 * 0.3 / 2000**0.5 / 2**0.5 and not torch.equal(
        first, second
    )
    assert not next(iter(data.val_dataloader()))[0].any() and not real.train.x.any()
    discrete = Data(replace(real, levels=3), batch_size=500, jitter=0.3)
    assert not next(iter(discrete.train_dataloader()))[0].any()
