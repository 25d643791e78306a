"""Which examples a step takes: a function of seed, epoch and rank, whatever came before."""

import numpy as np
import pytest

from backprop_cli.plan import Plan
from tests.make import split

ROWS = np.array([3, 5, 8, 9, 20, 31, 44, 57])


def plan(rows=ROWS, batch_size=3, seed=0, **more):
    return Plan(split(np.zeros((100, 1)), rows=rows), batch_size, seed, **more)


def rows_of(batches):
    return [batches.batch(k).rows.tolist() for k in range(len(batches))]


def flips_of(batches):
    """Return for each mini-batch whether each of its rows is mirrored."""
    found = (batches.batch(k) for k in range(len(batches)))
    return [dict(zip(b.rows.tolist(), b.mirrored.tolist(), strict=True)) for b in found]


def test_an_epoch_has_every_row_once_in_an_order_of_its_own():
    orders = {
        (seed, epoch): tuple(plan(seed=seed).epoch(epoch).block.rows.tolist())
        for seed in range(6) for epoch in range(6)
    }  # fmt: skip
    assert all(sorted(order) == ROWS.tolist() for order in orders.values())
    assert len(set(orders.values())) == len(orders)  # of 8! orders, 36 differ
    for (seed, epoch), order in reversed(orders.items()):  # drawn again, in another succession
        np.random.default_rng(0).random(5)
        assert tuple(plan(seed=seed).epoch(epoch).block.rows.tolist()) == order
    assert ROWS.tolist() == [3, 5, 8, 9, 20, 31, 44, 57]


def test_an_epoch_does_not_depend_on_those_before():
    alone = rows_of(plan(seed=4, flips=True).epoch(7)), flips_of(plan(seed=4, flips=True).epoch(7))
    one = plan(seed=4, flips=True)
    for epoch in range(8):
        found = one.epoch(epoch)
    assert (rows_of(found), flips_of(found)) == alone


def test_each_place_is_as_likely_for_each_row():
    counts = np.zeros((4, 4))
    drawn = plan(rows=np.arange(4), seed=7)
    for epoch in range(2000):
        counts[np.arange(4), drawn.epoch(epoch).block.rows] += 1
    assert abs(counts / 2000 - 0.25).max() < 0.05  # five standard deviations


def test_flips_are_drawn_apart_from_the_order():
    rows = np.arange(64)
    flips = [
        plan(rows, 64, seed, flips=True).epoch(epoch).block.mirrored.tolist()
        for seed in range(3) for epoch in range(3)
    ]  # fmt: skip
    assert len({tuple(f) for f in flips}) == 9
    assert 20 < sum(flips[0]) < 44  # half of them, by three standard deviations
    assert plan(np.arange(32), 64, 1, flips=True).epoch(1).block.mirrored.tolist() == flips[4][:32]
    for seed in range(3):
        with_flips = plan(rows, 64, seed, flips=True).epoch(1).block.rows
        np.testing.assert_array_equal(with_flips, plan(rows, 64, seed).epoch(1).block.rows)
    assert plan().epoch(0).block.mirrored is None


def test_order_and_flips_are_those_of_their_streams():
    """Streams 1 and 2 of the seed; a run that goes on by a later version has the same ones."""

    def drawn(stream, seed, epoch):
        sequence = np.random.SeedSequence(seed, spawn_key=(stream, epoch))
        return np.random.Generator(np.random.PCG64(sequence))

    for seed, epoch in ((0, 0), (0, 3), (42, 1)):
        block = plan(seed=seed, flips=True).epoch(epoch).block
        np.testing.assert_array_equal(block.rows, drawn(1, seed, epoch).permutation(ROWS))
        np.testing.assert_array_equal(block.mirrored, drawn(2, seed, epoch).random(8) < 0.5)


def test_mini_batches_follow_each_other_and_the_last_may_be_short():
    drawn = plan(batch_size=3)
    batches = drawn.epoch(0)
    assert len(batches) == drawn.steps_per_epoch == 3
    assert [len(rows) for rows in rows_of(batches)] == [3, 3, 2]
    assert np.concatenate(rows_of(batches)).tolist() == batches.block.rows.tolist()
    assert plan(batch_size=4).steps_per_epoch == 2
    assert plan(batch_size=100).steps_per_epoch == 1
    some = batches.some(1, 3)
    assert rows_of(some) == rows_of(batches)[1:]
    assert some.starts.tolist() == [0, 3, 5]
    assert rows_of(some.some(1, 2)) == rows_of(batches)[2:]


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 30, 64, 100])
def test_the_ranks_shares_of_a_mini_batch_are_disjoint_and_together_the_serial_one(
    size, batch_size
):
    """Neither 2, 3 nor 5 divides 7; of a batch of 1 or 2 some ranks have nothing."""
    rows = np.sort(np.random.default_rng(0).permutation(100)[:64])
    for epoch in (0, 3):
        serial = plan(rows, batch_size, 5, flips=True).epoch(epoch)
        shares = [
            plan(rows, batch_size, 5, flips=True, rank=rank, size=size).epoch(epoch)
            for rank in range(size)
        ]
        assert all(len(share) == len(serial) for share in shares)
        for k, whole in enumerate(rows_of(serial)):
            own = [rows_of(share)[k] for share in shares]
            in_order = [row for part in own for row in part]
            assert in_order == whole  # each once
            lengths = [len(part) for part in own]
            assert max(lengths) - min(lengths) <= 1
            together = {}
            for share in shares:
                together.update(flips_of(share)[k])
            assert together == flips_of(serial)[k]


def test_shares_can_be_cut_further_as_the_whole_can():
    serial = plan(batch_size=3, flips=True).epoch(0)
    parts = [plan(batch_size=3, flips=True, rank=r, size=2).epoch(0).some(1, 3) for r in range(2)]
    rows = [one + other for one, other in zip(*map(rows_of, parts), strict=True)]
    assert rows == rows_of(serial.some(1, 3))
