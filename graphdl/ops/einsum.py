"""Sums of products by labelled axes: einsum, tensordot, outer, dot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import TypeRuleError
from ..formula import Formula, contraction
from ..ir import Node, Tensor, as_tensor
from ..kernel.expression import Expr, Index, fresh_axis, reduce
from ..op import Access, Array, Op, Sample, function, normalize_axis, sample_array
from ..record import record
from ..sizes import Dim, as_size
from ..types import TensorType, promote
from .einsum_spec import plan, resolve
from .elementwise import describe
from .matmul import Matmul
from .shape import broadcast_to, reshape, transpose
from .source import Iota, full


@record
class Einsum(Op):
    """The product of one or two operands, summed over the labels that are not in `output`.

    `inputs` gives every operand a letter per axis; a letter that comes twice in one operand takes its diagonal.
    """

    name: ClassVar[str] = "einsum"
    inputs: tuple[str, ...]
    output: str

    @property
    def pattern(self) -> str:  # type: ignore[override]
        if len(self.inputs) == 2:
            return "contraction"
        return "reduction" if self.summed else "injective"

    @property
    def summed(self) -> tuple[str, ...]:
        """The labels that are summed over, in order of appearance."""
        return tuple(dict.fromkeys(label for label in "".join(self.inputs) if label not in self.output))

    def infer(self, *operands: TensorType) -> TensorType:
        if len(operands) != len(self.inputs) or len(operands) not in (1, 2):
            raise TypeRuleError(f"{len(self.inputs)} groups of labels for {len(operands)} operands: give one or two of both")
        if any(x.dtype != operands[0].dtype for x in operands) or operands[0].dtype == "bool":
            raise TypeRuleError(f"needs operands of one numeric dtype, got {', '.join(map(str, operands))}: cast them")
        sizes = self.sizes(operands)
        if len(set(self.output)) < len(self.output) or not set(self.output) <= set(sizes):
            raise TypeRuleError(f"the result's labels {self.output!r} repeat or are in no operand")
        return operands[0].with_shape([sizes[label] for label in self.output])

    def sizes(self, operands: Sequence[TensorType]) -> dict[str, Dim]:
        """The size of every label."""
        found: dict[str, Dim] = {}
        for labels, x in zip(self.inputs, operands, strict=True):
            if len(labels) != x.rank:
                raise TypeRuleError(f"{len(labels)} labels {labels!r} do not fit the {x.rank} axes of {x}")
            for label, size in zip(labels, x.shape, strict=True):
                found[label] = unify(found[label], size, f"the axes labelled {label!r}") if label in found else size
        return found

    @property
    def spec(self) -> str:
        return f"{','.join(self.inputs)}->{self.output}"

    def evaluate(self, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.einsum(self.spec, *operands)).astype(operands[0].dtype)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        return [self._cotangent(k, cotangent, operands) for k in range(len(operands))]

    def _cotangent(self, position: int, cotangent: Tensor, operands: tuple[Tensor, ...]) -> Tensor:
        """The sum of products with the other operand; repeated along labels that only this operand has, and zero off a diagonal."""
        own, x = self.inputs[position], operands[position]
        given, factors = [self.output], [cotangent]
        if len(operands) == 2:
            given.append(self.inputs[1 - position])
            factors.append(operands[1 - position])
        known = "".join(label for label in dict.fromkeys(own) if label in "".join(given))
        found = contract(given, known, factors)
        first = [label in known and own.index(label) == k for k, label in enumerate(own)]
        spread = reshape(found, [size if there else 1 for there, size in zip(first, self._own_shape(own, x), strict=True)])
        return _on_diagonals(own, broadcast_to(spread, x.shape))

    @staticmethod
    def _own_shape(labels: str, x: Tensor) -> list[Dim]:
        return [x.shape[labels.index(label)] for label in labels]

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        total: Tensor | None = None
        for k, tangent in enumerate(tangents):
            if tangent is not None:
                term = self(*operands[:k], tangent, *operands[k + 1 :])
                total = term if total is None else total + term
        return total

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        sizes = self.sizes([operand.type for operand in operands])  # type: ignore[attr-defined]
        axes = {label: fresh_axis(sizes[label]) for label in self.summed}
        at = dict(zip(self.output, index, strict=True)) | {label: as_size(axis) for label, axis in axes.items()}
        factors = [operand(tuple(at[label] for label in labels)) for operand, labels in zip(operands, self.inputs, strict=True)]
        product = factors[0] * factors[1] if len(factors) == 2 else factors[0]
        return reduce("sum", tuple(axes.values()), product)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return contraction(self.inputs, "".join(self.summed), self.output, operands)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(("ij", "jk"), "ik"), (sample_array(3, 5), sample_array(5, 4, seed=1)))
        yield Sample(cls(("bik", "bjk"), "bij"), (sample_array(2, 3, 7), sample_array(2, 1, 7, seed=1)))
        yield Sample(cls(("ij", "ik"), "kj"), (sample_array(0, 3), sample_array(0, 2)))
        yield Sample(cls(("abc", "cda"), "db"), (sample_array(2, 3, 4), sample_array(4, 5, 2, seed=1)))
        yield Sample(cls(("ijk", "j"), "i"), (sample_array(2, 3, 4), sample_array(3, seed=1)))
        yield Sample(cls(("ii",), "i"), (sample_array(4, 4),))
        yield Sample(cls(("iij",), "j"), (sample_array(3, 3, 2),))
        yield Sample(cls(("iij", "ij"), "i"), (sample_array(3, 3, 2), sample_array(3, 2)))
        yield Sample(cls(("i", "j"), "ij"), (sample_array(3), sample_array(0)))
        yield Sample(cls(("ij", "ij"), ""), (sample_array(3, 4, dtype="int64"), sample_array(3, 4, dtype="int64")))


def _on_diagonals(labels: str, x: Tensor) -> Tensor:
    """x where the indices of all axes with one label agree, else 0."""
    for k, label in enumerate(labels):
        first = labels.index(label)
        if first != k:
            agree = Iota(x.shape, first, "int64")() == Iota(x.shape, k, "int64")()
            x = agree.where(x, full(x.shape, 0, x.dtype))
    return x


def contract(inputs: Sequence[str], output: str, operands: Sequence[Tensor]) -> Tensor:
    """The sum of products by labels: a matrix product where it is one, else a reduction, a transpose or an Einsum."""
    if len(operands) == 2:
        matrices = _as_matmul(inputs[0], inputs[1], output, operands[0], operands[1])
        return Einsum(tuple(inputs), output)(*operands) if matrices is None else matrices
    (labels,), (x,) = inputs, operands
    if len(set(labels)) < len(labels):
        return Einsum((labels,), output)(x)
    summed = tuple(k for k, label in enumerate(labels) if label not in output)
    kept = [label for label in labels if label in output]
    total: Tensor = x.sum(axis=summed) if summed else x
    return transpose(total, [kept.index(label) for label in output])


def _as_matmul(left: str, right: str, output: str, x: Tensor, y: Tensor) -> Tensor | None:
    """The matrix product (of stacks) that this is, with the axes brought in order; None if it is no such thing."""
    if any(len(set(labels)) < len(labels) for labels in (left, right)):
        return None
    stack = [label for label in output if label in left and label in right]
    inner = [label for label in left if label in right and label not in output]
    rows = [label for label in left if label not in right]
    columns = [label for label in right if label not in left]
    if not len(inner) == len(rows) == len(columns) == 1 or sorted(output) != sorted(stack + rows + columns):
        return None
    a = transpose(x, [left.index(label) for label in stack + rows + inner])
    b = transpose(y, [right.index(label) for label in stack + inner + columns])
    made = stack + rows + columns
    return transpose(Matmul()(a, b), [made.index(label) for label in output])


@function
def einsum(spec: str, *operands: Any) -> Tensor:
    """NumPy's `einsum`: labels for the axes of every operand, an arrow and the result's; `...` broadcasts the rest.

    Without an arrow the result has the labels that come once, in alphabetical order. More than two operands are
    contracted in pairs, the pair with the smallest result first where sizes are known, else from the left.
    Raises TypeRuleError for labels that do not fit, ShapeError when axes of one label cannot agree.
    """
    if not isinstance(spec, str):
        raise TypeRuleError(f"einsum: the first argument is the labels, such as 'ij,jk->ik', not {describe(spec)}")
    tensors = [as_tensor(operand) for operand in operands]
    dtype = tensors[0].dtype if tensors else "float32"
    for tensor in tensors[1:]:
        dtype = promote(dtype, tensor.dtype)
    tensors = [tensor.astype(dtype) for tensor in tensors]
    labels, output, shapes = resolve(spec, [tensor.shape for tensor in tensors])
    tensors = [broadcast_to(reshape(tensor, shape), to) for tensor, (shape, to) in zip(tensors, shapes, strict=True)]
    for pair, kept in plan(labels, output, [tensor.shape for tensor in tensors]):
        chosen = [tensors.pop(k) for k in sorted(pair, reverse=True)][::-1]
        names = [labels.pop(k) for k in sorted(pair, reverse=True)][::-1]
        tensors.append(contract(names, kept, chosen))
        labels.append(kept)
    return contract(labels, output, tensors)


@function
def tensordot(x: Any, y: Any, axes: Any = 2) -> Tensor:
    """The sum over pairs of axes: the last `axes` of x with the first of y, or two lists of axes, as NumPy's `tensordot`."""
    a, b = as_tensor(x), as_tensor(y)
    if isinstance(axes, int):
        first, second = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        first, second = ([part] if isinstance(part, int) else list(part) for part in axes)
    first, second = [normalize_axis(k, a.ndim) for k in first], [normalize_axis(k, b.ndim) for k in second]
    if len(first) != len(second):
        raise TypeRuleError(f"tensordot: {len(first)} axes of {describe(a)} cannot be paired with {len(second)} of {describe(b)}")
    left, right = _letters(0, a.ndim), list(_letters(a.ndim, b.ndim))
    for k, other in zip(first, second, strict=True):
        right[other] = left[k]
    kept = [label for label in left if label not in right] + [label for label in right if label not in left]
    return einsum(f"{left},{''.join(right)}->{''.join(kept)}", a, b)


def _letters(start: int, count: int) -> str:
    return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[start : start + count]


@function
def outer(x: Any, y: Any) -> Tensor:
    """x[i] y[j] for all elements of both, flattened."""
    a, b = as_tensor(x), as_tensor(y)
    return einsum("i,j->ij", reshape(a, (a.size,)), reshape(b, (b.size,)))


@function
def dot(x: Any, y: Any) -> Tensor:
    """NumPy's `dot`: the product of scalars and tensors, else the sum over the last axis of x and the last but one of y."""
    a, b = as_tensor(x), as_tensor(y)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return tensordot(a, b, ([a.ndim - 1], [max(0, b.ndim - 2)]))
