"""The slow definition of the kernel language: an expression over all points of its axes, straight from its description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphdl import sizes
from graphdl.errors import IndexOutOfRangeError
from graphdl.kernel import interpretation
from graphdl.kernel.expression import Axis, Buffer, Const, Expr, Guard, Index, IndexValue, Load, Loaded, Reduce, Scalar, fresh_axes, load
from graphdl.op import Op
from graphdl.sizes import Atom, Combined, Dim, as_size
from graphdl.types import TensorType, numpy_dtype

Array = np.ndarray[Any, Any]
Rounding = Callable[[Scalar, Array], Array]

REDUCTIONS: dict[str, Callable[[Array], Any]] = {
    "sum": lambda x: x.sum(0, dtype=x.dtype), "prod": lambda x: x.prod(0, dtype=x.dtype), "max": lambda x: x.max(0), "min": lambda x: x.min(0),
    "any": lambda x: x.any(0), "all": lambda x: x.all(0), "argmax": lambda x: x.argmax(0), "argmin": lambda x: x.argmin(0),
}  # fmt: skip
INDEX_FUNCTIONS: dict[str, Callable[[Array, Array], Array]] = {
    "floordiv": np.floor_divide, "mod": np.remainder, "min": np.minimum, "max": np.maximum,
}  # fmt: skip
NO_ELEMENTS = {"max": -np.inf, "min": np.inf}


@dataclass(frozen=True)
class Access:
    """An operand that lies in memory."""

    buffer: Buffer

    @property
    def type(self) -> TensorType:
        return self.buffer.type

    def __call__(self, index: Index) -> Expr:
        return load(self.buffer, index)


@dataclass
class Interpreter:
    """Values of axes (one number per point), of symbols and of buffers; `active` marks the points that are computed at all.

    `rounded` is applied to the result of every scalar function.
    """

    axes: Mapping[Atom, Array]
    symbols: Mapping[str, int]
    buffers: Mapping[Buffer, Array]
    active: Array
    rounded: Rounding
    memo: dict[int, Array] = field(default_factory=dict)

    def value(self, x: Expr) -> Array:
        if x.number not in self.memo:
            self.memo[x.number] = self._compute(x)
        return self.memo[x.number]

    def _compute(self, x: Expr) -> Array:
        if isinstance(x, Const):
            return np.full(self.active.shape, x.value, numpy_dtype(x.dtype))
        if isinstance(x, IndexValue):
            return self.index(x.index)
        if isinstance(x, Load):
            return self._load(x)
        if isinstance(x, Guard):
            return self._guard(x)
        if isinstance(x, Reduce):
            return self._reduce(x)
        assert isinstance(x, Scalar)
        return self.rounded(x, interpretation._step(x, {operand.number: self.value(operand) for operand in x.operands}, ()))

    def _load(self, x: Load) -> Array:
        array = self.buffers[x.buffer]
        at = []
        for part, size in zip(x.index, array.shape, strict=True):
            position = self.index(part)
            outside = self.active & ((position < 0) | (position >= size))
            assert not outside.any(), f"{x!r} reads {position[outside][0]} on an axis of {size}"
            at.append(np.where(self.active, position, 0))
        return np.broadcast_to(array[tuple(at)] if array.size else np.zeros((), array.dtype), self.active.shape)

    def _guard(self, x: Guard) -> Array:
        holds = self.value(x.predicate)
        body = Interpreter(self.axes, self.symbols, self.buffers, self.active & holds, self.rounded).value(x.body)
        otherwise = Interpreter(self.axes, self.symbols, self.buffers, self.active & ~holds, self.rounded).value(x.otherwise)
        return np.where(holds, body, otherwise)

    def _reduce(self, x: Reduce) -> Array:
        extents = [sizes.evaluate(axis.size, self.symbols) for axis in x.reduced]
        rows = []
        for point in np.ndindex(*extents):
            inner: dict[Atom, Array] = {axis: np.full(self.active.shape, k, "int64") for axis, k in zip(x.reduced, point, strict=True)}
            rows.append(Interpreter({**self.axes, **inner}, self.symbols, self.buffers, self.active, self.rounded).value(x.body))
        if not rows and x.kind in NO_ELEMENTS:
            return np.full(self.active.shape, NO_ELEMENTS[x.kind], numpy_dtype(x.dtype))
        return np.asarray(REDUCTIONS[x.kind](np.array(rows, numpy_dtype(x.body.dtype)).reshape(len(rows), *self.active.shape)))

    def index(self, index: Dim) -> Array:
        """An index polynomial at every point."""
        total = np.zeros(self.active.shape, "int64")
        for monomial, coefficient in sizes.terms_of(index):
            term = np.full(self.active.shape, coefficient, "int64")
            for atom in monomial:
                term = term * self._atom(atom)
            total = total + term
        return total

    def _atom(self, atom: Atom) -> Array:
        if isinstance(atom, Axis):
            return self.axes[atom]
        if isinstance(atom, Combined):
            return INDEX_FUNCTIONS[atom.function](self.index(atom.left), self.index(atom.right))
        if isinstance(atom, Loaded):
            value, size = self.value(atom.value), self.index(atom.size)
            if (self.active & ((value < (-size if atom.wraps else 0)) | (value >= size))).any():
                raise IndexOutOfRangeError(f"{atom} is outside an axis of {size.flat[0]}")
            return np.where(value < 0, value + size, value)
        return np.full(self.active.shape, self.symbols[atom.key], "int64")


def interpret_lowering(
    op: Op, out: TensorType, types: Sequence[TensorType], arrays: Sequence[Array], symbols: Mapping[str, int], rounded: Rounding = lambda _, array: array
) -> Array:
    """What the expression of `op.lower` says, for operands of (perhaps symbolic) types that hold these arrays."""
    buffers = [Buffer(f"x{k}", type, "input") for k, type in enumerate(types)]
    axes = fresh_axes(out.shape)
    expression = op.lower(out, tuple(as_size(axis) for axis in axes), *map(Access, buffers))
    shape = tuple(sizes.evaluate(size, symbols) for size in out.shape)
    points: dict[Atom, Array] = {axis: place.ravel() for axis, place in zip(axes, np.indices(shape), strict=True)}
    count = int(np.prod(shape))
    interpreter = Interpreter(points, symbols, dict(zip(buffers, arrays, strict=True)), np.ones(count, bool), rounded)
    with np.errstate(all="ignore"):
        return interpreter.value(expression).reshape(shape)
