"""Reading and adding by indices that are data: take, take_along_axis, scatter_add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import IndexOutOfRangeError, ShapeError, TypeRuleError
from ..formula import Call, Formula, Indexed, Name, bracketed
from ..formula import add as plus
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index, fresh_axis, index_value, load, loaded_index
from ..kernel.program import Scatter
from ..op import Access, Array, Op, Sample, function, normalize_axis, sample_array
from ..record import record
from ..sizes import Dim, as_size, bind, product
from ..types import Shape, TensorType, is_integer
from .elementwise import describe
from .reindexing import folded
from .shape import broadcast_to, reshape
from .source import Iota, full

if TYPE_CHECKING:
    from ..lowering import Lowering


@contextmanager
def _range_errors() -> Iterator[None]:
    """NumPy's IndexError inside is told as graphdl's."""
    try:
        yield
    except IndexError as error:
        raise IndexOutOfRangeError(str(error)) from None


def _check_indices(indices: TensorType) -> None:
    if not is_integer(indices.dtype):
        raise TypeRuleError(f"indices are integers, not {indices}: cast them, or use gd.where for a mask")


def _check_axis(x: TensorType, axis: int) -> None:
    if not 0 <= axis < x.rank:
        raise ShapeError(f"axis {axis} is out of range for {x}")


def _sample_indices(*shape: int, size: int, dtype: str = "int64") -> Array:
    return np.random.default_rng(sum(shape)).integers(-size, size, shape).astype(dtype)


@record
class CheckedIndex(Op):
    """Indices into an axis of `size` as numbers in [0, size): negative ones count from the end, others out of range raise."""

    name: ClassVar[str] = "checked_index"
    pattern: ClassVar[str] = "pointwise"
    size: Dim

    def infer(self, *operands: TensorType) -> TensorType:
        _check_indices(operands[0])
        return operands[0].with_dtype("int64")

    def evaluate(self, *operands: Array) -> Array:
        size = bind(self.size, {})
        assert isinstance(size, int)
        with _range_errors():
            return np.take(np.arange(size), operands[0])

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return index_value(loaded_index(operands[0](index), self.size))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(5), (_sample_indices(3, 4, size=5),))
        yield Sample(cls(3), (_sample_indices(7, size=3, dtype="int32"),))


@record
class Take(Op):
    """Operands x, indices: the slices of x along `axis` at the indices, whose axes stand in its place.

    Negative indices count from the end if it `wraps`; else they are out of range.
    """

    name: ClassVar[str] = "take"
    pattern: ClassVar[str] = "injective"
    axis: int
    wraps: bool = True

    def infer(self, *operands: TensorType) -> TensorType:
        x, indices = operands
        _check_indices(indices)
        _check_axis(x, self.axis)
        return x.with_shape(_around(x.shape, self.axis, indices.shape))

    def evaluate(self, *operands: Array) -> Array:
        x, indices = operands
        if not self.wraps and np.any(indices < 0):
            raise IndexOutOfRangeError(f"index {indices.min()} is out of bounds for axis {self.axis} with size {x.shape[self.axis]}")
        with _range_errors():
            return np.asarray(np.take(x, indices, self.axis))

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        x, indices = operands
        return ScatterAdd(self.axis)(full(x.shape, 0, x.dtype), indices, cotangent), None

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else self(tangents[0], operands[1])

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, indices = operands
        behind = self.axis + indices.type.rank  # type: ignore[attr-defined]
        at = loaded_index(indices(index[self.axis : behind]), x.type.shape[self.axis], self.wraps)  # type: ignore[attr-defined]
        return x((*index[: self.axis], at, *index[behind:]))

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return Indexed(operands[0], (*([Name(":")] * self.axis), operands[1]))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(0), (sample_array(5, 3), _sample_indices(4, size=5)))
        yield Sample(cls(1), (sample_array(2, 3, 4), _sample_indices(2, 5, size=3, dtype="int32")))
        yield Sample(cls(1), (sample_array(2, 3), np.array(-1)))
        yield Sample(cls(0, wraps=False), (sample_array(5, 3), np.array([[4, 0], [2, 4]])))
        yield Sample(cls(0), (sample_array(3, 2), np.zeros((0,), "int64")))
        yield Sample(cls(0), (sample_array(1), _sample_indices(3, size=1)))


@record
class TakeAlongAxis(Op):
    """Operands x, indices of one rank: for every position outside `axis`, x's elements at the indices there."""

    name: ClassVar[str] = "take_along_axis"
    pattern: ClassVar[str] = "injective"
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        x, indices = operands
        _check_indices(indices)
        _check_axis(x, self.axis)
        if x.rank != indices.rank:
            raise ShapeError(f"{x} and {indices} have different ranks: expand the indices")
        sizes = zip(x.shape, indices.shape, strict=True)
        return x.with_shape([b if k == self.axis else unify(a, b, f"axis {k}") for k, (a, b) in enumerate(sizes)])

    def evaluate(self, *operands: Array) -> Array:
        with _range_errors():
            return np.take_along_axis(operands[0], operands[1], self.axis)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        x, indices = operands
        at = CheckedIndex(x.shape[self.axis])(indices)
        if indices.shape[self.axis] == 1:  # one element of each line: no adding up, so a choice will do
            chosen = broadcast_to(at, x.shape) == Iota(x.shape, self.axis, "int64")()
            return chosen.where(broadcast_to(cotangent, x.shape), full(x.shape, 0, x.dtype)), None
        return _scattered_flat(x, at, cotangent, self.axis), None

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else self(tangents[0], operands[1])

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        x, indices = operands
        at = loaded_index(indices(index), x.type.shape[self.axis])  # type: ignore[attr-defined]
        return x((*index[: self.axis], at, *index[self.axis + 1 :]))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(1), (sample_array(3, 5), _sample_indices(3, 1, size=5)))
        yield Sample(cls(0), (sample_array(4, 3), _sample_indices(6, 3, size=4)))
        yield Sample(cls(1), (sample_array(2, 3, 2), _sample_indices(2, 2, 2, size=3, dtype="int32")))
        yield Sample(cls(0), (sample_array(3), np.zeros((0,), "int64")))


