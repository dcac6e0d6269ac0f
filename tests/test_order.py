"""The order of training, by arithmetic: permutations, the same in one process and in several."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genzoo.data.order import InTurn, Order, permuted

sizes = st.integers(1, 300)
seeds = st.integers(0, 2**32 - 1)


@given(sizes, seeds, st.integers(0, 5))
def test_every_event_has_one_place_in_a_pass(events, seed, this_pass):
    assert sorted(permuted(np.arange(events), events, seed, this_pass)) == list(range(events))


def test_passes_and_seeds_have_orders_of_their_own():
    orders = [permuted(np.arange(1000), 1000, seed, k) for seed in (0, 1) for k in (0, 1)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).mean() < 0.01  # two random orders agree in one place of them all


def test_an_order_looks_random():
    """Neighbours in the order are as far apart as two random events, a third of all."""
    order = permuted(np.arange(10_000), 10_000, 0, 0).astype(float)
    assert np.abs(np.diff(order)).mean() == pytest.approx(10_000 / 3, rel=0.05)
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05


@given(st.integers(10, 200), st.integers(1, 5), seeds)
def test_a_pass_of_batches_has_no_event_twice(events, batch_size, seed):
    seen = np.concatenate(list(Order(events, batch_size, seed)))
    assert len(set(seen)) == len(seen) == events - events % batch_size


@pytest.mark.parametrize("batches", [1, 4, 7, 25])
def test_a_run_reads_on_where_an_epoch_has_ended(batches):
    """However a run is cut into epochs, its batches are the same."""
    whole = list(Order(100, 10, seed=3, batches=50))
    cut = Order(100, 10, seed=3, batches=batches)
    read = [batch for epoch in range(-(-50 // batches)) for batch in epoch_of(cut, epoch)]
    assert read[:50] == whole


def epoch_of(order: Order, epoch: int) -> list[list[int]]:
    order.set_epoch(epoch)
    return list(order)


@given(st.integers(4, 100), st.sampled_from([4, 12]), st.sampled_from([2, 4]))
def test_processes_share_each_batch(events, batch_size, processes):
    batch_size = min(batch_size, events - events % processes)
    alone = Order(events, batch_size, seed=1)
    orders = [Order(events, batch_size, 1, None, i, processes) for i in range(processes)]
    for batch, *shared in zip(alone, *orders, strict=True):
        assert len({len(part) for part in shared}) == 1
        assert sorted(batch) == sorted(event for part in shared for event in part)


@given(sizes, st.integers(1, 50), st.integers(1, 3))
def test_held_out_events_are_read_once_each_by_all_processes_together(events, size, processes):
    orders = [InTurn(events, size, rank, processes) for rank in range(processes)]
    seen = [event for order in orders for batch in order for event in batch]
    assert sorted(seen) == list(range(events))


def test_an_order_of_any_length_takes_no_memory():
    tracemalloc.start()
    batches = iter(Order(10**12, 64))
    for _ in range(3):
        assert max(next(batches)) < 10**12
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
