"""The one piece that is written in the compiler's own language: a tile of G X^T kept in registers.

Compiled from plain loops, the sums of a tile go to memory and back at every example, which halves
the speed. Here they are values of the intermediate representation, so that they stay in registers
from the first example to the last.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROWS = 5
"""Rows of G (classes) that a tile takes at once."""

# A vector is as wide as the processor's; more vectors where it has 32 registers and not 16.
_FEATURES = llvmlite.binding.get_host_cpu_features()
_WIDE = bool(_FEATURES.get("avx512f"))
_MANY = _WIDE or llvmlite.binding.get_process_triple().startswith(("aarch64", "arm64"))
_LANES = 16 if _WIDE else 8 if _FEATURES.get("avx2") else 4
_VECTORS = 4 if _MANY else 2
COLUMNS = _LANES * _VECTORS
"""Columns of X^T (features) that a tile takes at once."""


@intrinsic
def gradient_tile(
    typing: Any, G: Any, x: Any, mean: Any, n: Any, row: Any, column: Any, out: Any
) -> Any:
    """out[t, column + l] = sum over i < n of G[i, row + t] (x[i, column + l] - mean[column + l]).

    ROWS x COLUMNS of it. The rows of all arrays are contiguous; ``x`` holds float32 or integers,
    the others float32. Nothing is checked.
    """
    signature = types.void(G, x, mean, n, row, column, out)
    return signature, _generate


def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    integer, single = ir.IntType(64), ir.FloatType()
    vector = ir.VectorType(single, _LANES)
    size = np.dtype(np.float32).itemsize
    x_type = signature.args[1].dtype
    x_kind = context.get_data_type(x_type)
    x_size = context.get_abi_sizeof(x_kind)

    def first_address(k: int, offset: Any, item_size: int = size) -> tuple[Any, Any]:
        array = context.make_array(signature.args[k])(context, builder, arguments[k])
        start = builder.ptrtoint(array.data, integer)
        stride = cgutils.unpack_tuple(builder, array.strides)[0]
        return builder.add(start, builder.mul(offset, integer(item_size))), stride

    def at(address: Any, kind: Any) -> Any:
        return builder.inttoptr(address, kind.as_pointer())

    def vectors(start: Any, item_size: int, kind: Any) -> list[Any]:
        return [
            builder.load(
                at(builder.add(start, integer(item_size * _LANES * v)), kind), align=item_size
            )
            for v in range(_VECTORS)
        ]

    def as_single(values: Any) -> Any:
        if x_type == types.float32:
            return values
        signed = isinstance(x_type, types.Integer) and x_type.signed
        return (builder.sitofp if signed else builder.uitofp)(values, vector)

    n, row, column = arguments[3:6]
    g_start, g_stride = first_address(0, row)
    x_start, x_stride = first_address(1, column, x_size)
    mean_start, _ = first_address(2, column)
    out_start, out_stride = first_address(6, column)
    means = vectors(mean_start, size, vector)
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{_LANES}f32"
    )
    before, loop = builder.block, builder.append_basic_block("example")
    after = builder.append_basic_block("stored")
    builder.branch(loop)

    builder.position_at_end(loop)
    i = builder.phi(integer)
    i.add_incoming(integer(0), before)
    sums = [[builder.phi(vector) for _ in range(_VECTORS)] for _ in range(ROWS)]
    x_row = builder.add(x_start, builder.mul(i, x_stride))
    g_row = builder.add(g_start, builder.mul(i, g_stride))
    x_values = [
        builder.fsub(as_single(values), mean)
        for values, mean in zip(
            vectors(x_row, x_size, ir.VectorType(x_kind, _LANES)), means, strict=True
        )
    ]
    undefined = ir.Constant(vector, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), None)
    results = []
    for t in range(ROWS):
        g = builder.load(at(builder.add(g_row, integer(size * t)), single), align=size)
        g = builder.insert_element(undefined, g, ir.IntType(32)(0))
        g = builder.shuffle_vector(g, undefined, everywhere)
        results.append([builder.call(fma, [g, x_values[v], sums[t][v]]) for v in range(_VECTORS)])
        for v in range(_VECTORS):
            sums[t][v].add_incoming(ir.Constant(vector, None), before)
            sums[t][v].add_incoming(results[t][v], loop)
    following = builder.add(i, integer(1))
    i.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, after)

    builder.position_at_end(after)
    for t in range(ROWS):
        out_row = builder.add(out_start, builder.mul(integer(t), out_stride))
        for v in range(_VECTORS):
            address = builder.add(out_row, integer(size * _LANES * v))
            builder.store(results[t][v], at(address, vector), align=size)
    return context.get_dummy_value()
