"""Which processes a launcher has started, and which of them may work."""

import sys

import numpy as np
import pytest

from backprop_cli import communicator
from backprop_cli.cli.processes import launched
from backprop_cli.communicator import Serial
from backprop_cli.config.data import NpyData
from backprop_cli.engine import resolved_threads, threads
from backprop_cli.formats import memory
from backprop_cli.runs import together


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in ("PMI_SIZE", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)


class Alone(Serial):
    """MPI in a process that finds no others."""

    def __init__(self, stopped, held):
        pass


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, True),  # mpiexec of MPICH, srun --mpi=pmi2
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, True),
        ({"PMIX_RANK": "0"}, True),  # how many there are MPI knows
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, False),  # a batch script
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"}, False),
    ],
)
def test_a_launcher_is_known_by_the_environment(environment, expected):
    assert launched(environment) is expected


def test_a_batch_script_that_forgets_its_launcher_is_told(run, config, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    status, out, err = run("train", "--config", config())
    assert (status, out) == (2, "")
    assert err.startswith("Error: SLURM_NTASKS is 4, but this process is alone")
    assert "srun --mpi=pmi2" in err
    assert run("data", "info", "--config", config())[0] == 0


def test_single_processes_of_srun_are_refused_by_one_of_them(run, config, monkeypatch):
    monkeypatch.setattr(communicator, "Mpi", Alone)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    for command in ("train", "gradcheck"):
        said = ""
        for rank in range(2):
            monkeypatch.setenv("SLURM_PROCID", str(rank))
            with monkeypatch.context() as streams:  # one of them is silent from then on
                streams.setattr(sys, "stdout", sys.stdout)
                streams.setattr(sys, "stderr", sys.stderr)
                status, out, err = run(command, "--config", config())
            said += out + err
            assert status == 2
        assert said.count("is 2, but this process is alone") == 1


def test_a_launcher_of_another_mpi_is_noticed(run, config, monkeypatch):
    """Open MPI's mpiexec with MPICH in mpi4py: every process would train alone."""
    monkeypatch.setattr(communicator, "Mpi", Alone)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    status, _, err = run("train", "--config", config())
    assert status == 2
    assert "OMPI_COMM_WORLD_SIZE is 2, but this process is alone" in err
    assert "mpi4py --mpi-lib-version" in err


def test_without_mpi_several_processes_are_told_what_to_install(run, config, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "2")
    status, out, err = run("train", "--config", config())
    assert (status, out) == (2, "")
    assert err.startswith("Error: a launcher has started several processes")
    assert err.endswith("install backprop-cli[mpi]\n")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("3", 3), ("2,1", 2), ("64", 8), ("0", 8), ("many", 8), ("9" * 5000, 8), ("", 8), (None, 8)],
)
def test_auto_takes_at_most_the_threads_that_the_environment_allows(monkeypatch, limit, expected):
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert resolved_threads(None) == expected
    assert resolved_threads(5) == 5  # asked for


def test_processes_divide_the_cores_that_they_share(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "cores", lambda: 8)
    assert [resolved_threads(None, n) for n in (1, 2, 3, 16)] == [8, 4, 2, 1]
    assert resolved_threads(5, 2) == 5  # asked for


def test_the_least_free_memory_counts_for_all(tmp_path, monkeypatch):
    """100 bytes are needed; a half of what is free, divided by two processes, is less."""

    class OfTwo(Serial):
        size = on_machine = 2

        def gather(self, value):
            return [value, 90]

    np.save(tmp_path / "x.npy", np.arange(100, dtype=np.uint8).reshape(50, 2))
    np.save(tmp_path / "y.npy", np.arange(50) % 2)
    data = NpyData(format="npy", path=str(tmp_path / "x.npy"), labels=str(tmp_path / "y.npy"))
    for free, expected in ((4000, 90), (200, 50)):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        assert together.load_shared(data, OfTwo()).memory == expected
        assert together.load_shared(data, Serial()).memory is None  # it fits
