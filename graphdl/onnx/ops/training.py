"""One step of an optimiser: the domain ai.onnx.preview.training."""

from __future__ import annotations

from ...errors import FormatError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...ops.select import where
from ..registry import Call, translates

DOMAIN = "ai.onnx.preview.training"


def _groups(tensors: tuple[Tensor, ...], kinds: int) -> list[tuple[Tensor, ...]]:
    """For every parameter its value, gradient and states, which are listed kind by kind."""
    count, rest = divmod(len(tensors), kinds)
    if rest:
        raise FormatError(f"{len(tensors)} tensors are no {kinds} for each parameter")
    return [tensors[k::count] for k in range(count)]


def _columns(rows: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(one for column in zip(*rows, strict=True) for one in column)


@translates("Adagrad", domain=DOMAIN)
def _adagrad(call: Call, rate: Tensor, step: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Duchi, Hazan, Singer 2011."""
    speed = rate / (1 + step.astype(rate.dtype) * call.attribute("decay_factor", 0.0))

    def one(x: Tensor, gradient: Tensor, squares: Tensor) -> tuple[Tensor, ...]:
        slope = gradient + x * call.attribute("norm_coefficient", 0.0)
        total = squares + slope * slope
        return x - speed * slope / (FUNCTIONS["sqrt"](total) + call.attribute("epsilon", 0.0)), total

    return _columns([one(*group) for group in _groups(tensors, 3)])


@translates("Adam", domain=DOMAIN)
def _adam(call: Call, rate: Tensor, step: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Kingma, Ba 2015."""
    alpha, beta = call.attribute("alpha", 0.9), call.attribute("beta", 0.999)
    count = step.astype(rate.dtype)
    corrected = rate * FUNCTIONS["sqrt"](1 - beta**count) / (1 - alpha**count)
    speed = where(step > 0, corrected, rate)

    def one(x: Tensor, gradient: Tensor, mean: Tensor, square: Tensor) -> tuple[Tensor, ...]:
        slope = gradient + x * call.attribute("norm_coefficient", 0.0)
        mean = mean * alpha + slope * (1 - alpha)
        square = square * beta + slope * slope * (1 - beta)
        new = x - speed * mean / (FUNCTIONS["sqrt"](square) + call.attribute("epsilon", 0.0))
        return new * (1 - call.attribute("norm_coefficient_post", 0.0)), mean, square

    return _columns([one(*group) for group in _groups(tensors, 4)])


@translates("Momentum", domain=DOMAIN)
def _momentum(call: Call, rate: Tensor, step: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    alpha, mode = call.required("alpha"), call.required("mode")
    fresh = where(step > 0, call.required("beta"), 1.0)

    def one(x: Tensor, gradient: Tensor, speed: Tensor) -> tuple[Tensor, ...]:
        slope = gradient + x * call.attribute("norm_coefficient", 0.0)
        speed = speed * alpha + slope * fresh
        return x - rate * (slope + speed * alpha if mode == "nesterov" else speed), speed

    return _columns([one(*group) for group in _groups(tensors, 3)])
