"""The processes of this command, if a launcher such as mpiexec has started several of them.

This module imports nothing that takes time: most commands are alone.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from backprop_cli.cli.signals import stops
from backprop_cli.errors import BackpropError, ConfigError, first_line

if TYPE_CHECKING:
    from backprop_cli.communicator import Communicator, Ending, Mpi

TOGETHER = ("train", "sweep", "eval")
"""The commands in which several processes work together."""

_START_SECONDS = 120
"""Of MPI's start, which waits for all processes, also for one that could not start."""

_LATER = 5.0
"""Seconds after rank 0 at which others give up: a launcher kills the rest when one has ended."""

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
_SRUN = "start them with srun --mpi=pmi2 or --mpi=pmix (see srun --mpi=list), or with mpiexec"


def launched(environment: Mapping[str, str]) -> bool:
    """Say whether a launcher has started this process, perhaps together with others."""
    sizes = [environment[name] for name in _SIZES if name in environment]
    return any(size != "1" for size in sizes) or (not sizes and "PMIX_RANK" in environment)


class Processes:
    """The process that this is, among those of the same command."""

    def __init__(self) -> None:
        self._mpi: Mpi | None = None

    @property
    def size(self) -> int:
        """How many processes there are."""
        return 1 if self._mpi is None else self._mpi.size

    @property
    def communicator(self) -> Communicator:
        """What they talk by."""
        from backprop_cli.communicator import Serial

        return self._mpi or Serial()

    def join(self) -> None:
        """Find the others, if a launcher has started any. Of several, only rank 0 prints.

        Raises
        ------
        ConfigError
            There is no MPI to find them by.
        """
        self._mpi = None
        if not launched(os.environ):
            return
        try:
            from backprop_cli.communicator import Mpi

            with stops.deadly(_START_SECONDS, _end_late):
                self._mpi = Mpi(stops.hear, stops.held)
        except (ImportError, RuntimeError) as error:
            _hush(_rank(os.environ))
            raise ConfigError(
                "a launcher has started several processes, which need mpi4py and MPI: "
                f"{first_line(error)}; install backprop-cli[mpi]"
            ) from error
        _hush(_rank(os.environ) if self._mpi.size == 1 else self._mpi.rank)
        if self._mpi.size == 1:
            self._mpi = None

    def check(self, command: str) -> None:
        """Refuse a command that is for one process, and processes that are each alone.

        Raises
        ------
        ConfigError
            Says what to do.
        """
        if self.size > 1 and command not in (*TOGETHER, "predict"):
            raise ConfigError(
                f"backprop {command} is for one process, found {self.size}; start it without the "
                "launcher (mpiexec, srun)"
            )
        known, tasks = "SLURM_STEP_NUM_TASKS", os.environ.get("SLURM_STEP_NUM_TASKS")
        if tasks is None and command in ("train", "sweep"):
            # A batch script may evaluate in a process of its own, but not train.
            known, tasks = "SLURM_NTASKS", os.environ.get("SLURM_NTASKS")
        if self.size == 1 and tasks not in (None, "1"):
            raise ConfigError(
                f"{known} is {tasks}, but this process is alone, not one of {tasks} that work "
                f"together: {_SRUN}; for a single process, srun -n 1 or unset {known}"
            )
        others = [name for name in _SIZES if os.environ.get(name, "1") != "1"]
        if self.size == 1 and others:
            raise ConfigError(
                f"{others[0]} is {os.environ[others[0]]}, but this process is alone: the launcher "
                "is not of the MPI that mpi4py uses; take the mpiexec of that MPI (python -m "
                f"mpi4py --mpi-lib-version names it), or unset {others[0]}"
            )

    @property
    def waits(self) -> bool:
        """Whether rank 0 does alone what no process has a share in, and this is another one."""
        return self._mpi is not None and self._mpi.rank > 0

    def listen(self) -> None:
        """Leave a long pass if another process has failed, or was stopped."""
        if self._mpi is not None:
            self._mpi.listen()

    def is_of_another(self, error: BackpropError) -> bool:
        """Say whether an error stands for one that another process has met."""
        if self._mpi is None:
            return False
        from backprop_cli.communicator import ElsewhereError

        return isinstance(error, ElsewhereError)

    def agree(self, status: int, lines: list[str], *, elsewhere: bool) -> tuple[int, list[str]]:
        """Return the exit status of all processes, and what rank 0 is to say.

        Parameters
        ----------
        status, lines
            Those of this process.
        elsewhere
            Whether it ends because another one does.
        """
        if self._mpi is None:
            return status, lines
        import socket

        from backprop_cli.communicator import Ending

        stopped = stops.signal if status == stops.exit_status else None
        host = socket.gethostname()
        found = self._mpi.leave(Ending(status, tuple(lines), stopped, host, elsewhere), _say)
        if found.signal is not None:
            stops.hear(found.signal)
        return found.status, list(found.lines)


class _Silence(io.TextIOBase):
    """A stream that forgets what is written."""

    def write(self, text: str) -> int:
        return len(text)


def _rank(environment: Mapping[str, str]) -> int:
    """Return the rank that a launcher gave this process, as far as it says."""
    found = (environment[name] for name in _RANKS if environment.get(name, "").isdigit())
    return int(next(found, "0"))


def _hush(rank: int) -> None:
    """Let a process print nothing, unless it is rank 0, which speaks for all."""
    if rank > 0:
        sys.stdout = sys.stderr = _Silence()


def _end_late() -> NoReturn:
    if _rank(os.environ) == 0:
        line = (
            f"Error: MPI has not started all processes within {_START_SECONDS} s: one of them has "
            "ended or hangs before it, or its machine cannot be reached; see what the others and "
            "the launcher say, try fewer processes or machines, and start again\n"
        )
        os.write(2, line.encode())
    else:
        time.sleep(_LATER)
    os._exit(2)


def _say(ending: Ending) -> None:
    if sys.__stderr__ is not None:
        for line in ending.lines:
            sys.__stderr__.write(f"{line}\n")
        sys.__stderr__.flush()


processes = Processes()
"""Those of this command."""
