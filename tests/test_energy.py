"""Mathematics of the energy family: Langevin dynamics against a Gaussian, the replay buffer, the guard."""

import math

import pytest
import torch

import genzoo
from genzoo import Energy
from genzoo.data.dataset import DataSet, Split
from genzoo.errors import TrainingError
from genzoo.families.energy import adjusted_langevin, langevin

TINY = {"width": 8, "buffer": 32, "steps": 3, "sample_steps": 3}


def quadratic(x: torch.Tensor) -> torch.Tensor:
    return x.square().flatten(1).sum(1) / 2


def data_of(n: int = 32, condition: int = 0) -> DataSet:
    def split(n):
        return Split(torch.randn(n, 2), torch.arange(n) % condition if condition else None)

    return DataSet("made up", split(n), split(8), split(8), condition=condition)


# -------------------------------------------------------------------------------------------------------------- langevin


@pytest.mark.parametrize("step", [0.1, 0.5, 1.0])
def test_langevin_keeps_a_gaussian_up_to_its_known_bias(step):
    """x' = (1 - h^2/2) x + h xi has the stationary variance 1 / (1 - h^2/4), and reaches it from elsewhere."""
    variance = 1 / (1 - step**2 / 4)
    n = 40_000
    error = variance * math.sqrt(2 / n)
    start = math.sqrt(variance) * torch.randn(n, 1, dtype=torch.float64)
    x = langevin(quadratic, start, step, steps=50)
    assert x.mean().abs() < 5 * math.sqrt(variance / n)
    assert (x.var() - variance).abs() < 5 * error
    assert (x.square().square().mean() / x.var() ** 2 - 3).abs() < 0.15  # a Gaussian still
    arrived = langevin(
        quadratic, torch.full_like(start, 5.0), step, steps=math.ceil(16 / step**2) if step > 0.1 else 900
    )
    assert (arrived.mean()).abs() < 5 * math.sqrt(variance / n) + 5 * (1 - step**2 / 2) ** 900
    assert (arrived.var() - variance).abs() < 5 * error


