"""Reverse mode: cotangents flow from the outputs to the operands, by each op's own rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import overload

from ..collection import paused_collection
from ..errors import GradientError
from ..ir import Node, Tensor, as_tensor, derived
from ..ir.graph import topological_order
from ..ops.elementwise import describe
from ..ops.source import full
from ..types import is_floating


@overload
def grad(output: Tensor, wrt: Tensor) -> Tensor: ...  # type: ignore[overload-overlap]
@overload
def grad(output: Tensor, wrt: Iterable[Tensor]) -> list[Tensor]: ...
def grad(output: Tensor, wrt: Tensor | Iterable[Tensor]) -> list[Tensor] | Tensor:
    """The gradient of a scalar `output` by each of `wrt`: tensors of the same shapes, more graph.

    One tensor in, one out; an iterable in, a list out. A tensor that `output` does not depend on has gradient zero.
    Raises GradientError when `output` is not a floating scalar or something in `wrt` is not floating.
    """
    targets = [wrt] if isinstance(wrt, Tensor) else list(wrt)
    if output.shape != ():
        raise GradientError(f"grad: the output is {describe(output)}, not a scalar: reduce it with .sum() or .mean(), or use gd.vjp or gd.jacobian")
    with derived("seed", [output.node]):
        seed = full((), 1, output.dtype)
    found = vjp([output], targets, [seed])
    return found[0] if isinstance(wrt, Tensor) else found


def vjp(outputs: Tensor | Iterable[Tensor], wrt: Tensor | Iterable[Tensor], cotangents: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Cotangents of `wrt`, given those of `outputs`: the transposed Jacobian applied.

    Raises GradientError for tensors that are not floating or cotangents that do not fit.
    """
    ends, targets, seeds = _listed(outputs), _listed(wrt), _listed(cotangents)
    _check(ends, targets, seeds)
    with paused_collection():
        found = cotangents_of(ends, targets, seeds)
    return [found[target] if target in found else full(target.shape, 0, target.dtype) for target in targets]


def cotangents_of(ends: Sequence[Tensor], targets: Sequence[Tensor], seeds: Sequence[Tensor]) -> dict[Tensor, Tensor]:
    """The reverse sweep. Only nodes between `targets` and `ends` are visited."""
    order = topological_order(ends)
    active = _depending(order, targets)
    sums: dict[Tensor, Tensor] = {}
    for end, seed in zip(ends, seeds, strict=True):
        _accumulate(sums, end, seed)
    for node in reversed(order):
        _record(node, sums, ends)
        if node not in active or not any(tensor in sums for tensor in node.outputs) or not node.operands:
            continue
        with derived(node.op.name, [node]):
            for operand, cotangent in zip(node.operands, pull_back(node, sums), strict=True):
                if cotangent is not None and operand.node in active:
                    _accumulate(sums, operand, cotangent)
    return sums


def pull_back(node: Node, sums: dict[Tensor, Tensor]) -> Sequence[Tensor | None]:
    """The op's own rule; ops with several results get all cotangents, zeros where none came."""
    if len(node.outputs) == 1:
        rule: Sequence[Tensor | None] = node.op.vjp(sums[node.output], node.output, *node.operands)
        return rule
    given = tuple(sums[tensor] if tensor in sums else full(tensor.shape, 0, tensor.dtype) for tensor in node.outputs)
    several: Sequence[Tensor | None] = node.op.vjp(given, node.outputs, *node.operands)
    return several


def _record(node: Node, sums: Mapping[Tensor, Tensor], ends: Sequence[Tensor]) -> None:
    """Tell the cotangents of a node's results, which are complete now, what they are."""
    end = ends[0] if len(ends) == 1 else None
    for tensor in node.outputs:
        if tensor in sums:
            sums[tensor].node.provenance.note_cotangent(sums[tensor].index, end, tensor)


def _depending(order: Sequence[Node], targets: Sequence[Tensor]) -> set[Node]:
    """The nodes whose value depends on a target."""
    found = {target.node for target in targets}
    for node in order:
        if any(operand.node in found for operand in node.operands):
            found.add(node)
    return found


def _accumulate(sums: dict[Tensor, Tensor], tensor: Tensor, cotangent: Tensor) -> None:
    if not is_floating(tensor.dtype):
        return
    sums[tensor] = sums[tensor] + cotangent if tensor in sums else cotangent


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else [as_tensor(tensor) for tensor in tensors]


def _check(ends: Sequence[Tensor], targets: Sequence[Tensor], seeds: Sequence[Tensor]) -> None:
    for tensor in (*ends, *targets):
        if not is_floating(tensor.dtype):
            raise GradientError(f"a gradient needs floating tensors; this one is {describe(tensor)}")
    if len(ends) != len(seeds):
        raise GradientError(f"{len(ends)} outputs need as many cotangents, not {len(seeds)}")
    for end, seed in zip(ends, seeds, strict=True):
        if len(end.shape) != len(seed.shape) or end.dtype != seed.dtype:
            raise GradientError(f"the cotangent {describe(seed)} does not fit the output {describe(end)}")
