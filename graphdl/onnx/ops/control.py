"""If, Loop, Scan, and sequences, which are lists of tensors while a graph is declared."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError, GraphdlError, ShapeError, TypeRuleError, ValueNeededError
from ...ir import Tensor
from ...ir.node import FUNCTIONS
from ...op import normalize_axis
from ...ops.join import concatenate, flip, stack
from ...ops.shape import reshape, transpose
from ...ops.slicing import slice_axis
from ...ops.source import constant, full
from ...sizes import Dim, Size
from ..known import missing_inputs
from ..registry import Call, Value, translates


@translates("If")
def _if(call: Call, condition: Tensor) -> tuple[Value, ...]:
    then, otherwise = call.bodies["then_branch"], call.bodies["else_branch"]
    decided = call.known(condition)
    if decided is not None and decided.dtype != object:
        return tuple(then() if bool(decided.reshape(-1)[0]) else otherwise())
    try:
        found = FUNCTIONS["cond"](reshape(condition, ()), lambda: tuple(then()), lambda: tuple(otherwise()))
    except (ShapeError, TypeRuleError) as error:
        raise ValueNeededError(f"the branches differ in type, so the condition must be known: {error}", missing_inputs(condition)) from None
    return tuple(found)


@translates("Loop")
def _loop(call: Call, count: Tensor | None, going: Tensor | None, *state: Value) -> tuple[Value, ...]:
    body = call.bodies["body"]
    carried = len(state)
    limit: Dim | None = None
    if count is not None and (found := call.known(count)) is not None:
        one = found.reshape(-1)[0]
        limit = one if isinstance(one, Size) else int(one)
    always = going is None or _is_true(call, going)
    if always and _never_stops(call, body):
        if limit is None and count is not None:
            call.needed(count, "the number of steps")
        if limit is not None and not any(isinstance(one, list) for one in state):
            try:
                return _counted(body, limit, state)
            except (ValueNeededError, ShapeError, TypeRuleError):
                if not isinstance(limit, int):
                    raise  # else what changes from step to step in shape is declared step by step below
    if (len(call.outputs) > carried or any(isinstance(one, list) for one in state) or _never_stops(call, body)) and isinstance(limit, int):
        return _unrolled(call, body, limit, going, state)
    if len(call.outputs) > carried:
        names = missing_inputs(count) if count is not None else ()
        raise ValueNeededError("the number of steps, and so the size of the stacked results, follows from values", names)
    return _while(body, count, going, state)


def _is_true(call: Call, tensor: Tensor) -> bool:
    array = call.known(tensor)
    return array is not None and array.dtype != object and bool(array.reshape(-1)[0])


def _never_stops(call: Call, body: Any) -> bool:
    """Whether the body hands its condition on, or says true."""
    name, given = body.proto.output[0].name, body.proto.input[1].name
    made = {output: node for node in body.proto.node for output in node.output}
    while name in made and made[name].op_type == "Identity":
        name = made[name].input[0]
    if name == given:
        return True
    return name in body.constants() and bool(body.constants()[name].reshape(-1)[0])


def _counted(body: Any, limit: Dim, state: tuple[Value, ...]) -> tuple[Value, ...]:
    """A scan over the numbers of the steps."""
    true = full((), True, "bool")

    def step(carry: tuple[Tensor, ...], number: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        found = body(number, true, *carry)[1:]
        return tuple(found[: len(state)]), tuple(found[len(state) :])

    last, stacked = FUNCTIONS["scan"](step, tuple(state), FUNCTIONS["arange"](limit))
    return (*last, *stacked)


def _while(body: Any, count: Tensor | None, going: Tensor | None, state: tuple[Value, ...]) -> tuple[Value, ...]:
    last = full((), np.iinfo("int64").max, "int64") if count is None else reshape(count, ())
    start = full((), True, "bool") if going is None else reshape(going, ())

    def holds(carry: tuple[Tensor, ...]) -> Tensor:
        return carry[1] & (carry[0] < last)

    def step(carry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found = body(carry[0], carry[1], *carry[2:])
        return (carry[0] + 1, reshape(found[0], ()), *found[1:])

    found = FUNCTIONS["while_loop"](holds, step, (full((), 0, "int64"), start, *state))
    return tuple(found[2:])


LONGEST = 4096  # steps that are declared one after the other


def _unrolled(call: Call, body: Any, limit: int, going: Tensor | None, state: tuple[Value, ...]) -> tuple[Value, ...]:
    """The steps one after the other: for loops whose carries change their shapes, or that stop early on known values."""
    carried, stacks = len(state), [[] for _ in range(len(call.outputs) - len(state))]  # type: ignore[var-annotated]
    alive = going
    for number in range(min(limit, LONGEST + 1)):
        if alive is not None and not bool(call.needed(alive, "the condition").reshape(-1)[0]):
            break
        if number == LONGEST:
            raise FormatError(f"the loop takes more than {LONGEST} steps, and its carries change their shapes")
        found = body(full((), number, "int64"), full((), True, "bool"), *state)
        alive, state = found[0], tuple(found[1 : carried + 1])
        for kept, one in zip(stacks, found[carried + 1 :], strict=True):
            kept.append(one)
    if any(not kept for kept in stacks):
        raise GraphdlError("the loop takes no step, so that the types of its stacked results are not known")
    return (*state, *(stack(kept) for kept in stacks))


@translates("Scan")
def _scan(call: Call, *given: Tensor | None) -> tuple[Value, ...]:
    # Opset 8 has a batch axis and sequence lengths in front; since opset 9 axes and directions are attributes.
    if call.opset < 9:
        return _batched_scan(call, *given)
    body, count = call.bodies["body"], call.required("num_scan_inputs")
    tensors = [one for one in given if one is not None]
    state, sequences = tensors[: len(tensors) - count], tensors[len(tensors) - count :]
    axes = call.attribute("scan_input_axes", (0,) * count)
    flips = call.attribute("scan_input_directions", (0,) * count)
    sequences = [_leading(x, axis, bool(reverse)) for x, axis, reverse in zip(sequences, axes, flips, strict=True)]

    def step(carry: tuple[Tensor, ...], now: tuple[Tensor, ...]) -> Any:
        found = body(*carry, *now)
        return tuple(found[: len(state)]), tuple(found[len(state) :])

    last, stacked = FUNCTIONS["scan"](step, tuple(state), tuple(sequences))
    out_axes = call.attribute("scan_output_axes", (0,) * len(stacked))
    out_flips = call.attribute("scan_output_directions", (0,) * len(stacked))
    return (*last, *(_back(x, axis, bool(reverse)) for x, axis, reverse in zip(stacked, out_axes, out_flips, strict=True)))


def _leading(x: Tensor, axis: int, reverse: bool) -> Tensor:
    at = normalize_axis(axis, x.ndim)
    moved = transpose(x, [at, *(k for k in range(x.ndim) if k != at)])
    return flip(moved, 0) if reverse else moved


def _back(x: Tensor, axis: int, reverse: bool) -> Tensor:
    at = normalize_axis(axis, x.ndim)
    x = flip(x, 0) if reverse else x
    return transpose(x, [*range(1, at + 1), 0, *range(at + 1, x.ndim)])


def _batched_scan(call: Call, lengths: Tensor | None, *given: Tensor | None) -> tuple[Value, ...]:
    """Opset 8: every sample of the batch is scanned on its own."""
    if lengths is not None:
        raise FormatError("Scan of opset 8 with sequence lengths is not supported")
    tensors = [one for one in given if one is not None]
    batch = tensors[0].shape[0]
    if not isinstance(batch, int):
        raise ShapeError("Scan of opset 8 needs a batch of known size")
    body, count = call.bodies["body"], call.required("num_scan_inputs")
    split = len(tensors) - count

    def step(carry: tuple[Tensor, ...], now: tuple[Tensor, ...]) -> Any:
        found = body(*carry, *now)
        return tuple(found[:split]), tuple(found[split:])

    runs = [FUNCTIONS["scan"](step, tuple(x[k] for x in tensors[:split]), tuple(x[k] for x in tensors[split:])) for k in range(batch)]
    rows = [(*last, *stacked) for last, stacked in runs]
    return tuple(stack(list(column)) for column in zip(*rows, strict=True))


# -- sequences ------------------------------------------------------------------------------------------------------


@translates("SequenceEmpty")
def _sequence_empty(call: Call) -> Any:
    return ([],)


@translates("SequenceConstruct")
def _sequence_construct(call: Call, *x: Tensor) -> Any:
    return (list(x),)


@translates("SequenceLength")
def _sequence_length(call: Call, x: list[Tensor]) -> Tensor:
    return constant(np.array(len(x), "int64"))


@translates("SequenceAt")
def _sequence_at(call: Call, x: list[Tensor], position: Tensor) -> Tensor:
    return x[int(call.number(1, "the position", 0))]


@translates("SequenceInsert")
def _sequence_insert(call: Call, x: list[Tensor], tensor: Tensor, position: Tensor | None = None) -> Any:
    at = int(call.number(2, "the position", len(x)))
    at = at + len(x) if at < 0 else at
    return ([*x[:at], tensor, *x[at:]],)


@translates("SequenceErase")
def _sequence_erase(call: Call, x: list[Tensor], position: Tensor | None = None) -> Any:
    at = int(call.number(1, "the position", -1)) % max(len(x), 1)
    return ([*x[:at], *x[at + 1 :]],)


@translates("ConcatFromSequence")
def _concat_from_sequence(call: Call, x: list[Tensor]) -> Tensor:
    axis = call.required("axis")
    return stack(x, axis) if call.attribute("new_axis", 0) else concatenate(x, axis)


@translates("SplitToSequence")
def _split_to_sequence(call: Call, x: Tensor, sizes: Tensor | None = None) -> Any:
    axis = normalize_axis(call.attribute("axis", 0), x.ndim)
    whole = x.shape[axis]
    if not isinstance(whole, int):
        raise ShapeError(f"axis {axis} of {x.type} is symbolic, so the number of parts is not known")
    array = call.numbers(1, "the split")
    part = 1 if array is None else int(array.reshape(-1)[0])
    listed = [min(part, whole - k) for k in range(0, whole, part)] if array is None or array.ndim == 0 else [int(one) for one in array]
    parts = [slice_axis(x, axis, sum(listed[:k]), size) for k, size in enumerate(listed)]
    if array is None and not call.attribute("keepdims", 1):
        parts = [reshape(one, (*one.shape[:axis], *one.shape[axis + 1 :])) for one in parts]
    return (parts,)
