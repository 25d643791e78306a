"""A short version of ``python -m tests.reliability.kills``."""

import pytest

from tests.reliability.kills import SETTINGS, campaign

pytest.importorskip("numba", reason="needs the extra: fast")


def test_killed_runs_end_as_if_nothing_had_happened(tmp_path):
    kills, problems = campaign(len(SETTINGS), seed=1, folder=tmp_path)
    assert problems == []
    assert kills >= len(SETTINGS) // 2  # a dozen, if nothing else slows the machine
