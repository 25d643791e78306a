"""The tiles of both products, S = W X and dW = G X^T, in the compiler's own language.

A tile's sums stay in registers from the first number to the last. Compiled from plain loops, those
of dW go to memory and back at every example, at half the speed; those of S are vectors of 256 bits
on processors that have 512, where LLVM prefers the shorter ones.

With 32 registers (with 16, half the examples, and half the vectors):

    S: 4 examples x 5 classes           dW: 5 classes x 4 vectors of features

            w_0 w_1 w_2 w_3 w_4                   x_0 x_1 x_2 x_3
        x_0  .   .   .   .   .                g_0  .   .   .   .
        x_1  .   .   .   .   .                g_1  .   .   .   .
        x_2  .   .   .   .   .                g_2  .   .   .   .
        x_3  .   .   .   .   .                g_3  .   .   .   .
                                              g_4  .   .   .   .

Each . is a vector of sums. A step of S goes on by a vector of features: it loads 4 vectors of x,
converts and centres them, and loads 5 of w, for 20 multiplications. A step of dW goes on by an
example: it loads, converts and centres 4 vectors of x, and spreads 5 numbers of G, for 20.

Rows of W may evict each other, and rows of x, from the first cache. So the first tile of S copies
its 5 rows into ``w`` in the order in which it reads them, one vector of each row in turn; the other
tiles of these rows read ``w``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROWS = 5
"""Rows of W and G (classes) that a tile takes at once."""

# A vector is as wide as the processor's; more vectors where it has 32 registers and not 16.
_FEATURES = llvmlite.binding.get_host_cpu_features()
_WIDE = bool(_FEATURES.get("avx512f"))
_MANY = _WIDE or llvmlite.binding.get_process_triple().startswith(("aarch64", "arm64"))
LANES = 16 if _WIDE else 8 if _FEATURES.get("avx2") else 4
"""Numbers of a vector."""
_VECTORS = 4 if _MANY else 2
COLUMNS = LANES * _VECTORS
"""Columns of X^T (features) that a tile of dW takes at once."""
EXAMPLES = 4 if _MANY else 2
"""Examples that a tile of S takes at once."""

_SINGLE, _INTEGER = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_SINGLE, LANES)
_SIZE = np.dtype(np.float32).itemsize


@intrinsic
def gradient_tile(
    typing: Any, G: Any, x: Any, mean: Any, n: Any, column: Any, out: Any, start: Any
) -> Any:
    """out[t, start + l] = sum over i < n of G[i, t] (x[i, column + l] - mean[column + l]).

    ROWS x COLUMNS of it. The rows of all arrays are contiguous; ``x`` holds float32 or integers,
    the others float32. Nothing is checked.
    """
    signature = types.void(G, x, mean, n, column, out, start)
    return signature, _gradient


@intrinsic
def first_scores_tile(
    typing: Any, x: Any, places: Any, start: Any, mean: Any, W: Any, c: Any, first: Any, m: Any,
    w: Any, S: Any,
) -> Any:  # fmt: skip
    """S[e, c + t] = sum over j < m of (x_e[start + j] - mean[j]) W[c + t, first + j].

    EXAMPLES x ROWS of it, x_e the numbers of ``x`` from places[e] on; beyond the last of
    ``places`` and the last row of W, that one again. There are at least LANES features, m. Arrays
    as for `gradient_tile`; ``x`` may hold float16 too. Nothing is checked.

    ``w``, contiguous, gets these rows of W in the order in which they are read, one vector of each
    in turn: ROWS times as many numbers as m, rounded up to whole vectors.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, places, start, mean, W, c, first, m, w, S = _readers(
            context, builder, signature, arguments
        )
        rows = [W.address(_at_most_last(builder, c, t, W.length), first) for t in range(ROWS)]
        tile = _ScoresTile(builder, x, places, _INTEGER(0), start, mean, w, m)
        tile.store(tile.sums(rows), S, c)
        return context.get_dummy_value()

    return types.void(x, places, start, mean, W, c, first, m, w, S), generate


