"""A short version of ``python -m tests.reliability.fuzz``, in a process of its own."""

import subprocess
import sys


def test_mutated_files_end_in_one_line():
    result = subprocess.run(
        [sys.executable, "-m", "tests.reliability.fuzz", "--inputs", "600", "--seed", "1000"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "600 inputs, 0 problems" in result.stdout
