"""Running sums, products and first-order recurrences along an axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Axis, Buffer, Expr, Index, compare, fresh_axis, guard, load
from ..kernel.program import Cumulative
from ..op import Array, Op, Sample, function, normalize_axis, sample_array
from ..record import record
from ..sizes import as_size, product
from ..types import TensorType
from .elementwise import same_shape
from .pad import Pad
from .reindexing import folded
from .shape import reshape, transpose
from .slicing import slice_axis
from .source import full

if TYPE_CHECKING:
    from ..lowering import Lowering

Axes = tuple[Axis, Axis, Axis]


class AlongAxis(Op):
    """The base: the result at i depends on elements up to i along `axis`; with `reverse` on those from i on."""

    axis: int
    reverse: bool

    def infer(self, *operands: TensorType) -> TensorType:
        first = operands[0]
        if first.dtype == "bool" or any(x.dtype != first.dtype for x in operands):
            raise TypeRuleError(f"needs one numeric dtype, got {', '.join(map(str, operands))}: cast first")
        if not 0 <= self.axis < first.rank:
            raise ShapeError(f"axis {self.axis} is out of range for {first}")
        return first.with_shape(same_shape(*operands))

    def ordered(self, x: Array) -> Array:
        """The array with the axis in the order of computation; its own inverse."""
        return np.flip(x, self.axis) if self.reverse else x

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        shape = folded(outputs[0].shape, self.axis)
        axes = fresh_axis(shape[0]), fresh_axis(shape[1]), fresh_axis(shape[2])
        before, i, after = map(as_size, axes)
        index = before, (shape[1] - 1 - i if self.reverse else i), after
        elements = [load(lowering.buffer(x).view(shape), index) for x in operands]
        lowering.add(self.cumulative(axes, lowering.result(outputs[0]).view(shape), index, *elements, origins=(outputs[0].node,)))

    def cumulative(self, axes: Axes, target: Buffer, index: Index, *elements: Expr, origins: tuple[Node, ...]) -> Cumulative:
        """The step that computes the op over a fold of its operands' axes, given their elements."""
        raise NotImplementedError

    def delayed(self, x: Tensor, first: float = 0.0) -> Tensor:
        """Every element moved one place on in the order of computation; `first` at the start."""
        return _moved(x, self.axis, not self.reverse, first)


def _moved(x: Tensor, axis: int, forward: bool, filler: float) -> Tensor:
    """x moved by one place along `axis`, towards the end or towards the start."""
    one = tuple(int(k == axis) for k in range(x.ndim))
    none = (0,) * x.ndim
    longer = Pad(one, none, filler)(x) if forward else Pad(none, one, filler)(x)
    return slice_axis(longer, axis, 0 if forward else 1, x.shape[axis])


@record
class CumSum(AlongAxis):
    """result[i] = x[0] + ... + x[i]; up to x[i - 1] if `exclusive`; from the end if `reverse`."""

    name: ClassVar[str] = "cumsum"
    axis: int
    exclusive: bool = False
    reverse: bool = False

    def evaluate(self, *operands: Array) -> Array:
        x = self.ordered(operands[0])
        total = np.cumsum(x, self.axis, dtype=x.dtype)
        return self.ordered(_before(total, self.axis, 0) if self.exclusive else total)

    def cumulative(self, axes: Axes, target: Buffer, index: Index, *elements: Expr, origins: tuple[Node, ...]) -> Cumulative:
        return Cumulative(self.name, axes, target, index, elements[0], "sum", exclusive=self.exclusive, origins=origins)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (CumSum(self.axis, self.exclusive, not self.reverse)(cotangent),)

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        return None if tangents[0] is None else self(tangents[0])

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield from _samples(cls)


@record
class CumProd(AlongAxis):
    """result[i] = x[0] * ... * x[i]; up to x[i - 1] if `exclusive`; from the end if `reverse`."""

    name: ClassVar[str] = "cumprod"
    axis: int
    exclusive: bool = False
    reverse: bool = False

    def evaluate(self, *operands: Array) -> Array:
        x = self.ordered(operands[0])
        total = np.cumprod(x, self.axis, dtype=x.dtype)
        return self.ordered(_before(total, self.axis, 1) if self.exclusive else total)

    def cumulative(self, axes: Axes, target: Buffer, index: Index, *elements: Expr, origins: tuple[Node, ...]) -> Cumulative:
        return Cumulative(self.name, axes, target, index, elements[0], "prod", exclusive=self.exclusive, origins=origins)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        # Without dividing by elements, which may be zero. With p[i] the product of all before i, the cotangent is
        # p[i] s[i], where s[i] = c[i] + x[i+1] s[i+1] runs backwards.
        (x,) = operands
        back = LinearRecurrence(self.axis, not self.reverse)
        rest = back(back.delayed(x), back.delayed(cotangent) if self.exclusive else cotangent)
        return (CumProd(self.axis, True, self.reverse)(x) * rest,)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield from _samples(cls)
        yield Sample(cls(0), (np.array([2.0, 0.0, 3.0, 0.0, 0.5]),))


