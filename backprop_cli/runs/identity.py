"""Whether a run that goes on is the run that began: its config, its data, its versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from backprop_cli import __version__
from backprop_cli.config.data import NpyData
from backprop_cli.config.schema import Compute, Config, Recorded
from backprop_cli.engine import ENGINES
from backprop_cli.errors import ConfigError

_BY_PROCESSES = (("compute", "threads"), ("recorded", "processes"))
"""What may change when a run goes on with another number of processes."""


def recorded(data_fingerprint: str, compute: Compute, processes: int) -> Recorded:
    """Return what a run is made with, here and now."""
    from importlib.metadata import version

    versions = {name: version(name) for name in ENGINES[compute.backend].versions}
    return Recorded(
        backprop=__version__,
        numpy=np.__version__,
        data=data_fingerprint,
        processes=processes,
        **versions,
    )


def processes_of(saved: Config) -> int:
    """Return how many processes a saved run was trained by."""
    return 1 if saved.recorded is None else saved.recorded.processes


def notes_on_processes(saved: Config, now: int) -> list[str]:
    """Return what to know where ``now`` processes go on with a saved run; [] if it had as many."""
    before = processes_of(saved)
    if before == now:
        return []
    return [f"was trained by {before} processes, goes on with {now}: the same to rounding"]


def with_saved_memory(config: Config, saved: Config) -> Config:
    """Return the config with the memory of a saved run, where it leaves that open."""
    data, before = config.data, saved.data
    if not isinstance(data, NpyData) or data.memory != "auto" or not isinstance(before, NpyData):
        return config
    update = {"data": data.model_copy(update={"memory": before.memory})}
    return config.model_copy(update=update)


def with_saved_compute(config: Config, saved: Compute, *, threads: bool = True) -> Config:
    """Return the config with what a saved run computes on, where it leaves that open.

    `auto` may mean something else on this machine, or by now. Without ``threads`` their number
    stays open: there are more processes to a machine now, or fewer.
    """
    keys = ("backend", "threads") if threads else ("backend",)
    open_keys = [key for key in keys if getattr(config.compute, key) == "auto"]
    compute = config.compute.model_copy(update={key: getattr(saved, key) for key in open_keys})
    return config.model_copy(update={"compute": compute})


def with_saved_training(config: Config, saved: Config) -> Config:
    """Return the config with what `auto` became in the training of a saved one."""
    keys = ("epochs", "learning_rate", "train_figures")
    open_keys = [key for key in keys if getattr(config.training, key) == "auto"]
    training = config.training.model_copy(
        update={key: getattr(saved.training, key) for key in open_keys}
    )
    return config.model_copy(update={"training": training})


def config_digest(config: Config) -> str:
    """Return a SHA-256 of a config, wherever its run may lie, and by how many it is trained."""
    mapping = {**config.to_mapping(), "output": None}
    for section, key in _BY_PROCESSES:
        mapping[section] = {**(mapping[section] or {}), key: None}
    return hashlib.sha256(json.dumps(mapping, sort_keys=True).encode()).hexdigest()


def refuse_differences(saved: Config, now: Config, what: str) -> None:
    """Refuse to go on with another config, on other data or by other versions.

    Raises
    ------
    ConfigError
        A line for each key that differs; ``what`` names the run.
    """
    before, after = saved.to_mapping(), now.to_mapping()
    before["output"] = after["output"]  # a run may be moved
    if processes_of(saved) != processes_of(now):  # and go on with more processes, or fewer
        for section, key in _BY_PROCESSES:
            before[section] = {**(before[section] or {}), key: after[section][key]}
    lines = [
        f"{what}: the data are not those of the run; restore them, or begin another run (--output)"
        if key == "recorded.data"
        else f"{what}: {key}: the run has {old}, now it is {new}"
        for key, old, new in _differences(before, after)
    ]
    if lines:
        raise ConfigError(*lines)


def _differences(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(before.get(name), after.get(name), inner)
    elif before != after:
        yield key, before, after
