"""What a run computes on: how many threads, and by NumPy or by compiled kernels."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.config.schema import Compute
from backprop_cli.errors import ConfigError, first_line
from backprop_cli.sources import Dataset, Standardization

_MOST_ROWS = 1000  # of W, all models': beyond, the BLAS is about as fast
_LEAST_WORK = 1e10  # floating-point operations, half a second by NumPy: below, loading the
# kernels takes longer than they spare
_CGROUP = pathlib.Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return how many cores this process may use: its affinity, and its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(OSError, ValueError):
        quota, period = _CGROUP.read_text().split()
        if quota != "max":
            return max(1, min(count or 1, int(quota) // int(period)))
    return count or 1


def blas_threads(number: int) -> AbstractContextManager[object]:
    """Hold NumPy's BLAS to so many threads while the context lasts; at most one a core."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(min(number, cores()))
    return limits


def resolved_threads(compute: Compute) -> int:
    """Return the number of threads that a config asks for.

    Raises
    ------
    ConfigError
        More than there are cores.
    """
    found = cores()
    if compute.threads == "auto":
        return found
    if int(compute.threads) > found:
        raise ConfigError(
            f"compute.threads: expected at most {found}, the cores there are, "
            f"found {compute.threads}; auto takes as many as there are"
        )
    return int(compute.threads)


def resolve_compute(
    config: Config, dataset: Dataset, standardization: Standardization, n_models: int
) -> Compute:
    """Return the compute section with `auto` replaced by what it means here.

    Raises
    ------
    ConfigError
        The kernels are asked for, and numba is missing, or they cannot do this.
    """
    threads, backend = resolved_threads(config.compute), config.compute.backend
    K = n_models * dataset.n_classes
    work = 4.0 * len(dataset.train) * dataset.n_features * K * config.training.epochs
    if backend == "auto" and (K > _MOST_ROWS or work < _LEAST_WORK):
        backend = "numpy"
    if backend != "numpy":
        obstacle = _obstacle(config, dataset, standardization)
        if backend == "compiled" and obstacle is not None:
            raise ConfigError(f"compute.backend: compiled {obstacle}")
        backend = "compiled" if obstacle is None else "numpy"
    return Compute(backend=backend, threads=threads)


def _obstacle(config: Config, dataset: Dataset, standardization: Standardization) -> str | None:
    """Return why the kernels cannot be used, or None."""
    if config.model.dtype != "float32":
        return f"needs model.dtype: float32, found {config.model.dtype}"
    if config.model.outputs == 1:
        return "needs model.outputs: per_class, found 1"
    for name, split in (("train", dataset.train), ("validation", dataset.validation)):
        obstacle = None if split is None else _unreadable(split.features, standardization)
        if obstacle is not None:
            return f"{obstacle} (the {name} split)"
    if importlib.util.find_spec("numba") is None:
        return "needs numba, found none: install backprop-cli[fast]"
    try:
        from backprop_cli.engine.kernels import IS_DISABLED
    except Exception as error:  # a numba that does not fit this NumPy can raise nearly anything
        return f"needs a numba that can be imported: {first_line(error)}"
    if IS_DISABLED:
        return "needs numba's compiler, which NUMBA_DISABLE_JIT turns off"
    return None


def _unreadable(features: NDArray[Any], standardization: Standardization) -> str | None:
    """Return why the kernels cannot read some features, or None."""
    dtype = features.dtype
    if dtype == np.float16:
        return "cannot read float16"
    if not dtype.isnative or not features.flags.c_contiguous:
        return "needs features in this machine's byte order, row by row, found others"
    if not np.can_cast(dtype, np.float32):
        return f"needs features that float32 holds exactly, found {dtype}"
    if not standardization.fits_float32(dtype):
        return "needs means that float32 holds closely for their spread, found larger ones"
    return None
