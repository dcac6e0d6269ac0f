"""Mathematics of the GAN: who gets which gradient, the R1 penalty, and the critic's optimum."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

import genzoo
from genzoo import GAN, Likelihood, grid
from genzoo.data.dataset import DataSet, Split
from genzoo.families.gan import critic_loss, generator_loss

TINY = {"width": 8, "latent_shape": (3,)}


def test_the_critics_loss_does_not_reach_the_generator():
    model, x = GAN((2,), **TINY), torch.randn(8, 2)
    fake = model.generate(model.latent_noise(8))
    critic_loss(model.score, x, fake, None, 1.0).sum().backward()
    for part in (model.generator, model.generator_embed):
        assert all(parameter.grad is None for parameter in part.parameters())
    for part in (model.critic, model.critic_embed):
        assert all(parameter.grad is not None for parameter in part.parameters())


def test_the_summed_loss_gives_the_generator_its_own_gradient_only():
    model, x = GAN((2,), **TINY).double(), torch.randn(8, 2).double()
    torch.manual_seed(1)
    model.loss(x).sum().backward()
    both = [parameter.grad.clone() for parameter in model.generator.parameters()]
    model.zero_grad()
    torch.manual_seed(1)
    generator_loss(model.score, model.generate(model.latent_noise(8)), None).sum().backward()
    for got, parameter in zip(both, model.generator.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad)


def test_training_moves_both_players_by_their_own_optimisers(tmp_path):
    model = GAN((2,), **TINY)
    before = {name: value.clone() for name, value in model.named_parameters()}
    split = Split(torch.randn(32, 2))
    genzoo.fit(
        model,
        DataSet("made up", split, split, split),
        tmp_path,
        steps=4,
        batch_size=8,
        accelerator="cpu",
        average=0.0,
    )
    moved = {
        name for name, value in model.named_parameters() if not torch.equal(value, before[name])
    }
    assert moved == set(before)
    states = torch.load(tmp_path / "last.ckpt", weights_only=True)["optimizer_states"]
    players = [
        nn.ModuleList([model.generator_embed, model.generator]),
        nn.ModuleList([model.critic_embed, model.critic]),
    ]
    assert [len(state["state"]) for state in states] == [
        len(list(player.parameters())) for player in players
    ]


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
def test_r1_is_the_squared_gradient_of_the_critic_by_finite_differences(shape):
    model, x = GAN(shape, condition=2, **TINY).double(), torch.randn(2, *shape).double()
    c, fake, h = torch.tensor([0, 1]), torch.randn(2, *shape).double(), 1e-5
    with_r1, without = (critic_loss(model.score, x, fake, c, gamma) for gamma in (3.0, 0.0))
    penalty = with_r1 - without
    squares = torch.zeros(2).double()
    with torch.no_grad():
        for unit in torch.eye(model.dims).double().view(-1, 1, *shape):
            squares += (
                (model.score(x + h * unit, c) - model.score(x - h * unit, c)) / (2 * h)
            ).square()
    torch.testing.assert_close(penalty, 1.5 * squares, rtol=1e-5, atol=1e-8)


def test_the_penalty_is_differentiated_too():
    model, x = GAN((2,), **TINY).double(), torch.randn(4, 2).double()
    fake, weight, h = torch.randn(4, 2).double(), model.critic.stem.weight, 1e-6
    (gradient,) = torch.autograd.grad(critic_loss(model.score, x, fake, None, 3.0).sum(), weight)
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0] += sign * h
        ends.append(critic_loss(model.score, x, fake, None, 3.0).sum().item())
        with torch.no_grad():
            weight[0, 0] -= sign * h
    assert gradient[0, 0].item() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-4)


def test_a_lazy_penalty_is_taken_at_every_third_step_three_times_as_much(monkeypatch):
    taken = []

    def watched(score, real, fake, c, gamma):
        taken.append(gamma)
        return critic_loss(score, real, fake, c, gamma)

    monkeypatch.setattr("genzoo.families.gan.critic_loss", watched)
    split = Split(torch.randn(48, 2))
    model = GAN((2,), **TINY, gamma=2.0, lazy=3)
    data = DataSet("made up", split, split, split)
    genzoo.fit(model, data, steps=6, batch_size=8, check_every=6, accelerator="cpu")
    assert taken == [6.0, 0.0, 0.0, 6.0, 0.0, 0.0]


@pytest.mark.parametrize("levels", [2, 5])
def test_noisy_samples_on_the_grid_are_to_the_critic_as_data_are(levels):
    """A generator that gives data is shown as data, spread evenly over the same bins."""
    k = torch.randint(levels, (4000, 1))
    on_grid = grid.to_grid(k, levels)
    for noisy in (False, True):
        model = GAN((1,), levels=levels, noisy=noisy, **TINY)
        model.generate = lambda z, c=None: on_grid
        fake = model.fake(len(k))
        assert torch.equal(grid.to_level(fake, levels), k)
        place = (fake - on_grid) / grid.bin_width(levels)
        spread = 1 / math.sqrt(12) if noisy else 0.0
        assert place.mean().item() == pytest.approx(0.0, abs=0.03)
        assert place.std().item() == pytest.approx(spread, abs=0.02)


def test_a_generator_that_leaks_learns_where_a_tanh_has_saturated():
    slopes = []
    for leak in (0.0, 0.1):
        model = GAN((4,), levels=4, leak=leak, **TINY)
        with torch.no_grad():
            model.generator.head.bias.fill_(-30)
        model.generate(torch.randn(3, 3)).sum().backward()
        slopes.append(model.generator.head.bias.grad)
        assert (model.sample(3) == -0.75).all()  # the lowest level
    assert (slopes[0] == 0).all()
    torch.testing.assert_close(slopes[1], torch.full((4,), 0.3))


def test_squares_of_pixels_make_images_of_the_same_size():
    model = GAN((2, 6, 8), condition=2, levels=4, patch=2, **TINY)
    x = model.sample(3, torch.tensor([0, 1, 1]))
    assert x.shape == (3, 2, 6, 8)
    assert model.score(x).shape == (3,)
    with pytest.raises(ValueError, match="patch=4"):
        GAN((2, 6, 8), patch=4, **TINY)


@pytest.mark.equation("critic")
def test_the_optimal_critic_is_the_log_density_ratio():
    """Data N((1, 0), I) against N(0, I): the ratio's logarithm is x_1 - 1/2."""
    model = GAN((2,), latent_shape=(3,), width=16)
    optimiser = torch.optim.Adam(model.critic.parameters(), 5e-3)
    shift = torch.tensor([1.0, 0.0])
    for _ in range(300):
        optimiser.zero_grad()
        real, fake = shift + torch.randn(512, 2), torch.randn(512, 2)
        critic_loss(model.score, real, fake, None, gamma=0.0).mean().backward()
        optimiser.step()
    x = 0.5 * shift + torch.randn(1000, 2)
    with torch.no_grad():
        score = model.score(x)
    ratio = x[:, 0] - 0.5
    assert torch.corrcoef(torch.stack([score, ratio]))[0, 1] > 0.95
    assert (score - ratio).abs().mean() < 0.3


