"""What the processor's memory needs told: a barrier, what to fetch early, where arrays begin."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import DTypeLike, NDArray

LINE = 64
"""Bytes that memory hands over at once."""
NO_MEETING = 2**62
"""What a counter is set to so that nobody waits any more."""

_SPINS = 4000  # a few microseconds, before the core is offered to others
_CAN_YIELD = sys.platform != "win32"
_yield = types.ExternalFunction("sched_yield", types.int32())


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros that begin where a line of memory does.

    NumPy's arrays begin 16 bytes after one where they are large: then every second vector of the
    kernels lies in two lines, and takes two reads.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


@intrinsic
def _add(typing: Any, counter: Any, number: Any) -> Any:
    """Add to counter[0] in one indivisible step, and return what it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, arguments[1], "seq_cst")

    return types.int64(counter, types.int64), generate


@intrinsic
def _load(typing: Any, counter: Any) -> Any:
    """Return counter[0] as the other threads left it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(array.data, "seq_cst", 8)

    return types.int64(counter), generate


@intrinsic
def prefetch(typing: Any, array: Any, i: Any) -> Any:
    """Ask for array[i] to be brought near; no effect on any value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        values = context.make_array(kind)(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(
            context, builder, kind, values, list(arguments[1:]), wraparound=False
        )
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0",
        )
        # To be read, used a few times, data.
        builder.call(function, [builder.bitcast(pointer, byte), number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, i), generate


@njit(nogil=True, _nrt=False, forceinline=True)
def meet(counter: Any, expected: int) -> bool:
    """Wait until ``expected`` threads in all have come here; ``counter`` starts at 0.

    The second meeting of T threads expects 2 T, and so on. Waiting is busy at first, as the
    others are close; then the core is yielded to other threads. Return False at `NO_MEETING`:
    what the others should have done is not there.
    """
    _add(counter, 1)
    spins = 0
    while _load(counter) < expected:
        spins += 1
        if _CAN_YIELD and spins > _SPINS:
            _yield()
    met: bool = _load(counter) < NO_MEETING
    return met
