"""The keys and values of all positions so far, kept between the calls of a program."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ...errors import ShapeError
from ...ir import Tensor
from ...ops.elementwise import describe
from ...ops.pad import Pad
from ...ops.select import where
from ...ops.shape import broadcast_to, expand_dims
from ...ops.source import Iota, arange, parameter
from ...sizes import Dim
from ...types import Shape, numpy_dtype


class KeyValueCache:
    """Arrays (batch, heads, length, features) of keys and of values for each layer, as state that programs update in place.

    Layers take theirs in the order of their calls; the first pass makes them. Sizes are fixed, so one program serves every step.
    """

    def __init__(self, batch: int, length: int) -> None:
        self.batch = batch
        self.length = length
        self.entries: list[tuple[Tensor, Tensor]] = []

    def prompt(self) -> CachePass:
        """A pass that fills the cache from its start."""
        return CachePass(self, None)

    def step(self, position: Tensor) -> CachePass:
        """A pass that adds what stands at `position`, an integer scalar, and sees all before it."""
        return CachePass(self, position)


class CachePass:
    """One declaration of a model with a cache. `updates` holds the new values of the cache's arrays, for `gd.compile`."""

    def __init__(self, cache: KeyValueCache, position: Tensor | None) -> None:
        self.cache = cache
        self.position = position
        self.updates: dict[Tensor, Tensor] = {}
        self._layers: Iterator[int] = itertools.count()

    def positions(self, length: Dim) -> Tensor:
        """The positions of the `length` new elements: int64 (length,)."""
        new = arange(length)
        return new if self.position is None else new + self.position

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keep a layer's new keys and values, (batch, heads, new, features), and return those to attend to.

        The mask says which of them are seen; it is None for a prompt, which sees itself causally.
        """
        held = self._entry(key, value)
        if self.position is None:
            self.updates.update((own, self._filled(own, new)) for own, new in zip(held, (key, value), strict=True))
            return key, value, None
        kept = [self._written(own, new, self.position) for own, new in zip(held, (key, value), strict=True)]
        self.updates.update(zip(held, kept, strict=True))
        seen = arange(self.cache.length) <= self.position
        return kept[0], kept[1], expand_dims(seen, 0)

    def _entry(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        layer = next(self._layers)
        if layer == len(self.cache.entries):
            name = f"cache.{layer}"
            self.cache.entries.append((self._array(key, f"{name}.key"), self._array(value, f"{name}.value")))
        return self.cache.entries[layer]

    def _array(self, like: Tensor, name: str) -> Tensor:
        batch, heads, _, features = like.shape
        if batch != self.cache.batch or not isinstance(heads, int) or not isinstance(features, int):
            raise ShapeError(f"KeyValueCache: {describe(like)} must be of a batch of {self.cache.batch}, with known heads and features")
        return parameter(np.zeros((self.cache.batch, heads, self.cache.length, features), numpy_dtype(like.dtype)), name)

    def _filled(self, held: Tensor, new: Tensor) -> Tensor:
        """`new` at the start, and zeros, which no query sees, behind it."""
        rest = held.shape[2] - new.shape[2]
        return Pad((0, 0, 0, 0), (0, 0, rest, 0))(new)

    def _written(self, held: Tensor, new: Tensor, position: Tensor) -> Tensor:
        """`held` with the one new element at `position`: every element is read and written in its place."""
        if new.shape[2] != 1:
            raise ShapeError(f"KeyValueCache: a step adds one position, not {describe(new)}")
        shape: Shape = held.shape
        here = Iota(shape, 2, "int64")() == broadcast_to(position.astype("int64"), shape)
        return where(here, broadcast_to(new, shape), held)
