"""Random numbers: drawn from graphdl's own state, so that `gd.random.seed` makes them repeat; the attribute `seed` is not read."""

from __future__ import annotations

from collections.abc import Sequence

from ... import random
from ...ir import Tensor
from ...ops.cumulative import CumSum
from ...ops.shape import expand_dims
from ...ops.softmax import softmax
from ...sizes import Dim
from ...types import is_floating
from ..elements import element_name
from ..registry import Call, translates


@translates("RandomUniform", "RandomNormal")
def _random(call: Call) -> Tensor:
    return _drawn(call, tuple(call.required("shape")), element_name(call.attribute("dtype", 1)))


@translates("RandomUniformLike", "RandomNormalLike")
def _random_like(call: Call, x: Tensor) -> Tensor:
    own = x.dtype if is_floating(x.dtype) else "float32"
    return _drawn(call, x.shape, element_name(call.attributes["dtype"]) if "dtype" in call.attributes else own)


def _drawn(call: Call, shape: Sequence[Dim], dtype: str) -> Tensor:
    if "Uniform" in call.op:
        return random.uniform(shape, call.attribute("low", 0.0), call.attribute("high", 1.0), dtype)
    return random.normal(shape, call.attribute("mean", 0.0), call.attribute("scale", 1.0), dtype)


@translates("Multinomial")
def _multinomial(call: Call, x: Tensor) -> Tensor:
    """Classes drawn by their logarithmic probabilities: how many sums of probabilities lie below a random number."""
    sums = CumSum(1)(softmax(x.astype("float32"), 1))
    draws = random.uniform((x.shape[0], call.attribute("sample_size", 1)))
    below = expand_dims(sums[:, :-1], 1) <= expand_dims(draws, 2)
    return below.astype("int64").sum(axis=2).astype(element_name(call.attribute("dtype", 6)))
