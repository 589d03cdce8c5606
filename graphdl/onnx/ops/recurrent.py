"""RNN, GRU and LSTM: both directions, lengths, peepholes, clipping and any activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import FormatError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.activation import sigmoid, softsign
from ...ops.join import split, stack
from ...ops.matmul import matmul
from ...ops.rectifier import elu, leaky_relu, relu
from ...ops.select import where
from ...ops.shape import reshape, transpose
from ...ops.source import full
from ...record import record
from ..registry import Call, translates

State = tuple[Tensor, ...]
Activation = Callable[[Tensor], Tensor]
Product = Callable[[Tensor], Tensor]
Products = tuple[Product, Product, Tensor | None]

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_USUAL = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
# Activations by name, with the usual values of alpha and beta where they have them.
_ACTIVATIONS: dict[str, tuple[Callable[..., Tensor], tuple[float, ...]]] = {
    "tanh": (FUNCTIONS["tanh"], ()),
    "sigmoid": (sigmoid, ()),
    "relu": (relu, ()),
    "softsign": (softsign, ()),
    "softplus": (FUNCTIONS["softplus"], ()),
    "leakyrelu": (leaky_relu, (0.01,)),
    "thresholdedrelu": (lambda x, a: where(x > a, x, 0.0), (1.0,)),
    "elu": (elu, (1.0,)),
    "affine": (lambda x, a, b: x * a + b, (1.0, 0.0)),
    "scaledtanh": (lambda x, a, b: FUNCTIONS["tanh"](x * b) * a, (1.0, 1.0)),
    "hardsigmoid": (lambda x, a, b: FUNCTIONS["clip"](x * a + b, 0.0, 1.0), (0.2, 0.5)),
}


@record
class Weights:
    """One direction's weights: products with those of the input and of the state, (..., n) -> (..., gates), the weights of the state
    (gates, hidden) themselves where they are floats, the biases of both, and the peepholes."""

    of_input: Product
    of_state: Product
    r: Tensor | None
    input_bias: Tensor | None
    state_bias: Tensor | None
    peepholes: Sequence[Tensor] | None


@translates("RNN", "GRU", "LSTM")
def _recurrent(call: Call, x: Tensor, w: Tensor, r: Tensor, bias: Tensor | None = None, lengths: Tensor | None = None, *state: Tensor | None) -> Any:
    products: list[Products] = [(_times(w[k]), _times(r[k]), r[k]) for k in range(len(directions(call)))]
    return recurrent(call, x, products, bias, lengths, *state)


def _times(w: Tensor) -> Product:
    return lambda x: matmul(x, transpose(w))


def recurrent(call: Call, x: Tensor, products: Sequence[Products], bias: Tensor | None, lengths: Tensor | None, *state: Tensor | None) -> Any:
    """The results of a recurrent node, given the first three fields of every direction's `Weights`."""
    # `layout` since opset 14: 1 puts the batch first.
    initial, peepholes = list((*state, None, None)[:2]), (*state, None, None, None)[2]
    if call.op != "LSTM":
        initial = initial[:1]
    first = bool(call.attribute("layout", 0))
    if first:
        x = transpose(x, (1, 0, 2))
        initial = [None if one is None else transpose(one, (1, 0, 2)) for one in initial]
    activations = _activations(call, directions(call))
    hidden = call.required("hidden_size")
    runs = []
    for k, reverse in enumerate(directions(call)):
        gates: tuple[Tensor | None, ...] = (None, None) if bias is None else tuple(split(bias[k], 2))
        peeps = None if peepholes is None else split(peepholes[k], 3)
        weights = Weights(*products[k], gates[0], gates[1], peeps)
        starts = [full((x.shape[1], hidden), 0, x.dtype) if one is None else one[k] for one in initial]
        runs.append(_run(call, x, weights, activations[k], tuple(starts), lengths, reverse=reverse))
    every = stack([ys for ys, _ in runs], 1)
    ends = [stack([last[k] for _, last in runs], 0) for k in range(len(initial))]
    if first:
        every, ends = transpose(every, (2, 0, 1, 3)), [transpose(one, (1, 0, 2)) for one in ends]
    return (every, *ends)


def directions(call: Call) -> tuple[bool, ...]:
    """For every direction, whether it goes from the end."""
    found = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    name = call.attribute("direction", "forward")
    if name not in found:
        raise FormatError(f"the direction {name!r} is not one of {', '.join(found)}")
    return found[name]


