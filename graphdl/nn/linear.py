"""Layers that are linear in each input, and those that only change the shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..errors import ShapeError
from ..ir import Tensor
from ..op import normalize_axis
from ..ops.elementwise import describe
from ..ops.matmul import matmul
from ..ops.shape import expand_dims, flatten, reshape, transpose
from ..sizes import Dim
from . import init
from .module import Module


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`, for input (..., in), weight (out, in), bias (out,). Raises ShapeError."""
    if weight.ndim != 2 or (input.ndim and isinstance(input.shape[-1], int) and input.shape[-1] != weight.shape[1]):
        raise ShapeError(f"linear: the input {describe(input)} needs {weight.shape[-1]} features on its last axis for the weight {weight.type}")
    product = matmul(input, transpose(weight))
    return product if bias is None else product + bias


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input1 W_k input2 + bias_k` for inputs (..., in1) and (..., in2), weight (out, in1, in2): shape (..., out)."""
    inputs1, inputs2 = weight.shape[1], weight.shape[2]
    spread = transpose(reshape(weight, (-1, inputs2)))
    right = reshape(matmul(input2, spread), (*input2.shape[:-1], weight.shape[0], inputs1))
    result: Tensor = (right * expand_dims(input1, -2)).sum(axis=-1)
    return result if bias is None else result + bias


class Linear(Module):
    """y = x Wᵀ + b, on the last axis. `weight` is (out_features, in_features), `bias` (out_features,).

    Both start uniform in ±1/√in_features, as PyTorch's do.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: Any = "float32") -> None:
        self.in_features = in_features
        self.out_features = out_features
        bound = 1 / math.sqrt(in_features) if in_features else 0.0
        self.weight = init.uniform_(init.blank("weight", (out_features, in_features), dtype), -bound, bound)
        self.bias = init.uniform_(init.blank("bias", (out_features,), dtype), -bound, bound) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y_k = x1 W_k x2 + b_k. `weight` is (out_features, in1_features, in2_features), `bias` (out_features,)."""

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, dtype: Any = "float32") -> None:
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        bound = 1 / math.sqrt(in1_features)
        self.weight = init.uniform_(init.blank("weight", (out_features, in1_features, in2_features), dtype), -bound, bound)
        self.bias = init.uniform_(init.blank("bias", (out_features,), dtype), -bound, bound) if bias else None

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class Identity(Module):
    """The input itself; any arguments are taken and forgotten."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        return input


class Flatten(Module):
    """The axes from `start_dim` to `end_dim` made one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """The axis `dim` split into `unflattened_size`, of which one may be -1."""

    def __init__(self, dim: int, unflattened_size: Sequence[Dim]) -> None:
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        axis = normalize_axis(self.dim, input.ndim)
        return reshape(input, (*input.shape[:axis], *self.unflattened_size, *input.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
