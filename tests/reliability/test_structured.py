"""A short version of ``python -m tests.reliability.structured``, in a process of its own."""

import subprocess
import sys

import pytest


def test_runs_of_other_values_end_in_one_line():
    for module in ("matplotlib", "scipy", "onnx", "skops"):
        pytest.importorskip(module)
    result = subprocess.run(
        [sys.executable, "-m", "tests.reliability.structured", "--inputs", "200", "--seed", "1"],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "200 inputs, 0 problems" in result.stdout
