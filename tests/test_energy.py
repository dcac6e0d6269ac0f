"""Mathematics of the energy family.

Enumerated worlds, kernels that keep what they should, chains, the guard.
"""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import genzoo
from genzoo import Energy, Likelihood, grid
from genzoo.data.dataset import DataSet, Split
from genzoo.errors import TrainingError
from genzoo.families.baselines import IndependentPixels
from genzoo.families.boltzmann import Boltzmann, Gibbs, draw_levels, draw_of_table, ordinal
from genzoo.families.energy import Informed, adjusted_langevin, distinct, langevin
from genzoo.training.fitting import quiet

TINY = {"width": 8, "buffer": 32, "steps": 3, "sample_steps": 10}
WORLDS = {"3x3 of 2 levels": ((1, 3, 3), 2), "2x2 of 4 levels": ((4,), 4)}


def quadratic(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1) / 2


def data_of(n: int = 32, condition: int = 0) -> DataSet:
    def split(n):
        return Split(torch.randn(n, 2), torch.arange(n) % condition if condition else None)

    return DataSet("made up", split(n), split(8), split(8), condition=condition)


def worlds(shape: tuple[int, ...], levels: int) -> Tensor:
    """Every event there is, ``(levels^D, *shape)``."""
    dims = math.prod(shape)
    k = torch.cartesian_prod(*[torch.arange(levels)] * dims)
    return grid.to_grid(k, levels).view(-1, *shape).double()


def some(shape: tuple[int, ...], levels: int, n: int = 200) -> Tensor:
    """Events whose features depend on each other."""
    mood = torch.randn(n, *[1] * len(shape))
    return grid.quantise(0.8 * mood + 0.5 * torch.randn(n, *shape), levels)


def stirred(shape: tuple[int, ...], levels: int, strength: float = 0.5, **settings) -> Energy:
    """A model in float64 with all weights at random.

    It depends on its condition where it has one.
    """
    model = Energy(shape, levels=levels, **({"buffer": 64, "hidden": 5, "width": 8} | settings))
    model.set_base(some(shape, levels))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            scale = 5 * strength if name.startswith("network.head") else strength
            weights.add_(scale * torch.randn_like(weights))
    return model.double().eval()


def enumerated_log_z(model: Energy, shape, levels, c: Tensor | None = None) -> float:
    x = worlds(shape, levels)
    with torch.no_grad():
        return (-model.energy(x, None if c is None else c.expand(len(x)))).logsumexp(0).item()


# ---------------------------------------------------------------- an untrained model, and exactness


@pytest.mark.parametrize("hidden", [0, 5, 40])
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_a_model_that_has_learned_nothing_is_independent_pixels(world, hidden):
    x = some(*world)
    pixels = IndependentPixels(world[1]).fit(x)
    model = Energy(world[0], levels=world[1], hidden=hidden, **TINY).eval()
    model.set_base(x)
    with torch.no_grad():  # f says nothing
        silent = model.network.weight if hidden else model.network.head.weight
        silent.zero_()
        if not hidden:
            model.network.head.bias.zero_()
        model.set_log_z(hidden * math.log(1 + math.exp(-1)))
    torch.testing.assert_close(model.log_prob(x), pixels.log_prob(x), atol=1e-4, rtol=1e-5)


def test_far_out_the_network_grows_at_most_linearly_so_that_the_quadratic_keeps_z_finite():
    torch.manual_seed(0)
    model = Energy((2,)).double().eval()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        directions = torch.nn.functional.normalize(torch.randn(200, 2).double(), dim=1)
        slopes = [(model.f(r * directions).abs() / r).max() for r in (1e3, 1e5)]
    assert slopes[1] < 1.01 * slopes[0]


def test_the_base_is_learned_from_the_training_events_before_the_first_step():
    x = some((4,), 4)
    data = DataSet("made up", Split(x), Split(x[:20]), Split(x[:20]), levels=4)
    model = Energy((4,), levels=4, hidden=5, lr=1e-9, **TINY)
    genzoo.fit(model, data, steps=2, batch_size=50, check_every=1, accelerator="cpu")
    torch.testing.assert_close(model.histogram.double(), IndependentPixels(4).fit(x).log_pmf)
    before = model.histogram.clone()
    other = DataSet("other", *[Split(-x)] * 3, levels=4)
    genzoo.fit(model, other, steps=2, batch_size=50, check_every=1, accelerator="cpu")
    # what is trained further keeps the base it was trained on
    assert torch.equal(model.histogram, before)


