"""A folder of IDX files, for the tests of several formats."""

import pytest

from tests.formats.broken import IMAGES, LABELS, idx


@pytest.fixture
def mnist(tmp_path):
    """A folder with six images of 2 x 3 pixels."""
    (tmp_path / IMAGES).write_bytes(idx((6, 2, 3), bytes(range(36))))
    (tmp_path / LABELS).write_bytes(idx((6,), bytes([0, 1, 2, 0, 1, 2])))
    return tmp_path
