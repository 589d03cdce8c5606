"""Joining, splitting and repeating: concatenate, stack, split, flip, tile, repeat."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor, as_tensor
from ..kernel.expression import Expr, Index, compare, guard
from ..op import Access, Array, Op, Sample, function, normalize_axes, normalize_axis, sample_array
from ..record import record
from ..sizes import Dim
from ..types import TensorType, as_dim
from .elementwise import common_dtype
from .shape import broadcast_to, expand_dims, reshape
from .slicing import Slice, slice_axis
from .source import full


@record
class Concatenate(Op):
    """The operands one after another along `axis`; all other axes agree."""

    name: ClassVar[str] = "concatenate"
    pattern: ClassVar[str] = "injective"
    axis: int

    @property
    def joins(self) -> int:
        return self.axis

    def infer(self, *operands: TensorType) -> TensorType:
        if not operands:
            raise TypeRuleError("needs at least one operand")
        first = operands[0]
        if not 0 <= self.axis < first.rank:
            raise ShapeError(f"axis {self.axis} is out of range for {first}")
        shape = list(first.shape)
        for other in operands[1:]:
            if other.dtype != first.dtype or other.rank != first.rank:
                raise TypeRuleError(f"{first} and {other} differ in dtype or rank: cast or reshape one of them")
            for k, size in enumerate(other.shape):
                shape[k] = shape[k] + size if k == self.axis else unify(shape[k], size, f"axis {k}")
        return first.with_shape(shape)

    def evaluate(self, *operands: Array) -> Array:
        return np.concatenate(operands, self.axis)

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        starts = _offsets([operand.shape[self.axis] for operand in operands])
        return [slice_axis(cotangent, self.axis, start, operand.shape[self.axis]) for start, operand in zip(starts, operands, strict=False)]

    def jvp(self, tangents: Sequence[Tensor | None], output: Tensor, *operands: Tensor) -> Tensor | None:
        known = [full(x.shape, 0, x.dtype) if tangent is None else tangent for tangent, x in zip(tangents, operands, strict=True)]
        return self(*known)

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        offsets = _offsets([operand.type.shape[self.axis] for operand in operands])  # type: ignore[attr-defined]
        return self._choose(index, operands, offsets, 0, len(operands))

    def _choose(self, index: Index, operands: Sequence[Access], offsets: Sequence[Dim], first: int, last: int) -> Expr:
        """The operand that holds `index`, found by halving, so that many operands cost few comparisons."""
        if last - first == 1:
            return operands[first]((*index[: self.axis], index[self.axis] - offsets[first], *index[self.axis + 1 :]))
        middle = (first + last) // 2
        halves = [self._choose(index, operands, offsets, *half) for half in ((first, middle), (middle, last))]
        return guard(compare("less", index[self.axis], offsets[middle]), *halves)

    def canonical(self, *operands: Tensor) -> Tensor | None:
        if len(operands) == 1:
            return operands[0]
        kept = [operand for operand in operands if operand.shape[self.axis] != 0]
        return self(*kept) if kept and len(kept) < len(operands) else None

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(0), (sample_array(2, 3), sample_array(4, 3), sample_array(1, 3)))
        yield Sample(cls(1), (sample_array(3, 5), sample_array(3, 2, seed=1)))
        yield Sample(cls(1), (sample_array(2, 0), sample_array(2, 3)))
        yield Sample(cls(0), (sample_array(4),))
        yield Sample(cls(0), tuple(sample_array(1, seed=k) for k in range(7)))


def _offsets(sizes: Sequence[Dim]) -> list[Dim]:
    """Where each part starts, and the end."""
    found: list[Dim] = [0]
    for size in sizes:
        found.append(found[-1] + size)
    return found


def _alike(values: Any) -> list[Tensor]:
    listed = list(values)
    if not listed:
        raise ShapeError("there is nothing to join: give at least one tensor")
    dtype = common_dtype(listed)
    return [as_tensor(value).astype(dtype) for value in listed]


@function
def concatenate(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """The tensors one after another along `axis`, of their common dtype. Raises ShapeError when other axes disagree."""
    parts = _alike(tensors)
    at = normalize_axis(axis, parts[0].ndim)
    return parts[0] if len(parts) == 1 else Concatenate(at)(*parts)


@function
def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    return concatenate([expand_dims(part, axis) for part in _alike(tensors)], axis)


@function
def split(x: Any, indices_or_sections: int | Sequence[Any], axis: int = 0) -> list[Tensor]:
    """x cut along `axis` into so many equal parts, or before each of the given indices, as NumPy's `split`.

    Raises ShapeError when a known size cannot be divided equally.
    """
    tensor = as_tensor(x)
    at = normalize_axis(axis, tensor.ndim)
    size = tensor.shape[at]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or (isinstance(size, int) and size % indices_or_sections):
            raise ShapeError(f"split: axis {axis} of {tensor.type} cannot be cut into {indices_or_sections} equal parts: give the indices to cut at")
        part = size // indices_or_sections
        # For a symbolic size the reshape records that it must be so many equal parts.
        tensor = reshape(tensor, (*tensor.shape[:at], part * indices_or_sections, *tensor.shape[at + 1 :]))
        return [slice_axis(tensor, at, k * part, part) for k in range(indices_or_sections)]
    cuts = [0, *(_within(cut, size) for cut in indices_or_sections), size]
    return [slice_axis(tensor, at, start, _length(start, stop)) for start, stop in itertools.pairwise(cuts)]


def _within(cut: Any, size: Dim) -> Dim:
    if isinstance(cut, (int, np.integer)) and cut < 0:
        return max(0, size + int(cut)) if isinstance(size, int) else size + int(cut)
    at = as_dim(cut)
    return min(at, size) if isinstance(at, int) and isinstance(size, int) else at


def _length(start: Dim, stop: Dim) -> Dim:
    length = stop - start
    return max(0, length) if isinstance(length, int) else length


@function
def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """x with the elements along `axis` (all axes by default) in reverse order."""
    tensor = as_tensor(x)
    axes = normalize_axes(axis, tensor.ndim)
    starts = tuple(size - 1 if k in axes else 0 for k, size in enumerate(tensor.shape))
    return Slice(starts, tensor.shape, tuple(-1 if k in axes else 1 for k in range(tensor.ndim)))(tensor)


@function
def tile(x: Any, reps: Any) -> Tensor:
    """x repeated as a whole `reps[k]` times along axis k; missing axes and repetitions are 1, as in NumPy."""
    tensor = as_tensor(x)
    counts = [as_dim(count) for count in reps] if isinstance(reps, (list, tuple)) else [as_dim(reps)]
    counts = [*(1,) * (tensor.ndim - len(counts)), *counts]
    shape = (1,) * (len(counts) - tensor.ndim) + tensor.shape
    spread = reshape(tensor, [part for size in shape for part in (1, size)])
    whole = broadcast_to(spread, tuple(part for count, size in zip(counts, shape, strict=True) for part in (count, size)))
    return reshape(whole, [count * size for count, size in zip(counts, shape, strict=True)])


@function
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Every element (slice along `axis`; of the flattened tensor by default) `repeats` times: a size, or a number for each."""
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = reshape(tensor, (tensor.size,)), 0
    at = normalize_axis(axis, tensor.ndim)
    if isinstance(repeats, (list, tuple, np.ndarray)) and np.size(repeats) > 1:
        return _repeat_each(tensor, np.asarray(repeats), at)
    count = as_dim(np.ravel(repeats)[0] if isinstance(repeats, (list, tuple, np.ndarray)) else repeats)
    lead, size, rest = tensor.shape[:at], tensor.shape[at], tensor.shape[at + 1 :]
    spread = broadcast_to(reshape(tensor, (*lead, size, 1, *rest)), (*lead, size, count, *rest))
    return reshape(spread, (*lead, size * count, *rest))


def _repeat_each(x: Tensor, repeats: Array, axis: int) -> Tensor:
    from .indexing import take

    if repeats.shape != (x.shape[axis],):
        raise ShapeError(f"repeat: {repeats.size} numbers of repeats do not fit axis {axis} of {x.type}")
    return take(x, np.repeat(np.arange(repeats.size), repeats), axis)
