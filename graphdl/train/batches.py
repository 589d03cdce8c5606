"""Training data: arrays cut into batches, shuffled by a seed, or batches from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from ..errors import CallError, ShapeError
from ..ir import Tensor
from ..types import numpy_dtype

Array = np.ndarray[Any, Any]
Batch = dict[str, Any]
Data = Mapping[str, Any] | Iterable[Mapping[str, Any]] | Callable[[], Iterable[Mapping[str, Any]]]


class Batches:
    """Batches of `data` for the placeholders `inputs`.

    `data` maps the names of all inputs to arrays whose first axes are the samples (values without axes go into every
    batch as they are), or it is an iterable of such mappings, one for each batch, or a function that returns one.
    Raises CallError for missing or unknown names, ShapeError for arrays of different lengths or without samples.
    """

    def __init__(self, data: Data, inputs: Sequence[Tensor], batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.types = {str(tensor.name): tensor.type for tensor in inputs}
        self.batch_size = batch_size
        self.source: Any = data
        self.arrays = self._checked(cast("Mapping[str, Any]", data)) if isinstance(data, Mapping) else None
        self.samples = None if self.arrays is None else self._length(self.arrays)

    def epoch(self, order: np.random.Generator | None = None) -> Iterator[Batch]:
        """The batches of one epoch; those of arrays in an order drawn from `order`. The last one may be smaller."""
        if self.arrays is None:
            found = cast("Iterable[Mapping[str, Any]]", self.source() if callable(self.source) else self.source)
            return ({name: self._convert(name, array) for name, array in self._checked(batch).items()} for batch in found)
        return self._cut(self.arrays, order)

    def _cut(self, arrays: Batch, order: np.random.Generator | None) -> Iterator[Batch]:
        assert self.samples is not None
        places = None if order is None else order.permutation(self.samples)
        for start in range(0, self.samples, self.batch_size):
            stop = min(start + self.batch_size, self.samples)
            chosen: Any = slice(start, stop) if places is None else places[start:stop]
            yield {name: self._convert(name, array[chosen] if array.ndim else array) for name, array in arrays.items()}

    def _checked(self, batch: Mapping[str, Any]) -> Batch:
        """Arrays of all inputs. Those of a whole data set keep their dtype until they are cut; plain lists take the input's."""
        missing, unknown = self.types.keys() - batch.keys(), batch.keys() - self.types.keys()
        if missing or unknown:
            faults = [f"{fault} {', '.join(sorted(map(str, names)))}" for fault, names in (("missing", missing), ("unknown", unknown)) if names]
            raise CallError(f"the data does not fit the inputs {', '.join(self.types)}: {'; '.join(faults)}")
        return {name: batch[name] if isinstance(batch[name], np.ndarray) else self._convert(name, batch[name]) for name in self.types}

    def _convert(self, name: str, value: Any) -> Array:
        """The value in the input's dtype where that loses nothing; what does not fit is refused by the program itself."""
        array, dtype = np.asarray(value), numpy_dtype(self.types[name].dtype)
        fits = np.can_cast(array.dtype, dtype, "safe") or (not isinstance(value, np.ndarray) and np.can_cast(array.dtype, dtype, "same_kind"))
        return array.astype(dtype) if fits and array.dtype != dtype else array

    def _length(self, arrays: Batch) -> int:
        lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
        if len(set(lengths.values())) != 1 or not all(lengths.values()):
            told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise ShapeError(f"the arrays need one number of samples, at least 1, on their first axes; they have {told or 'no axes'}")
        return next(iter(lengths.values()))


def batch_length(batch: Batch) -> int:
    """The number of samples in a batch: the size of the first axis there is, else 1."""
    return next((len(array) for array in batch.values() if array.ndim), 1)


def epoch_order(seed: int, epoch: int) -> np.random.Generator:
    """The generator of one epoch's order: it depends on nothing else, so training can go on from any epoch."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch], "uint64")))
