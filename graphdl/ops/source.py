"""Tensors that are not computed from others: placeholders, parameters, constants, fills and ranges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..formula import CONSTANT, Counter, Formula, label_name, number
from ..ir import Node, Tensor
from ..kernel.expression import Expr, Index, cast, const, index_value
from ..memory import placed_copy, placed_zeros
from ..op import Access, Array, Op, Sample, function
from ..record import record
from ..sizes import Dim, Size
from ..types import Shape, TensorType, as_dim, as_shape, dtype_name, is_floating, numpy_dtype
from .state import ConstantArray, ParameterState

_identities = itertools.count()


@record
class Placeholder(Op):
    """An input: its array is given at every call."""

    name: ClassVar[str] = "placeholder"
    is_input: ClassVar[bool] = True
    label: str
    dtype: str
    shape: Shape
    identity: int = field(default_factory=lambda: next(_identities), repr=False)

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return label_name(self.label)


@record
class Parameter(Op):
    """State: an array that programs read and update in place."""

    name: ClassVar[str] = "parameter"
    is_parameter: ClassVar[bool] = True
    dtype: str
    shape: Shape
    state: ParameterState = field(repr=False)

    @property
    def label(self) -> str:
        """Its name, such as `0.weight`."""
        return self.state.name

    @property
    def attributes(self) -> dict[str, Any]:
        return {"label": self.label, "dtype": self.dtype, "shape": self.shape}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Parameter:
        if symbolic := [size for size in attributes["shape"] if not isinstance(size, int)]:
            raise ShapeError(f"a parameter holds an array, so its sizes are numbers, not {symbolic[0]}")
        label, dtype, shape = (attributes[name] for name in ("label", "dtype", "shape"))
        array = attributes["array"] if "array" in attributes else placed_zeros(shape, numpy_dtype(dtype))
        if array is None or array.shape != tuple(shape) or array.dtype != numpy_dtype(dtype):
            raise ShapeError(f"the array for {label!r} is not {TensorType(dtype, shape)}")
        return cls(dtype, shape, ParameterState(array, label))

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def evaluate(self, *operands: Array) -> Array:
        return self.state.read()

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return label_name(self.label)


@record
class Constant(Op):
    """An array known when the graph is declared."""

    name: ClassVar[str] = "constant"
    dtype: str
    shape: Shape
    state: ConstantArray

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Constant:
        return make_constant(ConstantArray.decode(**attributes))

    def infer(self, *operands: TensorType) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def evaluate(self, *operands: Array) -> Array:
        return self.state.read()

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return number(self.state.read().item()) if self.state.read().size == 1 else CONSTANT

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(make_constant(np.arange(6.0).reshape(2, 3)), ())


@record
class Full(Op):
    """Every element is `value`: a number, or a symbolic size converted to `dtype`."""

    name: ClassVar[str] = "full"
    pattern: ClassVar[str] = "injective"
    value: float | int | bool | Size
    dtype: str
    shape: Shape
    sign: float = field(init=False, repr=False)  # tells -0.0 from 0.0, which are equal

    def __post_init__(self) -> None:
        object.__setattr__(self, "sign", math.copysign(1, self.value) if isinstance(self.value, float) else 1.0)

    def infer(self, *operands: TensorType) -> TensorType:
        if not isinstance(self.value, Size) and numpy_dtype(self.dtype).kind in "iu":
            limits = np.iinfo(self.dtype)
            if not limits.min <= self.value <= limits.max:  # NaN is not either
                raise TypeRuleError(f"full: {self.value} is no {self.dtype}, which holds {limits.min} to {limits.max}; cast the tensor beside it first")
        return TensorType(self.dtype, self.shape)

    def evaluate(self, *operands: Array) -> Array:
        return np.full(self.shape, self.value, numpy_dtype(self.dtype))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return cast(index_value(self.value), self.dtype) if isinstance(self.value, Size) else const(self.value, self.dtype)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return number(self.value)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls(2.5, "float64", (2, 3)), ())
        yield Sample(cls(True, "bool", (4,)), ())
        yield Sample(cls(-3, "int32", ()), ())


@record
class Iota(Op):
    """0, 1, 2, ... along `axis`."""

    name: ClassVar[str] = "iota"
    pattern: ClassVar[str] = "injective"
    shape: Shape
    axis: int
    dtype: str

    def infer(self, *operands: TensorType) -> TensorType:
        if not 0 <= self.axis < len(self.shape):
            raise ShapeError(f"axis {self.axis} is out of range for rank {len(self.shape)}")
        return TensorType(self.dtype, self.shape)

    def evaluate(self, *operands: Array) -> Array:
        return np.indices(tuple(map(int, self.shape)))[self.axis].astype(numpy_dtype(self.dtype))

    def lower(self, out: TensorType, index: Index, *operands: Access) -> Expr:
        return cast(index_value(index[self.axis]), self.dtype)

    def formula(self, node: Node, *operands: Formula) -> Formula:
        return Counter(len(self.shape) - 1 - self.axis)

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((3, 5), 1, "int64"), ())
        yield Sample(cls((4, 2), 0, "float32"), ())


def placeholder(name: str, shape: Any = (), dtype: Any = "float32") -> Tensor:
    """An input of a program. `shape` holds ints and names of symbolic sizes: `placeholder("x", ("N", 784))`.

    Raises ShapeError for a bad size, TypeRuleError for a dtype graphdl does not hold.
    """
    if not name or not isinstance(name, str):
        raise TypeRuleError(f"a placeholder's name is a non-empty string, not {name!r}")
    return Placeholder(name, dtype_name(dtype), as_shape(shape))()


def parameter(array: Any, name: str = "parameter") -> Tensor:
    """State of a model, initialised with a copy of `array`; `.value` reads and sets it."""
    return parameter_over(placed_copy(array), name)


def parameter_over(array: Array, name: str) -> Tensor:
    """State of a model in the memory of `array`, which nobody else may use."""
    return Parameter(dtype_name(array.dtype), array.shape, ParameterState(array, name))()


def make_constant(array: Array) -> Constant:
    """The constant op that holds a copy of `array`."""
    held = ConstantArray(array)
    return Constant(dtype_name(held.array.dtype), held.array.shape, held)


@function
def constant(value: Any, dtype: Any = None) -> Tensor:
    """A tensor of known values, from anything NumPy makes an array of; Python floats become float32.

    Raises TypeRuleError for dtypes graphdl does not hold.
    """
    array = np.asarray(value)
    if dtype is not None:
        array = array.astype(numpy_dtype(dtype_name(dtype)))
    elif array.dtype == np.float64 and not isinstance(value, (np.ndarray, np.generic)):
        array = array.astype("float32")
    if array.dtype.kind in "OSU":
        raise TypeRuleError(f"a {type(value).__name__} is no tensor and no array of numbers: {value!r:.60}")
    dtype_name(array.dtype)
    if array.ndim == 0:
        return full((), array.item(), array.dtype)
    return make_constant(array)()


@function
def full(shape: Any, value: float | int | bool | Size, dtype: Any = "float32") -> Tensor:
    """A tensor whose every element is `value`, a number or a symbolic size.

    Raises TypeRuleError where an integer dtype does not hold the number.
    """
    name = dtype_name(dtype)
    if isinstance(value, Size):
        return Full(value, name, as_shape(shape))()
    number = float(value) if is_floating(name) else bool(value) if name == "bool" else int(value) if math.isfinite(value) else value
    return Full(number, name, as_shape(shape))()


@function
def zeros(shape: Any, dtype: Any = "float32") -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype)


@function
def ones(shape: Any, dtype: Any = "float32") -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype)


@function
def zeros_like(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of x."""
    return full(x.shape, 0, x.dtype)


@function
def ones_like(x: Tensor) -> Tensor:
    """Ones of the shape and dtype of x."""
    return full(x.shape, 1, x.dtype)


@function
def arange(stop: Dim | str, dtype: Any = "int64") -> Tensor:
    """0, 1, ..., stop - 1; `stop` may be symbolic."""
    return Iota((as_dim(stop),), 0, dtype_name(dtype))()


def full_value(tensor: Tensor) -> Any:
    """The number that fills the whole tensor, or None. A -0.0 is not taken for a 0."""
    op = tensor.node.op
    return op.value if isinstance(op, Full) and not isinstance(op.value, Size) else None