def test_plain_batches_of_a_stranger_s_loader_serve_as_well():
    import lightning as L

    x = some((4,), 4, 60)
    model = Energy((4,), levels=4, hidden=5, **TINY)
    options = {
        "logger": False,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
    }
    with quiet():
        trainer = L.Trainer(max_steps=1, accelerator="cpu", enable_model_summary=False, **options)
        loader = torch.utils.data.DataLoader(
            [(row, 0) for row in x],
            batch_size=20,
            collate_fn=lambda rows: (torch.stack([x for x, _ in rows]), None),
        )
        trainer.fit(model, loader, loader)
    torch.testing.assert_close(model.histogram.double(), IndependentPixels(4).fit(x).log_pmf)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_with_few_units_the_masses_of_all_events_sum_to_one(world):
    model = stirred(*world)
    assert model.likelihood == Likelihood.EXACT and model.half_width == 0
    mass = model.log_prob(worlds(*world)).exp().sum() * grid.bin_width(world[1]) ** model.dims
    assert mass.item() == pytest.approx(1, abs=1e-9)
    many = Energy(world[0], levels=world[1], hidden=19, **TINY)
    assert many.likelihood == Likelihood.ESTIMATE
    with pytest.raises(ValueError, match="up to 18 hidden units, got 19"):
        many.exact_log_z()


def test_each_condition_has_its_own_masses_and_what_is_not_given_too():
    world = WORLDS["2x2 of 4 levels"]
    model = stirred(*world, condition=3)
    x = worlds(*world)
    figures = []
    for label in (0, 1, 2, -1):
        log_p = model.log_prob(x, torch.full((len(x),), label))
        assert (log_p.exp().sum() * 0.5**4).item() == pytest.approx(1, abs=1e-9)
        figures.append(log_p)
    torch.testing.assert_close(figures[-1], model.log_prob(x))
    assert not torch.allclose(figures[0], figures[1])
    mixed = torch.arange(len(x)) % 4 - 1
    want = torch.stack(figures)[mixed, torch.arange(len(x))]  # -1 is the last
    torch.testing.assert_close(model.log_prob(x, mixed), want)


def test_conditions_are_told_apart_and_a_missing_one_is_one():
    c = torch.tensor([[1.0, 2.0], [math.nan, math.nan], [1.0, 2.0], [math.nan, math.nan]])
    different, which = distinct(c, 4)
    assert different is not None and len(different) == 2
    torch.testing.assert_close(different[which], c, equal_nan=True)
    none, which = distinct(None, 3)
    assert none is None and which.tolist() == [0, 0, 0]


@pytest.mark.parametrize("strength", [0.3, 3000.0])
@pytest.mark.parametrize("hidden", [1, 2, 5])
def test_the_states_of_the_units_are_weighed_one_by_one(hidden, strength):
    """The sum by halves against every state by itself.

    Also where one half all but rules out what the other wants.
    """
    model = stirred((3,), 4, hidden=hidden, strength=strength, condition=2)
    machine, e = model.network, model.embed(torch.tensor([0, 1]), 2)
    bias = model.histogram + model.bias
    with torch.no_grad():
        found = machine.log_states(bias, e)
        for s in range(2**hidden):
            h = torch.tensor([float(s >> j & 1) for j in range(hidden)]).double()
            d, v = machine.split(e)
            field = machine.weigh(v + h @ machine.weight)
            want = (bias + field).logsumexp(2).sum(1) + (d - machine.weight @ machine.centre) @ h
            torch.testing.assert_close(found[:, s], want, rtol=1e-9, atol=1e-9)


def test_with_few_units_samples_are_exact_draws_under_each_condition():
    shape, levels, n = (3,), 4, 8000
    model = stirred(shape, levels, hidden=5, condition=2, strength=1.0, sample_steps=1)
    labels = torch.arange(n) % 2
    drawn = grid.to_level(model.sample(n, labels), levels) @ torch.tensor([16, 4, 1])
    for label in (0, 1):
        with torch.no_grad():
            p = (-model.energy(worlds(shape, levels), torch.full((64,), label))).softmax(0)
        counts = torch.bincount(drawn[labels == label], minlength=64).double()
        assert ((counts - n / 2 * p).square() / (n / 2 * p)).sum() < 63 + 5 * math.sqrt(2 * 63)
    with pytest.raises(ValueError, match="at most 18"):
        Energy(shape, levels=levels, hidden=30, **TINY).draw(4)


