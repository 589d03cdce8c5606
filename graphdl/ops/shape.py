"""Ops that move elements: broadcast, reshape, transpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError
from ..formula import Call, Formula, reshaped, transposed
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index
from ..op import Access, Array, Op, Sample, function, normalize_axis, sample_array
from ..record import record
from ..sizes import Dim, divides, product
from ..types import Shape, TensorType, as_shape
from .reindexing import aligned, matched_axes, reindex
from .source import Full


class Linear(Op):
    """The base of ops with one operand that are linear in it: the tangent goes through the op itself."""

    pattern: ClassVar[str] = "injective"

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        (tangent,) = tangents
        return None if tangent is None else self(tangent)


@record
class BroadcastTo(Linear):
    """The operand repeated along new leading axes and along axes of size 1."""

    name: ClassVar[str] = "broadcast_to"
    shape: Shape

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if x.rank > len(self.shape):
            raise ShapeError(f"{x} has more axes than {self.shape}")
        for k, (own, to) in enumerate(zip(x.shape, self.shape[len(self.shape) - x.rank :], strict=True)):
            if own != 1:
                unify(own, to, f"axis {k}")
        return x.with_shape(self.shape)

    def evaluate(self, *operands: Array) -> Array:
        return np.broadcast_to(operands[0], self.shape)  # type: ignore[arg-type]

    def stretched(self, x: TensorType) -> tuple[int, ...]:
        """The axes of the result that repeat the operand."""
        lead = len(self.shape) - x.rank
        return tuple(k for k, size in enumerate(self.shape) if k < lead or (x.shape[k - lead] == 1 and size != 1))

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        x = operands[0].type
        summed = cotangent.sum(axis=self.stretched(x)) if self.stretched(x) else cotangent
        return (summed.reshape(x.shape),)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        (x,) = operands
        own: Shape = x.type.shape  # type: ignore[attr-defined]
        lead = len(self.shape) - len(own)
        return x(tuple(0 if size == 1 else index[lead + k] for k, size in enumerate(own)))

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        if x.shape == self.shape:
            return x
        below = x.node.operands[0] if isinstance(x.node.op, BroadcastTo | Reshape) else None
        if below is not None and below.ndim <= len(self.shape):
            rank = len(self.shape)
            if isinstance(x.node.op, BroadcastTo) or aligned(below.shape, rank) == aligned(x.shape, rank):
                return broadcast_to(below, self.shape)
        return Full(x.node.op.value, x.dtype, self.shape)() if isinstance(x.node.op, Full) else None

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return operands[0]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((4, 3, 5)), (sample_array(3, 5),))
        yield Sample(cls((4, 3, 5)), (sample_array(3, 1),))
        yield Sample(cls((2, 3)), (sample_array(),))
        yield Sample(cls((0, 3)), (sample_array(1, 3),))


@record
class Reshape(Linear):
    """The same elements in the same row-major order under another shape."""

    name: ClassVar[str] = "reshape"
    is_view: ClassVar[bool] = True
    shape: Shape

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        unify(x.size, product(self.shape), f"the number of elements of {x} and of the new shape ({', '.join(map(str, self.shape))})")
        return x.with_shape(self.shape)

    def evaluate(self, *operands: Array) -> Array:
        return np.reshape(operands[0], self.shape)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (reshape(cotangent, operands[0].shape),)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        (x,) = operands
        return x(reindex(index, self.shape, x.type.shape))  # type: ignore[attr-defined]

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        if x.shape == self.shape:
            return x
        if isinstance(x.node.op, Reshape):
            return reshape(x.node.operands[0], self.shape)
        if isinstance(x.node.op, BroadcastTo):
            return reshaped_broadcast(x.node.operands[0], x.shape, self.shape)
        return Full(x.node.op.value, x.dtype, self.shape)() if isinstance(x.node.op, Full) else None

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return reshaped(operands[0])

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((6, 5)), (sample_array(2, 3, 5),))
        yield Sample(cls((5, 2, 3)), (sample_array(6, 5),))
        yield Sample(cls((1, 4, 1)), (sample_array(4),))
        yield Sample(cls((0, 3)), (sample_array(2, 0),))


@record
class Transpose(Linear):
    """The axes in another order: axis k of the result is axis `axes[k]` of the operand."""

    name: ClassVar[str] = "transpose"
    axes: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if sorted(self.axes) != list(range(x.rank)):
            raise ShapeError(f"{self.axes} is no permutation of the {x.rank} axes of {x}; swapaxes exchanges two")
        return x.with_shape([x.shape[axis] for axis in self.axes])

    def evaluate(self, *operands: Array) -> Array:
        return np.transpose(operands[0], self.axes)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (transpose(cotangent, self.inverse),)

    @property
    def inverse(self) -> tuple[int, ...]:
        return tuple(int(k) for k in np.argsort(self.axes))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return operands[0](tuple(index[k] for k in self.inverse))

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        if self.axes == tuple(range(x.ndim)):
            return x
        if isinstance(x.node.op, Transpose):
            return transpose(x.node.operands[0], tuple(x.node.op.axes[k] for k in self.axes))
        moved = [axis for axis in self.axes if x.shape[axis] != 1]
        if moved == sorted(moved):
            return reshape(x, tuple(x.shape[k] for k in self.axes))
        if isinstance(x.node.op, BroadcastTo):
            own = x.node.operands[0]
            return broadcast_to(transpose(reshape(own, aligned(own.shape, x.ndim)), self.axes), tuple(x.shape[k] for k in self.axes))
        if isinstance(x.node.op, Full):
            return Full(x.node.op.value, x.dtype, tuple(x.shape[k] for k in self.axes))()
        return None

    def formula(self, node: Node, *operands: Formula) -> Formula:
        if self.axes == (1, 0):
            return transposed(operands[0])
        # Axes of size 1 may stand anywhere.
        held = [k for k, size in enumerate(node.operands[0].shape) if size != 1]
        axes = [held.index(k) for k in self.axes if k in held]
        rank = len(axes)
        if axes == sorted(axes):
            return reshaped(operands[0])
        if axes == [*range(rank - 2), rank - 1, rank - 2]:
            return transposed(operands[0])
        return Call("transpose", (reshaped(operands[0]),), "".join(map(str, axes)))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((1, 0)), (sample_array(3, 5),))
        yield Sample(cls((2, 0, 1)), (sample_array(3, 5, 2),))
        yield Sample(cls((1, 0)), (sample_array(0, 5),))


def reshaped_broadcast(x: Tensor, shape: Shape, to: Shape) -> Tensor | None:
    """broadcast_to(x, shape) under the shape `to`, repeating a reshaped x; None where an axis that repeats is mixed with one that does not."""
    groups = matched_axes(shape, to)
    own = aligned(x.shape, len(shape)) or ()
    if groups is None or any(mine not in (1, size) for mine, size in zip(own, shape, strict=True)):
        return None
    small: list[Dim] = []
    for source, target in groups:
        kept = [own[k] for k in source if own[k] == shape[k] != 1]
        if kept and len(kept) < sum(shape[k] != 1 for k in source):
            return None
        small += [to[k] if kept else 1 for k in target]
    lead = next((k for k, size in enumerate(small) if size != 1), len(small))
    return broadcast_to(reshape(x, tuple(small[lead:])), to)


@function
def broadcast_to(x: Any, shape: Any) -> Tensor:
    """x repeated to `shape` by NumPy's rules."""
    tensor, to = as_tensor(x), as_shape(shape)
    return tensor if tensor.shape == to else BroadcastTo(to)(tensor)