def test_langevin_samples_a_correlated_gaussian():
    precision = torch.tensor([[2.0, -0.8], [-0.8, 1.0]], dtype=torch.float64)
    x = langevin(lambda x: 0.5 * (x @ precision * x).sum(1), torch.randn(20_000, 2).double(), step=0.2, steps=400)
    torch.testing.assert_close(x.T.cov(), torch.linalg.inv(precision), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("step", [0.5, 1.0, 1.5])
def test_tested_moves_keep_a_gaussian_without_a_bias(step):
    n = 40_000
    x = adjusted_langevin(quadratic, torch.randn(n, 2, dtype=torch.float64), step, steps=40)
    assert (x.mean(0).abs() < 5 / math.sqrt(n)).all()
    assert ((x.var(0) - 1).abs() < 5 * math.sqrt(2 / n)).all()
    arrived = adjusted_langevin(quadratic, torch.full((n, 2), 3.0, dtype=torch.float64), step, steps=400)
    assert ((arrived.var(0) - 1).abs() < 5 * math.sqrt(2 / n)).all()


def test_tested_moves_do_not_fly_off_where_the_energy_is_steep():
    start = torch.randn(200, 2)

    def steep(x: torch.Tensor) -> torch.Tensor:
        return 50 * x.pow(4).sum(1)

    assert not langevin(steep, start, 0.3, 30).isfinite().all()
    assert adjusted_langevin(steep, start, 0.3, 30).abs().max() <= start.abs().max()


@pytest.mark.parametrize("walk", [langevin, adjusted_langevin])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_langevin_leaves_no_grad_and_inference_mode_and_its_input_alone(mode, walk):
    start = torch.randn(4, 1, 2, 2)
    kept = start.clone()
    with mode():
        inside = walk(quadratic, start.clone(), 0.1, 3)
    assert torch.equal(start, kept)
    assert not inside.requires_grad
    assert not torch.equal(inside, kept)


# ---------------------------------------------------------------------------------------------------------------- energy


def test_the_energy_is_the_network_and_a_confinement():
    model = Energy((3,), spread=2.0, **TINY)
    x = torch.randn(5, 3)
    network = model.network(x, model.embed(None, 5)).squeeze(1)
    torch.testing.assert_close(model.energy(x), network + x.square().sum(1) / 8)


def test_no_density_before_log_z_is_known():
    model, x = Energy((2,), **TINY), torch.randn(4, 2)
    with pytest.raises(NotImplementedError, match="log Z has not been estimated"):
        model.log_prob(x)
    model.log_z.fill_(1.5)
    torch.testing.assert_close(model.log_prob(x), -model.energy(x) - 1.5)


def test_log_prob_with_the_true_log_z_integrates_to_one():
    model = Energy((2,), **TINY).double()
    side = torch.linspace(-8, 8, 161, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    with torch.no_grad():
        model.log_z.fill_(torch.logsumexp(-model.energy(x), 0) + 2 * torch.log(side[1] - side[0]))
        assert (model.log_prob(x).exp().sum() * (side[1] - side[0]) ** 2).item() == pytest.approx(1)


def test_the_loss_has_the_gradient_of_the_likelihood():
    """With chains that are true samples: the energy's gradient at data minus that at samples."""
    model = Energy((2,), noise=0.0, regularise=0.0, **TINY)
    x, chains = torch.randn(4, 2), torch.randn(4, 2)
    model.persist = lambda n, c: (chains, None)
    model.loss(x).sum().backward()
    got = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    (model.energy(x).sum() - model.energy(chains).sum()).backward()
    want = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    for ours, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(ours, theirs)


# ---------------------------------------------------------------------------------------------------------------- buffer


def test_the_buffer_is_part_of_the_model_and_walks_in_training(tmp_path):
    model = Energy((2,), condition=3, **TINY)
    assert {"chains", "chain_conditions", "gap", "log_z"} <= set(model.state_dict())
    before = model.chains.clone()
    genzoo.fit(model, data_of(condition=3), steps=8, batch_size=8, check_every=4, accelerator="cpu")
    assert model.chains.shape == before.shape
    assert (model.chains != before).any(1).float().mean() > 0.5
    again = genzoo.load(genzoo.save(model, tmp_path))
    assert torch.equal(again.chains, model.chains)
    torch.testing.assert_close(again.chain_conditions, model.chain_conditions, equal_nan=True)


def test_only_the_chosen_chains_move_and_keep_their_conditions():
    model = Energy((2,), condition=3, refresh=0.0, **TINY)
    model.chain_conditions.copy_(torch.eye(3)[torch.arange(32) % 3])
    chains, conditions = model.chains.clone(), model.chain_conditions.clone()
    x, c = model.persist(5, torch.tensor([0, 1, 2, 0, 1]))
    moved = (model.chains != chains).any(1)
    assert moved.sum() == 5
    assert torch.equal(model.chain_conditions, conditions)  # a chain goes on under the condition it was started with
    for event, condition in zip(x, c, strict=True):
        (row,) = (model.chains == event).all(1).nonzero()
        assert torch.equal(model.chain_conditions[row[0]], condition)


def test_restarted_chains_take_the_conditions_of_the_batch():
    model = Energy((2,), condition=3, refresh=1.0, **TINY)
    _, c = model.persist(32, torch.arange(32) % 3)
    assert torch.equal(c, torch.eye(3)[torch.arange(32) % 3])
    assert not model.chain_conditions.isnan().any()
    assert len(model.persist(50, torch.arange(50) % 3)[0]) == 50  # more than the buffer holds


def test_samples_start_from_chains_of_their_condition():
    model = Energy((2,), condition=3, **TINY)
    labels = torch.arange(32) % 3
    model.chain_conditions.copy_(torch.eye(3)[labels])
    model.chains.copy_(labels[:, None].float().expand(-1, 2))
    start, _ = model.nearest_chains(4, torch.tensor([2, 0, 1, 1]))
    assert start[:, 0].tolist() == [2, 0, 1, 1]
    start, _ = model.nearest_chains(70, None)  # more than the buffer holds
    assert start.shape == (70, 2)


# ----------------------------------------------------------------------------------------------------------------- guard


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guided_chains_walk_in_the_product_of_two_gaussians(guidance):
    """E(x) = x^2 / 2 and E(x, c) = (x - 1)^2 / 2 make N(w, 1) of p(x | c)^w p(x)^(1 - w)."""
    torch.manual_seed(0)
    model = Energy((1,), condition=2, width=8, step=0.3, buffer=4000)
    model.energy = lambda x, c=None: (x - (0.0 if c is None else 1.0)).square().sum(1) / 2  # type: ignore[method-assign]
    drawn = model.sample(4000, torch.zeros(4000, dtype=torch.long), guidance, steps=200)
    assert abs(drawn.mean().item() - guidance) < 0.1 and abs(drawn.std().item() - 1) < 0.1


def test_a_run_that_diverges_is_stopped_with_a_sentence():
    model = Energy((2,), lr=30.0, **TINY)
    with pytest.raises(TrainingError, match=r"diverged") as caught:
        genzoo.fit(model, data_of(), steps=400, batch_size=16, check_every=50, accelerator="cpu")
    assert "Try a smaller lr (now 30)" in str(caught.value)


def test_the_guard_bears_ordinary_gaps_and_not_a_number_is_no_gap():
    model = Energy((2,), **TINY)
    for _ in range(200):
        model.guard(torch.tensor(5.0))
    with pytest.raises(TrainingError, match="differ by nan nats"):
        model.guard(torch.tensor(math.nan))


def test_training_on_a_gaussian_finds_it():
    """With a spread twice too wide, the network must learn to pull the chains in to the data's variance."""
    model = Energy((2,), lr=1e-2, spread=2.0, noise=0.0, width=16, step=0.3, steps=10, buffer=512, sample_steps=100)
    optimiser = torch.optim.Adam(model.parameters(), model.lr)
    for _ in range(150):
        optimiser.zero_grad()
        model.loss(torch.randn(256, 2)).mean().backward()
        optimiser.step()
    assert model.sample(512).std().item() == pytest.approx(1, abs=0.2)
