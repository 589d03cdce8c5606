"""Random graphs for the differential fuzzer: every op is tried on concrete arrays while the graph grows, so all of them run."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

import graphdl as gd
from graphdl.errors import GraphdlError
from graphdl.evaluation import evaluate_nodes
from graphdl.ir import Graph, Tensor
from graphdl.ir.node import FUNCTIONS
from graphdl.sizes import Dim, evaluate, symbol
from graphdl.types import is_floating, is_integer, numpy_dtype

Array = np.ndarray[Any, Any]
Sizes = dict[str, int]
SIZES = (0, 1, 2, 3, 5, 7, 8, 16, 17, 33)
DTYPES = ("float32", "float32", "float32", "float64", "int64", "bool")
LARGEST = 40_000  # elements of one tensor
FLOATS = (
    "abs", "negative", "sign", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "cbrt", "sin", "cos", "tanh", "sigmoid", "erf", "atan", "asinh",
    "softplus", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "floor", "ceil", "round", "trunc", "hardsigmoid", "hardswish",
    "hardtanh", "relu6", "softsign", "logsigmoid", "isnan", "isfinite", "exp2", "log2", "sinh", "stop_gradient",
)  # fmt: skip
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "atan2", "remainder", "floor_divide", "share")
ARITHMETIC = ("add", "subtract", "multiply", "maximum", "minimum", "floor_divide", "remainder")
RELATIONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor")
REDUCTIONS = ("sum", "prod", "max", "min", "mean", "var", "std", "logsumexp")


@dataclass
class RandomGraph:
    """A graph under construction with the arrays of every tensor, once for each of two bindings of its symbolic sizes."""

    chance: Random
    name: str
    sizes: tuple[Sizes, Sizes]
    inputs: list[Tensor] = field(default_factory=list)
    pool: list[Tensor] = field(default_factory=list)
    values: tuple[dict[Tensor, Array], dict[Tensor, Array]] = field(default_factory=lambda: ({}, {}))
    outputs: list[Tensor] = field(default_factory=list)

    # -- inputs -------------------------------------------------------------------------------------------------

    def size(self) -> Dim:
        symbols = [symbol(name) for name in self.sizes[0]]
        known: list[Dim] = [*SIZES[1:], *symbols, *symbols]
        return self.chance.choice(known) if self.chance.random() > 0.04 else 0

    def shape(self) -> tuple[Dim, ...]:
        rank = self.chance.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])
        shape = tuple(self.size() for _ in range(rank))
        return shape if self.elements(shape) <= LARGEST // 4 else self.shape()

    def elements(self, shape: Sequence[Dim]) -> int:
        return max(int(np.prod([evaluate(size, sizes) for size in shape], dtype="int64")) for sizes in self.sizes)

    def input(self, dtype: str, shape: Sequence[Dim], below: Dim | None = None) -> Tensor:
        """A new placeholder; indices into an axis if `below` says how long that is."""
        tensor = gd.placeholder(f"{self.name}{len(self.inputs)}", tuple(shape), dtype)
        generator = np.random.default_rng(self.chance.randrange(1 << 30))
        for sizes, values in zip(self.sizes, self.values, strict=True):
            own = tuple(evaluate(size, sizes) for size in shape)
            values[tensor] = _numbers(generator, dtype, own, None if below is None else evaluate(below, sizes))
        self.inputs.append(tensor)
        if below is None:
            self.pool.append(tensor)
        return tensor

    def beside(self, x: Tensor) -> Tensor:
        """Something that broadcasts with x: a tensor of that shape and dtype, or a new input with sizes of 1 and fewer axes."""
        alike = [y for y in self.pool if y.dtype == x.dtype and y.shape == x.shape]
        if self.chance.random() < 0.6:
            return self.chance.choice(alike)
        shape = [1 if self.chance.random() < 0.3 else size for size in x.shape][self.chance.choice([0, 0, 0, 1]) :]
        return self.input(x.dtype, shape)

    # -- growing ------------------------------------------------------------------------------------------------

    def grow(self) -> bool:
        """Add one op, unless it turns out not to be defined for what was chosen."""
        rule = self.chance.choice(RULES)
        x = self.chance.choice(self.pool[-4:] if self.chance.random() < 0.7 else self.pool)
        try:
            made = rule(self, x)
        except GraphdlError:
            return False
        if made is None or not self.keep(made):
            return False
        self.pool.append(made)
        return True

    def keep(self, tensor: Tensor) -> bool:
        """Evaluate what is new. False if that fails, grows too large or leaves the range of numbers (mostly)."""
        if self.elements(tensor.shape) > LARGEST:
            return False
        for sizes, values in zip(self.sizes, self.values, strict=True):
            missing = [node for node in Graph(tensor).nodes if node.output not in values]
            try:
                if any(evaluate(a, sizes) != evaluate(b, sizes) for node in missing for a, b, _ in node.constraints):
                    return False
                evaluate_nodes(missing, values, sizes)
            except (GraphdlError, ValueError):
                return False
            found = values[tensor]
            if found.dtype.kind == "f" and not (np.abs(found) < 1e4).all() and self.chance.random() < 0.9:
                return False
        return True

    def finish(self) -> None:
        """Choose the results, perhaps with the gradient of one of them."""
        self.outputs = [self.pool[-1], *(self.chance.choice(self.pool) for _ in range(self.chance.choice([0, 0, 1, 2])))]
        end = self.outputs[0]
        leaves = [x for x in self.inputs if x.node in Graph(end).nodes and x.dtype == end.dtype]
        if leaves and is_floating(end.dtype) and self.chance.random() < 0.5:
            weight = self.input(end.dtype, end.shape)
            gradients = gd.grad((end * weight).sum(), leaves)
            self.outputs += [gradient for gradient in gradients if self.keep(gradient)]


def _numbers(generator: np.random.Generator, dtype: str, shape: tuple[int, ...], below: int | None) -> Array:
    if below is not None:
        return generator.integers(-below, max(below, 1 - below), shape).astype(dtype)
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if is_integer(dtype):
        return generator.integers(-4, 5, shape).astype(dtype)
    smooth = generator.uniform(-2, 2, shape)
    return np.where(generator.random(shape) < 0.2, np.round(smooth), smooth).astype(numpy_dtype(dtype))


# -- rules: a graph and one of its tensors in, a new tensor or None out ------------------------------------------------

Rule = Callable[[RandomGraph, Tensor], Tensor | None]


def unary(g: RandomGraph, x: Tensor) -> Tensor | None:
    names = FLOATS if is_floating(x.dtype) else ("bitwise_not",) if x.dtype == "bool" else ("abs", "negative", "sign", "bitwise_not")
    return FUNCTIONS[g.chance.choice(names)](x)


def binary(g: RandomGraph, x: Tensor) -> Tensor | None:
    names = BINARY if is_floating(x.dtype) else BITWISE if x.dtype == "bool" else ARITHMETIC + BITWISE
    pair = [x, g.beside(x)] if g.chance.random() < 0.85 or x.dtype == "bool" else [x, g.chance.choice([0, 1, 2, 3 if x.dtype == "uint8" else -1, 3, 0.5])]
    g.chance.shuffle(pair)
    return FUNCTIONS[g.chance.choice(names)](*pair)


def relation(g: RandomGraph, x: Tensor) -> Tensor | None:
    return FUNCTIONS[g.chance.choice(RELATIONS)](x, g.beside(x))


def where(g: RandomGraph, x: Tensor) -> Tensor | None:
    y = g.beside(x)
    masks = [mask for mask in g.pool if mask.dtype == "bool" and mask.shape in (x.shape, x.shape[-1:], ())]
    return gd.where(g.chance.choice(masks) if masks else x < y, x, y)


def clip(g: RandomGraph, x: Tensor) -> Tensor | None:
    return gd.clip(x, g.chance.choice([None, 0, 0 if x.dtype == "uint8" else -1]), g.chance.choice([1, 2]))


def cast(g: RandomGraph, x: Tensor) -> Tensor | None:
    return x.astype(g.chance.choice(["float32", "float32", "float64", "int64", "int32", "uint8", "bool", "float16"]))


def axes_of(g: RandomGraph, x: Tensor) -> Any:
    return g.chance.choice([None, *range(-x.ndim, x.ndim), tuple(k for k in range(x.ndim) if g.chance.random() < 0.5)])


def reduction(g: RandomGraph, x: Tensor) -> Tensor | None:
    names = ("any", "all") if x.dtype == "bool" else REDUCTIONS if is_floating(x.dtype) else ("sum", "prod", "max", "min", "mean")
    return FUNCTIONS[g.chance.choice(names)](x, axis=axes_of(g, x), keepdims=g.chance.random() < 0.5)


def extreme_place(g: RandomGraph, x: Tensor) -> Tensor | None:
    axis = g.chance.choice([None, *range(x.ndim)])
    return None if x.dtype == "bool" else FUNCTIONS[g.chance.choice(["argmax", "argmin"])](x, axis=axis, keepdims=g.chance.random() < 0.3)


def along_axis(g: RandomGraph, x: Tensor) -> Tensor | None:
    if x.ndim == 0:
        return None
    names = ("softmax", "log_softmax", "cumsum", "cumprod", "flip") if is_floating(x.dtype) else ("cumsum", "cumprod", "flip")
    return FUNCTIONS[g.chance.choice(names)](x, axis=g.chance.randrange(x.ndim))


def product(g: RandomGraph, x: Tensor) -> Tensor | None:
    if x.ndim == 0 or x.dtype == "bool":
        return None
    if g.chance.random() < 0.4:
        x = gd.transpose(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]) if x.ndim > 1 else x
    columns = [g.size()] if g.chance.random() < 0.85 else []
    batch = list(x.shape[:-2]) if g.chance.random() < 0.5 and columns else []
    batch = [1 if g.chance.random() < 0.3 else size for size in batch]
    return gd.matmul(x, g.input(x.dtype, [*batch, x.shape[-1], *columns]))


def labelled_product(g: RandomGraph, x: Tensor) -> Tensor | None:
    if x.ndim == 0 or x.dtype == "bool":
        return None
    own = string.ascii_lowercase[: x.ndim]
    other = [label for label in own if g.chance.random() < 0.6] + ["z"] * (g.chance.random() < 0.5)
    g.chance.shuffle(other)
    sizes = dict(zip(own, x.shape, strict=True))
    y = g.input(x.dtype, [sizes[label] if label in sizes else g.size() for label in other])
    kept = [label for label in dict.fromkeys([*own, *other]) if g.chance.random() < 0.6]
    g.chance.shuffle(kept)
    return gd.einsum(f"{own},{''.join(other)}->{''.join(kept)}", x, y)


def permuted(g: RandomGraph, x: Tensor) -> Tensor | None:
    axes = list(range(x.ndim))
    g.chance.shuffle(axes)
    return gd.transpose(x, axes)


def reshaped(g: RandomGraph, x: Tensor) -> Tensor | None:
    if g.chance.random() < 0.3 and x.ndim:
        return gd.expand_dims(x, g.chance.randrange(x.ndim + 1))
    if g.chance.random() < 0.5 and x.ndim > 1:
        k = g.chance.randrange(x.ndim - 1)
        return gd.reshape(x, (*x.shape[:k], x.shape[k] * x.shape[k + 1], *x.shape[k + 2 :]))
    split = [(k, size) for k, size in enumerate(x.shape) if isinstance(size, int) and size in (8, 16, 33)]
    if split and g.chance.random() < 0.8:
        k, size = g.chance.choice(split)
        first = 3 if size == 33 else 2
        return gd.reshape(x, (*x.shape[:k], first, size // first, *x.shape[k + 1 :]))
    return gd.reshape(x, (-1,)) if 0 not in x.shape else None


def sliced(g: RandomGraph, x: Tensor) -> Tensor | None:
    def part(size: Dim) -> slice:
        step = g.chance.choice([1, 1, 2, 3, -1, -2])
        if not isinstance(size, int) or g.chance.random() < 0.4:
            return slice(None, None, step)
        low, high = sorted((g.chance.randint(0, size), g.chance.randint(0, size)))
        return slice(low, high) if step > 0 else slice(high - 1, None, step) if high else slice(None)

    return x[tuple(part(size) for size in x.shape)] if x.ndim else None


def padded(g: RandomGraph, x: Tensor) -> Tensor | None:
    width = [(g.chance.randint(0, 2), g.chance.randint(0, 2)) for _ in x.shape]
    return gd.pad(x, width, constant_values=g.chance.choice([0, 1])) if x.ndim else None


def joined(g: RandomGraph, x: Tensor) -> Tensor | None:
    alike = [y for y in g.pool if y.dtype == x.dtype and y.shape == x.shape]
    parts = [x, *(g.chance.choice(alike) for _ in range(g.chance.randint(1, 2)))]
    if x.ndim == 0 or g.chance.random() < 0.3:
        return gd.stack(parts, g.chance.randint(0, x.ndim))
    return gd.concatenate(parts, g.chance.randrange(x.ndim))


def repeated(g: RandomGraph, x: Tensor) -> Tensor | None:
    if g.chance.random() < 0.5:
        return gd.broadcast_to(x, (g.size(), *x.shape))
    return gd.tile(x, tuple(g.chance.randint(1, 2) for _ in x.shape)) if g.chance.random() < 0.5 else gd.repeat(x, 2, g.chance.randrange(max(x.ndim, 1)))


def taken(g: RandomGraph, x: Tensor) -> Tensor | None:
    if x.ndim == 0:
        return None
    axis = g.chance.randrange(x.ndim)
    if g.chance.random() < 0.3:
        indices = g.input("int64", [g.size() if k == axis else size for k, size in enumerate(x.shape)], x.shape[axis])
        return gd.take_along_axis(x, indices, axis)
    return gd.take(x, g.input(g.chance.choice(["int64", "int32"]), [g.size() for _ in range(g.chance.choice([0, 1, 1, 2]))], x.shape[axis]), axis)


def scattered(g: RandomGraph, x: Tensor) -> Tensor | None:
    if x.ndim == 0 or x.dtype == "bool":
        return None
    axis, count = g.chance.randrange(x.ndim), g.size()
    updates = g.input(x.dtype, [count if k == axis else size for k, size in enumerate(x.shape)])
    return gd.scatter_add(x, g.input("int64", [count], x.shape[axis]), updates, axis)


def convolved(g: RandomGraph, x: Tensor) -> Tensor | None:
    if x.ndim != 3 or not is_floating(x.dtype):
        return None
    kernel = g.input(x.dtype, [g.chance.choice([1, 2, 5]), x.shape[1], g.chance.choice([1, 2, 3])])
    return gd.convolution(x, kernel, g.chance.choice([1, 2]), g.chance.choice([0, 1]), g.chance.choice([1, 2]))


def triangle(g: RandomGraph, x: Tensor) -> Tensor | None:
    return FUNCTIONS[g.chance.choice(["tril", "triu"])](x, g.chance.choice([-1, 0, 1])) if x.ndim >= 2 else None


RULES: tuple[Rule, ...] = (
    unary, unary, unary, unary, binary, binary, binary, binary, relation, where, clip, cast, reduction, reduction, extreme_place, along_axis, product, product,
    labelled_product, permuted, reshaped, sliced, padded, joined, repeated, taken, scattered, convolved, triangle,
)  # fmt: skip


def random_graph(chance: Random, name: str, depth: int) -> RandomGraph:
    """A graph of at most `depth` ops, not counting those of its gradients."""
    symbols = [f"{name}{letter}" for letter in ("N", "M")]
    first, second = ({each: chance.choice(SIZES) for each in symbols} for _ in range(2))
    graph = RandomGraph(chance, name, (first, second))
    for _ in range(chance.randint(1, 3)):
        graph.input(chance.choice(DTYPES), graph.shape())
    wanted = chance.randint(1, depth)
    for _ in range(4 * wanted):
        wanted -= graph.grow()
        if wanted == 0:
            break
    graph.finish()
    graph.input("bool", [symbol(each) for each in symbols])  # some input has each of the sizes, whatever becomes of the others
    return graph
