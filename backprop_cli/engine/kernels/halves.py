"""float16 features: numba has no such numbers, so they are read by an instruction of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

_HALF = np.dtype([("half", np.uint16)])  # a type that no other features have


def readable(features: NDArray[Any]) -> NDArray[Any]:
    """Return features as the kernels take them: float16 under a type that numba knows."""
    return features.view(_HALF) if features.dtype == np.float16 else features


def converts_halves() -> bool:
    """Say whether the code that numba makes can convert float16, without a library for it."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return triple.startswith(("aarch64", "arm64")) or "+f16c" in features.split(",")


@intrinsic
def number(typing: Any, value: Any) -> Any:
    """Return a feature that was read: a half as float32, any other number as it is."""
    if not isinstance(value, types.Record):
        return value(value), lambda context, builder, signature, arguments: arguments[0]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.bitcast(arguments[0], ir.HalfType().as_pointer())
        return builder.fpext(builder.load(address, align=_HALF.itemsize), ir.FloatType())

    return types.float32(value), generate
