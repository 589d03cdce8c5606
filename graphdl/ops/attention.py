"""Attention: every query's mean of the values, weighted by how well the keys fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ..constraints import unify
from ..errors import ShapeError, TypeRuleError
from ..ir import Tensor
from ..op import Array, Op, Sample, sample_array
from ..record import record
from ..sizes import Dim
from ..types import Shape, TensorType, is_floating, numpy_dtype
from .dropout import Dropout
from .matmul import Matmul
from .select import Where
from .shape import broadcast_to, reshape, swapaxes
from .softmax import softmax
from .source import Iota, full


@record
class Attention(Op):
    """softmax(scale Q Kᵀ + mask) V. Vaswani et al. 2017, section 3.2.1.

    Operands are query (..., H, L, E), key (..., G, S, E) and value (..., G, S, V); with `masked` a mask of the same rank whose
    axes are 1 or those of the weights (..., H, L, S); with `dropout` uint32 random bits (..., H, L, S). The result is (..., H, L, V).
    G divides H: query head h reads key head h // (H / G) (Ainslie et al. 2023). A boolean mask tells which keys a query sees, a
    floating one is added. With `is_causal` query i sees the keys up to i + offset only. A query that sees no key gets zeros.
    """

    name: ClassVar[str] = "attention"
    is_causal: bool
    scale: float
    masked: bool = False
    dropout: float = 0.0
    offset: int = 0

    def infer(self, *operands: TensorType) -> TensorType:
        query, key, value = operands[:3]
        if query.rank < 3 or not is_floating(query.dtype) or any(x.rank != query.rank or x.dtype != query.dtype for x in (key, value)):
            raise TypeRuleError(f"needs query, key and value of one floating dtype and one rank of at least 3, got {query}, {key} and {value}")
        lead = [unify(unify(a, b, "leading axes"), c, "leading axes") for a, b, c in zip(query.shape[:-3], key.shape[:-3], value.shape[:-3], strict=True)]
        heads, length = query.shape[-3:-1]
        groups = unify(key.shape[-3], value.shape[-3], f"the heads of {key} and of {value}")
        unify(query.shape[-1], key.shape[-1], f"the features of {query} and of {key}")
        keys = unify(key.shape[-2], value.shape[-2], f"the lengths of {key} and of {value}")
        if not isinstance(heads, int) or not isinstance(groups, int):
            unify(heads, groups, f"the heads of {query} and of {key}")
        elif groups == 0 or heads % groups:
            raise ShapeError(f"{groups} heads of keys do not divide {heads} heads of queries")
        self._check_extras(operands[3:], query.dtype, (*lead, heads, length, keys))
        return query.with_shape((*lead, heads, length, value.shape[-1]))

    def _check_extras(self, extras: Sequence[TensorType], dtype: str, weights: Shape) -> None:
        """Check the mask and the random bits against the shape of the weights."""
        if len(extras) != self.masked + (self.dropout > 0):
            raise TypeRuleError(f"{len(extras)} operands besides query, key and value")
        if self.masked:
            mask = extras[0]
            if mask.dtype not in ("bool", dtype) or mask.rank != len(weights):
                raise TypeRuleError(f"a mask is bool or {dtype} and fits weights of shape ({', '.join(map(str, weights))}), not {mask}")
            for own, size in zip(mask.shape, weights, strict=True):
                if own != 1:
                    unify(own, size, f"an axis of the mask {mask} and of the weights ({', '.join(map(str, weights))})")
        if self.dropout and (extras[-1].dtype != "uint32" or extras[-1].rank != len(weights)):
            raise TypeRuleError(f"dropout needs uint32 bits for weights of shape ({', '.join(map(str, weights))}), not {extras[-1]}")

    def evaluate(self, *operands: Array) -> Array:
        query, key, value = operands[:3]
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (np.repeat(x, repeats, axis=-3) for x in (key, value))
        scores = np.einsum("...le,...se->...ls", query, key) * query.dtype.type(self.scale)
        scores = scores if not self.masked else np.where(operands[3], scores, -np.inf) if operands[3].dtype == bool else scores + operands[3]
        if self.is_causal:
            scores = np.where(np.tri(scores.shape[-2], scores.shape[-1], self.offset) > 0, scores, -np.inf)
        highest = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
        weights = np.exp(scores - np.where(highest == -np.inf, 0, highest))
        total = weights.sum(axis=-1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
        if self.dropout:
            weights = Dropout(self.dropout).evaluate(weights.astype(query.dtype), operands[-1])
        return np.asarray(np.einsum("...ls,...sv->...lv", weights, value), query.dtype)

    # -- as other ops -------------------------------------------------------------------------------------------

    def expand(self, *operands: Tensor) -> Tensor | None:
        value = operands[2]
        kept = self._dropped(self.weights(*operands), operands)
        return reshape(Matmul()(_grouped(kept, value), value), (*kept.shape[:-1], value.shape[-1]))

    def weights(self, *operands: Tensor) -> Tensor:
        """softmax(scale Q Kᵀ + mask), before dropout: (..., H, L, S)."""
        query, key = operands[:2]
        products = Matmul()(_grouped(query, key), swapaxes(key, -1, -2))
        scores: Tensor = reshape(products, (*query.shape[:-1], key.shape[-2])) * self.scale
        mask = broadcast_to(operands[3], scores.shape) if self.masked else None
        if mask is not None and mask.dtype != "bool":
            scores = scores + mask
        visible = self._visible(mask, scores.shape)
        if visible is None:
            return softmax(scores)
        # The least finite number, not -inf: a row without any key has no maximum, and its NaN would pass through `where` when differentiated.
        lowest = full(scores.shape, float(_lowest(scores.dtype)), scores.dtype)
        return Where()(visible, softmax(Where()(visible, scores, lowest)), full(scores.shape, 0, scores.dtype))

    def _visible(self, mask: Tensor | None, shape: Shape) -> Tensor | None:
        """Which keys each query sees; None for all."""
        seen = mask if mask is None or mask.dtype == "bool" else mask > float("-inf")
        if not self.is_causal:
            return seen
        own: Tensor = Iota(shape, len(shape) - 2, "int64")()
        before: Tensor = Iota(shape, len(shape) - 1, "int64")() <= (own + self.offset if self.offset else own)
        return before if seen is None else before & seen

    def _dropped(self, weights: Tensor, operands: Sequence[Tensor]) -> Tensor:
        return Dropout(self.dropout)(weights, operands[-1]) if self.dropout else weights

    def inference(self, *operands: Tensor) -> Tensor | None:
        return replace(self, dropout=0.0)(*operands[:-1]) if self.dropout else None

    def vjp(self, cotangent: Tensor, output: Tensor, *operands: Tensor) -> Sequence[Tensor | None]:
        # With P the weights: dV = Pᵀ dO, dP = dO Vᵀ, dS = P (dP - sum P dP), where the sum is that of O dO
        # (Dao et al. 2022, section B.2), also with dropout, which passes to dP what it passed of P.
        query, key, value = operands[:3]
        weights = self.weights(*operands)
        kept = self._dropped(weights, operands)
        given = _grouped(cotangent, value)
        by_kept = reshape(Matmul()(given, swapaxes(value, -1, -2)), weights.shape)
        by_weights = self._dropped(by_kept, operands)
        by_scores: Tensor = weights * (by_weights - (cotangent * output).sum(axis=-1, keepdims=True))
        by_products = _grouped(by_scores * self.scale, key)
        found: list[Tensor | None] = [
            reshape(Matmul()(by_products, key), query.shape),
            Matmul()(swapaxes(by_products, -1, -2), _grouped(query, key)),
            Matmul()(swapaxes(_grouped(kept, value), -1, -2), given),
        ]
        if self.masked:
            found.append(_summed_to(by_scores, operands[3]) if operands[3].dtype != "bool" else None)
        return [*found, *[None] * bool(self.dropout)]

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        def projected(heads: int, groups: int, length: int, keys: int) -> tuple[Array, Array, Array]:
            shapes = (2, heads, length, 4), (2, groups, keys, 4), (2, groups, keys, 3)
            query, key, value = (sample_array(*shape, seed=k) for k, shape in enumerate(shapes))
            return query, key, value

        bits = np.random.default_rng(1).integers(0, 2**32, (2, 2, 3, 5), "uint32")
        seen = sample_array(2, 1, 3, 5, dtype="bool")
        seen[0, 0, 1] = False
        yield Sample(cls(False, 0.5), projected(2, 2, 3, 5))
        yield Sample(cls(True, 0.7), projected(4, 2, 5, 3))
        yield Sample(cls(True, 0.7, offset=2), projected(2, 2, 3, 5))
        yield Sample(cls(True, 0.7, offset=-1), projected(2, 2, 3, 5))
        yield Sample(cls(False, 0.5, True), (*projected(2, 1, 3, 5), seen), (0, 1, 2))
        yield Sample(cls(True, 0.5, True), (*projected(2, 1, 3, 5), np.where(seen, 0.3, -np.inf)), (0, 1, 2))
        yield Sample(cls(False, 0.5, True, 0.3), (*projected(2, 2, 3, 5), sample_array(1, 2, 1, 5), bits), (0, 1, 2, 3))
        yield Sample(cls(False, 1.0), (sample_array(1, 1, 4), sample_array(1, 2, 4), sample_array(1, 2, 1)))


def _grouped(x: Tensor, like: Tensor) -> Tensor:
    """x (..., H, L, n) with the heads that read one head of `like` (..., G, S, m) in one: (..., G, H / G * L, n)."""
    groups = like.shape[-3]
    if x.shape[-3] == groups:
        return x
    return reshape(x, (*x.shape[:-3], groups, _repeats(x.shape[-3], groups) * x.shape[-2], x.shape[-1]))


def _repeats(heads: Dim, groups: Dim) -> int:
    return heads // groups if isinstance(heads, int) and isinstance(groups, int) else 1


def _summed_to(x: Tensor, like: Tensor) -> Tensor:
    """x summed over the axes along which `like`, of the same rank, has size 1."""
    axes = tuple(k for k, (own, size) in enumerate(zip(like.shape, x.shape, strict=True)) if own == 1 and size != 1)
    return x.sum(axis=axes, keepdims=True) if axes else x


def _lowest(dtype: str) -> Any:
    if dtype == "bfloat16":
        return -3.3895313892515355e38
    return np.finfo(numpy_dtype(dtype)).min
