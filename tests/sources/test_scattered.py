"""Rows of several arrays, where they are: the same as those of one."""

import numpy as np
import pytest

from backprop_cli.sources import Scattered

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["f2", "f4", "u1", "f8"])
def test_rows_are_those_of_one_array(dtype):
    # In an order that memory does not have.
    memory = RNG.integers(0, 100, (3, 50, 7)).astype(dtype)
    arrays = [memory[2], memory[0, :1], memory[1, 3:20]]
    whole = np.concatenate(arrays)
    found = Scattered(arrays)
    assert (found.shape, found.dtype, len(found)) == (whole.shape, whole.dtype, len(whole))
    rows = RNG.permutation(len(whole))
    np.testing.assert_array_equal(found[rows], whole[rows])
    np.testing.assert_array_equal(found[48:53], whole[48:53])
    out = np.empty((3, 7), dtype)
    np.testing.assert_array_equal(found.take(rows[:3], 0, out), whole[rows[:3]])
    memory, begins, ends = found.addresses()
    for i, row in enumerate(whole):  # the kernels' way
        start = begins[np.flatnonzero(i < ends)[0]] + 7 * i
        np.testing.assert_array_equal(memory[start : start + 7], row)
    assert not memory.flags.writeable
