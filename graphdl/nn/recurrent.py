"""Recurrent networks over whole sequences: layers, both directions, projections, initial states and lengths.

The input of all steps is projected by one contraction; a scan does one contraction with the state in each step, natively.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..control.scan import scan
from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.join import concatenate, stack
from ..ops.requirement import AtLeast
from ..ops.select import where
from ..ops.shape import expand_dims, squeeze, swapaxes
from ..ops.source import arange, full
from ..types import is_integer
from .dropout import dropout
from .module import Module
from .recurrent_cell import Gated, LongShortTerm, Plain, Projected, State, Weights, check_states, held_weights, make_weights


def recur(kind: Plain, input: Tensor, state: State, weights: Weights, lengths: Tensor | None = None, reverse: bool = False) -> tuple[State, Tensor]:
    """The last state and the outputs (L, N, H) of one layer in one direction, for input (L, N, I).

    With `lengths` (N,), steps behind a sample's length change nothing and give 0.
    """
    projected, transition = kind.project(input, weights), kind.transition(weights)
    if lengths is None:
        return scan(lambda held, x: _given(transition(x, held)), state, projected, reverse=reverse)
    inside = expand_dims(arange(input.shape[0]), 1) < expand_dims(lengths.astype("int64"), 0)

    def step(held: State, x: tuple[Projected, Tensor]) -> tuple[State, Tensor]:
        on = expand_dims(x[1], 1)
        following = transition(x[0], held)
        kept = tuple(where(on, new, old) for new, old in zip(following, held, strict=True))
        return kept, where(on, following[0], full(following[0].shape, 0, input.dtype))

    return scan(step, state, (projected, inside), reverse=reverse)


def _given(state: State) -> tuple[State, Tensor]:
    return state, state[0]


class _Recurrent(Module):
    """The base. Parameters are named as PyTorch's: `weight_ih_l0`, `weight_hh_l0_reverse`, `bias_ih_l1`, ..."""

    def __init__(
        self, kind: Plain, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool,
        dropout: float, bidirectional: bool, proj_size: int, dtype: Any,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        if hidden_size < 1 or num_layers < 1:
            raise ValueError(f"{name}: hidden_size and num_layers are at least 1, not {hidden_size} and {num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout is a probability between 0 and 1, not {dropout}")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"{name}: proj_size is at least 0 and below hidden_size, not {proj_size}")
        self.kind = kind
        self.input_size, self.hidden_size, self.num_layers, self.proj_size = input_size, hidden_size, num_layers, proj_size
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        for layer in range(num_layers):
            size = input_size if layer == 0 else self.output_size * len(self.directions)
            for suffix in self.directions:
                make_weights(self, kind, (size, hidden_size, proj_size), bias, f"_l{layer}{suffix}", dtype)

    @property
    def directions(self) -> tuple[str, ...]:
        """What stands behind the names of the weights of each direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    @property
    def output_size(self) -> int:
        """The features that each direction gives."""
        return self.proj_size or self.hidden_size

    def run(self, input: Tensor, state: Sequence[Tensor] | Tensor | None, lengths: Tensor | None) -> tuple[Tensor, State]:
        """The output, and the last states of all layers and directions. Raises ShapeError or TypeRuleError for what does not fit."""
        self._check(input, lengths)
        if input.ndim == 2:
            held = state if state is None or isinstance(state, Tensor) else [expand_dims(x, 1) for x in state]
            output, last = self.run(expand_dims(input, 0 if self.batch_first else 1), held, lengths)
            return squeeze(output, 0 if self.batch_first else 1), tuple(squeeze(x, 1) for x in last)
        steps = AtLeast(0, 1)(swapaxes(input, 0, 1) if self.batch_first else input)
        output, last = self._layers(steps, self._initial(steps, state), lengths)
        return (swapaxes(output, 0, 1) if self.batch_first else output), last

    def _layers(self, output: Tensor, state: Sequence[Tensor], lengths: Tensor | None) -> tuple[Tensor, State]:
        ends: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for suffix in self.directions:
                first = tuple(x[len(ends)] for x in state)
                end, found = recur(self.kind, output, first, held_weights(self, f"_l{layer}{suffix}"), lengths, bool(suffix))
                ends.append(end)
                outputs.append(found)
            output = outputs[0] if len(outputs) == 1 else concatenate(outputs, -1)
            if layer + 1 < self.num_layers:
                output = dropout(output, self.dropout)
        return output, tuple(stack(parts) for parts in zip(*ends, strict=True))

    def _initial(self, steps: Tensor, state: Sequence[Tensor] | Tensor | None) -> Sequence[Tensor]:
        count = self.num_layers * len(self.directions)
        shapes = [(count, steps.shape[1], size) for size in (self.output_size, self.hidden_size)[: self.kind.states]]
        if state is None:
            return [full(shape, 0, steps.dtype) for shape in shapes]
        return check_states(state, shapes, steps, type(self).__name__)

    def _check(self, input: Tensor, lengths: Tensor | None) -> None:
        name = type(self).__name__
        if input.ndim not in (2, 3) or (isinstance(input.shape[-1], int) and input.shape[-1] != self.input_size):
            order = "N, L" if self.batch_first else "L, N"
            raise ShapeError(f"{name}: needs an input ({order}, {self.input_size}) or (L, {self.input_size}), got {describe(input)}")
        if lengths is not None and (lengths.ndim != 1 or not is_integer(lengths.dtype) or input.ndim != 3):
            raise TypeRuleError(f"{name}: lengths are integers, one for each sample of a batch, not {describe(lengths)}")

    def extra_repr(self) -> str:
        options = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False, "proj_size": 0}
        told = [f"{name}={getattr(self, name)}" for name, usual in options.items() if getattr(self, name) != usual]
        return ", ".join([str(self.input_size), str(self.hidden_size), *told])


class RNN(_Recurrent):
    """A plain recurrent network: h[t] = tanh(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh), or relu.

    Input (L, N, input_size), with `batch_first` (N, L, input_size), or (L, input_size); `hx` (layers * directions, N, hidden_size),
    zero by default. Gives the last layer's outputs, of both directions side by side, and the last states. The length may be symbolic.
    With `lengths` (N,) integers, what lies behind a sample's length has no effect, and its outputs are 0. Raises ShapeError for a
    length of zero (a symbolic one is refused by the call), an input or states of other sizes; TypeRuleError for other dtypes.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__(Plain(nonlinearity), input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, (h,) = self.run(input, None if hx is None else [hx], lengths)
        return output, h


class LSTM(_Recurrent):
    """Long short-term memory, with inputs and outputs as `RNN`, but for states (h, c); `proj_size` makes h smaller than c.

    Hochreiter, Schmidhuber 1997; with forget gates (Gers et al. 2000) and projections (Sak et al. 2014).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__(LongShortTerm(), input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, (h, c) = self.run(input, hx, lengths)
        return output, (h, c)


class GRU(_Recurrent):
    """Gated recurrent units, with inputs and outputs as `RNN`. Cho et al. 2014, with the reset gate behind the product, as PyTorch has it."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        super().__init__(Gated(), input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, (h,) = self.run(input, None if hx is None else [hx], lengths)
        return output, h
