"""Mathematics of the VAE, against a linear-Gaussian one whose exact likelihood is known."""

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

import genzoo
from genzoo import GAN, VAE, Autoregressive, Diffusion, Energy, Flow, FlowMatching, Likelihood, grid
from genzoo.data.dataset import DataSet, Split
from genzoo.families.priors import ConditionalNormal, StandardNormal, UniformCodes, guided
from genzoo.model import importance_weighted

LATENT, NOISE = 2, 0.5
TINY = {"width": 8, "components": 2}


class World:
    """z ~ N(0, I), x | z ~ N(W z, s^2 I).

    Then p(x) = N(0, W W' + s^2 I), and p(z | x) is a Gaussian as well.
    """

    def __init__(self, orthogonal: bool):
        w = torch.randn(3, LATENT, dtype=torch.float64)
        self.w = (
            torch.linalg.qr(w).Q * torch.tensor([1.5, 0.7], dtype=torch.float64)
            if orthogonal
            else w
        )
        self.truth = MultivariateNormal(
            torch.zeros(3).double(), self.w @ self.w.T + NOISE**2 * torch.eye(3).double()
        )
        precision = torch.eye(LATENT).double() + self.w.T @ self.w / NOISE**2
        # diagonal where the columns of W are orthogonal
        self.covariance = torch.linalg.inv(precision)

    def model(self, miss: float = 0.0) -> VAE:
        """A VAE whose two conditionals are the world's.

        Its guess is off by ``miss`` in mean and log-scale.
        """
        model = VAE((3,), latent_shape=(LATENT,), **TINY).double().eval()
        scale = self.covariance.diagonal().sqrt() * math.exp(miss)
        model.p = lambda z, c=None: Independent(Normal(z @ self.w.T, NOISE), 1)
        model.q = lambda x, c=None: Independent(
            Normal(x @ self.w / NOISE**2 @ self.covariance + miss, scale), 1
        )
        return model


def test_the_elbo_with_the_exact_posterior_is_the_likelihood():
    world = World(orthogonal=True)
    x = world.truth.sample((5,))
    for k in (1, 3):
        torch.testing.assert_close(world.model().bound(x, k=k), world.truth.log_prob(x))
    torch.testing.assert_close(world.model().log_prob(x), world.truth.log_prob(x))
    torch.testing.assert_close(world.model().loss(x), -world.truth.log_prob(x))


def test_the_encoder_runs_once_for_all_samples_of_a_bound():
    world, calls = World(orthogonal=True), []
    model = world.model(miss=0.3)
    q = model.q
    model.q = lambda x, c=None: calls.append(len(x)) or q(x, c)
    x = world.truth.sample((5,))
    torch.manual_seed(0)
    bound = model.bound(x, k=7)
    assert calls == [5]
    torch.manual_seed(0)
    torch.testing.assert_close(bound, importance_weighted(model, x, None, 7))


@pytest.mark.equation("importance-weighted-bound")
@pytest.mark.parametrize(("orthogonal", "miss"), [(True, 0.3), (False, 0.0), (False, -0.2)])
def test_the_bound_rises_with_k_to_the_likelihood_and_no_further(orthogonal, miss):
    world = World(orthogonal)
    model, x, repeats = world.model(miss), world.truth.sample((6,)), 4000
    truth = world.truth.log_prob(x)
    draws = {k: model.bound(x.repeat(repeats, 1), k=k).view(repeats, -1) for k in (1, 5, 50)}
    mean = {k: d.mean(0) for k, d in draws.items()}
    error = {k: d.std(0) / math.sqrt(repeats) for k, d in draws.items()}
    assert (mean[1] < mean[5] + 4 * error[1]).all()
    assert (mean[5] < mean[50] + 4 * error[5]).all()
    assert mean[1].mean() < mean[5].mean() < mean[50].mean()
    assert (mean[50] < truth + 4 * error[50]).all()
    assert (truth - mean[50]).mean() < 0.3 * (truth - mean[1]).mean()


@pytest.mark.equation("elbo")
def test_the_gap_of_the_elbo_is_the_divergence_of_the_guess():
    world, miss = World(orthogonal=True), 0.4
    model, x, repeats = world.model(miss), world.truth.sample((3,)), 20_000
    posterior = world.model().q(x)
    gap = torch.distributions.kl_divergence(model.q(x), posterior)
    draws = model.log_prob(x.repeat(repeats, 1)).view(repeats, -1)
    error = draws.std(0) / math.sqrt(repeats)
    assert ((world.truth.log_prob(x) - draws.mean(0) - gap).abs() < 5 * error).all()


