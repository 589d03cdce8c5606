"""More of NumPy's functions, made of ops: their gradients are those of what they are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ir import Tensor, as_tensor
from ..op import function, normalize_axis
from ..sizes import Dim
from ..types import as_dim, is_floating, numpy_dtype
from .einsum import einsum
from .elementwise import align, describe
from .join import concatenate
from .select import where
from .shape import reshape, transpose
from .source import Iota, arange, full
from .subscript import index

BFLOAT16_MAX = float.fromhex("0x1.fep127")

# -- logic: what is not 0 is true ------------------------------------------------------------------------------------


@function
def logical_and(x: Any, y: Any) -> Tensor:
    """Whether both are true, elementwise: bool, of the shape to which x and y broadcast."""
    a, b = align(_truth(x), _truth(y))
    return a & b


@function
def logical_or(x: Any, y: Any) -> Tensor:
    """Whether one or both are true, elementwise: bool, of the shape to which x and y broadcast."""
    a, b = align(_truth(x), _truth(y))
    return a | b


@function
def logical_xor(x: Any, y: Any) -> Tensor:
    """Whether just one is true, elementwise: bool, of the shape to which x and y broadcast."""
    a, b = align(_truth(x), _truth(y))
    return a ^ b


@function
def logical_not(x: Any) -> Tensor:
    """Whether x is 0, elementwise: bool."""
    return ~_truth(x)


def _truth(x: Any) -> Tensor:
    tensor = as_tensor(x)
    return tensor if tensor.dtype == "bool" else tensor != 0


@function
def isinf(x: Any) -> Tensor:
    """Whether x is infinite, elementwise: bool; never for integers."""
    tensor = as_tensor(x)
    return abs(tensor) == math.inf if is_floating(tensor.dtype) else full(tensor.shape, False, "bool")


# -- arithmetic ------------------------------------------------------------------------------------------------------


@function
def square(x: Any) -> Tensor:
    """x * x."""
    tensor = as_tensor(x)
    return tensor * tensor


@function
def reciprocal(x: Any) -> Tensor:
    """1 / x; integers give float64."""
    return 1.0 / as_tensor(x)


@function
def hypot(x: Any, y: Any) -> Tensor:
    """sqrt(x**2 + y**2) without overflow: the larger one times sqrt(1 + (smaller / larger)**2). Infinite if one of them is."""
    a, b = (abs(side) for side in align(x, y, floating=True))
    large, small = a.maximum(b), a.minimum(b)
    plain = (large == 0) | (large == math.inf)
    ratio = where(plain, 0.0, small) / where(plain, 1.0, large)
    return where((a == math.inf) | (b == math.inf), math.inf, large * (1.0 + ratio * ratio).sqrt())


@function
def logaddexp(x: Any, y: Any) -> Tensor:
    """log(exp(x) + exp(y)) without overflow: max(x, y) + log(1 + exp(-|x - y|))."""
    a, b = align(x, y, floating=True)
    apart = where(a == b, 0.0, a - b)  # equal infinities are no distance apart
    return a.maximum(b) + (-abs(apart)).softplus()


@function
def heaviside(x: Any, middle: Any) -> Tensor:
    """0 below 0, 1 above, `middle` at 0, NaN for NaN."""
    a, b = align(x, middle, floating=True)
    return where(a == 0, b, where(a > 0, 1.0, where(a < 0, 0.0, a)))


@function
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """x with numbers for NaN and for the infinities: unless given, 0 and the dtype's largest and smallest."""
    tensor = as_tensor(x)
    if not is_floating(tensor.dtype):
        return tensor
    largest = BFLOAT16_MAX if tensor.dtype == "bfloat16" else float(np.finfo(numpy_dtype(tensor.dtype)).max)
    high, low = (largest if posinf is None else posinf), (-largest if neginf is None else neginf)
    finite = where(tensor == math.inf, high, where(tensor == -math.inf, low, tensor))
    return where(tensor.isnan(), nan, finite)


@function
def deg2rad(x: Any) -> Tensor:
    """Degrees as radians."""
    return as_tensor(x) * (math.pi / 180)


@function
def rad2deg(x: Any) -> Tensor:
    """Radians as degrees."""
    return as_tensor(x) * (180 / math.pi)


# -- axes ------------------------------------------------------------------------------------------------------------


@function
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """x with the axes `source` at the places `destination`, the others in their order. Raises ShapeError."""
    tensor = as_tensor(x)
    given = [[axes] if isinstance(axes, int) else list(axes) for axes in (source, destination)]
    moved, places = ([normalize_axis(axis, tensor.ndim) for axis in axes] for axes in given)
    if len(moved) != len(places) or len(set(moved)) < len(moved) or len(set(places)) < len(places):
        raise ShapeError(f"moveaxis: {source} to {destination} must be as many different axes of {describe(tensor)}")
    order = [axis for axis in range(tensor.ndim) if axis not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return transpose(tensor, order)


@function
def ravel(x: Any) -> Tensor:
    """All elements of x in one axis, row by row."""
    tensor = as_tensor(x)
    return reshape(tensor, (tensor.size,))


@function
def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """x moved on by `shift` places along `axis` (over all of it, row by row, if None); what leaves at the end comes in at the start.

    Several axes take a shift each, or all the same one. Along an axis of symbolic size, |shift| must not exceed it.
    """
    tensor = as_tensor(x)
    if axis is None:
        return reshape(roll(ravel(tensor), shift, 0), tensor.shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: {len(shifts)} shifts for {len(axes)} axes of {describe(tensor)}: give one for each")
    for along, places in zip(axes, shifts, strict=True):
        tensor = _rolled(tensor, places, normalize_axis(along, tensor.ndim))
    return tensor


def _rolled(x: Tensor, shift: int, axis: int) -> Tensor:
    size = x.shape[axis]
    places = shift % size if isinstance(size, int) and size else shift
    if places == 0 or size == 0:
        return x
    before: tuple[Any, ...] = (slice(None),) * axis
    return concatenate([index(x, (*before, slice(-places, None))), index(x, (*before, slice(None, -places)))], axis)


@function
def trace(x: Any) -> Tensor:
    """The sum of the diagonal of the last two axes, which are equal."""
    return einsum("...ii->...", x)


@function
def eye(rows: Dim | str, columns: Dim | str | None = None, k: int = 0, dtype: Any = "float32") -> Tensor:
    """A matrix with ones on the diagonal `k` above the main one, and zeros."""
    shape = (as_dim(rows), as_dim(rows if columns is None else columns))
    above: Tensor = Iota(shape, 1, "int64")() - Iota(shape, 0, "int64")()
    return (above == k).astype(dtype)


@function
def linspace(start: float, stop: float, num: int = 50, dtype: Any = "float32") -> Tensor:
    """`num` numbers from `start` to `stop`, both included, at equal distances."""
    places = arange(num)
    inner = places.astype("float64") * ((stop - start) / max(num - 1, 1)) + start
    return where((places == num - 1) & (places > 0), float(stop), inner).astype(dtype)