@record
class LinearRecurrence(AlongAxis):
    """Operands a, b: y[0] = b[0], y[i] = a[i] y[i - 1] + b[i] along `axis`; from the end if `reverse`. a[0] is not read."""

    name: ClassVar[str] = "linear_recurrence"
    axis: int
    reverse: bool = False

    def evaluate(self, *operands: Array) -> Array:
        # Step by step: composing steps first would overflow where the sequence does not.
        a, b = (np.moveaxis(self.ordered(x), self.axis, 0) for x in operands)
        y = b.copy()
        for i in range(1, len(y)):
            y[i] += a[i] * y[i - 1]
        return self.ordered(np.moveaxis(y, 0, self.axis))

    def cumulative(self, axes: Axes, target: Buffer, index: Index, *elements: Expr, origins: tuple[Node, ...]) -> Cumulative:
        a, b = elements
        factor = guard(compare("less", 0, as_size(axes[1])), a, a.one())
        return Cumulative(self.name, axes, target, index, b, "sum", factor, origins=origins)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        back = LinearRecurrence(self.axis, not self.reverse)
        rest = back(back.delayed(operands[0]), cotangent)
        return rest * self.delayed(output), rest

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        da, db = tangents
        driven = None if da is None else da * self.delayed(output)
        both = db if driven is None else driven if db is None else driven + db
        return None if both is None else self(operands[0], both)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        for shape, axis in (((7,), 0), ((3, 5), 1), ((4, 1, 2), 0), ((1, 3), 0), ((0, 2), 0), ((2, 0), 0)):
            for reverse in (False, True):
                yield Sample(cls(axis, reverse), (sample_array(*shape), sample_array(*shape, seed=1)))


def _before(total: Array, axis: int, start: int) -> Array:
    """Inclusive results as exclusive ones."""
    head = np.full_like(np.take(total, [0] if total.shape[axis] else [], axis), start)
    return np.concatenate([head, np.take(total, np.arange(total.shape[axis] - 1), axis)], axis)


def _samples(kind: type[Any]) -> Iterable[Sample]:
    for exclusive in (False, True):
        for reverse in (False, True):
            yield Sample(kind(0, exclusive, reverse), (sample_array(7),))
            yield Sample(kind(1, exclusive, reverse), (sample_array(2, 5, 3),))
    yield Sample(kind(1), (sample_array(3, 1),))
    yield Sample(kind(0, True), (sample_array(0, 3),))
    yield Sample(kind(0), (sample_array(5, dtype="int64"),))


def _run(kind: type[Any], x: Any, axis: int | None) -> Tensor:
    tensor = as_tensor(x)
    tensor = tensor.astype("int64") if tensor.dtype == "bool" else tensor
    if axis is None:
        tensor, axis = reshape(tensor, (tensor.size,)), 0
    result: Tensor = kind(normalize_axis(axis, tensor.ndim))(tensor)
    return result


@function
def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """The running sum along `axis`, of the flattened tensor by default. Integers keep their dtype; bools are counted in int64."""
    return _run(CumSum, x, axis)


@function
def cumprod(x: Any, axis: int | None = None) -> Tensor:
    """The running product along `axis`, of the flattened tensor by default."""
    return _run(CumProd, x, axis)


def product_of_others(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """For every element the product of all others over `axes`: what Prod's derivative is, right for zeros too."""
    if not axes:
        return full(x.shape, 1, x.dtype)
    kept = [k for k in range(x.ndim) if k not in axes]
    order = [*kept, *axes]
    moved = transpose(x, order)
    line = reshape(moved, (*moved.shape[: len(kept)], product(moved.shape[len(kept) :])))
    others = CumProd(len(kept), True)(line) * CumProd(len(kept), True, True)(line)
    return transpose(reshape(others, moved.shape), [order.index(k) for k in range(x.ndim)])
