"""The interface's own parts.

Claims, conditions, the schedule, importance weights, networks for any shape.
"""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genzoo import Autoregressive, Flow, Likelihood, fit, grid
from genzoo.data import DataSet, Split
from genzoo.errors import InputError
from genzoo.families import FAMILIES, HYBRIDS
from genzoo.model import drop_conditions, importance_weighted, require
from genzoo.nets import Condition, Decoder, Encoder, as_vectors, event_network, groups, pyramid
from genzoo.optim import warmup_cosine

# --------------------------------------------------------------------------------------- likelihood


def test_claims_compose_to_the_weakest():
    exact, bound, estimate, none = Likelihood
    assert max(exact, bound) == bound
    assert max(bound, estimate, exact) == estimate
    assert max(Likelihood) == none
    assert [claim.symbol for claim in Likelihood] == ["=", "≤", "≈", "—"]


def test_importance_weights_are_averaged_as_probabilities():
    class Draws:
        def __init__(self, draws):
            self.draws = iter(torch.tensor(draws).log())

        def log_prob(self, x, c):
            return next(self.draws)

    x = torch.zeros(2, 1)
    assert importance_weighted(
        Draws([[0.2, 0.6], [0.4, 0.1]]), x, None, 2
    ).exp().tolist() == pytest.approx([0.3, 0.35])
    assert importance_weighted(Draws([[0.2, 0.6]]), x, None, 1).exp().tolist() == pytest.approx(
        [0.2, 0.6]
    )


# ------------------------------------------------------------------------- what constructors refuse


def test_a_number_out_of_range_is_named_with_what_was_expected():
    require(1, width=1, latent_shape=(2, 3))
    require(0, 1, share=0.5)
    wrong = {
        "width": (0, "width must be at least 1, got 0"),
        "shape": ((2, 0), r"each size in shape .* got \(2, 0\)"),
        "empty": ((), r"empty must be at least 1"),
        "text": ("3", "text must be at least 1, got '3'"),
        "gap": (math.nan, "gap must be at least 1, got nan"),
    }
    for name, (value, sentence) in wrong.items():
        with pytest.raises(ValueError, match=sentence):
            require(1, **{name: value})
    with pytest.raises(ValueError, match="share must be between 0 and 1, got 2"):
        require(0, 1, share=2)


@pytest.mark.parametrize("family", [*FAMILIES, *HYBRIDS])
def test_no_family_is_built_without_width_or_with_less_than_no_depth(family):
    for argument, value in {"width": 0, "depth": -1}.items():
        with pytest.raises(
            ValueError, match=f"{argument} must be (at least|between) .*, got {value}"
        ):
            family((1, 8, 8), levels=4, **{argument: value})


# ------------------------------------------------------------------------------------- the schedule


@given(st.integers(1, 100_000))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(steps):
    warmup = max(1, steps // 50)
    points = sorted(
        {0, warmup // 2, warmup - 1, warmup, (warmup + steps) // 2, steps - 1, steps, 2 * steps}
    )
    factors = {step: warmup_cosine(step, steps) for step in points}
    assert all(0 <= factor <= 1 for factor in factors.values())
    assert factors[0] > 0
    assert factors[warmup - 1] == 1
    rise = [factors[step] for step in points if step < warmup]
    fall = [factors[step] for step in points if step >= warmup]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    assert steps == 1 or factors[2 * steps] == pytest.approx(0, abs=1e-9)


# --------------------------------------------------------------------------------------- conditions


def test_forgetting_drops_its_share_and_touches_nothing_else():
    labels, vectors = torch.arange(10_000) % 7, torch.randn(10_000, 3)
    kept_labels, kept_vectors = labels.clone(), vectors.clone()
    dropped, nan = drop_conditions(labels, 0.1), drop_conditions(vectors, 0.1).isnan()
    assert (dropped == -1).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(dropped[dropped >= 0], labels[dropped >= 0])
    assert nan.any(1).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(nan.any(1), nan.all(1))
    assert torch.equal(labels, kept_labels)
    assert torch.equal(vectors, kept_vectors)
    assert drop_conditions(None, 0.5) is None
    assert torch.equal(drop_conditions(labels, 0.0), labels)
    assert (drop_conditions(labels, 1.0) == -1).all()


@given(st.integers(1, 12), st.data())
def test_labels_become_one_hot_rows_and_minus_one_a_row_of_nan(width, data):
    labels = torch.tensor(data.draw(st.lists(st.integers(-1, width - 1), min_size=1, max_size=20)))
    rows = as_vectors(labels, width)
    assert rows.shape == (len(labels), width)
    for label, row in zip(labels.tolist(), rows, strict=True):
        if label < 0:
            assert row.isnan().all()
        else:
            assert row.argmax() == label
            assert row.sum() == 1
    assert as_vectors(rows, width) is rows


@given(st.integers(1, 12), st.integers(0, 30), st.booleans())
def test_a_label_out_of_range_is_named(width, beyond, below):
    bad = -2 - beyond if below else width + beyond
    with pytest.raises(ValueError, match=f"0 to {width - 1}.*{bad}"):
        as_vectors(torch.tensor([0, bad]), width)


@given(st.integers(1, 8), st.integers(1, 8))
def test_a_vector_of_another_width_is_named(width, other):
    c = torch.zeros(3, other)
    if width == other:
        assert as_vectors(c, width) is c
    else:
        with pytest.raises(ValueError, match=rf"vectors \(n, {width}\).*\(3, {other}\)"):
            as_vectors(c, width)


def test_what_is_not_given_is_one_learned_row():
    embed = Condition(3, 4)
    torch.nn.init.normal_(embed.null)
    for c in (
        None,
        torch.tensor([-1, -1]),
        torch.full((2, 3), math.nan),
        torch.tensor([[math.nan, 1, 0]] * 2),
    ):
        torch.testing.assert_close(embed(c, 2), embed.null.expand(2, -1))
    one_hot = torch.nn.functional.one_hot(torch.tensor([2, 0]), 3).float()
    torch.testing.assert_close(embed(torch.tensor([2, 0]), 2), embed(one_hot, 2))
    with pytest.raises(ValueError, match="unconditional"):
        Condition(0, 4)(torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match="2 conditions"):
        embed(torch.tensor([0, 1, 2]), 2)
    embed(torch.tensor([0, -1]), 2).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in embed.parameters())


# ----------------------------------------------------------------------------------------- networks

shapes = st.one_of(
    st.tuples(st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 19), st.integers(1, 19)),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)


