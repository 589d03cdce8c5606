"""Embedding: a row of a matrix for every index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..ops.elementwise import describe
from ..ops.indexing import Take
from ..ops.select import stop_gradient, where
from ..ops.shape import expand_dims
from ..ops.source import parameter
from ..sizes import Dim
from ..types import is_integer
from . import init
from .module import Module


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight` (rows, features) at the integer indices `input` (...): shape (..., features).

    The row `padding_idx` gets no gradient. Raises TypeRuleError for indices that are not integers; an index outside the
    rows, a negative one too, is an error of the call.
    """
    if not is_integer(input.dtype):
        raise TypeRuleError(f"embedding: the indices {describe(input)} must be integers")
    rows = Take(0, wraps=False)(weight, input)
    if padding_idx is None:
        return rows
    return where(expand_dims(input == _padding(padding_idx, weight), -1), stop_gradient(rows), rows)


def one_hot(input: Tensor, num_classes: Dim) -> Tensor:
    """1 at each index along a new last axis of `num_classes`, 0 elsewhere: int64, as in PyTorch; the size must be told."""
    return input.one_hot(num_classes, "int64")


def _padding(index: int, weight: Tensor) -> int:
    rows = weight.shape[0]
    if not isinstance(rows, int) or not -rows <= index < rows:
        raise ShapeError(f"embedding: padding_idx {index} is no row of {weight.type}")
    return index % rows


class Embedding(Module):
    """`embedding` with a learned weight (num_embeddings, embedding_dim), normal at first, its padding row zero."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, dtype: Any = "float32") -> None:
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = init.normal_(init.blank("weight", (num_embeddings, embedding_dim), dtype))
        self.padding_idx = padding_idx if padding_idx is None else _padding(padding_idx, self.weight)
        if self.padding_idx is not None:
            self.weight.value[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: Any, padding_idx: int | None = None) -> Embedding:
        """An embedding that starts from the matrix `embeddings`. Leave its weight out of the parameters to freeze it."""
        weight = parameter(np.asarray(embeddings), "weight")
        made = cls(0, 0, dtype=weight.dtype)
        made.num_embeddings, made.embedding_dim = weight.value.shape
        made.weight = weight
        made.padding_idx = padding_idx if padding_idx is None else _padding(padding_idx, weight)
        return made

    def forward(self, input: Tensor) -> Tensor:
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