def _activations(call: Call, directions: Sequence[bool]) -> list[list[Activation]]:
    """The functions f, g, h of every direction; alphas and betas are taken in order by those that have them."""
    usual = _USUAL[call.op]
    names = call.attribute("activations", usual * len(directions))
    alphas, betas = list(call.attribute("activation_alpha", ())), list(call.attribute("activation_beta", ()))
    made: list[Activation] = []
    for name in names:
        if name.lower() not in _ACTIVATIONS:
            raise FormatError(f"the activation {name!r} is not one of {', '.join(_ACTIVATIONS)}")
        function, options = _ACTIVATIONS[name.lower()]
        given = [listed.pop(0) if listed else option for listed, option in zip((alphas, betas), options, strict=False)]
        made.append(lambda z, function=function, given=given: function(z, *given))  # type: ignore[misc]
    if len(made) != len(usual) * len(directions):
        raise FormatError(f"{len(made)} activations are given, {len(usual) * len(directions)} are needed")
    return [made[k * len(usual) : (k + 1) * len(usual)] for k in range(len(directions))]


def _run(call: Call, x: Tensor, weights: Weights, functions: Sequence[Activation], state: State, lengths: Tensor | None, *, reverse: bool) -> Any:
    """The hidden states (T, N, H) of one direction and its last state. Beyond a sequence's length the state stays and 0 is put out."""
    projected = weights.of_input(x)
    projected = projected if weights.input_bias is None else projected + weights.input_bias
    cell = _CELLS[call.op]
    limit = call.attribute("clip")
    bounded = [_clipped(function, limit) for function in functions]
    alive = None if lengths is None else reshape(FUNCTIONS["arange"](x.shape[0]), (x.shape[0], 1, 1)) < reshape(lengths.astype("int64"), (1, -1, 1))

    def step(before: State, now: Any) -> tuple[State, Tensor]:
        gates, lives = now if alive is not None else (now, None)
        after = cell(call, gates, weights, bounded, before)
        if lives is None:
            return after, after[0]
        kept = tuple(where(lives, new, old) for new, old in zip(after, before, strict=True))
        return kept, where(lives, after[0], 0.0)

    last, ys = FUNCTIONS["scan"](step, state, projected if alive is None else (projected, alive), reverse=reverse)
    return ys, last


def _clipped(function: Activation, limit: float | None) -> Activation:
    return function if limit is None else lambda z: function(FUNCTIONS["clip"](z, -limit, limit))


def _plus(x: Tensor, y: Tensor | None) -> Tensor:
    return x if y is None else x + y


def _rnn(call: Call, gates: Tensor, weights: Weights, functions: Sequence[Activation], state: State) -> State:
    return (functions[0](_plus(gates + weights.of_state(state[0]), weights.state_bias)),)


def _gru(call: Call, gates: Tensor, weights: Weights, functions: Sequence[Activation], state: State) -> State:
    """Gates in the order z, r, h. With `linear_before_reset` the reset gate scales the product, else the state before it."""
    (h,) = state
    f, g = functions
    hidden = h.shape[-1]
    whole = _plus(weights.of_state(h), weights.state_bias)
    z = f(gates[:, :hidden] + whole[:, :hidden])
    reset = f(gates[:, hidden : 2 * hidden] + whole[:, hidden : 2 * hidden])
    if call.attribute("linear_before_reset", 0):
        inner = reset * whole[:, 2 * hidden :]
    else:
        bias = None if weights.state_bias is None else weights.state_bias[2 * hidden :]
        assert weights.r is not None
        inner = _plus(matmul(reset * h, transpose(weights.r[2 * hidden :])), bias)
    new = g(gates[:, 2 * hidden :] + inner)
    return ((1 - z) * new + z * h,)


def _lstm(call: Call, gates: Tensor, weights: Weights, functions: Sequence[Activation], state: State) -> State:
    """Gates in the order i, o, f, c; peepholes in the order i, o, f."""
    h, c = state
    f, g, last = functions
    total = _plus(gates + weights.of_state(h), weights.state_bias)
    i, o, forget, new = split(total, 4, -1)
    peeps = weights.peepholes
    i = f(i if peeps is None else i + peeps[0] * c)
    forget = 1 - i if call.attribute("input_forget", 0) else f(forget if peeps is None else forget + peeps[2] * c)
    cell = forget * c + i * g(new)
    o = f(o if peeps is None else o + peeps[1] * cell)
    return o * last(cell), cell


_CELLS: dict[str, Callable[..., State]] = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}