def test_samples_of_the_linear_world_have_its_covariance():
    world = World(orthogonal=False)
    x = world.model().sample(20_000)
    torch.testing.assert_close(x.T.cov(), world.truth.covariance_matrix, atol=0.15, rtol=0.05)


# ------------------------------------------------------------------------------------ discrete data


def test_the_decoder_is_a_probability_of_levels():
    model = VAE((1, 1, 2), levels=3, latent_shape=(2,), **TINY)
    levels = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    x = grid.to_grid(levels, 3).view(9, 1, 1, 2)
    z = torch.randn(1, 2).expand(9, -1)
    assert torch.logsumexp(model.p(z).log_prob(x) + 2 * math.log(2 / 3), 0).item() == pytest.approx(
        0, abs=1e-5
    )


# ------------------------------------------------------------------------------------------- priors

SMALL = {
    Autoregressive: {"width": 8, "depth": 1, "components": 2},
    Flow: {"width": 8, "couplings": 2, "bins": 4},
    VAE: {"width": 8, "components": 2, "latent_shape": (2,)},
    Energy: {"width": 8, "buffer": 16, "steps": 2, "sample_steps": 2},
    Diffusion: {"width": 8, "steps": 3},
    FlowMatching: {"width": 8, "steps": 3},
    GAN: {"width": 8, "latent_shape": (2,)},
}


@pytest.mark.parametrize("condition", [0, 3])
@pytest.mark.parametrize("family", genzoo.FAMILIES, ids=lambda family: family.__name__)
def test_any_family_is_a_prior_and_the_whole_claims_no_more_than_its_parts(
    family, condition, tmp_path
):
    prior = family((4,), condition=condition, **SMALL[family])
    model = VAE((1, 8, 8), condition=3, levels=5, latent_shape=(4,), prior=prior, **TINY).eval()
    assert model.likelihood == max(Likelihood.BOUND, prior.likelihood)
    x, c = grid.quantise(torch.rand(4, 1, 8, 8) * 2 - 1, 5), torch.tensor([0, 1, 2, -1])
    assert model.sample(4, c).shape == (4, 1, 8, 8)
    if isinstance(prior, Energy):
        prior.log_z.zero_()
    if prior.likelihood != Likelihood.NONE:
        assert model.log_prob(x, c).isfinite().all()
        assert model.bound(x, c, k=2).shape == (4,)
    again = genzoo.load(genzoo.save(model, tmp_path))
    assert type(again.prior) is family
    assert again.likelihood == model.likelihood
    states = zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    for ours, theirs in states:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_a_prior_without_a_likelihood_leaves_the_whole_without_one():
    model = VAE((3,), latent_shape=(4,), prior=GAN((4,), **SMALL[GAN]), **TINY)
    with pytest.raises(NotImplementedError, match="GAN"):
        model.log_prob(torch.randn(2, 3))


def test_a_prior_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(3,\), but latent_shape is \(4,\)"):
        VAE((2,), latent_shape=(4,), prior=Flow((3,), **SMALL[Flow]))


@pytest.mark.parametrize(
    "family", [Autoregressive, Flow, VAE, Diffusion], ids=lambda family: family.__name__
)
def test_a_prior_that_states_a_likelihood_trains_jointly(family):
    model = VAE((3,), latent_shape=(4,), prior=family((4,), **SMALL[family]), **TINY)
    before = {name: value.clone() for name, value in model.prior.named_parameters()}
    data = data_of(torch.randn(32, 3))
    genzoo.fit(model, data, steps=4, batch_size=8, check_every=4, accelerator="cpu", average=0.0)
    moved = [
        name
        for name, value in model.prior.named_parameters()
        if not torch.equal(value, before[name])
    ]
    assert len(moved) > 0.9 * len(before)


def data_of(x: torch.Tensor, levels: int = 0) -> DataSet:
    half = len(x) // 2
    return DataSet("made up", Split(x[:half]), Split(x[half:]), Split(x[half:]), levels=levels)


# ------------------------------------------------------------------------------- posterior collapse


def collapsed() -> VAE:
    """A VAE whose encoder says the same of every event."""
    model = VAE((3,), latent_shape=(2,), lr=1e-9, **TINY)
    with torch.no_grad():
        model.encoder.head.weight.zero_()
    return model


def test_active_units_are_counted():
    x = torch.randn(64, 3)
    model = collapsed()
    assert model.active_units(x) == 0
    with torch.no_grad():
        model.encoder.head.weight[0].normal_()  # the mean of the first latent dimension
    assert model.active_units(x) == 1
    assert VAE((3,), latent_shape=(2,), **TINY).active_units(10 * x) == 2