def _scattered_flat(x: Tensor, at: Tensor, cotangent: Tensor, axis: int) -> Tensor:
    """The cotangent added into zeros of x's shape along `axis`, through row-major positions in the whole of x."""
    position = full(at.shape, 0, "int64")
    for k, size in enumerate(x.shape):
        digit = at if k == axis else Iota(at.shape, k, "int64")()
        position = position * full(at.shape, size, "int64") + digit
    flat = ScatterAdd(0)(full((x.size,), 0, x.dtype), reshape(position, (at.size,)), reshape(cotangent, (at.size,)))
    return reshape(flat, x.shape)


@record
class ScatterAdd(Op):
    """Operands base, indices, updates: base with every slice of the updates added at its index along `axis`.

    For `base` of shape (*A, n, *B) with n at `axis` and `indices` of shape I, `updates` has shape (*A, *I, *B), and
    result[a, indices[i], b] = base[a, indices[i], b] + the sum of updates[a, i, b] over all i with that index, taken in
    row-major order of i. Negative indices count from the end, others out of range raise. `base` is not changed.
    """

    name: ClassVar[str] = "scatter_add"
    axis: int

    def infer(self, *operands: TensorType) -> TensorType:
        base, indices, updates = operands
        _check_indices(indices)
        _check_axis(base, self.axis)
        expected = base.with_shape(_around(base.shape, self.axis, indices.shape))
        if updates.dtype != base.dtype or updates.rank != expected.rank:
            raise TypeRuleError(f"the updates are {updates}, but {expected} is needed")
        for k, (a, b) in enumerate(zip(updates.shape, expected.shape, strict=True)):
            unify(a, b, f"axis {k} of the updates")
        return base

    def evaluate(self, *operands: Array) -> Array:
        base, indices, updates = operands
        result = base.copy()
        axes = range(self.axis, self.axis + indices.ndim)
        with _range_errors():
            np.add.at(np.moveaxis(result, self.axis, 0), indices, np.moveaxis(updates, axes, range(indices.ndim)))
        return result

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return cotangent, None, Take(self.axis)(cotangent, operands[1])

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        base, _, updates = (full(x.shape, 0, x.dtype) if tangent is None else tangent for tangent, x in zip(tangents, operands, strict=True))
        return self(base, operands[1], updates)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        base, indices, updates = operands
        return plus(base, Call(self.name, (updates, bracketed([*([Name(":")] * self.axis), indices]))))

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        base, indices, updates = operands
        before, size, after = folded(base.shape, self.axis)
        target = lowering.overwritten(outputs[0], base).view((before, size, after))
        axes = fresh_axis(before), fresh_axis(indices.size), fresh_axis(after)
        added = load(lowering.buffer(updates).view((before, indices.size, after)), tuple(map(as_size, axes)))
        at = loaded_index(load(lowering.buffer(indices).view((indices.size,)), (as_size(axes[1]),)), size)
        lowering.add(Scatter(self.name, axes, target, at, added, origins=(outputs[0].node,)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(0), (sample_array(5, 3), _sample_indices(7, size=5), sample_array(7, 3, seed=1)))
        yield Sample(cls(1), (sample_array(2, 4), _sample_indices(2, 3, size=4, dtype="int32"), sample_array(2, 2, 3)))
        yield Sample(cls(0), (sample_array(4), np.array(-1), sample_array()))
        yield Sample(cls(0), (sample_array(3, 2), np.zeros((0,), "int64"), sample_array(0, 2)))
        yield Sample(cls(0), (np.zeros((2, 3)), np.array([1, 1, 1]), sample_array(3, 3)))


def _around(shape: Shape, axis: int, inner: Shape) -> Shape:
    return (*shape[:axis], *inner, *shape[axis + 1 :])


def index_tensor(indices: Any) -> Tensor:
    """Integer indices as a tensor. Raises TypeRuleError for a mask."""
    tensor = as_tensor(indices)
    if product(tensor.shape) == 0 and not is_integer(tensor.dtype):
        tensor = tensor.astype("int64")  # NumPy makes an empty list floating
    if tensor.dtype == "bool":
        raise TypeRuleError(f"{describe(tensor)} is a mask, and how many elements it keeps is not known: use gd.where(mask, x, otherwise)")
    return tensor


@function
def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """x's slices along `axis` (elements of the flattened tensor by default) at integer `indices`; negative ones wrap.

    The result has shape x.shape[:axis] + indices.shape + x.shape[axis+1:]. An index out of range raises
    IndexOutOfRangeError when the program runs. Raises TypeRuleError for indices that are not integers.
    """
    tensor = as_tensor(x)
    if axis is None:
        return take(reshape(tensor, (tensor.size,)), indices, 0)
    return Take(normalize_axis(axis, tensor.ndim))(tensor, index_tensor(indices))


@function
def take_along_axis(x: Any, indices: Any, axis: int) -> Tensor:
    """x's elements at `indices` of the same rank along `axis`, line by line, as NumPy's `take_along_axis`."""
    tensor, at = as_tensor(x), index_tensor(indices)
    if tensor.ndim != at.ndim:
        raise ShapeError(f"take_along_axis: {describe(tensor)} and {describe(at)} have different ranks: expand the indices")
    along = normalize_axis(axis, tensor.ndim)
    tensor = broadcast_to(tensor, tuple(b if a == 1 and k != along else a for k, (a, b) in enumerate(zip(tensor.shape, at.shape, strict=True))))
    at = broadcast_to(at, tuple(b if k == along else a for k, (a, b) in enumerate(zip(tensor.shape, at.shape, strict=True))))
    return TakeAlongAxis(along)(tensor, at)


@function
def scatter_add(x: Any, indices: Any, updates: Any, axis: int = 0) -> Tensor:
    """x with `updates` added at `indices` along `axis`; where an index comes several times, all are added."""
    base = as_tensor(x)
    return ScatterAdd(normalize_axis(axis, base.ndim))(base, index_tensor(indices), as_tensor(updates).astype(base.dtype))
