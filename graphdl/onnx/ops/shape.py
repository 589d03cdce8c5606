"""Shapes and the ops that move elements without reading them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import FormatError, ShapeError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.elementwise import broadcast_shapes
from ...ops.indexing import take
from ...ops.join import concatenate, stack
from ...ops.pad import pad
from ...ops.shape import broadcast_to, reshape, transpose
from ...ops.slicing import Slice, slice_axis
from ...ops.source import constant, full
from ...sizes import Dim, Size, ceildiv, divides, is_nonnegative, maximum, minimum, product
from ...types import is_floating
from ..elements import element_name
from ..registry import Call, translates


def size_vector(sizes: Sequence[Dim]) -> Tensor:
    """Sizes as an int64 tensor of one axis, symbolic ones as elements of the graph."""
    if all(isinstance(size, int) for size in sizes):
        return constant(np.array(sizes, "int64"))
    return stack([full((), size, "int64") for size in sizes])


@translates("Constant")
def _constant(call: Call) -> Tensor:
    # The weight itself, if it is one, is made where the node is read: see `scope.Library.weight`.
    kinds = {"value_float": "float32", "value_floats": "float32", "value_int": "int64", "value_ints": "int64"}
    for name, dtype in kinds.items():
        if name in call.attributes:
            return constant(np.array(call.attributes[name], dtype))
    return call.weight(call.required("value"))


@translates("ConstantOfShape")
def _constant_of_shape(call: Call, shape: Tensor) -> Tensor:
    value = call.attribute("value", np.zeros(1, "float32"))
    return full(_natural(call.sizes(shape, "the shape")), value.reshape(-1)[0].item(), value.dtype)


def _natural(sizes: Sequence[Dim]) -> tuple[Dim, ...]:
    if negative := [size for size in sizes if isinstance(size, int) and size < 0]:
        raise ShapeError(f"the size {negative[0]} is negative")
    return tuple(sizes)


@translates("Shape")
def _shape(call: Call, x: Tensor) -> Tensor:
    # `start` and `end` since opset 15.
    return size_vector(x.shape[call.attribute("start", 0) : call.attribute("end", x.ndim)])


@translates("Size")
def _size(call: Call, x: Tensor) -> Tensor:
    return full((), x.size, "int64")


@translates("Reshape")
def _reshape(call: Call, x: Tensor, shape: Tensor | None = None) -> Tensor:
    # The shape is an attribute before opset 5. A 0 keeps the axis, unless `allowzero` (opset 14) is set.
    wanted = list(call.required("shape")) if shape is None else call.sizes(shape, "the shape")
    if not call.attribute("allowzero", 0):
        wanted = [x.shape[k] if isinstance(size, int) and size == 0 else size for k, size in enumerate(wanted)]
    return reshape(x, _without_minus_one(x, wanted))


def _without_minus_one(x: Tensor, wanted: list[Dim]) -> list[Dim]:
    """The shape with -1 decided by the axes that stay as they are, which needs no division."""
    if not any(isinstance(size, int) and size == -1 for size in wanted):
        return wanted
    mine, theirs = list(x.shape), [size for size in wanted if not (isinstance(size, int) and size == -1)]
    for size in list(theirs):
        if isinstance(size, Size) and size in mine:
            mine.remove(size)
            theirs.remove(size)
    rest = product(theirs)
    found = divides(rest, product(mine)) if rest != 0 else 0
    if found is None:
        return wanted
    return [found if isinstance(size, int) and size == -1 else size for size in wanted]


@translates("Flatten")
def _flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.attribute("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return reshape(x, (product(x.shape[:axis]), product(x.shape[axis:])))


@translates("Transpose")
def _transpose(call: Call, x: Tensor) -> Tensor:
    return transpose(x, call.attribute("perm"))


@translates("Squeeze")
def _squeeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    # Axes are an attribute before opset 13; without any, all axes of size 1 go.
    listed = call.ints(1, "axes")
    gone = {k for k, size in enumerate(x.shape) if size == 1} if listed is None else {normalize_axis(axis, x.ndim) for axis in listed}
    if wrong := [k for k in gone if isinstance(x.shape[k], int) and x.shape[k] != 1]:
        raise ShapeError(f"axis {wrong[0]} of {x.type} has size {x.shape[wrong[0]]}, not 1")
    return reshape(x, tuple(size for k, size in enumerate(x.shape) if k not in gone))


@translates("Unsqueeze")
def _unsqueeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    # Axes are an attribute before opset 13.
    listed = call.ints(1, "axes") or ()
    rank = x.ndim + len(listed)
    new = {normalize_axis(axis, rank) for axis in listed}
    old = iter(x.shape)
    return reshape(x, tuple(1 if k in new else next(old) for k in range(rank)))


@translates("Expand")
def _expand(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    wanted = _natural(call.sizes(shape, "the shape"))
    return broadcast_to(x, broadcast_shapes(x.shape, wanted))


@translates("Concat")
def _concat(call: Call, *x: Tensor) -> Tensor:
    return concatenate(list(x), call.required("axis"))


@translates("Split")
def _split(call: Call, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    # Sizes are an attribute before opset 13; `num_outputs` since opset 18, where the last part may be smaller.
    axis = normalize_axis(call.attribute("axis", 0), x.ndim)
    parts = list(call.attribute("split", ())) or (call.sizes(sizes, "the split") if sizes is not None else [])
    if not parts:
        count = call.attribute("num_outputs", len(call.outputs))
        part = ceildiv(x.shape[axis], count)
        parts = [part] * (count - 1) + [x.shape[axis] - part * (count - 1)]
    starts = [sum(parts[:k], 0) for k in range(len(parts))]
    return tuple(slice_axis(x, axis, start, size) for start, size in zip(starts, parts, strict=True))


@translates("Slice")
def _slice(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    # Attributes before opset 10, inputs since then; with negative steps since opset 10.
    listed = [_listed(call, k, name) for k, name in enumerate(("starts", "ends", "axes", "steps"), 1)]
    starts, ends = listed[0] or [], listed[1] or []
    axes = [int(axis) for axis in listed[2]] if listed[2] is not None else list(range(len(starts)))
    steps = [int(step) for step in listed[3]] if listed[3] is not None else [1] * len(starts)
    begin: list[Dim] = [0] * x.ndim
    sizes, strides = list(x.shape), [1] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        k = normalize_axis(axis, x.ndim)
        begin[k], sizes[k], strides[k] = *_bounds(x.shape[k], start, end, step), step
    return Slice(tuple(begin), tuple(sizes), tuple(strides))(x)


def _listed(call: Call, position: int, name: str) -> list[Dim] | None:
    if name in call.attributes:
        return list(call.attributes[name])
    return call.sizes(call[position], name) if call.has(position) else None


def _bounds(size: Dim, start: Dim, end: Dim, step: int) -> tuple[Dim, Dim]:
    """Where a slice begins and how many elements it has; bounds beyond the axis are drawn in."""
    if step == 0:
        raise FormatError("a step is 0")
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first, last = _inside(start, size, low, high), _inside(end, size, low, high)
    span = last - first if step > 0 else first - last
    count = maximum(ceildiv(span, abs(step)), 0)
    return (0 if count == 0 else first), count


_FAR = 10**9  # what is at least as far as this stands for the end of an axis


def _inside(at: Dim, size: Dim, low: Dim, high: Dim) -> Dim:
    if isinstance(at, int) and not isinstance(size, int) and abs(at) >= _FAR:
        return high if at > 0 else low
    if (isinstance(at, int) and at < 0) or (not isinstance(at, int) and is_nonnegative(-at)):
        at = at + size
    return minimum(maximum(at, low), high)


@translates("Tile")
def _tile(call: Call, x: Tensor, repeats: Tensor, axis: Tensor | None = None) -> Tensor:
    # Until opset 6, one number of tiles and one axis.
    counts = call.sizes(repeats, "the repeats")
    if axis is not None:
        at = int(call.number(2, "the axis", 0))
        counts = [counts[0] if k == at else 1 for k in range(x.ndim)]
    return FUNCTIONS["tile"](x, tuple(counts))


@translates("Pad")
def _pad(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    # Widths and value are attributes before opset 11; `axes` since opset 18.
    listed = list(call.attribute("pads", call.attribute("paddings", ()))) or call.sizes(call[1], "the widths")
    chosen = call.numbers(3, "the axes")
    axes = list(range(x.ndim)) if chosen is None else [normalize_axis(int(axis), x.ndim) for axis in chosen.reshape(-1)]
    widths: list[tuple[Dim, Dim]] = [(0, 0)] * x.ndim
    for k, axis in enumerate(axes):
        widths[axis] = listed[k], listed[k + len(axes)]
    value = call.attribute("value", 0.0) if not call.has(2) else call.number(2, "the value", 0.0)
    return padded(x, widths, call.attribute("mode", "constant"), value)


def padded(x: Tensor, widths: Sequence[tuple[Dim, Dim]], mode: str, value: Any) -> Tensor:
    """x with a border; where a width is negative elements are cut off."""
    for axis, (low, high) in enumerate(widths):
        cut = [-width if isinstance(width, int) and width < 0 else 0 for width in (low, high)]
        if any(cut):
            x = slice_axis(x, axis, cut[0], x.shape[axis] - cut[0] - cut[1])
    borders = [tuple(0 if isinstance(width, int) and width < 0 else width for width in pair) for pair in widths]
    if mode == "wrap":
        return _wrapped(x, borders)
    if mode == "constant":
        value = value if is_floating(x.dtype) else bool(value) if x.dtype == "bool" else int(value)
        return pad(x, borders, "constant", value)
    return pad(x, borders, mode)


def _wrapped(x: Tensor, borders: Sequence[tuple[Dim, ...]]) -> Tensor:
    """x repeated periodically."""
    for axis, (low, high) in enumerate(borders):
        if (low, high) != (0, 0):
            size = x.shape[axis]
            places = (FUNCTIONS["arange"](low + size + high) - full((), low, "int64")) % full((), size, "int64")
            x = take(x, places, axis)
    return x


@translates("DepthToSpace")
def _depth_to_space(call: Call, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    block = call.required("blocksize")
    depth = divides(block * block, c)
    if depth is None:
        raise ShapeError(f"the {c} channels of {x.type} are no multiple of {block * block}")
    if call.attribute("mode", "DCR") == "CRD":
        apart = transpose(reshape(x, (n, depth, block, block, h, w)), (0, 1, 4, 2, 5, 3))
    else:
        apart = transpose(reshape(x, (n, block, block, depth, h, w)), (0, 3, 4, 1, 5, 2))
    return reshape(apart, (n, depth, h * block, w * block))


@translates("SpaceToDepth")
def _space_to_depth(call: Call, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    block = call.required("blocksize")
    rows, columns = divides(block, h), divides(block, w)
    if rows is None or columns is None:
        raise ShapeError(f"the height and width of {x.type} are no multiples of {block}")
    if call.attribute("mode", "DCR") == "CRD":
        apart = transpose(reshape(x, (n, c, rows, block, columns, block)), (0, 1, 3, 5, 2, 4))
    else:
        apart = transpose(reshape(x, (n, c, rows, block, columns, block)), (0, 3, 5, 1, 2, 4))
    return reshape(apart, (n, c * block * block, rows, columns))


@translates("EyeLike")
def _eye_like(call: Call, x: Tensor) -> Tensor:
    dtype = element_name(call.attributes["dtype"]) if "dtype" in call.attributes else x.dtype
    rows, columns = (FUNCTIONS["arange"](size) for size in x.shape)
    shifted = reshape(rows, (x.shape[0], 1)) + call.attribute("k", 0)
    return (shifted == reshape(columns, (1, x.shape[1]))).astype(dtype)


@translates("Range")
def _range(call: Call, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    first, last, step = (call.needed(x, "the range").reshape(-1)[0] for x in (start, limit, delta))
    if is_floating(start.dtype):
        count: Dim = max(int(np.ceil((last - first) / step)), 0)
    else:
        if isinstance(step, Size):
            raise ShapeError("the step of a range is symbolic")
        span = _plain(last) - _plain(first)
        count = maximum(ceildiv(span, int(step)) if step > 0 else ceildiv(-span, -int(step)), 0)
    places = FUNCTIONS["arange"](count, start.dtype)
    return (reshape(start, ()) + places * reshape(delta, ())).astype(start.dtype)


def _plain(value: Any) -> Dim:
    return value if isinstance(value, Size) else int(value)


@translates("Trilu")
def _trilu(call: Call, x: Tensor, k: Tensor | None = None) -> Tensor:
    shift = int(call.number(1, "the diagonal", 0))
    rows = reshape(FUNCTIONS["arange"](x.shape[-2]), (x.shape[-2], 1)) + shift
    columns = FUNCTIONS["arange"](x.shape[-1])
    kept = columns >= rows if call.attribute("upper", 1) else columns <= rows
    zero = full((), 0, x.dtype)
    return FUNCTIONS["where"](kept, x, zero)


@translates("Optional", "OptionalGetElement")
def _optional(call: Call, x: Any = None) -> Any:
    return x


@translates("OptionalHasElement")
def _optional_has_element(call: Call, x: Any = None) -> Tensor:
    return constant(np.array(x is not None))
