"""The product of two float32 matrices by NumPy's BLAS, called from within a kernel.

Where W has many rows, both products of a step are as wide as a BLAS wants them. Every thread of the
kernels calls it for its own block of features, so it has to work on one thread meanwhile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_SINGLE, _ENUM, _INTEGER = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = _ENUM(101), _ENUM(111), _ENUM(112)  # CBLAS's own numbers
_KIND = ir.FunctionType(
    ir.VoidType(),
    [_ENUM] * 3 + [_INTEGER] * 3  # order, what is transposed; rows, columns, sums' length
    + [_SINGLE, _INTEGER, _INTEGER, _INTEGER, _INTEGER]  # a factor; A and B, with strides
    + [_SINGLE, _INTEGER, _INTEGER],  # a factor on what C was; C, with its stride
)  # fmt: skip


@intrinsic
def times_transposed(
    typing: Any, address: Any, factor: Any, A: Any, B: Any, share: Any, C: Any
) -> Any:
    """C <- factor A B^T + share C, by the function at ``address``.

    The rows of all three are contiguous float32; where ``share`` is 0, what is in C is not read.
    Nothing is checked.
    """
    return _signature(address, A, B, C), _product(_AS_IT_IS, _TRANSPOSED)


@intrinsic
def transposed_times(
    typing: Any, address: Any, factor: Any, A: Any, B: Any, share: Any, C: Any
) -> Any:
    """C <- factor A^T B + share C, likewise."""
    return _signature(address, A, B, C), _product(_TRANSPOSED, _AS_IT_IS)


def _signature(address: Any, A: Any, B: Any, C: Any) -> Any:
    return types.void(address, types.float32, A, B, types.float32, C)


def _product(of_A: Any, of_B: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def parts(k: int) -> tuple[Any, Any, Any, Any]:
            array = context.make_array(signature.args[k])(context, builder, arguments[k])
            rows, columns = cgutils.unpack_tuple(builder, array.shape)
            stride = cgutils.unpack_tuple(builder, array.strides)[0]
            numbers = builder.sdiv(stride, _INTEGER(np.dtype(np.float32).itemsize))
            return builder.ptrtoint(array.data, _INTEGER), numbers, rows, columns

        A, A_stride, A_rows, A_columns = parts(2)
        B, B_stride, _, _ = parts(3)
        C, C_stride, rows, columns = parts(5)
        summed = A_columns if of_A is _AS_IT_IS else A_rows
        function = builder.inttoptr(arguments[0], _KIND.as_pointer())
        builder.call(function, [
            _ROW_MAJOR, of_A, of_B, rows, columns, summed,
            arguments[1], A, A_stride, B, B_stride, arguments[4], C, C_stride,
        ])  # fmt: skip
        return context.get_dummy_value()

    return generate
