"""The engines by name, and which of them does a task.

To add an engine: a class that keeps the contract, and an entry here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backprop_cli.engine.contract import Engine, Task
from backprop_cli.errors import ConfigError, first_line
from backprop_cli.losses import LOSSES, Loss
from backprop_cli.sources import Source, Standardization

_MAX_WEIGHTS = 20_000_000  # of all models: the kernels hold W up to four times more
_MAX_ROWS = 16_000  # of W: each block of features has a part of some hundred examples' scores
_LARGE_BATCH, _MIN_FEATURES = 1024, 100  # with fewer features, NumPy is twice as fast at so many
# examples at once: most of the work is the softmax
_MIN_WORK = 1e10  # floating-point operations, half a second by NumPy: below, loading the
# kernels takes longer than they save


@dataclass(frozen=True)
class EngineKind:
    """An engine that can be chosen.

    Attributes
    ----------
    make
        Returns the engine for a task; imports what it needs.
    obstacle
        Returns why it cannot do a task, or None: the end of a sentence that begins with its name.
        It imports nothing that takes long.
    failure
        The same, of what is only known once the engine's own packages are imported.
    pays
        ``pays(task, work)``: whether `auto` should take it for so many floating-point operations.
    versions
        Packages, besides NumPy, whose versions its results depend on.
    """

    make: Callable[[Task], Engine]
    obstacle: Callable[[Task], str | None]
    failure: Callable[[Task], str | None]
    pays: Callable[[Task, float], bool]
    versions: tuple[str, ...] = ()


def _make_compiled(task: Task) -> Engine:
    from backprop_cli.engine.kernels.engine import CompiledEngine

    return CompiledEngine(task)


def _compiled_pays(task: Task, work: float) -> bool:
    if task.batch_size >= _LARGE_BATCH and task.n_features < _MIN_FEATURES:
        return False
    rows = task.n_models * task.targets.n_classes
    fits = rows <= _MAX_ROWS and rows * task.n_features <= _MAX_WEIGHTS
    return fits and work >= _MIN_WORK


def _compiled_obstacle(task: Task) -> str | None:
    if task.dtype != np.float32:
        return f"needs model.dtype: float32, found {task.dtype}"
    if task.n_outputs == 1:
        return "needs model.outputs: per_class, found 1"
    for name, split in zip(("train", "validation"), task.splits, strict=False):
        obstacle = _unreadable(split.source, task.standardization)
        if obstacle is not None:
            return f"{obstacle} (the {name} split)"
    if importlib.util.find_spec("numba") is None:
        return "needs numba, found none: install backprop-cli[fast]"
    for loss in task.losses:
        if loss.kernel is None:
            return _no_kernel(loss, [name for name, other in LOSSES.items() if other.kernel])
        if LOSSES.get(loss.name) is not loss:
            return f"has no kernel for this loss: it is not the registered {loss.name}"
    return None


def _compiled_failure(task: Task) -> str | None:
    try:
        import numba

        from backprop_cli.engine.kernels.halves import converts_halves
        from backprop_cli.engine.kernels.losses import COMPILED
    except Exception as error:  # a numba that does not fit this NumPy can raise nearly anything
        return f"needs a numba that can be imported: {first_line(error)}"
    if numba.config.DISABLE_JIT:
        return "needs numba's compiler, which NUMBA_DISABLE_JIT turns off"
    if any(s.features.dtype == np.float16 for s in task.splits) and not converts_halves():
        return "needs a processor that converts float16: take float32 features"
    for loss in task.losses:
        if loss.name not in COMPILED:
            return _no_kernel(loss, COMPILED)
    return None


def _no_kernel(loss: Loss, names: Sequence[str]) -> str:
    return f"has no kernel for loss: {loss.name}; it has {', '.join(names)}"


def _unreadable(source: Source, standardization: Standardization) -> str | None:
    """Return why the kernels cannot read some features, or None."""
    dtype = source.features.dtype
    if not dtype.isnative or not source.by_rows:
        return "needs features in this machine's byte order, row by row, found others"
    if not np.can_cast(dtype, np.float32):
        return f"needs features that float32 holds exactly, found {dtype}"
    if not standardization.fits_float32(dtype):
        return (
            "needs means and standard deviations that float32 holds closely, found a mean that is "
            "large for its spread, or numbers near 1e-30 or 1e30: subtract a constant from such "
            "features or multiply them by one, or take numpy"
        )
    return None


def _make_numpy(task: Task) -> Engine:
    from backprop_cli.engine.numpy_engine import NumpyEngine

    return NumpyEngine(task)


ENGINES: dict[str, EngineKind] = {
    "numpy": EngineKind(_make_numpy, lambda task: None, lambda task: None, lambda task, work: True),
    "compiled": EngineKind(
        _make_compiled, _compiled_obstacle, _compiled_failure, _compiled_pays, ("numba",)
    ),
}
"""The engines by the names that configs have for them; of those that pay, `auto` takes the last."""


def choose(task: Task, wanted: str, work: float, *, certain: bool = True) -> str:
    """Return the name of the engine that is to do a task.

    Parameters
    ----------
    task
        What is to be computed.
    wanted
        A name of `ENGINES`, or auto.
    work
        The floating-point operations that are ahead.
    certain
        Whether to import what the engine needs, which takes a while; without, an engine whose
        packages are there but broken may be named.

    Raises
    ------
    ConfigError
        The engine that is asked for cannot do the task.
    """

    def obstacle(kind: EngineKind) -> str | None:
        return kind.obstacle(task) or (kind.failure(task) if certain else None)

    if wanted != "auto":
        found = obstacle(ENGINES[wanted])
        if found is not None:
            raise ConfigError(f"compute.backend: {wanted} {found}")
        return wanted
    able = (
        name
        for name, kind in reversed(ENGINES.items())
        if kind.pays(task, work) and obstacle(kind) is None
    )
    return next(able)
