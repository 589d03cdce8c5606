"""Forward mode: tangents flow with the computation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import GradientError
from ..ir import Node, Tensor, derived
from ..ir.graph import topological_order
from ..ops.elementwise import describe
from ..ops.source import full
from .vjp import _listed, cotangents_of


def jvp(outputs: Tensor | Iterable[Tensor], wrt: Tensor | Iterable[Tensor], tangents: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Tangents of `outputs`, given those of `wrt`: the Jacobian applied. Raises GradientError for tangents that do not fit."""
    ends, sources, given = _listed(outputs), _listed(wrt), _listed(tangents)
    if len(sources) != len(given):
        raise GradientError(f"{len(sources)} tensors need as many tangents, not {len(given)}")
    for source, tangent in zip(sources, given, strict=True):
        if len(source.shape) != len(tangent.shape) or source.dtype != tangent.dtype:
            raise GradientError(f"the tangent {describe(tangent)} does not fit {describe(source)}")
    known: dict[Tensor, Tensor] = dict(zip(sources, given, strict=True))
    for node in topological_order(ends):
        _push_forward(node, known)
    return [known[end] if end in known else full(end.shape, 0, end.dtype) for end in ends]


def _push_forward(node: Node, known: dict[Tensor, Tensor]) -> None:
    if not any(operand in known for operand in node.operands) or any(tensor in known for tensor in node.outputs):
        return
    tangents = [known.get(operand) for operand in node.operands]
    with derived(f"jvp {node.op.name}", [node]):
        outputs: Any = node.output if len(node.outputs) == 1 else node.outputs
        result = node.op.jvp(tangents, outputs, *node.operands)
        if result is NotImplemented:
            result = transpose_of_vjp(node.op, tangents, outputs, node.operands)
    pairs = zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True)
    known.update({tensor: tangent for tensor, tangent in pairs if tangent is not None})


def transpose_of_vjp(op: Any, tangents: Sequence[Tensor | None], output: Any, operands: Sequence[Tensor]) -> Any:
    """The tangents of an op's results through its vjp: that is linear in the cotangent, and its transpose is the jvp.

    The trick is known from "j(), jvp via double vjp" (Jamie Townsend, 2017).
    """
    results = output if isinstance(output, tuple) else (output,)
    dummies = tuple(full(tensor.shape, 0, tensor.dtype).stop_gradient() for tensor in results)
    pulled = op.vjp(dummies if isinstance(output, tuple) else dummies[0], output, *operands)
    pairs = [(cotangent, tangent) for cotangent, tangent in zip(pulled, tangents, strict=True) if cotangent is not None and tangent is not None]
    if not pairs:
        return tuple(None for _ in results) if isinstance(output, tuple) else None
    found = cotangents_of([cotangent for cotangent, _ in pairs], dummies, [tangent for _, tangent in pairs])
    answers = tuple(found.get(dummy) for dummy in dummies)
    return answers if isinstance(output, tuple) else answers[0]
