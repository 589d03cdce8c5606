"""Reductions over axes, and running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.cumulative import CumProd, CumSum
from ...ops.shape import broadcast_to
from ...ops.source import full
from ...sizes import Dim, product
from ...types import is_floating
from ..registry import Call, translates

Reduce = Callable[..., Tensor]


def _entered(name: str, reduce: Reduce) -> None:
    """Enter a reduction. Axes are an attribute before opset 18 (13 for ReduceSum), then an input; without any, all are meant."""

    def translator(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
        listed = call.ints(1, "axes")
        if not listed and call.attribute("noop_with_empty_axes", 0):
            return reduce(x, axis=(), keepdims=True)
        chosen = tuple(range(x.ndim)) if not listed else tuple(normalize_axis(axis, x.ndim) for axis in listed)
        return reduce(x, axis=chosen, keepdims=bool(call.attribute("keepdims", 1)))

    translates(name)(translator)


def _extremum(name: str, lowest: bool) -> Reduce:
    def reduce(x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
        if product(x.shape[k] for k in axis) == 0:
            return _of_nothing(x, axis, keepdims, lowest)
        if x.dtype == "bool":
            return FUNCTIONS[name](x.astype("uint8"), axis=axis, keepdims=keepdims).astype("bool")
        return FUNCTIONS[name](x, axis=axis, keepdims=keepdims)

    return reduce


def _of_nothing(x: Tensor, axis: tuple[int, ...], keepdims: bool, lowest: bool) -> Tensor:
    """The extremum of no elements: the bound of the dtype."""
    import numpy as np

    from ...types import numpy_dtype

    shape: list[Dim] = [1 if k in axis else size for k, size in enumerate(x.shape) if keepdims or k not in axis]
    if is_floating(x.dtype):
        return full(shape, -float("inf") if lowest else float("inf"), x.dtype)
    if x.dtype == "bool":
        return full(shape, not lowest, "bool")
    limits = np.iinfo(numpy_dtype(x.dtype))
    return full(shape, int(limits.min if lowest else limits.max), x.dtype)


def _sum(x: Tensor, **over: Any) -> Tensor:
    return FUNCTIONS["sum"](x, **over)


def _mean(x: Tensor, **over: Any) -> Tensor:
    return FUNCTIONS["mean"](x if is_floating(x.dtype) else x.astype("float64"), **over).astype(x.dtype)


def _root(x: Tensor) -> Tensor:
    return FUNCTIONS["sqrt"](x if is_floating(x.dtype) else x.astype("float64")).astype(x.dtype)


def _log(x: Tensor) -> Tensor:
    return FUNCTIONS["log"](x if is_floating(x.dtype) else x.astype("float64")).astype(x.dtype)


def _log_sum_exp(x: Tensor, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    if product(x.shape[k] for k in axis) == 0:
        return _of_nothing(x, axis, keepdims, lowest=True)
    wide = x if is_floating(x.dtype) else x.astype("float64")
    return (FUNCTIONS["logsumexp"](wide, axis=axis, keepdims=keepdims) if axis else wide).astype(x.dtype)


_REDUCTIONS: dict[str, Reduce] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceProd": FUNCTIONS["prod"],
    "ReduceMax": _extremum("max", lowest=True),
    "ReduceMin": _extremum("min", lowest=False),
    "ReduceL1": lambda x, **over: _sum(abs(x), **over),
    "ReduceL2": lambda x, **over: _root(_sum(x * x, **over)),
    "ReduceSumSquare": lambda x, **over: _sum(x * x, **over),
    "ReduceLogSum": lambda x, **over: _log(_sum(x, **over)),
    "ReduceLogSumExp": _log_sum_exp,
}
for _name, _reduce in _REDUCTIONS.items():
    _entered(_name, _reduce)


@translates("ArgMax", "ArgMin")
def _arg(call: Call, x: Tensor) -> Tensor:
    # `select_last_index` since opset 12: then the axis is read from its end.
    function = FUNCTIONS[call.op.lower()]
    axis = normalize_axis(call.attribute("axis", 0), x.ndim)
    keepdims = bool(call.attribute("keepdims", 1))
    if not call.attribute("select_last_index", 0):
        return function(x, axis=axis, keepdims=keepdims)
    last: Tensor = full((), x.shape[axis] - 1, "int64")
    return last - function(FUNCTIONS["flip"](x, axis), axis=axis, keepdims=keepdims)


@translates("CumSum", "CumProd")
def _cumulative(call: Call, x: Tensor, axis: Tensor) -> Tensor:
    along = normalize_axis(int(call.number(1, "the axis", 0)), x.ndim)
    kind = CumSum if call.op == "CumSum" else CumProd
    return kind(along, bool(call.attribute("exclusive", 0)), bool(call.attribute("reverse", 0)))(x)


__all__ = ["broadcast_to"]
