"""What a step costs at least: scalar operations, and bytes that must be read and written once. Sizes may be symbolic."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..sizes import Dim, minimum, product
from ..types import TensorType, is_floating, numpy_dtype
from .expression import Axis, Buffer, Load, Reduce, Scalar, axes_of, walk
from .functions import TABLE
from .program import Control, Cumulative, Kernel, Loop, Scatter, Step


def bytes_of_type(type: TensorType) -> Dim:
    """The bytes of a tensor."""
    return type.size * numpy_dtype(type.dtype).itemsize


def flops_of(step: Step) -> Dim:
    """Floating-point operations: every scalar function once for each point it depends on, by the table's counts (an addition is 1,
    an exponential 14), and one for each element that a reduction joins. Work that a schedule repeats does not count."""
    if isinstance(step, Control):
        return _inside(step, flops_of)
    total: Dim = 0
    for x in walk(*step.values):
        if isinstance(x, Scalar) and any(is_floating(y.dtype) for y in (x, *x.operands)):
            total = total + TABLE[x.function].flops * _points(x.axes)
        elif isinstance(x, Reduce) and is_floating(x.body.dtype):
            total = total + _points({*x.body.axes, *x.reduced})
    if isinstance(step, Kernel) or not is_floating(step.value.dtype):
        return total
    return total + _points(step.axes) * (2 if isinstance(step, Cumulative) and step.factor is not None else 1)


def bytes_read(step: Step) -> Dim:
    """Bytes of the elements that a step needs from memory, each once; never more than the buffers hold."""
    if isinstance(step, Control):
        return _inside(step, bytes_read)
    return _sum(_touched(buffer, loads) for buffer, loads in _loads(step).items())


def bytes_written(step: Step) -> Dim:
    """Bytes of the elements that a step writes."""
    if isinstance(step, Control):
        return _inside(step, bytes_written)
    if isinstance(step, Kernel):
        return _sum(_points(store.axes) * _itemsize(store.buffer) for store in step.stores)
    everything = bytes_of_type(step.buffer.type)
    return minimum(_points(step.axes) * _itemsize(step.buffer), everything) if isinstance(step, Scatter) else everything


def bytes_moved(step: Step) -> Dim:
    """Bytes read and written."""
    return bytes_read(step) + bytes_written(step)


def _inside(step: Control, measure: Callable[[Step], Dim]) -> Dim:
    """The measure of all rounds of a loop, of one where their number is not known, and of both sides of a branch."""
    rounds = step.length if isinstance(step, Loop) else 1
    return _sum(measure(one) for part in step.parts for one in part.steps) * rounds


def _loads(step: Step) -> dict[Buffer, list[Load]]:
    found: dict[Buffer, list[Load]] = {}
    for x in walk(*step.values):
        if isinstance(x, Load):
            found.setdefault(x.buffer.storage, []).append(x)
    return found


def _touched(buffer: Buffer, loads: list[Load]) -> Dim:
    points = _sum(_points({axis for part in x.index for axis in axes_of(part)}) for x in loads)
    return minimum(points * _itemsize(buffer), bytes_of_type(buffer.type))


def _points(axes: Iterable[Axis]) -> Dim:
    return product(axis.size for axis in axes)


def _itemsize(buffer: Buffer) -> int:
    return numpy_dtype(buffer.type.dtype).itemsize


def _sum(terms: Iterable[Dim]) -> Dim:
    total: Dim = 0
    for term in terms:
        total = total + term
    return total
