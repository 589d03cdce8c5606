"""Ops that read or write by indices that are data, and choices of the largest elements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import FormatError, ShapeError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.indexing import CheckedIndex, scatter_add, take, take_along_axis
from ...ops.select import where
from ...ops.shape import broadcast_to, expand_dims, reshape
from ...ops.slicing import slice_axis
from ...ops.sorting import topk
from ...ops.source import Iota, constant, full
from ...sizes import Dim, product
from ...types import Shape, is_floating, numpy_dtype
from ..registry import Call, translates


@translates("Gather")
def _gather(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    if x.dtype == "bool":
        return take(x.astype("uint8"), indices, call.attribute("axis", 0)).astype("bool")
    return take(x, indices, call.attribute("axis", 0))


@translates("GatherElements")
def _gather_elements(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    along = normalize_axis(call.attribute("axis", 0), x.ndim)
    for axis, size in enumerate(indices.shape):
        if axis != along and x.shape[axis] != size:
            x = slice_axis(x, axis, 0, size)
    return take_along_axis(x, indices, along)


@translates("GatherND")
def _gather_nd(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    # `batch_dims` since opset 12.
    batch, depth = call.attribute("batch_dims", 0), indices.shape[-1]
    if not isinstance(depth, int):
        raise ShapeError(f"the last axis of the indices {indices.type} is symbolic")
    count = product(x.shape[:batch])
    flat = _linear(indices, x.shape[batch : batch + depth])
    inner, rest = product(x.shape[batch : batch + depth]), x.shape[batch + depth :]
    lines = reshape(flat, (count, product(flat.shape[batch:])))
    lines = lines + reshape(FUNCTIONS["arange"](count) * full((), inner, "int64"), (count, 1))
    found = take(reshape(x, (count * inner, *rest)), lines, 0)
    return reshape(found, (*indices.shape[:-1], *rest))


def _linear(indices: Tensor, shape: Shape) -> Tensor:
    """The place in row-major order of every index tuple along the last axis; each is checked and may be negative."""
    depth = len(shape)
    flat = full(indices.shape[:-1], 0, "int64")
    for k in range(depth):
        one = reshape(slice_axis(indices, indices.ndim - 1, k, 1), indices.shape[:-1])
        flat = flat * full((), shape[k], "int64") + CheckedIndex(shape[k])(one)
    return flat


@translates("Scatter", "ScatterElements")
def _scatter_elements(call: Call, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    # `reduction` since opset 16 (add, mul), max and min since 18.
    along = normalize_axis(call.attribute("axis", 0), x.ndim)
    places = [Iota(indices.shape, k, "int64")() if k != along else CheckedIndex(x.shape[k])(indices) for k in range(x.ndim)]
    flat = full(indices.shape, 0, "int64")
    for place, size in zip(places, x.shape, strict=True):
        flat = flat * full((), size, "int64") + place
    found = _written(reshape(x, (x.size, 1)), reshape(flat, (flat.size,)), reshape(updates, (updates.size, 1)), call.attribute("reduction", "none"))
    return reshape(found, x.shape)


@translates("ScatterND")
def _scatter_nd(call: Call, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    # `reduction` since opset 16 (add, mul), max and min since 18.
    depth = indices.shape[-1]
    if not isinstance(depth, int):
        raise ShapeError(f"the last axis of the indices {indices.type} is symbolic")
    flat = _linear(indices, x.shape[:depth])
    count, rest = product(x.shape[:depth]), product(x.shape[depth:])
    given = reshape(updates, (flat.size, rest))
    found = _written(reshape(x, (count, rest)), reshape(flat, (flat.size,)), given, call.attribute("reduction", "none"))
    return reshape(found, x.shape)


def _written(x: Tensor, places: Tensor, updates: Tensor, reduction: str) -> Tensor:
    """x (rows, columns) with the updates combined into the rows `places`."""
    if reduction == "add":
        return scatter_add(x, places, updates, 0)
    if reduction == "none":
        # Which rows are written is counted; each is written once, by ONNX's rule for this mode.
        wide = _summable(x.dtype)
        hits = scatter_add(full((x.shape[0],), 0, "int64"), places, full(places.shape, 1, "int64"), 0)
        sums = scatter_add(full(x.shape, 0, wide), places, updates.astype(wide), 0)
        return where(expand_dims(hits > 0, 1), sums.astype(x.dtype), x)
    if reduction not in _COMBINED:
        raise FormatError(f"the reduction {reduction!r} is not one of none, add, {', '.join(_COMBINED)}")
    combine, neutral = _COMBINED[reduction]
    hit = reshape(places, (1, -1, 1)) == reshape(FUNCTIONS["arange"](x.shape[0]), (-1, 1, 1))
    kept = where(hit, expand_dims(updates, 0), full((), neutral(x.dtype), x.dtype))
    return combine(x, kept)


def _summable(dtype: str) -> str:
    return "int64" if dtype == "bool" else dtype


def _limit(sign: int) -> Callable[[str], float]:
    def of(dtype: str) -> float:
        if is_floating(dtype):
            return sign * float("inf")
        limits = np.iinfo(numpy_dtype(dtype))
        return int(limits.max if sign > 0 else limits.min)

    return of


_COMBINED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[str], float]]] = {
    "mul": (lambda x, given: x * given.prod(axis=1), lambda dtype: 1),
    "max": (lambda x, given: FUNCTIONS["maximum"](x, given.max(axis=1)), _limit(-1)),
    "min": (lambda x, given: FUNCTIONS["minimum"](x, given.min(axis=1)), _limit(1)),
}


@translates("TensorScatter")
def _tensor_scatter(call: Call, x: Tensor, updates: Tensor, starts: Tensor | None = None) -> Tensor:
    """A cache with new elements from `starts` of each batch on along an axis, round its end if circular."""
    axis = normalize_axis(call.attribute("axis", -2), x.ndim)
    size, count = x.shape[axis], updates.shape[axis]
    first = full((x.shape[0],), 0, "int64") if starts is None else starts.astype("int64")
    line = reshape(FUNCTIONS["arange"](size), (1, size)) - reshape(first, (x.shape[0], 1))
    if call.attribute("mode", "linear") == "circular":
        line = line % full((), size, "int64")
    is_new = (line >= 0) & (line < full((), count, "int64"))
    shape: list[Dim] = [1] * x.ndim
    shape[0], shape[axis] = x.shape[0], size
    places = broadcast_to(reshape(where(is_new, line, 0), shape), x.shape)
    return where(reshape(is_new, shape), take_along_axis(updates, places, axis), x)


@translates("OneHot")
def _one_hot(call: Call, indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    count = call.sizes(depth, "the depth")[0]
    axis = normalize_axis(call.attribute("axis", -1), indices.ndim + 1)
    at = indices.astype("int64")
    at = where(at < 0, at + full((), count, "int64"), at)
    shape = (*indices.shape[:axis], count, *indices.shape[axis:])
    hit = Iota(shape, axis, "int64")() == expand_dims(at, axis)
    return where(hit, values[1], values[0])


@translates("TopK")
def _top_k(call: Call, x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
    # k is an attribute before opset 10; `largest` since opset 11.
    count = call.sizes(k, "the number k")[0] if k is not None else call.required("k")
    values, indices = topk(x, count, call.attribute("axis", -1), bool(call.attribute("largest", 1)))
    return values, indices


@translates("Compress")
def _compress(call: Call, x: Tensor, condition: Tensor) -> Tensor:
    kept = np.flatnonzero(call.needed(condition, "the number of elements that are kept"))
    indices = constant(kept.astype("int64"))
    return take(x, indices, call.attribute("axis")) if "axis" in call.attributes else take(reshape(x, (x.size,)), indices, 0)


@translates("NonZero")
def _non_zero(call: Call, x: Tensor) -> Tensor:
    array = call.needed(x, "the number of elements that are not zero")
    return constant(np.array(np.nonzero(array), "int64").reshape(x.ndim, -1))


@translates("Unique")
def _unique(call: Call, x: Tensor) -> tuple[Tensor, ...]:
    """The values themselves decide how many there are, so all results are constants."""
    array = call.needed(x, "the number of different elements")
    axis = call.attribute("axis")
    values, first, inverse, counts = np.unique(array, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not call.attribute("sorted", 1):
        order = np.argsort(first, kind="stable")
        values = np.take(values, order, 0 if axis is None else axis)
        first, counts, inverse = first[order], counts[order], np.argsort(order)[inverse]
    return tuple(constant(np.asarray(one)) for one in (values, *(one.astype("int64") for one in (first, inverse, counts))))


@translates("ReverseSequence")
def _reverse_sequence(call: Call, x: Tensor, lengths: Tensor) -> Tensor:
    batch, time = call.attribute("batch_axis", 1), call.attribute("time_axis", 0)
    place = Iota(x.shape, time, "int64")()
    shape: list[Dim] = [1] * x.ndim
    shape[batch] = x.shape[batch]
    length = reshape(lengths.astype("int64"), shape)
    return take_along_axis(x, where(place < length, length - 1 - place, place), time)