@given(shapes, st.sampled_from([4, 6, 8]), st.integers(1, 2))
def test_networks_take_and_give_events_of_any_shape(shape, width, depth):
    torch.manual_seed(0)
    x, e = torch.randn(2, *shape), torch.randn(2, 5)
    assert Encoder(shape, 7, 5, width, depth)(x, e).shape == (2, 7)
    assert Decoder(7, shape, 3, 5, width, depth)(torch.randn(2, 7), e).shape == (2, 3, *shape)
    field = event_network(shape, 5, width, depth)
    assert field(x, e).shape == x.shape
    torch.testing.assert_close(field(x[:1], e[:1]), field(x, e)[:1])


@pytest.mark.parametrize("shape", [(1, 7, 5), (2, 5, 12), (3, 4), (1, 1, 1), (1, 28, 28), (6,)])
def test_every_part_of_a_network_hears_its_input_and_its_embedding(shape):
    x, e = (
        torch.randn(2, *shape).double().requires_grad_(),
        torch.randn(2, 5).double().requires_grad_(),
    )
    z = torch.randn(2, 7).double().requires_grad_()
    field = event_network(shape, 5, 8)
    torch.nn.init.normal_(field.head.weight)
    networks = [
        (Encoder(shape, 3, 5, 8), x),
        (Decoder(7, shape, 3, 5, 8, norm=True), z),
        (field, x),
    ]
    for network, given_ in networks:
        result = network.double()(given_, e)
        weight = torch.randn_like(result)
        for gradient in torch.autograd.grad((result * weight).sum(), (given_, e)):
            assert (gradient != 0).float().mean() > 0.9


@pytest.mark.parametrize("size", [(28, 28), (5, 7), (1, 40), (4, 4), (9, 33)])
def test_a_pyramid_halves_until_a_side_is_small(size):
    sizes = pyramid((1, *size))
    assert sizes[0] == size
    assert min(sizes[-1]) <= 4
    assert all(small == ((h + 1) // 2, (w + 1) // 2) for (h, w), small in itertools.pairwise(sizes))


@given(st.integers(1, 512))
def test_normalised_groups_divide_the_width_and_hold_enough(width):
    count = groups(width)
    assert width % count == 0
    assert count == 1 or width // count >= 4


# ----------------------------------------------------------------------------------- the base class


@pytest.mark.parametrize(
    "arguments",
    [
        {"event_shape": ()},
        {"event_shape": (2, 0)},
        {"event_shape": (2,), "condition": -1},
        {"event_shape": (2,), "levels": 1},
        {"event_shape": (2,), "levels": -3},
    ],
)
def test_senseless_shapes_and_counts_are_refused(arguments):
    with pytest.raises(ValueError, match=next(reversed(arguments))):
        Flow(**arguments)


def test_data_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"\(2,\).*, got \(4, 3\)"):
        Flow((2,), width=8).prepare((torch.zeros(4, 3), None))


def test_an_event_that_is_not_known_is_no_reason_to_refuse_the_others():
    model = Autoregressive((1, 4, 4), levels=5, width=8, depth=1)
    x = model.on_grid(torch.randn(4, 1, 4, 4))
    holed = x.index_fill(0, torch.tensor(1), math.nan)
    known = torch.tensor([0, 2, 3])
    torch.testing.assert_close(model.log_prob(holed)[known], model.log_prob(x)[known])


@given(
    st.integers(2, 4096),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.half]),
)
def test_a_value_is_on_the_grid_in_the_precision_that_it_has(levels, dtype):
    k = torch.arange(levels)
    x = grid.to_grid(k, levels).to(dtype)
    assert not grid.is_between(x, levels).any()
    if dtype in (torch.float32, torch.float64):
        assert grid.is_between(x + 0.02 * grid.bin_width(levels) + 1e-6, levels).all()
        assert grid.is_between(
            torch.tensor([1.0, -1.0, 1.5, 17.0, math.inf], dtype=dtype), levels
        ).all()
    assert not grid.is_between(torch.tensor([math.nan], dtype=dtype), levels).any()


def test_discrete_data_off_its_grid_is_refused_before_training():
    pixels = Split(torch.rand(40, 1, 4, 4))
    data = DataSet("pixels", pixels, pixels, pixels, levels=5)
    with pytest.raises(InputError, match=r"pixels has events of another kind.*to_grid\(k, 5\)"):
        fit(Autoregressive((1, 4, 4), levels=5, width=8, depth=1), data, steps=1)


def test_an_unconditional_model_ignores_the_conditions_of_its_data():
    x, c = torch.zeros(4, 2), torch.arange(4)
    assert Flow((2,), width=8).prepare((x, c))[1] is None
    assert Flow((2,), width=8, condition=4).prepare((x, c))[1] is c