@function
def reshape(x: Any, *shape: Any) -> Tensor:
    """x under another shape with as many elements; one size may be -1 and is computed."""
    tensor = as_tensor(x)
    wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    to = _complete(tensor, wanted)
    return tensor if to == tensor.shape else Reshape(to)(tensor)


def _complete(x: Tensor, shape: Sequence[Any]) -> Shape:
    if sum(isinstance(size, int) and size == -1 for size in shape) != 1:
        return as_shape(tuple(shape))
    rest = product(as_shape([size for size in shape if not (isinstance(size, int) and size == -1)]))
    missing = divides(rest, x.size) if rest != 0 else 0
    if missing is None:
        if isinstance(rest, int) and isinstance(x.size, int):
            raise ShapeError(f"reshape: {x.type} has {x.size} elements, which {rest} does not divide")
        missing = x.size // rest
    return as_shape([missing if isinstance(size, int) and size == -1 else size for size in shape])


@function
def transpose(x: Any, axes: Sequence[int] | int | None = None, *more: int) -> Tensor:
    """x with its axes in another order, given as a sequence or one by one; all reversed unless told. Raises ShapeError for no permutation."""
    tensor = as_tensor(x)
    given = reversed(range(tensor.ndim)) if axes is None else (axes, *more) if isinstance(axes, int) else axes
    order = tuple(normalize_axis(axis, tensor.ndim) for axis in given)
    return tensor if order == tuple(range(tensor.ndim)) else Transpose(order)(tensor)


@function
def swapaxes(x: Any, first: int, second: int) -> Tensor:
    """x with two axes exchanged."""
    tensor = as_tensor(x)
    order = list(range(tensor.ndim))
    a, b = normalize_axis(first, tensor.ndim), normalize_axis(second, tensor.ndim)
    order[a], order[b] = order[b], order[a]
    return transpose(tensor, order)


@function
def expand_dims(x: Any, axis: int) -> Tensor:
    """x with a new axis of size 1 at `axis`."""
    tensor = as_tensor(x)
    at = normalize_axis(axis, tensor.ndim + 1)
    return reshape(tensor, (*tensor.shape[:at], 1, *tensor.shape[at:]))


@function
def squeeze(x: Any, axis: int) -> Tensor:
    """x without `axis`, whose size must be 1."""
    tensor = as_tensor(x)
    at = normalize_axis(axis, tensor.ndim)
    if tensor.shape[at] != 1:
        raise ShapeError(f"squeeze: axis {axis} of {tensor.type} has size {tensor.shape[at]}, not 1")
    return reshape(tensor, tensor.shape[:at] + tensor.shape[at + 1 :])


@function
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """x with the axes from `start_dim` to `end_dim` made one."""
    tensor = as_tensor(x)
    first, last = normalize_axis(start_dim, tensor.ndim), normalize_axis(end_dim, tensor.ndim)
    return reshape(tensor, (*tensor.shape[:first], product(tensor.shape[first : last + 1]), *tensor.shape[last + 1 :]))