@pytest.mark.equation("generator")
def test_the_losses_are_those_of_the_classic_game_and_known_at_a_draw():
    """min max log sigmoid(D(x)) + log(1 - sigmoid(D(G(z)))), and -log sigmoid(D(G(z)))."""
    scores = torch.randn(2, 50).double()
    real, fake = torch.zeros(50, 1).double(), torch.ones(50, 1).double()

    def score(x, c):
        return torch.where(x.squeeze(1) == 0, scores[0], scores[1]) + 0 * x.squeeze(1)

    taken_for_real = torch.sigmoid(scores)
    game = taken_for_real[0].log() + (1 - taken_for_real[1]).log()
    torch.testing.assert_close(critic_loss(score, real, fake, None, gamma=0.0), -game)
    torch.testing.assert_close(generator_loss(score, fake, None), -taken_for_real[1].log())
    scores.zero_()
    draw = torch.full((50,), math.log(2)).double()
    torch.testing.assert_close(critic_loss(score, real, fake, None, gamma=0.0), 2 * draw)
    torch.testing.assert_close(generator_loss(score, fake, None), draw)


def test_at_its_optimum_the_critics_loss_is_two_log_two_less_twice_the_jensen_shannon_divergence():
    """Between N(1, 1) and N(0, 1), by a sum over a grid."""
    x = torch.linspace(-9, 10, 4001, dtype=torch.float64)[:, None]
    width = x[1] - x[0]
    data, model = Normal(1.0, 1.0).log_prob(x).squeeze(1), Normal(0.0, 1.0).log_prob(x).squeeze(1)

    def best(y, c):
        return Normal(1.0, 1.0).log_prob(y).squeeze(1) - Normal(0.0, 1.0).log_prob(y).squeeze(1)

    on_data = critic_loss(best, x, torch.full_like(x, -1e3), None, gamma=0.0)
    on_model = critic_loss(best, torch.full_like(x, 1e3), x, None, gamma=0.0)
    loss = width * (data.exp() * on_data + model.exp() * on_model).sum()
    middle = torch.logaddexp(data, model) - math.log(2)
    twice_js = width * (data.exp() * (data - middle) + model.exp() * (model - middle)).sum()
    torch.testing.assert_close(loss, 2 * math.log(2) - twice_js, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("gamma", "comes_to_rest"), [(0.0, False), (0.5, True)])