@intrinsic
def scores_tile(
    typing: Any, x: Any, places: Any, i: Any, start: Any, mean: Any, w: Any, m: Any, c: Any, S: Any
) -> Any:
    """Compute the scores of examples i to i + EXAMPLES from w, as `first_scores_tile` left it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, places, i, start, mean, w, m, c, S = _readers(context, builder, signature, arguments)
        tile = _ScoresTile(builder, x, places, i, start, mean, w, m)
        tile.store(tile.sums(), S, c)
        return context.get_dummy_value()

    return types.void(x, places, i, start, mean, w, m, c, S), generate


class _Reader:
    """One array argument of an intrinsic: addresses of its numbers, and vectors of them."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        self._builder, self._kind = builder, kind
        array = context.make_array(kind)(context, builder, value)
        self.start = builder.ptrtoint(array.data, _INTEGER)
        self.stride = cgutils.unpack_tuple(builder, array.strides)[0]
        self.length = cgutils.unpack_tuple(builder, array.shape)[0]
        self._half = isinstance(kind.dtype, types.Record)
        self.number = ir.HalfType() if self._half else context.get_data_type(kind.dtype)
        self.size = context.get_abi_sizeof(self.number)

    def address(self, row: Any, column: Any) -> Any:
        """Return where the number in a row and a column is."""
        builder = self._builder
        start = builder.add(self.start, builder.mul(row, self.stride))
        return builder.add(start, builder.mul(column, _INTEGER(self.size)))

    def vector(self, address: Any, v: int = 0) -> Any:
        """Return LANES numbers from an address on, v vectors further, as float32."""
        builder = self._builder
        place = builder.add(address, _INTEGER(self.size * LANES * v))
        kind = ir.VectorType(self.number, LANES)
        values = builder.load(builder.inttoptr(place, kind.as_pointer()), align=self.size)
        if self._half:
            return builder.fpext(values, _VECTOR)
        if self._kind.dtype == types.float32:
            return values
        signed = isinstance(self._kind.dtype, types.Integer) and self._kind.dtype.signed
        return (builder.sitofp if signed else builder.uitofp)(values, _VECTOR)

    def one(self, address: Any) -> Any:
        """Return the number at an address."""
        place = self._builder.inttoptr(address, self.number.as_pointer())
        return self._builder.load(place, align=self.size)


def _readers(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Return a reader for each array, and other arguments as they are."""
    return [
        _Reader(context, builder, kind, value) if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


def _fma(builder: Any) -> Any:
    """Return the function a b + c: one operation, where the processor has it."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")


