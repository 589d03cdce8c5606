"""What all reductions over axes share, and those that combine every element: sums, products, all and any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..formula import Formula, Over, total
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Axis, Expr, Index, fresh_axis, reduce
from ..op import Access, Array, Op, Sample, function, normalize_axes, sample_array
from ..record import record
from ..sizes import Dim, as_size, product
from ..types import TensorType, is_floating
from .elementwise import kind_of
from .shape import Linear, broadcast_to
from .source import Full, full


class Reduction(Op):
    """The base: `axes` are removed. `kind` is the combination in the kernel language."""

    pattern: ClassVar[str] = "reduction"
    kind: ClassVar[str]
    numpy: ClassVar[Callable[..., Any]]
    kinds: ClassVar[str] = "fi"
    has_identity: ClassVar[bool] = True
    axes: tuple[int, ...]

    def infer(self, *operands: TensorType) -> TensorType:
        (x,) = operands
        if kind_of(x.dtype) not in self.kinds:
            raise TypeRuleError(f"{self.name} is not defined for {x.dtype}")
        if not self.has_identity and any(x.shape[axis] == 0 for axis in self.axes):
            raise ShapeError(f"{self.name} of no elements has no value: an axis of {x} is empty")
        return x.with_shape([size for k, size in enumerate(x.shape) if k not in self.axes])

    def evaluate(self, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(type(self).numpy(operands[0], axis=self.axes)).astype(operands[0].dtype)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        reduced, whole = self.split(index, operands[0].type.shape)  # type: ignore[attr-defined]
        return reduce(self.kind, reduced, operands[0](whole))

    def split(self, index: Index, shape: Index) -> tuple[tuple[Axis, ...], Index]:
        """Fresh axes to reduce over and the operand's index made of them and of the result's index."""
        kept = iter(index)
        reduced: list[Axis] = []
        whole: list[Dim] = []
        for k, size in enumerate(shape):
            if k in self.axes:
                reduced.append(fresh_axis(size))
                whole.append(as_size(reduced[-1]))
            else:
                whole.append(next(kept))
        return tuple(reduced), tuple(whole)

    def spread(self, reduced: Tensor, like: Tensor) -> Tensor:
        """A tensor of the result's shape repeated along the axes that were removed."""
        kept = [1 if k in self.axes else size for k, size in enumerate(like.shape)]
        return broadcast_to(reduced.reshape(kept), like.shape)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        shape = node.operands[0].shape
        index = "" if len(self.axes) == len(shape) else "".join("ijklmn"[k] if k < 6 else str(k) for k in self.axes)
        if self.kind == "sum":
            return total([len(shape) - 1 - k for k in self.axes], [shape[k] for k in self.axes], index, operands[0])
        return Over({"prod": "Π"}.get(self.kind, self.name), index, operands[0])

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((0,)), (sample_array(5, 3),))  # type: ignore[call-arg]
        yield Sample(cls((1,)), (sample_array(4, 7),))  # type: ignore[call-arg]
        yield Sample(cls((0, 2)), (sample_array(2, 3, 4),))  # type: ignore[call-arg]
        yield Sample(cls((0, 1)), (sample_array(2, 19),))  # type: ignore[call-arg]
        yield Sample(cls((1,)), (sample_array(0, 3),))  # type: ignore[call-arg]
        if cls.has_identity:
            yield Sample(cls((1,)), (sample_array(3, 0),))  # type: ignore[call-arg]
        if "i" in cls.kinds:
            yield Sample(cls((1,)), (sample_array(3, 4, dtype="int64"),))  # type: ignore[call-arg]


@record
class Sum(Reduction, Linear):
    """The sum over axes."""

    name: ClassVar[str] = "sum"
    pattern: ClassVar[str] = "reduction"
    kind: ClassVar[str] = "sum"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.sum)
    axes: tuple[int, ...]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return (self.spread(cotangent, operands[0]),)

    def canonical(self, *operands: Tensor) -> Tensor | None:
        (x,) = operands
        if not self.axes:
            return x
        removed = product(x.shape[axis] for axis in self.axes)
        if removed == 1:
            return x.reshape(self.infer(x.type).shape)
        if isinstance(x.node.op, Full) and isinstance(removed, int) and is_floating(x.dtype) and isinstance(x.node.op.value, float):
            return full(self.infer(x.type).shape, x.node.op.value * removed, x.dtype)
        return None


@record
class Prod(Reduction):
    """The product over axes."""

    name: ClassVar[str] = "prod"
    kind: ClassVar[str] = "prod"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.prod)
    axes: tuple[int, ...]

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        # Without dividing by elements, which may be zero: products of all before and all after.
        from .cumulative import product_of_others

        return (self.spread(cotangent, operands[0]) * product_of_others(operands[0], self.axes),)


@record
class All(Reduction):
    """Whether every element holds."""

    name: ClassVar[str] = "all"
    kind: ClassVar[str] = "min"
    kinds: ClassVar[str] = "b"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.all)
    axes: tuple[int, ...]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((1,)), (sample_array(9, 2, dtype="bool"),))


@record
class Any_(Reduction):
    """Whether any element holds."""

    name: ClassVar[str] = "any"
    kind: ClassVar[str] = "max"
    kinds: ClassVar[str] = "b"
    numpy: ClassVar[Callable[..., Any]] = staticmethod(np.any)
    axes: tuple[int, ...]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((1,)), (sample_array(9, 2, dtype="bool"),))


Axes = int | Sequence[int] | None


def reduced_over(kind: type[Any], x: Any, axis: Axes, keepdims: bool) -> Tensor:
    """A reduction of `kind` over `axis`, whose sizes become 1 where `keepdims`."""
    tensor = as_tensor(x)
    axes = normalize_axes(axis, tensor.ndim)
    result: Tensor = kind(axes)(tensor)
    if not keepdims:
        return result
    return result.reshape([1 if k in axes else size for k, size in enumerate(tensor.shape)])


@function
def sum_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum over `axis` (all axes by default). Integers keep their dtype; bools are counted in int64."""
    tensor = as_tensor(x)
    return reduced_over(Sum, tensor.astype("int64") if tensor.dtype == "bool" else tensor, axis, keepdims)


@function
def prod_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The product over `axis`."""
    return reduced_over(Prod, x, axis, keepdims)


@function
def all_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether every element over `axis` holds."""
    return reduced_over(All, as_tensor(x).astype("bool"), axis, keepdims)


@function
def any_(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any element over `axis` holds."""
    return reduced_over(Any_, as_tensor(x).astype("bool"), axis, keepdims)