@pytest.mark.parametrize("summed", [0, 2**26])
def test_groups_between_which_no_chain_walks_get_their_shares(summed, monkeypatch):
    """Three quarters of all events are bright, the others dark, and in between there is nothing:
    chains alone lose count.
    """
    # 0: by chains, which exact draws make afresh
    monkeypatch.setattr("genzoo.families.energy.FOR_UPDATES", summed)
    torch.manual_seed(0)
    x = torch.where(torch.rand(800, 1) < 0.75, 0.5, -0.5) * torch.ones(24)
    flipped = torch.rand(800, 24) < 0.02
    x = torch.where(flipped, -x, x)
    data = DataSet("two groups", Split(x), Split(x[:200]), Split(x[:200]), levels=2)
    model = Energy((24,), levels=2, hidden=4, lr=3e-2, steps=2, buffer=200, decay=0.0, refresh=0.0)
    genzoo.fit(model, data, steps=400, batch_size=200, check_every=100, accelerator="cpu")
    bright, wanted = ((events.mean(1) > 0).float().mean() for events in (model.sample(4000), x))
    # two hundred chains are themselves noisy
    assert abs(bright - wanted) < (0.05 if summed else 0.1)


def test_phi_is_what_the_page_says():
    assert ordinal(2).shape == (2, 1)
    phi = ordinal(4)
    assert phi[:, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert torch.equal(phi[:, 1], phi[:, 0] ** 2)
    assert phi[:, 2].tolist() == [1, 0, 0, 0] and phi[:, 3].tolist() == [0, 0, 0, 1]


def test_the_free_energy_is_the_sum_over_all_units():
    """exp(-f) = sum over h of exp(v phi + h a).

    By enumeration of the units, with and without a condition's biases.
    """
    machine = Boltzmann(4, 3, 6).double()
    machine.standardise(torch.rand(4, 3, dtype=torch.float64).softmax(1))
    with torch.no_grad():
        machine.weight.normal_()
    x = worlds((4,), 3)
    e = torch.randn(1, 6 + 16, dtype=torch.float64).expand(len(x), -1)
    k = grid.to_level(x, 3)
    d, v = machine.split(e)
    h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 6)
    joint = (machine.phi(k) * v).sum(1)[:, None] + (d + machine.pull(k)) @ h.T
    torch.testing.assert_close(-machine(x, e).squeeze(1), joint.logsumexp(1))


# -------------------------------------------------------------------------------- kernels on levels