def test_r1_brings_the_game_of_two_parameters_to_rest(gamma, comes_to_rest):
    """Data at 0, a generator that makes theta, and a critic psi x (Mescheder et al. 2018)."""
    theta, psi = (torch.tensor(start, requires_grad=True) for start in (0.6, 0.0))

    def score(x, c):
        return (psi * x).squeeze(1)

    for _ in range(200):
        fake = theta.view(1, 1)
        critics = critic_loss(score, torch.zeros(1, 1), fake, None, gamma).sum()
        (down_psi,) = torch.autograd.grad(critics, psi)
        (down_theta,) = torch.autograd.grad(generator_loss(score, fake, None).sum(), theta)
        with torch.no_grad():
            psi -= 0.3 * down_psi
            theta -= 0.3 * down_theta
    distance = math.hypot(theta.item(), psi.item())
    assert distance < 1e-3 if comes_to_rest else distance > 0.3


@pytest.mark.parametrize("shape", [(2,), (1, 8, 8)])
def test_a_score_does_not_depend_on_its_batch(shape):
    model, x = GAN(shape, **TINY).train(), torch.randn(5, *shape)
    torch.testing.assert_close(model.score(x)[:1], model.score(x[:1]))
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    assert not [module for module in model.critic.modules() if isinstance(module, norms)]
    assert not [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def test_generated_grid_data_stays_in_its_box_and_real_data_does_not_have_one():
    bounded, free = (GAN((2,), levels=levels, **TINY) for levels in (5, 0))
    for model in (bounded, free):
        with torch.no_grad():
            model.generator.head.weight.mul_(100)
    z = torch.randn(200, 3)
    assert bounded.decode(z).abs().max() <= 1
    assert bounded.sample(200).abs().max() <= 1 - 1 / 5 + 1e-6
    assert free.decode(z).abs().max() > 1


def test_an_implicit_model_states_no_likelihood():
    model, x = GAN((2,), **TINY), torch.randn(3, 2)
    assert model.likelihood == Likelihood.NONE
    with pytest.raises(NotImplementedError, match="no likelihood"):
        model.log_prob(x)
