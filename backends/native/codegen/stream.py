"""Results too large for the caches, written past them.

A plain store to memory reads the cache line first: a third of a copy's traffic. A non-temporal store does not, but must fill whole lines.
So the loop over whole vectors is there twice, and the kernel takes the one with non-temporal stores where an argument says so (the results
are large) and every row to be written begins with a line.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphdl.kernel.expression import Axis, Load, axes_of, walk
from graphdl.kernel.program import Store
from graphdl.sizes import Dim, SymbolAtom, floordiv, product

from ..llvm import I1, I64, Value
from ..target import Target
from .affine import Flat, linear_part
from .emitter import Emitter
from .registers import MEMORY, itemsize

LINE = 64  # bytes
STREAMS = SymbolAtom("#streams")  # the kernel's argument: not 0 if it is to stream


def streamed_stores(stores: Sequence[Store], axis: Axis, lanes: int, target: Target) -> list[Store]:
    """The stores that may bypass the caches: whole lines along `axis`, of memory that the kernel does not read."""
    read = {x.buffer.storage for store in stores for x in walk(store.value) if isinstance(x, Load)}
    fitting = target.vector_bytes == LINE
    return [store for store in stores if fitting and store.buffer.storage not in read and _fills_lines(store, axis, lanes)]


def _fills_lines(store: Store, axis: Axis, lanes: int) -> bool:
    parts = linear_part(store.index[0], axis)
    contiguous = parts is not None and parts[0] == 1 and len(axes_of(store.index[0])) == len(store.axes)
    return contiguous and lanes * itemsize(store.value.dtype) % LINE == 0


def streaming(flat: Flat, lanes: int, target: Target) -> Dim:
    """Not 0 where the results of a kernel are so large that they would not stay in the cache."""
    deepest = [store for store in flat.stores if store.axes == flat.axes]
    stores = streamed_stores(deepest, flat.axes[-1], lanes, target) if flat.axes else []
    size = sum((product(axis.size for axis in store.axes) * itemsize(store.value.dtype) for store in stores), 0)
    return floordiv(size, target.l3 // 2)


def is_streamed(emitter: Emitter, stores: Sequence[Store], axis: Axis, begin: Value) -> Value:
    """Whether the row that is written from `begin` on may be and is to be streamed."""
    f = emitter.f
    places = I64.const(0)
    for store in stores:
        start = f.offset(row_address(emitter, store, axis), begin, MEMORY[store.value.dtype].scalar)
        places = f.bit_or(places, f.convert("ptrtoint", start, I64))
    aligned = f.compare("eq", f.bit_and(places, I64.const(LINE - 1)), I64.const(0))
    return f.emit(I1, f"and i1 {aligned.text}, {wants_streams(emitter).text}")


def wants_streams(emitter: Emitter) -> Value:
    """Whether this launch is to stream."""
    return emitter.f.compare("ne", emitter.symbol(STREAMS.key), I64.const(0))


def row_address(emitter: Emitter, store: Store, axis: Axis) -> Value:
    """Where a store that is contiguous along `axis` has its element 0."""
    parts = linear_part(store.index[0], axis)
    assert parts is not None
    return emitter.address(store.buffer, parts[1], MEMORY[store.value.dtype])