def test_posterior_collapse_is_reported(capsys):
    options = {"steps": 2, "batch_size": 8, "check_every": 2, "accelerator": "cpu"}
    data = data_of(torch.randn(64, 3))
    genzoo.fit(collapsed(), data, **options)
    assert "Posterior collapse" in capsys.readouterr().out
    healthy = VAE((3,), latent_shape=(2,), **TINY)
    with torch.no_grad():
        healthy.encoder.head.weight.mul_(5)
    genzoo.fit(healthy, data, **options)
    assert "Posterior collapse" not in capsys.readouterr().out


def test_the_weight_of_the_divergence_warms_up_in_training_only():
    model = VAE((3,), warmup=0.5, latent_shape=(2,), **TINY)
    assert model.kl_weight == 1
    seen, loss = [], model.loss
    model.loss = lambda x, c=None: (seen.append(model.kl_weight), loss(x, c))[1]
    genzoo.fit(
        model, data_of(torch.randn(64, 3)), steps=8, batch_size=8, check_every=8, accelerator="cpu"
    )
    assert seen == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]


def test_draws_of_a_diffusion_prior_are_not_taken_for_importance_weights():
    torch.manual_seed(0)
    x = torch.randn(64, 2)
    for prior, unbiased in [
        (None, True),
        (Flow((2,), width=8), True),
        (Diffusion((2,), width=8), False),
    ]:
        model = VAE((2,), latent_shape=(2,), width=8, prior=prior).eval()
        assert model.unbiased == unbiased
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(1)
            bound = model.bound(x, k=16)
            torch.manual_seed(1)
            weighted = importance_weighted(model, x, None, k=16)
        assert torch.equal(bound, weighted) == unbiased
        # nats that the wrong formula would have made up
        assert unbiased or weighted.mean() > bound.mean() + 1


def test_without_a_prior_of_its_own_a_conditional_vae_learns_where_each_label_lies():
    """It starts as N(0, I) for every label.

    Moved, it is what is drawn from and what the bound is about.
    """
    model = VAE((3,), condition=2, latent_shape=(2,), **TINY).eval()
    z, labels = torch.randn(5, 2), torch.tensor([0, 1, -1, 0, 1])
    torch.testing.assert_close(model.log_prior(z, labels), Normal(0.0, 1.0).log_prob(z).sum(1))
    with torch.no_grad():
        model.prior.embed.embed.weight.copy_(torch.tensor([[3.0, -3.0], [0, 0], [-1, 0], [0, 1]]))
    means, scales = (
        torch.tensor([[3.0, 0.0], [-3.0, 0.0]]),
        torch.tensor([[math.exp(-1), 1.0], [1.0, math.e]]),
    )
    for label in (0, 1):
        given = torch.full((4000,), label)
        drawn = model.draw_latents(4000, given)
        error = 5 * scales[label] / math.sqrt(4000)
        assert ((drawn.mean(0) - means[label]).abs() < error).all()
        assert ((drawn.std(0) - scales[label]).abs() < error).all()
        expected = Normal(means[label], scales[label]).log_prob(drawn).sum(1)
        torch.testing.assert_close(model.log_prior(drawn, given), expected)
    torch.testing.assert_close(model.log_prior(z, None), Normal(0.0, 1.0).log_prob(z).sum(1))


def test_a_vae_without_a_prior_of_its_own_takes_the_plain_one_for_its_latent():
    for plain, options in (
        (StandardNormal, {}),
        (ConditionalNormal, {"condition": 2}),
        (UniformCodes, {"condition": 2, "codes": 4}),
    ):
        model = VAE((3,), latent_shape=(2,), **TINY, **options)
        assert type(model.prior) is plain
        assert "prior" not in model.config()["arguments"]
        assert model.likelihood == Likelihood.BOUND and model.unbiased
        assert model.evaluations_per_sample == 1


@pytest.mark.parametrize("plain", [StandardNormal((2, 3)), ConditionalNormal((2,), 3)])
def test_a_plain_prior_is_a_model_and_is_kept_if_it_was_given(plain, tmp_path):
    model = VAE((3,), 3, latent_shape=plain.event_shape, prior=plain, **TINY).eval()
    again = genzoo.load(genzoo.save(model, tmp_path))
    assert type(again.prior) is type(plain)
    z, c = plain.sample(5), torch.tensor([0, 1, 2, -1, 0])
    torch.testing.assert_close(again.log_prior(z, c), model.log_prior(z, c), rtol=0, atol=0)
    torch.testing.assert_close(plain.log_prob(z), Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1))
    assert plain.double().sample(2).dtype == torch.float64


