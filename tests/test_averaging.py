"""Averages of the weights: the profile is the power of the step, at every length of the run."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

import genzoo
from genzoo.benchmark.plan import plan
from genzoo.cli.train import train
from genzoo.data import DataSet
from genzoo.data.loading import load as load_data
from genzoo.errors import InputError
from genzoo.training.averaging import (
    MOST_BETWEEN,
    WIDEST,
    Averaged,
    Averages,
    between,
    exponent,
    kept,
    power_average,
)

WIDTHS = (0.01, 0.05, 0.1, 0.2, WIDEST)


def profile(width: float, steps: int) -> torch.Tensor:
    """What each step's weights count for after ``steps``: the average of unit vectors."""
    weights = torch.nn.Linear(steps, 1, bias=False).double()
    average = AveragedModel(weights, multi_avg_fn=power_average(width))
    for step in range(steps):
        weights.weight.data = torch.eye(steps, dtype=torch.float64)[step : step + 1]
        average.update_parameters(weights)
    return average.module.weight.detach()[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("steps", [100, 500])
def test_the_profile_has_the_width_that_was_asked_for_at_every_length(width, steps):
    found, s = profile(width, steps), torch.arange(1, steps + 1, dtype=torch.float64) / steps
    assert math.isclose(found.sum(), 1.0, rel_tol=1e-9)
    mean = (found * s).sum()
    spread = (found * (s - mean).square()).sum().sqrt().item()
    assert abs(spread - width) < 1 / steps
    gamma = exponent(width)
    assert abs(mean.item() - (gamma + 1) / (gamma + 2)) < 1 / steps


@pytest.mark.parametrize("width", WIDTHS)
def test_the_exponent_is_that_of_the_equation(width):
    gamma = exponent(width)
    assert gamma > 0
    assert math.isclose((gamma + 1) ** 0.5 / (gamma + 2) / (gamma + 3) ** 0.5, width, rel_tol=1e-9)


def test_what_is_kept_over_a_stretch_of_steps_depends_on_its_ends_alone():
    """So the profile after any number of steps is the same, stretched."""
    gamma = exponent(0.1)
    for first, last in ((50, 100), (500, 1000)):
        product = math.prod(kept(step, gamma) for step in range(first + 1, last + 1))
        assert math.isclose(product, (first / last) ** (gamma + 1), rel_tol=1e-9)


def test_no_width_keeps_the_last_weights():
    assert torch.equal(profile(0.0, 5), torch.tensor([0.0, 0, 0, 0, 1], dtype=torch.float64))


def test_a_call_a_recipe_and_a_command_that_still_name_a_decay_are_told_what_replaced_it():
    data = load_data("moons")
    with pytest.raises(InputError, match=r"no setting 'ema'.* give average"):
        genzoo.fit(genzoo.Flow((2,), width=8), data, steps=1, ema=0.99)
    with pytest.raises(InputError, match=r"no setting 'ema'.* give average"):
        plan("flow", "moons", train={"ema": 0.99})
    with pytest.raises(InputError, match=r"no setting 'ema'.* give average"):
        train(["flow", "--data", "moons", "--ema", "0.99"])


# ----------------------------------------------------- are they better than the last weights?


def gain(folder: Path, data: DataSet, seed: int, steps: int) -> torch.Tensor:
    """How much lower the averaged weights' validation loss is than the last ones'.

    It is of each event.
    """
    torch.manual_seed(seed)
    model = genzoo.Autoregressive((2,), width=16, depth=1, lr=4e-3)
    genzoo.fit(
        model,
        data,
        folder,
        steps=steps,
        batch_size=64,
        seed=seed,
        patience=1000,
        accelerator="cpu",
    )
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    losses = []
    for weights in ("current_model_state", "state_dict"):
        model.load_state_dict(checkpoint[weights])
        with torch.no_grad():
            losses.append(model.validation_loss(data.validation.x))
    last, averaged = losses
    return last - averaged


@pytest.mark.parametrize(
    ("steps", "seeds"),
    [(100, 2), (500, 1), (1500, 1)],
)
def test_averaged_weights_are_never_worse_than_the_last_by_more_than_noise(steps, seeds, tmp_path):
    """Of the same run, on the same events: the noise is that of the events."""
    data = load_data("moons", train=2000, validation=1000)
    gains = torch.cat([gain(tmp_path / str(seed), data, seed, steps) for seed in range(seeds)])
    noise = gains.std() / len(gains) ** 0.5
    assert gains.mean() > -2 * noise - 0.002


def test_the_listed_average_is_torch_s_own_buffers_and_resumption_included():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    expected = AveragedModel(model, multi_avg_fn=power_average(0.1))
    average = Averaged(model, 0.1)
    for step in range(8):
        for value in (*model.parameters(), model[1].running_mean):
            value.data.add_(torch.randn_like(value))
        for each in (expected, average):
            each.update_parameters(model)
        if step == 4:
            state, average = average.state_dict(), Averaged(model, 0.1)
            average.load_state_dict(state)
    for name, value in expected.state_dict().items():
        assert torch.equal(value, average.state_dict()[name]), name


def test_an_average_that_skips_steps_has_the_same_profile_but_for_a_few_steps_width():
    width, steps = 0.1, 500
    every, some = profile(width, steps), torch.zeros(steps, dtype=torch.float64)
    gamma, before = exponent(width), 0
    for step in range(1, steps + 1):
        if step % between(step, width) == 0:
            weight = kept(step, gamma, before)
            some *= weight
            some[step - 1] += 1 - weight
            before = step
    assert between(1, width) >= 1 and between(steps, width) == MOST_BETWEEN
    assert math.isclose(some.sum(), 1.0, rel_tol=1e-9)
    s = torch.arange(1, steps + 1, dtype=torch.float64)
    assert abs(((some - every) * s).sum()) < MOST_BETWEEN
    spreads = [(each * (s - (each * s).sum()).square()).sum().sqrt() for each in (every, some)]
    assert math.isclose(*spreads, rel_tol=0.05)


@pytest.mark.parametrize("at", [398, 399])
def test_a_run_resumed_between_two_updates_of_the_average_ends_with_the_same(at):
    """The callback's count goes on where it was."""

    def train(average: Averages, model: torch.nn.Module, first: int, last: int) -> None:
        for step in range(first, last + 1):
            model.weight.data.fill_(step)
            average.on_train_batch_end(SimpleNamespace(global_step=step), model, None, None, 0)

    def begun() -> tuple[Averages, torch.nn.Module]:
        average, model = Averages(0.03), torch.nn.Linear(1, 1, bias=False).double()
        average.setup(None, model, "fit")
        return average, model

    average, model = begun()
    train(average, model, 1, at)
    resumed, again = begun()
    resumed._average_model.load_state_dict(average._average_model.state_dict())
    resumed.load_state_dict(average.state_dict())
    for each, weights in ((average, model), (resumed, again)):
        train(each, weights, at + 1, 402)
        each.catch_up(weights)
    assert resumed._average_model.steps_taken == 402
    ends = [each._average_model.module.weight.item() for each in (average, resumed)]
    assert ends[0] == ends[1] and 380 < ends[0] < 402