def transitions(path, x: Tensor, beta: float, step: float, draws: int, chunk: int = 400) -> Tensor:
    """How often each of the events ``x`` is followed by which, ``(n, n)`` shares."""
    n = len(x)
    code = {tuple(row.flatten().tolist()): i for i, row in enumerate(x)}
    counts = torch.zeros(n, n, dtype=torch.float64)
    for _ in range(draws // chunk):
        start = x.repeat_interleave(chunk, 0)
        to, _ = path.move(
            path.look(start), beta, torch.full((len(start),), step, dtype=torch.float64)
        )
        rows = torch.arange(n).repeat_interleave(chunk)
        columns = torch.tensor([code[tuple(row)] for row in to.x.flatten(1).tolist()])
        counts.index_put_(
            (rows, columns), torch.ones(len(rows), dtype=torch.float64), accumulate=True
        )
    return counts / counts.sum(1, keepdim=True)


def law(path, model: Energy, x: Tensor, beta: float) -> Tensor:
    """f_beta of every event, normalised, from the path's own weights.

    (1 - beta) of the base, beta of the model.
    """
    at = path.look(x)
    base = path.base.gather(1, at.k.T).sum(0).double()
    if isinstance(path, Gibbs):  # whose start has the biases of the condition, too
        base = base + (path.machine.phi(at.k) * path.v).sum(1)
    return (base + path.log_ratio(at, 0.0, beta)).softmax(0)


@pytest.mark.parametrize("beta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("kind", ["gibbs", "informed", "guided"])
def test_a_kernel_leaves_an_enumerated_law_alone(kind, beta):
    """Chi-square of one move from exact draws, in a world of 64 events.

    Its law is known by enumeration.
    """
    shape, levels = (3,), 4
    model = stirred(
        shape,
        levels,
        hidden=5 if kind != "informed" else 0,
        condition=2,
        strength=0.15 if kind == "informed" else 0.6,
    )
    n, x = 40_000, worlds(shape, levels)
    label, w = torch.tensor(1), 2.5 if kind == "guided" else 1.0
    path = model.path(n, label.expand(n), w)
    of_each = model.path(len(x), label.expand(len(x)), w)
    pi = law(of_each, model, x, beta)
    drawn = torch.multinomial(pi, n, replacement=True)
    with torch.no_grad():
        at, accepted = path.move(path.look(x[drawn]), beta, torch.full((n,), 0.5).double())
    arrived = grid.to_level(at.x, levels) @ torch.tensor([16, 4, 1])
    counts = torch.bincount(arrived, minlength=64).double()
    chi = ((counts - n * pi).square() / (n * pi)).sum().item()
    assert chi < 63 + 5 * math.sqrt(2 * 63)
    assert (arrived != drawn).double().mean() > 0.2 and accepted.mean() > 0.3
    if kind == "informed" and beta:
        assert accepted.min() < 0.9  # the test has something to refuse


@pytest.mark.parametrize("kind", ["gibbs", "informed"])
def test_a_kernel_is_in_detailed_balance(kind):
    """pi_i P_ij = pi_j P_ji for all pairs of the 16 events of two features.

    P is counted from 8,000 moves of each.
    """
    model = stirred(
        (2,), 4, hidden=4 if kind == "gibbs" else 0, strength=0.7 if kind == "gibbs" else 0.2
    )
    x = worlds((2,), 4)
    draws = 8000
    with torch.no_grad():
        path = model.path(16 * 400)
        p = transitions(path, x, 1.0, 0.6, draws)
        pi = law(model.path(16), model, x, 1.0)
    flow = pi[:, None] * p
    error = pi[:, None].square() * (p + 1 / draws) / draws
    z = (flow - flow.T) / (error + error.T).sqrt()
    assert z.abs().max() < 5
    assert (pi @ p - pi).abs().max() < 5e-3


def test_the_linear_guess_is_gibbs_sampling_where_f_is_linear():
    """Nothing is refused then, however many features move at once."""
    slope, values = torch.randn(6, dtype=torch.float64), grid.to_grid(torch.arange(5), 5).double()
    base = torch.randn(6, 5, dtype=torch.float64).log_softmax(1)
    path = Informed(
        lambda x: (x @ slope, slope[:, None] * values.expand(len(x), 1, -1)),
        base,
        torch.zeros_like(base),
        (6,),
    )
    path.trust = torch.ones  # type: ignore[method-assign]
    at = path.look(path.draw(500))
    for _ in range(3):
        at, accepted = path.move(at, 1.0, torch.ones(500).double())
        torch.testing.assert_close(accepted, torch.ones(500).double())
    want = (base - slope[:, None] * values).softmax(1)
    share = torch.stack([(at.k == level).double().mean(0) for level in range(5)], 1)
    assert (share - want).abs().max() < 5 * 0.5 / math.sqrt(500)


@pytest.mark.parametrize("levels", [2, 5])
def test_levels_are_drawn_by_their_weights(levels):
    logits = torch.randn(3, levels).double() * 2
    k = draw_levels(logits.expand(40_000, -1, -1))
    share = torch.stack([(k == level).double().mean(0) for level in range(levels)], 1)
    assert (share - logits.softmax(1)).abs().max() < 5 * 0.5 / math.sqrt(40_000)
    certain = torch.full((1, 2, levels), -math.inf)
    certain[:, :, -1] = 0.0
    assert (draw_levels(certain) == levels - 1).all()


# ----------------------------------------------------------------------------------------- training


@pytest.mark.equation("energy")
@pytest.mark.parametrize("hidden, summed", [(0, 0), (5, 0), (5, 2**26)])
def test_the_loss_has_the_gradient_of_the_likelihood_when_chains_are_draws_of_the_model(
    hidden, summed, monkeypatch
):
    """Against autograd through the enumerated log Z.

    On the mean, with every event of the world as often as p says.
    """
    monkeypatch.setattr("genzoo.families.energy.FOR_UPDATES", summed)  # 0: by chains alone
    shape, levels = (4,), 3
    model = stirred(
        shape, levels, hidden=hidden, decay=0.0, regularise=0.0, buffer=20_000, strength=0.3
    ).train()
    x, all_events = some(shape, levels, 50).double(), worlds(shape, levels)
    with torch.no_grad():
        p = (-model.energy(all_events)).softmax(0)
    exact = model.energy(x).mean() + (-model.energy(all_events)).logsumexp(0)
    parameters = list(model.parameters())
    want = torch.autograd.grad(exact, parameters, allow_unused=True, materialize_grads=True)
    model.chains.copy_(all_events[torch.multinomial(p, model.buffer, replacement=True)])
    # as many events as chains, so that all of these are seen
    x_often = x.repeat(model.buffer // 50, 1)
    got = torch.autograd.grad(
        model.loss(x_often).mean(), parameters, allow_unused=True, materialize_grads=True
    )
    for ours, theirs in zip(got, want, strict=True):
        assert (ours - theirs).abs().max() < 0.03 * max(1.0, theirs.abs().max().item())


def test_looking_at_the_loss_changes_nothing():
    for levels in (0, 4):
        model = Energy((4,), condition=3, levels=levels, **TINY)
        x = some((4,), 4, 8)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.loss(x, torch.arange(8) % 3)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


def test_a_few_units_learn_a_world_to_the_last_digit():
    """Three spins that always agree, as no base can say: by the exact likelihood."""
    x = (torch.rand(400, 1).round() - 0.5).expand(-1, 3)
    data = DataSet("made up", Split(x), Split(x[:100]), Split(x[100:200]), levels=2)
    model = Energy((3,), levels=2, hidden=6, lr=3e-2, steps=5, buffer=200, decay=0.0, refresh=0.05)
    fitted = genzoo.fit(model, data, steps=500, batch_size=200, check_every=50, accelerator="cpu")
    with torch.no_grad():
        nats = -model.log_prob(x).mean().item()
    assert math.log(2) - 0.02 < nats < math.log(2) + 0.15  # one bit of the three; bins of width 1
    assert fitted.validation is not None
    drawn = model.sample(400)
    assert (drawn == drawn[:, :1]).all(1).float().mean() > 0.85


@pytest.mark.parametrize("levels", [2, 17])
def test_a_resumed_model_keeps_its_base_and_its_chains(levels, tmp_path):
    model = Energy((4,), levels=levels, hidden=5, condition=2, **TINY)
    x = some((4,), levels, 64)
    data = DataSet("made up", *[Split(x, torch.arange(64) % 2)] * 3, levels=levels, condition=2)
    genzoo.fit(model, data, tmp_path, steps=4, batch_size=16, check_every=2, accelerator="cpu")
    again = genzoo.load(genzoo.save(model, tmp_path / "saved"))
    for name in (
        "histogram",
        "bias",
        "chains",
        "chain_conditions",
        "started",
        "network.table",
        "network.centre",
    ):
        torch.testing.assert_close(
            again.state_dict()[name], model.state_dict()[name], rtol=0, atol=0, equal_nan=True
        )
    assert again.started


def test_validation_looks_at_the_likelihood_and_moves_no_chain():
    x = some((6,), 3, 100)
    data = DataSet("made up", *[Split(x)] * 3, levels=3)
    model = Energy((6,), levels=3, hidden=20, **TINY)
    fitted = genzoo.fit(model, data, steps=6, batch_size=50, check_every=3, accelerator="cpu")
    with torch.no_grad():
        truth = -model.log_prob_under(
            torch.tensor(enumerated_log_z(model.double(), (6,), 3)), x.double()
        ).mean()
    assert fitted.validation == pytest.approx(truth.item(), abs=0.05)


def test_the_quick_log_z_is_that_of_each_condition():
    model = stirred((4,), 4, condition=3, hidden=8, strength=0.3)
    labels = torch.tensor([0, 2, -1])
    found = model.quick_log_z(labels)
    for value, label in zip(found, labels, strict=True):
        assert value.item() == pytest.approx(enumerated_log_z(model, (4,), 4, label), abs=0.2)


def test_a_check_anneals_once_for_all_batches_of_the_same_conditions(monkeypatch):
    model = stirred((4,), 4, condition=3, hidden=20).eval()
    annealed = []
    monkeypatch.setattr(model, "quick_log_z", lambda c: annealed.append(c) or torch.zeros(len(c)))
    x = model.fresh(6)
    model.validation_loss(x, torch.tensor([0, 1, 2, 0, 1, 2]))
    model.validation_loss(x, torch.tensor([2, 2, 2, 1, 0, 0]))
    assert len(annealed) == 1
    model.validation_loss(x[:2], torch.tensor([0, 1]))  # others
    model.eval().validation_loss(x, torch.tensor([0, 1, 2, 0, 1, 2]))  # the next check
    assert len(annealed) == 3


def test_a_sum_is_carried_out_once_until_a_weight_or_a_condition_changes(monkeypatch):
    model = stirred((4,), 4, condition=3, hidden=4)
    summed = []
    sum_of = model.network.log_states
    monkeypatch.setattr(model.network, "log_states", lambda *of: summed.append(of) or sum_of(*of))
    labels = torch.tensor([0, 2])
    with torch.no_grad():
        first = model.exact_log_z(labels)
        torch.testing.assert_close(model.exact_log_z(labels), first, rtol=0, atol=0)
        torch.testing.assert_close(model.exact_log_z(labels.flip(0)), first.flip(0))
        model.sample(5, torch.tensor([0, 2, 2, 0, 0]))  # exact samples, of the same sums
        assert len(summed) == 2  # one for each label
        model.network.weight[0, 0] += 0.5
        changed = model.exact_log_z(labels)
        assert not torch.allclose(changed, first)
    assert model.exact_log_z(labels).requires_grad
    torch.testing.assert_close(model.exact_log_z(labels), changed)


# ------------------------------------------------------------------------------------------- chains


def test_the_buffer_is_part_of_the_model_and_walks_in_training(tmp_path):
    model = Energy((2,), condition=3, **TINY)
    assert {"chains", "chain_conditions", "gap", "log_z"} <= set(model.state_dict())
    before = model.chains.clone()
    genzoo.fit(model, data_of(condition=3), steps=8, batch_size=8, check_every=4, accelerator="cpu")
    assert model.chains.shape == before.shape
    again = genzoo.load(genzoo.save(model, tmp_path))
    assert torch.equal(again.chains, model.chains)
    torch.testing.assert_close(again.chain_conditions, model.chain_conditions, equal_nan=True)


def test_only_those_that_have_waited_longest_move_and_keep_their_conditions():
    model = Energy((2,), condition=3, refresh=0.0, **TINY)
    model.chain_conditions.copy_(torch.eye(3)[torch.arange(32) % 3])
    chains, conditions = model.chains.clone(), model.chain_conditions.clone()
    model.advance(5, torch.tensor([0, 1, 2, 0, 1]))
    assert torch.equal(model.chains[5:], chains[:-5])  # the others moved up
    assert (model.chains[:5] != chains[-5:]).all()
    assert torch.equal(model.chain_conditions, conditions.roll(5, 0))
    for _ in range(6):
        model.advance(5)
    # each has had its turn
    assert not any((model.chains == chain).all(1).any() for chain in chains)
    model.advance(50, torch.arange(50) % 3)  # more than there are


def test_restarted_chains_take_the_conditions_of_the_batch():
    model = Energy((2,), condition=3, refresh=1.0, **TINY)
    model.advance(32, torch.arange(32) % 3)
    assert torch.equal(model.chain_conditions, torch.eye(3)[torch.arange(32) % 3])


def test_chains_start_with_conditions_as_they_occur():
    model = Energy((2,), condition=2, width=8, buffer=4000)
    model.set_base(torch.randn(100, 2), (torch.arange(100) < 20).long())
    shares = [
        (model.chain_conditions[:, 0] == 1).float().mean(),
        model.chain_conditions[:, 0].isnan().float().mean(),
    ]
    assert abs(shares[0] - 0.9 * 0.8) < 0.05 and abs(shares[1] - 0.1) < 0.03


def test_chains_near_a_condition_are_found():
    model = Energy((2,), condition=3, **TINY)
    labels = torch.arange(32) % 3
    model.chain_conditions.copy_(torch.eye(3)[labels])
    model.chains.copy_(labels[:, None].float().expand(-1, 2))
    start, _ = model.nearest_chains(4, torch.tensor([2, 0, 1, 1]))
    assert start[:, 0].tolist() == [2, 0, 1, 1]
    start, _ = model.nearest_chains(70, None)  # more than the buffer holds
    assert start.shape == (70, 2)


def test_no_two_samples_share_a_chain_and_batches_draw_the_same_law():
    """Samples of one chain would be alike.

    On a world of 64 events, pairs of samples agree as often as independent draws.
    """
    shape, levels = (3,), 4
    model = stirred(shape, levels, sample_steps=20, buffer=8)
    with torch.no_grad():
        p = (-model.energy(worlds(shape, levels))).softmax(0)
    n = 4000
    drawn = torch.cat([model.sample(n // 4) for _ in range(4)])
    k = grid.to_level(drawn, levels) @ torch.tensor([16, 4, 1])
    counts = torch.bincount(k, minlength=64).double()
    assert ((counts - n * p).square() / (n * p)).sum() < 63 + 5 * math.sqrt(2 * 63)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guided_chains_walk_in_the_product_of_two_gaussians(guidance):
    """E(x) = x^2 / 2 and E(x, c) = (x - 1)^2 / 2 make N(w, 1) of p(x | c)^w p(x)^(1 - w)."""
    torch.manual_seed(0)
    model = Energy((1,), condition=2, width=8, step=0.3, buffer=4000)
    model.f = lambda x, c=None: 0.0 * x.sum(1) if c is None else 0.5 - x.sum(1)  # type: ignore[method-assign]
    drawn = model.sample(4000, torch.zeros(4000, dtype=torch.long), guidance, steps=200)
    assert abs(drawn.mean().item() - guidance) < 0.1 and abs(drawn.std().item() - 1) < 0.1


def test_guided_samples_of_levels_are_those_of_the_product():
    """p(x | c)^w p(x)^(1 - w) by enumeration, for a Boltzmann machine with conditions."""
    shape, levels, n = (2,), 4, 8000
    model = stirred(shape, levels, condition=2, sample_steps=60, strength=0.25)
    x, c = worlds(shape, levels), torch.ones(1, dtype=torch.long)
    with torch.no_grad():
        p = (-model.guided_energy(x, c.expand(len(x)), 2.0)).softmax(0)
    k = grid.to_level(model.sample(n, c.expand(n), 2.0), levels) @ torch.tensor([4, 1])
    counts = torch.bincount(k, minlength=16).double()
    assert ((counts - n * p).square() / (n * p)).sum() < 15 + 5 * math.sqrt(2 * 15)


# -------------------------------------------------------------------------------------------- log Z


def test_no_density_before_log_z_is_known():
    model, x = Energy((2,), **TINY), torch.randn(4, 2)
    with pytest.raises(NotImplementedError, match="log Z has not been estimated"):
        model.log_prob(x)
    model.set_log_z(1.0, 2.0, ess=20.0)
    torch.testing.assert_close(model.log_prob(x), -model.energy(x) - 1.5)
    assert model.half_width == 0.5 and model.log_z_ess == 20


@pytest.mark.parametrize("levels", [0, 3])
def test_training_forgets_log_z_whoever_trains(levels, tmp_path):
    """A log Z of other weights would be a lie; that of weights that were merely saved is not."""
    x = some((2,), 3, 64)
    data = DataSet("made up", *[Split(x)] * 3, levels=levels)
    model = Energy((2,), levels=levels, hidden=30, **TINY).eval()
    model.set_log_z(1.0, 2.0, ess=20.0)
    assert genzoo.load(genzoo.save(model, tmp_path)).log_z == 1.5
    genzoo.fit(model, data, steps=2, batch_size=16, check_every=2, accelerator="cpu")
    assert model.log_z.isnan() and model.log_z_ends.isnan().all() and model.half_width == 0
    model.set_log_z(1.0)
    whole = genzoo.VAE((2,), latent_shape=(2,), prior=model, width=8) if not levels else model
    whole.train()  # as every loop begins, a whole that the model is a part of included
    with pytest.raises(NotImplementedError, match="log Z"):
        model.log_prob(x)


def test_log_prob_with_the_true_log_z_integrates_to_one():
    model = Energy((2,), **TINY).double()
    side = torch.linspace(-8, 8, 161, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    with torch.no_grad():
        model.set_log_z(
            (torch.logsumexp(-model.energy(x), 0) + 2 * torch.log(side[1] - side[0])).item()
        )
        assert (model.log_prob(x).exp().sum() * (side[1] - side[0]) ** 2).item() == pytest.approx(1)


def test_the_energy_is_the_network_and_a_confinement():
    model = Energy((3,), base_std=2.0, **TINY)
    x = torch.randn(5, 3)
    network = model.network(x, model.embed(None, 5)).squeeze(1)
    torch.testing.assert_close(model.energy(x), network + x.square().sum(1) / 8)


def test_any_module_may_be_f():
    class Sum(nn.Module):
        def forward(self, x, e):
            return x.flatten(1).sum(1, keepdim=True)

    x = some((4,), 3)
    model = Energy((4,), levels=3, network=Sum(), **TINY).eval()
    model.set_base(x)
    torch.testing.assert_close(model.energy(x), x.sum(1) - model.log_base(x))
    want = (model.histogram - grid.to_grid(torch.arange(3), 3)).softmax(1)
    k = grid.to_level(model.sample(4000), 3)
    share = torch.stack([(k == level).float().mean(0) for level in range(3)], 1)
    assert (share - want).abs().max() < 0.05


# -------------------------------------------------------------------------------------------- guard


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
    """With a base twice too wide, the network must pull the chains in."""
    model = Energy(
        (2,),
        lr=1e-2,
        base_std=2.0,
        noise=0.0,
        width=16,
        step=0.3,
        steps=10,
        buffer=512,
        sample_steps=100,
    )
    optimiser = torch.optim.Adam(model.parameters(), model.lr)
    for _ in range(150):
        optimiser.zero_grad()
        model.advance(256)
        model.loss(torch.randn(256, 2)).mean().backward()
        optimiser.step()
    assert model.sample(512).std().item() == pytest.approx(1, abs=0.2)


def test_a_deep_f_learns_what_independent_features_cannot_say(few_levels):
    """Four features that are all low or all high.

    1/8 of draws of independent ones would be alike.
    """
    x = grid.quantise(0.7 * torch.randn(400, 1).sign().expand(-1, 4), 3)
    data = DataSet("made up", Split(x), Split(x[:100]), Split(x[100:200]), levels=3)
    model = Energy(
        (4,), levels=3, hidden=0, width=16, steps=5, buffer=200, refresh=0.05, regularise=1e-2
    )
    genzoo.fit(model, data, steps=300, batch_size=100, check_every=100, accelerator="cpu")
    drawn = model.sample(300, steps=40)
    assert (drawn == drawn[:, :1]).all(1).float().mean() > 0.6
    with torch.no_grad():
        log_z = torch.tensor(enumerated_log_z(model.double(), (4,), 3))
        nats = -(-model.energy(x.double()) - log_z).mean().item()
    # of 4 log 2 or so that independent features cost
    assert math.log(2) - 0.1 < nats < math.log(2) + 0.5


# ----------------------------------------------------------------------------------------- langevin


@pytest.mark.equation("langevin")
@pytest.mark.parametrize("step", [0.1, 0.5, 1.0])
def test_langevin_keeps_a_gaussian_up_to_its_known_bias(step):
    """x' = (1 - h^2/2) x + h xi has the stationary variance 1 / (1 - h^2/4).

    It reaches it from elsewhere too.
    """
    variance = 1 / (1 - step**2 / 4)
    n = 40_000
    error = variance * math.sqrt(2 / n)
    start = math.sqrt(variance) * torch.randn(n, 1, dtype=torch.float64)
    x = langevin(quadratic, start, step, steps=50)
    assert x.mean().abs() < 5 * math.sqrt(variance / n)
    assert (x.var() - variance).abs() < 5 * error
    assert (x.square().square().mean() / x.var() ** 2 - 3).abs() < 0.15  # a Gaussian still
    arrived = langevin(
        quadratic,
        torch.full_like(start, 5.0),
        step,
        steps=math.ceil(16 / step**2) if step > 0.1 else 900,
    )
    assert (arrived.mean()).abs() < 5 * math.sqrt(variance / n) + 5 * (1 - step**2 / 2) ** 900
    assert (arrived.var() - variance).abs() < 5 * error


def test_langevin_samples_a_correlated_gaussian():
    precision = torch.tensor([[2.0, -0.8], [-0.8, 1.0]], dtype=torch.float64)
    x = langevin(
        lambda x: 0.5 * (x @ precision * x).sum(1),
        torch.randn(20_000, 2).double(),
        step=0.2,
        steps=400,
    )
    torch.testing.assert_close(x.T.cov(), torch.linalg.inv(precision), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("step", [0.5, 1.0, 1.5])
def test_tested_moves_keep_a_gaussian_without_a_bias(step):
    n = 40_000
    x = adjusted_langevin(quadratic, torch.randn(n, 2, dtype=torch.float64), step, steps=40)
    assert (x.mean(0).abs() < 5 / math.sqrt(n)).all()
    assert ((x.var(0) - 1).abs() < 5 * math.sqrt(2 / n)).all()
    arrived = adjusted_langevin(
        quadratic, torch.full((n, 2), 3.0, dtype=torch.float64), step, steps=400
    )
    assert ((arrived.var(0) - 1).abs() < 5 * math.sqrt(2 / n)).all()


def test_tested_moves_do_not_fly_off_where_the_energy_is_steep():
    start = torch.randn(200, 2)

    def steep(x: Tensor) -> Tensor:
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


@pytest.mark.parametrize("levels", [2, 7])
def test_chains_begin_as_if_each_had_a_table_of_its_own(levels):
    table = torch.randn(5, levels)
    state = torch.get_rng_state()
    k = draw_of_table(table, 40)
    torch.set_rng_state(state)
    assert torch.equal(k, draw_levels(table.expand(40, -1, -1)))


def test_new_chains_of_large_images_take_the_memory_of_their_values():
    model = stirred((200,), 256, hidden=2)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    with Watch():
        model.fresh(400)
    assert largest <= max(400 * 200, 200 * 256)