@pytest.mark.parametrize(
    ("w", "width"),
    [(0.0, 1.1), (0.5, 1.1), (1.0, 1.1), (2.0, 1.1), (4.0, 1.1), (0.0, 0.4), (0.5, 0.4)],
)
def test_a_guided_prior_is_the_normalised_product(w, width):
    """Against p(z | c)^w p(z)^(1 - w), normalised by a sum over a grid.

    ``width`` is that of p(z).
    """
    given, free = (
        Normal(torch.tensor(m).double(), torch.tensor(s).double())
        for m, s in ((0.8, 0.6), (-0.3, width))
    )
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    log_p = torch.lerp(free.log_prob(z), given.log_prob(z), w)
    log_p = log_p - log_p.logsumexp(0) - torch.log(z[1] - z[0])
    torch.testing.assert_close(guided(given, free, w).log_prob(z), log_p, atol=1e-6, rtol=1e-6)


def test_guidance_away_from_a_narrower_prior_moves_the_mean_and_widens_nothing():
    given, free = (
        Normal(torch.tensor(1.0), torch.tensor(2.0)),
        Normal(torch.tensor(0.0), torch.tensor(0.5)),
    )
    law = guided(given, free, 3.0)  # p(z | c)^3 / p(z)^2 grows without limit
    assert (law.mean.item(), law.stddev.item()) == (pytest.approx(3.0), pytest.approx(2.0))


def test_guidance_of_a_vae_keeps_to_the_condition_and_zero_ignores_it():
    torch.manual_seed(0)
    model, c = (
        VAE((2,), condition=2, latent_shape=(2,), **TINY).eval(),
        torch.zeros(4000, dtype=torch.long),
    )
    model.prior.embed.embed.weight.data[:2, 0] = 1.0  # p(z | c = 0) lies at (1, 1), p(z) at (0, 0)
    for w in (0.0, 1.0, 2.0):
        assert abs(model.draw_latents(len(c), c, w).mean().item() - w) < 0.1
    torch.manual_seed(1)
    ignored = model.sample(50, c[:50], guidance=0.0)
    torch.manual_seed(1)
    torch.testing.assert_close(ignored, model.sample(50))


def test_a_vae_can_be_guided_if_its_prior_can():
    def able(prior=None, condition=2, codes=0):
        return VAE(
            (2,), condition, latent_shape=(2,), prior=prior, codes=codes, **TINY
        ).can_be_guided

    assert able() and able(Diffusion((2,), condition=2, width=8))
    assert not able(condition=0) and not able(codes=4)
    assert not able(GAN((2,), condition=2, width=8)) and not able(Diffusion((2,), width=8))
    c = torch.zeros(3, dtype=torch.long)
    model = VAE(
        (2,), 2, latent_shape=(2,), prior=Diffusion((2,), condition=2, width=8), **TINY
    ).eval()
    assert model.sample(3, c, guidance=2.0).shape == (3, 2)


@pytest.mark.parametrize("raw", [-100.0, 100.0])
def test_a_prior_of_a_condition_keeps_its_scale_within_reason(raw):
    """Like every other Gaussian of the zoo.

    One of no width, or of any, would be a density of infinity or of nothing.
    """
    model = VAE((2,), condition=3, latent_shape=(2,), width=8)
    assert isinstance(model.prior, ConditionalNormal) and model.prior.embed.embed is not None
    with torch.no_grad():
        model.prior.embed.embed.bias.fill_(raw)
        scale = model.prior.distribution(3, torch.arange(3)).stddev
    assert math.exp(-7) <= scale.min() and scale.max() <= math.exp(3) * (1 + 1e-6)


@pytest.mark.parametrize("patch", [1, 2])
def test_levels_without_an_order_have_a_categorical_likelihood(patch):
    """Its pmf sums to one over all four images of two pixels, and its mean is that of its pmf."""
    model = VAE((1, 2, 2), levels=3, latent_shape=(2,), ordered=False, patch=patch, **TINY)
    z = torch.randn(2, 2)
    p = model.p(z)
    one_pixel = p.base_dist  # type: ignore[attr-defined]
    levels = grid.to_grid(torch.arange(3), 3)
    density = torch.stack([one_pixel.log_prob(v.expand(2, 1, 2, 2)) for v in levels]).exp()
    pmf = density * grid.bin_width(3)
    torch.testing.assert_close(pmf.sum(0), torch.ones(2, 1, 2, 2))
    expected = (pmf * levels.view(-1, 1, 1, 1, 1)).sum(0)
    torch.testing.assert_close(model.decode(z), expected)
    assert not grid.is_between(model.sample(2), 3).any()
