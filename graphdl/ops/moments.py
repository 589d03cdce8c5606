"""Mean, variance and standard deviation over axes."""

from __future__ import annotations

from typing import Any

from ..ir import Tensor, as_tensor
from ..op import function, normalize_axes
from ..sizes import Dim, product
from ..types import is_floating
from .reduction import Axes, sum_
from .source import full


@function
def mean(x: Any, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean over `axis`; integers and bools give float64."""
    tensor = as_tensor(x)
    values = tensor if is_floating(tensor.dtype) else tensor.astype("float64")
    total = sum_(values, axis, keepdims)
    return total / full(total.shape, _count(tensor, axis), total.dtype)


@function
def var(x: Any, axis: Axes = None, keepdims: bool = False, correction: int = 0) -> Tensor:
    """The mean squared distance from the mean over `axis`, divided by the count less `correction`."""
    tensor = as_tensor(x)
    values = tensor if is_floating(tensor.dtype) else tensor.astype("float64")
    centred = values - mean(values, axis, keepdims=True)
    total = sum_(centred * centred, axis, keepdims)
    return total / full(total.shape, _count(tensor, axis) - correction, total.dtype)


@function
def std(x: Any, axis: Axes = None, keepdims: bool = False, correction: int = 0) -> Tensor:
    """The square root of the variance."""
    return var(x, axis, keepdims, correction).sqrt()


def _count(x: Tensor, axis: Axes) -> Dim:
    return product(x.shape[k] for k in normalize_axes(axis, x.ndim))
