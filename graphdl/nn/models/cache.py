"""The keys and values of all positions so far, kept between the calls of a program."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ...errors import ShapeError
from ...ir import Tensor
from ...ops.elementwise import describe
from ...ops.slicing import slice_axis
from ...ops.source import arange, full, parameter
from ...ops.write_slice import write_slice
from ...sizes import Dim
from ...types import numpy_dtype

POSITIONS = 2  # the axis of keys and values that runs along the sequence


class KeyValueCache:
    """Arrays (batch, heads, length, features) of keys and of values for each layer, as state that programs update in place.

    Layers take theirs in the order of their calls; the first pass makes them. Their sizes are fixed. How many positions they hold
    is a symbolic size, so one program serves every step: it writes what is new and reads what is held, whatever the length.
    """

    def __init__(self, batch: int, length: int) -> None:
        self.batch = batch
        self.length = length
        self.entries: list[tuple[Tensor, Tensor]] = []

    def prompt(self) -> CachePass:
        """A pass that fills the cache from its start."""
        return CachePass(self, None)

    def step(self, held: Tensor) -> CachePass:
        """A pass that adds one position and sees all before it. The one axis of `held` is as long as what is held afterwards."""
        return CachePass(self, held.shape[0])


class CachePass:
    """One declaration of a model with a cache. `updates` holds the new values of the cache's arrays, for `gd.compile`."""

    def __init__(self, cache: KeyValueCache, held: Dim | None) -> None:
        self.cache = cache
        self.held = held
        self.updates: dict[Tensor, Tensor] = {}
        self._layers: Iterator[int] = itertools.count()

    def positions(self, length: Dim) -> Tensor:
        """The positions of the `length` new elements: int64 (length,)."""
        new = arange(length)
        return new if self.held is None else new + full((length,), self.held - length, "int64")

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Keep a layer's new keys and values, (batch, heads, new, features), and return those to attend to.

        The last result tells whether they are to be seen causally: in a prompt. A step's one query sees all.
        """
        held = self._entry(key, value)
        for own, new in zip(held, (key, value), strict=True):
            self.updates[own] = self._written(own, new)
        if self.held is None:
            return key, value, True
        kept = [slice_axis(self.updates[own], POSITIONS, 0, self.held) for own in held]
        return kept[0], kept[1], False

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

    def _written(self, held: Tensor, new: Tensor) -> Tensor:
        """`held` with the new elements in their places, the only ones that are touched."""
        if self.held is not None and new.shape[POSITIONS] != 1:
            raise ShapeError(f"KeyValueCache: a step adds one position, not {describe(new)}")
        return write_slice(held, new, POSITIONS, 0 if self.held is None else self.held - 1)
