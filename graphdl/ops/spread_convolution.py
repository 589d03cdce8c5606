"""Convolution of data whose elements stand apart, without a product for the zeros between: what the pass `convolution` makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..ir import Tensor
from ..kernel.expression import Buffer, Expr, Index, const, fresh_axes, load
from ..kernel.program import Kernel, Store
from ..op import Array, Op, Sample, sample_array
from ..record import record
from ..sizes import as_size, ceildiv
from ..types import Shape, TensorType
from .convolution import Convolution

if TYPE_CHECKING:
    from ..lowering import Lowering


@record
class SpreadConvolution(Op):
    """A transposed convolution: `Convolution` with stride 1, no dilation and an input dilation above 1.

    The results at m * spread + b, for one remainder b of every axis, see the taps t * spread - b + low at the data's elements m + t and no
    others. Each of these phases is a sum of products of its own, written where it belongs.
    """

    name: ClassVar[str] = "spread_convolution"
    pattern: ClassVar[str] = "opaque"
    low: tuple[int, ...]
    high: Shape
    spread: tuple[int, ...]
    groups: int = 1

    @property
    def whole(self) -> Convolution:
        """The convolution that it is."""
        ones = (1,) * len(self.spread)
        return Convolution(ones, self.low, self.high, ones, self.spread, self.groups)

    def infer(self, *operands: TensorType) -> TensorType:
        return self.whole.infer(*operands)

    def evaluate(self, *operands: Array) -> Array:
        return self.whole.evaluate(*operands)

    def lower_steps(self, lowering: Lowering, outputs: Sequence[Tensor], operands: Sequence[Tensor]) -> None:
        target, x, w = lowering.result(outputs[0]), *map(lowering.buffer, operands)
        for phase in itertools.product(*map(range, self.spread)):
            lowering.add(self._phase(target, x, w, phase, outputs[0]))

    def _phase(self, target: Buffer, x: Buffer, w: Buffer, phase: tuple[int, ...], output: Tensor) -> Kernel:
        """The results of one remainder: a convolution of the data as it is, by every `spread`-th tap."""
        places = list(zip(phase, self.spread, self.low, strict=True))
        first = [-((low - b) // s) for b, s, low in places]
        starts = [t * s - b + low for t, (b, s, low) in zip(first, places, strict=True)]
        taps = [max(-(-(size - start) // s), 0) for size, start, s in zip(_known(w.type.shape[2:]), starts, self.spread, strict=True)]
        counts = [ceildiv(count - b, s) for count, (b, s, _) in zip(target.type.shape[2:], places, strict=True)]
        axes = fresh_axes((*target.type.shape[:2], *counts))
        n, o, *rows = map(as_size, axes)

        def tap(index: Index) -> Index:
            return (*index[:2], *(start + t * s for start, t, s in zip(starts, index[2:], self.spread, strict=True)))

        ones = (1,) * len(rows)
        dense = Convolution(ones, tuple(-t for t in first), self.high, ones, ones, self.groups)
        weights = _Read(w, TensorType(w.type.dtype, (*w.type.shape[:2], *taps)), tap)
        value = dense.lower(output.type, (n, o, *rows), _Read(x, x.type), weights) if 0 not in taps else const(0, output.dtype)
        at = (n, o, *(row * s + b for row, (b, s, _) in zip(rows, places, strict=True)))
        return Kernel("convolution", axes, (Store(target, axes, at, value),), (output.node,))

    @classmethod
    def samples(cls) -> Iterable[Sample]:
        yield Sample(cls((1,), (1,), (2,)), (sample_array(2, 3, 5), sample_array(4, 3, 3, seed=1)), ())
        yield Sample(cls((1, -1), (2, 3), (2, 3)), (sample_array(2, 2, 5, 4), sample_array(3, 2, 3, 2, seed=1)), ())
        yield Sample(cls((0, 2), (1, 0), (3, 2), 2), (sample_array(1, 4, 3, 3), sample_array(6, 2, 1, 4, seed=1)), ())
        yield Sample(cls((0,), (0,), (2,)), (sample_array(0, 3, 5), sample_array(4, 3, 3)), ())


class _Read:
    """A buffer as an operand; `moved` tells for an index of the operand the one in the buffer."""

    def __init__(self, buffer: Buffer, type: TensorType, moved: Callable[[Index], Index] = tuple) -> None:
        self.buffer, self.type, self.moved = buffer, type, moved

    def __call__(self, index: Index) -> Expr:
        return load(self.buffer, self.moved(index))


def _known(sizes: Shape) -> tuple[int, ...]:
    return tuple(size for size in sizes if isinstance(size, int))
