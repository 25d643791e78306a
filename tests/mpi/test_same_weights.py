"""1, 2 and 3 processes train the same weights: the sums differ by rounding alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from backprop_cli.runs.run_directory import load_run
from tests.mpi.kinds import KINDS, SINGLE, train_all
from tests.mpi.launch import MPIEXEC

pytest.importorskip("mpi4py", reason="needs the extra: mpi")
pytest.importorskip("numba", reason="needs the extra: fast")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return the folder of the runs of a single process."""
    folder = tmp_path_factory.mktemp("alone")
    train_all(folder)
    return folder


@pytest.mark.parametrize("size", [2, 3])
def test_the_weights_are_those_of_a_process_that_is_alone(alone, tmp_path, size):
    command = [MPIEXEC, "-n", str(size), sys.executable, "-m", "tests.mpi.kinds", str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    for kind in (*KINDS, "sweep"):
        _, expected = load_run(str(alone / kind))
        config, found = load_run(str(tmp_path / kind))
        assert config.recorded.processes == size
        tolerance = 2e-5 if kind in SINGLE else 1e-10
        for name in ("weights", "bias"):
            values, own = getattr(expected, name), getattr(found, name)
            largest = np.abs(values).max()
            np.testing.assert_allclose(own, values, rtol=0, atol=tolerance * largest, err_msg=kind)
        before, now = (
            json.loads((f / kind / "summary.json").read_text()) for f in (alone, tmp_path)
        )
        assert now["test"]["accuracy"] == before["test"]["accuracy"]
        assert now["kept_epoch"] == before["kept_epoch"]
