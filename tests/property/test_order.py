"""Contract 5: the same global batches for any number of workers, every film once an epoch."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rayograph.data import order

FINGERPRINT = "5eed" * 16
GOLDEN_LANES = [3214, 4217, 28, 2805, 2434, 4018]
GOLDEN_GROUPS = [3082, 1829, 3300, 2791, 1209, 2446]
GOLDEN_SMALL = [143, 51, 196, 125, 117, 103]
rows = st.lists(st.integers(1, 128), min_size=1, max_size=150).map(np.array)


def make(batch_rows: np.ndarray, batch_size: int, epoch: int = 0) -> order.Plan:
    return order.plan(batch_rows, batch_size, FINGERPRINT, seed=0, epoch=epoch)


@given(rows, st.integers(2, 300))
def test_each_film_once_an_epoch_in_batches_that_differ_by_at_most_one(batch_rows, batch_size):
    plan = make(batch_rows, batch_size)
    batches = [plan.batch(step) for step in range(plan.steps)]
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == list(range(batch_rows.sum()))
    assert len(batches) == -(-batch_rows.sum() // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@given(rows, st.integers(2, 40), st.integers(0, 3))
@settings(max_examples=60)
def test_shares_are_disjoint_and_complete_for_any_number_of_workers(batch_rows, world, extra):
    plan = make(batch_rows, 2 * world + extra)
    for step in range(0, plan.steps, max(1, plan.steps // 7)):
        shares = [plan.share(step, rank, world) for rank in range(world)]
        assert sorted(np.concatenate(shares)) == list(range(len(plan.batch(step))))


@given(rows, st.integers(2, 64), st.sampled_from([2, 4, 16]))
@settings(max_examples=60)
def test_shares_are_nearly_even(batch_rows, world, films_each):
    plan = make(batch_rows, films_each * world)
    for step in range(0, plan.steps, max(1, plan.steps // 9)):
        shares = [len(plan.share(step, rank, world)) for rank in range(world)]
        even = len(plan.batch(step)) / world
        assert max(shares) < even + 4
        assert min(shares) > even - 4


@given(st.lists(st.integers(16, 128), min_size=64, max_size=200).map(np.array), st.integers(2, 64))
@settings(max_examples=40)
def test_a_worker_reads_its_own_part_of_the_record_batches(batch_rows, world):
    plan = make(batch_rows, 2 * world)
    batch_of_row = np.repeat(np.arange(len(batch_rows)), batch_rows)
    total = 0
    for rank in range(world):
        own = [plan.batch(s)[plan.share(s, rank, world)] for s in range(plan.steps)]
        total += len(np.unique(batch_of_row[np.concatenate(own)]))
    assert total <= len(batch_rows) + world - 1  # a neighbour shares one at each boundary


@given(st.integers(512, 2600), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_neighbours_stay_together_in_their_order(batches, seed):
    batch_rows = np.random.default_rng(seed).integers(1, 4, batches)
    plan = order.plan(batch_rows, 60, FINGERPRINT, seed, epoch=0)
    number = np.repeat(np.arange(batches), batch_rows)[plan.sequence]
    visits = number[np.flatnonzero(np.diff(number, prepend=-1))]
    size = order.group(batches)
    assert size == min(8, batches // 256)
    assert len(visits) == batches, "a record batch is gone through once"
    first = visits[visits % size == 0]
    assert (visits == np.concatenate([np.arange(f, min(f + size, batches)) for f in first])).all()
    assert (first != np.sort(first)).any(), "the groups are shuffled"


@given(rows, st.integers(1, 70), st.integers(0, 3))
@settings(max_examples=60)
def test_the_rows_of_a_worker_are_those_of_its_steps(batch_rows, world, extra):
    plan = make(batch_rows, 2 * world + extra)
    rank, start = world // 2, plan.steps // 3
    steps = range(start, plan.steps)
    own = [plan.batch(s)[plan.share(s, rank, world)] for s in steps]
    assert sorted(plan.rows(rank, world, start)) == sorted(np.concatenate(own))


def test_epochs_seeds_and_datasets_have_orders_of_their_own():
    batch_rows = np.full(70, 64)
    first = make(batch_rows, 60).batch(0)
    assert (make(batch_rows, 60).batch(0) == first).all()
    assert (make(batch_rows, 60, epoch=1).batch(0) != first).any()
    assert (order.plan(batch_rows, 60, FINGERPRINT, 1, 0).batch(0) != first).any()
    assert (order.plan(batch_rows, 60, "a" * 64, 0, 0).batch(0) != first).any()


def test_the_order_of_a_seed_never_changes():
    """A new release must resume an old run: these figures are part of the format."""
    assert make(np.full(70, 64), 60).batch(3)[:6].tolist() == GOLDEN_LANES
    assert make(np.full(14, 16), 60).batch(3)[:6].tolist() == GOLDEN_SMALL
    assert make(np.full(600, 8), 60).batch(3)[:6].tolist() == GOLDEN_GROUPS


def test_220_films_at_60_are_four_batches_of_55():
    plan = make(np.array([16] * 13 + [12]), 60)
    assert [len(plan.batch(step)) for step in range(plan.steps)] == [55] * 4
