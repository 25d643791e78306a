"""What processes that train together must have in common before they begin."""

from __future__ import annotations

from collections.abc import Sequence

from backprop_cli.communicator import Communicator
from backprop_cli.config import Config
from backprop_cli.config.convert import solver_of
from backprop_cli.config.data import DataSection, NpyData
from backprop_cli.errors import DataError
from backprop_cli.formats import load_dataset
from backprop_cli.formats.memory import memory_limit
from backprop_cli.plan import Shuffle
from backprop_cli.solvers.methods import MiniBatchDescent
from backprop_cli.sources import Dataset


def load_shared(data: DataSection, communicator: Communicator) -> Dataset:
    """Read the data of a config; `auto` memory is the same for every process.

    The free half of a machine's memory is divided by the processes on it. Of several machines, the
    one with the least counts, so that all draw the same order of examples.
    """
    if isinstance(data, NpyData) and data.memory == "auto" and communicator.size > 1:
        limit = memory_limit("auto")
        own = None if limit is None else limit // communicator.on_machine
        limits = [found for found in communicator.gather(own) if found is not None]
        data = data.model_copy(update={"memory": min(limits, default="all")})
    return load_dataset(data)


def check_memory(configs: Sequence[Config], dataset: Dataset) -> None:
    """Refuse a memory that holds no two mini-batches, before a first pass that may take minutes.

    Raises
    ------
    ConfigError
        ``data.memory`` is too small for one of the configs.
    """
    for config in configs:
        solver = solver_of([config])
        if isinstance(solver, MiniBatchDescent):
            Shuffle.of(dataset.train, min(solver.batch_size, len(dataset.train)))


def check_same_data(communicator: Communicator, fingerprint: str) -> None:
    """Refuse to train together on files that differ between machines.

    Raises
    ------
    DataError
        On every process; it says which one has other data.
    """
    fingerprints = communicator.gather(fingerprint)
    others = [rank for rank, own in enumerate(fingerprints) if own != fingerprints[0]]
    if others:
        raise DataError(
            f"the data of process {others[0] + 1} of {communicator.size} is not that of process "
            "1: files of the same names differ between machines; copy them again"
        )