def _loop(
    builder: Any, step: int, end: Any, sums: int, body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Call ``body(j, sums)`` for j = 0, step, ... < end, and return the last sums; end is >= 1."""
    before, loop = builder.block, builder.append_basic_block("step")
    after = builder.append_basic_block("stored")
    builder.branch(loop)
    builder.position_at_end(loop)
    j = builder.phi(_INTEGER)
    j.add_incoming(_INTEGER(0), before)
    own = [builder.phi(_VECTOR) for _ in range(sums)]
    results = body(j, own)
    for phi, result in zip(own, results, strict=True):
        phi.add_incoming(ir.Constant(_VECTOR, None), before)
        phi.add_incoming(result, loop)
    following = builder.add(j, _INTEGER(step))
    j.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, after)
    builder.position_at_end(after)
    return results


def _gradient(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    G, x, mean, n, column, out, start = _readers(context, builder, signature, arguments)
    zero, fma = _INTEGER(0), _fma(builder)
    centre = [mean.vector(mean.address(zero, column), v) for v in range(_VECTORS)]

    def add_example(i: Any, sums: list[Any]) -> list[Any]:
        x_row, g_row = x.address(i, column), G.address(i, zero)
        centred = [builder.fsub(x.vector(x_row, v), centre[v]) for v in range(_VECTORS)]
        results = []
        for t in range(ROWS):
            g = _spread(builder, G.one(builder.add(g_row, _INTEGER(_SIZE * t))))
            for v in range(_VECTORS):
                results.append(builder.call(fma, [g, centred[v], sums[t * _VECTORS + v]]))
        return results

    results = _loop(builder, 1, n, ROWS * _VECTORS, add_example)
    for t in range(ROWS):
        out_row = out.address(_INTEGER(t), start)
        for v in range(_VECTORS):
            place = builder.add(out_row, _INTEGER(_SIZE * LANES * v))
            _store(builder, results[t * _VECTORS + v], place)
    return context.get_dummy_value()


class _ScoresTile:
    """EXAMPLES x ROWS of S, for the examples from ``i`` on."""

    def __init__(
        self, builder: Any, x: Any, places: Any, i: Any, start: Any, mean: Any, w: Any, m: Any
    ) -> None:
        self._builder, self._x, self._mean, self._w, self._m = builder, x, mean, w, m
        zero = _INTEGER(0)
        self._own = [_at_most_last(builder, i, e, places.length) for e in range(EXAMPLES)]
        self._x_rows = [
            x.address(places.one(places.address(own, zero)), start) for own in self._own
        ]
        self._mean_row, self._w_row = mean.address(zero, zero), w.address(zero, zero)

    def sums(self, rows: Sequence[Any] | None = None) -> list[Any]:
        """Return a vector for each score, whose numbers add up to it.

        With ``rows``, W is read there and copied to w; without, it is read from w.
        """
        builder, zero, number = self._builder, _INTEGER(0), EXAMPLES * ROWS
        # Whole vectors; then the last one of the block again, without what was in those before.
        left = builder.srem(self._m, _INTEGER(LANES))
        whole = builder.sub(self._m, left)
        sums = _loop(builder, LANES, whole, number, lambda j, own: self._add(j, j, own, rows))
        before, some = builder.block, builder.append_basic_block("rest")
        after = builder.append_basic_block("summed")
        builder.cbranch(builder.icmp_signed(">", left, zero), some, after)
        builder.position_at_end(some)
        lanes = ir.VectorType(_INTEGER, LANES)
        order = ir.Constant(lanes, list(range(LANES)))
        new = _spread(builder, builder.sub(_INTEGER(LANES), left))
        kept = builder.icmp_signed(">=", order, new)
        more = self._add(builder.sub(self._m, _INTEGER(LANES)), whole, sums, rows, kept)
        builder.branch(after)
        builder.position_at_end(after)
        totals = []
        for one, other in zip(sums, more, strict=True):
            total = builder.phi(_VECTOR)
            total.add_incoming(one, before)
            total.add_incoming(other, some)
            totals.append(total)
        return totals

    def _add(
        self, j: Any, at: Any, sums: list[Any], rows: Sequence[Any] | None, kept: Any = None
    ) -> list[Any]:
        """Add the products of the features from j on; w has those of W from ``at`` on."""
        builder, nothing, fma = self._builder, ir.Constant(_VECTOR, None), _fma(self._builder)

        def further(reader: Any, address: Any) -> Any:
            return reader.vector(builder.add(address, builder.mul(j, _INTEGER(reader.size))))

        centre = further(self._mean, self._mean_row)
        centred = [builder.fsub(further(self._x, own), centre) for own in self._x_rows]
        if kept is not None:
            centred = [builder.select(kept, own, nothing) for own in centred]
        packed = builder.add(self._w_row, builder.mul(at, _INTEGER(ROWS * _SIZE)))
        if rows is None:
            w = [self._w.vector(packed, t) for t in range(ROWS)]
        else:
            w = [further(self._w, own) for own in rows]
            for t in range(ROWS):
                _store(builder, w[t], builder.add(packed, _INTEGER(_SIZE * LANES * t)))
        pairs = [(e, t) for e in range(EXAMPLES) for t in range(ROWS)]
        return [
            builder.call(fma, [centred[e], w[t], own])
            for (e, t), own in zip(pairs, sums, strict=True)
        ]

    def store(self, sums: list[Any], S: Any, c: Any) -> None:
        """Add up the vectors and store the scores of classes from c on."""
        builder = self._builder
        for e, own in enumerate(self._own):
            place, (*four, fifth) = S.address(own, c), sums[e * ROWS : (e + 1) * ROWS]
            _store(builder, _sums_of_four(builder, four), place)
            # In the same order: equal rows of W have equal scores, wherever they are.
            last = builder.extract_element(_sums_of_four(builder, [fifth] * 4), _INTEGER(0))
            _store(builder, last, builder.add(place, _INTEGER(4 * _SIZE)))


def _at_most_last(builder: Any, number: Any, offset: int, length: Any) -> Any:
    number, last = builder.add(number, _INTEGER(offset)), builder.sub(length, _INTEGER(1))
    return builder.select(builder.icmp_signed("<", number, last), number, last)


def _store(builder: Any, values: Any, address: Any) -> None:
    builder.store(values, builder.inttoptr(address, values.type.as_pointer()), align=_SIZE)


def _sums_of_four(builder: Any, vectors: list[Any]) -> Any:
    """Return the sums of four vectors as a vector of four.

    It takes fewer additions than four separate sums.
    """

    def joined(a: Any, b: Any, low: list[int], high: list[int]) -> Any:
        return builder.fadd(_shuffled(builder, a, b, low), _shuffled(builder, a, b, high))

    # Within each four lanes: of a and b, a0 + a2, b0 + b2, a1 + a3, b1 + b3; then of two such.
    fours = range(0, LANES, 4)
    low = [k for four in fours for k in (four, four + LANES, four + 1, four + 1 + LANES)]
    high = [k + 2 for k in low]
    a, b, c, d = vectors
    first, second = joined(a, b, low, high), joined(c, d, low, high)
    low = [k for four in fours for k in (four, four + 1, four + LANES, four + 1 + LANES)]
    found = joined(first, second, low, [k + 2 for k in low])
    width = LANES
    while width > 4:
        width //= 2
        halves = (list(range(width)), list(range(width, 2 * width)))
        low_half, high_half = (_shuffled(builder, found, found, half) for half in halves)
        found = builder.fadd(low_half, high_half)
    return found


def _shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(a, b, mask)


def _spread(builder: Any, number: Any) -> Any:
    """Return a vector that holds a number LANES times."""
    undefined = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, everywhere)
