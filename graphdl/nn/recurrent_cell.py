"""One step of a recurrent network, and cells as modules: plain (tanh, relu), LSTM (Hochreiter, Schmidhuber 1997), GRU (Cho et al. 2014).

A step takes the projected input of its element, `x @ weight_ih.T` with the biases, so that the projection of a whole sequence
is one contraction. Gates are stacked in PyTorch's order: i, f, g, o for the LSTM and r, z, n for the GRU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.join import split
from ..ops.shape import expand_dims, squeeze
from ..ops.source import full
from ..record import record
from ..types import Shape
from . import init
from .linear import linear
from .module import Module

State = tuple[Tensor, ...]
Projected = tuple[Tensor, ...]
Transition = Callable[[Projected, State], State]


@record
class Weights:
    """The weights of one recurrent layer in one direction. Biases may be missing; `weight_hr` is the LSTM's projection."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    weight_hr: Tensor | None = None


class Plain:
    """h' = tanh(x + h W_hhᵀ), or relu."""

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def __init__(self, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is tanh or relu, not {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def project(self, input: Tensor, weights: Weights) -> Projected:
        """The parts of the gates that do not depend on the state, for any number of leading axes."""
        biases = [bias for bias in (weights.bias_ih, weights.bias_hh) if bias is not None]
        return (linear(input, weights.weight_ih, biases[0] + biases[1] if biases else None),)

    def transition(self, weights: Weights) -> Transition:
        """The next state as a function of the projected input and the state; its first tensor is the output."""

        def step(projected: Projected, state: State) -> State:
            total = projected[0] + linear(state[0], weights.weight_hh)
            return (total.tanh() if self.nonlinearity == "tanh" else total.relu(),)

        return step


class LongShortTerm(Plain):
    """c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c'), times W_hrᵀ where there is a projection."""

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def transition(self, weights: Weights) -> Transition:
        def step(projected: Projected, state: State) -> State:
            i, f, g, o = split(projected[0] + linear(state[0], weights.weight_hh), 4, -1)
            c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            return (h if weights.weight_hr is None else linear(h, weights.weight_hr)), c

        return step


class Gated(Plain):
    """h' = (1 - z) n + z h, with n = tanh(x_n + r (h W_hnᵀ + b_hn)) and gates r, z = σ(x + h Wᵀ + b)."""

    gates: ClassVar[int] = 3
    states: ClassVar[int] = 1

    def project(self, input: Tensor, weights: Weights) -> Projected:
        return tuple(linear(input, weight, bias) for weight, bias in _gates_and_candidate(weights.weight_ih, weights.bias_ih))

    def transition(self, weights: Weights) -> Transition:
        gates, candidate = _gates_and_candidate(weights.weight_hh, weights.bias_hh)

        def step(projected: Projected, state: State) -> State:
            (h,) = state
            r, z = (one.sigmoid() for one in split(projected[0] + linear(h, *gates), 2, -1))
            n = (projected[1] + r * linear(h, *candidate)).tanh()
            return (n + z * (h - n),)

        return step


def _gates_and_candidate(weight: Tensor, bias: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
    """The rows of r and z, and those of n: the cotangents of r and z reach input and state alike, so only those of n are held for each."""
    end = weight.shape[0] // 3 * 2
    return [(weight[rows], None if bias is None else bias[rows]) for rows in (slice(end), slice(end, None))]


def make_weights(owner: Module, kind: Plain, sizes: tuple[int, int, int], bias: bool, suffix: str, dtype: Any) -> None:
    """Assign the weights of one layer and direction to the module, uniform in ±1/√hidden_size. Sizes: input, hidden, projected or 0."""
    inputs, hidden, projected = sizes
    rows = kind.gates * hidden
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, projected or hidden)}
    if bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if projected:
        shapes["weight_hr"] = (projected, hidden)
    bound = 1 / math.sqrt(hidden) if hidden else 0.0
    for name, shape in shapes.items():
        setattr(owner, name + suffix, init.uniform_(init.blank(name + suffix, shape, dtype), -bound, bound))


def held_weights(owner: Module, suffix: str = "") -> Weights:
    """The weights that `make_weights` assigned."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    return Weights(*(getattr(owner, name + suffix, None) for name in names))  # type: ignore[arg-type]


class _Cell(Module):
    """The base of the cells: one step for inputs (N, input_size) or (input_size)."""

    def __init__(self, kind: Plain, input_size: int, hidden_size: int, bias: bool, dtype: Any) -> None:
        self.kind = kind
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        make_weights(self, kind, (input_size, hidden_size, 0), bias, "", dtype)

    def run(self, input: Tensor, state: State | None) -> State:
        """The next state. Raises ShapeError for an input or a state that does not fit."""
        if input.ndim not in (1, 2):
            raise ShapeError(f"{type(self).__name__}: needs an input (N, {self.input_size}) or ({self.input_size}), got {describe(input)}")
        if input.ndim == 1:
            given = None if state is None else tuple(expand_dims(x, 0) for x in state)
            return tuple(squeeze(x, 0) for x in self.run(expand_dims(input, 0), given))
        shape = (input.shape[0], self.hidden_size)
        state = state or tuple(full(shape, 0, input.dtype) for _ in range(self.kind.states))
        check_states(state, [shape] * self.kind.states, input, type(self).__name__)
        weights = held_weights(self)
        return self.kind.transition(weights)(self.kind.project(input, weights), state)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


def check_states(states: Sequence[Tensor] | Tensor, shapes: Sequence[Shape], input: Tensor, name: str) -> Sequence[Tensor]:
    """The states. Raises ShapeError unless there is one of each of the shapes, as far as is known; TypeRuleError for another dtype."""
    if isinstance(states, Tensor) or len(states) != len(shapes):
        given = describe(states) if isinstance(states, Tensor) else f"{len(states)}: {', '.join(map(describe, states))}"
        raise ShapeError(f"{name}: needs a tuple of {len(shapes)} initial states, got {given}")
    for state, shape in zip(states, shapes, strict=True):
        unequal = any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(state.shape, shape, strict=False))
        if state.ndim != len(shape) or unequal:
            raise ShapeError(f"{name}: the initial state {describe(state)} needs the shape ({', '.join(map(str, shape))})")
        if state.dtype != input.dtype:
            raise TypeRuleError(f"{name}: the initial state {describe(state)} needs the dtype of the input {describe(input)}: cast one with .astype")
    return states


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype: Any = "float32") -> None:
        super().__init__(Plain(nonlinearity), input_size, hidden_size, bias, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self.run(input, None if hx is None else (hx,))[0]


class LSTMCell(_Cell):
    """One step of an LSTM: (h', c') from an input and (h, c)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = "float32") -> None:
        super().__init__(LongShortTerm(), input_size, hidden_size, bias, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self.run(input, hx)
        return h, c


class GRUCell(_Cell):
    """One step of a GRU."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = "float32") -> None:
        super().__init__(Gated(), input_size, hidden_size, bias, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self.run(input, None if hx is None else (hx,))[0]
