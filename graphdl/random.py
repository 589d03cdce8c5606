"""Random tensors: `gd.random.seed`, `bits`, `uniform`, `normal`, `bernoulli`.

Numbers are drawn from a state, a parameter named `random.state` that holds (seed, step). A program in training adds
one to the step at every call, so that calls differ; the same seed gives the same numbers again, on every machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import TypeRuleError
from .ir import Tensor, as_tensor
from .ir.node import FUNCTIONS
from .ops.random_bits import RandomState, default_state
from .types import as_shape, dtype_name

# The bits of a random fraction, as many as the dtype's significand has.
_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


class _Initial:
    """The streams from which parameters get their initial values, one after the other."""

    seeds = np.random.SeedSequence(0)


def seed(number: int) -> None:
    """Start again with `number`: the default state at step 0 (stream numbers go on), and the initial values of parameters."""
    default_state().seed(number)
    _Initial.seeds = np.random.SeedSequence(number)


def initial_values() -> np.random.Generator:
    """The generator of the next parameter's initial values: the same seed and order of declaration give the same ones, whenever they are drawn."""
    return np.random.Generator(np.random.Philox(_Initial.seeds.spawn(1)[0]))


def bits(shape: Any, state: RandomState | None = None) -> Tensor:
    """uint32 numbers, all values alike. Every call is a stream of its own."""
    return (state or default_state()).bits(shape)


def uniform(shape: Any = (), low: float = 0.0, high: float = 1.0, dtype: Any = "float32", state: RandomState | None = None) -> Tensor:
    """Numbers in [low, high), all alike: multiples of (high - low) / 2**24 for float32, / 2**53 for float64.

    Raises TypeRuleError for a dtype that is not floating.
    """
    fraction = _fraction(shape, dtype_name(dtype), state)
    return fraction * (high - low) + low


def normal(shape: Any = (), mean: float = 0.0, std: float = 1.0, dtype: Any = "float32", state: RandomState | None = None) -> Tensor:
    """Normally distributed numbers, by the transform of Box and Muller (1958)."""
    name = dtype_name(dtype)
    radius = FUNCTIONS["sqrt"](-2.0 * FUNCTIONS["log"](1.0 - _fraction(shape, name, state)))
    angle = FUNCTIONS["cos"]((2 * math.pi) * _fraction(shape, name, state))
    result: Tensor = radius * angle * std + mean
    return result


def bernoulli(p: Any, shape: Any = None, state: RandomState | None = None) -> Tensor:
    """True with probability `p`, a number or a tensor, whose shape is the default. To a resolution of 2**-24."""
    chance = as_tensor(p)
    return uniform(chance.shape if shape is None else shape, state=state) < chance


def _fraction(shape: Any, dtype: str, state: RandomState | None) -> Tensor:
    """Numbers in [0, 1) with as many random bits as the dtype holds."""
    if dtype not in _DIGITS:
        raise TypeRuleError(f"random fractions are floating, not {dtype}: draw bits, or cast the result")
    digits, sizes = _DIGITS[dtype], as_shape(shape)
    if digits <= 32:
        return _top(sizes, digits, state).astype(dtype) * 2.0**-digits  # type: ignore[no-any-return]
    high, low = _top(sizes, 27, state).astype(dtype), _top(sizes, digits - 27, state).astype(dtype)
    result: Tensor = high * 2.0**-27 + low * 2.0**-digits
    return result


def _top(shape: Any, count: int, state: RandomState | None) -> Tensor:
    """The highest `count` bits of random numbers."""
    result: Tensor = FUNCTIONS["right_shift"](bits(shape, state), 32 - count)
    return result
