"""Which examples a step takes: a function of seed, epoch and rank, whatever came before."""

import numpy as np
import pytest

from backprop_cli.plan import Plan, Shuffle
from backprop_cli.sources import Split
from tests.make import split, stored_source

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
            assert in_order == sorted(whole)  # each once
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
    assert rows == [sorted(own) for own in rows_of(serial.some(1, 3))]


@pytest.mark.parametrize(
    ("n", "block", "buffer"), [(100, 7, 30), (64, 64, 16), (50, 1, 7), (9, 4, 9)]
)
def test_buffers_have_every_example_once_and_neighbours_together(n, block, buffer):
    shuffle = Shuffle(n, block, buffer)
    for seed, epoch in ((0, 0), (0, 1), (5, 3)):
        found = list(shuffle.buffers(seed, epoch))
        assert [len(own) for own in found[:-1]] == [buffer] * (len(found) - 1)
        assert sorted(np.concatenate(found).tolist()) == list(range(n))
        assert all((np.diff(own) > 0).all() for own in found)
        for other, own in zip(found, shuffle.buffers(seed, epoch), strict=True):
            np.testing.assert_array_equal(own, other)
        if block < n:  # a block is in one buffer, or in two that follow each other
            of_block: dict[int, list] = {}
            for k, own in enumerate(found):
                for number in set((own // block).tolist()):
                    of_block.setdefault(number, []).append(k)
            assert all(at == list(range(at[0], at[-1] + 1)) for at in of_block.values())
    if buffer < n and block < n:
        orders = {tuple(next(shuffle.buffers(0, epoch)).tolist()) for epoch in range(8)}
        assert len(orders) > 4


def stored_plan(folder, n=100, memory=60, **more):
    """Return a plan on n rows of one byte."""
    source = stored_source(folder, np.arange(n, dtype=np.uint8)[:, None], np.zeros(n), memory)
    return Plan(Split(source, np.arange(n)), 7, 3, **more)


def values_of(batches):
    """Return the features of each mini-batch: they are the numbers of their rows."""
    blocks = (batches.batch(k) for k in range(len(batches)))
    return [block.features[block.rows, 0].tolist() for block in blocks]


def test_parts_of_an_epoch_are_whole_mini_batches_of_features_that_are_read(tmp_path):
    drawn = stored_plan(tmp_path, flips=True)
    assert drawn.shuffle.buffer == 28
    whole = [(first, values_of(part), part.block.mirrored) for first, part in drawn.parts(2)]
    assert [first for first, _, _ in whole] == [0, 4, 8, 12]
    batches = [rows for _, part, _ in whole for rows in part]
    assert [len(rows) for rows in batches] == [7] * 14 + [2]
    assert sorted(row for rows in batches for row in rows) == list(range(100))
    for step in (0, 3, 4, 11, 14):
        begun = [(first, values_of(part)) for first, part in drawn.parts(2, step)]
        assert begun == [(first, part) for first, part, _ in whole[step // 4 :]]
    flips = np.concatenate([mirrored for _, _, mirrored in whole])
    sequence = np.random.SeedSequence(3, spawn_key=(2, 2))
    np.testing.assert_array_equal(
        flips, np.random.Generator(np.random.PCG64(sequence)).random(100) < 0.5
    )


def test_a_buffer_for_all_gives_the_order_of_examples_in_memory(tmp_path):
    own = stored_plan(tmp_path, memory=210)
    assert own.shuffle.is_full
    expected = plan(np.arange(100), 7, 3).epoch(5).block.rows
    [(_, part)] = own.parts(5)
    assert [row for rows in values_of(part) for row in rows] == expected.tolist()


def test_the_ranks_shares_of_a_buffer_are_together_the_serial_one(tmp_path):
    serial = [values_of(part) for _, part in stored_plan(tmp_path).parts(1)]
    shares = [
        [values_of(part) for _, part in stored_plan(tmp_path, rank=rank, size=3).parts(1)]
        for rank in range(3)
    ]
    together = [
        [[row for part in parts for row in part] for parts in zip(*own, strict=True)]
        for own in zip(*shares, strict=True)
    ]
    assert together == [[sorted(rows) for rows in part] for part in serial]
